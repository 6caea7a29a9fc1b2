// Listeners of gRPC applications: what a client dials, and what a server listens on.
import { create } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { ListenerSchema } from '../../api/gen/envoy/config/listener/v3/listener_pb.js';
import { HTTPFaultSchema } from '../../api/gen/envoy/extensions/filters/http/fault/v3/fault_pb.js';
import { RouterSchema } from '../../api/gen/envoy/extensions/filters/http/router/v3/router_pb.js';
import { HttpConnectionManagerSchema } from '../../api/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import type { Origin } from '../../model/origin.ts';
import { serviceTargets } from '../inbound-targets.ts';
import { addressesFor } from '../listener/outbound-places.ts';
import { mutualTlsMode } from '../mtls/mutual-tls-mode.ts';
import { pack } from '../proto-values.ts';
import type { Built, ProxyScope, ResourceKind } from '../resource.ts';
import { kindOfParts } from '../resource.ts';
import { hostAndPort } from '../route/domains.ts';
import { faultFilterName } from '../route/filters.ts';
import { visibleServices } from '../scope.ts';
import { routeScope } from '../views.ts';
import type { World } from '../world.ts';
import { dialled, grpcGenerator, serverAddress } from './names.ts';
import { grpcRouteName } from './routes.ts';
import { serverSocket } from './tls.ts';

export interface GrpcListenerInput {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** Of a client: its routes. Of a server: whether its clients must show a certificate. */
  readonly of: { readonly routeName: string } | { readonly isMutualTls: boolean };
  readonly origin: Origin;
}

/**
 * For clients the name is `host:port` as they dial it, and the answer names routes; for servers
 * `xds.istio.io/grpc/lds/inbound/<address>:<port>`, if a Service selects them and has that target port.
 * Source: Istio `grpcgen.BuildListeners`.
 */
export const grpcListeners: ResourceKind<GrpcListenerInput, typeof ListenerSchema> = {
  ...kindOfParts({ schema: ListenerSchema, shortName: 'LDS', build: buildGrpcListener }, [
    // What a server listens on is its own; what clients dial they share.
    { name: 'in', viewOf: (_world, scope) => scope, names: () => [], input: serverInput },
    { name: 'out', viewOf: routeScope, names: dialledNames, input: clientInput },
  ]),
  generator: grpcGenerator,
};

function dialledNames(world: World, scope: ProxyScope): readonly string[] {
  const names = visibleServices(world, scope).flatMap(({ hostname, ports }) =>
    ports
      .filter(({ protocol }) => protocol !== 'UDP')
      .map(({ servicePort }) => hostAndPort(hostname, servicePort)),
  );
  return [...new Set(names)].sort();
}

function buildGrpcListener(input: GrpcListenerInput): Built<typeof ListenerSchema> {
  const { name, address, port, of, origin } = input;
  const message = create(ListenerSchema, {
    name,
    address: {
      address: {
        case: 'socketAddress',
        value: { address, portSpecifier: { case: 'portValue', value: port } },
      },
    },
    ...('routeName' in of
      ? { apiListener: { apiListener: clientManager(of.routeName) } }
      : { filterChains: [serverChain(of.isMutualTls)] }),
  });
  return { name, message, provenance: [{ at: '', origin }] };
}

function clientInput(world: World, scope: ProxyScope, name: string): GrpcListenerInput | undefined {
  const found = dialled(world, scope, name);
  if (found === undefined) return undefined;
  const { service, port } = found;
  return {
    name,
    // Nobody binds it; an address must be there.
    address: addressesFor(scope, service).find((each) => !each.includes('/')) ?? '0.0.0.0',
    port: port.servicePort,
    of: { routeName: grpcRouteName(service.hostname, port.servicePort) },
    origin: service.origin,
  };
}

function serverInput(world: World, scope: ProxyScope, name: string): GrpcListenerInput | undefined {
  const address = serverAddress(name);
  if (address === undefined) return undefined;
  const target = serviceTargets(world, scope).find(({ targetPort }) => targetPort === address.port);
  if (target === undefined) return undefined;
  return {
    name,
    address: address.host,
    port: address.port,
    of: { isMutualTls: takesMutualTlsAlone(world, scope, address.port) },
    origin: target.service.origin,
  };
}

/**
 * gRPC cannot take both on one port. PERMISSIVE is plain text, but for workloads whose label tells clients to come with
 * mutual TLS. Source: Istio `buildInboundFilterChains`.
 */
function takesMutualTlsAlone(world: World, { node }: ProxyScope, port: number): boolean {
  if (!node.workloadCertificates) return false;
  const mode = mutualTlsMode(world, node.namespace, node.labels, port);
  return mode === 'STRICT' || (mode === 'PERMISSIVE' && node.labels[tlsModeLabel] === 'istio');
}

/** A label of the workload that clients go by. */
export const tlsModeLabel = 'security.istio.io/tlsMode';

/** Faults are told per route; the router must be last. */
function clientManager(routeConfigName: string): Any {
  return pack(HttpConnectionManagerSchema, {
    httpFilters: [filter(faultFilterName, pack(HTTPFaultSchema, {})), router()],
    routeSpecifier: {
      case: 'rds',
      value: { configSource: { configSourceSpecifier: { case: 'ads', value: {} } }, routeConfigName },
    },
  });
}

function serverChain(isMutualTls: boolean) {
  const manager = pack(HttpConnectionManagerSchema, {
    httpFilters: [router()],
    routeSpecifier: {
      case: 'routeConfig',
      value: {
        name: 'inbound',
        virtualHosts: [
          {
            name: 'inbound',
            domains: ['*'],
            routes: [
              {
                match: { pathSpecifier: { case: 'prefix', value: '/' } },
                action: { case: 'nonForwardingAction', value: {} },
              },
            ],
          },
        ],
      },
    },
  });
  return {
    name: isMutualTls ? 'inbound-mtls' : 'inbound-plaintext',
    filters: [{ name: 'inbound', configType: { case: 'typedConfig' as const, value: manager } }],
    ...(isMutualTls ? { transportSocket: serverSocket() } : {}),
  };
}

function router() {
  return filter('envoy.filters.http.router', pack(RouterSchema, {}));
}

function filter(name: string, value: Any) {
  return { name, configType: { case: 'typedConfig' as const, value } };
}
