// Timeouts by one sweep instead of a timer per request: arming and disarming cost two array writes.
import type { Clock, Timer } from '../../base/clock.ts';

/** Something that may time out. An object may stand in one `Deadlines` at most once. */
export interface Deadline {
  /** Clock.monotonicMs at which it is due. Kept by Deadlines. */
  dueMs: number;
  /** Place in the list; -1 = not armed. Kept by Deadlines; starts as -1. */
  armedIndex: number;
  /** Called once when due; it is disarmed by then and may be armed again. */
  onDue(nowMs: number): void;
}

/** A sweep never comes sooner after the last one than this. */
const sweepPeriodMsMin = 5;

export class Deadlines {
  readonly #clock: Clock;
  readonly #armed: Deadline[] = [];
  #timer: Timer | undefined;
  #wakeMs = Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#armed.length;
  }

  /** Makes `deadline` due at `dueMs`; moves it if it is armed. */
  arm(deadline: Deadline, dueMs: number): void {
    deadline.dueMs = dueMs;
    if (deadline.armedIndex < 0) {
      deadline.armedIndex = this.#armed.length;
      this.#armed.push(deadline);
    }
    if (dueMs < this.#wakeMs) this.#wakeAt(dueMs);
  }

  disarm(deadline: Deadline): void {
    const index = deadline.armedIndex;
    if (index < 0) return;
    deadline.armedIndex = -1;
    const last = this.#armed.pop()!;
    if (last !== deadline) {
      this.#armed[index] = last;
      last.armedIndex = index;
    }
  }

  /** Forgets everything and stops the timer. */
  close(): void {
    for (const deadline of this.#armed) deadline.armedIndex = -1;
    this.#armed.length = 0;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#wakeMs = Infinity;
  }

  #wakeAt(dueMs: number): void {
    this.#timer?.cancel();
    this.#wakeMs = dueMs;
    const delayMs = Math.max(0, Math.ceil(dueMs - this.#clock.monotonicMs()));
    this.#timer = this.#clock.after(Math.min(delayMs, 0x7fffffff), () => this.#sweep());
  }

  #sweep(): void {
    this.#timer = undefined;
    this.#wakeMs = Infinity;
    const nowMs = this.#clock.monotonicMs();
    const armed = this.#armed;
    const due: Deadline[] = [];
    let nextMs = Infinity;
    for (const deadline of armed) {
      if (deadline.dueMs <= nowMs) due.push(deadline);
      else if (deadline.dueMs < nextMs) nextMs = deadline.dueMs;
    }
    for (const deadline of due) {
      // An earlier one may have disarmed or moved it.
      if (deadline.armedIndex < 0 || deadline.dueMs > nowMs) continue;
      this.disarm(deadline);
      deadline.onDue(nowMs);
    }
    const wakeMs = Math.max(nextMs, nowMs + sweepPeriodMsMin);
    if (nextMs !== Infinity && wakeMs < this.#wakeMs) this.#wakeAt(wakeMs);
  }
}
