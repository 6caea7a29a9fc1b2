// Requests that wait for a connection of a pool, first come first served, within the cluster's limit.
import type { ResourceLimits } from './circuit-breakers.ts';
import type { PoolFailure, PoolOptions, PoolWaiter } from './connection-pool.ts';

export class PendingRequests {
  readonly #limit: ResourceLimits['pendingRequests'];
  readonly #stats: PoolOptions['stats'];
  readonly #waiters: PoolWaiter[] = [];

  constructor(limits: ResourceLimits, stats: PoolOptions['stats']) {
    this.#limit = limits.pendingRequests;
    this.#stats = stats;
  }

  get length(): number {
    return this.#waiters.length;
  }

  /** False: there is no place, and the waiter was told. */
  add(waiter: PoolWaiter): boolean {
    if (!this.#limit.available) {
      this.#stats.upstream_rq_pending_overflow.inc();
      waiter.onPoolFailure('overflow', '');
      return false;
    }
    this.#limit.acquire();
    this.#stats.upstream_rq_pending_total.inc();
    this.#stats.upstream_rq_pending_active.inc();
    this.#waiters.push(waiter);
    return true;
  }

  /** The one that has waited longest, which waits no more. */
  next(): PoolWaiter | undefined {
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) this.#left();
    return waiter;
  }

  /** It wants no connection any more. */
  remove(waiter: PoolWaiter): void {
    const at = this.#waiters.indexOf(waiter);
    if (at < 0) return;
    this.#waiters.splice(at, 1);
    this.#left();
  }

  /** Nobody will be served. Who asks again while being told is a new one. */
  fail(failure: PoolFailure, details: string): void {
    for (const waiter of this.#waiters.splice(0)) {
      this.#left();
      this.#stats.upstream_rq_pending_failure_eject.inc();
      waiter.onPoolFailure(failure, details);
    }
  }

  #left(): void {
    this.#limit.release();
    this.#stats.upstream_rq_pending_active.dec();
  }
}
