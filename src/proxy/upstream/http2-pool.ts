// The HTTP/2 connections to one host: one, until it is full, and then another.
import type { Deadline } from '../io/deadlines.ts';
import { Http2ClientConnection } from '../http2/client-connection.ts';
import type { Http2ConnectionOwner } from '../http2/client-connection.ts';
import type { CodecStats } from '../http2/codec-stats.ts';
import type { Http2Options } from '../http2/options.ts';
import type { ResourceLimits } from './circuit-breakers.ts';
import { ConnectAttempt } from './connect-attempt.ts';
import type { ConnectionPool, PoolOptions, PoolWaiter } from './connection-pool.ts';
import type { Host } from './host.ts';
import { PendingRequests } from './pending-requests.ts';
import { PoolAccounts } from './pool-accounts.ts';

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
  readonly #waiters: PendingRequests;
  readonly #accounts: PoolAccounts;
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
    this.#waiters = new PendingRequests(limits, options.stats);
    this.#accounts = new PoolAccounts(host, limits, options.stats);
    this.#http2 = http2;
    this.#codec = codec;
  }

  request(waiter: PoolWaiter): void {
    const ready = this.#waiters.length === 0 ? this.#ready() : undefined;
    if (ready !== undefined) {
      this.#hand(waiter, ready);
      return;
    }
    if (!this.#waiters.add(waiter)) return;
    this.#connectForWaiters();
  }

  cancel(waiter: PoolWaiter): void {
    this.#waiters.remove(waiter);
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
    this.#waiters.fail('connect failure', 'cluster removed');
  }

  onRequestDone(connection: Http2ClientConnection): void {
    this.#accounts.requestDone();
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
    this.#accounts.connectionDone();
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
    const { stats, requestsPerConnectionMax } = this.#options;
    if (!this.#accounts.hasPlace) {
      this.#accounts.overflow(waiter);
      return;
    }
    this.#accounts.requestStarted();
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
      this.#hand(this.#waiters.next()!, ready);
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
    this.#accounts.connectionStarted();
    this.#options.stats.upstream_cx_http2_total.inc();
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
        this.#accounts.connectFailed(failure);
        this.#options.onConnectResult(this.#host, failure);
        // As Envoy: a host that cannot be reached fails all who wait for it, so that they can go elsewhere.
        this.#waiters.fail(failure, details);
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
}
