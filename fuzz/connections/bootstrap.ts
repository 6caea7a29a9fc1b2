// The listeners of a proxy as an Envoy can have them without a mesh around it: PROXY protocol in the place of the
// system's redirection, certificates in the place of SDS, clusters that all lead to one backend, and access logs
// that tell what was chosen.
import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { messageToJson } from '../../src/api/any.ts';
import { ListenerSchema } from '../../src/api/gen/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '../../src/api/gen/envoy/config/route/v3/route_pb.js';
import type { Certificate } from '../../test/support/certificates.ts';
import type { ProxyListeners } from './resources.ts';

export interface Surroundings {
  /** An address of this machine, and the ports there from which listeners are bound. */
  readonly address: string;
  readonly firstPort: number;
  readonly backendPort: number;
  readonly adminPort: number;
  readonly logFile: string;
  readonly own: Certificate;
  readonly authority: string;
}

export interface PlacedBootstrap {
  readonly bootstrap: JsonObject;
  /** Name of a listener that is bound -> its port. */
  readonly ports: ReadonlyMap<string, number>;
}

const proxyProtocol: JsonObject = {
  name: 'envoy.filters.listener.proxy_protocol',
  typedConfig: {
    '@type': 'type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol',
  },
};

export function connectionBootstrap(proxy: ProxyListeners, around: Surroundings): PlacedBootstrap {
  const ports = new Map<string, number>();
  const listeners = proxy.listeners.map((listener) => {
    const json = withoutSurroundings(
      messageToJson(ListenerSchema, listener),
      proxy,
      around,
      listener.name,
    ) as JsonObject;
    const isEntry =
      proxy.place === 'gateway' || listener.name === 'virtualOutbound' || listener.name === 'virtualInbound';
    return isEntry ? entry(json, around, ports) : { ...json, bindToPort: false };
  });
  const listenerOf = (name: string): JsonObject => ({
    name,
    type: 'STATIC',
    connectTimeout: '2s',
    loadAssignment: {
      clusterName: name,
      endpoints: [{ lbEndpoints: [{ endpoint: { address: socket(around.address, around.backendPort) } }] }],
    },
  });
  const bootstrap = {
    admin: { address: socket('127.0.0.1', around.adminPort) },
    staticResources: { listeners, clusters: proxy.clusterNames.map(listenerOf) },
  };
  return { bootstrap, ports };
}

/** A listener that connections come to: bound at a port of ours, and told of the destination by PROXY protocol. */
function entry(json: JsonObject, around: Surroundings, ports: Map<string, number>): JsonObject {
  const port = around.firstPort + ports.size;
  ports.set(json['name'] as string, port);
  const { additionalAddresses: _more, ...rest } = json;
  const filters = ((json['listenerFilters'] ?? []) as JsonObject[]).filter(
    ({ name }) => name !== 'envoy.filters.listener.original_dst',
  );
  return {
    ...rest,
    bindToPort: true,
    address: socket(around.address, port),
    listenerFilters: [proxyProtocol, ...filters],
  };
}

function socket(address: string, port: number): JsonObject {
  return { socketAddress: { address, portValue: port } };
}

/** With routes inside, certificates inside, access logs of ours, and chains named after their places. */
function withoutSurroundings(
  json: JsonValue,
  proxy: ProxyListeners,
  around: Surroundings,
  listener: string,
): JsonValue {
  const own = [
    {
      certificateChain: { inlineString: around.own.chain },
      privateKey: { inlineString: around.own.key },
    },
  ];
  const trustedCa = { inlineString: around.authority };
  const logAt = (kind: string): JsonValue => accessLog(around.logFile, kind, listener);
  const walk = (value: JsonValue): JsonValue => {
    if (Array.isArray(value)) return value.map(walk);
    if (typeof value !== 'object' || value === null) return value;
    const object: JsonObject = {};
    for (const [key, inner] of Object.entries(value)) {
      if (key === 'accessLog') continue;
      if (key === 'rds') {
        const name = (inner as { routeConfigName: string }).routeConfigName;
        const configuration = proxy.routes.get(name);
        if (configuration !== undefined)
          object['routeConfig'] = messageToJson(RouteConfigurationSchema, configuration);
      } else if (key === 'tlsCertificateSdsSecretConfigs') object['tlsCertificates'] = own;
      else if (key === 'validationContextSdsSecretConfig') object['validationContext'] = { trustedCa };
      else if (key === 'combinedValidationContext')
        object['validationContext'] = {
          ...(inner as { defaultValidationContext?: JsonObject }).defaultValidationContext,
          trustedCa,
        };
      else object[key] = walk(inner);
    }
    const type = value['@type'];
    if (typeof type === 'string' && type.endsWith('.HttpConnectionManager'))
      object['accessLog'] = logAt('http');
    if (typeof type === 'string' && type.endsWith('.TcpProxy')) object['accessLog'] = logAt('tcp');
    return object;
  };
  const walked = walk(json) as JsonObject;
  const chains = (walked['filterChains'] ?? []) as JsonObject[];
  const last = walked['defaultFilterChain'] as JsonObject | undefined;
  return {
    ...walked,
    filterChains: chains.map((chain, index) => ({ ...chain, name: `filterChains[${index}]` })),
    ...(last !== undefined && { defaultFilterChain: { ...last, name: 'defaultFilterChain' } }),
    accessLog: logAt('connection'),
  };
}

/** One line of JSON a request or connection. */
function accessLog(path: string, kind: string, listener: string): JsonValue {
  return [
    {
      name: 'envoy.access_loggers.file',
      typedConfig: {
        '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
        path,
        logFormat: {
          jsonFormat: {
            kind,
            listener,
            client: '%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%',
            chain: '%FILTER_CHAIN_NAME%',
            cluster: '%UPSTREAM_CLUSTER%',
            route: '%ROUTE_NAME%',
            status: '%RESPONSE_CODE%',
            flags: '%RESPONSE_FLAGS%',
            details: '%RESPONSE_CODE_DETAILS%',
          },
        },
      },
    },
  ];
}
