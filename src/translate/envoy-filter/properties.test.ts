// What must hold of EnvoyFilters whatever they say.
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { PatchedProxy, envoyFilter } from '../../../test/support/envoy-filters.ts';

const mesh = `
apiVersion: v1
kind: Service
metadata: { name: web, namespace: default }
spec: { clusterIP: 10.0.0.7, selector: { app: web }, ports: [{ name: http, port: 80, targetPort: 8080 }, { name: tcp, port: 81 }] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: web, namespace: default }
spec:
  hosts: [web]
  http: [{ name: a, match: [{ uri: { prefix: /a } }], route: [{ destination: { host: web } }] }, { route: [{ destination: { host: web } }] }]
`;

const node = { labels: { app: 'web' } };
const kinds = ['clusters', 'listeners', 'routes'] as const;

/** Everything that the proxy gets. */
function everything(yaml: readonly string[]): string {
  const proxy = new PatchedProxy([mesh, ...yaml].join(''), node);
  return JSON.stringify(
    kinds.map((kind) => proxy.names(kind).map((name) => [name, proxy.resource(kind, name)])),
  );
}

const manager = 'filter: { name: envoy.filters.network.http_connection_manager';
const lua = `{ name: lua, typed_config: { '@type': type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua } }`;

test('patchedKind: an EnvoyFilter that matches nothing changes no byte (C13.06)', () => {
  const nothing = [
    ['CLUSTER', 'MERGE', '{ lb_policy: RANDOM }', 'cluster: { name: absent }'],
    ['CLUSTER', 'REMOVE', '', 'cluster: { service: absent }'],
    ['LISTENER', 'MERGE', '{ per_connection_buffer_limit_bytes: 1 }', 'listener: { portNumber: 99 }'],
    ['LISTENER_FILTER', 'REMOVE', '', 'listener: { listenerFilter: absent }'],
    ['FILTER_CHAIN', 'REMOVE', '', 'listener: { filterChain: { sni: absent } }'],
    ['NETWORK_FILTER', 'REMOVE', '', 'listener: { filterChain: { filter: { name: absent } } }'],
    ['HTTP_FILTER', 'REMOVE', '', `listener: { filterChain: { ${manager}, subFilter: { name: absent } } } }`],
    [
      'HTTP_FILTER',
      'INSERT_BEFORE',
      lua,
      `listener: { filterChain: { ${manager}, subFilter: { name: absent } } } }`,
    ],
    [
      'ROUTE_CONFIGURATION',
      'MERGE',
      '{ request_headers_to_remove: [x] }',
      "routeConfiguration: { name: '99' }",
    ],
    ['VIRTUAL_HOST', 'REMOVE', '', 'routeConfiguration: { vhost: { name: absent } }'],
    ['HTTP_ROUTE', 'REMOVE', '', 'routeConfiguration: { vhost: { route: { name: absent } } }'],
    ['HTTP_ROUTE', 'MERGE', '{ name: x }', 'context: GATEWAY'],
  ] as const;
  const before = everything([]);
  for (const [applyTo, operation, value, match] of nothing)
    expect(everything([envoyFilter(applyTo, operation, value, { match })]), `${applyTo} ${operation}`).toBe(
      before,
    );
  const selector = { spec: 'workloadSelector: { labels: { app: absent } }' };
  expect(everything([envoyFilter('LISTENER', 'REMOVE', '', selector)])).toBe(before);
});

const patches = [
  ['CLUSTER', 'MERGE', '{ lb_policy: RANDOM, circuit_breakers: { thresholds: [{ max_retries: 9 }] } }', ''],
  ['CLUSTER', 'ADD', '{ name: mine }', ''],
  ['CLUSTER', 'REMOVE', '', 'cluster: { portNumber: 81 }'],
  ['LISTENER', 'MERGE', '{ per_connection_buffer_limit_bytes: 1 }', ''],
  [
    'LISTENER_FILTER',
    'ADD',
    '{ name: a, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.listener.original_src.v3.OriginalSrc } }',
    '',
  ],
  ['FILTER_CHAIN', 'MERGE', '{ transport_socket_connect_timeout: 3s }', 'context: SIDECAR_INBOUND'],
  [
    'NETWORK_FILTER',
    'INSERT_FIRST',
    '{ name: echo, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo } }',
    '',
  ],
  [
    'HTTP_FILTER',
    'INSERT_BEFORE',
    lua,
    `listener: { filterChain: { ${manager}, subFilter: { name: envoy.filters.http.router } } } }`,
  ],
  ['HTTP_FILTER', 'INSERT_FIRST', lua.replace('name: lua', 'name: first'), ''],
  ['ROUTE_CONFIGURATION', 'MERGE', '{ request_headers_to_remove: [x] }', ''],
  ['VIRTUAL_HOST', 'ADD', '{ name: mine, domains: [mine] }', ''],
  ['VIRTUAL_HOST', 'MERGE', '{ retry_policy: { num_retries: 5 } }', ''],
  ['HTTP_ROUTE', 'INSERT_FIRST', '{ match: { prefix: /x }, direct_response: { status: 200 } }', ''],
  [
    'HTTP_ROUTE',
    'MERGE',
    '{ route: { timeout: 3s } }',
    'routeConfiguration: { vhost: { route: { name: a } } }',
  ],
] as const;

const filters = fc.uniqueArray(
  fc.record({ patch: fc.constantFrom(...patches), priority: fc.integer({ min: -1, max: 1 }) }),
  {
    minLength: 2,
    maxLength: 6,
  },
);

test('selectPatches: the order of files and documents changes nothing (C13.06)', () => {
  fc.assert(
    fc.property(filters, fc.boolean(), (chosen, isRoot) => {
      const texts = chosen.map(({ patch: [applyTo, operation, value, match], priority }, index) =>
        envoyFilter(applyTo, operation, value, {
          match,
          name: `f${index}`,
          spec: `priority: ${priority}`,
          namespace: isRoot && index % 2 === 0 ? 'istio-system' : 'default',
        }),
      );
      expect(everything(texts.toReversed())).toBe(everything(texts));
    }),
    { numRuns: 60 },
  );
});

test('patchListener, patchRouteConfiguration, patchCluster: pure, and what they patch stays as it was', () => {
  fc.assert(
    fc.property(filters, (chosen) => {
      const texts = chosen.map(({ patch: [applyTo, operation, value, match] }, index) =>
        envoyFilter(applyTo, operation, value, { match, name: `f${index}` }),
      );
      const proxy = new PatchedProxy([mesh, ...texts].join(''), node);
      for (const kind of kinds)
        for (const name of proxy.names(kind))
          expect(proxy.resource(kind, name)).toEqual(proxy.resource(kind, name));
    }),
    { numRuns: 40 },
  );
});
