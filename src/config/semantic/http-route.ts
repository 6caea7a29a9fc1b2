// One HTTP rule of a VirtualService.
// Source: Istio pkg/config/validation/virtualservice.go (behaviour of 1.32).
import { STATUS_CODES } from 'node:http';
import type { VirtualServiceSpec } from '../../api/gen/istio-types.js';
import { parseDurationMs } from '../../model/duration.ts';
import { grpcStatusNames } from '../../model/grpc-status.ts';
import type { Checker } from './checker.ts';
import { each } from './checker.ts';
import { checkDestination, checkWeights } from './destination.ts';
import {
  checkHeaderOperations,
  checkHttpStatus,
  checkMatchHeaderName,
  checkOneOf,
  checkRegex,
  checkStringMatch,
  isAuthority,
  isHeaderName,
} from './http-rules.ts';
import { checkDuration, checkGatewayNames, checkLabels, checkPort, isLabel } from './rules.ts';

type HttpRoute = NonNullable<VirtualServiceSpec['http']>[number];
type HttpMatch = NonNullable<HttpRoute['match']>[number];

export function checkHttpRoute(route: HttpRoute, isDelegate: boolean, checker: Checker): void {
  checkConflicts(route, isDelegate, checker);
  for (const [match, place] of each(route.match, checker, 'match')) checkMatch(match, place);
  checkHeaderOperations(route.headers?.request, true, checker.at('headers', 'request'));
  checkHeaderOperations(route.headers?.response, false, checker.at('headers', 'response'));
  checkCors(route.corsPolicy, checker.at('corsPolicy'));
  checkFault(route.fault, checker.at('fault'));
  checkMirrors(route, checker);
  checkRedirect(route, checker.at('redirect'));
  checkDirectResponse(route.directResponse, checker.at('directResponse'));
  checkRetries(route.retries, checker.at('retries'));
  checkRewrite(route, checker.at('rewrite'));
  for (const [destination, place] of each(route.route, checker, 'route')) {
    checkHeaderOperations(destination.headers?.request, true, place.at('headers', 'request'));
    checkHeaderOperations(destination.headers?.response, false, place.at('headers', 'response'));
    checkDestination(destination.destination, place.at('destination'));
  }
  checkWeights(route.route, checker.at('route'));
  if (route.timeout !== undefined && !isZero(route.timeout))
    checkDuration(route.timeout, checker.at('timeout'));
  else if (route.timeout !== undefined)
    checker.at('timeout').error('the duration must be 1ms or more, not 0');
}

/** What an HTTP rule retries, how often and how long: also a setting of the mesh. */
export function checkRetries(retries: HttpRoute['retries'], checker: Checker): void {
  if (retries === undefined) return;
  const { attempts = 0, perTryTimeout, retryOn, retryRemoteLocalities, backoff } = retries;
  const isSet = perTryTimeout !== undefined || (retryOn ?? '') !== '' || retryRemoteLocalities !== undefined;
  if (attempts === 0 && isSet)
    checker.error('http retry policy configured when attempts are set to 0 (disabled)');
  checkDuration(perTryTimeout, checker.at('perTryTimeout'));
  checkDuration(backoff, checker.at('backoff'));
  if (retryOn === undefined || retryOn === '') return;
  for (const policy of retryOn.split(','))
    if (!retryPolicies.has(policy) && STATUS_CODES[policy] === undefined)
      checker
        .at('retryOn')
        .error(
          `"${policy}" is not a valid retryOn policy; accepted: ${[...retryPolicies].join(', ')} or an HTTP status`,
        );
}

const retryPolicies: ReadonlySet<string> = new Set([
  '5xx',
  'gateway-error',
  'reset',
  'reset-before-request',
  'connect-failure',
  'envoy-ratelimited',
  'retriable-4xx',
  'refused-stream',
  'retriable-status-codes',
  'retriable-headers',
  'http3-post-connect-failure',
  'cancelled',
  'deadline-exceeded',
  'internal',
  'resource-exhausted',
  'unavailable',
]);

const corsMethods: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'CONNECT',
  'OPTIONS',
  'TRACE',
  '*',
]);

function checkConflicts(route: HttpRoute, isDelegate: boolean, checker: Checker): void {
  if (route.delegate !== undefined && !isDelegate) {
    if (route.redirect !== undefined) checker.error('a rule with a delegate must not specify redirect');
    if (route.route !== undefined) checker.error('a rule with a delegate must not specify route');
    if ((route.delegate.name ?? '') === '')
      checker.at('delegate').warn('a delegate without a name is never found: the rule is left out');
    return;
  }
  if (route.delegate !== undefined)
    checker.at('delegate').error('a delegate HTTP route cannot contain delegate');
  const answer =
    route.redirect !== undefined
      ? 'redirect'
      : route.directResponse === undefined
        ? undefined
        : 'directResponse';
  const hasRoute = (route.route ?? []).length > 0;
  if (answer === undefined) {
    if (!hasRoute) checker.error('HTTP route, redirect or directResponse is required');
  } else {
    if (hasRoute) checker.error(`an HTTP rule cannot contain both route and ${answer}`);
    for (const other of ['fault', 'rewrite', 'directResponse'] as const)
      if (other !== answer && route[other] !== undefined)
        checker.error(`an HTTP rule cannot contain both ${other} and ${answer}`);
  }
  if (route.mirror !== undefined && (route.mirrors ?? []).length > 0)
    checker.error('an HTTP rule cannot contain both mirror and mirrors');
}

function checkMatch(match: HttpMatch, checker: Checker): void {
  for (const [name, header] of Object.entries(match.headers ?? {})) {
    checkMatchHeaderName(name, checker.at('headers', name));
    checkStringMatch(header, checker.at('headers', name));
  }
  for (const [name, header] of Object.entries(match.withoutHeaders ?? {})) {
    checkMatchHeaderName(name, checker.at('withoutHeaders', name));
    // `*` is no regular expression: it asks whether the header is there.
    if (header.regex !== '*') checkStringMatch(header, checker.at('withoutHeaders', name));
  }
  checkStringMatch(match.uri, checker.at('uri'), true);
  for (const field of ['scheme', 'method', 'authority'] as const)
    checkStringMatch(match[field], checker.at(field));
  for (const [name, parameter] of Object.entries(match.queryParams ?? {}))
    checkStringMatch(parameter, checker.at('queryParams', name));
  if (match.port !== undefined && match.port !== 0) checkPort(match.port, checker.at('port'));
  checkLabels(match.sourceLabels, checker.at('sourceLabels'));
  checkGatewayNames(match.gateways, checker.at('gateways'));
  const namespace = match.sourceNamespace ?? '';
  if (namespace !== '' && !isLabel(namespace))
    checker.at('sourceNamespace').error(`sourceNamespace match "${namespace}" is invalid`);
}

function checkCors(policy: HttpRoute['corsPolicy'], checker: Checker): void {
  if (policy === undefined) return;
  for (const [origin, place] of each(policy.allowOrigins, checker, 'allowOrigins')) {
    checkOneOf(origin, ['exact', 'prefix', 'regex'], place);
    if ((origin.exact ?? origin.prefix ?? origin.regex ?? '') === '')
      place.error('an allowed origin needs exact, prefix or regex, and not empty');
    else if (origin.regex !== undefined) checkRegex(origin.regex, place.at('regex'));
  }
  for (const [method, place] of each(policy.allowMethods, checker, 'allowMethods'))
    if (!corsMethods.has(method)) place.error(`"${method}" is not a supported HTTP method`);
  for (const field of ['allowHeaders', 'exposeHeaders'] as const)
    for (const [name, place] of each(policy[field], checker, field))
      if (!isHeaderName(name)) place.error(`header name "${name}" is not a valid header name`);
  if (policy.maxAge === undefined) return;
  checkDuration(policy.maxAge, checker.at('maxAge'));
  if ((parseDurationMs(policy.maxAge) ?? 0) % 1000 !== 0)
    checker.at('maxAge').error('the maxAge duration is accurate only to seconds precision');
}

function checkFault(fault: HttpRoute['fault'], checker: Checker): void {
  if (fault === undefined) return;
  const { abort, delay } = fault;
  if (abort === undefined && delay === undefined)
    checker.error('HTTP fault injection must have an abort and/or a delay');
  if (abort !== undefined) {
    const place = checker.at('abort');
    checkFraction(abort.percentage, place.at('percentage'));
    checkOneOf(abort, ['httpStatus', 'grpcStatus', 'http2Error'], place);
    if (abort.http2Error !== undefined) place.at('http2Error').unsupported();
    else if (abort.grpcStatus !== undefined) checkGrpcStatus(abort.grpcStatus, place.at('grpcStatus'));
    else if (abort.httpStatus !== undefined) checkHttpStatus(abort.httpStatus, place.at('httpStatus'));
    else place.warn('abort configured, but error type not set');
  }
  if (delay !== undefined) {
    const place = checker.at('delay');
    checkFraction(delay.percentage, place.at('percentage'));
    checkOneOf(delay, ['fixedDelay', 'exponentialDelay'], place);
    checkDuration(delay.fixedDelay, place.at('fixedDelay'));
    if (delay.fixedDelay === undefined && delay.exponentialDelay === undefined)
      place.warn('delay configured, but fixedDelay not set: nothing is delayed');
    if (delay.exponentialDelay !== undefined)
      place.at('exponentialDelay').error('exponentialDelay is not supported; use fixedDelay');
  }
}

function checkGrpcStatus(status: string, checker: Checker): void {
  if (!grpcStatusNames.includes(status))
    checker.error(`gRPC status "${status}" is not supported; accepted: ${grpcStatusNames.join(', ')}`);
}

function checkFraction(
  percentage: { readonly value?: number | undefined } | undefined,
  checker: Checker,
): void {
  const value = percentage?.value ?? 0;
  if (value < 0 || value > 100 || (value > 0 && value < 0.0001))
    checker.error(`percentage ${value} is neither 0.0, nor in range [0.0001, 100.0]`);
}

function checkMirrors(route: HttpRoute, checker: Checker): void {
  if (route.mirrorPercent !== undefined) {
    const place = checker.at('mirrorPercent');
    if (route.mirrorPercent > 100) place.error(`must be at most 100, not ${route.mirrorPercent}`);
    place.warn('using deprecated setting "mirrorPercent", use "mirrorPercentage" instead');
  }
  const checkShare = (value: number | undefined, place: Checker): void => {
    if (value !== undefined && (value < 0 || value > 100)) place.error(`must be from 0 to 100, not ${value}`);
  };
  checkShare(route.mirrorPercentage?.value, checker.at('mirrorPercentage', 'value'));
  checkDestination(route.mirror, checker.at('mirror'));
  for (const [mirror, place] of each(route.mirrors, checker, 'mirrors')) {
    checkDestination(mirror.destination, place.at('destination'));
    checkShare(mirror.percentage?.value, place.at('percentage', 'value'));
  }
}

/** `prefixRewrite` is newer than the package of types. */
type Redirect = NonNullable<HttpRoute['redirect']> & { readonly prefixRewrite?: string };

function checkRedirect(route: HttpRoute, checker: Checker): void {
  const redirect: Redirect | undefined = route.redirect;
  if (redirect === undefined) return;
  const prefixRewrite = redirect.prefixRewrite ?? '';
  if (prefixRewrite !== '') {
    if ((redirect.uri ?? '') !== '') checker.error('a redirect may only specify one of uri or prefixRewrite');
    if ((route.match ?? []).some(({ uri }) => uri !== undefined && uri.prefix === undefined))
      checker.at('prefixRewrite').error('requires that every uri is matched by prefix');
  }
  const { uri, authority, scheme, port, derivePort, redirectCode } = redirect;
  checkOneOf(redirect, ['port', 'derivePort'], checker);
  const isNothing = (uri ?? '') === '' && (authority ?? '') === '' && (scheme ?? '') === '';
  if (isNothing && prefixRewrite === '' && port === undefined && derivePort === undefined)
    checker.error('a redirect must specify uri, authority, scheme, or port');
  if (redirectCode !== undefined && redirectCode !== 0 && (redirectCode < 300 || redirectCode > 399))
    checker.at('redirectCode').error(`${redirectCode} is not a valid redirect code, must be 3xx`);
  else if (redirectCode !== undefined && ![0, 301, 302, 303, 307, 308].includes(redirectCode))
    checker
      .at('redirectCode')
      .unsupported(`Envoy redirects with 301, 302, 303, 307 or 308, not with ${redirectCode}`);
  if (scheme !== undefined && !['', 'http', 'https'].includes(scheme))
    checker.at('scheme').error(`invalid redirect scheme, must be "http" or "https", not "${scheme}"`);
  if (port !== undefined && port > 0) checkPort(port, checker.at('port'));
}

function checkDirectResponse(response: HttpRoute['directResponse'], checker: Checker): void {
  if (response === undefined) return;
  checkHttpStatus(response.status, checker.at('status'));
  if (response.body === undefined) return;
  const place = checker.at('body');
  checkOneOf(response.body, ['string', 'bytes'], place);
  const { string: text, bytes } = response.body;
  const size = text === undefined ? Buffer.byteLength(bytes ?? '', 'base64') : Buffer.byteLength(text);
  if (bytes !== undefined && !/^[A-Za-z0-9+/_-]*={0,2}$/.test(bytes))
    place.at('bytes').error('must be base64');
  if (size > 1024 * 1024)
    place.error('large direct responses burden the control plane: it must be less than 1MB');
  else if (size > 100 * 1024) place.warn('large direct responses burden the control plane');
}

function checkRewrite(route: HttpRoute, checker: Checker): void {
  const { rewrite } = route;
  const { uri = '', authority = '', uriRegexRewrite } = rewrite ?? {};
  if (rewrite !== undefined) {
    if (uri !== '' && uriRegexRewrite !== undefined)
      checker.error('a rewrite may only contain one of uri or uriRegexRewrite');
    if (uri === '' && authority === '' && uriRegexRewrite === undefined)
      checker.error('a rewrite must specify at least one of uri, uriRegexRewrite, or authority');
  }
  if (uriRegexRewrite !== undefined) {
    const place = checker.at('uriRegexRewrite');
    const { match = '', rewrite: replacement = '' } = uriRegexRewrite;
    if (match === '' || replacement === '') place.error('requires both match and rewrite');
    else checkRegex(match, place.at('match'));
  }
  const headers = route.headers?.request;
  const authorities = [...Object.entries(headers?.set ?? {}), ...Object.entries(headers?.add ?? {})]
    .filter(([name]) => isAuthority(name))
    .map(([, value]) => value);
  if (authority !== '') authorities.unshift(authority);
  if (authorities.length > 1)
    checker.error(
      `the authority header cannot be set multiple times: ${authorities.map((value) => `"${value}"`).join(', ')}`,
    );
}

function isZero(text: string): boolean {
  return parseDurationMs(text) === 0;
}
