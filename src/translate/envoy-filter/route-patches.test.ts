// EnvoyFilters over route configurations, virtual hosts and routes (C13.06).
import { describe, expect, test } from 'vitest';
import { PatchedProxy, envoyFilter } from '../../../test/support/envoy-filters.ts';
import type { ProxyNode } from '../../model/proxy-node.ts';

const mesh = `
apiVersion: v1
kind: Service
metadata: { name: web, namespace: default }
spec: { ports: [{ name: http, port: 80 }] }
---
apiVersion: v1
kind: Service
metadata: { name: gateway, namespace: default }
spec: { selector: { istio: gateway }, ports: [{ name: http, port: 80, targetPort: 8080 }] }
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: gateway, namespace: default }
spec:
  selector: { istio: gateway }
  servers: [{ port: { number: 80, name: http, protocol: HTTP }, hosts: ['*'] }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: web, namespace: default }
spec:
  hosts: [web.default.svc.cluster.local]
  gateways: [mesh, gateway]
  http:
    - { name: one, match: [{ uri: { prefix: /1 } }], route: [{ destination: { host: web } }] }
    - { name: two, match: [{ uri: { prefix: /2 } }], redirect: { uri: /x } }
    - { name: three, directResponse: { status: 503 } }
`;

interface Host {
  readonly name: string;
  readonly routes?: readonly { readonly name?: string }[];
}

const gateway: Partial<ProxyNode> = { type: 'router', labels: { istio: 'gateway' } };
const webHost = 'web.default.svc.cluster.local:80';

function routes(yaml: string, name = '80', node: Partial<ProxyNode> = {}) {
  const resource = new PatchedProxy(mesh + yaml, node).resource('routes', name);
  const hosts = (resource?.json['virtualHosts'] ?? []) as unknown as readonly Host[];
  const web = hosts.find(({ name: host }) => host === webHost);
  return { json: resource?.json, hosts, origins: resource?.origins ?? [], names: namesOf(web) };
}

function namesOf(host: Host | undefined): string {
  return (host?.routes ?? []).map(({ name }) => name).join(' ');
}

const at = (vhost: string): string => `routeConfiguration: { vhost: { ${vhost} } }`;
const web = `name: '${webHost}'`;
const mine = '{ name: mine, match: { prefix: / }, direct_response: { status: 200 } }';

describe('HTTP_ROUTE (C13.06)', () => {
  test.each([
    ['ADD', '', 'one two three mine'],
    ['INSERT_FIRST', '', 'mine one two three'],
    ['INSERT_FIRST', ', route: { name: two }', 'mine one two three'],
    ['INSERT_FIRST', ', route: { name: absent }', 'one two three'],
    ['INSERT_BEFORE', ', route: { name: two }', 'one mine two three'],
    ['INSERT_AFTER', ', route: { name: two }', 'one two mine three'],
    ['INSERT_BEFORE', '', 'mine one two three'],
    ['INSERT_AFTER', '', 'one two three mine'],
    ['INSERT_AFTER', ', route: { action: REDIRECT }', 'one two mine three'],
    ['INSERT_BEFORE', ', route: { action: DIRECT_RESPONSE }', 'one two mine three'],
    ['REMOVE', ', route: { name: two }', 'one three'],
    ['REMOVE', ', route: { action: ROUTE }', 'two three'],
    ['REMOVE', '', ''],
    ['REPLACE', ', route: { name: two }', 'one two three'],
  ])('%s with route match {%s}: %s', (operation, route, expected) => {
    const value = operation === 'REMOVE' ? '' : mine;
    expect(routes(envoyFilter('HTTP_ROUTE', operation, value, { match: at(web + route) })).names).toBe(
      expected,
    );
  });

  test('MERGE changes one route; others keep theirs, and their origins', () => {
    const patch = envoyFilter('HTTP_ROUTE', 'MERGE', '{ route: { timeout: 7s } }', {
      match: at(`${web}, route: { name: one }`),
    });
    const { hosts, origins } = routes(patch);
    const before = routes('');
    expect(hosts.find(({ name }) => name === webHost)?.routes?.[0]).toMatchObject({
      match: { prefix: '/1' },
      route: { cluster: 'outbound|80||web.default.svc.cluster.local', timeout: '7s' },
    });
    expect(origins[0]).toMatch(
      /^virtualHosts\[\d+\]\.routes\[0\]\.route: EnvoyFilter default\/patch .*patch\.value\.route$/,
    );
    expect(origins.slice(1)).toEqual(before.origins);
    // What is built without the patch is what it was.
    expect(routes('').json).toEqual(before.json);
  });

  test('origins move with the routes', () => {
    const { origins } = routes(envoyFilter('HTTP_ROUTE', 'INSERT_FIRST', mine, { match: at(web) }));
    const index = origins.findIndex((text) =>
      text.includes('routes[1]: VirtualService default/web spec.http[0]'),
    );
    expect(origins[0]).toMatch(/routes\[0\]: EnvoyFilter default\/patch spec\.configPatches\[0\]$/);
    expect(index).toBeGreaterThan(0);
  });
});

describe('VIRTUAL_HOST (C13.06)', () => {
  const host =
    '{ name: mine, domains: [mine.example], routes: [{ match: { prefix: / }, redirect: { host_redirect: x } }] }';
  const before = routes('').hosts.map(({ name }) => name);

  test.each([
    ['ADD', '', host, [...before, 'mine']],
    ['REPLACE', at(web), host, before.map((name) => (name === webHost ? 'mine' : name))],
    ['REMOVE', at(web), '', before.filter((name) => name !== webHost)],
    [
      'REMOVE',
      at('domainName: web.default.svc.cluster.local'),
      '',
      before.filter((name) => name !== webHost),
    ],
    ['REMOVE', at('domainName: absent'), '', before],
  ])('%s with match {%s}', (operation, match, value, expected) => {
    const context = `context: SIDECAR_OUTBOUND, ${match}`;
    const { hosts } = routes(envoyFilter('VIRTUAL_HOST', operation, value, { match: context }));
    expect(hosts.map(({ name }) => name)).toEqual(expected);
  });

  test('MERGE appends to lists, MERGE_AND_REPLACE_LIST replaces them', () => {
    const domains = (operation: string): unknown =>
      routes(envoyFilter('VIRTUAL_HOST', operation, '{ domains: [x] }', { match: at(web) })).hosts.find(
        ({ name }) => name === webHost,
      );
    expect(domains('MERGE')).toMatchObject({ domains: expect.arrayContaining(['x', 'web']) as unknown });
    expect(domains('MERGE_AND_REPLACE_LIST')).toMatchObject({ domains: ['x'] });
  });
});

describe('ROUTE_CONFIGURATION (C13.06)', () => {
  const merge = (match: string): string =>
    envoyFilter('ROUTE_CONFIGURATION', 'MERGE', '{ request_headers_to_remove: [x] }', { match });
  const merged = (match: string, name?: string, node?: Partial<ProxyNode>): boolean =>
    routes(merge(match), name, node).json?.['requestHeadersToRemove'] !== undefined;

  test.each([
    ['', true],
    ["routeConfiguration: { name: '80' }", true],
    ["routeConfiguration: { name: '81' }", false],
    ['routeConfiguration: { portNumber: 80 }', true],
    ['routeConfiguration: { portNumber: 81 }', false],
    ['context: SIDECAR_INBOUND', false],
    ['context: GATEWAY', false],
  ])('sidecars: {%s}', (match, expected) => {
    expect(merged(match)).toBe(expected);
  });

  test.each([
    ['routeConfiguration: { name: http.8080 }', true],
    ['routeConfiguration: { portNumber: 80 }', true],
    // The gateway listens on its Service's target port, and clients name the Service's.
    ['routeConfiguration: { portNumber: 8080 }', false],
    ['routeConfiguration: { portName: http }', false],
    ['routeConfiguration: { gateway: default/gateway }', false],
    ['context: GATEWAY', true],
    ['context: SIDECAR_OUTBOUND', false],
  ])('gateways: {%s}', (match, expected) => {
    expect(merged(match, 'http.8080', gateway)).toBe(expected);
  });

  test('routes of a gateway: a virtual host is added and a route removed', () => {
    const patches =
      envoyFilter('VIRTUAL_HOST', 'ADD', '{ name: mine, domains: [mine.example] }', {
        match: 'context: GATEWAY',
      }) +
      envoyFilter('HTTP_ROUTE', 'REMOVE', '', {
        name: 'z',
        match: `context: GATEWAY, ${at(`${web}, route: { name: three }`)}`,
      });
    const { hosts, names } = routes(patches, 'http.8080', gateway);
    expect(hosts.at(-1)?.name).toBe('mine');
    expect(names).toBe('one two');
  });
});
