// The clusters of this proxy: static ones from the bootstrap, dynamic ones from CDS. A new or changed
// cluster warms (waits for its first endpoints) while the old version serves.
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import type { Random } from '../../base/random.ts';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import { create } from '@bufbuild/protobuf';
import { typeUrlOf } from '../../api/any.ts';
import type { Cluster } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterSchema } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import type { ReceivedResource, ResourceConsumer, ResourceUpdate } from '../../xds/client/resource.ts';
import { ownBytes, peekName } from '../../xds/client/resource.ts';
import { ConfigError } from '../config-error.ts';
import type { SourceContext } from '../config-source/config-source.ts';
import type { StatsStore } from '../stats/stats.ts';
import type { ClusterContext, ClusterLookup, UpstreamCluster } from '../upstream/cluster.ts';
import type { Discovery } from './discovery.ts';
import { createDiscovery } from './discovery.ts';
import type { DnsResolver } from './dns.ts';
import type { EdsSubscriptions } from './eds.ts';
import { compileTransportSockets } from './transport-socket.ts';

/** One version of one cluster. */
export interface ClusterEntry {
  readonly name: string;
  readonly config: Cluster;
  readonly resource: Any;
  /** Undefined for static clusters. */
  readonly versionInfo: string | undefined;
  readonly lastUpdatedMs: number;
  readonly upstream: UpstreamCluster;
}

/** A version that was refused, for /config_dump. */
export interface FailedUpdate {
  readonly name: string;
  readonly resource: Any;
  readonly versionInfo: string;
  readonly lastAttemptMs: number;
  readonly details: string;
}

export interface ClusterManagerOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly stats: StatsStore;
  readonly resolver: DnsResolver;
  readonly eds: EdsSubscriptions;
  readonly sources: SourceContext;
  /** Makes the data path's part of a cluster; throws ConfigError. */
  readonly createCluster: (config: Cluster, context: ClusterContext) => UpstreamCluster;
}

const updateCounters = [
  'update_attempt',
  'update_success',
  'update_failure',
  'update_empty',
  'update_no_rebuild',
] as const;

interface Running extends ClusterEntry {
  readonly discovery: Discovery;
}

export class ClusterManager implements ClusterLookup, ResourceConsumer {
  readonly #options: ClusterManagerOptions;
  readonly #active = new Map<string, Running>();
  readonly #warming = new Map<string, Running>();
  readonly #failed = new Map<string, FailedUpdate>();
  readonly #waiting: { readonly isOver: () => boolean; readonly done: () => void }[] = [];
  /** Static clusters whose discovery starts with xDS. */
  #secondary: Running[] = [];
  #versionInfo = '';

  constructor(options: ClusterManagerOptions) {
    this.#options = options;
    const scope = options.stats.scope('cluster_manager');
    for (const name of ['cluster_added', 'cluster_modified', 'cluster_removed', 'cluster_updated']) {
      scope.counter(name);
    }
  }

  get(name: string): UpstreamCluster | undefined {
    return this.#active.get(name)?.upstream;
  }

  /** Adds the bootstrap's clusters and starts those that need no xDS. Throws ConfigError. */
  addStatic(configs: readonly Cluster[]): void {
    const made = configs.map((config, index) => {
      try {
        return this.#make(config, toBinary(ClusterSchema, config), undefined);
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
        throw new ConfigError(`static_resources.clusters[${index}] (${config.name})`, error.message);
      }
    });
    for (const cluster of made) {
      if (this.#warming.has(cluster.name) || this.#active.has(cluster.name)) {
        throw new ConfigError('static_resources.clusters', `two clusters are called ${cluster.name}`);
      }
      this.#warming.set(cluster.name, cluster);
      this.#options.stats.scope('cluster_manager').counter('cluster_added').inc();
      if (cluster.discovery.needsXds) this.#secondary.push(cluster);
      else this.#start(cluster);
    }
    this.#countClusters();
  }

  /** Starts the static clusters that `addStatic` held back. */
  startSecondary(): void {
    const held = this.#secondary;
    this.#secondary = [];
    for (const cluster of held) this.#start(cluster);
  }

  /** Calls `done` once no static cluster without xDS is warming. */
  whenPrimaryWarm(done: () => void): void {
    this.#await(() => ![...this.#warming.values()].some((cluster) => !cluster.discovery.needsXds), done);
  }

  /** Calls `done` once no cluster at all is warming. */
  whenWarm(done: () => void): void {
    this.#await(() => this.#warming.size === 0, done);
  }

  /** Of the last response that changed something. */
  get versionInfo(): string {
    return this.#versionInfo;
  }

  /** CDS. What is good of it is applied; what is bad is named in the result. */
  onUpdate({ resources, removed, versionInfo }: ResourceUpdate): readonly string[] {
    const { eds, logger } = this.#options;
    const errors: string[] = [];
    const named = new Set<string>();
    const counts = { applied: 0, removed: 0 };
    eds.pause();
    try {
      for (const resource of resources) this.#applyOne(resource, named, errors, counts);
      const gone = removed ?? this.#names().filter((name) => !named.has(name));
      for (const name of gone) if (this.#remove(name)) counts.removed++;
    } finally {
      eds.resume();
    }
    if (counts.applied > 0 || counts.removed > 0) this.#versionInfo = versionInfo;
    const scope = this.#options.stats.scope('cluster_manager').scope('cds');
    // Envoy counts what brought something new and nothing bad.
    const reloads = counts.applied > 0 && errors.length === 0 ? 1 : 0;
    scope.counter('config_reload').add(reloads);
    if (reloads > 0) scope.gauge('config_reload_time_ms').set(this.#options.clock.now());
    this.#countClusters();
    logger.info(
      `cds: ${resources.length} clusters, ${counts.applied} added or changed, ${counts.removed} removed, ${errors.length} rejected`,
    );
    this.#checkWaiting();
    return errors;
  }

  /** What is in force. */
  active(): readonly ClusterEntry[] {
    return [...this.#active.values()];
  }

  warming(): readonly ClusterEntry[] {
    return [...this.#warming.values()];
  }

  failed(): readonly FailedUpdate[] {
    return [...this.#failed.values()];
  }

  /** Ends everything: no cluster is found afterwards. */
  close(): void {
    for (const cluster of [...this.#active.values(), ...this.#warming.values()]) {
      cluster.discovery.stop();
      cluster.upstream.close();
    }
    this.#active.clear();
    this.#warming.clear();
  }

  #applyOne(
    resource: ReceivedResource,
    named: Set<string>,
    errors: string[],
    counts: { applied: number },
  ): void {
    let name = peekName(resource.bytes) ?? resource.name ?? '';
    let { bytes } = resource;
    if (!named.has(name) && this.#isUnchanged(name, resource.bytes)) {
      named.add(name);
      this.#failed.delete(name);
      return;
    }
    try {
      bytes = ownBytes(resource.bytes);
      const config = fromBinary(ClusterSchema, bytes);
      name = config.name;
      if (name === '') throw new ConfigError('name', 'is required');
      if (named.has(name)) throw new ConfigError('name', `duplicate cluster ${name} found`);
      named.add(name);
      if (this.#apply(config, bytes, resource.version)) counts.applied++;
      this.#failed.delete(name);
    } catch (error) {
      const details = (error as Error).message;
      // What was there under this name stays.
      named.add(name);
      errors.push(`Cluster ${name}: ${details}`);
      this.#failed.set(name, {
        name,
        resource: toAny(bytes),
        versionInfo: resource.version,
        lastAttemptMs: this.#options.clock.now(),
        details,
      });
    }
  }

  /** Most of a CDS response is what it was before: this spares decoding it. */
  #isUnchanged(name: string, bytes: Uint8Array): boolean {
    const latest = this.#warming.get(name) ?? this.#active.get(name);
    return latest?.versionInfo !== undefined && Buffer.compare(latest.resource.value, bytes) === 0;
  }

  /** Returns false when nothing changed. Throws ConfigError. */
  #apply(config: Cluster, bytes: Uint8Array, versionInfo: string): boolean {
    const { name } = config;
    const active = this.#active.get(name);
    const warming = this.#warming.get(name);
    if ((active ?? warming)?.versionInfo === undefined && (active ?? warming) !== undefined) {
      throw new ConfigError('name', `${name} is a static cluster of the bootstrap and cannot be replaced`);
    }
    const latest = warming ?? active;
    if (latest !== undefined && Buffer.compare(latest.resource.value, bytes) === 0) return false;
    const stats = this.#options.stats.scope('cluster_manager');
    const cluster = this.#make(config, bytes, versionInfo);
    if (warming !== undefined) this.#discard(warming);
    stats.counter(latest === undefined ? 'cluster_added' : 'cluster_modified').inc();
    if (active !== undefined && Buffer.compare(active.resource.value, bytes) === 0) {
      // Back to what still serves.
      this.#discard(cluster);
      this.#warming.delete(name);
      return true;
    }
    this.#warming.set(name, cluster);
    try {
      this.#start(cluster);
    } catch (error) {
      this.#warming.delete(name);
      this.#discard(cluster);
      throw error;
    }
    return true;
  }

  #make(config: Cluster, bytes: Uint8Array, versionInfo: string | undefined): Running {
    const { clock, random, logger, stats, resolver, eds, sources, createCluster } = this.#options;
    const checkTransportSocket = compileTransportSockets(config);
    const scope = stats
      .scope('cluster')
      .scope(config.altStatName === '' ? config.name : config.altStatName, 'envoy_cluster_name');
    // Every cluster has these, as in Envoy; only those that are updated count in them.
    for (const name of updateCounters) scope.counter(name);
    const discovery = createDiscovery(config, {
      clock,
      random,
      logger,
      resolver,
      eds,
      sources,
      stats: scope,
      checkTransportSocket,
    });
    const upstream = createCluster(
      dataPathConfig(config, versionInfo === undefined && sources.grpcClusters.has(config.name)),
      {
        clock,
        random,
        logger,
        stats: scope,
      },
    );
    return {
      name: config.name,
      config,
      resource: toAny(bytes),
      versionInfo,
      lastUpdatedMs: clock.now(),
      upstream,
      discovery,
    };
  }

  #start(cluster: Running): void {
    cluster.discovery.start(
      (endpoints, overprovisioningPercent) => cluster.upstream.setHosts(endpoints, overprovisioningPercent),
      () => this.#promote(cluster),
    );
  }

  /** Warm: it takes the place of the version that served. */
  #promote(cluster: Running): void {
    if (this.#warming.get(cluster.name) !== cluster) return;
    const before = this.#active.get(cluster.name);
    this.#warming.delete(cluster.name);
    this.#active.set(cluster.name, cluster);
    if (before !== undefined) {
      before.discovery.stop();
      before.upstream.drain();
    }
    this.#countClusters();
    this.#checkWaiting();
  }

  /** All that CDS has ever said of a name: what is in force, what warms, what was refused. */
  #names(): readonly string[] {
    return [...new Set([...this.#active.keys(), ...this.#warming.keys(), ...this.#failed.keys()])];
  }

  #remove(name: string): boolean {
    this.#failed.delete(name);
    const active = this.#active.get(name);
    const warming = this.#warming.get(name);
    if ((active ?? warming)?.versionInfo === undefined) return false;
    if (warming !== undefined) this.#discard(warming);
    if (active !== undefined) {
      active.discovery.stop();
      active.upstream.drain();
      this.#options.stats
        .scope('cluster')
        .scope(active.config.altStatName || name, 'envoy_cluster_name')
        .remove();
    }
    this.#active.delete(name);
    this.#warming.delete(name);
    this.#options.stats.scope('cluster_manager').counter('cluster_removed').inc();
    return true;
  }

  #discard(cluster: Running): void {
    cluster.discovery.stop();
    cluster.upstream.close();
  }

  #countClusters(): void {
    const scope = this.#options.stats.scope('cluster_manager');
    scope.gauge('active_clusters').set(this.#active.size);
    scope.gauge('warming_clusters').set(this.#warming.size);
  }

  #await(isOver: () => boolean, done: () => void): void {
    this.#waiting.push({ isOver, done });
    this.#checkWaiting();
  }

  #checkWaiting(): void {
    const over = this.#waiting.filter((waiting) => waiting.isOver());
    for (const waiting of over) {
      const index = this.#waiting.indexOf(waiting);
      if (index < 0) continue;
      this.#waiting.splice(index, 1);
      waiting.done();
    }
  }
}

/**
 * What the data path decides by. Transport sockets are decided here; xDS always speaks gRPC through a client of
 * its own, so that it does not matter whether the data path could speak HTTP/2.
 */
function dataPathConfig(config: Cluster, isGrpcCluster: boolean): Cluster {
  const data: Cluster = { ...config, transportSocketMatches: [] };
  delete data.transportSocket;
  if (isGrpcCluster) {
    delete data.http2ProtocolOptions;
    data.typedExtensionProtocolOptions = {};
  }
  return data;
}

function toAny(bytes: Uint8Array): Any {
  return create(AnySchema, { typeUrl: typeUrlOf(ClusterSchema), value: bytes });
}
