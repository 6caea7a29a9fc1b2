// Compiles envoy.filters.network.http_connection_manager; what cannot be served is refused by field name.
import { clientCertificateSettings } from './client-certificate.ts';
import { fromBinary } from '@bufbuild/protobuf';
import { BlockList, isIP } from 'node:net';
import { HttpProtocolOptions_HeadersWithUnderscoresAction as UnderscoresAction } from '../../api/gen/envoy/config/core/v3/protocol_pb.js';
import { CorsSchema } from '../../api/gen/envoy/extensions/filters/http/cors/v3/cors_pb.js';
import { HTTPFaultSchema } from '../../api/gen/envoy/extensions/filters/http/fault/v3/fault_pb.js';
import { FilterConfigSchema as GrpcStatsSchema } from '../../api/gen/envoy/extensions/filters/http/grpc_stats/v3/config_pb.js';
import { RouterSchema } from '../../api/gen/envoy/extensions/filters/http/router/v3/router_pb.js';
import type {
  HttpConnectionManager,
  HttpFilter,
} from '../../api/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import {
  HttpConnectionManager_CodecType as CodecType,
  HttpConnectionManager_ServerHeaderTransformation as ServerTransformation,
  HttpConnectionManagerSchema,
} from '../../api/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { typeUrlOf } from '../../api/any.ts';
import { ConfigError, unknownEnum, within } from '../config-error.ts';
import type { FilterContext, NetworkFilter, RouteSlot } from '../network/filter.ts';
import { durationMs, refuseFields } from '../refuse-fields.ts';
import { compileRoutes } from '../router/compile.ts';
import { compileFault } from '../router/compile-filter-configs.ts';
import type { Http2Options } from '../http2/options.ts';
import { readHttp2Options } from '../http2/options.ts';
import { HttpManager } from './manager.ts';
import { headBytesMax, headersMax } from './header-limits.ts';
import type { FilterSettings, ManagerSettings, ServerHeader, Underscores } from './settings.ts';
import { hostOptionsOf, pathOptionsOf } from './target-options.ts';

const acceptedFields = new Set([
  'codec_type',
  'stat_prefix',
  'rds',
  'route_config',
  'http_filters',
  'common_http_protocol_options',
  'http_protocol_options',
  'http2_protocol_options',
  'server_name',
  'server_header_transformation',
  'max_request_headers_kb',
  'stream_idle_timeout',
  'request_timeout',
  'request_headers_timeout',
  'drain_timeout',
  'delayed_close_timeout',
  'access_log',
  'access_log_options',
  'use_remote_address',
  'xff_num_trusted_hops',
  'internal_address_config',
  'skip_xff_append',
  'via',
  'generate_request_id',
  'preserve_external_request_id',
  'always_set_request_id_in_response',
  'forward_client_cert_details',
  'set_current_client_cert_details',
  'proxy_100_continue',
  'upgrade_configs',
  'normalize_path',
  'merge_slashes',
  'path_with_escaped_slashes_action',
  'request_id_extension',
  'strip_matching_host_port',
  'strip_any_host_port',
  'strip_trailing_host_dot',
  'append_x_forwarded_port',
  'stream_error_on_invalid_http_message',
]);

/** The network filter of an HTTP connection manager. Throws ConfigError. */
export function createHttpConnectionManager(
  config: HttpConnectionManager,
  context: FilterContext,
): NetworkFilter {
  refuseFields(HttpConnectionManagerSchema, config, '', acceptedFields);
  const settings = compileSettings(config, context);
  const { slot, acquired } = routeSlot(config, context);
  return new HttpManager(settings, context, slot, acquired);
}

/** The RDS name that the manager follows; undefined for inline routes. */
export function routeConfigName(config: HttpConnectionManager): string | undefined {
  return config.routeSpecifier.case === 'rds' ? config.routeSpecifier.value.routeConfigName : undefined;
}

function routeSlot(
  config: HttpConnectionManager,
  context: FilterContext,
): { slot: RouteSlot; acquired: boolean } {
  const specifier = config.routeSpecifier;
  switch (specifier.case) {
    case 'rds':
      return { slot: context.routes.acquire(specifier.value.routeConfigName), acquired: true };
    case 'routeConfig': {
      const routes = within('route_config', () => compileRoutes(specifier.value));
      return { slot: { name: routes.name, current: routes }, acquired: false };
    }
    case 'scopedRoutes':
    case undefined:
    default:
      throw new ConfigError('route_specifier', 'rds or route_config is needed');
  }
}

function compileSettings(config: HttpConnectionManager, context: FilterContext): ManagerSettings {
  const common = config.commonHttpProtocolOptions;
  const http1 = config.httpProtocolOptions;
  const { filters, suppressEnvoyHeaders } = compileFilters(config.httpFilters);
  return {
    statPrefix: config.statPrefix,
    codec: codecOf(config),
    http2: http2OptionsOf(config),
    filters,
    suppressEnvoyHeaders,
    serverName: config.serverName === '' ? 'envoy' : config.serverName,
    serverHeader: serverHeaderOf(config),
    useRemoteAddress: config.useRemoteAddress ?? false,
    trustedHops: config.xffNumTrustedHops,
    skipForwardedForAppend: config.skipXffAppend,
    isInternalAddress: internalAddresses(config),
    appendForwardedPort: config.appendXForwardedPort,
    clientCertificate: clientCertificateSettings(config),
    via: config.via,
    generateRequestId: config.generateRequestId ?? true,
    preserveExternalRequestId: config.preserveExternalRequestId,
    requestIdInResponse: config.alwaysSetRequestIdInResponse,
    path: pathOptionsOf(config),
    ...hostOptionsOf(config),
    enableTrailers: http1?.enableTrailers ?? false,
    acceptHttp10: http1?.acceptHttp10 ?? false,
    defaultHostForHttp10: http1?.defaultHostForHttp10 ?? '',
    underscores: underscoresOf(common?.headersWithUnderscoresAction ?? UnderscoresAction.ALLOW),
    headBytesMax: Math.min((config.maxRequestHeadersKb ?? 60) * 1024, headBytesMax),
    headersMax: Math.min(common?.maxHeadersCount ?? headersMax, headersMax),
    upgrades: upgradesOf(config),
    proxyContinue: config.proxy100Continue,
    connectionIdleTimeoutMs: durationMs(common?.idleTimeout, 3_600_000),
    streamIdleTimeoutMs: durationMs(config.streamIdleTimeout, 300_000),
    requestTimeoutMs: durationMs(config.requestTimeout, 0),
    requestHeadersTimeoutMs: durationMs(config.requestHeadersTimeout, 0),
    streamDurationMaxMs: durationMs(common?.maxStreamDuration, 0),
    delayedCloseMs: durationMs(config.delayedCloseTimeout, 1000),
    drainTimeoutMs: durationMs(config.drainTimeout, 5000),
    requestsPerConnectionMax: common?.maxRequestsPerConnection ?? 0,
    connectionDurationMaxMs: durationMs(common?.maxConnectionDuration, 0),
    accessLog: context.accessLogs(config.accessLog),
  };
}

/** Filters whose work is done elsewhere here, or that only observe: accepted, and without effect. */
const silentFilters: ReadonlySet<string> = new Set([typeUrlOf(GrpcStatsSchema)]);

/** Filters of Istio's own builds that matter only together with mTLS or telemetry, neither of which is there yet. */
const silentFilterNames: ReadonlySet<string> = new Set([
  'istio.alpn',
  'istio.metadata_exchange',
  'istio.stats',
]);

function compileFilters(configs: readonly HttpFilter[]): {
  filters: readonly FilterSettings[];
  suppressEnvoyHeaders: boolean;
} {
  const filters: FilterSettings[] = [];
  let suppressEnvoyHeaders = false;
  let hasRouter = false;
  for (const [index, { name, configType, disabled, isOptional }] of configs.entries()) {
    const field = `http_filters[${index}]`;
    if (hasRouter)
      throw new ConfigError(field, `${name} stands behind the router, which must be the last filter`);
    if (silentFilterNames.has(name)) continue;
    if (configType.case !== 'typedConfig')
      throw new ConfigError(field, `${name} has no typed_config; config_discovery is not supported`);
    const any = configType.value;
    const path = `${field}.typed_config`;
    switch (any.typeUrl) {
      case typeUrlOf(RouterSchema): {
        const router = fromBinary(RouterSchema, any.value);
        refuseFields(
          RouterSchema,
          router,
          path,
          new Set(['dynamic_stats', 'start_child_span', 'suppress_envoy_headers']),
        );
        suppressEnvoyHeaders = router.suppressEnvoyHeaders;
        hasRouter = true;
        break;
      }
      case typeUrlOf(HTTPFaultSchema):
        filters.push({
          kind: 'fault',
          name,
          disabled,
          fault: compileFault(fromBinary(HTTPFaultSchema, any.value), path),
        });
        break;
      case typeUrlOf(CorsSchema):
        filters.push({ kind: 'cors', name, disabled, cors: undefined });
        break;
      default:
        if (silentFilters.has(any.typeUrl) || isOptional) break;
        throw new ConfigError(
          field,
          `the HTTP filter ${name} (${any.typeUrl}) is not supported; cors, fault, grpc_stats and router are`,
        );
    }
  }
  if (!hasRouter)
    throw new ConfigError('http_filters', 'the last filter must be the router (envoy.filters.http.router)');
  return { filters, suppressEnvoyHeaders };
}

function codecOf(config: HttpConnectionManager): ManagerSettings['codec'] {
  switch (config.codecType) {
    case CodecType.AUTO:
      return 'auto';
    case CodecType.HTTP1:
      return 'http1';
    case CodecType.HTTP2:
      return 'http2';
    case CodecType.HTTP3:
      throw new ConfigError('codec_type', 'HTTP3 is not served; AUTO, HTTP1 and HTTP2 are');
    default:
      throw unknownEnum('codec_type', config.codecType);
  }
}

/** `stream_error_on_invalid_http_message` of the manager is the default of the codec's own option. */
function http2OptionsOf(config: HttpConnectionManager): Http2Options {
  const options = readHttp2Options(config.http2ProtocolOptions, 'http2_protocol_options');
  const { overrideStreamErrorOnInvalidHttpMessage: own } = config.http2ProtocolOptions ?? {};
  const ofManager = config.streamErrorOnInvalidHttpMessage;
  return own === undefined && ofManager === true
    ? { ...options, streamErrorOnInvalidMessage: true }
    : options;
}

function serverHeaderOf(config: HttpConnectionManager): ServerHeader {
  switch (config.serverHeaderTransformation) {
    case ServerTransformation.OVERWRITE:
      return 'overwrite';
    case ServerTransformation.APPEND_IF_ABSENT:
      return 'append-if-absent';
    case ServerTransformation.PASS_THROUGH:
      return 'pass-through';
    default:
      throw unknownEnum('server_header_transformation', config.serverHeaderTransformation);
  }
}

function underscoresOf(action: UnderscoresAction): Underscores {
  switch (action) {
    case UnderscoresAction.ALLOW:
      return 'allow';
    case UnderscoresAction.REJECT_REQUEST:
      return 'reject';
    case UnderscoresAction.DROP_HEADER:
      return 'drop';
    default:
      throw unknownEnum('headers_with_underscores_action', action);
  }
}

function upgradesOf(config: HttpConnectionManager): ReadonlySet<string> {
  const upgrades = new Set<string>();
  for (const [index, upgrade] of config.upgradeConfigs.entries()) {
    const field = `upgrade_configs[${index}]`;
    const kind = upgrade.upgradeType.toLowerCase();
    if (upgrade.filters.length > 0)
      throw new ConfigError(`${field}.filters`, 'filters of their own are not supported');
    if (!(upgrade.enabled ?? true)) continue;
    // Istio lists CONNECT for its tunnels, which are not spoken here: CONNECT is refused.
    if (kind !== 'connect') upgrades.add(kind);
  }
  return upgrades;
}

/** From Envoy 1.33 on nothing is internal unless configured (inventory D4.05, traps row 6). */
function internalAddresses(config: HttpConnectionManager): (address: string) => boolean {
  const ranges = config.internalAddressConfig?.cidrRanges ?? [];
  if (ranges.length === 0) return () => false;
  const list = new BlockList();
  for (const [index, range] of ranges.entries()) {
    const family = isIP(range.addressPrefix);
    if (family === 0) {
      throw new ConfigError(
        `internal_address_config.cidr_ranges[${index}].address_prefix`,
        `${range.addressPrefix} is not an IP address`,
      );
    }
    list.addSubnet(range.addressPrefix, range.prefixLen ?? 0, family === 6 ? 'ipv6' : 'ipv4');
  }
  return (address) => list.check(address, address.includes(':') ? 'ipv6' : 'ipv4');
}
