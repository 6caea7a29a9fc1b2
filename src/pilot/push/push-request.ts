// Why proxies are looked at again, and the wait that merges what comes together.
import type { Clock, Timer } from '../../base/clock.ts';

/** Istio's words, as they stand in pilot_push_triggers. */
export type PushReason = 'config' | 'service' | 'endpoint' | 'global' | 'debug';

export interface PushRequest {
  /** How many changes for each reason. */
  readonly reasons: ReadonlyMap<PushReason, number>;
  /** Keys of the objects that changed. */
  readonly configs: ReadonlySet<string>;
  /** Send what is asked for even if it is unchanged. */
  readonly isForced: boolean;
  /** Monotonic time of the first change. */
  readonly startMs: number;
  /** Of the push log, once it is queued. */
  readonly pushId?: number;
}

/** Both (B4.02): reasons add up, the earlier start counts. Either may be undefined. */
export function mergePushRequests(a: PushRequest | undefined, b: PushRequest): PushRequest {
  if (a === undefined) return b;
  const reasons = new Map(a.reasons);
  for (const [reason, count] of b.reasons) reasons.set(reason, (reasons.get(reason) ?? 0) + count);
  return {
    reasons,
    configs: new Set([...a.configs, ...b.configs]),
    isForced: a.isForced || b.isForced,
    startMs: Math.min(a.startMs, b.startMs),
    ...((b.pushId ?? a.pushId) === undefined ? {} : { pushId: Math.max(a.pushId ?? 0, b.pushId ?? 0) }),
  };
}

export interface DebounceOptions {
  readonly clock: Clock;
  readonly push: (request: PushRequest) => void;
  /** After a push, the next waits for so long a silence. Istio: PILOT_DEBOUNCE_AFTER. */
  readonly quietMs?: number;
  /** But no longer than this. Istio: PILOT_DEBOUNCE_MAX. */
  readonly longestMs?: number;
}

/**
 * Immediate first: a change that comes out of silence is pushed at once, where Istio always waits. What
 * follows is merged until nothing has come for `quietMs`, or for at most `longestMs`.
 */
export class Debounce {
  readonly #clock: Clock;
  readonly #push: (request: PushRequest) => void;
  readonly #quietMs: number;
  readonly #longestMs: number;
  #merged: PushRequest | undefined;
  #mergedSinceMs = 0;
  #lastMs = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined;

  constructor({ clock, push, quietMs = 100, longestMs = 10_000 }: DebounceOptions) {
    this.#clock = clock;
    this.#push = push;
    this.#quietMs = quietMs;
    this.#longestMs = longestMs;
  }

  add(request: PushRequest): void {
    const nowMs = this.#clock.monotonicMs();
    const wasQuiet = nowMs - this.#lastMs >= this.#quietMs;
    this.#lastMs = nowMs;
    if (this.#merged === undefined && wasQuiet) {
      this.#push(request);
      return;
    }
    if (this.#merged === undefined) this.#mergedSinceMs = nowMs;
    this.#merged = mergePushRequests(this.#merged, request);
    this.#wait();
  }

  dispose(): void {
    this.#timer?.cancel();
    this.#merged = undefined;
  }

  #wait(): void {
    this.#timer?.cancel();
    const dueMs = Math.min(this.#lastMs + this.#quietMs, this.#mergedSinceMs + this.#longestMs);
    const delayMs = Math.max(0, dueMs - this.#clock.monotonicMs());
    this.#timer = this.#clock.after(delayMs, () => {
      const merged = this.#merged;
      this.#merged = undefined;
      this.#lastMs = this.#clock.monotonicMs();
      if (merged !== undefined) this.#push(merged);
    });
  }
}
