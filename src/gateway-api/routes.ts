// Routes of the Gateway API -> VirtualServices: one for each host and listener, or host and Service of the mesh.
import type { VirtualServiceSpec } from '../api/gen/istio-types.js';
import type { VirtualServiceConfig } from '../config/config.ts';
import { compareAge, madeConfig, originOf } from '../config/config.ts';
import type {
  GrpcRouteConfig,
  HttpRouteConfig,
  RouteConfig,
  TcpRouteConfig,
  TlsRouteConfig,
} from '../config/gateway-api-types.ts';
import { annotationsOfGateways } from '../model/gateway-origin.ts';
import { serviceHostname } from '../model/hostname.ts';
import type { Origin } from '../model/origin.ts';
import type { Problem } from './conditions.ts';
import type { MadeRule, MadeRules } from './http-rules.ts';
import { grpcRules, httpRules } from './http-rules.ts';
import type { HttpRule } from './matches.ts';
import { sortHttpRules } from './matches.ts';
import type { GatewayApiObjects, ObjectKey } from './objects.ts';
import type { RouteParent } from './parents.ts';
import { attachedParents, hostnamesOf, isMesh, isOwnHost, routeParents } from './parents.ts';
import type { TcpRule, TlsRule } from './stream-rules.ts';
import {
  commonHosts,
  onlyFor,
  tcpRules,
  tlsRules,
  withParentHosts,
  withPort,
  withinListener,
} from './stream-rules.ts';

/** The part of a VirtualService that one route gives; parts with the same key are one VirtualService. */
export interface RoutePart {
  readonly key: string;
  readonly host: string;
  /** As `VirtualServiceSpec.gateways` has it: `namespace/name` or `mesh`. */
  readonly gateway: string;
  readonly rules: readonly MadeRule<HttpRule>[];
}

export interface ConvertedRoute {
  /** Of an HTTPRoute or GRPCRoute. */
  readonly parts: readonly RoutePart[];
  /** Of a TLSRoute or TCPRoute. */
  readonly virtualServices: readonly VirtualServiceConfig[];
  /** What is wrong with its rules at gateways, and in the mesh. */
  readonly gatewayProblem?: Problem;
  readonly meshProblem?: Problem;
}

/** Source: Istio `HTTPRouteCollection`, `TLSRouteCollection`, `TCPRouteCollection`. */
export function convertRoute(
  objects: GatewayApiObjects,
  { kind, namespace, name }: ObjectKey,
): ConvertedRoute {
  return objects.derive(`gateway-api/route/${kind}/${namespace}/${name}`, () => {
    const route = objects.route({ kind, namespace, name });
    if (route === undefined) return { parts: [], virtualServices: [] };
    switch (kind) {
      case 'HTTPRoute':
      case 'GRPCRoute':
        return convertHttp(objects, route);
      case 'TLSRoute':
        return convertTls(objects, route as TlsRouteConfig);
      default:
        return convertTcp(objects, route as TcpRouteConfig);
    }
  });
}

/** VirtualServices of the parts that routes bound to one gateway (or the mesh) give. */
export function joinParts(
  parts: readonly { readonly route: RouteConfig; readonly part: RoutePart }[],
): readonly VirtualServiceConfig[] {
  const byKey = new Map<string, { readonly route: RouteConfig; readonly part: RoutePart }[]>();
  for (const each of parts) {
    const known = byKey.get(each.part.key);
    if (known === undefined) byKey.set(each.part.key, [each]);
    else known.push(each);
  }
  return [...byKey].map(([key, same]) => joinPart(key, same));
}

/** Older routes first; of equal rules theirs counts. Source: Istio `mergeHTTPRoutes`. */
function joinPart(
  key: string,
  parts: readonly { readonly route: RouteConfig; readonly part: RoutePart }[],
): VirtualServiceConfig {
  const ordered = [...parts].sort((a, b) => compareRoutes(a.route, b.route));
  const [first] = ordered;
  if (first === undefined) throw new Error(`no parts of ${key}`);
  const rules = sortHttpRules(ordered.flatMap(({ part }) => part.rules));
  return madeVirtualService(
    first.route,
    key.replaceAll('/', '~'),
    ordered.map(({ route }) => parentName(route)).join(','),
    { hosts: [first.part.host], gateways: [first.part.gateway], http: rules.map(({ rule }) => rule) },
    originsOf('http', rules),
  );
}

function convertHttp(objects: GatewayApiObjects, route: HttpRouteConfig | GrpcRouteConfig): ConvertedRoute {
  const rules = rulesFor(objects, route, (mustBeGranted) => {
    const referrer = { objects, route, mustBeGranted };
    return route.kind === 'HTTPRoute'
      ? httpRules(referrer, route as HttpRouteConfig)
      : grpcRules(referrer, route as GrpcRouteConfig);
  });
  const parts: RoutePart[] = [];
  for (const parent of attachedParents(objects, route)) {
    const { port } = parent.reference;
    const isOfMesh = isMesh(parent);
    const made = isOfMesh ? withHttpPort(rules.mesh.rules, port) : rules.gateway.rules;
    if (made.length === 0) continue;
    const place = isOfMesh
      ? `${route.namespace}${port === undefined ? '' : `/${port}`}`
      : parent.listener.gateway;
    for (const host of hostsFor(objects, route, parent)) {
      if (!isOwnHost(parent, host)) continue;
      const key = `${place}/${host}`;
      parts.push({ key, host, gateway: parent.listener.gateway, rules: made });
    }
  }
  return { parts, virtualServices: [], ...problemsOf(rules) };
}

function convertTls(objects: GatewayApiObjects, route: TlsRouteConfig): ConvertedRoute {
  const rules = rulesFor(objects, route, (mustBeGranted) =>
    tlsRules({ objects, route, mustBeGranted }, route),
  );
  const virtualServices: VirtualServiceConfig[] = [];
  for (const parent of attachedParents(objects, route)) {
    let hosts = hostsFor(objects, route, parent);
    let made: readonly MadeRule<TlsRule>[] = rules.gateway.rules;
    const { hostname } = parent.listener;
    if (isMesh(parent)) {
      made = withPort(withParentHosts(rules.mesh.rules, hosts), parent.reference.port);
    } else if (hostname !== '') {
      hosts = commonHosts(hosts, [hostname]);
      made = withinListener(made, hostname);
    }
    for (const host of hosts) {
      const own = isMesh(parent) ? onlyFor(made, host) : made;
      virtualServices.push(
        madeVirtualService(
          route,
          `${route.name}~tls~${virtualServices.length}~${suffix}`,
          parentName(route),
          { hosts: [host], gateways: [parent.listener.gateway], tls: own.map(({ rule }) => rule) },
          originsOf('tls', own),
        ),
      );
    }
  }
  return { parts: [], virtualServices, ...problemsOf(rules) };
}

function convertTcp(objects: GatewayApiObjects, route: TcpRouteConfig): ConvertedRoute {
  const rules = rulesFor(objects, route, (mustBeGranted) =>
    tcpRules({ objects, route, mustBeGranted }, route),
  );
  const virtualServices: VirtualServiceConfig[] = [];
  for (const parent of attachedParents(objects, route)) {
    const made: readonly MadeRule<TcpRule>[] = isMesh(parent)
      ? withPort(rules.mesh.rules, parent.reference.port)
      : rules.gateway.rules;
    for (const host of isMesh(parent) ? hostsFor(objects, route, parent) : ['*']) {
      virtualServices.push(
        madeVirtualService(
          route,
          `${route.name}~tcp~${virtualServices.length}~${suffix}`,
          parentName(route),
          { hosts: [host], gateways: [parent.listener.gateway], tcp: made.map(({ rule }) => rule) },
          originsOf('tcp', made),
        ),
      );
    }
  }
  return { parts: [], virtualServices, ...problemsOf(rules) };
}

const suffix = 'istio-autogenerated-k8s-gateway';

interface RulesOfParents<Rule> {
  readonly gateway: MadeRules<Rule>;
  readonly mesh: MadeRules<Rule>;
}

const noRules = { rules: [] };

/** Only what some parent asks for is converted, attached or not: what is wrong is said in any case. */
function rulesFor<Rule>(
  objects: GatewayApiObjects,
  route: RouteConfig,
  convert: (mustBeGranted: boolean) => MadeRules<Rule>,
): RulesOfParents<Rule> {
  const parents = routeParents(objects, route);
  return {
    gateway: parents.some((parent) => !isMesh(parent)) ? convert(true) : noRules,
    mesh: parents.some(isMesh) ? convert(false) : noRules,
  };
}

function problemsOf<Rule>({
  gateway,
  mesh,
}: RulesOfParents<Rule>): Pick<ConvertedRoute, 'gatewayProblem' | 'meshProblem'> {
  return {
    ...(gateway.problem === undefined ? {} : { gatewayProblem: gateway.problem }),
    ...(mesh.problem === undefined ? {} : { meshProblem: mesh.problem }),
  };
}

/** At gateways the route's own hosts, any where it names none; in the mesh those of the parent. */
function hostsFor(objects: GatewayApiObjects, route: RouteConfig, parent: RouteParent): readonly string[] {
  const { key } = parent;
  if (isMesh(parent)) {
    if (key.kind === 'Service') return [serviceHostname(key.name, key.namespace, objects.domainSuffix())];
    return objects.serviceEntry(key.namespace, key.name)?.spec.hosts ?? [];
  }
  const hostnames = hostnamesOf(route);
  return hostnames.length === 0 ? ['*'] : hostnames;
}

function withHttpPort(
  made: readonly MadeRule<HttpRule>[],
  port: number | undefined,
): readonly MadeRule<HttpRule>[] {
  if (port === undefined) return made;
  return made.map((each) => {
    const matches = (each.rule.match ?? [{}]).map((match) => ({ ...match, port }));
    return { ...each, rule: { ...each.rule, match: matches } };
  });
}

function parentName({ kind, name, namespace }: RouteConfig): string {
  return `${kind}/${name}.${namespace}`;
}

/** By age, then namespace, then name. */
function compareRoutes(a: RouteConfig, b: RouteConfig): number {
  if (a.creationTimeMs !== b.creationTimeMs || a.namespace === b.namespace) return compareAge(a, b);
  return a.namespace < b.namespace ? -1 : 1;
}

function originsOf(
  field: 'http' | 'tls' | 'tcp',
  rules: readonly MadeRule<unknown>[],
): Readonly<Record<string, Origin>> {
  return Object.fromEntries(
    rules.map(({ origin, routeOrigins }, index): [string, Origin] => {
      const parts = routeOrigins.map((each, route) => [`route/${route}`, each.fieldPath] as const);
      return [`spec/${field}/${index}`, { ...origin, parts: Object.fromEntries(parts) }];
    }),
  );
}

function madeVirtualService(
  route: RouteConfig,
  name: string,
  parents: string,
  spec: VirtualServiceSpec,
  parts: Readonly<Record<string, Origin>>,
): VirtualServiceConfig {
  return madeConfig({
    kind: 'VirtualService',
    namespace: route.namespace,
    name,
    creationTimeMs: route.creationTimeMs,
    annotations: {
      [annotationsOfGateways.parents]: parents,
      [annotationsOfGateways.routeSemantics]: 'gateway',
    },
    spec,
    madeOf: { whole: originOf(route), parts },
  });
}
