// A group of upstream hosts with its balancer, limits and connection pools: Envoy's Cluster at work.
import type { Clock, Timer } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import type { Random } from '../../base/random.ts';
import type { Cluster } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { Deadlines } from '../io/deadlines.ts';
import type { SocketAddress } from '../io/socket-address.ts';
import { socketAddress } from '../io/socket-address.ts';
import type { Wire } from '../io/wire.ts';
import type { CodecStats } from '../http2/codec-stats.ts';
import { codecStats } from '../http2/codec-stats.ts';
import type { StatsScope } from '../stats/stats.ts';
import type { ResourceLimits } from './circuit-breakers.ts';
import { compileCircuitBreakers } from './circuit-breakers.ts';
import type { ClusterSettings } from './cluster-config.ts';
import { readClusterConfig } from './cluster-config.ts';
import type { ClusterStats } from './cluster-stats.ts';
import { clusterStats } from './cluster-stats.ts';
import type { EndpointUpdate } from './host.ts';
import { Host, noLocality } from './host.ts';
import { ConnectAttempt } from './connect-attempt.ts';
import type { ConnectionPool, PoolOptions } from './connection-pool.ts';
import { HttpPool } from './http-pool.ts';
import { Http2Pool } from './http2-pool.ts';
import { LoadBalancer } from './load-balancer.ts';
import { OutlierDetector } from './outlier.ts';

/** Finds clusters by name at request time; undefined = no such cluster now (503, flag NC). */
export interface ClusterLookup {
  get(name: string): UpstreamCluster | undefined;
}

export interface ClusterContext {
  readonly clock: Clock;
  readonly random: Random;
  /** The scope `cluster.<name>.`. */
  readonly stats: StatsScope;
  readonly logger: Logger;
}

/** What a balancer may take into account. */
export interface PickContext {
  /** The connection's original destination, for ORIGINAL_DST clusters. */
  readonly destination: SocketAddress | undefined;
  /** Hosts that a retry should avoid; tried up to `avoidAttempts` times. */
  readonly triedHosts?: readonly Host[] | undefined;
  readonly avoidAttempts?: number | undefined;
  /** Priorities that were tried; where the others have nobody, they are forgotten. */
  readonly triedPriorities?: Set<number> | undefined;
  /** For RING_HASH and MAGLEV: asked once, and only by them; undefined: chance decides. */
  readonly hash?: (() => bigint | undefined) | undefined;
}

export type TcpFailure = 'no_healthy_host' | 'overflow' | 'connect_failure' | 'connect_timeout';

/** A plain connection for tcp_proxy. */
export interface UpstreamTcpConnection {
  /** Not flowing; the holder sets its handler. */
  readonly wire: Wire;
  readonly host: Host;
  /** To be called once, when the holder is done with the wire: counts and limits are given back. */
  release(): void;
}

export interface TcpConnectHandler {
  onConnected(connection: UpstreamTcpConnection): void;
  /** `reason` is the text for UPSTREAM_TRANSPORT_FAILURE_REASON; may be called within `connectTcp`. */
  onFailed(failure: TcpFailure, reason: string, host: Host | undefined): void;
}

/** Makes a cluster from an Envoy Cluster. Throws ConfigError for what this proxy does not do. */
export function createCluster(config: Cluster, context: ClusterContext): UpstreamCluster {
  return new UpstreamCluster(config, context, readClusterConfig(config));
}

/**
 * Hosts come from outside: whoever resolves or receives them calls setHosts. An ORIGINAL_DST cluster makes
 * its hosts from the connections' destinations. Use `createCluster`.
 */
export class UpstreamCluster {
  readonly name: string;
  readonly config: Cluster;
  readonly stats: ClusterStats;
  readonly limits: { readonly default: ResourceLimits; readonly high: ResourceLimits };
  readonly outlier: OutlierDetector | undefined;
  readonly #settings: ClusterSettings;
  readonly #scope: StatsScope;
  #http2Stats: CodecStats | undefined;
  readonly #deadlines: Deadlines;
  readonly #balancer: LoadBalancer;
  readonly #poolOptions: PoolOptions;
  #hosts: readonly Host[] = [];
  readonly #byAddress = new Map<string, Host>();
  /** Gone from the cluster, but with connections that still work. */
  readonly #leaving = new Set<Host>();
  #overprovisioningPercent = 140;
  #cleanup: Timer | undefined;
  #draining = false;

  constructor(config: Cluster, context: ClusterContext, settings: ClusterSettings) {
    this.name = config.name;
    this.config = config;
    this.#settings = settings;
    this.#scope = context.stats;
    this.stats = clusterStats(context.stats);
    this.limits = compileCircuitBreakers(config.circuitBreakers, context.stats);
    this.#deadlines = new Deadlines(context.clock);
    this.#balancer = new LoadBalancer({ ...settings, random: context.random });
    this.outlier =
      settings.outlier === undefined
        ? undefined
        : new OutlierDetector(settings.outlier, {
            clock: context.clock,
            random: context.random,
            stats: context.stats,
            hosts: () => this.#hosts,
            onChange: () => this.#rebuild(),
          });
    this.#poolOptions = {
      ...settings,
      stats: this.stats,
      deadlines: this.#deadlines,
      nowMs: () => context.clock.monotonicMs(),
      onConnectResult: (host, failure) => {
        if (failure !== undefined) this.outlier?.onLocalOriginFailure(host);
      },
    };
    if (settings.originalDestination) {
      this.#cleanup = context.clock.every(settings.cleanupIntervalMs, () => this.#forgetIdleDestinations());
    }
  }

  /** All hosts of all priorities, removed ones not included. */
  get hosts(): readonly Host[] {
    return this.#hosts;
  }

  /** Replaces the hosts; those whose address stays keep their objects. */
  setHosts(endpoints: readonly EndpointUpdate[], overprovisioningPercent = 140): void {
    const hosts: Host[] = [];
    const kept = new Set<Host>();
    for (const endpoint of endpoints) {
      const key = endpoint.address.text;
      let host = this.#byAddress.get(key);
      // The same address twice: the first entry counts.
      if (host !== undefined && kept.has(host)) continue;
      if (host === undefined) {
        host = new Host(endpoint.address);
        this.#byAddress.set(key, host);
      }
      kept.add(host);
      host.removed = false;
      host.hostname = endpoint.hostname;
      host.weight = Math.max(1, endpoint.weight);
      host.health = endpoint.health;
      host.priority = endpoint.priority;
      host.locality = endpoint.locality;
      host.localityWeight = endpoint.localityWeight;
      host.metadata = endpoint.metadata;
      hosts.push(host);
    }
    for (const host of this.#hosts) if (!kept.has(host)) this.#removeHost(host);
    if (this.#settings.closeConnectionsOnHostSetChange) {
      for (const host of hosts) for (const pool of host.pools) pool?.closeIdle();
    }
    this.#hosts = hosts;
    this.#overprovisioningPercent = overprovisioningPercent;
    this.stats.membership_change.inc();
    this.#rebuild();
  }

  /** The next host by the cluster's policy; undefined when there is none that may be used. */
  pickHost(context: PickContext): Host | undefined {
    if (this.#settings.originalDestination) return this.#destinationHost(context.destination);
    const hash = this.#balancer.hashes ? context.hash?.() : undefined;
    let host = this.#pick(context.triedPriorities, hash, 0);
    const tried = context.triedHosts;
    if (tried === undefined || tried.length === 0) return host;
    for (let attempt = 0; attempt < (context.avoidAttempts ?? 1); attempt++) {
      if (host === undefined || !tried.includes(host)) break;
      host = this.#pick(context.triedPriorities, hash, attempt + 1);
    }
    return host;
  }

  #pick(
    triedPriorities: Set<number> | undefined,
    hash: bigint | undefined,
    attempt: number,
  ): Host | undefined {
    const balancer = this.#balancer;
    if (triedPriorities !== undefined && triedPriorities.size > 0) {
      const host = balancer.pickOutside(triedPriorities, hash, attempt);
      if (host !== undefined) return host;
      triedPriorities.clear();
    }
    return balancer.hashes ? balancer.pickByHash(hash, attempt) : balancer.pick();
  }

  /** Whether requests go on as HTTP/2; `downstreamHttp2`: so they came. */
  usesHttp2(downstreamHttp2: boolean): boolean {
    const { protocol } = this.#settings;
    return protocol === 'http2' || (protocol === 'downstream' && downstreamHttp2);
  }

  /** Whether trailers pass over HTTP/1.1: Envoy's codec drops them unless `enable_trailers` is set. */
  get http1Trailers(): boolean {
    return this.#settings.http1Trailers;
  }

  /** The connections to `host` for requests of a routing priority. */
  poolOf(host: Host, highPriority: boolean, http2: boolean): ConnectionPool {
    const index = (highPriority ? 2 : 0) + (http2 ? 1 : 0);
    const existing = host.pools[index];
    if (existing !== undefined) return existing;
    const limits = highPriority ? this.limits.high : this.limits.default;
    const pool = http2
      ? new Http2Pool(host, this.#poolOptions, limits, this.#settings.http2, this.#codecStats())
      : new HttpPool(host, this.#poolOptions, limits);
    host.pools[index] = pool;
    return pool;
  }

  #codecStats(): CodecStats {
    this.#http2Stats ??= codecStats(this.#scope);
    return this.#http2Stats;
  }

  /** Picks a host and connects within connect_timeout. Returns a function that gives the attempt up. */
  connectTcp(context: PickContext, handler: TcpConnectHandler): () => void {
    const { stats } = this;
    const host = this.pickHost(context);
    if (host === undefined) {
      stats.upstream_cx_none_healthy.inc();
      handler.onFailed('no_healthy_host', '', undefined);
      return () => {};
    }
    const { connections } = this.limits.default;
    if (!connections.available) {
      stats.upstream_cx_overflow.inc();
      handler.onFailed('overflow', '', host);
      return () => {};
    }
    connections.acquire();
    host.stats.cxTotal++;
    host.stats.cxActive++;
    stats.upstream_cx_total.inc();
    stats.upstream_cx_active.inc();
    const release = (): void => {
      connections.release();
      host.stats.cxActive--;
      stats.upstream_cx_active.dec();
      stats.upstream_cx_destroy.inc();
    };
    let over = false;
    const attempt = new ConnectAttempt(host, this.#poolOptions, {
      onConnected: (wire) => {
        over = true;
        this.outlier?.onResponse(host, 200);
        // Envoy counts a connection of tcp_proxy as one request of the cluster.
        host.stats.rqTotal++;
        stats.upstream_rq_total.inc();
        handler.onConnected({ wire, host, release });
      },
      onFailed: (failure, details) => {
        release();
        host.stats.cxConnectFail++;
        stats.upstream_cx_connect_fail.inc();
        if (over) return;
        over = true;
        if (failure === 'connect timeout') stats.upstream_cx_connect_timeout.inc();
        this.outlier?.onLocalOriginFailure(host);
        handler.onFailed(
          failure === 'connect timeout' ? 'connect_timeout' : 'connect_failure',
          details,
          host,
        );
      },
    });
    attempt.start();
    return () => {
      if (over) return;
      over = true;
      attempt.giveUp();
    };
  }

  /** Closes idle connections and lets the busy ones finish: the cluster was replaced or removed. */
  drain(): void {
    this.#draining = true;
    this.#cleanup?.cancel();
    this.outlier?.close();
    for (const host of [...this.#hosts, ...this.#leaving]) for (const pool of host.pools) pool?.drain();
  }

  /** Closes everything now. */
  close(): void {
    this.drain();
    for (const host of [...this.#hosts, ...this.#leaving]) for (const pool of host.pools) pool?.close();
    this.#deadlines.close();
  }

  #rebuild(): void {
    const hosts = this.#hosts;
    this.#balancer.rebuild(hosts, this.#overprovisioningPercent);
    let healthy = 0;
    let degraded = 0;
    for (const host of hosts) {
      if (!host.usable) continue;
      if (host.health === 'DEGRADED') degraded++;
      else healthy++;
    }
    this.stats.membership_total.set(hosts.length);
    this.stats.membership_healthy.set(healthy);
    this.stats.membership_degraded.set(degraded);
    for (const host of this.#leaving) if (host.stats.cxActive === 0) this.#leaving.delete(host);
  }

  #removeHost(host: Host): void {
    host.removed = true;
    host.ejected = false;
    this.#byAddress.delete(host.address.text);
    this.outlier?.forget(host);
    for (const pool of host.pools) pool?.drain();
    if (host.stats.cxActive > 0) this.#leaving.add(host);
  }

  #destinationHost(destination: SocketAddress | undefined): Host | undefined {
    if (destination === undefined || this.#draining) return undefined;
    const { portOverride } = this.#settings;
    const address =
      portOverride === undefined ? destination : socketAddress(destination.address, portOverride);
    const existing = this.#byAddress.get(address.text);
    if (existing !== undefined) return existing;
    const host = new Host(address);
    host.locality = noLocality;
    this.#byAddress.set(address.text, host);
    this.#hosts = [...this.#hosts, host];
    this.stats.membership_change.inc();
    this.stats.membership_total.set(this.#hosts.length);
    this.stats.membership_healthy.set(this.#hosts.length);
    return host;
  }

  /** Hosts without connections since the last look are forgotten (Envoy's cleanup_interval). */
  #forgetIdleDestinations(): void {
    const idle = this.#hosts.filter((host) => host.stats.cxActive === 0);
    if (idle.length === 0) return;
    this.#hosts = this.#hosts.filter((host) => host.stats.cxActive > 0);
    for (const host of idle) this.#removeHost(host);
    this.stats.membership_change.inc();
    this.stats.membership_total.set(this.#hosts.length);
    this.stats.membership_healthy.set(this.#hosts.length);
  }
}
