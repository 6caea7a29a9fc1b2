// tcp_proxy: joins a client's connection with one to a host of a cluster, both ways, with back-pressure and
// half-close. https://www.envoyproxy.io/docs/envoy/v1.33.0/configuration/listeners/network_filters/tcp_proxy_filter
import type { Timer } from '../../base/clock.ts';
import type {
  TcpProxy,
  TcpProxy_WeightedCluster_ClusterWeight,
} from '../../api/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js';
import {
  TcpProxySchema,
  TcpProxy_WeightedClusterSchema,
  TcpProxy_WeightedCluster_ClusterWeightSchema,
} from '../../api/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js';
import type { AccessLogger } from '../access-log/access-log.ts';
import { ConfigError } from '../config-error.ts';
import type { SocketAddress } from '../io/socket-address.ts';
import type { Wire, WireHandler } from '../io/wire.ts';
import { durationMs, refuseFields } from '../refuse-fields.ts';
import type { Counter, Gauge } from '../stats/stats.ts';
import { StreamInfo, flagBits } from '../stream-info.ts';
import type { TcpFailure, UpstreamTcpConnection } from '../upstream/cluster.ts';
import { xxhash64 } from '../upstream/xxhash64.ts';
import type { DownstreamConnection, FilterContext, NetworkFilter } from './filter.ts';
import { restoredDestination } from './filter.ts';

interface TcpProxyStats {
  readonly cxTotal: Counter;
  readonly cxNoRoute: Counter;
  readonly rxBytes: Counter;
  readonly txBytes: Counter;
  readonly idleTimeout: Counter;
  readonly maxDuration: Counter;
  readonly rxBuffered: Gauge;
  readonly txBuffered: Gauge;
  readonly flowControlPaused: Counter;
  readonly flowControlResumed: Counter;
}

const defaultIdleTimeoutMs = 3_600_000;

/** Throws ConfigError for what is not supported. */
export function createTcpProxy(config: TcpProxy, context: FilterContext): NetworkFilter {
  return new TcpProxyFilter(config, context);
}

class TcpProxyFilter implements NetworkFilter {
  readonly context: FilterContext;
  readonly stats: TcpProxyStats;
  readonly accessLog: AccessLogger;
  /** 0: never. */
  readonly idleTimeoutMs: number;
  /** 0: no limit. */
  readonly maxDurationMs: number;
  readonly maxConnectAttempts: number;
  /** Clusters that place connections by a key take the client's address for it. */
  readonly hashesSource: boolean;
  readonly #pickCluster: () => string;
  readonly #sessions = new Set<TcpSession>();

  constructor(config: TcpProxy, context: FilterContext) {
    refuseFields(TcpProxySchema, config, '', acceptedFields);
    if (config.statPrefix === '') throw new ConfigError('stat_prefix', 'is required');
    this.context = context;
    this.accessLog = context.accessLogs(config.accessLog);
    this.idleTimeoutMs = durationMs(config.idleTimeout, defaultIdleTimeoutMs);
    this.maxDurationMs = durationMs(config.maxDownstreamConnectionDuration, 0);
    this.maxConnectAttempts = config.maxConnectAttempts ?? 1;
    this.hashesSource = readHashPolicy(config);
    this.#pickCluster = compileClusterChoice(config, context.random);
    const scope = context.stats.scope('tcp').scope(config.statPrefix, 'envoy_tcp_prefix');
    this.stats = {
      cxTotal: scope.counter('downstream_cx_total'),
      cxNoRoute: scope.counter('downstream_cx_no_route'),
      rxBytes: scope.counter('downstream_cx_rx_bytes_total'),
      txBytes: scope.counter('downstream_cx_tx_bytes_total'),
      idleTimeout: scope.counter('idle_timeout'),
      maxDuration: scope.counter('max_downstream_connection_duration'),
      rxBuffered: scope.gauge('downstream_cx_rx_bytes_buffered'),
      txBuffered: scope.gauge('downstream_cx_tx_bytes_buffered'),
      flowControlPaused: scope.counter('downstream_flow_control_paused_reading_total'),
      flowControlResumed: scope.counter('downstream_flow_control_resumed_reading_total'),
    };
  }

  get activeConnections(): number {
    return this.#sessions.size;
  }

  accept(connection: DownstreamConnection): void {
    this.stats.cxTotal.inc();
    const session = new TcpSession(this, connection, this.#pickCluster(), () =>
      this.#sessions.delete(session),
    );
    this.#sessions.add(session);
    session.start();
  }

  /** Nothing in a byte stream says when it is idle: connections live until the listener is closed. */
  drain(): void {}

  close(): void {
    for (const session of this.#sessions) session.close();
  }
}

const acceptedFields = new Set([
  'stat_prefix',
  'cluster',
  'weighted_clusters',
  'idle_timeout',
  'access_log',
  'max_connect_attempts',
  'max_downstream_connection_duration',
  'hash_policy',
]);

/** Envoy has at most one policy here. */
function readHashPolicy({ hashPolicy }: TcpProxy): boolean {
  for (const [index, { policySpecifier }] of hashPolicy.entries())
    if (policySpecifier.case !== 'sourceIp')
      throw new ConfigError(`hash_policy[${index}]`, 'source_ip is supported');
  return hashPolicy.length > 0;
}

function compileClusterChoice(config: TcpProxy, random: () => number): () => string {
  const specifier = config.clusterSpecifier;
  if (specifier.case === 'cluster') {
    const name = specifier.value;
    return () => name;
  }
  if (specifier.case !== 'weightedClusters') {
    throw new ConfigError('cluster', 'is required, or weighted_clusters');
  }
  refuseFields(TcpProxy_WeightedClusterSchema, specifier.value, 'weighted_clusters', new Set(['clusters']));
  const { clusters } = specifier.value;
  clusters.forEach((entry, index) =>
    refuseFields(
      TcpProxy_WeightedCluster_ClusterWeightSchema,
      entry,
      `weighted_clusters.clusters[${index}]`,
      new Set(['name', 'weight']),
    ),
  );
  const total = clusters.reduce((sum, entry) => sum + entry.weight, 0);
  if (total === 0) throw new ConfigError('weighted_clusters.clusters', 'the weights add up to 0');
  return () => chooseByWeight(clusters, random() * total);
}

function chooseByWeight(clusters: readonly TcpProxy_WeightedCluster_ClusterWeight[], point: number): string {
  let left = point;
  for (const entry of clusters) {
    left -= entry.weight;
    if (left < 0) return entry.name;
  }
  return clusters.at(-1)?.name ?? '';
}

/** One client and one host. Both wires' handlers lead here; whichever ends last ends the session. */
class TcpSession {
  readonly #filter: TcpProxyFilter;
  readonly #connection: DownstreamConnection;
  readonly #clusterName: string;
  readonly #onOver: () => void;
  readonly #info = new StreamInfo();
  #upstream: UpstreamTcpConnection | undefined;
  #giveUp: (() => void) | undefined;
  #attempts = 0;
  #downstreamEnded = false;
  #upstreamEnded = false;
  #downstreamGone = false;
  #over = false;
  #lastActivityMs: number;
  #idleTimer: Timer | undefined;
  #durationTimer: Timer | undefined;

  constructor(
    filter: TcpProxyFilter,
    connection: DownstreamConnection,
    clusterName: string,
    onOver: () => void,
  ) {
    this.#filter = filter;
    this.#connection = connection;
    this.#clusterName = clusterName;
    this.#onOver = onOver;
    this.#lastActivityMs = filter.context.clock.monotonicMs();
  }

  start(): void {
    const { clock } = this.#filter.context;
    const connection = this.#connection;
    const info = this.#info;
    info.reset(clock.now(), connection.acceptedMs);
    info.connectionId = connection.id;
    info.downstreamLocalAddress = connection.localAddress;
    info.downstreamDirectLocalAddress = connection.directLocalAddress;
    info.downstreamRemoteAddress = connection.remoteAddress;
    info.downstreamDirectRemoteAddress = connection.remoteAddress;
    info.requestedServerName = connection.serverName;
    info.downstreamTls = connection.tls;
    connection.wire.setHandler(this.#downstreamHandler);
    if (this.#filter.maxDurationMs > 0) {
      this.#durationTimer = clock.after(this.#filter.maxDurationMs, () => {
        this.#filter.stats.maxDuration.inc();
        this.#info.responseFlags |= flagBits.DT;
        this.close();
      });
    }
    this.#armIdle();
    this.#connect();
  }

  /** Ends both sides now. */
  close(): void {
    if (this.#over) return;
    this.#connection.wire.destroy();
    this.#finish();
  }

  #connect(): void {
    const { clusters } = this.#filter.context;
    const cluster = clusters.get(this.#clusterName);
    this.#info.upstreamCluster = this.#clusterName;
    if (cluster === undefined) {
      this.#filter.stats.cxNoRoute.inc();
      this.#fail(flagBits.NC);
      return;
    }
    this.#attempts++;
    this.#info.attemptCount = this.#attempts;
    this.#giveUp = cluster.connectTcp(
      {
        destination: restoredDestination(this.#connection),
        hash: this.#filter.hashesSource ? () => xxhash64(this.#connection.remoteAddress.address) : undefined,
      },
      {
        onConnected: (upstream) => this.#onConnected(upstream),
        onFailed: (failure, reason, host) => this.#onFailed(failure, reason, host?.address),
      },
    );
  }

  #onConnected(upstream: UpstreamTcpConnection): void {
    this.#giveUp = undefined;
    if (this.#over) {
      upstream.wire.destroy();
      upstream.release();
      return;
    }
    this.#upstream = upstream;
    this.#info.upstreamHost = upstream.host.address;
    this.#info.upstreamLocalAddress = upstream.wire.localAddress;
    upstream.wire.setHandler(this.#upstreamHandler);
    const peeked = this.#connection.peeked;
    if (peeked !== undefined && peeked.length > 0) this.#forward(peeked, peeked.length);
    upstream.wire.resume();
    this.#connection.wire.resume();
  }

  #onFailed(failure: TcpFailure, reason: string, host: SocketAddress | undefined): void {
    this.#giveUp = undefined;
    if (this.#over) return;
    if (host !== undefined) this.#info.upstreamHost = host;
    const retried = failure === 'connect_failure' || failure === 'connect_timeout';
    if (retried && this.#attempts < this.#filter.maxConnectAttempts) {
      this.#connect();
      return;
    }
    if (reason !== '') this.#info.upstreamTransportFailureReason = reason;
    this.#fail(failureFlags[failure] | (retried && this.#filter.maxConnectAttempts > 1 ? flagBits.URX : 0));
  }

  #fail(flags: number): void {
    this.#info.responseFlags |= flags;
    this.#connection.wire.destroy();
    this.#finish();
  }

  #forward(buffer: Buffer, length: number): void {
    const upstream = this.#upstream;
    if (upstream === undefined) return;
    this.#filter.stats.rxBytes.add(length);
    this.#info.bytesReceived += length;
    if (!upstream.wire.writeBytes(length === buffer.length ? buffer : buffer.subarray(0, length))) {
      this.#pause(this.#connection.wire);
    }
  }

  #pause(wire: Wire): void {
    wire.pause();
    this.#filter.stats.flowControlPaused.inc();
  }

  readonly #downstreamHandler: WireHandler = {
    onBytes: (buffer, length) => {
      this.#touch();
      this.#forward(buffer, length);
    },
    onEnd: () => {
      this.#downstreamEnded = true;
      this.#upstream?.wire.end();
      this.#finishIfEnded();
    },
    onDrain: () => {
      this.#filter.stats.flowControlResumed.inc();
      this.#upstream?.wire.resume();
    },
    onClose: () => {
      this.#downstreamGone = true;
      if (!this.#over && !(this.#downstreamEnded && this.#upstreamEnded)) {
        this.#info.responseFlags |= this.#upstream === undefined ? flagBits.DC : 0;
      }
      this.#finish();
    },
  };

  readonly #upstreamHandler: WireHandler = {
    onBytes: (buffer, length) => {
      this.#touch();
      this.#filter.stats.txBytes.add(length);
      this.#info.bytesSent += length;
      const { wire } = this.#connection;
      if (!wire.writeBytes(length === buffer.length ? buffer : buffer.subarray(0, length))) {
        if (this.#upstream !== undefined) this.#pause(this.#upstream.wire);
      }
    },
    onEnd: () => {
      this.#upstreamEnded = true;
      this.#connection.wire.end();
      this.#finishIfEnded();
    },
    onDrain: () => {
      this.#filter.stats.flowControlResumed.inc();
      this.#connection.wire.resume();
    },
    onClose: (errorCode) => {
      if (this.#over) return;
      if (errorCode === 'ECONNRESET') this.#connection.wire.reset();
      // What was written to the client still goes out before its FIN.
      else this.#connection.wire.end();
      this.#upstreamEnded = true;
      if (errorCode !== undefined || this.#downstreamEnded) this.#finish();
      else this.#endAfterFlush();
    },
  };

  /** The host is gone: the client gets what is left, and nothing that it sends can go anywhere. */
  #endAfterFlush(): void {
    if (this.#connection.wire.bufferedBytes === 0) this.#connection.wire.destroy();
    this.#finish();
  }

  #finishIfEnded(): void {
    if (this.#downstreamEnded && this.#upstreamEnded) this.#finish();
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.#giveUp?.();
    this.#idleTimer?.cancel();
    this.#durationTimer?.cancel();
    const upstream = this.#upstream;
    if (upstream !== undefined) {
      // A clean end lets the last bytes leave; anything else does not wait.
      if (!(this.#downstreamEnded && this.#upstreamEnded) || this.#downstreamGone) {
        if (upstream.wire.bufferedBytes === 0) upstream.wire.destroy();
        else upstream.wire.end();
      }
      upstream.release();
    }
    this.#info.endMonotonicMs = this.#filter.context.clock.monotonicMs();
    this.#filter.accessLog.log(this.#info);
    this.#onOver();
  }

  #touch(): void {
    this.#lastActivityMs = this.#filter.context.clock.monotonicMs();
  }

  /** One timer that looks again when it was too early: nothing is armed for each read. */
  #armIdle(): void {
    const { idleTimeoutMs, context, stats } = this.#filter;
    if (idleTimeoutMs <= 0) return;
    const leftMs = this.#lastActivityMs + idleTimeoutMs - context.clock.monotonicMs();
    this.#idleTimer = context.clock.after(Math.max(1, leftMs), () => {
      if (context.clock.monotonicMs() < this.#lastActivityMs + idleTimeoutMs) {
        this.#armIdle();
        return;
      }
      stats.idleTimeout.inc();
      this.#info.connectionTerminationDetails = 'idle_timeout';
      this.close();
    });
  }
}

const failureFlags: Readonly<Record<TcpFailure, number>> = {
  no_healthy_host: flagBits.UH,
  overflow: flagBits.UO,
  connect_failure: flagBits.UF,
  connect_timeout: flagBits.UF,
};
