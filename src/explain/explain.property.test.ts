// Explain and the data path decide alike: random routes and requests, the same host, rule, cluster, path and answer.
import { fromJson } from '@bufbuild/protobuf';
import type { JsonValue } from '@bufbuild/protobuf';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { registry } from '../api/any.ts';
import { ListenerSchema } from '../api/gen/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '../api/gen/envoy/config/route/v3/route_pb.js';
import type { RouteConfiguration } from '../api/gen/envoy/config/route/v3/route_pb.js';
import { matchInput } from '../proxy/matchers/input.ts';
import { compileRoutes } from '../proxy/router/compile.ts';
import type { RouteDecision } from '../proxy/router/match.ts';
import { matchRequest } from '../proxy/router/match.ts';
import { explain } from './explain.ts';
import type { MeshView, ProxyView, Workload } from './mesh-view.ts';
import { parseRequest } from './request.ts';
import type { Trace } from './trace.ts';

const segment = fc.constantFrom('a', 'b', 'api', 'v1', '');
const path = fc.array(segment, { maxLength: 3 }).map((parts) => `/${parts.join('/')}`);
const word = fc.constantFrom('x', 'y', 'jason');
const headerName = fc.constantFrom('x-a', 'end-user', ':method', 'Host');

const text = fc.oneof(
  word.map((value) => ({ exact: value })),
  word.map((value) => ({ prefix: value.slice(0, 1) })),
  word.map((value) => ({ safeRegex: { regex: `${value}.*` } })),
  word.map((value) => ({ exact: value.toUpperCase(), ignoreCase: true })),
);
const headerMatcher = fc.record(
  {
    name: headerName,
    stringMatch: text,
    invertMatch: fc.boolean(),
    treatMissingHeaderAsEmpty: fc.boolean(),
  },
  { requiredKeys: ['name'] },
);
const routeMatch = fc
  .record({
    path: fc.oneof(
      path.map((value) => ({ prefix: value })),
      path.map((value) => ({ path: value })),
      path.map((value) => ({
        pathSeparatedPrefix: value.length > 1 ? value.replace(/\/+$/, '') || '/a' : '/a',
      })),
      path.map((value) => ({ safeRegex: { regex: `${value}.*` } })),
      path.map((value) => ({ prefix: value.toUpperCase(), caseSensitive: false })),
    ),
    headers: fc.array(headerMatcher, { maxLength: 2 }),
    queryParameters: fc.array(fc.record({ name: word, stringMatch: text }), { maxLength: 1 }),
  })
  .map(({ path: specifier, ...rest }) => ({ ...specifier, ...rest }));

const cluster = fc.constantFrom('one', 'two', 'three');
const forward = fc.record(
  {
    target: fc.oneof(
      cluster.map((name) => ({ cluster: name })),
      fc.constant({ clusterHeader: 'x-a' }),
      fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 })).map(([a, b]) => ({
        weightedClusters: {
          clusters: [
            { name: 'one', weight: a },
            { name: 'two', weight: b },
          ],
        },
      })),
    ),
    rewrite: fc.oneof(
      fc.constant({ prefixRewrite: '/new/' }),
      fc.constant({ regexRewrite: { pattern: { regex: '/([a-z]+)' }, substitution: '/\\1x' } }),
      fc.constant({ hostRewriteLiteral: 'other.example' }),
    ),
  },
  { requiredKeys: ['target'] },
);
const action = fc.oneof(
  {
    weight: 4,
    arbitrary: forward.map(({ target, rewrite = {} }) => ({ route: { ...target, ...rewrite } })),
  },
  {
    weight: 1,
    arbitrary: fc.constant({
      redirect: { pathRedirect: '/moved', hostRedirect: 'b.example', responseCode: 'FOUND' },
    }),
  },
  { weight: 1, arbitrary: fc.constant({ redirect: { httpsRedirect: true, prefixRewrite: '/r' } }) },
  {
    weight: 1,
    arbitrary: fc.constant({ directResponse: { status: 418, body: { inlineString: 'tea' } } }),
  },
);
const route = fc.record({ match: routeMatch, action }).map((made) => ({ match: made.match, ...made.action }));
const domains = ['a.example', '*.example', 'a.*', '*.a.example', '*', 'A.b.example:81'];
const configuration = fc
  .record({
    hosts: fc.subarray(domains, { minLength: 1 }).chain((chosen) =>
      fc.tuple(
        ...chosen.map((domain) =>
          fc.record({
            domain: fc.constant(domain),
            routes: fc.array(route, { maxLength: 5 }),
            tls: fc.boolean(),
          }),
        ),
      ),
    ),
    ignorePortInHostMatching: fc.boolean(),
  })
  .map(({ hosts, ignorePortInHostMatching }) => ({
    name: 'r',
    ignorePortInHostMatching,
    virtualHosts: hosts.map(({ domain, routes, tls }) => ({
      name: `host ${domain}`,
      domains: [domain],
      routes,
      ...(tls && domain === 'a.example' ? { requireTls: 'ALL' } : {}),
    })),
  }));
const request = fc.record({
  method: fc.constantFrom('GET', 'POST'),
  host: fc.constantFrom('a.example', 'b.example', 'x.a.example', 'a.b.example:81', 'a.test', 'q.test'),
  path,
  query: fc.constantFrom('', '?x=x', '?jason=jason&x=y'),
  headers: fc.array(fc.tuple(fc.constantFrom('x-a', 'end-user'), word), { maxLength: 2 }),
});

test('explain answers as the matchers do: host, rule, cluster, path, host header, answer', async () => {
  await fc.assert(
    fc.asyncProperty(configuration, request, async (json, made) => {
      const routes = fromJson(RouteConfigurationSchema, json as JsonValue);
      const parsed = parseRequest({
        method: made.method,
        url: `http://${made.host}${made.path}${made.query}`,
        headers: made.headers.map(([name, value]) => `${name}: ${value}`),
      });
      const trace = await explain({ mesh: meshOf(routes), from: client, request: parsed });
      const compiled = compileRoutes(routes);
      const decide = (point: number): RouteDecision =>
        matchRequest(
          compiled,
          matchInput({
            method: parsed.method,
            authority: parsed.authority,
            path: parsed.path,
            headers: parsed.headers,
            random: () => point,
          }),
        );
      compare(trace, decide(0));
      const shares = new Map<string, number>();
      for (let draw = 0; draw < 90; draw++) {
        const { cluster: name } = decide((draw + 0.5) / 90);
        if (name !== undefined) shares.set(name, (shares.get(name) ?? 0) + 1 / 90);
      }
      for (const { cluster: name, share } of trace.hop.targets)
        expect(Math.abs(share - (shares.get(name) ?? 0))).toBeLessThan(0.02);
    }),
    { numRuns: 400 },
  );
});

function compare({ hop }: Trace, decision: RouteDecision): void {
  const { http } = hop;
  const answer = http?.action ?? undefined;
  expect(http?.virtualHost?.name).toBe(decision.virtualHost);
  expect(http?.rules.find(({ result }) => result === 'matched')?.index).toBe(decision.routeIndex);
  expect(answer?.path ?? undefined).toBe(decision.path);
  expect(answer?.location ?? undefined).toBe(decision.location);
  if (decision.kind === 'forward') {
    expect(hop.targets.map(({ cluster: name }) => name)).toContain(decision.cluster);
    expect(hop.targets[0]?.authority).toBe(decision.host);
  } else expect(answer?.status ?? hop.failure?.status).toBe(decision.status);
}

const client: Workload = {
  name: 'client',
  namespace: 'default',
  addresses: ['10.0.0.1'],
  labels: {},
  workloadName: 'client',
  hasProxy: true,
  isGateway: false,
  ready: true,
  terminating: false,
};

/** One sidecar whose HTTP proxy listener has these routes. */
function meshOf(routes: RouteConfiguration): MeshView {
  const listener = fromJson(
    ListenerSchema,
    {
      name: 'proxy',
      address: { socketAddress: { address: '10.0.0.1', portValue: 15080 } },
      filterChains: [
        {
          filters: [
            {
              name: 'http',
              typedConfig: {
                '@type':
                  'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
                rds: { routeConfigName: 'r' },
              },
            },
          ],
        },
      ],
    },
    { registry },
  );
  const proxy: ProxyView = {
    type: 'sidecar',
    interceptionMode: 'LOOPBACK',
    httpProxyPort: 15080,
    configuration: {
      listeners: [listener],
      routes: () => routes,
      cluster: () => undefined,
      clusterNames: () => [],
      assignment: () => undefined,
      sources: () => [],
    },
  };
  return {
    domainSuffix: 'cluster.local',
    rootNamespace: 'istio-system',
    workloads: [client],
    services: [],
    proxyOf: () => Promise.resolve(proxy),
    endpoints: () => [],
    objects: () => [],
  };
}
