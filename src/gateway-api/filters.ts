// Filters of HTTPRoutes and GRPCRoutes -> fields of VirtualServices.
import type {
  CorsFilter,
  HeaderModifier,
  PathModifier,
  RequestRedirect,
  RouteFilter,
} from '../config/gateway-api-types.ts';
import type { Problem } from './conditions.ts';
import type { HttpRule, StringMatch } from './matches.ts';

export type Headers = NonNullable<HttpRule['headers']>;
type HeaderOperations = NonNullable<Headers['request']>;

/** The header operations of filters of a rule or backend; a problem where one of them cannot be done. */
export function headersOf(
  filters: readonly RouteFilter[],
): { readonly headers?: Headers } | { readonly problem: Problem } {
  const headers: { request?: HeaderOperations; response?: HeaderOperations } = {};
  for (const { requestHeaderModifier: request, responseHeaderModifier: response } of filters) {
    for (const modifier of [request, response]) {
      const problem = modifier === undefined ? undefined : headerProblem(modifier);
      if (problem !== undefined) return { problem };
    }
    if (request !== undefined) headers.request = headerOperations(request);
    if (response !== undefined) headers.response = headerOperations(response);
  }
  return headers.request === undefined && headers.response === undefined ? {} : { headers };
}

/** A value with control characters would split the message that it stands in; undefined: there is none. */
export function headerProblem({ set = [], add = [] }: HeaderModifier): Problem | undefined {
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  const bad = [...set, ...add].find(({ value }) => /[\u0000-\u0008\u000a-\u001f\u007f]/.test(value));
  return bad === undefined
    ? undefined
    : { reason: 'InvalidFilter', message: `header "${bad.name}" value contains invalid characters` };
}

export function unsupportedFilter(type: string): Problem {
  return { reason: 'InvalidFilter', message: `unsupported filter type "${type}"` };
}

/** Of several entries for one header the first counts. */
function headerOperations({ set, add, remove = [] }: HeaderModifier): HeaderOperations {
  const values = (list: HeaderModifier['set'] = []): Record<string, string> => {
    const byName: Record<string, string> = {};
    for (const { name, value } of list) byName[name.toLowerCase()] ??= value;
    return byName;
  };
  return {
    ...(add === undefined || add.length === 0 ? {} : { add: values(add) }),
    ...(set === undefined || set.length === 0 ? {} : { set: values(set) }),
    ...(remove.length === 0 ? {} : { remove: [...remove] }),
  };
}

/** Undefined: nothing is rewritten. Source: Istio `createRewriteFilter`. */
export function rewriteOf({ hostname, path }: NonNullable<RouteFilter['urlRewrite']>): HttpRule['rewrite'] {
  const uri = path === undefined ? {} : rewrittenPath(path);
  if (hostname === undefined && Object.keys(uri).length === 0) return undefined;
  return { ...uri, ...(hostname === undefined ? {} : { authority: hostname }) };
}

/** `/` takes the prefix away. */
function rewrittenPath({
  replaceFullPath,
  replacePrefixMatch,
}: PathModifier): NonNullable<HttpRule['rewrite']> {
  if (replacePrefixMatch !== undefined) return { uri: replacePrefixMatch.replace(/\/$/, '') || '/' };
  return replaceFullPath === undefined ? {} : { uriRegexRewrite: { match: '/.*', rewrite: replaceFullPath } };
}

/**
 * Without a port it is that of the request, or with a scheme that of the scheme.
 * Source: HTTPRequestRedirectFilter reference; Istio `createRedirectFilter`.
 */
export function redirectOf(redirect: RequestRedirect): NonNullable<HttpRule['redirect']> {
  const { statusCode, hostname, scheme, port, path } = redirect;
  return {
    ...(statusCode === undefined ? {} : { redirectCode: statusCode }),
    ...(hostname === undefined ? {} : { authority: hostname }),
    ...(scheme === undefined ? {} : { scheme }),
    ...(port !== undefined
      ? { port }
      : { derivePort: scheme === undefined ? 'FROM_REQUEST_PORT' : 'FROM_PROTOCOL_DEFAULT' }),
    ...(path?.replaceFullPath === undefined ? {} : { uri: path.replaceFullPath }),
    ...(path?.replacePrefixMatch === undefined ? {} : { prefixRewrite: path.replacePrefixMatch }),
  };
}

/** Preflights of origins that are not allowed go on to the backend. Source: Istio `createCorsFilter`. */
export function corsOf(cors: CorsFilter): NonNullable<HttpRule['corsPolicy']> {
  const { allowOrigins = [], allowCredentials, allowMethods, allowHeaders, exposeHeaders, maxAge = 0 } = cors;
  const origins = allowOrigins.filter((origin) => origin !== '').map(originMatch);
  return {
    ...(origins.length === 0 ? {} : { allowOrigins: origins }),
    ...(allowCredentials === true ? { allowCredentials } : {}),
    ...(allowMethods === undefined ? {} : { allowMethods: [...allowMethods] }),
    ...(allowHeaders === undefined ? {} : { allowHeaders: [...allowHeaders] }),
    ...(exposeHeaders === undefined ? {} : { exposeHeaders: [...exposeHeaders] }),
    ...(maxAge > 0 ? { maxAge: `${maxAge}s` } : {}),
    unmatchedPreflights: 'IGNORE',
  };
}

/** A star alone is any origin (RFC 6454: scheme, host, port), elsewhere any characters. */
function originMatch(origin: string): StringMatch {
  if (origin === '*') return { regex: String.raw`^[a-zA-Z][a-zA-Z0-9+.-]*://[^/\s?#]+$` };
  if (!origin.includes('*')) return { exact: origin };
  if (origin.indexOf('*') === origin.length - 1) return { prefix: origin.slice(0, -1) };
  // What RE2 (Go's QuoteMeta) takes for special.
  const parts = origin.split('*').map((part) => part.replaceAll(/[\\.+*?()|[\]{}^$]/g, String.raw`\$&`));
  return { regex: `^${parts.join('.*')}$` };
}
