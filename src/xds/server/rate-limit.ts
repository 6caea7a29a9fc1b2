// How many things may start in a second, with a short wait for those that come a little too early.
import type { Clock, Timer } from '../../base/clock.ts';

export interface RateLimitOptions {
  readonly clock: Clock;
  readonly perSecond: number;
  /** Who would have to wait longer is refused. Default 1000. */
  readonly waitMsMax?: number;
  /** The share of the time since it was last asked in which the process was busy, 0 to 1. Default: it always is. */
  readonly busyShare?: () => number;
}

/** How often it is asked, while somebody waits for it, whether the process is idle. */
const lookMs = 50;
/** Up to this share it is. */
const idleShareMax = 0.5;
/** Let in at one look: one, then twice as many as at the look before, up to this. */
const stepMax = 16;
/** Who waits for idle time, at the most: each holds a call. */
const hopefulMax = 1000;

/**
 * As many as `perSecond` start at once, then one each 1/perSecond seconds. Who is too many for that waits as long as
 * others would, and starts while the process is idle: those who come back with all that they need cost next to nothing,
 * and the rate is made for those who need everything.
 */
export class RateLimit {
  readonly #options: RateLimitOptions;
  readonly #intervalMs: number;
  readonly #burstMs: number;
  readonly #waitMsMax: number;
  readonly #waiting = new Set<Timer>();
  /** Those who wait for idle time, in their order, and when each is refused. */
  readonly #hopeful = new Map<() => void, Timer>();
  /** When the next one would start if all came evenly. */
  #nextMs = Number.NEGATIVE_INFINITY;
  #look: Timer | undefined;
  #step = 0;

  constructor(options: RateLimitOptions) {
    this.#options = options;
    this.#intervalMs = 1000 / options.perSecond;
    this.#burstMs = 1000;
    this.#waitMsMax = options.waitMsMax ?? 1000;
  }

  /** Runs `start` now or within the wait; or `refuse`, now or at its end. Exactly one of them, unless disposed. */
  admit(start: () => void, refuse: () => void): void {
    const { clock } = this.#options;
    const nowMs = clock.monotonicMs();
    const slotMs = Math.max(this.#nextMs, nowMs - this.#burstMs + this.#intervalMs);
    const waitMs = slotMs - nowMs;
    if (waitMs > this.#waitMsMax) {
      this.#hope(start, refuse);
      return;
    }
    this.#nextMs = slotMs + this.#intervalMs;
    if (waitMs <= 0) {
      start();
      return;
    }
    const timer = clock.after(waitMs, () => {
      this.#waiting.delete(timer);
      start();
    });
    this.#waiting.add(timer);
  }

  /** Forgets those who wait. */
  dispose(): void {
    for (const timer of [...this.#waiting, ...this.#hopeful.values()]) timer.cancel();
    this.#waiting.clear();
    this.#hopeful.clear();
    this.#look?.cancel();
  }

  #hope(start: () => void, refuse: () => void): void {
    const { clock, busyShare } = this.#options;
    if (busyShare === undefined || this.#hopeful.size >= hopefulMax) {
      refuse();
      return;
    }
    const timer = clock.after(this.#waitMsMax, () => {
      this.#hopeful.delete(start);
      refuse();
    });
    this.#hopeful.set(start, timer);
    if (this.#look !== undefined) return;
    busyShare();
    this.#step = 0;
    this.#lookLater(busyShare);
  }

  #lookLater(busyShare: () => number): void {
    this.#look = this.#options.clock.after(lookMs, () => {
      this.#look = undefined;
      const isIdle = busyShare() <= idleShareMax;
      this.#step = isIdle ? Math.min(Math.max(1, 2 * this.#step), stepMax) : 0;
      for (const [start, timer] of [...this.#hopeful].slice(0, this.#step)) {
        timer.cancel();
        this.#hopeful.delete(start);
        start();
      }
      if (this.#hopeful.size > 0) this.#lookLater(busyShare);
    });
  }
}

/** New streams a second, and pushes at a time: Istio's formula (PILOT_MAX_REQUESTS_PER_SECOND, PILOT_PUSH_THROTTLE). */
export function defaultRate(cpus: number): number {
  return Math.min(15 + 5 * cpus, 100);
}
