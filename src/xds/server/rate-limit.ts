// How many things may start in a second, with a short wait for those that come a little too early.
import type { Clock, Timer } from '../../base/clock.ts';

export interface RateLimitOptions {
  readonly clock: Clock;
  readonly perSecond: number;
  /** Who would have to wait longer is refused. Default 1000. */
  readonly waitMsMax?: number;
}

/** As many as `perSecond` start at once, then one each 1/perSecond seconds. */
export class RateLimit {
  readonly #clock: Clock;
  readonly #intervalMs: number;
  readonly #burstMs: number;
  readonly #waitMsMax: number;
  readonly #waiting = new Set<Timer>();
  /** When the next one would start if all came evenly. */
  #nextMs = Number.NEGATIVE_INFINITY;

  constructor({ clock, perSecond, waitMsMax = 1000 }: RateLimitOptions) {
    this.#clock = clock;
    this.#intervalMs = 1000 / perSecond;
    this.#burstMs = 1000;
    this.#waitMsMax = waitMsMax;
  }

  /** Runs `start` now or within the wait; returns false, without running it, where that is too soon. */
  admit(start: () => void): boolean {
    const nowMs = this.#clock.monotonicMs();
    const slotMs = Math.max(this.#nextMs, nowMs - this.#burstMs + this.#intervalMs);
    const waitMs = slotMs - nowMs;
    if (waitMs > this.#waitMsMax) return false;
    this.#nextMs = slotMs + this.#intervalMs;
    if (waitMs <= 0) {
      start();
      return true;
    }
    const timer = this.#clock.after(waitMs, () => {
      this.#waiting.delete(timer);
      start();
    });
    this.#waiting.add(timer);
    return true;
  }

  /** Forgets those who wait. */
  dispose(): void {
    for (const timer of this.#waiting) timer.cancel();
    this.#waiting.clear();
  }
}

/** New streams a second, and pushes at a time: Istio's formula (PILOT_MAX_REQUESTS_PER_SECOND, PILOT_PUSH_THROTTLE). */
export function defaultRate(cpus: number): number {
  return Math.min(15 + 5 * cpus, 100);
}
