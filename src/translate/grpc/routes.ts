// Routes of gRPC applications: `outbound|port||host`, the virtual hosts of that one service.
import { create } from '@bufbuild/protobuf';
import type { Route } from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import { RouteSchema, VirtualHostSchema } from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import { RouteConfigurationSchema } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import { blackHoleCluster, formatClusterName, parseClusterName } from '../../model/cluster-name.ts';
import type { Hostname } from '../../model/hostname.ts';
import { hostnameCovers } from '../../model/hostname.ts';
import { egressListenerForRoutes } from '../egress-listeners.ts';
import type { Built, Provenance, ProxyScope, ResourceKind } from '../resource.ts';
import { kindOfParts } from '../resource.ts';
import { buildRoute, routeOrigins } from '../route/build-route.ts';
import { bracketed, hostAndPort } from '../route/domains.ts';
import { faultFilterName } from '../route/filters.ts';
import type { VirtualHostInput } from '../route/route-input.ts';
import { buildVirtualHosts } from '../route/sidecar-virtual-hosts.ts';
import { egressListeners, visibleServices } from '../scope.ts';
import { outboundScope, routeScope } from '../views.ts';
import type { World } from '../world.ts';
import { grpcGenerator } from './names.ts';

export interface GrpcRoutesInput {
  readonly name: string;
  readonly virtualHosts: readonly VirtualHostInput[];
}

/**
 * As a sidecar's routes of that port, less what other hosts have and what no gRPC library takes. A name that means
 * nothing gets no virtual hosts: the client waits for an answer to whatever it asked.
 * Source: Istio `grpcgen.BuildHTTPRoutes`.
 */
export const grpcRoutes: ResourceKind<GrpcRoutesInput, typeof RouteConfigurationSchema> = {
  ...kindOfParts({ schema: RouteConfigurationSchema, shortName: 'RDS', build: buildGrpcRoutes }, [
    { name: '', viewOf: routeScope, names: grpcRouteNames, input: grpcRoutesInput },
  ]),
  generator: grpcGenerator,
};

function grpcRouteNames(world: World, scope: ProxyScope): readonly string[] {
  const names = visibleServices(world, scope).flatMap(({ hostname, ports }) =>
    ports
      .filter(({ protocol }) => protocol !== 'UDP')
      .map(({ servicePort }) => grpcRouteName(hostname, servicePort)),
  );
  return [...new Set(names)].sort();
}

function grpcRoutesInput(world: World, scope: ProxyScope, name: string): GrpcRoutesInput {
  const parsed = parseClusterName(name);
  if (parsed?.direction !== 'outbound' || parsed.subset !== '') return { name, virtualHosts: [] };
  const { hostname, servicePort } = parsed;
  const virtualHosts = virtualHostsOfPort(world, scope, servicePort).filter((host) =>
    isFor(host, hostname, servicePort),
  );
  return { name, virtualHosts };
}

function buildGrpcRoutes({
  name,
  virtualHosts: inputs,
}: GrpcRoutesInput): Built<typeof RouteConfigurationSchema> {
  const provenance: Provenance[] = [];
  const virtualHosts = inputs.map((host, index) => {
    const at = `virtualHosts[${index}]`;
    if (host.origin !== undefined) provenance.push({ at, origin: host.origin });
    const routes: Route[] = [];
    for (const input of host.routes) {
      const route = grpcRoute(buildRoute(input));
      if (route === undefined) continue;
      for (const part of routeOrigins(input)) {
        const routeAt = `${at}.routes[${routes.length}]`;
        provenance.push({ at: part.at === '' ? routeAt : `${routeAt}.${part.at}`, origin: part.origin });
      }
      routes.push(route);
    }
    return create(VirtualHostSchema, { name: host.name, domains: [...host.domains], routes });
  });
  return { name, message: create(RouteConfigurationSchema, { name, virtualHosts }), provenance };
}

/** Name of the routes of one service port. */
export function grpcRouteName(hostname: Hostname, servicePort: number): string {
  return formatClusterName({ direction: 'outbound', servicePort, subset: '', hostname });
}

/** With the port in each domain, for gRPC looks for what was dialled as it was written. */
function virtualHostsOfPort(world: World, scope: ProxyScope, port: number): readonly VirtualHostInput[] {
  const listener = egressListenerForRoutes(egressListeners(world, scope), port, String(port));
  if (listener === undefined) return [];
  const view = outboundScope(world, scope);
  return world.derive(`grpc-virtual-hosts/${port}/${listener.key}/${view.key}`, () =>
    buildVirtualHosts(world, view, listener, port, port),
  );
}

function isFor({ domains }: VirtualHostInput, hostname: Hostname, port: number): boolean {
  const suffix = `:${port}`;
  return domains.some((domain) => {
    if (domain === bracketed(hostname) || domain === hostAndPort(hostname, port)) return true;
    if (!domain.startsWith('*.')) return false;
    return hostnameCovers(domain.endsWith(suffix) ? domain.slice(0, -suffix.length) : domain, hostname);
  });
}

/**
 * What of a route a gRPC client takes. One that asks for what no call has (query parameters, claims of a token) can
 * never be met, and is left out. What is no forwarding fails the call, by a cluster that has no endpoints: clients do
 * not follow redirects, and some end on an action that they do not expect.
 */
function grpcRoute({ name, match, action, typedPerFilterConfig }: Route): Route | undefined {
  if (match === undefined || match.queryParameters.length > 0 || match.dynamicMetadata.length > 0)
    return undefined;
  const fault = typedPerFilterConfig[faultFilterName];
  return create(RouteSchema, {
    name,
    match: { ...match, pathSpecifier: pathSpecifierOf(match.pathSpecifier) },
    action: { case: 'route', value: action.case === 'route' ? forwarding(action.value) : nowhere },
    ...(fault === undefined ? {} : { typedPerFilterConfig: { [faultFilterName]: fault } }),
  });
}

type RouteMatch = NonNullable<Route['match']>;
type RouteAction = Extract<Route['action'], { readonly case: 'route' }>['value'];

const nowhere = { clusterSpecifier: { case: 'cluster', value: blackHoleCluster } } as const;

/** Time-outs stand in another field for gRPC (gRFC A31). */
function forwarding(action: RouteAction): RouteAction {
  const { timeout } = action;
  const isLimited = timeout !== undefined && (timeout.seconds > 0n || timeout.nanos > 0);
  if (!isLimited) return action;
  return {
    ...action,
    maxStreamDuration: {
      $typeName: 'envoy.config.route.v3.RouteAction.MaxStreamDuration',
      maxStreamDuration: timeout,
    },
  };
}

/** gRPC has no prefix that ends at a slash: an expression that means the same. */
function pathSpecifierOf(path: RouteMatch['pathSpecifier']): RouteMatch['pathSpecifier'] {
  if (path.case !== 'pathSeparatedPrefix') return path;
  const literal = path.value.replaceAll(/[\\.+*?()|[\]{}^$]/g, String.raw`\$&`);
  return {
    case: 'safeRegex',
    value: {
      $typeName: 'envoy.type.matcher.v3.RegexMatcher',
      engineType: { case: undefined },
      regex: `${literal}(/.*)?`,
    },
  };
}
