// EnvoyFilters over clusters, their order and whom they reach (C13.06).
import { describe, expect, test } from 'vitest';
import { PatchedProxy, envoyFilter } from '../../../test/support/envoy-filters.ts';
import type { ProxyNode } from '../../model/proxy-node.ts';

const mesh = `
apiVersion: v1
kind: Service
metadata: { name: web, namespace: default }
spec: { selector: { app: web }, ports: [{ name: http, port: 80, targetPort: 8080 }] }
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: web, namespace: default }
spec: { host: web, subsets: [{ name: v1, labels: { version: v1 } }] }
`;

const web = 'outbound|80||web.default.svc.cluster.local';
const subset = 'outbound|80|v1|web.default.svc.cluster.local';
const sidecar: Partial<ProxyNode> = { labels: { app: 'web' } };
const all = new PatchedProxy(mesh, sidecar).names('clusters');
const inbound = all.find((name) => name.startsWith('inbound|')) ?? '';

function proxyOf(
  yaml: string,
  node: Partial<ProxyNode> = sidecar,
  rootNamespace = 'istio-system',
): PatchedProxy {
  return new PatchedProxy(mesh + yaml, node, { rootNamespace });
}

/** The clusters that a patch with this match merges into. */
function merged(match: string, node?: Partial<ProxyNode>): readonly string[] {
  const proxy = proxyOf(envoyFilter('CLUSTER', 'MERGE', '{ connect_timeout: 77s }', { match }), node);
  return proxy
    .names('clusters')
    .filter((name) => proxy.resource('clusters', name)?.json['connectTimeout'] === '77s');
}

describe('CLUSTER (C13.06)', () => {
  test.each([
    ['', all],
    [`cluster: { name: '${web}' }`, [web]],
    // The name says everything, whatever stands beside it.
    [`cluster: { name: '${web}', service: other }`, [web]],
    ['cluster: { service: web.default.svc.cluster.local }', [inbound, web, subset]],
    ['context: SIDECAR_OUTBOUND, cluster: { service: web.default.svc.cluster.local }', [web, subset]],
    ['cluster: { subset: v1 }', [subset]],
    ['cluster: { portNumber: 80 }', [web, subset]],
    ['cluster: { portNumber: 8080 }', [inbound]],
    [
      'context: SIDECAR_INBOUND',
      all.filter((name) => name.startsWith('inbound|') || name.startsWith('InboundPass')),
    ],
    ['context: GATEWAY', []],
  ])('MERGE into {%s}', (match, expected) => {
    expect(merged(match)).toEqual([...expected].sort());
  });

  test('clusters of gateways are those of the context GATEWAY', () => {
    const node: Partial<ProxyNode> = { type: 'router' };
    const names = proxyOf('', node).names('clusters');
    expect(merged('context: GATEWAY', node)).toEqual(names);
    expect(merged('context: SIDECAR_OUTBOUND', node)).toEqual([]);
  });

  test('REMOVE takes clusters away, ADD brings one, which others do not patch', () => {
    const patches =
      envoyFilter('CLUSTER', 'REMOVE', '', { match: 'cluster: { subset: v1 }' }) +
      envoyFilter('CLUSTER', 'ADD', '{ name: mine, connect_timeout: 1s }', { name: 'b' }) +
      envoyFilter('CLUSTER', 'MERGE', '{ connect_timeout: 2s }', { name: 'c' });
    const proxy = proxyOf(patches);
    expect(proxy.names('clusters')).toEqual([...all.filter((name) => name !== subset), 'mine'].sort());
    expect(proxy.resource('clusters', subset)).toBeUndefined();
    expect(proxy.resource('clusters', 'mine')).toEqual({
      json: { name: 'mine', connectTimeout: '1s' },
      origins: [': EnvoyFilter default/b spec.configPatches[0]'],
    });
  });

  test('what is merged is blamed on the field, before what the cluster stands for', () => {
    const patch = envoyFilter('CLUSTER', 'MERGE', '{ lb_policy: RANDOM }', {
      match: `cluster: { name: '${web}' }`,
    });
    expect(proxyOf(patch).resource('clusters', web)?.origins.slice(0, 2)).toEqual([
      'lbPolicy: EnvoyFilter default/patch spec.configPatches[0].patch.value.lb_policy',
      ': Service default/web ',
    ]);
  });

  test('a transport socket is merged into the one of its name among those that endpoints choose', () => {
    const tls = (name: string): string =>
      envoyFilter(
        'CLUSTER',
        'MERGE',
        `{ connect_timeout: 77s, transport_socket: { name: ${name}, typed_config: { '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, sni: mine } } }`,
        { match: `cluster: { name: '${web}' }` },
      );
    const own = proxyOf('').resource('clusters', web)?.json;
    expect(JSON.stringify(own)).toContain('"transportSocketMatches"');
    const patched = proxyOf(tls('envoy.transport_sockets.tls')).resource('clusters', web)?.json;
    expect(JSON.stringify(patched)).toContain('"sni":"mine"');
    expect(patched).not.toHaveProperty('transportSocket');
    // The patch is about the socket alone.
    expect(patched?.['connectTimeout']).toBe(own?.['connectTimeout']);
    expect(proxyOf(tls('other')).resource('clusters', web)?.json).toEqual(own);
    const plain = proxyOf(tls('other').replace(web, 'BlackHoleCluster')).resource(
      'clusters',
      'BlackHoleCluster',
    );
    expect(plain?.json['transportSocket']).toMatchObject({ name: 'other', typedConfig: { sni: 'mine' } });
  });
});

describe('who is reached, and in which order (C13.06)', () => {
  const timeout = (seconds: number, more: object): string =>
    envoyFilter('CLUSTER', 'MERGE', `{ connect_timeout: ${seconds}s }`, more);
  const winner = (yaml: string, node?: Partial<ProxyNode>): unknown =>
    proxyOf(yaml, node).resource('clusters', web)?.json['connectTimeout'];

  test('priority first, then the root namespace, then age and name; the last word counts (regression 49555)', () => {
    const root = { namespace: 'istio-system' };
    expect(winner(timeout(1, { name: 'b' }) + timeout(2, { name: 'a' }))).toBe('1s');
    expect(winner(timeout(1, { name: 'a' }) + timeout(2, { name: 'z', ...root }))).toBe('1s');
    expect(winner(timeout(1, { name: 'a' }) + timeout(2, { name: 'z', ...root, spec: 'priority: 1' }))).toBe(
      '2s',
    );
    expect(winner(timeout(1, { name: 'b', spec: 'priority: -1' }) + timeout(2, { name: 'a' }))).toBe('2s');
    const old = timeout(1, { name: 'z' }).replace(
      '{ name: z',
      '{ creationTimestamp: "2020-01-01T00:00:00Z", name: z',
    );
    const young = timeout(2, { name: 'a' }).replace(
      '{ name: a',
      '{ creationTimestamp: "2021-01-01T00:00:00Z", name: a',
    );
    expect(winner(old + young)).toBe('2s');
  });

  test('in a root namespace that is the proxy’s own, each counts once', () => {
    const patch = envoyFilter(
      'CLUSTER',
      'MERGE',
      '{ metadata: {}, lb_policy: RANDOM, circuit_breakers: { thresholds: [{ max_requests: 5 }] } }',
    );
    const json = proxyOf(patch, sidecar, 'default').resource('clusters', web)?.json;
    expect(JSON.stringify(json).match(/"maxRequests":5[,}]/g)).toHaveLength(1);
  });

  test.each([
    ['workloadSelector: { labels: { app: web } }', {}, true],
    ['workloadSelector: { labels: { app: other } }', {}, false],
    ['workloadSelector: { labels: {} }', {}, true],
    ['targetRefs: [{ group: gateway.networking.k8s.io, kind: Gateway, name: g }]', {}, false],
    [
      'targetRefs: [{ group: gateway.networking.k8s.io, kind: Gateway, name: g }]',
      { labels: { app: 'web', 'gateway.networking.k8s.io/gateway-name': 'g' } },
      true,
    ],
    [
      'targetRefs: [{ group: gateway.networking.k8s.io, kind: Gateway, name: g }]',
      { labels: { app: 'web', 'gateway.networking.k8s.io/gateway-name': 'h' } },
      false,
    ],
    ["targetRefs: [{ group: '', kind: Service, name: web }]", {}, false],
  ])('%s of a proxy with %j (regression 56476)', (spec, node, expected) => {
    expect(winner(timeout(77, { spec }), { ...sidecar, ...node }) === '77s').toBe(expected);
  });

  test.each([
    ["proxyVersion: '^1\\.32.*'", {}, true],
    ["proxyVersion: '32'", {}, true],
    ["proxyVersion: '^1\\.31.*'", {}, false],
    [`proxyVersion: '1.32${'.*'.repeat(600)}'`, {}, false],
    ["proxyVersion: '.*'", { istioVersion: '' }, false],
    ['metadata: { ROLE: edge }', {}, false],
    ['metadata: { ROLE: edge }', { metadata: { ROLE: 'edge', OTHER: 'x' } }, true],
    ['metadata: { ROLE: edge, OTHER: y }', { metadata: { ROLE: 'edge', OTHER: 'x' } }, false],
  ])('proxy match {%s} on %j', (proxy, node, expected) => {
    expect(winner(timeout(77, { match: `proxy: { ${proxy} }` }), { ...sidecar, ...node }) === '77s').toBe(
      expected,
    );
  });

  test('an EnvoyFilter of another namespace does not reach the proxy', () => {
    expect(winner(timeout(77, { namespace: 'other' }))).not.toBe('77s');
  });
});

test('extensionConfigs: by name, of any context (C13.06)', () => {
  const value = (text: string): string =>
    `{ name: config, typed_config: { '@type': type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua, default_source_code: { inline_string: ${text} } } }`;
  const proxy = proxyOf(
    envoyFilter('EXTENSION_CONFIG', 'ADD', value('a'), { match: 'context: SIDECAR_INBOUND' }) +
      envoyFilter('EXTENSION_CONFIG', 'ADD', value('b'), { name: 'z' }),
  );
  expect(proxy.names('extensionConfigs')).toEqual(['config']);
  expect(JSON.stringify(proxy.resource('extensionConfigs', 'config'))).toContain('"inlineString":"a"');
  expect(proxy.resource('extensionConfigs', 'absent')).toBeUndefined();
});

test('readPatchValue: what is newer than our descriptors travels as a TypedStruct (C13.06)', () => {
  const patch = envoyFilter(
    'CLUSTER',
    'ADD',
    `{ name: mine, transport_socket: { name: x, typed_config: { '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, sni: a, quite_new: { deep: 1 } } } }`,
  );
  expect(proxyOf(patch).resource('clusters', 'mine')?.json['transportSocket']).toEqual({
    name: 'x',
    typedConfig: {
      '@type': 'type.googleapis.com/xds.type.v3.TypedStruct',
      typeUrl: 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
      value: { sni: 'a', quite_new: { deep: 1 } },
    },
  });
});
