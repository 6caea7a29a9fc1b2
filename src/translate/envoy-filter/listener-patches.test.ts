// EnvoyFilters over listeners, their chains and filters (C13.06).
import { describe, expect, test } from 'vitest';
import { PatchedProxy, envoyFilter } from '../../../test/support/envoy-filters.ts';
import type { ProxyNode } from '../../model/proxy-node.ts';

const mesh = `
apiVersion: v1
kind: Service
metadata: { name: web, namespace: default }
spec: { clusterIP: 10.0.0.7, selector: { app: web }, ports: [{ name: http, port: 80, targetPort: 8080 }] }
---
apiVersion: v1
kind: Service
metadata: { name: db, namespace: default }
spec: { clusterIP: 10.0.0.8, ports: [{ name: tcp, port: 5432 }] }
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: gateway, namespace: default }
spec:
  selector: { istio: gateway }
  servers: [{ port: { number: 80, name: http, protocol: HTTP }, hosts: ['*'] }]
`;

interface Named {
  readonly name: string;
  readonly typedConfig?: Readonly<Record<string, unknown>>;
}
interface Chain {
  readonly name?: string;
  readonly filterChainMatch?: { readonly destinationPort?: number };
  readonly filters?: readonly (Named & {
    readonly typedConfig?: { readonly httpFilters?: readonly Named[] };
  })[];
}

const sidecar: Partial<ProxyNode> = { labels: { app: 'web' } };
const gateway: Partial<ProxyNode> = { type: 'router', labels: { istio: 'gateway' } };

function listener(yaml: string, name = '0.0.0.0_80', node = sidecar) {
  const resource = new PatchedProxy(mesh + yaml, node).resource('listeners', name);
  const json = resource?.json as
    | { readonly filterChains?: readonly Chain[]; readonly listenerFilters?: readonly Named[] }
    | undefined;
  return { json, chains: json?.filterChains ?? [], origins: resource?.origins ?? [] };
}

/** Without the filters' prefix. */
function short(filters: readonly Named[] = []): string {
  return filters.map(({ name }) => name.replace(/^envoy\.filters\.\w+\./, '')).join(' ');
}

function httpFilters(yaml: string, name?: string, node?: Partial<ProxyNode>): string {
  const { chains } = listener(yaml, name, node);
  return short(chains.at(-1)?.filters?.at(-1)?.typedConfig?.httpFilters);
}

const managerName = 'envoy.filters.network.http_connection_manager';
const manager = `filter: { name: ${managerName} }`;
const subFilter = (name: string): string =>
  `listener: { filterChain: { filter: { name: ${managerName}, subFilter: { name: ${name} } } } }`;
const lua = (name = 'lua', code = 'x'): string =>
  `{ name: ${name}, typed_config: { '@type': type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua, default_source_code: { inline_string: ${code} } } }`;

describe('HTTP_FILTER (C13.06)', () => {
  test.each([
    ['ADD', '', 'fault cors router lua'],
    ['INSERT_FIRST', '', 'lua fault cors router'],
    ['INSERT_FIRST', subFilter('envoy.filters.http.cors'), 'lua fault cors router'],
    ['INSERT_BEFORE', subFilter('envoy.filters.http.cors'), 'fault lua cors router'],
    ['INSERT_AFTER', subFilter('envoy.filters.http.cors'), 'fault cors lua router'],
    ['INSERT_AFTER', subFilter('envoy.filters.http.router'), 'fault cors router lua'],
    ['INSERT_BEFORE', '', 'lua fault cors router'],
    ['INSERT_AFTER', '', 'fault cors router lua'],
    ['INSERT_BEFORE', subFilter('absent'), 'fault cors router'],
    ['REPLACE', subFilter('envoy.filters.http.cors'), 'fault lua router'],
    ['REPLACE', '', 'fault cors router'],
    ['REMOVE', subFilter('envoy.filters.http.cors'), 'fault router'],
    ['REMOVE', '', 'fault cors router'],
  ])('%s with match {%s}: %s', (operation, match, expected) => {
    const value = operation === 'REMOVE' ? '' : lua();
    expect(httpFilters(envoyFilter('HTTP_FILTER', operation, value, { match }))).toBe(expected);
  });

  test('MERGE merges the settings and may rename', () => {
    const typed = `typed_config: { '@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router, suppress_envoy_headers: true }`;
    const match = subFilter('envoy.filters.http.router');
    const { chains, origins } = listener(
      envoyFilter('HTTP_FILTER', 'MERGE', `{ name: renamed, ${typed} }`, { match }),
    );
    const filter = chains[0]?.filters?.[0]?.typedConfig?.httpFilters?.at(-1);
    expect(filter?.name).toBe('renamed');
    expect(filter?.typedConfig?.['suppressEnvoyHeaders']).toBe(true);
    expect(origins[0]).toMatch(
      /^filterChains\[0\]\.filters\[0\]\.httpFilters\[\d\]\.typedConfig: EnvoyFilter default\/patch spec\.configPatches\[0\]\.patch\.value\.typed_config$/,
    );
  });

  test('MERGE of another type leaves the filter as it was', () => {
    const { json } = listener(
      envoyFilter('HTTP_FILTER', 'MERGE', lua("''"), { match: subFilter('envoy.filters.http.router') }),
    );
    expect(json).toEqual(listener('').json);
  });

  test('what is inserted is blamed on its patch', () => {
    const patch = envoyFilter('HTTP_FILTER', 'INSERT_FIRST', lua());
    expect(listener(patch).origins[0]).toBe(
      'filterChains[0].filters[0].httpFilters[0]: EnvoyFilter default/patch spec.configPatches[0]',
    );
  });
});

describe('contexts (C13.06)', () => {
  const patch = (context: string): string =>
    envoyFilter('HTTP_FILTER', 'INSERT_FIRST', lua(), { match: `context: ${context}` });
  test.each([
    ['SIDECAR_OUTBOUND', [true, false, false]],
    ['SIDECAR_INBOUND', [false, true, false]],
    ['GATEWAY', [false, false, true]],
    ['ANY', [true, true, true]],
  ])('%s', (context, expected) => {
    const inbound = listener(patch(context), 'virtualInbound').chains;
    const isIn = (chain: Chain): boolean =>
      short(chain.filters?.[0]?.typedConfig?.httpFilters).startsWith('lua');
    expect([
      httpFilters(patch(context)).startsWith('lua'),
      inbound.some(isIn),
      httpFilters(patch(context), '0.0.0.0_80', gateway).startsWith('lua'),
    ]).toEqual(expected);
  });
});

describe('NETWORK_FILTER (C13.06)', () => {
  const limit = `{ name: limit, typed_config: { '@type': type.googleapis.com/envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit, stat_prefix: x, max_connections: 5 } }`;
  const tcp = 'listener: { filterChain: { filter: { name: envoy.filters.network.tcp_proxy } } }';
  test.each([
    ['ADD', '', 'tcp_proxy limit'],
    ['INSERT_FIRST', '', 'limit tcp_proxy'],
    ['INSERT_BEFORE', tcp, 'limit tcp_proxy'],
    ['INSERT_AFTER', tcp, 'tcp_proxy limit'],
    ['INSERT_BEFORE', '', 'limit tcp_proxy'],
    ['REPLACE', tcp, 'limit'],
    ['REPLACE', '', 'tcp_proxy'],
    ['REMOVE', '', 'tcp_proxy'],
    ['REMOVE', tcp, ''],
  ])('%s with match {%s}: %s', (operation, match, expected) => {
    const value = operation === 'REMOVE' ? '' : limit;
    const { chains } = listener(envoyFilter('NETWORK_FILTER', operation, value, { match }), '10.0.0.8_5432');
    expect(short(chains[0]?.filters)).toBe(expected);
  });

  test('MERGE reaches into the connection manager, also after HTTP filters were inserted', () => {
    const value = `{ typed_config: { '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, server_name: mine, upgrade_configs: [{ upgrade_type: CONNECT }] } }`;
    const match = `listener: { portNumber: 80, filterChain: { ${manager} } }`;
    const patches =
      envoyFilter('NETWORK_FILTER', 'MERGE', value, { match }) +
      envoyFilter('HTTP_FILTER', 'INSERT_FIRST', lua(), { name: 'a' });
    const config = listener(patches).chains[0]?.filters?.[0]?.typedConfig as Record<string, unknown>;
    expect(config['serverName']).toBe('mine');
    expect(config['upgradeConfigs']).toEqual([{ upgradeType: 'websocket' }, { upgradeType: 'CONNECT' }]);
    expect(short(config['httpFilters'] as Named[])).toMatch(/^lua /);
  });
});

describe('LISTENER_FILTER (C13.06)', () => {
  const proxy = `{ name: proxy, typed_config: { '@type': type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol } }`;
  const at = 'listener: { listenerFilter: envoy.filters.listener.tls_inspector }';
  const own = short(listener('', 'virtualInbound').json?.listenerFilters);
  test.each([
    ['ADD', '', `${own} proxy`],
    ['INSERT_FIRST', '', `proxy ${own}`],
    ['INSERT_BEFORE', at, own.replace('tls_inspector', 'proxy tls_inspector')],
    ['INSERT_AFTER', at, own.replace('tls_inspector', 'tls_inspector proxy')],
    ['REPLACE', at, own.replace('tls_inspector', 'proxy')],
    ['REMOVE', at, own.replace('tls_inspector ', '')],
    ['REMOVE', '', own],
  ])('%s with match {%s}', (operation, match, expected) => {
    const value = operation === 'REMOVE' ? '' : proxy;
    const patch = envoyFilter('LISTENER_FILTER', operation, value, {
      match: `context: SIDECAR_INBOUND, ${match}`,
    });
    expect(own).toContain('tls_inspector');
    expect(short(listener(patch, 'virtualInbound').json?.listenerFilters)).toBe(expected);
    expect(listener(patch).json).toEqual(listener('').json);
  });

  test('MERGE merges the settings', () => {
    const value = `{ typed_config: { '@type': type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector, enable_ja3_fingerprinting: true } }`;
    const filters = listener(
      envoyFilter('LISTENER_FILTER', 'MERGE', value, { match: at }),
      'virtualInbound',
    ).json;
    const inspector = filters?.listenerFilters?.find(({ name }) => name.endsWith('tls_inspector'));
    expect(inspector?.typedConfig).toMatchObject({
      initialReadBufferSize: 512,
      enableJa3Fingerprinting: true,
    });
  });
});

describe('FILTER_CHAIN (C13.06)', () => {
  const inbound = (yaml: string): readonly Chain[] => listener(yaml, 'virtualInbound').chains;
  const ports = (chains: readonly Chain[]): readonly unknown[] => [
    ...new Set(chains.map(({ filterChainMatch }) => filterChainMatch?.destinationPort)),
  ];
  const tcp = `[{ name: t, typed_config: { '@type': type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: x, cluster: c } }]`;

  test('REMOVE takes the chains of a port away: in virtual listeners portNumber is that of the chain', () => {
    expect(ports(inbound(''))).toContain(8080);
    const byPort = envoyFilter('FILTER_CHAIN', 'REMOVE', '', { match: 'listener: { portNumber: 8080 }' });
    const byMatch = envoyFilter('FILTER_CHAIN', 'REMOVE', '', {
      match: 'listener: { name: virtualInbound, filterChain: { destinationPort: 8080 } }',
    });
    expect(ports(inbound(byPort))).not.toContain(8080);
    expect(inbound(byMatch)).toEqual(inbound(byPort));
  });

  test.each([
    ['name', 'name: virtualInbound-catchall-http'],
    [
      'transportProtocol and applicationProtocols',
      "transportProtocol: raw_buffer, applicationProtocols: 'http/1.1,h2c'",
    ],
  ])('MERGE by %s', (_what, match) => {
    const patch = envoyFilter('FILTER_CHAIN', 'MERGE', '{ transport_socket_connect_timeout: 3s }', {
      match: `listener: { filterChain: { ${match} } }`,
    });
    const merged = inbound(patch).filter((chain) => 'transportSocketConnectTimeout' in chain);
    expect(merged.map(({ name }) => name)).toContain('virtualInbound-catchall-http');
    expect(merged.length).toBeLessThan(inbound('').length);
  });

  test('sni that no chain has matches nothing', () => {
    const patch = envoyFilter('FILTER_CHAIN', 'REMOVE', '', {
      match: 'listener: { filterChain: { sni: a.b } }',
    });
    expect(inbound(patch)).toEqual(inbound(''));
  });

  test('ADD appends a chain, which other patches do not look at', () => {
    const patch =
      envoyFilter('FILTER_CHAIN', 'ADD', `{ name: mine, filters: ${tcp} }`, {
        match: 'listener: { portNumber: 5432 }',
      }) +
      envoyFilter(
        'NETWORK_FILTER',
        'ADD',
        `{ name: second, typed_config: { '@type': type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo } }`,
        { name: 'z' },
      );
    const { chains, origins } = listener(patch, '10.0.0.8_5432');
    expect(chains.map(({ filters }) => short(filters))).toEqual(['tcp_proxy second', 't']);
    expect(origins).toContain('filterChains[1]: EnvoyFilter default/patch spec.configPatches[0]');
  });

  test('MERGE of a transport socket of the same name merges its settings alone', () => {
    const socket = `transport_socket: { name: envoy.transport_sockets.tls, typed_config: { '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, require_sni: true } }`;
    const patch = envoyFilter('FILTER_CHAIN', 'MERGE', `{ name: other, ${socket} }`, {
      match: 'context: SIDECAR_INBOUND, listener: { portNumber: 8080 }',
    });
    const before = inbound('').filter(
      (chain) => 'transportSocket' in chain && chain.filterChainMatch?.destinationPort === 8080,
    );
    const after = inbound(patch).filter(({ filterChainMatch }) => filterChainMatch?.destinationPort === 8080);
    const tls = after.filter((chain) => JSON.stringify(chain).includes('tlsCertificateSdsSecretConfigs'));
    expect(tls.length).toBe(before.length);
    for (const chain of tls) {
      expect(chain.name).not.toBe('other');
      expect(JSON.stringify(chain)).toContain('"requireSni":true');
    }
    // A chain without one gets the whole value.
    expect(after.some(({ name }) => name === 'other')).toBe(true);
  });
});

describe('LISTENER (C13.06)', () => {
  const outbound = new PatchedProxy(mesh, sidecar).names('listeners');
  const proxyOf = (yaml: string, node = sidecar): PatchedProxy => new PatchedProxy(mesh + yaml, node);
  const mine = '{ name: mine, address: { socket_address: { address: 127.0.0.1, port_value: 9000 } } }';

  test('MERGE by name and port', () => {
    const merge = (match: string): unknown =>
      listener(envoyFilter('LISTENER', 'MERGE', '{ per_connection_buffer_limit_bytes: 9 }', { match })).json;
    expect(merge('listener: { portNumber: 80 }')).toMatchObject({ perConnectionBufferLimitBytes: 9 });
    expect(merge('listener: { name: 0.0.0.0_80 }')).toMatchObject({ perConnectionBufferLimitBytes: 9 });
    expect(merge('listener: { portNumber: 81 }')).toEqual(listener('').json);
  });

  test('REMOVE takes a listener away', () => {
    const proxy = proxyOf(envoyFilter('LISTENER', 'REMOVE', '', { match: 'listener: { portNumber: 5432 }' }));
    expect(proxy.names('listeners')).toEqual(outbound.filter((name) => name !== '10.0.0.8_5432'));
    expect(proxy.resource('listeners', '10.0.0.8_5432')).toBeUndefined();
  });

  test.each([
    ['ANY', sidecar, true],
    ['SIDECAR_OUTBOUND', sidecar, true],
    ['SIDECAR_INBOUND', sidecar, true],
    ['GATEWAY', sidecar, false],
    ['GATEWAY', gateway, true],
    ['ANY', gateway, true],
    ['SIDECAR_OUTBOUND', gateway, false],
  ])('ADD in context %s', (context, node, expected) => {
    const proxy = proxyOf(envoyFilter('LISTENER', 'ADD', mine, { match: `context: ${context}` }), node);
    expect(proxy.names('listeners').includes('mine')).toBe(expected);
    expect(proxy.resource('listeners', 'mine')?.origins).toEqual(
      expected ? [': EnvoyFilter default/patch spec.configPatches[0]'] : undefined,
    );
  });

  test('a listener that is there already is not replaced by one that is added', () => {
    const proxy = proxyOf(envoyFilter('LISTENER', 'ADD', mine.replace('mine', '0.0.0.0_80')));
    expect(proxy.names('listeners')).toEqual(outbound);
    expect(proxy.resource('listeners', '0.0.0.0_80')?.json).toEqual(listener('').json);
  });
});

test('patchListener: inbound routes, which stand in the listener, are patched as routes are (C13.06)', () => {
  const patch =
    envoyFilter('VIRTUAL_HOST', 'MERGE', '{ request_headers_to_remove: [x-a] }', {
      match: 'context: SIDECAR_INBOUND, routeConfiguration: { portNumber: 8080 }',
    }) +
    envoyFilter('HTTP_ROUTE', 'MERGE', '{ response_headers_to_remove: [x-b] }', {
      name: 'z',
      match:
        "context: SIDECAR_INBOUND, routeConfiguration: { vhost: { name: 'inbound|http|80', route: { action: ROUTE } } }",
    });
  const { chains, origins } = listener(patch, 'virtualInbound');
  const manager8080 = chains.find(
    ({ filterChainMatch, filters }) =>
      filterChainMatch?.destinationPort === 8080 && filters?.[0]?.name === managerName,
  )?.filters?.[0]?.typedConfig as { routeConfig: { virtualHosts: { routes: object[] }[] } };
  expect(manager8080.routeConfig.virtualHosts[0]).toMatchObject({
    requestHeadersToRemove: ['x-a'],
    routes: [{ responseHeadersToRemove: ['x-b'] }],
  });
  expect(origins.join('\n')).toMatch(/routeConfig\.virtualHosts\[0\]\.requestHeadersToRemove: EnvoyFilter/);
  expect(origins.join('\n')).toMatch(/virtualHosts\[0\]\.routes\[0\]\.responseHeadersToRemove: EnvoyFilter/);
});
