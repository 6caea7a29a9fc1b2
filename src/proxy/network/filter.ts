// Terminal network filters: what takes over an accepted connection once its filter chain is known.
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import type { Random } from '../../base/random.ts';
import type { AccessLog } from '../../api/gen/envoy/config/accesslog/v3/accesslog_pb.js';
import type { AccessLogger } from '../access-log/access-log.ts';
import type { SocketAddress } from '../io/socket-address.ts';
import type { Wire } from '../io/wire.ts';
import type { CompiledRoutes } from '../router/compiled.ts';
import type { StatsScope } from '../stats/stats.ts';
import type { TlsConnectionInfo } from '../tls/connection-info.ts';
import type { ClusterLookup } from '../upstream/cluster.ts';

export type TrafficDirection = 'UNSPECIFIED' | 'INBOUND' | 'OUTBOUND';

/** A connection that was accepted and matched to a filter chain. Its wire is not flowing. */
export interface DownstreamConnection {
  readonly id: number;
  readonly wire: Wire;
  /** What listener filters have read and not consumed; the filter handles it before the wire's bytes. */
  readonly peeked: Buffer | undefined;
  /** Where the client wanted to go: the original destination where it was restored. */
  readonly localAddress: SocketAddress;
  /** Where the connection arrived. */
  readonly directLocalAddress: SocketAddress;
  readonly remoteAddress: SocketAddress;
  readonly serverName: string | undefined;
  readonly applicationProtocols: readonly string[];
  readonly transportProtocol: 'raw_buffer' | 'tls';
  readonly trafficDirection: TrafficDirection;
  /** Undefined: the wire carries what the client sent, TLS or not. */
  readonly tls?: TlsConnectionInfo | undefined;
  /** Clock.monotonicMs at accept. */
  readonly acceptedMs: number;
}

/**
 * Where the client wanted to go before the connection was redirected here; undefined where nothing was
 * redirected. An ORIGINAL_DST cluster has no host then, as in Envoy: it would only reach this proxy again.
 */
export function restoredDestination(connection: DownstreamConnection): SocketAddress | undefined {
  const { localAddress, directLocalAddress } = connection;
  return localAddress.text === directLocalAddress.text ? undefined : localAddress;
}

export interface NetworkFilter {
  /** Takes the connection over: sets the wire's handler and lets it flow. Never throws. */
  accept(connection: DownstreamConnection): void;
  /** No more requests on existing connections: each closes once idle (HTTP/1.1: `connection: close`). */
  drain(): void;
  /** Closes all connections now. */
  close(): void;
  readonly activeConnections: number;
}

/** The current routes of one RDS name, exchanged as a whole by whoever subscribes. */
export interface RouteSlot {
  readonly name: string;
  /** Undefined until the first configuration came: requests then get 404. */
  readonly current: CompiledRoutes | undefined;
}

export interface RouteProvider {
  /** The slot of `name`, subscribing to it if it is new. The holder calls `release` when it is done. */
  acquire(name: string): RouteSlot;
  release(slot: RouteSlot): void;
}

/** What a network filter is given beside its own configuration. */
export interface FilterContext {
  readonly clusters: ClusterLookup;
  /** The scope in which the filter makes its own (`http.<stat_prefix>.`, `tcp.<stat_prefix>.`). */
  readonly stats: StatsScope;
  /** Compiles the filter's access logs into one logger. Throws ConfigError. */
  readonly accessLogs: (configs: readonly AccessLog[]) => AccessLogger;
  readonly routes: RouteProvider;
  /** The listener's `per_connection_buffer_limit_bytes` is already in the wires that it accepts. */
  readonly trafficDirection: TrafficDirection;
  /** `node.cluster` and `node.id` of the bootstrap, for headers that name this proxy. */
  readonly nodeCluster: string;
  readonly nodeId: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}
