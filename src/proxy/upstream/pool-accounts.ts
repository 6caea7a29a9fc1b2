// What the pools of a host count alike, whatever they speak: connections and requests, against the cluster's circuit
// breakers and in its statistics.
import type { ResourceLimits } from './circuit-breakers.ts';
import type { PoolFailure, PoolOptions, PoolWaiter } from './connection-pool.ts';
import type { Host } from './host.ts';

export class PoolAccounts {
  readonly #host: Host;
  readonly #limits: ResourceLimits;
  readonly #stats: PoolOptions['stats'];

  constructor(host: Host, limits: ResourceLimits, stats: PoolOptions['stats']) {
    this.#host = host;
    this.#limits = limits;
    this.#stats = stats;
  }

  connectionStarted(): void {
    this.#limits.connections.acquire();
    this.#host.stats.cxTotal++;
    this.#host.stats.cxActive++;
    this.#stats.upstream_cx_total.inc();
    this.#stats.upstream_cx_active.inc();
  }

  connectionDone(): void {
    this.#limits.connections.release();
    this.#host.stats.cxActive--;
    this.#stats.upstream_cx_active.dec();
    this.#stats.upstream_cx_destroy.inc();
  }

  connectFailed(failure: PoolFailure): void {
    this.connectionDone();
    this.#host.stats.cxConnectFail++;
    this.#stats.upstream_cx_connect_fail.inc();
    if (failure === 'connect timeout') this.#stats.upstream_cx_connect_timeout.inc();
  }

  /** Whether one more request may go out. */
  get hasPlace(): boolean {
    return this.#limits.requests.available;
  }

  /** Tells a waiter that there is no place for its request. */
  overflow(waiter: PoolWaiter): void {
    this.#stats.upstream_rq_pending_overflow.inc();
    waiter.onPoolFailure('overflow', '');
  }

  requestStarted(): void {
    this.placeTaken();
    this.#host.stats.rqTotal++;
    this.#stats.upstream_rq_total.inc();
  }

  /** As for a request, though there is none yet; `requestDone` gives it back. */
  placeTaken(): void {
    this.#limits.requests.acquire();
    this.#host.stats.rqActive++;
    this.#stats.upstream_rq_active.inc();
  }

  requestDone(): void {
    this.#limits.requests.release();
    this.#host.stats.rqActive--;
    this.#stats.upstream_rq_active.dec();
  }
}
