// Rules of TLSRoutes and TCPRoutes -> tls and tcp rules of VirtualServices.
import type { VirtualServiceSpec } from '../api/gen/istio-types.js';
import { originOf } from '../config/config.ts';
import type { StreamRouteRule, TcpRouteConfig, TlsRouteConfig } from '../config/gateway-api-types.ts';
import type { Referrer, StreamRoute } from './backends.ts';
import { hasShares, sharePlaces, streamDestinations } from './backends.ts';
import type { Problem } from './conditions.ts';
import type { MadeRule, MadeRules } from './http-rules.ts';
import { hostnameCovers, hostnamesOverlap } from '../model/hostname.ts';

export type TcpRule = NonNullable<VirtualServiceSpec['tcp']>[number];
export type TlsRule = NonNullable<VirtualServiceSpec['tls']>[number];

export function tcpRules(referrer: Referrer, route: TcpRouteConfig): MadeRules<TcpRule> {
  return rulesOf(referrer, route, (routes) => ({ route: routes }));
}

/** Source: Istio `convertTLSRoute`. */
export function tlsRules(referrer: Referrer, route: TlsRouteConfig): MadeRules<TlsRule> {
  const { hostnames = [] } = route.spec;
  const match = [{ sniHosts: hostnames.length === 0 ? ['*'] : [...hostnames] }];
  return rulesOf(referrer, route, (routes, hasBackends) => ({
    ...(hasBackends ? { match } : {}),
    route: routes,
  }));
}

/** Rules for one port of the parent alone. */
export function withPort<Rule extends TcpRule>(
  made: readonly MadeRule<Rule>[],
  port: number | undefined,
): readonly MadeRule<Rule>[] {
  if (port === undefined) return made;
  return made.map((each) => {
    const matches = (each.rule.match ?? [{}]).map((match) => ({ ...match, port }));
    return { ...each, rule: { ...each.rule, match: matches } };
  });
}

/** Where a route of the mesh names no hosts, the server names are those of its parent. */
export function withParentHosts(
  made: readonly MadeRule<TlsRule>[],
  parentHosts: readonly string[],
): readonly MadeRule<TlsRule>[] {
  return made.map((each) => {
    const [match, ...others] = each.rule.match ?? [];
    const isAny = match?.sniHosts?.length === 1 && match.sniHosts[0] === '*' && others.length === 0;
    return isAny
      ? { ...each, rule: { ...each.rule, match: [{ ...match, sniHosts: [...parentHosts] }] } }
      : each;
  });
}

/** Of several server names, those that fit one host of the parent. */
export function onlyFor(made: readonly MadeRule<TlsRule>[], host: string): readonly MadeRule<TlsRule>[] {
  return made.map((each) => {
    const [match, ...others] = each.rule.match ?? [];
    const names = match?.sniHosts ?? [];
    if (match === undefined || others.length > 0 || names.length < 2) return each;
    const sniHosts = names.filter((name) => hostnamesOverlap(host, name));
    return { ...each, rule: { ...each.rule, match: [{ ...match, sniHosts }] } };
  });
}

/** Server names that the listener has, too; rules without any left fall away. */
export function withinListener(
  made: readonly MadeRule<TlsRule>[],
  hostname: string,
): readonly MadeRule<TlsRule>[] {
  return made.flatMap((each) => {
    const { match } = each.rule;
    if (match === undefined) return [each];
    const within = match.map((one) => ({ ...one, sniHosts: commonHosts(one.sniHosts ?? [], [hostname]) }));
    return within.some(({ sniHosts }) => sniHosts.length > 0)
      ? [{ ...each, rule: { ...each.rule, match: within } }]
      : [];
  });
}

/** Of each pair in which one covers the other, the more specific host. */
export function commonHosts(left: readonly string[], right: readonly string[]): string[] {
  const common = left.flatMap((a) =>
    right.flatMap((b) => (hostnameCovers(b, a) ? [a] : hostnameCovers(a, b) ? [b] : [])),
  );
  return [...new Set(common)];
}

/** To a cluster that never is: connections are ended. */
const nowhere: StreamRoute = {
  destination: { host: 'internal.cluster.local', subset: 'zero-weight', port: { number: 65_535 } },
};

function rulesOf<Rule>(
  referrer: Referrer,
  route: TcpRouteConfig | TlsRouteConfig,
  make: (routes: StreamRoute[], hasBackends: boolean) => Rule,
): MadeRules<Rule> {
  const made: MadeRule<Rule>[] = [];
  let problem: Problem | undefined;
  for (const [index, source] of route.spec.rules.entries()) {
    const origin = originOf(route, 'spec', 'rules', index);
    const { backendRefs = [] }: StreamRouteRule = source;
    if (!hasShares(backendRefs)) {
      made.push({ rule: make([nowhere], false), origin, routeOrigins: [] });
      continue;
    }
    const found = streamDestinations(referrer, backendRefs);
    if (found.routes === undefined)
      return { rules: [], ...(found.problem === undefined ? {} : { problem: found.problem }) };
    problem = found.problem ?? problem;
    const routeOrigins = sharePlaces(backendRefs).map((place) =>
      originOf(route, 'spec', 'rules', index, 'backendRefs', place),
    );
    made.push({ rule: make([...found.routes], true), origin, routeOrigins });
  }
  return { rules: made, ...(problem === undefined ? {} : { problem }) };
}
