import type { JsonObject } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { messageToJson } from '../../api/any.ts';
import { RouteSchema } from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import { buildRoute, routeOrigins } from './build-route.ts';
import type { HttpMatch, HttpRule, RuleRouteInput } from './route-input.ts';

function inputOf(rule: HttpRule, match?: HttpMatch): RuleRouteInput {
  return {
    kind: 'rule',
    rule,
    ...(match === undefined ? {} : { match }),
    virtualService: { kind: 'VirtualService', version: 'v1', namespace: 'default', name: 'vs' },
    origin: {
      kind: 'VirtualService',
      namespace: 'default',
      name: 'vs',
      fieldPath: match === undefined ? ['spec', 'http', 0] : ['spec', 'http', 0, 'match', 0],
    },
    ruleOrigin: { kind: 'VirtualService', namespace: 'default', name: 'vs', fieldPath: ['spec', 'http', 0] },
    clusters: (rule.route ?? []).map(({ destination }) => `outbound|80||${destination?.host ?? ''}`),
    hashes: (rule.route ?? []).map(() => null),
    mirrorClusters: ['outbound|80||mirror', 'outbound|80||other'],
    listenPort: 80,
    tls: false,
  };
}

function routeOf(rule: HttpRule, match?: HttpMatch): JsonObject {
  return messageToJson(RouteSchema, buildRoute(inputOf(rule, match))) as JsonObject;
}

function actionOf(rule: HttpRule, match?: HttpMatch): JsonObject {
  return routeOf(rule, match)['route'] as JsonObject;
}

const toA: HttpRule = { route: [{ destination: { host: 'a' } }] };

const defaultRetries = {
  retryOn: 'connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes',
  numRetries: 2,
  hostSelectionRetryMaxAttempts: '5',
  retryHostPredicate: [
    {
      name: 'envoy.retry_host_predicates.previous_hosts',
      typedConfig: {
        '@type': 'type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate',
      },
    },
  ],
};

test('buildRouteAction: without timeout requests may last for ever, retries are Istio’s (C5.08, C5.09, T02, T04)', () => {
  expect(actionOf(toA)).toEqual({
    cluster: 'outbound|80||a',
    timeout: '0s',
    maxGrpcTimeout: '0s',
    retryPolicy: defaultRetries,
  });
});

test('buildRouteAction: a timeout is gRPC’s bound, too (C5.08)', () => {
  expect(actionOf({ ...toA, timeout: '1m' })).toMatchObject({ timeout: '60s', maxGrpcTimeout: '60s' });
});

test.each<[string, HttpRule['retries'], object | undefined]>([
  ['attempts 0 is none', { attempts: 0 }, undefined],
  ['only attempts', { attempts: 3 }, { ...defaultRetries, numRetries: 3 }],
  [
    'numbers are status codes',
    { attempts: 1, perTryTimeout: '2s', retryOn: '5xx, 503,gateway-error' },
    {
      ...defaultRetries,
      numRetries: 1,
      perTryTimeout: '2s',
      retryOn: '5xx,gateway-error,retriable-status-codes',
      retriableStatusCodes: [503],
    },
  ],
  ['conditions alone', { attempts: 1, retryOn: '5xx' }, { ...defaultRetries, numRetries: 1, retryOn: '5xx' }],
  [
    'back-off, and the same host again',
    { attempts: 2, backoff: '10ms', retryIgnorePreviousHosts: false },
    { ...defaultRetries, retryBackOff: { baseInterval: '0.010s' }, retryHostPredicate: undefined },
  ],
])('buildRetryPolicy: %s (C5.10)', (_case, retries, expected) => {
  const policy = actionOf({ ...toA, ...(retries === undefined ? {} : { retries }) })['retryPolicy'];
  const wanted = expected === undefined ? undefined : JSON.parse(JSON.stringify(expected));
  expect(policy).toEqual(wanted);
});

test('buildRetryPolicy: retryRemoteLocalities leaves a priority after two tries (C5.10)', () => {
  expect(actionOf({ ...toA, retries: { attempts: 2, retryRemoteLocalities: true } })).toMatchObject({
    retryPolicy: {
      retryPriority: {
        name: 'envoy.retry_priorities.previous_priorities',
        typedConfig: { updateFrequency: 2 },
      },
    },
  });
});

test('buildRouteAction: several destinations share by weight, those of weight 0 get nothing (C5.07)', () => {
  const rule: HttpRule = {
    route: [
      { destination: { host: 'a' }, weight: 90 },
      { destination: { host: 'b' }, weight: 0 },
      {
        destination: { host: 'c' },
        weight: 10,
        headers: { request: { set: { host: 'c.com', x: '1' } }, response: { remove: ['y'] } },
      },
    ],
  };
  expect(actionOf(rule)['weightedClusters']).toEqual({
    clusters: [
      { name: 'outbound|80||a', weight: 90 },
      {
        name: 'outbound|80||c',
        weight: 10,
        hostRewriteLiteral: 'c.com',
        requestHeadersToAdd: [
          { header: { key: 'x', value: '1' }, appendAction: 'OVERWRITE_IF_EXISTS_OR_ADD' },
        ],
        responseHeadersToRemove: ['y'],
      },
    ],
  });
  const places = routeOrigins(inputOf(rule)).map(({ at, origin }) => [at, origin.fieldPath.join('.')]);
  expect(places).toEqual([
    ['', 'spec.http.0'],
    ['route.weightedClusters.clusters[0]', 'spec.http.0.route.0'],
    ['route.weightedClusters.clusters[1]', 'spec.http.0.route.2'],
  ]);
});

test('buildRouteAction: one destination of weight 0 gets everything (C5.07)', () => {
  expect(actionOf({ route: [{ destination: { host: 'a' }, weight: 0 }] })['cluster']).toBe('outbound|80||a');
});

test('buildRouteAction: without any destination no cluster is found (B6.10)', () => {
  expect(actionOf({})['cluster']).toBe('UnknownService');
});

test.each<[string, HttpRule['rewrite'], object]>([
  ['a prefix', { uri: '/' }, { prefixRewrite: '/' }],
  [
    'a regular expression',
    { uriRegexRewrite: { match: '^/a/(.*)$', rewrite: '/b/\\1' } },
    { regexRewrite: { pattern: { regex: '^/a/(.*)$' }, substitution: '/b/\\1' } },
  ],
  ['a host', { authority: 'b.com' }, { hostRewriteLiteral: 'b.com' }],
])('buildRouteAction: rewrites %s (C5.12, A5.06, A6.04, T14)', (_case, rewrite, expected) => {
  expect(actionOf({ ...toA, ...(rewrite === undefined ? {} : { rewrite }) })).toMatchObject(expected);
});

test('headerOperations: set before add, by name; a host becomes a rewrite (C5.17)', () => {
  const route = routeOf({
    headers: {
      request: { set: { b: '1', Host: 'h.com', ':path': '/x' }, add: { a: '2' }, remove: ['c', 'host'] },
      response: { add: { d: '3' } },
    },
    route: [
      { destination: { host: 'a' }, headers: { request: { add: { z: '4', ':authority': 'no.com' } } } },
    ],
  });
  expect(route).toMatchObject({
    requestHeadersToAdd: [
      { header: { key: 'b', value: '1' }, appendAction: 'OVERWRITE_IF_EXISTS_OR_ADD' },
      { header: { key: 'a', value: '2' } },
      { header: { key: 'z', value: '4' } },
    ],
    requestHeadersToRemove: ['c'],
    responseHeadersToAdd: [{ header: { key: 'd', value: '3' } }],
    route: { hostRewriteLiteral: 'h.com' },
  });
});

test('buildRouteAction: the rewrite’s host counts before that of headers (C5.12, C5.17)', () => {
  const headers = { request: { set: { host: 'h.com' } } };
  expect(actionOf({ ...toA, headers, rewrite: { authority: 'r.com' } })['hostRewriteLiteral']).toBe('r.com');
  expect(actionOf({ route: [{ destination: { host: 'a' }, headers }] })['hostRewriteLiteral']).toBe('h.com');
});

test.each<[string, NonNullable<HttpRule['redirect']>, object]>([
  [
    'path and host; 301 where no code is written',
    { uri: '/b', authority: 'b.com' },
    { pathRedirect: '/b', hostRedirect: 'b.com' },
  ],
  ['a code', { redirectCode: 308 }, { responseCode: 'PERMANENT_REDIRECT' }],
  [
    'a scheme and its usual port, which is left out',
    { scheme: 'https', port: 443 },
    { schemeRedirect: 'https' },
  ],
  ['another port', { port: 8443 }, { portRedirect: 8443 }],
  ['the request’s port, which is the usual one here', { derivePort: 'FROM_REQUEST_PORT' }, {}],
  [
    'the request’s port, which is not https’',
    { derivePort: 'FROM_REQUEST_PORT', scheme: 'https' },
    { schemeRedirect: 'https', portRedirect: 80 },
  ],
])('buildRedirect: %s (C5.13)', (_case, redirect, expected) => {
  const route = routeOf({ redirect });
  expect(route['redirect']).toEqual(expected);
});

test.each<[NonNullable<HttpRule['directResponse']>, object]>([
  [{ status: 503 }, { status: 503 }],
  [
    { status: 200, body: { string: 'hello' } },
    { status: 200, body: { inlineString: 'hello' } },
  ],
  [
    { status: 200, body: { bytes: 'aGk=' } },
    { status: 200, body: { inlineBytes: 'aGk=' } },
  ],
])('buildDirectResponse: %j (C5.14)', (directResponse, expected) => {
  expect(routeOf({ directResponse })['directResponse']).toEqual(expected);
});

test('buildRouteAction: mirrors keep their host, a share of 0 mirrors nothing (C5.15)', () => {
  const mirror = { host: 'mirror' };
  const policies = (rule: HttpRule) => actionOf({ ...toA, ...rule })['requestMirrorPolicies'];
  const all = { defaultValue: { numerator: 100 } };
  const rest = { traceSampled: false, disableShadowHostSuffixAppend: true };
  expect(policies({ mirror })).toEqual([{ cluster: 'outbound|80||mirror', runtimeFraction: all, ...rest }]);
  expect(policies({ mirror, mirrorPercentage: { value: 0 } })).toBeUndefined();
  expect(policies({ mirror, mirrorPercentage: { value: 0.29 } })).toMatchObject([
    { runtimeFraction: { defaultValue: { numerator: 2900, denominator: 'MILLION' } } },
  ]);
  expect(policies({ mirror, mirrorPercent: 5 })).toMatchObject([
    { runtimeFraction: { defaultValue: { numerator: 5 } } },
  ]);
  const mirrors = [{ destination: mirror, percentage: {} }, { destination: { host: 'other' } }];
  expect(policies({ mirrors })).toMatchObject([{ cluster: 'outbound|80||other', runtimeFraction: all }]);
});

test('perFilterConfig: faults hit the written share, parts per million (C5.11, A5.09, A6.08)', () => {
  const route = routeOf({
    ...toA,
    fault: {
      delay: { fixedDelay: '7s', percentage: { value: 0.1 } },
      abort: { httpStatus: 500, percentage: { value: 80 } },
    },
  });
  expect(route['typedPerFilterConfig']).toEqual({
    'envoy.filters.http.fault': {
      '@type': 'type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault',
      delay: { fixedDelay: '7s', percentage: { numerator: 1000, denominator: 'MILLION' } },
      abort: { httpStatus: 500, percentage: { numerator: 800_000, denominator: 'MILLION' } },
    },
  });
});

test('perFilterConfig: an abort by gRPC status; without percentage no request is hit (C5.11)', () => {
  const route = routeOf({
    ...toA,
    fault: { delay: { fixedDelay: '1s' }, abort: { grpcStatus: 'UNAVAILABLE' } },
  });
  expect(route['typedPerFilterConfig']).toMatchObject({
    'envoy.filters.http.fault': {
      delay: { fixedDelay: '1s', percentage: {} },
      abort: { grpcStatus: 14 },
    },
  });
});

test('perFilterConfig: CORS (C5.16)', () => {
  const route = routeOf({
    ...toA,
    corsPolicy: {
      allowOrigins: [{ exact: 'https://a.com' }, { regex: '.*\\.b\\.com' }],
      allowMethods: ['GET', 'PUT'],
      allowHeaders: ['x', 'y'],
      exposeHeaders: ['z'],
      maxAge: '24h',
      allowCredentials: true,
      unmatchedPreflights: 'IGNORE',
    },
  });
  expect(route['typedPerFilterConfig']).toEqual({
    'envoy.filters.http.cors': {
      '@type': 'type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy',
      allowOriginStringMatch: [{ exact: 'https://a.com' }, { safeRegex: { regex: '.*\\.b\\.com' } }],
      allowMethods: 'GET,PUT',
      allowHeaders: 'x,y',
      exposeHeaders: 'z',
      maxAge: '86400',
      allowCredentials: true,
      filterEnabled: { defaultValue: { numerator: 100 } },
      forwardNotMatchingPreflights: false,
    },
  });
});

test('buildRoute: name, stat prefix, metadata and decorator (A5.12, B6.04, C5.18)', () => {
  const route = routeOf(
    { ...toA, name: 'rule' },
    { name: 'match', statPrefix: 'stats', uri: { prefix: '/a' } },
  );
  expect(route).toMatchObject({
    name: 'rule.match',
    statPrefix: 'stats',
    metadata: {
      filterMetadata: {
        istio: { config: '/apis/networking.istio.io/v1/namespaces/default/virtual-service/vs' },
      },
    },
    decorator: { operation: 'a:80/a*' },
  });
  expect(routeOf({ redirect: { uri: '/' } })['decorator']).toEqual({ operation: 'vs:80/*' });
});

test('buildRoute: the same input gives the same message, and an equal one equal bytes', () => {
  const input = inputOf(toA);
  expect(buildRoute(input)).toBe(buildRoute(input));
  expect(messageToJson(RouteSchema, buildRoute(inputOf(toA)))).toEqual(
    messageToJson(RouteSchema, buildRoute(input)),
  );
});
