// Matches of HTTPRoutes and GRPCRoutes -> matches of VirtualServices; and the order of rules.
import type { VirtualServiceSpec } from '../api/gen/istio-types.js';
import type { GrpcRouteMatch, HttpRouteMatch, NamedMatch } from '../config/gateway-api-types.ts';

export type HttpRule = NonNullable<VirtualServiceSpec['http']>[number];
export type HttpMatch = NonNullable<HttpRule['match']>[number];
export type StringMatch = NonNullable<HttpMatch['uri']>;

export function httpMatch({ path, headers, queryParams, method }: HttpRouteMatch): HttpMatch {
  const named = namedMatches(headers);
  const queries = namedMatches(queryParams);
  return {
    uri: pathMatch(path),
    ...(named === undefined ? {} : { headers: named }),
    ...(queries === undefined ? {} : { queryParams: queries }),
    ...(method === undefined ? {} : { method: { exact: method } }),
  };
}

/** The path of a gRPC request is `/service/method`. Source: Istio `createGRPCURIMatch`. */
export function grpcMatch({ method, headers }: GrpcRouteMatch): HttpMatch {
  const named = namedMatches(headers);
  const uri = method === undefined ? undefined : grpcPath(method);
  return { ...(uri === undefined ? {} : { uri }), ...(named === undefined ? {} : { headers: named }) };
}

/**
 * Sorts by what the Gateway API puts first: an exact path, then a prefix, then an expression; the longer one;
 * one with a method; more headers; more query parameters. Rules without a match come last; otherwise the order
 * stays. Source: HTTPRouteRule reference; Istio `sortHTTPRoutes`.
 */
export function sortHttpRules<T extends { readonly rule: HttpRule }>(rules: readonly T[]): readonly T[] {
  return [...rules].sort((a, b) => compareMatches(a.rule.match?.[0], b.rule.match?.[0]));
}

function compareMatches(a: HttpMatch | undefined, b: HttpMatch | undefined): number {
  if (a === undefined || b === undefined) return Number(a === undefined) - Number(b === undefined);
  return (
    rank(b.uri) - rank(a.uri) ||
    length(b.uri) - length(a.uri) ||
    Number(b.method !== undefined) - Number(a.method !== undefined) ||
    count(b.headers) - count(a.headers) ||
    count(b.queryParams) - count(a.queryParams)
  );
}

function rank(uri: StringMatch | undefined): number {
  if (uri?.exact !== undefined) return 3;
  if (uri?.prefix !== undefined) return 2;
  return uri?.regex === undefined ? -1 : 1;
}

function length(uri: StringMatch | undefined): number {
  return (uri?.exact ?? uri?.prefix ?? uri?.regex ?? '').length;
}

function count(record: Readonly<Record<string, unknown>> | undefined): number {
  return Object.keys(record ?? {}).length;
}

/** A slash at the end of a prefix says nothing. */
function pathMatch({ type = 'PathPrefix', value = '/' }: HttpRouteMatch['path'] = {}): StringMatch {
  if (type === 'Exact') return { exact: value };
  if (type === 'RegularExpression') return { regex: value };
  return { prefix: value === '/' ? value : value.replace(/\/$/, '') };
}

function grpcPath(match: NonNullable<GrpcRouteMatch['method']>): StringMatch | undefined {
  const { type = 'Exact', service, method } = match;
  if (service === undefined) return method === undefined ? undefined : { regex: `/[^/]+/${method}` };
  if (type === 'Exact')
    return method === undefined ? { prefix: `/${service}/` } : { exact: `/${service}/${method}` };
  return { regex: `/${service}/${method ?? '.+'}` };
}

function namedMatches(
  matches: readonly NamedMatch[] = [],
): Readonly<Record<string, StringMatch>> | undefined {
  if (matches.length === 0) return undefined;
  return Object.fromEntries(
    matches.map(({ type, name, value }) => [
      name,
      type === 'RegularExpression' ? { regex: value } : { exact: value },
    ]),
  );
}
