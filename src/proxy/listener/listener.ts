// One version of one listener: compiled from its configuration, warmed, in service, drained.
import type { Clock, Timer } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import type { Random } from '../../base/random.ts';
import { create, equals } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import type { AccessLog } from '../../api/gen/envoy/config/accesslog/v3/accesslog_pb.js';
import { TrafficDirection as ProtoDirection } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import type { FilterChain } from '../../api/gen/envoy/config/listener/v3/listener_components_pb.js';
import type { Listener } from '../../api/gen/envoy/config/listener/v3/listener_pb.js';
import {
  AdditionalAddressSchema,
  ListenerSchema,
} from '../../api/gen/envoy/config/listener/v3/listener_pb.js';
import { FilterChainSchema } from '../../api/gen/envoy/config/listener/v3/listener_components_pb.js';
import { toBinary } from '@bufbuild/protobuf';
import type { AccessLogger } from '../access-log/access-log.ts';
import { readSocketAddress } from '../cluster-manager/endpoints.ts';
import { ConfigError } from '../config-error.ts';
import type { SourceContext } from '../config-source/config-source.ts';
import type { SocketAddress } from '../io/socket-address.ts';
import { socketAddress } from '../io/socket-address.ts';
import type { TrafficDirection } from '../network/filter.ts';
import { durationMs, refuseFields } from '../refuse-fields.ts';
import type { StatsScope, StatsStore } from '../stats/stats.ts';
import type { SecretManager } from '../tls/secret-manager.ts';
import { sslStats } from '../tls/stats.ts';
import type { ClusterLookup } from '../upstream/cluster.ts';
import { Acceptor, transportFailure } from './accepting.ts';
import type { BoundSocket } from './bound-sockets.ts';
import { compileChainMatcher } from './filter-chain-match.ts';
import type { ChainContext, CreateHttpConnectionManager, RunningChain } from './filter-chain.ts';
import { createChain } from './filter-chain.ts';
import type { InspectedConnection, OriginalDestination } from './listener-filters.ts';
import { compileListenerFilters } from './listener-filters.ts';
import type { RouteManager } from './route-manager.ts';

/** What listeners are made with. */
export interface ListenerContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly stats: StatsStore;
  readonly clusters: ClusterLookup;
  readonly routes: RouteManager;
  readonly secrets: SecretManager;
  readonly sources: SourceContext;
  readonly accessLogs: (configs: readonly AccessLog[]) => AccessLogger;
  readonly createHttpConnectionManager: CreateHttpConnectionManager;
  readonly originalDestination: OriginalDestination;
  readonly nodeCluster: string;
  readonly nodeId: string;
  readonly nextConnectionId: () => number;
  /** The listener in service for a restored destination: exact, then the wildcard address. */
  readonly findByDestination: (destination: SocketAddress) => RunningListener | undefined;
}

/** What is known of a version beside what it does. */
export interface ListenerResource {
  readonly resource: Any;
  /** Undefined for static listeners. */
  readonly versionInfo: string | undefined;
  readonly lastUpdatedMs: number;
}

export interface RunningListener extends ListenerResource {
  readonly name: string;
  readonly config: Listener;
  readonly addresses: readonly SocketAddress[];
  /** False: reached only through another listener's hand-off. */
  readonly bound: boolean;
  readonly backlog: number | undefined;
  readonly bufferBytesMax: number | undefined;
  readonly direction: TrafficDirection;
  readonly chains: readonly RunningChain[];
  readonly defaultChain: RunningChain | undefined;
  readonly acceptor: Acceptor;
  readonly stats: StatsScope;
  /** Held while this version is warming or in service. */
  sockets: readonly BoundSocket[];
  /** Timers of its warming. */
  warmingTimers: Timer[];
}

const acceptedFields = new Set([
  'name',
  'address',
  'additional_addresses',
  'stat_prefix',
  'filter_chains',
  'default_filter_chain',
  'use_original_dst',
  'per_connection_buffer_limit_bytes',
  'metadata',
  'deprecated_v1',
  'drain_type',
  'listener_filters',
  'listener_filters_timeout',
  'continue_on_listener_filters_timeout',
  'traffic_direction',
  'tcp_backlog_size',
  'connection_balance_config',
  'reuse_port',
  'enable_reuse_port',
  'access_log',
  'bind_to_port',
  'ignore_global_conn_limit',
  'bypass_overload_manager',
]);

/** Envoy's default for listener_filters_timeout. */
const defaultFiltersTimeoutMs = 15_000;

/**
 * Compiles a listener. Chains that did not change since `previous` are taken over with their connections when
 * nothing else of the listener changed (Envoy's in-place update). Throws ConfigError.
 */
export function createListener(
  config: Listener,
  resource: ListenerResource,
  previous: RunningListener | undefined,
  context: ListenerContext,
): RunningListener {
  refuseFields(ListenerSchema, config, '', acceptedFields);
  const addresses = readAddresses(config);
  const first = addresses[0];
  if (first === undefined) throw new ConfigError('address', 'is required');
  const name = config.name === '' ? first.text : config.name;
  const scope = context.stats
    .scope('listener')
    .scope(config.statPrefix === '' ? first.text : config.statPrefix, 'envoy_listener_address');
  const direction = directions[config.trafficDirection];
  const filterContext: ChainContext['filterContext'] = {
    clusters: context.clusters,
    stats: context.stats.root,
    accessLogs: context.accessLogs,
    trafficDirection: direction,
    nodeCluster: context.nodeCluster,
    nodeId: context.nodeId,
    clock: context.clock,
    random: context.random,
    logger: context.logger,
  };
  const accessLog = context.accessLogs(config.accessLog);
  const filters = compileListenerFilters(config.listenerFilters, context);
  const reusable =
    previous !== undefined && differsOnlyInChains(previous.config, config) ? previous : undefined;
  const made: RunningChain[] = [];
  const chainContext: ChainContext = {
    ...context,
    filterContext,
    sslStats: sslStats(scope),
    onTransportFailure: (connection, reason) =>
      accessLog.log(transportFailure(connection, reason, context.clock)),
  };
  const makeChain = (chain: FilterChain, path: string): RunningChain => {
    const kept = reusable === undefined ? undefined : findChain(reusable, chain);
    if (kept !== undefined) return kept;
    const running = createChain(chain, path, chainContext);
    made.push(running);
    return running;
  };
  try {
    const chains = config.filterChains.map((chain, index) => makeChain(chain, `filter_chains[${index}]`));
    const defaultChain =
      config.defaultFilterChain === undefined
        ? undefined
        : makeChain(config.defaultFilterChain, 'default_filter_chain');
    if (chains.length === 0 && defaultChain === undefined) {
      throw new ConfigError('filter_chains', 'no filter chains specified');
    }
    const matcher = compileChainMatcher(
      chains.map((chain, index) => ({
        match: chain.config.filterChainMatch,
        chain,
        path: `filter_chains[${index}]`,
      })),
      defaultChain,
    );
    const handOff = (connection: InspectedConnection): Acceptor | undefined => {
      const other = context.findByDestination(connection.localAddress)?.acceptor;
      return other === acceptor ? undefined : other;
    };
    const acceptor: Acceptor = new Acceptor({
      filters,
      filtersTimeoutMs: durationMs(config.listenerFiltersTimeout, defaultFiltersTimeoutMs),
      continueOnTimeout: config.continueOnListenerFiltersTimeout,
      matcher,
      handOff: config.useOriginalDst === true ? handOff : undefined,
      trafficDirection: direction,
      accessLog,
      stats: {
        cxTotal: scope.counter('downstream_cx_total'),
        preCxTimeout: scope.counter('downstream_pre_cx_timeout'),
        noFilterChainMatch: scope.counter('no_filter_chain_match'),
      },
      clock: context.clock,
      nextConnectionId: context.nextConnectionId,
    });
    return {
      ...resource,
      name,
      config,
      addresses,
      bound: (config.bindToPort ?? config.deprecatedV1?.bindToPort) !== false,
      backlog: config.tcpBacklogSize,
      bufferBytesMax: config.perConnectionBufferLimitBytes,
      direction,
      chains,
      defaultChain,
      acceptor,
      stats: scope,
      sockets: [],
      warmingTimers: [],
    };
  } catch (error) {
    for (const chain of made) chain.dispose();
    throw error;
  }
}

/** All chains, the default one last. */
export function allChains(listener: RunningListener): readonly RunningChain[] {
  return listener.defaultChain === undefined ? listener.chains : [...listener.chains, listener.defaultChain];
}

const directions: Readonly<Record<ProtoDirection, TrafficDirection>> = {
  [ProtoDirection.UNSPECIFIED]: 'UNSPECIFIED',
  [ProtoDirection.INBOUND]: 'INBOUND',
  [ProtoDirection.OUTBOUND]: 'OUTBOUND',
};

/** Every address that it takes connections for, the main one first. Throws ConfigError. */
export function readAddresses(config: Listener): SocketAddress[] {
  if (config.address === undefined) throw new ConfigError('address', 'is required');
  const main = readSocketAddress(config.address, 'address');
  const more = config.additionalAddresses.map((additional, index) => {
    const path = `additional_addresses[${index}]`;
    refuseFields(AdditionalAddressSchema, additional, path, new Set(['address']));
    return readSocketAddress(additional.address, `${path}.address`);
  });
  return [main, ...more].map(({ address, port }) => socketAddress(address, port));
}

function findChain(listener: RunningListener, config: FilterChain): RunningChain | undefined {
  const bytes = toBinary(FilterChainSchema, config);
  return allChains(listener).find((chain) => Buffer.compare(chain.bytes, bytes) === 0);
}

function differsOnlyInChains(a: Listener, b: Listener): boolean {
  const bare = (listener: Listener): Listener => {
    const { defaultFilterChain: _, ...rest } = listener;
    return create(ListenerSchema, { ...rest, filterChains: [] });
  };
  return equals(ListenerSchema, bare(a), bare(b));
}
