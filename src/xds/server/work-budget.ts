// How much of the process's time one stream may take: all streams share one thread.
import type { Clock, Timer } from '../../base/clock.ts';

/** Work in one go, in ms: then others have their turn. */
const turnMs = 20;
/** Work that a stream may have saved up, in ms: the first configuration of a proxy in a large mesh takes less. */
const creditMsMax = 1000;
/** Of the time that goes by; so much of it a stream may work that has spent its credit. */
const share = 0.25;

/** Counts the work that a stream's requests cause, and says when the stream is to rest. */
export class WorkBudget {
  readonly #clock: Clock;
  readonly #pause: () => void;
  readonly #resume: () => void;
  #creditMs = creditMsMax;
  #countedMs: number;
  #turnMs = 0;
  #rest: Timer | undefined;

  /** `pause` and `resume` are called in turn. */
  constructor(clock: Clock, pause: () => void, resume: () => void) {
    this.#clock = clock;
    this.#pause = pause;
    this.#resume = resume;
    this.#countedMs = clock.monotonicMs();
  }

  /** Between `pause` and `resume`. */
  get isResting(): boolean {
    return this.#rest !== undefined;
  }

  /** Does what a request asks for. */
  run(work: () => void): void {
    const beginMs = this.#clock.monotonicMs();
    try {
      work();
    } finally {
      this.#count(beginMs);
    }
  }

  dispose(): void {
    this.#rest?.cancel();
    this.#rest = undefined;
  }

  #count(beginMs: number): void {
    const nowMs = this.#clock.monotonicMs();
    const tookMs = nowMs - beginMs;
    const earnedMs = (nowMs - this.#countedMs) * share;
    this.#countedMs = nowMs;
    this.#creditMs = Math.min(this.#creditMs + earnedMs, creditMsMax) - tookMs;
    this.#turnMs += tookMs;
    if (this.#rest !== undefined || (this.#turnMs < turnMs && this.#creditMs >= 0)) return;
    this.#turnMs = 0;
    this.#pause();
    this.#rest = this.#clock.after(Math.max(0, -this.#creditMs / share), () => {
      this.#rest = undefined;
      this.#resume();
    });
  }
}
