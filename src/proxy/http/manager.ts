// The HTTP connection manager at work: what its connections and streams share.
import { networkInterfaces } from 'node:os';
import { Deadlines } from '../io/deadlines.ts';
import type { DownstreamConnection, FilterContext, NetworkFilter, RouteSlot } from '../network/filter.ts';
import type { CompiledRoutes } from '../router/compiled.ts';
import type { ClusterLookup } from '../upstream/cluster.ts';
import type { ManagerStats } from './manager-stats.ts';
import { managerStats } from './manager-stats.ts';
import { Http2ServerConnection } from '../http2/server-connection.ts';
import type { CodecStats } from '../http2/codec-stats.ts';
import { codecStats } from '../http2/codec-stats.ts';
import { ServerConnection } from './server-connection.ts';
import type { ManagerSettings } from './settings.ts';

/** A connection of either protocol. */
export interface ManagedConnection {
  readonly protocol: 'http1' | 'http2';
  /** No further requests. */
  drain(): void;
  /** Closes now. */
  destroy(): void;
}

export class HttpManager implements NetworkFilter {
  readonly settings: ManagerSettings;
  readonly stats: ManagerStats;
  readonly http2Stats: CodecStats;
  readonly deadlines: Deadlines;
  readonly clusters: ClusterLookup;
  /** This machine's address, which stands in x-forwarded-for for clients on loopback, as in Envoy. */
  readonly localAddress: string;
  readonly context: FilterContext;
  readonly #slot: RouteSlot;
  readonly #ownsSlot: boolean;
  readonly #connections = new Set<ManagedConnection>();
  #draining = false;
  #released = false;
  #dateSecond = -1;
  #date = '';

  /** `slot` is given back on close if `ownsSlot`. */
  constructor(settings: ManagerSettings, context: FilterContext, slot: RouteSlot, ownsSlot: boolean) {
    this.settings = settings;
    this.context = context;
    this.stats = managerStats(
      context.stats.scope('http').scope(settings.statPrefix, 'envoy_http_conn_manager_prefix'),
    );
    this.http2Stats = codecStats(context.stats);
    this.deadlines = new Deadlines(context.clock);
    this.clusters = context.clusters;
    this.localAddress = ownAddress();
    this.#slot = slot;
    this.#ownsSlot = ownsSlot;
  }

  get activeConnections(): number {
    return this.#connections.size;
  }

  accept(downstream: DownstreamConnection): void {
    const { stats } = this;
    stats.downstream_cx_total.inc();
    stats.downstream_cx_active.inc();
    if (this.settings.codec === 'http2') {
      this.#startHttp2(downstream, downstream.peeked);
      return;
    }
    stats.downstream_cx_http1_total.inc();
    stats.downstream_cx_http1_active.inc();
    const connection = new ServerConnection(this, downstream);
    this.#connections.add(connection);
    connection.start();
    if (this.#draining) connection.drain();
  }

  /** A connection that was taken for HTTP/1.1 began with HTTP/2's preface: `first` is all that was read of it. */
  becomeHttp2(connection: ServerConnection, first: Buffer): void {
    this.#connections.delete(connection);
    this.stats.downstream_cx_http1_total.add(-1);
    this.stats.downstream_cx_http1_active.dec();
    this.#startHttp2(connection.downstream, first);
  }

  #startHttp2(downstream: DownstreamConnection, first: Buffer | undefined): void {
    const { stats } = this;
    stats.downstream_cx_http2_total.inc();
    stats.downstream_cx_http2_active.inc();
    const connection = new Http2ServerConnection(this, downstream);
    this.#connections.add(connection);
    connection.start(first);
    if (this.#draining) connection.drain();
  }

  drain(): void {
    this.#draining = true;
    for (const connection of this.#connections) connection.drain();
    this.#release();
  }

  close(): void {
    this.#draining = true;
    for (const connection of this.#connections) connection.destroy();
    this.#release();
  }

  /** A connection is gone. */
  forget(connection: ManagedConnection): void {
    this.#connections.delete(connection);
    this.stats.downstream_cx_active.dec();
    if (connection.protocol === 'http2') this.stats.downstream_cx_http2_active.dec();
    else this.stats.downstream_cx_http1_active.dec();
    if (this.#draining) this.#release();
  }

  /** The routes of this moment. */
  routes(): CompiledRoutes | undefined {
    return this.#slot.current;
  }

  nowMs(): number {
    return this.context.clock.monotonicMs();
  }

  nowWallMs(): number {
    return this.context.clock.now();
  }

  random(): number {
    return this.context.random();
  }

  /** The date header of this second. */
  dateText(): string {
    const now = this.context.clock.now();
    const second = Math.floor(now / 1000);
    if (second !== this.#dateSecond) {
      this.#dateSecond = second;
      this.#date = new Date(now).toUTCString();
    }
    return this.#date;
  }

  #release(): void {
    // Routes stay subscribed for the connections that are left.
    if (this.#released || this.#connections.size > 0) return;
    this.#released = true;
    this.deadlines.close();
    if (this.#ownsSlot) this.context.routes.release(this.#slot);
  }
}

let knownOwnAddress: string | undefined;

/** Asked once: the system takes its time to answer, and there is a manager for each filter chain. */
function ownAddress(): string {
  knownOwnAddress ??= findOwnAddress();
  return knownOwnAddress;
}

function findOwnAddress(): string {
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { address, family, internal } of addresses ?? []) {
      if (!internal && family === 'IPv4') return address;
    }
  }
  return '127.0.0.1';
}
