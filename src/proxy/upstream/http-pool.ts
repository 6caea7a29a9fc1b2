// The HTTP/1.1 connections to one host: idle ones are used again, the last one returned first.
import type { Deadline } from '../io/deadlines.ts';
import type { ResourceLimits } from './circuit-breakers.ts';
import { ConnectAttempt } from './connect-attempt.ts';
import type { ConnectionPool, PoolOptions, PoolWaiter } from './connection-pool.ts';
import type { Host } from './host.ts';
import type { ConnectionOwner } from './http-connection.ts';
import { HttpConnection } from './http-connection.ts';
import { PendingRequests } from './pending-requests.ts';
import { PoolAccounts } from './pool-accounts.ts';

export class HttpPool implements ConnectionPool, ConnectionOwner, Deadline {
  dueMs = 0;
  armedIndex = -1;
  readonly #host: Host;
  readonly #options: PoolOptions;
  readonly #limits: ResourceLimits;
  readonly #idle: HttpConnection[] = [];
  readonly #busy = new Set<HttpConnection>();
  readonly #connecting = new Set<ConnectAttempt>();
  readonly #waiters: PendingRequests;
  readonly #accounts: PoolAccounts;
  #draining = false;

  constructor(host: Host, options: PoolOptions, limits: ResourceLimits) {
    this.#host = host;
    this.#options = options;
    this.#limits = limits;
    this.#waiters = new PendingRequests(limits, options.stats);
    this.#accounts = new PoolAccounts(host, limits, options.stats);
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
    if (!this.#waiters.add(waiter)) return;
    const { connections } = this.#limits;
    const { stats } = this.#options;
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
    this.#waiters.remove(waiter);
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
    this.#waiters.fail('connect failure', 'cluster removed');
  }

  onReusable(connection: HttpConnection): void {
    this.#busy.delete(connection);
    this.#accounts.requestDone();
    const { requestsPerConnectionMax } = this.#options;
    if (requestsPerConnectionMax > 0 && connection.exchanges >= requestsPerConnectionMax) {
      this.#options.stats.upstream_cx_max_requests.inc();
      this.#idle.push(connection);
      connection.wire.destroy();
      return;
    }
    const waiter = this.#draining ? undefined : this.#waiters.next();
    if (waiter !== undefined) {
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
      this.#accounts.requestDone();
      this.#options.stats.upstream_cx_destroy_with_active_rq.inc();
    }
    this.#accounts.connectionDone();
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
    if (!this.#accounts.hasPlace) {
      this.#idle.push(connection);
      this.#accounts.overflow(waiter);
      return;
    }
    this.#busy.add(connection);
    this.#accounts.requestStarted();
    waiter.onPoolReady(connection);
  }

  #connect(): void {
    this.#accounts.connectionStarted();
    this.#options.stats.upstream_cx_http1_total.inc();
    const attempt = new ConnectAttempt(this.#host, this.#options, {
      onConnected: (wire) => {
        this.#connecting.delete(attempt);
        this.#options.onConnectResult(this.#host, undefined);
        const connection = new HttpConnection(wire, this.#host, this);
        wire.setHandler(connection);
        wire.resume();
        this.#busy.add(connection);
        // As if it had just finished a request, so that one path hands connections out.
        this.#accounts.placeTaken();
        this.onReusable(connection);
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

  /** A connection went away while requests wait: make another in its place. */
  #serveWaiters(): void {
    while (this.#connecting.size < this.#waiters.length) {
      const has = this.#busy.size + this.#connecting.size > 0;
      if (!this.#limits.connections.available && has) return;
      this.#connect();
    }
  }
}
