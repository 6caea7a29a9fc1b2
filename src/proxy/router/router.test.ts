import { fromJson } from '@bufbuild/protobuf';
import type { JsonValue } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { RouteConfigurationSchema } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import { registry } from '../../api/any.ts';
import { seededRandom } from '../../base/random.ts';
import type { RequestFields } from '../matchers/input.ts';
import { matchInput } from '../matchers/input.ts';
import { compileRoutes } from './compile.ts';
import type { CompiledRoutes } from './compiled.ts';
import type { RouteDecision } from './match.ts';
import { chooseWeighted, matchRequest, withoutPort } from './match.ts';

function routesOf(virtualHosts: JsonValue, more: Record<string, JsonValue> = {}): CompiledRoutes {
  return compileRoutes(
    fromJson(RouteConfigurationSchema, { name: 'test', virtualHosts, ...more }, { registry }),
  );
}

function oneHost(routes: JsonValue): CompiledRoutes {
  return routesOf([{ name: 'all', domains: ['*'], routes }]);
}

const decide = (routes: CompiledRoutes, fields: Partial<RequestFields>): RouteDecision =>
  matchRequest(routes, matchInput({ authority: 'a.example', path: '/', ...fields }));

const to = (cluster: string): JsonValue => ({ cluster });

describe('matchRequest', () => {
  const hosts = routesOf(
    ['a.example', '*.example', '*.b.example', 'a.*', 'a.b.*', '*'].map((domain) => ({
      name: domain,
      domains: [domain],
      routes: [{ match: { prefix: '/' }, route: to('c') }],
    })),
    { ignorePortInHostMatching: true },
  );
  test.each([
    ['a.example', 'a.example'],
    ['A.Example', 'a.example'],
    ['a.example:8080', 'a.example'],
    ['x.example', '*.example'],
    ['x.b.example', '*.b.example'],
    ['b.example', '*.example'],
    ['a.test', 'a.*'],
    ['a.b.test', 'a.b.*'],
    ['other', '*'],
    ['[::1]:80', '*'],
    ['', '*'],
  ])('the virtual host of %j is %s (partly D4.06, C4.04, traps row 3)', (authority, virtualHost) => {
    expect(decide(hosts, { authority }).virtualHost).toBe(virtualHost);
  });

  test('the port counts unless it is to be ignored (partly D4.06)', () => {
    const strict = routesOf([{ name: 'a', domains: ['a.example'], routes: [] }]);
    expect(decide(strict, { authority: 'a.example:80' })).toMatchObject({
      kind: 'no-virtual-host',
      status: 404,
    });
  });

  test('first rule wins; a catch-all in front shadows the rest (A6.12, C5.06)', () => {
    const routes = oneHost([
      { match: { prefix: '/a' }, route: to('a'), name: 'first' },
      { match: { prefix: '/' }, route: to('all') },
      { match: { prefix: '/b' }, route: to('b') },
    ]);
    expect(decide(routes, { path: '/ab' })).toMatchObject({
      cluster: 'a',
      routeIndex: 0,
      routeName: 'first',
    });
    expect(decide(routes, { path: '/b' })).toMatchObject({ cluster: 'all', routeIndex: 1 });
  });

  test('no route: 404 and why (C7.07)', () => {
    const decision = decide(oneHost([{ match: { path: '/a' }, route: to('a') }]), { path: '/b' });
    expect(decision).toMatchObject({ kind: 'no-route', status: 404 });
    expect(decision.reason).toBe('none of the 1 routes of the virtual host all matches');
  });

  test('require_tls: redirect of plain requests (C7.06)', () => {
    const routes = routesOf([
      {
        name: 'all',
        domains: ['*'],
        requireTls: 'ALL',
        routes: [{ match: { prefix: '/' }, route: to('a') }],
      },
    ]);
    expect(decide(routes, { path: '/x?y' })).toMatchObject({
      status: 301,
      location: 'https://a.example/x?y',
    });
    expect(decide(routes, { scheme: 'https' })).toMatchObject({ kind: 'forward' });
  });

  const rewrites: readonly (readonly [string, JsonValue, JsonValue, string, string])[] = [
    ['prefix', { prefix: '/nginx' }, { prefixRewrite: '/' }, '/nginx/x?q=/nginx', '//x?q=/nginx'],
    ['prefix without slash', { prefix: '/nginx' }, { prefixRewrite: '/' }, '/nginx', '/'],
    ['exact path', { path: '/a' }, { prefixRewrite: '/b' }, '/a?x', '/b?x'],
    ['separated prefix', { pathSeparatedPrefix: '/a' }, { prefixRewrite: '/b' }, '/a/c', '/b/c'],
    ['regex match', { safeRegex: { regex: '/a/.*' } }, { prefixRewrite: '/b' }, '/a/c?x', '/b?x'],
    [
      'case-insensitive prefix',
      { prefix: '/A', caseSensitive: false },
      { prefixRewrite: '/b' },
      '/a/c',
      '/b/c',
    ],
    [
      'regex rewrite',
      { prefix: '/' },
      { regexRewrite: { pattern: { regex: '^/v1/(.*)$' }, substitution: '/v2/\\1' } },
      '/v1/x?/v1/y',
      '/v2/x?/v1/y',
    ],
  ];
  test.each(rewrites)('rewrite: %s (C5.12, partly D5.01)', (_name, match, rewrite, path, expected) => {
    const routes = oneHost([{ match, route: { cluster: 'a', ...(rewrite as object) } }]);
    expect(decide(routes, { path }).path).toBe(expected);
  });

  const redirects: readonly (readonly [JsonValue, Partial<RequestFields>, number, string])[] = [
    [{ hostRedirect: 'b' }, { path: '/x?y' }, 301, 'http://b/x?y'],
    [{ hostRedirect: 'b', responseCode: 'SEE_OTHER' }, {}, 303, 'http://b/'],
    [{ httpsRedirect: true }, { authority: 'a:80', path: '/x' }, 301, 'https://a/x'],
    [{ httpsRedirect: true }, { authority: 'a:8080', path: '/x' }, 301, 'https://a:8080/x'],
    [{ portRedirect: 8443 }, { authority: 'a:80' }, 301, 'http://a:8443/'],
    [{ pathRedirect: '/n' }, { path: '/x?y' }, 301, 'http://a.example/n?y'],
    [{ pathRedirect: '/n?z' }, { path: '/x?y' }, 301, 'http://a.example/n?z'],
    [{ pathRedirect: '/n', stripQuery: true }, { path: '/x?y' }, 301, 'http://a.example/n'],
    [{ prefixRewrite: '/n' }, { path: '/?y' }, 301, 'http://a.example/n?y'],
    [
      { schemeRedirect: 'https', hostRedirect: 'b', portRedirect: 444, responseCode: 'PERMANENT_REDIRECT' },
      {},
      308,
      'https://b:444/',
    ],
  ];
  test.each(redirects)('redirect %j (C5.13)', (redirect, fields, status, location) => {
    expect(decide(oneHost([{ match: { prefix: '/' }, redirect }]), fields)).toMatchObject({
      status,
      location,
    });
  });

  test('weights: shares over many requests (C5.07)', () => {
    const routes = oneHost([
      {
        match: { prefix: '/' },
        route: {
          weightedClusters: {
            clusters: [
              { name: 'v1', weight: 90 },
              { name: 'v2', weight: 10 },
              { name: 'v3', weight: 0 },
            ],
          },
        },
      },
    ]);
    const random = seededRandom(1);
    const counts: Record<string, number> = { v1: 0, v2: 0, v3: 0 };
    for (let index = 0; index < 10_000; index++) counts[decide(routes, { random }).cluster!]!++;
    expect(counts['v1']).toBeGreaterThan(8850);
    expect(counts['v1']).toBeLessThan(9150);
    expect(counts['v3']).toBe(0);
  });

  test('chooseWeighted: every point falls on a cluster with weight (C5.07)', () => {
    const { action } = oneHost([
      {
        match: { prefix: '/' },
        route: {
          weightedClusters: {
            clusters: [
              { name: 'a', weight: 0 },
              { name: 'b', weight: 1 },
              { name: 'c', weight: 1 },
            ],
          },
        },
      },
    ]).virtualHosts[0]!.routes[0]!;
    if (action.kind !== 'forward') throw new Error('not forwarded');
    expect([0, 0.49, 0.5, 0.999].map((point) => chooseWeighted(action.target, point)?.cluster)).toEqual([
      'b',
      'b',
      'c',
      'c',
    ]);
  });

  test('direct response and host rewrite (C5.14, C5.12)', () => {
    const routes = oneHost([
      { match: { path: '/d' }, directResponse: { status: 418, body: { inlineString: 'tea' } } },
      { match: { prefix: '/' }, route: { cluster: 'a', hostRewriteLiteral: 'new.example' } },
    ]);
    expect(decide(routes, { path: '/d' })).toMatchObject({ kind: 'direct', status: 418, body: 'tea' });
    expect(decide(routes, { path: '/x' })).toMatchObject({ host: 'new.example' });
  });
});

describe('compileRoutes', () => {
  const refused: readonly (readonly [string, JsonValue, RegExp])[] = [
    [
      'a domain twice',
      [
        { name: 'a', domains: ['x'] },
        { name: 'b', domains: ['X'] },
      ],
      /^virtual_hosts\[1\]\.domains\[0\]: X is already a domain of the virtual host a/,
    ],
    [
      'hash policy',
      [
        {
          name: 'a',
          domains: ['*'],
          routes: [
            {
              match: { prefix: '/' },
              route: { cluster: 'c', hashPolicy: [{ filterState: { key: 'a' } }] },
            },
          ],
        },
      ],
      /^virtual_hosts\[0\]\.routes\[0\]\.route\.hash_policy\[0\]: header, cookie/,
    ],
    [
      'no action',
      [{ name: 'a', domains: ['*'], routes: [{ match: { prefix: '/' } }] }],
      /^virtual_hosts\[0\]\.routes\[0\]: has no action/,
    ],
    [
      'no weight',
      [
        {
          name: 'a',
          domains: ['*'],
          routes: [{ match: { prefix: '/' }, route: { weightedClusters: { clusters: [{ name: 'c' }] } } }],
        },
      ],
      /weights of the clusters must add up/,
    ],
    [
      'a host header in the mutations',
      [{ name: 'a', domains: ['*'], requestHeadersToAdd: [{ header: { key: 'Host', value: 'x' } }] }],
      /^virtual_hosts\[0\]\.request_headers_to_add\[0\]\.header\.key: host may not be modified/,
    ],
    [
      'a line break in a value',
      [{ name: 'a', domains: ['*'], requestHeadersToAdd: [{ header: { key: 'x', value: 'a\r\nb: c' } }] }],
      /control character/,
    ],
    [
      'an unknown operator',
      [{ name: 'a', domains: ['*'], requestHeadersToAdd: [{ header: { key: 'x', value: '%NOPE%' } }] }],
      /%NOPE% is not a known operator/,
    ],
    [
      'an unknown filter config',
      [
        {
          name: 'a',
          domains: ['*'],
          typedPerFilterConfig: { lua: { '@type': 'type.googleapis.com/envoy.config.route.v3.Route' } },
        },
      ],
      /^virtual_hosts\[0\]\.typed_per_filter_config\[lua\]: .* is not supported/,
    ],
  ];
  test.each(refused)('refuses %s and names the field', (_name, virtualHosts, message) => {
    expect(() => routesOf(virtualHosts)).toThrow(message);
  });
});

describe('withoutPort', () => {
  test.each([
    ['a', 'a'],
    ['a:80', 'a'],
    ['[::1]', '[::1]'],
    ['[::1]:80', '[::1]'],
    ['::1', '::1'],
    ['a:b', 'a:b'],
  ])('%s -> %s (traps row 19)', (host, expected) => {
    expect(withoutPort(host)).toBe(expected);
  });
});
