// The tables of `proxy-config`, from a small dump of the kind that the proxy of a toolbox pod gives.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { systemClock } from '../base/clock.ts';
import type { ProxyPlace } from './proxy-admin.ts';
import { checkPlace } from './proxy-admin.ts';
import type { PrintOptions } from './proxy-config.ts';
import { printAssignments, printBootstrap, printClusters, printEndpoints } from './proxy-config.ts';
import { printListeners, printLogLevels, printRoutes } from './proxy-config.ts';
import { routeDomains } from './route-table.ts';
import { sourceFinder } from './source.ts';

const admin = 'type.googleapis.com/envoy.admin.v3.';
const http = { transport_protocol: 'raw_buffer', application_protocols: ['http/1.1', 'h2c'] };
const anyAddress = [{ address_prefix: '0.0.0.0', prefix_len: 0 }];
const port80 = { destination_port: 80, transport_protocol: 'raw_buffer' };

function listener(name: string, address: string, port: number, chains: readonly object[], more = {}): object {
  const socket = { socket_address: { address, port_value: port } };
  return {
    name,
    active_state: {
      version_info: 'v',
      listener: { '@type': 'x', name, address: socket, filter_chains: chains, ...more },
    },
  };
}

function hcm(config: object, match?: object): object {
  const filter = { name: 'envoy.filters.network.http_connection_manager', typed_config: config };
  return { ...(match === undefined ? {} : { filter_chain_match: match }), filters: [filter] };
}

function tcp(cluster: string, match?: object): object {
  const filter = { name: 'envoy.filters.network.tcp_proxy', typed_config: { stat_prefix: cluster, cluster } };
  return { ...(match === undefined ? {} : { filter_chain_match: match }), filters: [filter] };
}

function inline(cluster: string): object {
  const routes = [{ match: { prefix: '/' }, route: { cluster } }];
  return { route_config: { virtual_hosts: [{ name: 'inbound', domains: ['*'], routes }] } };
}

function ready(prefix: string): object {
  const routes = [{ match: { prefix }, route: { cluster: 'agent' } }];
  return { route_config: { virtual_hosts: [{ name: 'backend', domains: ['*'], routes }] } };
}

const virtualService = {
  filter_metadata: {
    istio: { config: '/apis/networking.istio.io/v1/namespaces/sidecar/virtual-service/nginx_route' },
  },
};

const routes = [
  { name: '15014', virtual_hosts: [] },
  {
    '@type': 'x',
    name: '80',
    validate_clusters: false,
    ignore_port_in_host_matching: true,
    virtual_hosts: [
      {
        name: 'nginx.sidecar.svc.cluster.local:80',
        domains: [
          'nginx.sidecar.svc.cluster.local',
          'nginx',
          'nginx.sidecar.svc',
          'nginx.sidecar',
          '10.100.93.113',
        ],
        routes: [
          { match: { prefix: '/nginx' }, route: { cluster: 'c' }, metadata: virtualService },
          { match: { safe_regex: { regex: '/a.*' } }, route: { cluster: 'c' } },
        ],
      },
      { name: 'empty', domains: ['empty.test'], routes: [] },
      {
        name: 'allow_any',
        domains: ['*'],
        routes: [{ match: { prefix: '/' }, route: { cluster: 'PassthroughCluster' } }],
      },
    ],
  },
];

const dump = {
  configs: [
    {
      '@type': `${admin}BootstrapConfigDump`,
      bootstrap: {
        node: { id: 'sidecar~1~toolbox.sidecar~x', metadata: { ISTIO_VERSION: '1.32.0', pod_ports: [1] } },
      },
    },
    {
      '@type': `${admin}ClustersConfigDump`,
      static_clusters: [{ cluster: { name: 'agent', connect_timeout: '1s' } }],
      dynamic_active_clusters: [
        { cluster: { name: 'PassthroughCluster', type: 'ORIGINAL_DST' } },
        {
          cluster: {
            name: 'outbound|80|v1|nginx.sidecar.svc.cluster.local',
            type: 'EDS',
            metadata: virtualService,
          },
        },
        { cluster: { name: 'outbound|80||nginx.sidecar.svc.cluster.local', type: 'EDS' } },
        { cluster: { name: 'inbound|80||', type: 'ORIGINAL_DST' } },
      ],
    },
    {
      '@type': `${admin}ListenersConfigDump`,
      dynamic_listeners: [
        listener('0.0.0.0_80', '0.0.0.0', 80, [hcm({ rds: { route_config_name: '80' } }, http)], {
          default_filter_chain: tcp('PassthroughCluster'),
        }),
        listener('10.96.0.10_53', '10.96.0.10', 53, [tcp('outbound|53||dns')]),
        listener('virtualInbound', '0.0.0.0', 15006, [
          tcp('BlackHoleCluster', { destination_port: 15006 }),
          hcm(inline('InboundPassthroughCluster'), { ...http, prefix_ranges: anyAddress }),
          tcp('InboundPassthroughCluster', {
            transport_protocol: 'tls',
            application_protocols: ['istio-peer-exchange', 'istio'],
            prefix_ranges: anyAddress,
          }),
          hcm(inline('inbound|80||'), port80),
        ]),
        listener('sni', '0.0.0.0', 443, [tcp('outbound|443||a', { server_names: ['a.test', 'b.test'] })], {
          additional_addresses: [{ address: { socket_address: { address: '::', port_value: 443 } } }],
        }),
        { name: 'warming', warming_state: {} },
      ],
      static_listeners: [
        {
          listener: {
            address: { socket_address: { address: '0.0.0.0', port_value: 15021 } },
            filter_chains: [hcm(ready('/healthz/ready'))],
          },
        },
      ],
    },
    {
      '@type': `${admin}RoutesConfigDump`,
      dynamic_route_configs: routes.map((route) => ({ route_config: route })),
    },
    {
      '@type': `${admin}EndpointsConfigDump`,
      dynamic_endpoint_configs: [{ endpoint_config: assignment('outbound|80||nginx', '10.244.0.6', 80) }],
    },
  ],
};

const clusters = {
  cluster_statuses: [
    {
      name: 'outbound|80||nginx.sidecar.svc.cluster.local',
      added_via_api: true,
      host_statuses: [
        {
          address: { socket_address: { address: '10.244.0.6', port_value: 80 } },
          stats: [{ name: 'cx_connect_fail' }, { type: 'GAUGE', name: 'cx_active' }],
          health_status: { eds_health_status: 'HEALTHY' },
          weight: 1,
          locality: {},
        },
        {
          address: { socket_address: { address: '10.244.0.12', port_value: 80 } },
          health_status: { eds_health_status: 'UNHEALTHY', failed_outlier_check: true },
        },
      ],
    },
    { name: 'xds-grpc', host_statuses: [{ address: { pipe: { path: './XDS' } } }] },
  ],
};

const io = { clock: systemClock, readStdin: async () => JSON.stringify(dump), directory: '/' };
const place: ProxyPlace = { file: '-', adminPort: 15000, debugAddress: '' };
const short: PrintOptions & { verbose: boolean } = {
  output: 'short',
  compat: '1.32',
  source: false,
  verbose: true,
};

test('listenerTable: addresses, match and destination in istioctl’s words and order (A2.03, A2.04, A2.05, A2.06, partly A2.07)', async () => {
  expect(await printListeners(io, place, {}, short)).toMatchInlineSnapshot(`
    "ADDRESSES  PORT  MATCH                                                 DESTINATION
    10.96.0.10 53    ALL                                                   Cluster: outbound|53||dns
    0.0.0.0    80    Trans: raw_buffer; App: http/1.1,h2c                  Route: 80
    0.0.0.0    80    ALL                                                   PassthroughCluster
    0.0.0.0,:: 443   SNI: a.test,b.test                                    Cluster: outbound|443||a
    0.0.0.0    15006 Addr: *:15006                                         Non-HTTP/Non-TCP
    0.0.0.0    15006 Trans: raw_buffer; App: http/1.1,h2c; Addr: 0.0.0.0/0 InboundPassthroughCluster
    0.0.0.0    15006 Trans: tls; App: TCP TLS; Addr: 0.0.0.0/0             InboundPassthroughCluster
    0.0.0.0    15006 Trans: raw_buffer; Addr: *:80                         Cluster: inbound|80||
    0.0.0.0    15021 ALL                                                   Inline Route: /healthz/ready*
    "
  `);
});

test('listenerTable: filters by port, address and type; TYPE where not verbose (A2.09)', async () => {
  const rows = async (filter: object, options = {}): Promise<number> =>
    (await printListeners(io, place, filter, { ...short, ...options })).trim().split('\n').length - 1;
  expect(await rows({ port: 15006 })).toBe(4);
  expect(await rows({ address: '::' })).toBe(1);
  expect(await rows({ address: '10.96.0.10' })).toBe(1);
  expect(await rows({ type: 'http+tcp' }, { verbose: false })).toBe(2);
  expect(await printListeners(io, place, { port: 9 }, short)).toBe('ADDRESSES PORT MATCH DESTINATION\n');
  expect(await printListeners(io, place, { port: 80 }, { ...short, verbose: false })).toBe(
    'ADDRESSES PORT TYPE\n0.0.0.0   80   HTTP+TCP\n',
  );
});

test('printListeners: JSON has camelCase names, four spaces and no version; 1.19 has its own names (A2.08, T25)', async () => {
  const text = await printListeners(io, place, { port: 80 }, { ...short, output: 'json' });
  expect(text).toMatch(/^\[\n {4}\{\n {8}"name": "0\.0\.0\.0_80",\n {8}"address"/);
  expect(text).toContain('"routeConfigName": "80"');
  expect(await printListeners(io, place, { port: 15006 }, { ...short, compat: '1.19' })).toContain(
    'InboundPassthroughClusterIpv4\n',
  );
});

test('routeTable: short domains, path matches, the VirtualService, 404 for a host without routes (A2.10)', async () => {
  expect(await printRoutes(io, place, {}, short)).toMatchInlineSnapshot(`
    "NAME     VHOST NAME                             DOMAINS                              MATCH          VIRTUAL SERVICE
    80       nginx.sidecar.svc.cluster.local:80     nginx, nginx.sidecar + 1 more...     /nginx*        nginx_route.sidecar
    80       nginx.sidecar.svc.cluster.local:80     nginx, nginx.sidecar + 1 more...     regex /a.*     
    80       empty                                  empty.test                           /*             404
    "
  `);
  expect(await printRoutes(io, place, { name: 'none' }, { ...short, verbose: false })).toBe(
    'NAME     VIRTUAL HOSTS\n',
  );
});

test('printRoutes: JSON of one route keeps what the control plane wrote into metadata (partly A2.11)', async () => {
  const text = await printRoutes(io, place, { name: '80' }, { ...short, output: 'json' });
  const [route] = JSON.parse(text) as [
    { name: string; ignorePortInHostMatching: boolean; validateClusters: boolean },
  ];
  expect(route).toMatchObject({ name: '80', ignorePortInHostMatching: true, validateClusters: false });
  expect(text).toContain('virtual-service/nginx_route');
});

test('routeDomains: ports and longer spellings are left out (A2.10)', () => {
  expect(routeDomains([])).toBe('');
  expect(routeDomains(['*'])).toBe('*');
  expect(routeDomains(['a:1', 'b:1'])).toBe('a:1, b:1');
  expect(routeDomains(['a.b.svc.cluster.local', 'a.b.svc.cluster.local.', 'a', 'a.b'])).toBe('a, a.b');
  expect(routeDomains(['a.test', 'a.test:80', '[fd00::1]', '[fd00::1]:80'])).toBe('a.test, [fd00::1]');
});

test('clusterTable: parts of the name, dashes for what is absent, the DestinationRule (partly A2.12)', async () => {
  expect(await printClusters(io, place, {}, short)).toMatchInlineSnapshot(`
    "SERVICE FQDN                        PORT     SUBSET     DIRECTION     TYPE             DESTINATION RULE
                                        80       -          inbound       ORIGINAL_DST     
    PassthroughCluster                  -        -          -             ORIGINAL_DST     
    agent                               -        -          -             STATIC           
    nginx.sidecar.svc.cluster.local     80       -          outbound      EDS              
    nginx.sidecar.svc.cluster.local     80       v1         outbound      EDS              nginx_route.sidecar
    "
  `);
});

test('clusterTable: filters by host, port, subset, direction (A2.13)', async () => {
  const rows = async (filter: object): Promise<number> =>
    (await printClusters(io, place, filter, short)).trim().split('\n').length - 1;
  expect(await rows({ fqdn: 'nginx' })).toBe(2);
  expect(await rows({ subset: 'v1' })).toBe(1);
  expect(await rows({ direction: 'inbound' })).toBe(1);
  expect(await rows({ port: 80 })).toBe(3);
});

test('endpointTable: address, status, outlier check, cluster; sorted by address (A2.14)', async () => {
  const fromStatuses = { ...io, readStdin: async () => JSON.stringify(clusters) };
  expect(await printEndpoints(fromStatuses, place, {}, 'short')).toMatchInlineSnapshot(`
    "ENDPOINT           STATUS        OUTLIER CHECK     CLUSTER
    10.244.0.12:80     UNHEALTHY     FAILED            outbound|80||nginx.sidecar.svc.cluster.local
    10.244.0.6:80      HEALTHY       OK                outbound|80||nginx.sidecar.svc.cluster.local
    unix://./XDS       UNKNOWN       OK                xds-grpc
    "
  `);
  expect(await printEndpoints(fromStatuses, place, { status: 'unhealthy' }, 'short')).toContain(
    '10.244.0.12:80',
  );
  const cluster = 'outbound|80||nginx.sidecar.svc.cluster.local';
  const json = await printEndpoints(fromStatuses, place, { cluster, address: '10.244.0.6' }, 'json');
  expect(JSON.parse(json)).toMatchObject([
    { name: cluster, addedViaApi: true, hostStatuses: [{ weight: 1 }, {}] },
  ]);
});

test('printAssignments: what the control plane sent, with localities', async () => {
  expect(await printAssignments(io, place, {}, 'short')).toBe(
    'NAME              STATUS      LOCALITY     CLUSTER\n10.244.0.6:80     HEALTHY     r/z          outbound|80||nginx\n',
  );
});

test('printBootstrap: all of it as JSON, names inside metadata untouched; versions in short', async () => {
  expect(JSON.parse(await printBootstrap(io, place, 'json'))).toMatchObject({
    bootstrap: { node: { metadata: { pod_ports: [1] } } },
  });
  expect(await printBootstrap(io, place, 'short')).toBe('Istio Version: 1.32.0\nEnvoy Version: 0.0.0\n');
});

test('proxy-config: what cannot be read is said with its place and remedy', async () => {
  expect(() => checkPlace('listener', { ...place, name: 'pod' })).toThrow(
    /listener requires pod name or --file/,
  );
  const broken = { ...io, readStdin: async () => '{' };
  await expect(printRoutes(broken, place, {}, short)).rejects.toThrow(
    /stdin: error unmarshalling config dump/,
  );
  const empty = { ...io, readStdin: async () => '{}' };
  await expect(printRoutes(empty, place, {}, short)).rejects.toThrow(
    'config dump has no configuration type type.googleapis.com/envoy.admin.v3.RoutesConfigDump',
  );
  const file = join(mkdtempSync(join(tmpdir(), 'fairlead-')), 'none.json');
  await expect(printRoutes(io, { ...place, file }, {}, short)).rejects.toThrow(`cannot read ${file}`);
  writeFileSync(file, JSON.stringify(dump));
  expect(await printRoutes(io, { ...place, file }, {}, short)).toContain('nginx_route.sidecar');
  const away = { adminAddress: '127.0.0.1:26901', adminPort: 15000, debugAddress: '' };
  await expect(printLogLevels(io, away, { reset: false })).rejects.toThrow(
    /could not contact sidecar.*connection refused.*--proxy-admin-port/,
  );
  await expect(printRoutes(io, place, {}, { ...short, source: true })).rejects.toThrow(
    /--source asks the control plane/,
  );
});

test('sourceFinder: the origin that stands nearest above a place', () => {
  const origin = {
    kind: 'VirtualService',
    namespace: 'default',
    name: 'reviews',
    file: '/home/me/a.yaml',
    column: 3,
  };
  const find = sourceFinder(
    [
      { ...origin, resource: '9080', at: '', field: '', line: 1 },
      { ...origin, resource: '9080', at: 'virtualHosts[1]', field: 'http[0]', line: 10 },
      { ...origin, resource: '9080', at: 'virtualHosts[1].routes[0]', field: 'http[0].route[0]', line: 12 },
    ],
    '/home/me',
  );
  expect(find('9080', 'virtualHosts[1].routes[0]')).toBe(
    'a.yaml:12:3 VirtualService default/reviews http[0].route[0]',
  );
  expect(find('9080', 'virtualHosts[1].routes[1]')).toBe(
    'a.yaml:10:3 VirtualService default/reviews http[0]',
  );
  expect(find('9080', 'virtualHosts[10].routes[0]')).toBe('a.yaml:1:3 VirtualService default/reviews');
  expect(find('80', '')).toBe('-');
});

function assignment(cluster: string, address: string, port: number): object {
  const endpoint = { address: { socket_address: { address, port_value: port } } };
  return {
    '@type': 'x',
    cluster_name: cluster,
    endpoints: [
      { locality: { region: 'r', zone: 'z' }, lb_endpoints: [{ endpoint, health_status: 'HEALTHY' }] },
    ],
  };
}
