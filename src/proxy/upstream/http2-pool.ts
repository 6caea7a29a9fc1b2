// The HTTP/2 connections to one host: one, until it is full, and then another.
import type { Deadline } from '../io/deadlines.ts';
import { Http2ClientConnection } from '../http2/client-connection.ts';
import type { Http2ConnectionOwner } from '../http2/client-connection.ts';
import type { CodecStats } from '../http2/codec-stats.ts';
import type { Http2Options } from '../http2/options.ts';
import type { ResourceLimits } from './circuit-breakers.ts';
import { ConnectAttempt } from './connect-attempt.ts';
import type { ConnectionPool, PoolFailure, PoolOptions, PoolWaiter } from './connection-pool.ts';
import type { Host } from './host.ts';

export class Http2Pool implements ConnectionPool, Http2ConnectionOwner, Deadline {
  dueMs = 0;
  armedIndex = -1;
  readonly #host: Host;
  readonly #options: PoolOptions;
  readonly #limits: ResourceLimits;
  readonly #http2: Http2Options;
  readonly #codec: CodecStats;
  readonly #connections: Http2ClientConnection[] = [];
  readonly #connecting = new Set<ConnectAttempt>();
  readonly #waiters: PoolWaiter[] = [];
  #draining = false;

  constructor(
    host: Host,
    options: PoolOptions,
    limits: ResourceLimits,
    http2: Http2Options,
    codec: CodecStats,
  ) {
    this.#host = host;
    this.#options = options;
    this.#limits = limits;
    this.#http2 = http2;
    this.#codec = codec;
  }

  request(waiter: PoolWaiter): void {
    const ready = this.#waiters.length === 0 ? this.#ready() : undefined;
    if (ready !== undefined) {
      this.#hand(waiter, ready);
      return;
    }
    const { pendingRequests } = this.#limits;
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
    this.#connectForWaiters();
  }

  cancel(waiter: PoolWaiter): void {
    const at = this.#waiters.indexOf(waiter);
    if (at < 0) return;
    this.#waiters.splice(at, 1);
    this.#pendingDone();
  }

  drain(): void {
    this.#draining = true;
    for (const connection of this.#connections) connection.drain();
  }

  closeIdle(): void {
    for (const connection of this.#connections) if (connection.activeRequests === 0) connection.drain();
  }

  close(): void {
    this.#draining = true;
    for (const attempt of this.#connecting) attempt.giveUp();
    for (const connection of this.#connections) connection.destroy();
    this.#failWaiters('connect failure', 'cluster removed');
  }

  onRequestDone(connection: Http2ClientConnection): void {
    this.#limits.requests.release();
    this.#host.stats.rqActive--;
    this.#options.stats.upstream_rq_active.dec();
    if (connection.activeRequests === 0 && !connection.draining) this.#becomeIdle(connection);
    this.#serveWaiters();
  }

  onCapacity(connection: Http2ClientConnection): void {
    if (connection.draining) this.#options.stats.upstream_cx_close_notify.inc();
    this.#serveWaiters();
  }

  onGone(connection: Http2ClientConnection): void {
    const at = this.#connections.indexOf(connection);
    if (at >= 0) this.#connections.splice(at, 1);
    this.#connectionDone();
    this.#serveWaiters();
  }

  /** Closes what has been idle for too long. */
  onDue(nowMs: number): void {
    const { idleTimeoutMs, deadlines, stats } = this.#options;
    let nextMs = Infinity;
    for (const connection of this.#connections) {
      if (connection.activeRequests > 0 || connection.draining) continue;
      const dueMs = connection.idleSinceMs + idleTimeoutMs;
      if (dueMs > nowMs) nextMs = Math.min(nextMs, dueMs);
      else {
        stats.upstream_cx_idle_timeout.inc();
        connection.drain();
      }
    }
    if (nextMs !== Infinity) deadlines.arm(this, nextMs);
  }

  /** A connection that takes another request. */
  #ready(): Http2ClientConnection | undefined {
    for (const connection of this.#connections) if (connection.capacity > 0) return connection;
    return undefined;
  }

  #hand(waiter: PoolWaiter, connection: Http2ClientConnection): void {
    const { requests } = this.#limits;
    const { stats, requestsPerConnectionMax } = this.#options;
    if (!requests.available) {
      stats.upstream_rq_pending_overflow.inc();
      waiter.onPoolFailure('overflow', '');
      return;
    }
    requests.acquire();
    const hostStats = this.#host.stats;
    hostStats.rqTotal++;
    hostStats.rqActive++;
    stats.upstream_rq_total.inc();
    stats.upstream_rq_active.inc();
    const stream = connection.newRequest();
    if (requestsPerConnectionMax > 0 && connection.requests >= requestsPerConnectionMax) {
      stats.upstream_cx_max_requests.inc();
      connection.draining = true;
    }
    waiter.onPoolReady(stream);
  }

  #serveWaiters(): void {
    while (this.#waiters.length > 0) {
      const ready = this.#ready();
      if (ready === undefined) break;
      const waiter = this.#waiters.shift()!;
      this.#pendingDone();
      this.#hand(waiter, ready);
    }
    this.#connectForWaiters();
  }

  /** Makes as many connections as those who wait will need, within the limit. */
  #connectForWaiters(): void {
    const { requestsPerConnectionMax, stats } = this.#options;
    const each =
      requestsPerConnectionMax > 0
        ? Math.min(requestsPerConnectionMax, this.#http2.concurrentStreamsMax)
        : this.#http2.concurrentStreamsMax;
    while (this.#connecting.size * each < this.#waiters.length) {
      // A host that allows no streams would only be asked again and again (CVE-2021-32780).
      if (this.#connections.some((connection) => connection.isShut)) return;
      const { connections } = this.#limits;
      if (!connections.available) {
        stats.upstream_cx_overflow.inc();
        // A pool without any connection may always make one: its waiters could not be served otherwise.
        if (this.#connections.length + this.#connecting.size > 0) return;
      }
      this.#connect();
    }
  }

  #connect(): void {
    const { stats } = this.#options;
    this.#limits.connections.acquire();
    const hostStats = this.#host.stats;
    hostStats.cxTotal++;
    hostStats.cxActive++;
    stats.upstream_cx_total.inc();
    stats.upstream_cx_http2_total.inc();
    stats.upstream_cx_active.inc();
    const attempt = new ConnectAttempt(this.#host, this.#options, {
      onConnected: (wire) => {
        this.#connecting.delete(attempt);
        this.#options.onConnectResult(this.#host, undefined);
        const connection = new Http2ClientConnection(
          wire,
          this.#host,
          this.#http2,
          this.#codec,
          this,
          this.#options,
        );
        this.#connections.push(connection);
        connection.start();
        this.#serveWaiters();
        if (this.#draining) connection.drain();
        else if (connection.activeRequests === 0) this.#becomeIdle(connection);
      },
      onFailed: (failure, details) => {
        this.#connecting.delete(attempt);
        this.#connectionDone();
        hostStats.cxConnectFail++;
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

  #becomeIdle(connection: Http2ClientConnection): void {
    const { idleTimeoutMs, deadlines, nowMs } = this.#options;
    connection.idleSinceMs = nowMs();
    if (idleTimeoutMs > 0 && this.armedIndex < 0) deadlines.arm(this, connection.idleSinceMs + idleTimeoutMs);
  }

  #failWaiters(failure: PoolFailure, details: string): void {
    for (const waiter of this.#waiters.splice(0)) {
      this.#pendingDone();
      this.#options.stats.upstream_rq_pending_failure_eject.inc();
      waiter.onPoolFailure(failure, details);
    }
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
}
