// From a request to its route, and what that route makes of it: pure, so that `explain` and tests share it.
import type { MatchInput } from '../matchers/input.ts';
import { withoutQuery } from '../matchers/input.ts';
import type { PathSpecifier } from '../matchers/route.ts';
import type {
  CompiledRoute,
  CompiledRoutes,
  CompiledVirtualHost,
  ForwardTarget,
  HostTable,
  PathRewrite,
  RedirectActionKind,
  WeightedTarget,
} from './compiled.ts';

/** What becomes of a request, and why. */
export interface RouteDecision {
  readonly kind:
    | 'no-virtual-host'
    | 'no-route'
    | 'https-redirect'
    | 'forward'
    | 'redirect'
    | 'direct'
    | 'non-forwarding';
  readonly virtualHost: string | undefined;
  /** Place of the route in its virtual host. */
  readonly routeIndex: number | undefined;
  readonly routeName: string | undefined;
  /** For 'forward': where it goes. */
  readonly cluster: string | undefined;
  /** Path with query and host as sent to the cluster; undefined for what is answered here. */
  readonly path: string | undefined;
  readonly host: string | undefined;
  /** For what is answered here. */
  readonly status: number | undefined;
  readonly location: string | undefined;
  readonly body: string | undefined;
  /** One English sentence. */
  readonly reason: string;
}

/** Decides without a socket. `auto_host_rewrite` depends on the chosen endpoint: `host` is then unchanged. */
export function matchRequest(routes: CompiledRoutes, input: MatchInput): RouteDecision {
  const virtualHost = findVirtualHost(routes, input.authority);
  if (virtualHost === undefined) {
    return {
      ...nothing,
      kind: 'no-virtual-host',
      status: 404,
      reason: `no virtual host of ${routes.name} has a domain for ${input.authority}`,
    };
  }
  const found = { ...nothing, virtualHost: virtualHost.name };
  if (virtualHost.requireTls !== 'none' && !input.tls) {
    return {
      ...found,
      kind: 'https-redirect',
      status: 301,
      location: `https://${input.authority}${input.path}`,
      reason: `the virtual host ${virtualHost.name} requires TLS`,
    };
  }
  const route = findRoute(virtualHost, input);
  if (route === undefined) {
    return {
      ...found,
      kind: 'no-route',
      status: 404,
      reason: `none of the ${virtualHost.routes.length} routes of the virtual host ${virtualHost.name} matches`,
    };
  }
  const matched = {
    ...found,
    routeIndex: route.index,
    routeName: route.name,
    reason: `route ${route.index}${route.name === '' ? '' : ` (${route.name})`} of the virtual host ${virtualHost.name} is the first that matches`,
  };
  const { action } = route;
  switch (action.kind) {
    case 'forward': {
      const weighted = chooseWeighted(action.target, input.random());
      const host = action.hostRewrite?.kind === 'literal' ? action.hostRewrite.host : undefined;
      return {
        ...matched,
        kind: 'forward',
        cluster: clusterName(action.target, weighted, input),
        path: rewritePath(action.pathRewrite, input.path),
        host:
          weighted !== undefined && weighted.hostRewrite !== ''
            ? weighted.hostRewrite
            : (host ?? input.authority),
      };
    }
    case 'redirect':
      return {
        ...matched,
        kind: 'redirect',
        status: action.status,
        location: redirectLocation(action, input),
      };
    case 'direct':
      return {
        ...matched,
        kind: 'direct',
        status: action.status,
        location: directLocation(action, input),
        body: action.body,
      };
    case 'non-forwarding':
    default:
      return { ...matched, kind: 'non-forwarding', status: 404 };
  }
}

const nothing = {
  virtualHost: undefined,
  routeIndex: undefined,
  routeName: undefined,
  cluster: undefined,
  path: undefined,
  host: undefined,
  status: undefined,
  location: undefined,
  body: undefined,
} as const;

/** Exact domain, then the longest suffix pattern, then the longest prefix pattern, then `*`. */
export function findVirtualHost<Host>(routes: HostTable<Host>, authority: string): Host | undefined {
  const direct = routes.exact.get(authority);
  if (direct !== undefined) return direct;
  let host = authority.toLowerCase();
  if (routes.ignorePort) host = withoutPort(host);
  const exact = routes.exact.get(host);
  if (exact !== undefined) return exact;
  for (const { text, virtualHost } of routes.suffixes) {
    if (host.length > text.length && host.endsWith(text)) return virtualHost;
  }
  for (const { text, virtualHost } of routes.prefixes) {
    if (host.length > text.length && host.startsWith(text)) return virtualHost;
  }
  return routes.any;
}

/** A direct response of 201 or 3xx says where: at the URL of the request itself. */
export function directLocation(
  { status }: { readonly status: number },
  { authority, path, scheme }: MatchInput,
): string | undefined {
  return status === 201 || (status >= 300 && status < 400) ? `${scheme}://${authority}${path}` : undefined;
}

/** The first route that matches. */
export function findRoute(virtualHost: CompiledVirtualHost, input: MatchInput): CompiledRoute | undefined {
  const { routes } = virtualHost;
  for (let index = 0; index < routes.length; index++) {
    const route = routes[index]!;
    if (route.match.matches(input)) return route;
  }
  return undefined;
}

/** The part of a weighted target that `point` in [0, 1) falls on; undefined for other targets. */
export function chooseWeighted(target: ForwardTarget, point: number): WeightedTarget | undefined {
  if (target.kind !== 'weighted') return undefined;
  let left = Math.floor(point * target.totalWeight);
  for (const cluster of target.clusters) {
    if (left < cluster.weight) return cluster;
    left -= cluster.weight;
  }
  return target.clusters.at(-1);
}

/** The cluster's name; empty if a header should name it and does not. */
export function clusterName(
  target: ForwardTarget,
  weighted: WeightedTarget | undefined,
  input: MatchInput,
): string {
  switch (target.kind) {
    case 'cluster':
      return target.cluster;
    case 'header':
      return input.headers.get(target.header) ?? '';
    case 'weighted':
    default:
      if (weighted === undefined) return '';
      return weighted.clusterHeader === ''
        ? weighted.cluster
        : (input.headers.get(weighted.clusterHeader) ?? '');
  }
}

/** `path` with its query; rewritten without touching the query. */
export function rewritePath(rewrite: PathRewrite | undefined, path: string): string {
  if (rewrite === undefined) return path;
  const pathOnly = withoutQuery(path);
  const query = path.slice(pathOnly.length);
  if (rewrite.kind === 'regex') return rewrite.substitution.replace(pathOnly) + query;
  return rewrite.replacement + pathOnly.slice(matchedLength(rewrite.matched, pathOnly)) + query;
}

/** How much of the path a prefix rewrite replaces: the matched prefix, or all that an exact or regex match matched. */
function matchedLength(matched: PathSpecifier, pathOnly: string): number {
  return matched.kind === 'prefix' || matched.kind === 'path_separated_prefix'
    ? matched.text.length
    : pathOnly.length;
}

/** The `location` of a redirect (Envoy's RouteEntryImplBase::newUri). */
export function redirectLocation(action: RedirectActionKind, input: MatchInput): string {
  const scheme = action.scheme !== '' ? action.scheme : action.httpsRedirect ? 'https' : input.scheme;
  const port = action.port === 0 ? '' : `:${action.port}`;
  const host = action.host === '' ? redirectHost(input, scheme, port) : action.host;
  return `${scheme}://${host}${port}${redirectPath(action, input)}`;
}

/** The request's host; its port goes when another is set, or when it was the old scheme's own. */
function redirectHost(input: MatchInput, scheme: string, port: string): string {
  const host = input.authority;
  const plain = withoutPort(host);
  if (plain === host) return host;
  if (port !== '') return plain;
  const oldPort = host.slice(plain.length + 1);
  const changed = scheme !== input.scheme;
  return changed && oldPort === (input.scheme === 'https' ? '443' : '80') ? plain : host;
}

/** A path without a slash at its beginning gets one. */
function redirectPath(action: RedirectActionKind, input: MatchInput): string {
  const path = writtenRedirectPath(action, input);
  return path.startsWith('/') ? path : `/${path}`;
}

function writtenRedirectPath(action: RedirectActionKind, input: MatchInput): string {
  const query = input.path.slice(input.pathOnly.length);
  if (action.path !== '') {
    if (action.path.includes('?') || action.stripQuery) return action.path;
    return action.path + query;
  }
  const path = rewritePath(action.rewrite, input.path);
  return action.stripQuery ? withoutQuery(path) : path;
}

/** `host` without a port: `[::1]:80` -> `[::1]`. */
export function withoutPort(host: string): string {
  const colon = host.lastIndexOf(':');
  if (colon < 0 || host.endsWith(']')) return host;
  // More than one colon without brackets is an IPv6 address.
  if (host.indexOf(':') !== colon && !host.startsWith('[')) return host;
  for (let at = colon + 1; at < host.length; at++) {
    const code = host.charCodeAt(at);
    if (code < 48 || code > 57) return host;
  }
  return host.slice(0, colon);
}
