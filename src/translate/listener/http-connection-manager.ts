// The HTTP connection manager of every listener, and the order of its filters.
import type { MessageInitShape } from '@bufbuild/protobuf';
import { create } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { packAny } from '../../api/any.ts';
import { ApiVersion } from '../../api/gen/envoy/config/core/v3/config_source_pb.js';
import { CorsSchema } from '../../api/gen/envoy/extensions/filters/http/cors/v3/cors_pb.js';
import { FilterConfigSchema as DynamicForwardProxySchema } from '../../api/gen/envoy/extensions/filters/http/dynamic_forward_proxy/v3/dynamic_forward_proxy_pb.js';
import { GrpcWebSchema } from '../../api/gen/envoy/extensions/filters/http/grpc_web/v3/grpc_web_pb.js';
import { HTTPFaultSchema } from '../../api/gen/envoy/extensions/filters/http/fault/v3/fault_pb.js';
import { RouterSchema } from '../../api/gen/envoy/extensions/filters/http/router/v3/router_pb.js';
import type { HttpFilterSchema } from '../../api/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import {
  HttpConnectionManager_CodecType,
  HttpConnectionManager_ForwardClientCertDetails,
  HttpConnectionManager_PathWithEscapedSlashesAction,
  HttpConnectionManager_ServerHeaderTransformation,
  HttpConnectionManagerSchema,
} from '../../api/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { allowAnyDnsCache, dnsCacheOf } from '../dynamic-dns.ts';
import type { ForwardClientCert } from '../../model/gateway-topology.ts';
import { keptCase } from '../kept-case.ts';
import { durationOf, durationOfMs, pack, packOnce } from '../proto-values.ts';
import { corsFilterName, faultFilterName } from '../route/filters.ts';
import { buildInboundRoutes } from '../route/inbound-route.ts';
import { buildRouteConfiguration } from '../route/route-configuration.ts';
import { buildAccessLog } from './access-log.ts';
import { alpnFilterName, buildAlpnFilter } from './istio-filters.ts';
import type { HttpFilterInput } from './listener-input.ts';

export const httpConnectionManagerName = 'envoy.filters.network.http_connection_manager';

type ManagerInit = MessageInitShape<typeof HttpConnectionManagerSchema>;

/** Source: Istio `buildHTTPConnectionManager` and the callers of it. */
export function buildHttpConnectionManager(input: HttpFilterInput): Any {
  const noTimeout = durationOfMs(0);
  const idleTimeout = durationOf(input.idleTimeout);
  return packAny(
    HttpConnectionManagerSchema,
    create(HttpConnectionManagerSchema, {
      ...identityOf(input),
      ...protocolOptionsOf(input),
      codecType: HttpConnectionManager_CodecType.AUTO,
      statPrefix: input.statPrefix,
      routeSpecifier: routeSpecifierOf(input),
      httpFilters: httpFilters(input),
      // Streams may be silent for as long as they like: Envoy would end them after five minutes.
      streamIdleTimeout: noTimeout,
      ...(idleTimeout === undefined ? {} : { commonHttpProtocolOptions: { idleTimeout } }),
      ...pathsOf(input),
      useRemoteAddress: input.side === 'gateway',
      xffNumTrustedHops: input.topology?.trustedProxies ?? 0,
      upgradeConfigs: [{ upgradeType: 'websocket' }],
      proxy100Continue: true,
      accessLog: input.accessLog === undefined ? [] : [buildAccessLog(input.accessLog)],
    }),
  );
}

/** Outbound answers as `envoy`, the others as `istio-envoy`, unless the proxy has a name of its own. */
function identityOf(input: HttpFilterInput) {
  const { passesServer, serverName = usualServerNames[input.side], requestId, forwardedPort } = input.headers;
  return {
    ...(passesServer
      ? { serverHeaderTransformation: HttpConnectionManager_ServerHeaderTransformation.PASS_THROUGH }
      : { serverName }),
    ...(requestId ? {} : { generateRequestId: false }),
    ...(forwardedPort ? { appendXForwardedPort: true } : {}),
    ...forwardedCertOf(input),
  };
}

const usualServerNames: Readonly<Record<HttpFilterInput['side'], string>> = {
  // Empty: Envoy's own name for itself.
  outbound: '',
  'http-proxy': '',
  inbound: 'istio-envoy',
  gateway: 'istio-envoy',
};

/** Gateways trust nobody's client certificate header, inbound adds its own to it. */
function forwardedCertOf({ side, headers, topology }: HttpFilterInput) {
  if (side === 'gateway') return clientCertOf(topology?.forwardClientCert ?? 'SANITIZE_SET');
  if (side !== 'inbound') return {};
  return {
    forwardClientCertDetails: HttpConnectionManager_ForwardClientCertDetails[headers.forwardClientCert],
    setCurrentClientCertDetails: headers.clientCertParts,
  };
}

/** The gateway's own words about the client's certificate come in only where the header is written. */
function clientCertOf(mode: ForwardClientCert) {
  const forwardClientCertDetails = HttpConnectionManager_ForwardClientCertDetails[mode];
  if (mode !== 'SANITIZE_SET' && mode !== 'APPEND_FORWARD') return { forwardClientCertDetails };
  return {
    forwardClientCertDetails,
    setCurrentClientCertDetails: { subject: true, uri: true, dns: true, cert: true },
  };
}

/** Paths are compared in one form (traps, row 1). */
function pathsOf({ pathNormalization = 'BASE' }: HttpFilterInput) {
  return {
    normalizePath: pathNormalization !== 'NONE',
    ...(pathNormalization === 'MERGE_SLASHES' || pathNormalization === 'DECODE_AND_MERGE_SLASHES'
      ? { mergeSlashes: true }
      : {}),
    ...(pathNormalization === 'DECODE_AND_MERGE_SLASHES'
      ? {
          pathWithEscapedSlashesAction:
            HttpConnectionManager_PathWithEscapedSlashesAction.UNESCAPE_AND_FORWARD,
        }
      : {}),
  };
}

function protocolOptionsOf(input: HttpFilterInput) {
  const absolute = input.side === 'http-proxy' ? { allowAbsoluteUrl: true } : {};
  const http10 = input.http10 ? { acceptHttp10: true } : {};
  const http1 = { ...absolute, ...http10, ...(input.headers.keepsCase ? keptCase() : {}) };
  return {
    ...(Object.keys(http1).length === 0 ? {} : { httpProtocolOptions: http1 }),
    ...(input.http2 ? { http2ProtocolOptions: {} } : {}),
  };
}

function routeSpecifierOf({ routes }: HttpFilterInput): NonNullable<ManagerInit['routeSpecifier']> {
  if ('inline' in routes) return { case: 'routeConfig', value: buildInboundRoutes(routes.inline) };
  if ('table' in routes) return { case: 'routeConfig', value: buildRouteConfiguration(routes.table).message };
  return {
    case: 'rds',
    value: {
      routeConfigName: routes.rds,
      configSource: {
        configSourceSpecifier: { case: 'ads', value: {} },
        // The listener waits for its routes as long as it takes.
        initialFetchTimeout: durationOfMs(0),
        resourceApiVersion: ApiVersion.V3,
      },
    },
  };
}

const grpcWebConfig = packOnce(GrpcWebSchema, {});
const faultConfig = packOnce(HTTPFaultSchema, {});
const corsConfig = packOnce(CorsSchema, {});
const routerConfig = packOnce(RouterSchema, {});
const quietRouterConfig = packOnce(RouterSchema, { suppressEnvoyHeaders: true });

/** The order counts: requests meet them from first to last. Authentication, authorization and telemetry join later. */
function httpFilters(input: HttpFilterInput): MessageInitShape<typeof HttpFilterSchema>[] {
  const { dynamicDns = [], grpcWeb = false } = input;
  return [
    // Before whatever looks at the message: from here on it is gRPC.
    ...(grpcWeb ? [{ name: 'envoy.filters.http.grpc_web', config: grpcWebConfig() }] : []),
    ...(input.tellsProtocol === true ? [{ name: alpnFilterName, config: buildAlpnFilter() }] : []),
    // A fault is the network's: it comes before anything answers for the upstream.
    { name: faultFilterName, config: faultConfig() },
    // Answers preflight requests, so that they never reach the upstream.
    { name: corsFilterName, config: corsConfig() },
    // The name is known to the cluster when the request comes to it.
    ...dynamicDns.map(({ hostname, family }) => ({
      name: 'envoy.filters.http.dynamic_forward_proxy',
      config: pack(DynamicForwardProxySchema, {
        implementationSpecifier: {
          case: 'dnsCacheConfig',
          value: hostname === undefined ? allowAnyDnsCache(family) : dnsCacheOf(hostname, family),
        },
      }),
    })),
    // Forwards: nothing can come after it.
    {
      name: 'envoy.filters.http.router',
      config: input.headers.debugHeaders ? routerConfig() : quietRouterConfig(),
    },
  ].map(({ name, config }) => ({ name, configType: { case: 'typedConfig' as const, value: config } }));
}
