// The data plane as one process: what is made in which order, what serves when, and how it ends.
//
// Order (inventory D1.06): admin; static clusters that need no xDS; ADS: CDS, then EDS until all clusters are
// warm; LDS, then RDS until all listeners are warm; only then connections are accepted.
import type { Clock } from '../../base/clock.ts';
import type { Logger, LoggerRegistry } from '../../base/logger.ts';
import type { Random } from '../../base/random.ts';
import { typeUrlOf } from '../../api/any.ts';
import { ClusterSchema } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { ListenerSchema } from '../../api/gen/envoy/config/listener/v3/listener_pb.js';
import type { GrpcTransportOptions } from '../../xds/client/grpc-transport.ts';
import type { XdsTransport } from '../../xds/client/transport.ts';
import { compileAccessLogs } from '../access-log/access-log.ts';
import { FileSinks } from '../access-log/file-sink.ts';
import type { ProxyOptions } from '../bootstrap/options.ts';
import { ClusterManager } from '../cluster-manager/cluster-manager.ts';
import type { ClusterManagerOptions } from '../cluster-manager/cluster-manager.ts';
import type { DnsResolver } from '../cluster-manager/dns.ts';
import { EdsSubscriptions } from '../cluster-manager/eds.ts';
import type { ConfigSource } from '../config-source/config-source.ts';
import { SubscriptionFactory } from '../config-source/subscription-factory.ts';
import type { WholeType } from '../config-source/whole-type.ts';
import { subscribeWhole } from '../config-source/whole-type.ts';
import { ListenerManager } from '../listener/listener-manager.ts';
import type { CreateHttpConnectionManager } from '../listener/filter-chain.ts';
import type { OriginalDestination } from '../listener/listener-filters.ts';
import { RouteManager } from '../listener/route-manager.ts';
import { SecretManager } from '../tls/secret-manager.ts';
import type { RouteManagerOptions } from '../listener/route-manager.ts';
import { StatsStore } from '../stats/stats.ts';

/** Envoy's names of a server's states. */
export type ServerState = 'PRE_INITIALIZING' | 'INITIALIZING' | 'LIVE' | 'DRAINING';

export interface ProxyServerOptions {
  readonly config: ProxyOptions;
  readonly clock: Clock;
  readonly random: Random;
  readonly loggers: LoggerRegistry;
  readonly resolver: DnsResolver;
  readonly originalDestination: OriginalDestination;
  readonly hostname: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** How long the connections of a replaced or removed listener may live on. */
  readonly drainTimeMs: number;
  /** Opens streams to management servers. */
  readonly createTransport: (options: GrpcTransportOptions) => XdsTransport;
  readonly createCluster: ClusterManagerOptions['createCluster'];
  readonly createRouteReader: RouteManagerOptions['createReader'];
  readonly createHttpConnectionManager: CreateHttpConnectionManager;
}

const pollMs = 50;

export class ProxyServer {
  readonly options: ProxyServerOptions;
  readonly stats = new StatsStore();
  readonly clusters: ClusterManager;
  readonly listeners: ListenerManager;
  readonly routes: RouteManager;
  readonly secrets: SecretManager;
  readonly eds: EdsSubscriptions;
  readonly sinks: FileSinks;
  readonly startedMs: number;
  readonly #logger: Logger;
  readonly #subscriptions: SubscriptionFactory;
  readonly #startedMonotonicMs: number;
  #state: ServerState = 'PRE_INITIALIZING';
  #healthFailed = false;
  #connectionId = 0;
  #onLive: (() => void)[] = [];

  constructor(options: ProxyServerOptions) {
    const { config, clock, random, loggers, resolver } = options;
    this.options = options;
    this.startedMs = clock.now();
    this.#startedMonotonicMs = clock.monotonicMs();
    this.#logger = loggers.logger('main');
    this.sinks = new FileSinks(this.stats, clock);
    this.eds = new EdsSubscriptions(clock);
    this.clusters = new ClusterManager({
      clock,
      random,
      logger: loggers.logger('upstream'),
      stats: this.stats,
      resolver,
      eds: this.eds,
      sources: config.sources,
      createCluster: options.createCluster,
    });
    this.routes = new RouteManager({
      clock,
      logger: loggers.logger('router'),
      stats: this.stats,
      createReader: options.createRouteReader,
    });
    const logContext = {
      sinks: this.sinks,
      hostname: options.hostname,
      environment: options.environment,
      random,
    };
    this.secrets = new SecretManager({
      clock,
      logger: loggers.logger('secret'),
      stats: this.stats,
      sources: config.sources,
      fixed: config.secrets,
    });
    this.listeners = new ListenerManager({
      clock,
      random,
      logger: loggers.logger('http'),
      stats: this.stats,
      clusters: this.clusters,
      routes: this.routes,
      secrets: this.secrets,
      sources: config.sources,
      accessLogs: (configs) => compileAccessLogs(configs, logContext),
      createHttpConnectionManager: options.createHttpConnectionManager,
      originalDestination: options.originalDestination,
      nodeCluster: config.node?.cluster ?? '',
      nodeId: config.node?.id ?? '',
      nextConnectionId: () => this.#connectionId++,
      drainTimeMs: options.drainTimeMs,
    });
    this.#subscriptions = new SubscriptionFactory({
      ads: config.ads,
      node: config.node,
      clock,
      random,
      logger: loggers.logger('config'),
      stats: this.stats.root,
      createTransport: options.createTransport,
      pickAddress: (cluster) =>
        this.clusters.get(cluster)?.pickHost({ destination: undefined })?.address.text,
    });
  }

  get state(): ServerState {
    return this.#state === 'LIVE' && this.#healthFailed ? 'DRAINING' : this.#state;
  }

  get uptimeMs(): number {
    return this.options.clock.monotonicMs() - this.#startedMonotonicMs;
  }

  /** Rejects with ConfigError for a static configuration that cannot be; then nothing is left running. */
  async start(): Promise<void> {
    const { config } = this.options;
    for (const field of config.withoutEffect)
      this.#logger.info(`bootstrap: ${field} has no effect in this proxy`);
    try {
      this.clusters.addStatic(config.clusters);
      await this.listeners.addStatic(config.listeners);
    } catch (error) {
      this.close();
      throw error;
    }
    this.clusters.whenPrimaryWarm(() => this.#startXds());
  }

  /** Throws ConfigError as `start` would, without binding anything. Ends the server. */
  validate(): void {
    const { config } = this.options;
    try {
      this.clusters.addStatic(config.clusters);
      this.listeners.check(config.listeners);
    } finally {
      this.close();
    }
  }

  /** Calls `done` when connections are accepted; at once if they are. */
  whenLive(done: () => void): void {
    if (this.#state === 'LIVE') done();
    else this.#onLive.push(done);
  }

  /** /healthcheck/fail: `/ready` says no, so that whoever sends traffic here stops; what comes is served. */
  setHealth(healthy: boolean): void {
    this.#healthFailed = !healthy;
  }

  /** /drain_listeners: after `stopAfterMs` (undefined: never) nothing new is accepted. */
  drainListeners(options: { readonly inboundOnly: boolean; readonly stopAfterMs: number | undefined }): void {
    const stop = (): void => this.listeners.stopAccepting(options.inboundOnly);
    if (options.stopAfterMs === undefined) this.listeners.drainConnections(options.inboundOnly);
    else if (options.stopAfterMs === 0) stop();
    else {
      this.listeners.drainConnections(options.inboundOnly);
      this.options.clock.after(options.stopAfterMs, stop);
    }
  }

  /**
   * Accepts nothing new, lets what runs end for at most `timeoutMs`, then calls `done`. All that is left is
   * closed by then.
   */
  drainAndClose(timeoutMs: number, done: () => void): void {
    const { clock } = this.options;
    this.#state = 'DRAINING';
    this.#subscriptions.stop();
    this.listeners.stopAccepting(false);
    const deadlineMs = clock.monotonicMs() + timeoutMs;
    const poll = (): void => {
      if (this.listeners.activeConnections() > 0 && clock.monotonicMs() < deadlineMs) {
        clock.after(pollMs, poll);
        return;
      }
      this.close();
      done();
    };
    poll();
  }

  /** Ends everything now. */
  close(): void {
    this.#state = 'DRAINING';
    this.#subscriptions.stop();
    this.listeners.close();
    this.clusters.close();
    this.sinks.flushSync();
  }

  /** Brings computed gauges up to date, for a reader of the stats. */
  refreshGauges(): void {
    this.listeners.refreshGauges();
    const memory = process.memoryUsage();
    const scope = this.stats.scope('server');
    scope.gauge('uptime').set(Math.floor(this.uptimeMs / 1000));
    scope.gauge('live').set(this.state === 'LIVE' ? 1 : 0);
    scope.gauge('state').set(stateNumbers[this.state]);
    scope.gauge('concurrency').set(1);
    scope.gauge('total_connections').set(this.listeners.activeConnections());
    scope.gauge('parent_connections').set(0);
    scope.gauge('hot_restart_epoch').set(0);
    scope.gauge('days_until_first_cert_expiring').set(0xffffffff);
    scope.gauge('memory_allocated').set(memory.heapUsed + memory.external);
    scope.gauge('memory_heap_size').set(memory.heapTotal);
    scope.gauge('memory_physical_size').set(memory.rss);
  }

  #startXds(): void {
    const { cds } = this.options.config;
    const clustersReady = (): void => this.clusters.whenWarm(() => this.#startListeners());
    const { stats } = this;
    this.#subscribe(cds, {
      typeUrl: typeUrlOf(ClusterSchema),
      consumer: this.clusters,
      stats: stats.scope('cluster_manager').scope('cds'),
      onFirst: clustersReady,
    });
    this.secrets.start(this.#subscriptions);
    this.eds.start(this.#subscriptions);
    this.clusters.startSecondary();
    this.#subscriptions.start();
  }

  #startListeners(): void {
    if (this.#state !== 'PRE_INITIALIZING') return;
    this.#state = 'INITIALIZING';
    this.#logger.info('cm init: all clusters initialized');
    const { lds } = this.options.config;
    this.#subscribe(lds, {
      typeUrl: typeUrlOf(ListenerSchema),
      consumer: this.listeners,
      stats: this.stats.scope('listener_manager').scope('lds'),
      onFirst: () => this.listeners.whenWarm(() => this.#startWorkers()),
    });
    this.routes.start(this.#subscriptions);
  }

  #subscribe(source: ConfigSource | undefined, whole: WholeType): void {
    const { clock } = this.options;
    if (source === undefined) whole.onFirst();
    else subscribeWhole(source, whole, { clock, logger: this.#logger, factory: this.#subscriptions });
  }

  #startWorkers(): void {
    if (this.#state !== 'INITIALIZING') return;
    this.listeners.startWorkers();
    this.#state = 'LIVE';
    this.stats.scope('server').histogram('initialization_time_ms').record(this.uptimeMs);
    this.stats.scope('listener_manager').gauge('workers_started').set(1);
    this.#logger.info(`all dependencies initialized, starting workers after ${Math.round(this.uptimeMs)} ms`);
    const waiting = this.#onLive;
    this.#onLive = [];
    for (const done of waiting) done();
  }
}

/** envoy.admin.v3.ServerInfo.State */
const stateNumbers: Readonly<Record<ServerState, number>> = {
  LIVE: 0,
  DRAINING: 1,
  PRE_INITIALIZING: 2,
  INITIALIZING: 3,
};
