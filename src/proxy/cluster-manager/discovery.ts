// Where the hosts of a cluster come from. A discovery runs from the moment its cluster is made until the
// cluster is replaced or removed, and says once when the first answer is there.
import type { Clock, Timer } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import type { Random } from '../../base/random.ts';
import type { Cluster } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import {
  Cluster_DiscoveryType,
  Cluster_DnsLookupFamily,
  Cluster_EdsClusterConfigSchema,
} from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { readConfigSource } from '../config-source/config-source.ts';
import type { SourceContext } from '../config-source/config-source.ts';
import { ConfigError } from '../config-error.ts';
import { socketAddress } from '../io/socket-address.ts';
import { durationMs, refuseFields } from '../refuse-fields.ts';
import type { StatsScope } from '../stats/stats.ts';
import type { EndpointUpdate } from '../upstream/host.ts';
import type { DnsFamily, DnsResolver } from './dns.ts';
import type { EdsSubscriptions, EdsWatch } from './eds.ts';
import type { Assignment, EndpointTarget } from './endpoints.ts';
import { fixedEndpoints, readAssignment } from './endpoints.ts';
import type { TransportSocketCheck } from './transport-socket.ts';

export type SetHosts = (endpoints: readonly EndpointUpdate[], overprovisioningPercent?: number) => void;

export interface Discovery {
  /** EDS clusters are initialized after all others, because EDS may need them (inventory D1.06). */
  readonly needsXds: boolean;
  /** `onReady` is called once, perhaps within the call. */
  start(setHosts: SetHosts, onReady: () => void): void;
  stop(): void;
}

export interface DiscoveryContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly resolver: DnsResolver;
  readonly eds: EdsSubscriptions;
  readonly sources: SourceContext;
  /** `cluster.<name>.` */
  readonly stats: StatsScope;
  readonly checkTransportSocket: TransportSocketCheck;
}

/** Throws ConfigError for what is malformed or not supported. */
export function createDiscovery(config: Cluster, context: DiscoveryContext): Discovery {
  const discoveryType = config.clusterDiscoveryType;
  if (discoveryType.case === 'clusterType') {
    throw new ConfigError('cluster_type', `${discoveryType.value.name} is not supported; use type`);
  }
  const type = discoveryType.value ?? Cluster_DiscoveryType.STATIC;
  if (type === Cluster_DiscoveryType.EDS) return edsDiscovery(config, context);
  if (config.edsClusterConfig !== undefined) {
    throw new ConfigError('eds_cluster_config', 'is only allowed in a cluster of type EDS');
  }
  if (type === Cluster_DiscoveryType.ORIGINAL_DST) {
    if (config.loadAssignment !== undefined) {
      throw new ConfigError('load_assignment', 'is not allowed in a cluster of type ORIGINAL_DST');
    }
    return { needsXds: false, start: (_, onReady) => onReady(), stop: () => {} };
  }
  const assignment = readAssignment(config.loadAssignment, 'load_assignment', context.checkTransportSocket);
  if (type === Cluster_DiscoveryType.STATIC) return staticDiscovery(assignment);
  if (config.dnsResolvers.length > 0) throw new ConfigError('dns_resolvers', 'is not supported');
  if (config.typedDnsResolverConfig !== undefined) {
    throw new ConfigError('typed_dns_resolver_config', 'is not supported');
  }
  const logical = type === Cluster_DiscoveryType.LOGICAL_DNS;
  if (logical && assignment.targets.length !== 1) {
    throw new ConfigError(
      'load_assignment',
      `a LOGICAL_DNS cluster must have exactly one endpoint, not ${assignment.targets.length}`,
    );
  }
  return new DnsDiscovery(config, assignment, logical, context);
}

function staticDiscovery(assignment: Assignment): Discovery {
  const endpoints = fixedEndpoints(assignment, 'load_assignment');
  return {
    needsXds: false,
    start: (setHosts, onReady) => {
      setHosts(endpoints, assignment.overprovisioningPercent);
      onReady();
    },
    stop: () => {},
  };
}

function edsDiscovery(config: Cluster, context: DiscoveryContext): Discovery {
  const { clock, eds, stats, checkTransportSocket } = context;
  const edsConfig = config.edsClusterConfig;
  if (edsConfig?.edsConfig === undefined) {
    throw new ConfigError('eds_cluster_config.eds_config', 'is required in a cluster of type EDS');
  }
  refuseFields(
    Cluster_EdsClusterConfigSchema,
    edsConfig,
    'eds_cluster_config',
    new Set(['eds_config', 'service_name']),
  );
  const source = readConfigSource(edsConfig.edsConfig, 'eds_cluster_config.eds_config', context.sources);
  const serviceName = edsConfig.serviceName === '' ? config.name : edsConfig.serviceName;
  const noRebuild = stats.counter('update_no_rebuild');
  let watch: EdsWatch | undefined;
  let timer: Timer | undefined;
  return {
    needsXds: true,
    start(setHosts, onReady) {
      let waiting = true;
      const ready = (): void => {
        if (!waiting) return;
        waiting = false;
        timer?.cancel();
        onReady();
      };
      if (source.initialFetchTimeoutMs > 0) {
        timer = clock.after(source.initialFetchTimeoutMs, () => {
          watch?.timedOut();
          ready();
        });
      }
      watch = eds.watch(source, serviceName, {
        stats,
        onAssignment: (message) => {
          const assignment = readAssignment(message, '', checkTransportSocket);
          setHosts(fixedEndpoints(assignment, 'endpoints'), assignment.overprovisioningPercent);
          ready();
        },
        onUnchanged: () => noRebuild.inc(),
        onMissing: ready,
      });
    },
    stop: () => {
      timer?.cancel();
      watch?.stop();
    },
  };
}

const defaultRefreshMs = 5000;

/** STRICT_DNS: every address of every name. LOGICAL_DNS: the first address of the one name. */
class DnsDiscovery implements Discovery {
  readonly needsXds = false;
  readonly #context: DiscoveryContext;
  readonly #assignment: Assignment;
  readonly #logical: boolean;
  readonly #family: DnsFamily;
  readonly #respectTtl: boolean;
  readonly #refreshMs: number;
  readonly #failureFirstMs: number;
  readonly #failureMaxMs: number;
  /** Of each target, its addresses now. */
  readonly #addresses: (readonly string[])[];
  readonly #timers = new Set<Timer>();
  #stopped = false;
  #setHosts: SetHosts = () => {};
  #onReady: (() => void) | undefined;

  constructor(config: Cluster, assignment: Assignment, logical: boolean, context: DiscoveryContext) {
    this.#context = context;
    this.#assignment = assignment;
    this.#logical = logical;
    this.#family = families[config.dnsLookupFamily];
    this.#respectTtl = config.respectDnsTtl;
    this.#refreshMs = Math.max(1, durationMs(config.dnsRefreshRate, defaultRefreshMs));
    const failure = config.dnsFailureRefreshRate;
    this.#failureFirstMs = durationMs(failure?.baseInterval, this.#refreshMs);
    this.#failureMaxMs = durationMs(
      failure?.maxInterval,
      failure === undefined ? this.#refreshMs : this.#failureFirstMs * 10,
    );
    this.#addresses = assignment.targets.map((target) => (target.isName ? [] : [target.address]));
  }

  start(setHosts: SetHosts, onReady: () => void): void {
    this.#setHosts = setHosts;
    this.#onReady = onReady;
    const names = this.#assignment.targets.filter((target) => target.isName);
    if (names.length < this.#assignment.targets.length) this.#publish();
    if (names.length === 0) {
      this.#ready();
      return;
    }
    this.#assignment.targets.forEach((target, index) => {
      if (target.isName) void this.#resolve(target, index, this.#failureFirstMs);
    });
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) timer.cancel();
  }

  async #resolve(target: EndpointTarget, index: number, failureMs: number): Promise<void> {
    const { resolver, stats, logger, random } = this.#context;
    stats.counter('update_attempt').inc();
    let delayMs = this.#refreshMs;
    let nextFailureMs = this.#failureFirstMs;
    try {
      const answer = await resolver.resolve(target.address, this.#family, this.#respectTtl);
      if (this.#stopped) return;
      stats.counter('update_success').inc();
      if (answer.addresses.length === 0) stats.counter('update_empty').inc();
      this.#take(index, this.#logical ? answer.addresses.slice(0, 1) : answer.addresses);
      if (this.#respectTtl && answer.ttlMs !== undefined && answer.ttlMs > 0) delayMs = answer.ttlMs;
    } catch (error) {
      if (this.#stopped) return;
      // The last answer stays in force: a resolver that is away must not empty the cluster.
      stats.counter('update_failure').inc();
      logger.debug(`DNS for ${target.address}: ${(error as Error).message}`);
      delayMs = Math.max(1, this.#failureFirstMs === failureMs ? failureMs : random() * failureMs);
      nextFailureMs = Math.min(failureMs * 2, Math.max(this.#failureMaxMs, this.#failureFirstMs));
    }
    this.#ready();
    const timer = this.#context.clock.after(delayMs, () => {
      this.#timers.delete(timer);
      void this.#resolve(target, index, nextFailureMs);
    });
    this.#timers.add(timer);
  }

  #take(index: number, addresses: readonly string[]): void {
    const sorted = addresses.length > 1 ? [...addresses].sort((a, b) => (a < b ? -1 : 1)) : addresses;
    const before = this.#addresses[index] ?? [];
    if (before.length === sorted.length && before.every((address, i) => address === sorted[i])) {
      this.#context.stats.counter('update_no_rebuild').inc();
      return;
    }
    this.#addresses[index] = sorted;
    this.#publish();
  }

  #publish(): void {
    const endpoints = this.#assignment.targets.flatMap((target, index) =>
      (this.#addresses[index] ?? []).map((address) => ({
        ...target.update,
        hostname: target.update.hostname === '' && target.isName ? target.address : target.update.hostname,
        address: socketAddress(address, target.port),
      })),
    );
    this.#setHosts(endpoints, this.#assignment.overprovisioningPercent);
  }

  /** After the first answer of any name, good or bad, as in Envoy. */
  #ready(): void {
    const onReady = this.#onReady;
    this.#onReady = undefined;
    onReady?.();
  }
}

const families: Readonly<Record<Cluster_DnsLookupFamily, DnsFamily>> = {
  [Cluster_DnsLookupFamily.AUTO]: 'AUTO',
  [Cluster_DnsLookupFamily.V4_ONLY]: 'V4_ONLY',
  [Cluster_DnsLookupFamily.V6_ONLY]: 'V6_ONLY',
  [Cluster_DnsLookupFamily.V4_PREFERRED]: 'V4_PREFERRED',
  [Cluster_DnsLookupFamily.ALL]: 'ALL',
};
