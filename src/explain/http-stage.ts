// From a request to its route, with every rule that was tried. Domains, clauses, rewrites and redirects are
// decided by the functions that the proxy itself is made of.
import type { Route, VirtualHost } from '../api/gen/envoy/config/route/v3/route_components_pb.js';
import { VirtualHost_TlsRequirementType as TlsRequirement } from '../api/gen/envoy/config/route/v3/route_components_pb.js';
import type { RouteConfiguration } from '../api/gen/envoy/config/route/v3/route_pb.js';
import type { HttpConnectionManager } from '../api/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { ConfigError } from '../proxy/config-error.ts';
import { preparePath } from '../proxy/http/path.ts';
import { hostOptionsOf, pathOptionsOf, strippedHost } from '../proxy/http/target-options.ts';
import { explainMatch } from '../proxy/matchers/explain.ts';
import type { MatchInput, RequestFields } from '../proxy/matchers/input.ts';
import { matchInput } from '../proxy/matchers/input.ts';
import { compileHostTable } from '../proxy/router/compile.ts';
import { findVirtualHost } from '../proxy/router/match.ts';
import type { ExplainedRequest } from './request.ts';
import type { RuleTrace, SourceRef } from './trace.ts';

/** The place of a part of the route configuration, as provenance names it, and whose YAML it came from. */
export type RouteSources = (at: string) => readonly SourceRef[];

export interface RoutedRequest {
  readonly input: MatchInput;
  readonly virtualHost:
    | { readonly host: VirtualHost; readonly index: number; readonly domain: string }
    | undefined;
  readonly rules: readonly RuleTrace[];
  readonly route: { readonly route: Route; readonly index: number } | undefined;
  /** A host that must be asked by TLS answers others with this. */
  readonly httpsRedirect: string | undefined;
}

export type PreparedTarget =
  | { readonly kind: 'ok'; readonly input: MatchInput }
  | { readonly kind: 'rejected'; readonly status: number; readonly reason: string };

/** The request as routes see it. Throws ConfigError. */
export function prepareTarget(
  manager: HttpConnectionManager | undefined,
  request: Pick<ExplainedRequest, 'method' | 'authority' | 'path'> & {
    readonly headers: NonNullable<RequestFields['headers']>;
  },
  tls: boolean,
  localPort: number,
): PreparedTarget {
  let { path, authority } = request;
  if (manager !== undefined) {
    authority = strippedHost(authority, hostOptionsOf(manager), localPort);
    const prepared = preparePath(path, pathOptionsOf(manager));
    if (prepared.kind === 'reject')
      return { kind: 'rejected', status: 400, reason: `the path ${path} has no normal form` };
    if (prepared.kind === 'redirect')
      return { kind: 'rejected', status: 307, reason: `escaped slashes: redirected to ${prepared.path}` };
    if (prepared.kind === 'changed') path = prepared.path;
  }
  const scheme = tls ? 'https' : 'http';
  const fields = { method: request.method, authority, path, scheme, headers: request.headers } as const;
  return { kind: 'ok', input: matchInput(fields) };
}

/** Throws ConfigError where the whole configuration would be refused. */
export function routeRequest(
  configuration: RouteConfiguration,
  input: MatchInput,
  sources: RouteSources,
): RoutedRequest {
  const hosts = configuration.virtualHosts;
  const index = findVirtualHost(
    compileHostTable(
      configuration,
      hosts.map((_host, place) => place),
    ),
    input.authority,
  );
  const host = index === undefined ? undefined : hosts[index];
  if (index === undefined || host === undefined)
    return { input, virtualHost: undefined, rules: [], route: undefined, httpsRedirect: undefined };
  const virtualHost = { host, index, domain: matchedDomain(configuration, host, input.authority) };
  if (host.requireTls !== TlsRequirement.NONE && !input.tls) {
    const httpsRedirect = `https://${input.authority}${input.path}`;
    return { input, virtualHost, rules: [], route: undefined, httpsRedirect };
  }
  const rules = tryRules(host, index, input, sources);
  const won = rules.find(({ result }) => result === 'matched');
  const route = won === undefined ? undefined : host.routes[won.index];
  return {
    input,
    virtualHost,
    rules,
    route: won === undefined || route === undefined ? undefined : { route, index: won.index },
    httpsRedirect: undefined,
  };
}

function tryRules(
  host: VirtualHost,
  hostIndex: number,
  input: MatchInput,
  sources: RouteSources,
): readonly RuleTrace[] {
  let isDecided = false;
  return host.routes.map((route, index): RuleTrace => {
    const at = `virtualHosts[${hostIndex}].routes[${index}]`;
    const rule = { index, name: route.name, reason: '', sources: sources(at) };
    if (route.match === undefined)
      return { ...rule, result: 'missed', clauses: [], reason: 'it has no match' };
    try {
      const clauses = explainMatch(route.match, input, 'match');
      const matched = clauses.every((clause) => clause.matched);
      if (isDecided) return { ...rule, result: 'not reached', clauses };
      isDecided = matched;
      return { ...rule, result: matched ? 'matched' : 'missed', clauses };
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      return { ...rule, result: isDecided ? 'not reached' : 'unknown', clauses: [], reason: error.message };
    }
  });
}

/** Of the host's domains the one that by itself would choose it; the most specific of several. */
function matchedDomain(configuration: RouteConfiguration, host: VirtualHost, authority: string): string {
  const matching = host.domains.filter((domain) => {
    const alone = { ...configuration, virtualHosts: [{ ...host, domains: [domain] }] };
    return findVirtualHost(compileHostTable(alone, [host]), authority) !== undefined;
  });
  const rank = (domain: string): number =>
    domain === '*' ? 0 : domain.endsWith('*') ? 1 : domain.startsWith('*') ? 2 : 3;
  return matching.sort((a, b) => rank(b) - rank(a) || b.length - a.length)[0] ?? '';
}
