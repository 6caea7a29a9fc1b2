// Rules of HTTPRoutes and GRPCRoutes -> http rules of VirtualServices, one for each match.
import type {
  GrpcRouteConfig,
  GrpcRouteRule,
  HttpRouteConfig,
  HttpRouteRule,
  RequestMirror,
  RouteFilter,
} from '../config/gateway-api-types.ts';
import { originOf } from '../config/config.ts';
import { parseDurationNs } from '../model/duration.ts';
import type { Origin } from '../model/origin.ts';
import type { Referrer } from './backends.ts';
import { hasShares, httpDestinations, resolveBackend, sharePlaces } from './backends.ts';
import type { Problem } from './conditions.ts';
import { corsOf, headersOf, redirectOf, rewriteOf, unsupportedFilter } from './filters.ts';
import type { HttpMatch, HttpRule } from './matches.ts';
import { grpcMatch, httpMatch } from './matches.ts';

/** A rule with the places that it came from. */
export interface MadeRule<Rule> {
  readonly rule: Rule;
  readonly origin: Origin;
  /** Of each `rule.route`. */
  readonly routeOrigins: readonly Origin[];
}

/** `rules` are all or none: one that cannot be used takes the others with it, as in Istio. */
export interface MadeRules<Rule> {
  readonly rules: readonly MadeRule<Rule>[];
  readonly problem?: Problem;
}

export function httpRules(referrer: Referrer, route: HttpRouteConfig): MadeRules<HttpRule> {
  return rulesOf(
    route,
    route.spec.rules ?? [],
    ({ matches = [] }) => matches.map(httpMatch),
    (rule, match, name) => convertRule(referrer, rule, match, name),
  );
}

export function grpcRules(referrer: Referrer, route: GrpcRouteConfig): MadeRules<HttpRule> {
  return rulesOf(
    route,
    route.spec.rules ?? [],
    ({ matches = [] }) => matches.map(grpcMatch),
    (rule, match, name) => convertRule(referrer, rule, match, name),
  );
}

interface ConvertedRule {
  /** Absent: it cannot be used. */
  readonly rule?: HttpRule;
  readonly problem?: Problem;
}

function rulesOf<Rule extends HttpRouteRule | GrpcRouteRule>(
  route: HttpRouteConfig | GrpcRouteConfig,
  rules: readonly Rule[],
  matchesOf: (rule: Rule) => readonly HttpMatch[],
  convert: (rule: Rule, match: HttpMatch | undefined, name: string) => ConvertedRule,
): MadeRules<HttpRule> {
  const made: MadeRule<HttpRule>[] = [];
  let problem: Problem | undefined;
  for (const [ruleIndex, rule] of rules.entries()) {
    const matches = matchesOf(rule);
    const name = rule.name ?? `${route.namespace}.${route.name}.${ruleIndex}`;
    const routeOrigins = sharePlaces(rule.backendRefs).map((index) =>
      originOf(route, 'spec', 'rules', ruleIndex, 'backendRefs', index),
    );
    for (const [matchIndex, match] of (matches.length === 0 ? [undefined] : matches).entries()) {
      const converted = convert(rule, match, name);
      if (converted.rule === undefined)
        return { rules: [], ...(converted.problem === undefined ? {} : { problem: converted.problem }) };
      problem = converted.problem ?? problem;
      const path = match === undefined ? [] : ['matches', matchIndex];
      const origin = originOf(route, 'spec', 'rules', ruleIndex, ...path);
      made.push({ rule: converted.rule, origin, routeOrigins });
    }
  }
  return { rules: made, ...(problem === undefined ? {} : { problem }) };
}

/** Source: Istio `convertHTTPRoute`, `convertGRPCRoute`. */
function convertRule(
  referrer: Referrer,
  source: Omit<HttpRouteRule, 'matches'>,
  match: HttpMatch | undefined,
  name: string,
): ConvertedRule {
  const filters = source.filters ?? [];
  const foreign = filters.find(({ type }) => type === 'ExtensionRef' || type === 'ExternalAuth');
  if (foreign !== undefined) return { problem: unsupportedFilter(foreign.type) };
  const headers = headersOf(filters);
  if ('problem' in headers) return { problem: headers.problem };
  const mirrors = mirrorsOf(referrer, filters);
  if (mirrors.problem !== undefined && referrer.route.kind === 'GRPCRoute')
    return { problem: mirrors.problem };
  const base: HttpRule = {
    name,
    ...(match === undefined ? {} : { match: [match] }),
    ...headers,
    ...actionsOf(filters),
    ...(mirrors.mirrors.length === 0 ? {} : { mirrors: mirrors.mirrors }),
    ...retriesAndTimeout(source),
  };
  const backends = source.backendRefs ?? [];
  if (!hasShares(backends) && base.redirect === undefined)
    return withProblem({ ...base, directResponse: { status: 500 } }, mirrors.problem);
  const { routes, problem } = httpDestinations(referrer, backends);
  if (routes === undefined) return problem === undefined ? {} : { problem };
  const rule = routes.length === 0 ? base : { ...base, route: [...routes] };
  return withProblem(rule, joined(problem, mirrors.problem));
}

function withProblem(rule: HttpRule, problem: Problem | undefined): ConvertedRule {
  return { rule, ...(problem === undefined ? {} : { problem }) };
}

function joined(a: Problem | undefined, b: Problem | undefined): Problem | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return { reason: a.reason, message: `${a.message}; ${b.message}` };
}

function actionsOf(filters: readonly RouteFilter[]): HttpRule {
  const { requestRedirect } = filters.find((each) => each.requestRedirect !== undefined) ?? {};
  const { urlRewrite } = filters.find((each) => each.urlRewrite !== undefined) ?? {};
  const { cors } = filters.find((each) => each.cors !== undefined) ?? {};
  const rewrite = urlRewrite === undefined ? undefined : rewriteOf(urlRewrite);
  return {
    ...(requestRedirect === undefined ? {} : { redirect: redirectOf(requestRedirect) }),
    ...(rewrite === undefined ? {} : { rewrite }),
    ...(cors === undefined ? {} : { corsPolicy: corsOf(cors) }),
  };
}

type Mirror = NonNullable<HttpRule['mirrors']>[number];

/** A mirror that cannot be reached is left out; the requests themselves go on. */
function mirrorsOf(
  referrer: Referrer,
  filters: readonly RouteFilter[],
): { readonly mirrors: Mirror[]; readonly problem?: Problem } {
  const mirrors: Mirror[] = [];
  let problem: Problem | undefined;
  for (const { requestMirror } of filters) {
    if (requestMirror === undefined) continue;
    const resolved = resolveBackend(referrer, requestMirror.backendRef);
    if (resolved.problem !== undefined) problem = resolved.problem;
    else if (resolved.destination !== undefined)
      mirrors.push({ destination: resolved.destination, ...percentageOf(requestMirror) });
  }
  return { mirrors, ...(problem === undefined ? {} : { problem }) };
}

function percentageOf({ fraction, percent }: RequestMirror): { percentage?: { value: number } } {
  if (fraction !== undefined)
    return { percentage: { value: (100 * fraction.numerator) / (fraction.denominator ?? 100) } };
  return percent === undefined ? {} : { percentage: { value: percent } };
}

/**
 * backendRequest bounds each try where there are retries, else the request; a timeout of 0 is none. Connection
 * errors are retried whenever retries are asked for. Source: GEP-1731, GEP-1742; Istio `convertHTTPRoute`.
 */
function retriesAndTimeout({ retry, timeouts = {} }: Pick<HttpRouteRule, 'retry' | 'timeouts'>): HttpRule {
  const request = secondsOf(timeouts.request);
  const backendRequest = secondsOf(timeouts.backendRequest);
  const timeout = retry === undefined ? (backendRequest ?? request) : request;
  if (retry === undefined) return timeout === undefined ? {} : { timeout };
  const { attempts = 2, codes = [], backoff } = retry;
  const conditions = ['connect-failure', 'refused-stream', 'unavailable', 'cancelled', ...codes.map(String)];
  const wait = secondsOf(backoff, true);
  return {
    ...(timeout === undefined ? {} : { timeout }),
    retries: {
      attempts,
      ...(attempts === 0 ? {} : { retryOn: conditions.join(',') }),
      ...(wait === undefined ? {} : { backoff: wait }),
      ...(backendRequest === undefined ? {} : { perTryTimeout: backendRequest }),
    },
  };
}

/** `0.5s`; undefined for nothing and, unless it may be, for 0. */
function secondsOf(text: string | undefined, mayBeZero = false): string | undefined {
  const nanoseconds = text === undefined ? undefined : parseDurationNs(text);
  if (nanoseconds === undefined || (nanoseconds === 0 && !mayBeZero)) return undefined;
  return `${nanoseconds / 1e9}s`;
}
