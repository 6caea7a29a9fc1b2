// One filter chain at work: its network filter, and the routes that this holds.
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import { registry, typeUrlOf, unpackAny } from '../../api/any.ts';
import type { FilterChain } from '../../api/gen/envoy/config/listener/v3/listener_components_pb.js';
import { FilterChainSchema } from '../../api/gen/envoy/config/listener/v3/listener_components_pb.js';
import type { RouteConfiguration } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import type { HttpConnectionManager } from '../../api/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { HttpConnectionManagerSchema } from '../../api/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { TcpProxySchema } from '../../api/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js';
import { isRawBuffer } from '../cluster-manager/transport-socket.ts';
import { ConfigError, within } from '../config-error.ts';
import { readConfigSource } from '../config-source/config-source.ts';
import type { ConfigSource, SourceContext } from '../config-source/config-source.ts';
import type {
  DownstreamConnection,
  FilterContext,
  NetworkFilter,
  RouteProvider,
  RouteSlot,
} from '../network/filter.ts';
import { createTcpProxy } from '../network/tcp-proxy.ts';
import { durationMs, refuseFields } from '../refuse-fields.ts';
import type { DownstreamTls } from '../tls/downstream-tls.ts';
import { compileDownstreamTls } from '../tls/downstream-tls.ts';
import type { HeldSecret, SecretManager } from '../tls/secret-manager.ts';
import type { SslStats } from '../tls/stats.ts';
import { TlsFilter, defaultHandshakeTimeoutMs } from '../tls/tls-filter.ts';
import type { RouteManager } from './route-manager.ts';

export type CreateHttpConnectionManager = (
  config: HttpConnectionManager,
  context: FilterContext,
) => NetworkFilter;

export interface ChainContext {
  /** Everything that a network filter is given, but its routes. */
  readonly filterContext: Omit<FilterContext, 'routes'>;
  readonly routes: RouteManager;
  readonly secrets: SecretManager;
  readonly sources: SourceContext;
  readonly createHttpConnectionManager: CreateHttpConnectionManager;
  /** Of the listener. */
  readonly sslStats: SslStats;
  /** A connection has ended in its handshake: only the listener can log it. */
  readonly onTransportFailure: (connection: DownstreamConnection, reason: string) => void;
}

/** A route configuration that a chain waits for before it can serve. */
export interface AwaitedRoutes {
  readonly source: ConfigSource;
  readonly name: string;
}

/** A chain in use. It may move from one version of its listener to the next when it did not change. */
export interface RunningChain {
  readonly name: string;
  /** Its configuration in binary: equal bytes, equal chain. */
  readonly bytes: Uint8Array;
  readonly config: FilterChain;
  /** Undefined: a chain without filters, which closes its connections. */
  readonly filter: NetworkFilter | undefined;
  readonly awaitedRoutes: readonly AwaitedRoutes[];
  readonly awaitedSecrets: readonly HeldSecret[];
  /** Route configurations that stand in the listener itself, for /config_dump. */
  readonly inlineRoutes: readonly RouteConfiguration[];
  /** Gives up what the filter holds; its connections are closed first. */
  dispose(): void;
}

/** Throws ConfigError; `path` stands before the field names in it. */
export function createChain(config: FilterChain, path: string, context: ChainContext): RunningChain {
  refuseFields(
    FilterChainSchema,
    config,
    path,
    new Set([
      'filter_chain_match',
      'filters',
      'name',
      'metadata',
      'transport_socket',
      'transport_socket_connect_timeout',
    ]),
  );
  const last = config.filters.length - 1;
  const held = new HeldRoutes(context.routes);
  let made: MadeFilter | undefined;
  config.filters.forEach((filter, index) => {
    const filterPath = `${path}.filters[${index}]`;
    if (filter.configType.case !== 'typedConfig') {
      throw new ConfigError(
        `${filterPath}.${filter.configType.case ?? 'typed_config'}`,
        'only typed_config is supported',
      );
    }
    const { typeUrl, value } = filter.configType.value;
    if (typeUrl === mongoProxyType && index !== last) {
      within(`${filterPath}.typed_config`, () => checkMongoProxy(value));
      return;
    }
    const known = typeUrl === typeUrlOf(HttpConnectionManagerSchema) || typeUrl === typeUrlOf(TcpProxySchema);
    if (!known || index !== last) {
      throw new ConfigError(
        `${filterPath}.typed_config`,
        `${typeUrl} ${known ? 'must be the last filter of its chain' : 'is not supported; supported are http_connection_manager, tcp_proxy and, before it, mongo_proxy'}`,
      );
    }
    try {
      made = within(`${filterPath}.typed_config`, () =>
        typeUrl === typeUrlOf(TcpProxySchema)
          ? makeTcpProxy(value, held, context)
          : makeConnectionManager(value, held, context),
      );
    } catch (error) {
      held.releaseAll();
      throw error;
    }
  });
  let tls: DownstreamTls | undefined;
  try {
    tls = transportOf(config, path, context);
  } catch (error) {
    made?.filter.close();
    held.releaseAll();
    throw error;
  }
  if (made !== undefined && tls !== undefined)
    made = { ...made, filter: withTls(made.filter, tls, config, context) };
  return {
    name: config.name,
    bytes: toBinary(FilterChainSchema, config),
    config,
    filter: made?.filter,
    awaitedRoutes: made?.awaitedRoutes ?? [],
    awaitedSecrets: tls?.secrets ?? [],
    inlineRoutes: made?.inlineRoutes ?? [],
    dispose: () => {
      made?.filter.close();
      held.releaseAll();
      tls?.dispose();
    },
  };
}

const mongoProxyType = 'type.googleapis.com/envoy.extensions.filters.network.mongo_proxy.v3.MongoProxy';

/** The bytes pass as they are: what Envoy does besides is to count, and what would change them is refused. */
function checkMongoProxy(value: Uint8Array): void {
  const config = unpackAny(create(AnySchema, { typeUrl: mongoProxyType, value }));
  const schema = registry.getMessage(config?.$typeName ?? '');
  if (config === undefined || schema === undefined) return;
  refuseFields(schema, config, '', new Set(['stat_prefix', 'emit_dynamic_metadata', 'commands']));
}

interface MadeFilter {
  readonly filter: NetworkFilter;
  readonly awaitedRoutes: readonly AwaitedRoutes[];
  readonly inlineRoutes: readonly RouteConfiguration[];
}

/** Undefined for raw_buffer. Throws ConfigError. */
function transportOf(config: FilterChain, path: string, context: ChainContext): DownstreamTls | undefined {
  const { transportSocket } = config;
  const at = `${path}.transport_socket`;
  const tls = compileDownstreamTls(transportSocket, at, context.secrets, context.sslStats);
  if (tls === undefined && !isRawBuffer(transportSocket)) {
    throw new ConfigError(
      at,
      `${transportSocket?.name ?? ''} is not supported by this proxy; use raw_buffer or tls`,
    );
  }
  return tls;
}

function withTls(
  inner: NetworkFilter,
  tls: DownstreamTls,
  config: FilterChain,
  context: ChainContext,
): NetworkFilter {
  const { clock } = context.filterContext;
  return new TlsFilter({
    tls,
    inner,
    stats: context.sslStats,
    onFailed: context.onTransportFailure,
    clock,
    handshakeTimeoutMs: durationMs(config.transportSocketConnectTimeout, defaultHandshakeTimeoutMs),
  });
}

function makeTcpProxy(bytes: Uint8Array, held: HeldRoutes, context: ChainContext): MadeFilter {
  const config = fromBinary(TcpProxySchema, bytes);
  return {
    filter: createTcpProxy(config, { ...context.filterContext, routes: held.from(undefined) }),
    awaitedRoutes: [],
    inlineRoutes: [],
  };
}

function makeConnectionManager(bytes: Uint8Array, held: HeldRoutes, context: ChainContext): MadeFilter {
  const config = fromBinary(HttpConnectionManagerSchema, bytes);
  const specifier = config.routeSpecifier;
  const awaitedRoutes: AwaitedRoutes[] = [];
  let source: ConfigSource | undefined;
  if (specifier.case === 'rds') {
    const { configSource, routeConfigName } = specifier.value;
    if (configSource === undefined) throw new ConfigError('rds.config_source', 'is required');
    source = readConfigSource(configSource, 'rds.config_source', context.sources);
    awaitedRoutes.push({ source, name: routeConfigName });
  }
  const routes = held.from(source, config.statPrefix);
  const filter = context.createHttpConnectionManager(config, { ...context.filterContext, routes });
  return {
    filter,
    awaitedRoutes,
    inlineRoutes: specifier.case === 'routeConfig' ? [specifier.value] : [],
  };
}

/** Remembers what one chain acquired, so that nothing stays subscribed when the chain is gone. */
class HeldRoutes {
  readonly #routes: RouteManager;
  #held: RouteSlot[] = [];

  constructor(routes: RouteManager) {
    this.#routes = routes;
  }

  /** What a filter gets its routes from: the source that it names, counted under its prefix. */
  from(source: ConfigSource | undefined, statPrefix = ''): RouteProvider {
    return {
      acquire: (name) => {
        if (source === undefined) throw new ConfigError('rds.config_source', 'is required');
        const slot = this.#routes.acquire(source, name, statPrefix);
        this.#held.push(slot);
        return slot;
      },
      release: (slot) => this.#release(slot),
    };
  }

  releaseAll(): void {
    const held = this.#held;
    this.#held = [];
    for (const slot of held) this.#routes.release(slot);
  }

  #release(slot: RouteSlot): void {
    const index = this.#held.indexOf(slot);
    if (index < 0) return;
    this.#held.splice(index, 1);
    this.#routes.release(slot);
  }
}
