// Routes of the Gateway API: what their CRDs demand beyond the structure (CEL rules, patterns, limits; release 1.6).
import type {
  BackendRef,
  CommonRouteSpec,
  GrpcRouteSpec,
  HttpRouteMatch,
  HttpRouteRule,
  HttpRouteSpec,
  NamedMatch,
  PathModifier,
  RequestMirror,
  RouteFilter,
  TcpRouteSpec,
  TlsRouteSpec,
} from '../gateway-api-types.ts';
import { gatewayApiGroup } from '../config.ts';
import { parseDurationNs } from '../../model/duration.ts';
import { isDnsSubdomain } from '../metadata.ts';
import { Checker, each } from './checker.ts';
import { checkCount, checkHostname } from './gateway-api.ts';
import type { Validator } from './validator.ts';

export const validateHttpRoute: Validator = (object, _meta, report) => {
  const spec = object['spec'] as HttpRouteSpec;
  const checker = new Checker(report, ['spec']);
  checkCommon(spec, checker);
  checkHostnames(spec.hostnames, 0, 16, checker);
  const { rules = [] } = spec;
  if (spec.rules !== undefined) checkCount(rules, 1, 16, checker.at('rules'));
  checkMatchCount(rules, checker.at('rules'));
  checkRuleNames(rules, checker);
  for (const [rule, place] of each(rules, checker, 'rules')) checkHttpRule(rule, place);
};

export const validateGrpcRoute: Validator = (object, _meta, report) => {
  const spec = object['spec'] as GrpcRouteSpec;
  const checker = new Checker(report, ['spec']);
  checkCommon(spec, checker);
  checkHostnames(spec.hostnames, 0, 16, checker);
  const { rules = [] } = spec;
  checkCount(rules, 0, 16, checker.at('rules'));
  checkMatchCount(rules, checker.at('rules'));
  checkRuleNames(rules, checker);
  for (const [rule, place] of each(rules, checker, 'rules')) {
    for (const [match, at] of each(rule.matches, place, 'matches')) {
      checkNamed(match.headers, at.at('headers'));
      const { method } = match;
      if (method === undefined) continue;
      if (method.service === undefined && method.method === undefined)
        at.at('method').error('must have service, method or both');
      if (method.type === 'RegularExpression') continue;
      if (method.service !== undefined && !/^\.?[a-z_][a-z_0-9]*(\.[a-z_][a-z_0-9]*)*$/i.test(method.service))
        at.at('method', 'service').error(`"${method.service}" is not the name of a gRPC service`);
      if (method.method !== undefined && !/^[A-Za-z_][A-Za-z_0-9]*$/.test(method.method))
        at.at('method', 'method').error(`"${method.method}" is not the name of a gRPC method`);
    }
    checkFilters(rule.filters, place.at('filters'));
    checkBackends(rule.backendRefs, place);
    checkSession(rule, place);
  }
};

export const validateTlsRoute: Validator = (object, _meta, report) => {
  const spec = object['spec'] as TlsRouteSpec;
  const checker = new Checker(report, ['spec']);
  checkCommon(spec, checker);
  checkHostnames(spec.hostnames, 0, 1024, checker);
  checkStreamRules(spec, checker);
};

export const validateTcpRoute: Validator = (object, _meta, report) => {
  const spec = object['spec'] as TcpRouteSpec;
  const checker = new Checker(report, ['spec']);
  checkCommon(spec, checker);
  checkStreamRules(spec, checker);
};

function checkStreamRules({ rules }: TcpRouteSpec, checker: Checker): void {
  checkCount(rules, 1, 16, checker.at('rules'));
  for (const [rule, place] of each(rules, checker, 'rules')) {
    checkCount(rule.backendRefs ?? [], 1, 16, place.at('backendRefs'));
    checkBackends(rule.backendRefs, place);
  }
}

/** Of several references to one parent each must name another section or port. */
function checkCommon({ parentRefs = [], useDefaultGateways }: CommonRouteSpec, checker: Checker): void {
  checkCount(parentRefs, 0, 32, checker.at('parentRefs'));
  const places = new Map<string, Set<string>>();
  for (const [ref, place] of each(parentRefs, checker, 'parentRefs')) {
    const { group = gatewayApiGroup, kind = 'Gateway', namespace = '', name } = ref;
    const key = `${group}/${kind}/${namespace}/${name}`;
    const known = places.get(key) ?? new Set();
    const section = `${ref.sectionName ?? ''}/${ref.port ?? ''}`;
    if (known.has(section)) place.error(`${kind} ${name} is named by an earlier reference already`);
    else if (known.size > 0 && (section === '/' || known.has('/')))
      place.error(`sectionName or port must be set on each of several references to ${kind} ${name}`);
    places.set(key, known.add(section));
  }
  if (useDefaultGateways === 'All')
    checker.at('useDefaultGateways').warn('has no effect, as in Istio', 'no-effect');
}

function checkHostnames(hostnames: readonly string[] = [], min: number, max: number, checker: Checker): void {
  checkCount(hostnames, min, max, checker.at('hostnames'));
  for (const [hostname, place] of each(hostnames, checker, 'hostnames')) checkHostname(hostname, place);
}

function checkMatchCount(
  rules: readonly { readonly matches?: readonly unknown[] }[],
  checker: Checker,
): void {
  let all = 0;
  for (const [index, { matches = [] }] of rules.entries()) {
    checkCount(matches, 0, 64, checker.at(index, 'matches'));
    all += matches.length;
  }
  if (all > 128) checker.error(`the rules must have at most 128 matches together, not ${all}`);
}

function checkRuleNames(rules: readonly { readonly name?: string }[], checker: Checker): void {
  const names = new Set<string>();
  for (const [{ name }, place] of each(rules, checker, 'rules')) {
    if (name === undefined) continue;
    if (!isDnsSubdomain(name)) place.at('name').error(`"${name}" is not the name of a rule`);
    if (names.has(name)) place.at('name').error(`rule ${name} stands here twice`);
    names.add(name);
  }
}

function checkHttpRule(rule: HttpRouteRule, checker: Checker): void {
  for (const [match, place] of each(rule.matches, checker, 'matches')) checkHttpMatch(match, place);
  const filters = rule.filters ?? [];
  checkFilters(filters, checker.at('filters'));
  checkBackends(rule.backendRefs, checker);
  if (
    (rule.backendRefs ?? []).length > 0 &&
    filters.some(({ requestRedirect }) => requestRedirect !== undefined)
  )
    checker.error('a RequestRedirect filter cannot stand together with backendRefs');
  const all = [...filters, ...(rule.backendRefs ?? []).flatMap((backend) => backend.filters ?? [])];
  const replacesPrefix = all.some(
    ({ requestRedirect, urlRewrite }) =>
      requestRedirect?.path?.replacePrefixMatch !== undefined ||
      urlRewrite?.path?.replacePrefixMatch !== undefined,
  );
  if (replacesPrefix && !hasOnePrefix(rule.matches ?? []))
    checker.error('replacePrefixMatch asks for exactly one match, with a path of type PathPrefix');
  checkTimeouts(rule, checker);
  if (rule.retry?.backoff !== undefined) checkDuration(rule.retry.backoff, checker.at('retry', 'backoff'));
  checkSession(rule, checker);
}

/** Without matches there is the default one: the prefix `/`. */
function hasOnePrefix(matches: readonly HttpRouteMatch[]): boolean {
  return (
    matches.length === 0 ||
    (matches.length === 1 && (matches[0]?.path?.type ?? 'PathPrefix') === 'PathPrefix')
  );
}

function checkHttpMatch({ path, headers, queryParams }: HttpRouteMatch, checker: Checker): void {
  checkNamed(headers, checker.at('headers'));
  checkNamed(queryParams, checker.at('queryParams'));
  const value = path?.value;
  if (value === undefined || path?.type === 'RegularExpression') return;
  const place = checker.at('path', 'value');
  if (value.length > 1024) place.error('must have at most 1024 characters');
  if (!value.startsWith('/')) place.error(`must begin with /, not be "${value}"`);
  const bad = ['//', '/./', '/../', '%2f', '%2F', '#'].find((part) => value.includes(part));
  if (bad !== undefined) place.error(`must not contain ${bad}`);
  else if (value.endsWith('/..') || value.endsWith('/.')) place.error('must not end with /. or /..');
  else if (!/^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+$/.test(value))
    place.error(`"${value}" is not a path: other characters must be percent-encoded`);
}

function checkNamed(matches: readonly NamedMatch[] = [], checker: Checker): void {
  checkCount(matches, 0, 16, checker);
  const names = new Set<string>();
  for (const [index, { name }] of matches.entries()) {
    const place = checker.at(index, 'name');
    checkHeaderName(name, place);
    if (names.has(name)) place.error(`"${name}" stands here twice`);
    names.add(name);
  }
}

function checkHeaderName(name: string, checker: Checker): void {
  if (name.length > 256 || !/^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$/.test(name))
    checker.error(`"${name}" is not the name of a header or parameter`);
}

function checkBackends(
  backends: readonly (BackendRef & { readonly filters?: readonly RouteFilter[] })[] | undefined,
  checker: Checker,
): void {
  checkCount(backends ?? [], 0, 16, checker.at('backendRefs'));
  for (const [backend, place] of each(backends, checker, 'backendRefs')) {
    checkBackendPort(backend, place);
    checkFilters(backend.filters, place.at('filters'));
  }
}

function checkBackendPort({ group = '', kind = 'Service', port }: BackendRef, checker: Checker): void {
  if (group === '' && kind === 'Service' && port === undefined)
    checker.error('the port must be set where a Service is meant');
}

/** The field of each type of filter. */
const filterFields = {
  RequestHeaderModifier: 'requestHeaderModifier',
  ResponseHeaderModifier: 'responseHeaderModifier',
  RequestMirror: 'requestMirror',
  RequestRedirect: 'requestRedirect',
  URLRewrite: 'urlRewrite',
  CORS: 'cors',
  ExtensionRef: 'extensionRef',
  ExternalAuth: 'externalAuth',
} as const satisfies Readonly<Record<string, keyof RouteFilter>>;

/** Filters that may stand in a list several times. */
const repeatable: ReadonlySet<string> = new Set(['RequestMirror', 'ExtensionRef']);

function checkFilters(filters: readonly RouteFilter[] = [], checker: Checker): void {
  checkCount(filters, 0, 16, checker);
  const types = new Set<string>();
  for (const [index, filter] of filters.entries()) {
    const place = checker.at(index);
    const { type } = filter;
    for (const [owner, field] of Object.entries(filterFields)) {
      if (owner === type && filter[field] === undefined)
        place.error(`${field} must be set where type is ${type}`);
      if (owner !== type && filter[field] !== undefined)
        place.at(field).error(`cannot stand where type is ${type}`);
    }
    if (types.has(type) && !repeatable.has(type)) place.error(`there can be only one ${type} filter`);
    types.add(type);
    checkFilter(filter, place);
  }
  if (types.has('RequestRedirect') && types.has('URLRewrite'))
    checker.error('there can be either a RequestRedirect or a URLRewrite filter, not both');
}

function checkFilter(filter: RouteFilter, checker: Checker): void {
  for (const field of ['requestHeaderModifier', 'responseHeaderModifier'] as const)
    for (const list of ['set', 'add'] as const)
      for (const [{ name }, place] of each(filter[field]?.[list], checker.at(field), list))
        checkHeaderName(name, place.at('name'));
  if (filter.requestMirror !== undefined) checkMirror(filter.requestMirror, checker.at('requestMirror'));
  for (const field of ['requestRedirect', 'urlRewrite'] as const) {
    const value = filter[field];
    if (value?.path !== undefined) checkPathModifier(value.path, checker.at(field, 'path'));
    if (value?.hostname !== undefined && !isDnsSubdomain(value.hostname))
      checker
        .at(field, 'hostname')
        .error(`"${value.hostname}" is not a host name (wildcards are not either)`);
  }
  const code = filter.requestRedirect?.statusCode;
  if (code !== undefined && ![301, 302, 303, 307, 308].includes(code))
    checker.at('requestRedirect', 'statusCode').error(`must be 301, 302, 303, 307 or 308, not ${code}`);
  for (const field of ['allowOrigins', 'allowMethods', 'allowHeaders'] as const) {
    const list = filter.cors?.[field] ?? [];
    if (list.length > 1 && list.includes('*'))
      checker.at('cors', field).error('* cannot stand together with others');
  }
}

function checkMirror({ percent, fraction, backendRef }: RequestMirror, checker: Checker): void {
  checkBackendPort(backendRef, checker.at('backendRef'));
  if (percent !== undefined && fraction !== undefined)
    checker.error('must have at most one of percent and fraction');
  if (fraction !== undefined && fraction.numerator > (fraction.denominator ?? 100))
    checker.at('fraction').error('the numerator cannot be larger than the denominator');
}

function checkPathModifier(path: PathModifier, checker: Checker): void {
  for (const [type, field] of [
    ['ReplaceFullPath', 'replaceFullPath'],
    ['ReplacePrefixMatch', 'replacePrefixMatch'],
  ] as const)
    if ((path.type === type) !== (path[field] !== undefined))
      checker.error(
        `${field} ${path.type === type ? 'must be set' : 'cannot stand'} where type is ${path.type}`,
      );
}

function checkTimeouts({ timeouts }: HttpRouteRule, checker: Checker): void {
  const { request, backendRequest } = timeouts ?? {};
  if (request !== undefined) checkDuration(request, checker.at('timeouts', 'request'));
  if (backendRequest !== undefined) checkDuration(backendRequest, checker.at('timeouts', 'backendRequest'));
  const whole = parseDurationNs(request ?? '0s') ?? 0;
  if (whole > 0 && (parseDurationNs(backendRequest ?? '0s') ?? 0) > whole)
    checker.at('timeouts', 'backendRequest').error('cannot be longer than timeouts.request');
}

/** GEP-2257: up to four numbers of up to five digits with h, m, s or ms; no fractions. */
function checkDuration(text: string, checker: Checker): void {
  if (!/^([0-9]{1,5}(h|m|s|ms)){1,4}$/.test(text))
    checker.error(`"${text}" is not a duration of the Gateway API, such as 500ms or 1m30s (no fractions)`);
}

function checkSession(rule: { readonly sessionPersistence?: unknown }, checker: Checker): void {
  if (rule.sessionPersistence !== undefined)
    checker.at('sessionPersistence').warn('has no effect, as in Istio', 'no-effect');
}
