// Faults that Istio once had and told of in its release notes, by the number of the note.
import { expect, test } from 'vitest';
import { domainsOf, routeLines, routesOf, worldAndScope } from '../../test/support/translated.ts';
import { configsOfYaml, proxyNode, worldOfYaml } from '../../test/support/world.ts';
import { messageToJson } from '../api/any.ts';
import { Graph } from '../collections/index.ts';
import { configKey } from '../config/config.ts';
import { defaultMeshConfig } from '../config/mesh-config.ts';
import type { ProxyNode } from '../model/proxy-node.ts';
import { PilotWorld } from '../pilot/world/world.ts';
import { clusters, endpoints, listeners } from './index.ts';
import { proxyScope } from './scope.ts';
import type { World } from './world.ts';

const document = (kind: string, metadata: object, spec: object, version = 'networking.istio.io/v1'): string =>
  JSON.stringify({ apiVersion: version, kind, metadata, spec });
const yamlOf = (...documents: readonly string[]): string => documents.join('\n---\n');
const service = (name: string, namespace: string, spec: object): string =>
  document('Service', { name, namespace }, { ports: [{ name: 'http', port: 80 }], ...spec }, 'v1');
const routeTo = (hosts: readonly string[], host: string): object => ({
  hosts,
  http: [{ route: [{ destination: { host } }] }],
});
const entry = (name: string, hosts: readonly string[]): string =>
  document(
    'ServiceEntry',
    { name, namespace: 'default' },
    {
      hosts,
      ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
      resolution: 'NONE',
      location: 'MESH_EXTERNAL',
    },
  );

test('routes: a dual-stack service is known by both of its addresses (regression 45564)', () => {
  const yaml = service('app', 'default', { clusterIP: '10.0.0.1', clusterIPs: ['10.0.0.1', 'fd00::1'] });
  const proxy = { ipAddresses: ['10.1.0.1', 'fd00::2'] };
  const domains = domainsOf(routesOf(yaml, '80', { proxy }))['app.default.svc.cluster.local:80'];
  expect(domains).toEqual(expect.arrayContaining(['10.0.0.1', '[fd00::1]']));
});

test('routes: wildcards that overlap stand side by side, each domain once (regression 45415)', () => {
  const yaml = yamlOf(
    entry('wide', ['*.com']),
    entry('narrow', ['*.shop.com']),
    document('VirtualService', { name: 'wide', namespace: 'default' }, routeTo(['*.com'], 'a.com')),
    document('VirtualService', { name: 'narrow', namespace: 'default' }, routeTo(['*.shop.com'], 'b.com')),
  );
  const configuration = routesOf(yaml, '80');
  const all = Object.values(domainsOf(configuration)).flat();
  expect(all.filter((domain, index) => all.indexOf(domain) !== index)).toEqual([]);
  expect(routeLines(configuration)).toMatchObject({
    '*.com:80': ['/* outbound|80||a.com'],
    '*.shop.com:80': ['/* outbound|80||b.com'],
  });
});

test('routes: a Sidecar that names one host of a wildcard gets no other (regression 33387)', () => {
  const yaml = yamlOf(
    service('a', 'shop', { clusterIP: '10.0.0.1' }),
    service('b', 'shop', { clusterIP: '10.0.0.2' }),
    document('VirtualService', { name: 'v', namespace: 'shop' }, routeTo(['*.shop.svc.cluster.local'], 'b')),
    document(
      'Sidecar',
      { name: 'default', namespace: 'default' },
      {
        egress: [{ hosts: ['shop/a.shop.svc.cluster.local'] }],
      },
    ),
  );
  const hosts = Object.values(domainsOf(routesOf(yaml, '80'))).flat();
  expect(hosts).toContain('a.shop.svc.cluster.local');
  expect(hosts.filter((host) => host.startsWith('b.') || host.startsWith('*.'))).toEqual([]);
});

test('clusters: a DestinationRule kept to one namespace hides nobody else’s (regression 48312)', () => {
  const rule = (
    name: string,
    namespace: string,
    exportTo: readonly string[],
    maxConnections: number,
  ): string =>
    document(
      'DestinationRule',
      { name, namespace },
      {
        host: 'app.shop.svc.cluster.local',
        exportTo,
        trafficPolicy: { connectionPool: { tcp: { maxConnections } } },
      },
    );
  const yaml = yamlOf(
    service('app', 'shop', { clusterIP: '10.0.0.1' }),
    rule('own', 'shop', ['shop'], 11),
    rule('public', 'shop', ['*'], 12),
    rule('mine', 'client', ['client'], 13),
  );
  const clusterFor = (namespace: string): string => {
    const { world, scope } = worldAndScope(yaml, { proxy: { namespace } });
    const input = clusters.input(world, scope, 'outbound|80||app.shop.svc.cluster.local');
    if (input === undefined) throw new Error('no cluster');
    return JSON.stringify(messageToJson(clusters.schema, clusters.build(input).message));
  };
  expect(clusterFor('client')).toContain('"maxConnections":13');
  expect(clusterFor('other')).toContain('"maxConnections":12');
});

test('clusters: a Sidecar that names a service gets each of its ports (regression sidecar-port-merge)', () => {
  const ports = [
    { name: 'http', port: 80 },
    { name: 'http-admin', port: 8080 },
  ];
  const yaml = yamlOf(
    service('a', 'shop', { clusterIP: '10.0.0.1', ports }),
    document(
      'Sidecar',
      { name: 'default', namespace: 'default' },
      {
        egress: [
          { port: { number: 80, name: 'http', protocol: 'HTTP' }, hosts: ['shop/a.shop.svc.cluster.local'] },
          { hosts: ['shop/a.shop.svc.cluster.local'] },
        ],
      },
    ),
  );
  const { world, scope } = worldAndScope(yaml);
  expect(clusters.names(world, scope)).toEqual(
    expect.arrayContaining([
      'outbound|80||a.shop.svc.cluster.local',
      'outbound|8080||a.shop.svc.cluster.local',
    ]),
  );
});

test('routes: a wildcard host that no registry knows is served all the same (regression 49364)', () => {
  const yaml = yamlOf(
    service('app', 'default', { clusterIP: '10.0.0.1' }),
    document('VirtualService', { name: 'v', namespace: 'default' }, routeTo(['*.nowhere.test'], 'app')),
  );
  expect(routeLines(routesOf(yaml, '80'))).toMatchObject({
    '*.nowhere.test:80': ['/* outbound|80||app.default.svc.cluster.local'],
  });
});

test('routes: each match of a root goes to its delegate with its own headers alone (regression 47148)', () => {
  const http = [
    {
      match: [{ headers: { 'x-a': { exact: '1' } } }, { headers: { 'x-b': { exact: '2' } } }],
      delegate: { name: 'd' },
    },
  ];
  const yaml = yamlOf(
    service('app', 'default', { clusterIP: '10.0.0.1' }),
    document('VirtualService', { name: 'root', namespace: 'default' }, { hosts: ['app'], http }),
    document(
      'VirtualService',
      { name: 'd', namespace: 'default' },
      { http: [{ match: [{ uri: { prefix: '/p' } }], route: [{ destination: { host: 'app' } }] }] },
    ),
  );
  const cluster = 'outbound|80||app.default.svc.cluster.local';
  expect(routeLines(routesOf(yaml, '80'))['app.default.svc.cluster.local:80']).toEqual([
    `/p* x-a ${cluster}`,
    `/p* x-b ${cluster}`,
  ]);
});

test('routes: hosts that differ in case alone are one domain, and the routes hold (regressions 45719, 49368, 56090)', () => {
  const yaml = yamlOf(
    service('app', 'default', { clusterIP: '10.0.0.1' }),
    entry('shop', ['shop.example.com']),
    document(
      'VirtualService',
      { name: 'v', namespace: 'default' },
      routeTo(['Shop.Example.com', 'shop.example.com'], 'app'),
    ),
  );
  const configuration = routesOf(yaml, '80');
  const all = Object.values(domainsOf(configuration)).flat();
  expect(all.filter((domain, index) => all.indexOf(domain) !== index)).toEqual([]);
  expect(Object.entries(routeLines(configuration)).filter(([name]) => /^shop\.example/i.test(name))).toEqual([
    ['shop.example.com:80', ['/* outbound|80||app.default.svc.cluster.local']],
  ]);
});

test('routes: without a timeout there is none, with a VirtualService as without (regression 40299)', () => {
  const app = service('app', 'default', { clusterIP: '10.0.0.1' });
  const rule = document('VirtualService', { name: 'v', namespace: 'default' }, routeTo(['app'], 'app'));
  const timeouts = (yaml: string): unknown => {
    const text = JSON.stringify(routesOf(yaml, '80')['virtualHosts']);
    return [...text.matchAll(/"outbound\|80\|\|app[^"]*".*?"timeout":"([^"]*)"/g)].map(([, found]) => found);
  };
  expect(timeouts(yamlOf(app, rule))).toEqual(['0s']);
  expect(timeouts(app)).toEqual(['0s']);
});

test('routes: a share of mirrored requests is the share that was written (regression 54357)', () => {
  const http = [
    {
      route: [{ destination: { host: 'app' } }],
      mirrors: [
        { destination: { host: 'app' }, percentage: { value: 0.25 } },
        { destination: { host: 'app' }, percentage: { value: 12.5 } },
      ],
    },
  ];
  const yaml = yamlOf(
    service('app', 'default', { clusterIP: '10.0.0.1' }),
    document('VirtualService', { name: 'v', namespace: 'default' }, { hosts: ['app'], http }),
  );
  const shares = [
    ...JSON.stringify(routesOf(yaml, '80')).matchAll(/"numerator":(\d+),"denominator":"(\w+)"/g),
  ].map(([, numerator, denominator]) => `${numerator} of a ${denominator}`);
  expect(shares).toEqual(['2500 of a MILLION', '125000 of a MILLION']);
});

test('listeners: an EnvoyFilter that names a filter chain changes that one alone (regression 31168)', () => {
  const patch = {
    applyTo: 'FILTER_CHAIN',
    match: {
      context: 'SIDECAR_INBOUND',
      listener: { name: 'virtualInbound', filterChain: { name: '0.0.0.0_80' } },
    },
    patch: { operation: 'MERGE', value: { transport_socket_connect_timeout: '7s' } },
  };
  const yaml = yamlOf(
    service('app', 'default', { clusterIP: '10.0.0.1', selector: { app: 'app' } }),
    document(
      'EnvoyFilter',
      { name: 'f', namespace: 'default' },
      { configPatches: [patch] },
      'networking.istio.io/v1alpha3',
    ),
  );
  const node = { labels: { app: 'app' } };
  const world = worldOfYaml(yaml);
  const kind = listeners;
  const scope = proxyScope(world, proxyNode(node));
  const input = kind.input(world, scope, 'virtualInbound');
  if (input === undefined) throw new Error('no virtualInbound');
  const { filterChains } = kind.build(input).message;
  const changed = filterChains.filter(
    ({ transportSocketConnectTimeout }) => transportSocketConnectTimeout?.seconds === 7n,
  );
  expect(changed.length).toBeGreaterThan(0);
  expect(new Set(changed.map(({ name }) => name))).toEqual(new Set(['0.0.0.0_80']));
  expect(changed.length).toBeLessThan(filterChains.length);
});

test('clusters: the names that a peer may show follow when the first endpoint comes (regression 36465)', () => {
  const world = new PilotWorld(new Graph(), defaultMeshConfig);
  const add = (yaml: string): void =>
    world.apply(configsOfYaml(yaml).map((config) => ({ key: configKey(config), after: config })));
  const names = (): string => {
    const scope = proxyScope(world, proxyNode());
    const input = clusters.input(world, scope, 'outbound|80||app.default.svc.cluster.local');
    if (input === undefined) throw new Error('no cluster');
    return JSON.stringify(messageToJson(clusters.schema, clusters.build(input).message));
  };
  add(service('app', 'default', { clusterIP: '10.0.0.1', selector: { app: 'app' } }));
  expect(names()).not.toContain('spiffe://');
  add(pod('app-1', '10.1.0.5'));
  expect(names()).toContain('spiffe://cluster.local/ns/default/sa/first');
});

test('endpoints: of two WorkloadEntries at one address each goes for itself, and nothing stays (regression 43951)', () => {
  const workload = (name: string): string =>
    document('WorkloadEntry', { name, namespace: 'default' }, { address: '10.9.0.1', labels: { app: 'vm' } });
  const world = new PilotWorld(new Graph(), defaultMeshConfig);
  const both = configsOfYaml(yamlOf(workload('one'), workload('two')));
  const app = configsOfYaml(service('app', 'default', { clusterIP: '10.0.0.1', selector: { app: 'vm' } }));
  world.apply([...app, ...both].map((config) => ({ key: configKey(config), after: config })));
  const count = (): number => JSON.stringify(endpointsOf(world, {})).split('10.9.0.1').length - 1;
  const before = count();
  expect(before).toBeGreaterThan(0);
  const [one, two] = both;
  if (one === undefined || two === undefined) throw new Error('two were written');
  world.apply([{ key: configKey(one), before: one }]);
  expect(count()).toBeGreaterThan(0);
  world.apply([{ key: configKey(two), before: two }]);
  expect(count()).toBe(0);
});

test('endpoints: what proxies of two networks were sent does not mix (regression 58141)', () => {
  const yaml = yamlOf(
    service('app', 'default', { clusterIP: '10.0.0.1', selector: { app: 'app' } }),
    pod('near', '10.1.0.5', { 'topology.istio.io/network': 'n1' }),
    pod('far', '10.1.0.6', { 'topology.istio.io/network': 'n2' }),
    document(
      'Service',
      { name: 'gateway', namespace: 'istio-system', labels: { 'topology.istio.io/network': 'n2' } },
      {
        type: 'LoadBalancer',
        ports: [{ name: 'tls', port: 15_443 }],
        externalIPs: ['203.0.113.9'],
      },
      'v1',
    ),
  );
  const nodes: readonly Partial<ProxyNode>[] = [
    { network: 'n1' },
    { network: 'n2' },
    { network: 'n1', type: 'router', namespace: 'istio-system', labels: { istio: 'eastwestgateway' } },
  ];
  const shared = worldOfYaml(yaml);
  const alone = nodes.map((node) => endpointsOf(worldOfYaml(yaml), node));
  for (const order of [nodes, [...nodes].reverse(), nodes])
    for (const node of order) expect(endpointsOf(shared, node)).toEqual(alone[nodes.indexOf(node)]);
  expect(alone[0]).not.toEqual(alone[1]);
});

test('services: a host that is there twice reshuffles no other’s allocated address (regression 49965)', () => {
  const dns = (name: string, host: string): string =>
    document(
      'ServiceEntry',
      { name, namespace: 'default' },
      { hosts: [host], ports: [{ number: 9000, name: 'tcp', protocol: 'TCP' }], resolution: 'DNS' },
    );
  const hosts = Array.from({ length: 40 }, (_, index) => `h${index}.example.com`);
  const first = hosts.map((host, index) => dns(`e${index}`, host));
  const addresses = (documents: readonly string[]): unknown => {
    const world = worldOfYaml(yamlOf(...documents));
    return hosts.map((host) => world.service(host, 'default')?.allocatedAddresses);
  };
  expect(addresses([...first, dns('again', 'h7.example.com'), dns('new', 'z.example.com')])).toEqual(
    addresses(first),
  );
  expect(JSON.stringify(addresses(first))).toContain('240.240.');
});

test('endpoints: a client that no Service selects has its locality all the same (regressions 42414, 51800)', () => {
  const weights = (region: string): string =>
    JSON.stringify(
      endpointsOf(
        worldOfYaml(
          yamlOf(
            document(
              'ServiceEntry',
              { name: 'app', namespace: 'default' },
              {
                hosts: ['app.example.com'],
                ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
                resolution: 'STATIC',
                endpoints: [
                  { address: '192.0.2.1', locality: 'r1/z1' },
                  { address: '192.0.2.2', locality: 'r2/z1' },
                ],
              },
            ),
            document(
              'DestinationRule',
              { name: 'app', namespace: 'default' },
              {
                host: 'app.example.com',
                trafficPolicy: { outlierDetection: { consecutive5xxErrors: 3 } },
              },
            ),
          ),
        ),
        { labels: {}, locality: { region, zone: 'z1', subzone: '' } },
        'outbound|80||app.example.com',
      ),
    );
  const priorityOf = (region: string, address: string): string | undefined =>
    new RegExp(`${address}"[^]*?"priority":(\\d)`).exec(weights(region))?.[1];
  expect(priorityOf('r1', '192.0.2.2')).toBe('1');
  expect(weights('r1')).not.toBe(weights('r2'));
});

test('clusters: a proxy whose Pod is not known yet, or comes later, has its inbound ports (regressions 58125, 61157)', () => {
  const yaml = yamlOf(
    service('app', 'default', { clusterIP: '10.0.0.1', selector: { app: 'app' } }),
    document(
      'ServiceEntry',
      { name: 'extra', namespace: 'default' },
      {
        hosts: ['extra.example.com'],
        ports: [{ number: 9000, name: 'http', protocol: 'HTTP' }],
        resolution: 'STATIC',
        location: 'MESH_INTERNAL',
        workloadSelector: { labels: { app: 'app' } },
      },
    ),
  );
  const world = new PilotWorld(new Graph(), defaultMeshConfig);
  const add = (text: string): void =>
    world.apply(configsOfYaml(text).map((config) => ({ key: configKey(config), after: config })));
  const inbound = (): readonly string[] => {
    const scope = proxyScope(world, proxyNode({ labels: { app: 'app' }, ipAddresses: ['10.1.0.5'] }));
    return clusters.names(world, scope).filter((name) => /^inbound\|\d/.test(name));
  };
  add(yaml);
  expect(inbound()).toEqual(expect.arrayContaining(['inbound|80||', 'inbound|9000||']));
  add(pod('app-1', '10.1.0.5'));
  expect(inbound()).toEqual(expect.arrayContaining(['inbound|80||', 'inbound|9000||']));
});

function pod(name: string, ip: string, labels: Readonly<Record<string, string>> = {}): string {
  return document(
    'Pod',
    { name, namespace: 'default', labels: { app: 'app', 'security.istio.io/tlsMode': 'istio', ...labels } },
    { serviceAccountName: 'first', containers: [{ name: 'app' }] },
    'v1',
  ).replace(
    /}$/,
    `,"status":{"podIP":"${ip}","phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}`,
  );
}

/** The endpoints of `app` that this proxy is sent. */
function endpointsOf(
  world: World,
  node: Partial<ProxyNode>,
  name = 'outbound|80||app.default.svc.cluster.local',
): unknown {
  const input = endpoints.input(world, proxyScope(world, proxyNode(node)), name);
  if (input === undefined) throw new Error('no endpoints');
  return messageToJson(endpoints.schema, endpoints.build(input).message);
}
