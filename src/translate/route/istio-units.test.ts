// Istio's function-level cases (family `units` of its test data) about routes, gateways and addresses.
import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { test } from 'vitest';
import type { TheirObject } from '../../../test/support/istio-objects.ts';
import { configOf } from '../../../test/support/istio-objects.ts';
import type { UnitCheck } from '../../../test/support/istio-units.ts';
import { runUnits, unitsFolder } from '../../../test/support/istio-units.ts';
import { gatewayPod } from '../../../test/support/translated.ts';
import { proxyNode, worldOf } from '../../../test/support/world.ts';
import { messageToJson } from '../../api/any.ts';
import { RouteSchema } from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import type { GatewayConfig, VirtualServiceConfig } from '../../config/config.ts';
import { parseCidr } from '../../model/cidr.ts';
import { resolveGatewayName } from '../../model/gateway-name.ts';
import { withoutForeign } from '../gateway/selection.ts';
import { mergedGateways } from '../gateway/servers.ts';
import { commonHosts, hostsFor } from '../gateway/virtual-services.ts';
import { proxyScope } from '../scope.ts';
import { buildRoute, serviceOperation } from './build-route.ts';
import { gatewayRouteInput } from './gateway-routes.ts';
import { routingClaim } from './claims.ts';
import { bracketed, hostAndPort } from './domains.ts';
import { faultFilterName } from './filters.ts';
import { isCatchAll } from './match.ts';
import { buildInboundRoutes } from './inbound-route.ts';
import type { HttpMatch, HttpRetry, HttpRule } from './route-input.ts';
import { ruleRoutes } from './rules.ts';

/** What we do otherwise, or not yet, by name. One that passes nevertheless is a failure. */
const known: Readonly<Record<string, string>> = {
  'host.NamesIntersection: case 11': 'hosts are compared in lower case, as they are everywhere else',
  'route.TranslateRequestMirrorPolicy: mirror policy with shadow host suffix enabled':
    'the suffix is off by default in Istio, and always here',
};

const checks: Readonly<Record<string, UnitCheck>> = {
  'pkg/config/host.NamesForNamespace': (
    { hosts, namespace }: { hosts: readonly string[]; namespace: string },
    { want }: { want: readonly string[] },
  ) => [hostsFor(hosts, namespace), want],
  'pkg/config/host.NamesIntersection': (
    { a, b }: { a: readonly string[]; b: readonly string[] },
    { intersection }: { intersection: readonly string[] },
  ) => [commonHosts(lowerCase(a), lowerCase(b)), intersection],
  'pkg/jwt.ToRoutingClaim': (
    { name }: { name: string },
    { want }: { want: { claims?: readonly string[] } },
  ) => [routingClaim(name), want.claims],
  'pilot/pkg/model.FilterStrictGatewayMerging': (
    { input }: { input: readonly { gateway: Partial<TheirObject> }[] },
    { expected }: { expected: readonly string[] },
  ) => [
    withoutForeign(input.map(({ gateway }) => gatewayOf(gateway))).map(
      ({ namespace, name }) => `${namespace}/${name}`,
    ),
    expected,
  ],
  'pilot/pkg/model.MergeGateways': (
    { gwConfig }: { gwConfig: readonly Partial<TheirObject>[] },
    { mergedServersNum, serverNum, serversForRouteNum }: MergedCounts,
  ) => [countsOfGateways(gwConfig), { mergedServersNum, serverNum, serversForRouteNum }],
  'pilot/pkg/model.ResolveGatewayName': (
    { gateway, namespace }: { gateway: string; namespace: string },
    { resolved }: { resolved: string },
  ) => [resolveGatewayName(gateway, namespace), resolved],
  'pilot/pkg/networking/core/route.IsCatchAllRoute': (
    { route }: { route: { match: EnvoyMatch } },
    { want }: { want: boolean },
  ) => [isCatchAll(istioMatch(route.match)), want],
  'pilot/pkg/networking/core/route.MirrorPercent': ({ route }: { route: HttpRule }, { want }: Wanted) => [
    mirrorOf({ ...route, mirror: { host: 'a' } }),
    want,
  ],
  'pilot/pkg/networking/core/route.MirrorPercentByPolicy': (
    { policy }: { policy: NonNullable<HttpRule['mirrors']>[number] },
    { want }: Wanted,
  ) => [mirrorOf({ mirrors: [{ ...policy, destination: { host: 'a' } }] }), want],
  'pilot/pkg/networking/core/route.TranslateRequestMirrorPolicy': (
    { runtimeFraction }: { runtimeFraction: { defaultValue: { numerator: number } } },
    { want }: Wanted,
  ) => {
    const mirror = { host: 'service.namespace.svc.cluster.local', port: { number: 8080 } };
    const mirrorPercent = runtimeFraction.defaultValue.numerator;
    const [route] = routesFor({ mirror, mirrorPercent, route: [{ destination: { host: 'b' } }] });
    return [route?.route?.requestMirrorPolicies, [want]];
  },
  'pilot/pkg/networking/core/route.SortVHostRoutes': (
    { in: given }: { in: readonly { match: EnvoyMatch }[] },
    { expected: wanted }: { expected: readonly { match: EnvoyMatch }[] },
  ) => [gatewayOrder(given.map(({ match }) => match)), wanted.map(({ match }) => pathOf(match))],
  'pilot/pkg/model.ParseGatewayRDSRouteName': (
    { args: { name } }: { args: { name: string } },
    { wantPortNumber, wantPortName, wantGateway }: RouteNameParts,
  ) => [routeNameOf(wantPortNumber, wantPortName, wantGateway), name],
  'pilot/pkg/networking/core/route.InboundHTTPRoute': (
    { protocol, mesh }: { protocol: string; mesh?: { defaultInboundHttpRetryPolicy?: HttpRetry } },
    { expected: wanted }: { expected: JsonValue },
  ) => {
    const retries = mesh?.defaultInboundHttpRetryPolicy;
    const grpc = protocol === 'GRPC';
    const [host] = buildInboundRoutes({
      cluster: 'cluster',
      hostname: '',
      servicePort: 0,
      grpc,
      ...(retries === undefined ? {} : { retries }),
    }).virtualHosts;
    const [route] = (host?.routes ?? []).map((each) => messageToJson(RouteSchema, each) as JsonObject);
    return [{ ...route, decorator: { operation: 'operation' } }, sameDurations(wanted)];
  },
  'pilot/pkg/networking/core/route.SourceMatchHTTP': (
    { args }: { args: { match: HttpMatch; proxyNamespace: string } },
    { want }: { want: boolean },
  ) => [routesFor({ match: [args.match] }, args.proxyNamespace).length > 0, want],
  'pilot/pkg/networking/core/route.TranslateFault': (
    { fault }: { fault: NonNullable<HttpRule['fault']> },
    { want }: Wanted,
  ) => [faultOf({ fault }), want],
  'pilot/pkg/networking/telemetry.TraceOperation': (
    { host, port }: { host: string; port: number },
    { match }: { match: string },
  ) => [serviceOperation(host, port), match],
  'pilot/pkg/networking/util.ConvertAddressToCidr': (
    { addr }: { addr: string },
    { want }: { want: { addressPrefix: string; prefixLen: number } | null },
  ) => {
    const cidr = parseCidr(addr);
    // We clear the bits that do not count.
    const theirs = want === null ? undefined : parseCidr(`${want.addressPrefix}/${want.prefixLen}`);
    return [cidr, theirs];
  },
  'pilot/pkg/networking/util.DomainName': (
    { host, port }: { host: string; port: number },
    { match }: { match: string },
  ) => [hostAndPort(host, port), match],
  'pilot/pkg/networking/util.IPv6Compliant': ({ host }: { host: string }, { match }: { match: string }) => [
    bracketed(host),
    match,
  ],
};

interface RouteNameParts {
  readonly wantPortNumber: number;
  readonly wantPortName: string;
  /** `namespace/name`; empty for plain HTTP. */
  readonly wantGateway: string;
}

interface Wanted {
  readonly want: JsonValue;
}

interface EnvoyMatch {
  readonly path?: string;
  readonly prefix?: string;
  readonly pathSeparatedPrefix?: string;
  readonly safeRegex?: { readonly regex: string };
  readonly headers?: readonly { readonly name: string }[];
  readonly queryParameters?: readonly { readonly name: string }[];
}

test.skipIf(unitsFolder === undefined)(
  'routes, gateways: Istio cases (C4.03, C4.10, C5.04, partly C5.05, C5.06, C5.11, C5.15, C7.01, C7.02, C7.03)',
  (context) => {
    runUnits(context, checks, known);
  },
);

interface MergedCounts {
  /** Ports by address and protocol, HTTP's counting as one. */
  readonly mergedServersNum: number;
  readonly serverNum: number;
  /** Route name -> how many servers share it. */
  readonly serversForRouteNum: Readonly<Record<string, number>>;
}

/** The Gateways have been selected already. */
function countsOfGateways(gateways: readonly Partial<TheirObject>[]): MergedCounts {
  const world = worldOf(gateways.map(gatewayOf));
  const { listeners } = mergedGateways(world, proxyScope(world, proxyNode(gatewayPod)));
  const servers = listeners.flatMap((listener) => listener.servers);
  const ports = servers.map(({ bind, listenerPort, kind, protocol }) =>
    [bind, listenerPort, kind === 'http' ? kind : protocol].join('|'),
  );
  const routeNames = servers.map(({ routeName }) => routeName).filter((name) => name !== '');
  return {
    mergedServersNum: new Set(ports).size,
    serverNum: servers.length,
    serversForRouteNum: Object.fromEntries(
      routeNames.map((name) => [name, routeNames.filter((other) => other === name).length]),
    ),
  };
}

/** Of a server with that port; it ends TLS where the name has its Gateway in it. */
function routeNameOf(number: number, portName: string, gateway: string): string | undefined {
  const [namespace = '', name = ''] = gateway.split('/');
  const isTls = gateway !== '';
  const port = { number, name: portName, protocol: isTls ? 'HTTPS' : 'HTTP' };
  const tls = isTls ? { tls: { mode: 'SIMPLE', credentialName: 'c' } } : {};
  const spec = { servers: [{ port, hosts: ['*'], ...tls }] };
  const world = worldOf([gatewayOf({ metadata: { name, namespace }, spec })]);
  const { listeners } = mergedGateways(world, proxyScope(world, proxyNode(gatewayPod)));
  return listeners[0]?.servers[0]?.routeName;
}

/** Paths of a virtual host's routes, made of rules in this order. */
function gatewayOrder(matches: readonly EnvoyMatch[]): readonly (string | undefined)[] {
  const gateway = gatewayOf({
    metadata: { name: 'g', namespace: 'default' },
    spec: { servers: [{ port: { number: 80, name: 'http', protocol: 'HTTP' }, hosts: ['*'] }] },
  });
  const http = matches.map((match) => ({
    match: [istioMatch(match)],
    route: [{ destination: { host: 'b' } }],
  }));
  const virtualService = configOf({
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name: 'vs', namespace: 'default' },
    spec: { hosts: ['a.example'], gateways: ['g'], http },
  });
  const world = worldOf([gateway, virtualService]);
  const scope = proxyScope(world, proxyNode(gatewayPod));
  const [host] = gatewayRouteInput(world, scope, 'http.80').virtualHosts;
  return (host?.routes ?? []).map((input) => {
    const { match } = messageToJson(RouteSchema, buildRoute(input)) as { match: EnvoyMatch };
    return pathOf(match);
  });
}

function pathOf({ path, prefix, pathSeparatedPrefix, safeRegex }: EnvoyMatch): string | undefined {
  return path ?? prefix ?? pathSeparatedPrefix ?? safeRegex?.regex;
}

/** For every proxy. */
function gatewayOf({ metadata = {}, spec }: Partial<TheirObject>): GatewayConfig {
  return configOf({
    kind: 'Gateway',
    metadata,
    spec: { ...(spec as object), selector: {} },
  }) as GatewayConfig;
}

function lowerCase(names: readonly string[]): readonly string[] {
  return names.map((name) => name.toLowerCase());
}

/** Protobuf writes fractions of seconds with three, six or nine digits. */
function sameDurations(value: JsonValue): JsonValue {
  return JSON.parse(JSON.stringify(value).replaceAll('"0.01s"', '"0.010s"')) as JsonValue;
}

function istioMatch(match: EnvoyMatch): HttpMatch {
  const prefix = match.prefix ?? match.pathSeparatedPrefix;
  const names = (list: readonly { name: string }[] = []) =>
    Object.fromEntries(list.map(({ name }) => [name, { exact: 'x' }]));
  return {
    uri:
      match.path !== undefined
        ? { exact: match.path }
        : prefix === undefined
          ? { regex: match.safeRegex?.regex }
          : { prefix },
    headers: names(match.headers),
    queryParams: names(match.queryParameters),
  };
}

function mirrorOf(rule: HttpRule): JsonValue {
  const [route] = routesFor({ ...rule, route: [{ destination: { host: 'b' } }] });
  const [policy] = (route?.route?.requestMirrorPolicies ?? []) as { runtimeFraction: JsonValue }[];
  return policy?.runtimeFraction ?? null;
}

function faultOf(rule: HttpRule): JsonValue {
  const [route] = routesFor(rule);
  const config = route?.typedPerFilterConfig?.[faultFilterName];
  if (config === undefined) return null;
  const { '@type': _type, ...fault } = config;
  return fault;
}

interface RouteJson {
  readonly route?: { readonly requestMirrorPolicies?: JsonValue };
  readonly typedPerFilterConfig?: Record<string, Record<string, JsonValue>>;
}

function routesFor(rule: HttpRule, namespace = 'default'): readonly RouteJson[] {
  const virtualService = configOf({
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name: 'vs', namespace: 'default' },
    spec: { hosts: ['a'], http: [rule] },
  }) as VirtualServiceConfig;
  const world = worldOf([virtualService]);
  const scope = proxyScope(world, proxyNode({ namespace }));
  const context = { gateway: 'mesh', listenPort: 80, tls: false, serviceOf: () => undefined };
  return ruleRoutes(world, scope, virtualService, context).map(
    (input) => messageToJson(RouteSchema, buildRoute(input)) as unknown as RouteJson,
  );
}
