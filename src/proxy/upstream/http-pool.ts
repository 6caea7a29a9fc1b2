// The HTTP/1.1 connections to one host: idle ones are used again, the last one returned first.
import type { Deadline } from '../io/deadlines.ts';
import type { ResourceLimits } from './circuit-breakers.ts';
import { ConnectAttempt } from './connect-attempt.ts';
import type { ConnectionPool, PoolFailure, PoolOptions, PoolWaiter } from './connection-pool.ts';
import type { Host } from './host.ts';
import type { ConnectionOwner } from './http-connection.ts';
import { HttpConnection } from './http-connection.ts';

export class HttpPool implements ConnectionPool, ConnectionOwner, Deadline {
  dueMs = 0;
  armedIndex = -1;
  readonly #host: Host;
  readonly #options: PoolOptions;
  readonly #limits: ResourceLimits;
  readonly #idle: HttpConnection[] = [];
  readonly #busy = new Set<HttpConnection>();
  readonly #connecting = new Set<ConnectAttempt>();
  readonly #waiters: PoolWaiter[] = [];
  #draining = false;

  constructor(host: Host, options: PoolOptions, limits: ResourceLimits) {
    this.#host = host;
    this.#options = options;
    this.#limits = limits;
  }

  get idleConnections(): number {
    return this.#idle.length;
  }

  /** Hands `waiter` a connection, now or once one is there. */
  request(waiter: PoolWaiter): void {
    const idle = this.#takeIdle();
    if (idle !== undefined) {
      this.#hand(waiter, idle);
      return;
    }
    const { pendingRequests, connections } = this.#limits;
    const { stats } = this.#options;
    if (!pendingRequests.available) {
      stats.upstream_rq_pending_overflow.inc();
      waiter.onPoolFailure('overflow', '');
      return;
    }
    pendingRequests.acquire();
    stats.upstream_rq_pending_total.inc();
    stats.upstream_rq_pending_active.inc();
    this.#waiters.push(waiter);
    // A pool without any connection may always make one: its waiters could not be served otherwise.
    const has = this.#busy.size + this.#connecting.size > 0;
    if (this.#connecting.size >= this.#waiters.length) return;
    if (connections.available || !has) {
      if (!connections.available) stats.upstream_cx_overflow.inc();
      this.#connect();
    } else stats.upstream_cx_overflow.inc();
  }

  /** The waiter wants no connection any more. */
  cancel(waiter: PoolWaiter): void {
    const at = this.#waiters.indexOf(waiter);
    if (at < 0) return;
    this.#waiters.splice(at, 1);
    this.#pendingDone();
  }

  /** Closes what is idle, now and from now on. */
  drain(): void {
    this.#draining = true;
    this.closeIdle();
  }

  closeIdle(): void {
    for (const connection of this.#idle) connection.wire.destroy();
  }

  /** Closes everything. */
  close(): void {
    this.drain();
    for (const attempt of this.#connecting) attempt.giveUp();
    for (const connection of this.#busy) connection.wire.destroy();
    this.#failWaiters('connect failure', 'cluster removed');
  }

  onReusable(connection: HttpConnection): void {
    this.#busy.delete(connection);
    this.#requestDone();
    const { requestsPerConnectionMax } = this.#options;
    if (requestsPerConnectionMax > 0 && connection.exchanges >= requestsPerConnectionMax) {
      this.#options.stats.upstream_cx_max_requests.inc();
      this.#idle.push(connection);
      connection.wire.destroy();
      return;
    }
    const waiter = this.#draining ? undefined : this.#waiters.shift();
    if (waiter !== undefined) {
      this.#pendingDone();
      this.#hand(waiter, connection);
      return;
    }
    connection.idleSinceMs = this.#options.nowMs();
    this.#idle.push(connection);
    if (this.#draining) connection.wire.destroy();
    else if (this.armedIndex < 0 && this.#options.idleTimeoutMs > 0) {
      this.#options.deadlines.arm(this, connection.idleSinceMs + this.#options.idleTimeoutMs);
    }
  }

  onGone(connection: HttpConnection): void {
    const at = this.#idle.indexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
    if (this.#busy.delete(connection)) {
      this.#requestDone();
      this.#options.stats.upstream_cx_destroy_with_active_rq.inc();
    }
    this.#connectionDone();
    this.#serveWaiters();
  }

  /** Closes what has been idle for too long; the oldest stand first. */
  onDue(nowMs: number): void {
    const { idleTimeoutMs, deadlines, stats } = this.#options;
    for (const connection of this.#idle) {
      const dueMs = connection.idleSinceMs + idleTimeoutMs;
      if (dueMs > nowMs) {
        deadlines.arm(this, dueMs);
        return;
      }
      stats.upstream_cx_idle_timeout.inc();
      connection.wire.destroy();
    }
  }

  #takeIdle(): HttpConnection | undefined {
    for (;;) {
      const connection = this.#idle.pop();
      if (connection === undefined) return undefined;
      // One that is being closed leaves by onGone.
      if (!connection.wire.destroyed) return connection;
    }
  }

  #hand(waiter: PoolWaiter, connection: HttpConnection): void {
    const { requests } = this.#limits;
    const { stats } = this.#options;
    if (!requests.available) {
      this.#idle.push(connection);
      stats.upstream_rq_pending_overflow.inc();
      waiter.onPoolFailure('overflow', '');
      return;
    }
    requests.acquire();
    this.#busy.add(connection);
    const hostStats = this.#host.stats;
    hostStats.rqTotal++;
    hostStats.rqActive++;
    stats.upstream_rq_total.inc();
    stats.upstream_rq_active.inc();
    waiter.onPoolReady(connection);
  }

  #requestDone(): void {
    this.#limits.requests.release();
    this.#host.stats.rqActive--;
    this.#options.stats.upstream_rq_active.dec();
  }

  #pendingDone(): void {
    this.#limits.pendingRequests.release();
    this.#options.stats.upstream_rq_pending_active.dec();
  }

  #connectionDone(): void {
    this.#limits.connections.release();
    this.#host.stats.cxActive--;
    const { stats } = this.#options;
    stats.upstream_cx_active.dec();
    stats.upstream_cx_destroy.inc();
  }

  #connect(): void {
    const { stats } = this.#options;
    this.#limits.connections.acquire();
    const hostStats = this.#host.stats;
    hostStats.cxTotal++;
    hostStats.cxActive++;
    stats.upstream_cx_total.inc();
    stats.upstream_cx_http1_total.inc();
    stats.upstream_cx_active.inc();
    const attempt = new ConnectAttempt(this.#host, this.#options, {
      onConnected: (wire) => {
        this.#connecting.delete(attempt);
        this.#options.onConnectResult(this.#host, undefined);
        const connection = new HttpConnection(wire, this.#host, this);
        wire.setHandler(connection);
        wire.resume();
        this.#busy.add(connection);
        // As if it had just finished a request, so that one path hands connections out.
        this.#limits.requests.acquire();
        this.#host.stats.rqActive++;
        stats.upstream_rq_active.inc();
        this.onReusable(connection);
      },
      onFailed: (failure, details) => {
        this.#connecting.delete(attempt);
        this.#connectionDone();
        this.#host.stats.cxConnectFail++;
        stats.upstream_cx_connect_fail.inc();
        if (failure === 'connect timeout') stats.upstream_cx_connect_timeout.inc();
        this.#options.onConnectResult(this.#host, failure);
        // As Envoy: a host that cannot be reached fails all who wait for it, so that they can go elsewhere.
        this.#failWaiters(failure, details);
      },
    });
    this.#connecting.add(attempt);
    attempt.start();
  }

  #failWaiters(failure: PoolFailure, details: string): void {
    for (const waiter of this.#waiters.splice(0)) {
      this.#pendingDone();
      this.#options.stats.upstream_rq_pending_failure_eject.inc();
      waiter.onPoolFailure(failure, details);
    }
  }

  /** A connection went away while requests wait: make another in its place. */
  #serveWaiters(): void {
    while (this.#connecting.size < this.#waiters.length) {
      const has = this.#busy.size + this.#connecting.size > 0;
      if (!this.#limits.connections.available && has) return;
      this.#connect();
    }
  }
}
