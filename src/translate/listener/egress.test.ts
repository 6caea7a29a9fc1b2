// Egress listeners of a Sidecar, outbound traffic policies, and what TCP proxies are told.
import { describe, expect, test } from 'vitest';
import type { Surroundings } from '../../../test/support/translated.ts';
import {
  chainLines,
  listenersOf,
  routeLines,
  routesOf,
  worldAndScope,
} from '../../../test/support/translated.ts';
import type { MeshConfig } from '../../config/mesh-config.ts';
import { outboundListeners } from './outbound.ts';

const services = ['a', 'b']
  .map(
    (name, index) => `
apiVersion: v1
kind: Service
metadata: { name: ${name}, creationTimestamp: '202${index}-01-01T00:00:00Z' }
spec: { clusterIP: 10.0.0.${index + 1}, selector: { app: ${name} }, ports: [{ name: http, port: 80 }, { name: tcp, port: 81 }] }
`,
  )
  .join('---');
const http = 'raw_buffer http/1.1+h2c';
const cluster = (name: string, port: number): string => `outbound|${port}||${name}.default.svc.cluster.local`;
const sidecar = (egress: string, more = ''): string => `---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: { name: default }
spec: { egress: ${egress}${more} }
`;

/** Outbound listener name -> its chains. */
function chains(yaml: string, surroundings?: Surroundings): Record<string, readonly string[]> {
  const all = Object.entries(listenersOf(yaml, surroundings));
  return Object.fromEntries(
    all
      .filter(([name]) => !name.startsWith('virtual'))
      .map(([name, listener]) => [name, chainLines(listener)]),
  );
}

describe('Sidecar.egress (C9.02)', () => {
  test('a listener with a port has the services that it imports; the last one leaves that port alone', () => {
    const yaml =
      services +
      sidecar(
        '[{ port: { number: 81, protocol: TCP, name: tcp }, bind: 127.1.1.1, hosts: ["./b.default.svc.cluster.local"] }, { hosts: ["./a.default.svc.cluster.local"] }]',
      );
    expect(chains(yaml)).toEqual({
      '0.0.0.0_80': [`${http} -> routes 80`, 'default -> PassthroughCluster'],
      '10.0.0.1_81': [`any -> ${cluster('a', 81)}`],
      '127.1.1.1_81': [`any -> ${cluster('b', 81)}`],
    });
    expect(listenersOf(yaml)['127.1.1.1_81']).toMatchObject({ bindToPort: false });
  });

  test('what a listener names on all addresses is locked: other services add nothing to it', () => {
    const yaml =
      services +
      sidecar(
        '[{ port: { number: 80, protocol: HTTP, name: http }, hosts: ["./b.default.svc.cluster.local"] }, { hosts: ["./a.default.svc.cluster.local"] }]',
      );
    expect(Object.keys(chains(yaml))).toEqual(['0.0.0.0_80', '10.0.0.1_81']);
    expect(Object.keys(routeLines(routesOf(yaml, '80')))).toEqual([
      'b.default.svc.cluster.local:80',
      'allow_any',
    ]);
  });

  test('captureMode NONE binds the port, on the loopback address where no other is named', () => {
    const yaml =
      services +
      sidecar('[{ port: { number: 81, protocol: TCP, name: tcp }, captureMode: NONE, hosts: ["./*"] }]');
    expect(listenersOf(yaml)['127.0.0.1_81']).toMatchObject({
      address: { socketAddress: { address: '127.0.0.1', portValue: 81 } },
    });
    expect(listenersOf(yaml)['127.0.0.1_81']).not.toHaveProperty('bindToPort');
    // The older service has it: nothing tells the two apart.
    expect(chains(yaml)).toEqual({ '127.0.0.1_81': [`any -> ${cluster('a', 81)}`] });
  });

  test('HTTP on an address of its own is not told from other bytes', () => {
    const yaml =
      services +
      sidecar('[{ port: { number: 80, protocol: HTTP, name: http }, bind: 127.1.1.1, hosts: ["./*"] }]');
    expect(chains(yaml)).toEqual({ '127.1.1.1_80': ['any -> routes 80'] });
  });

  test('a Unix socket has routes of its name, and every port of what it imports', () => {
    const yaml =
      services +
      sidecar(
        '[{ port: { number: 0, protocol: HTTP, name: uds }, bind: "unix:///var/run/egress.sock", hosts: ["./a.default.svc.cluster.local"] }]',
      );
    expect(chains(yaml)).toEqual({
      'unix:///var/run/egress.sock_0': ['any -> routes unix:///var/run/egress.sock'],
    });
    expect(listenersOf(yaml)['unix:///var/run/egress.sock_0']).toMatchObject({
      address: { pipe: { path: '/var/run/egress.sock' } },
    });
    expect(Object.keys(routeLines(routesOf(yaml, 'unix:///var/run/egress.sock')))).toContain(
      'a.default.svc.cluster.local:80',
    );
  });

  test('an HTTP proxy takes whatever comes as requests', () => {
    const yaml =
      services +
      sidecar(
        '[{ port: { number: 3128, protocol: HTTP_PROXY, name: proxy }, bind: 127.0.0.1, captureMode: NONE, hosts: ["./*"] }]',
      );
    expect(chains(yaml)).toEqual({ '127.0.0.1_3128': ['any -> routes 3128'] });
  });

  test('a port that the service does not have leads to its only one', () => {
    const one = services.replaceAll(', { name: tcp, port: 81 }', '').replaceAll('name: http', 'name: tcp');
    const yaml =
      one +
      sidecar(
        '[{ port: { number: 80, protocol: TCP, name: tcp }, bind: 127.1.1.1, hosts: ["./a.default.svc.cluster.local"] }]',
      );
    expect(chains(yaml)).toEqual({ '127.1.1.1_80': [`any -> ${cluster('a', 80)}`] });
  });

  test('in NONE mode every listener is bound, on the loopback address, and no other stands', () => {
    const none: Surroundings = { proxy: { interceptionMode: 'NONE' } };
    expect(Object.keys(listenersOf(services, none))).toEqual(['127.0.0.1_80', '127.0.0.1_81']);
    expect(Object.keys(listenersOf(services, { proxy: { ...none.proxy, unprivileged: true } }))).toEqual([]);
    const v6: Surroundings = { proxy: { interceptionMode: 'NONE', ipAddresses: ['fd00::1'] } };
    expect(Object.keys(listenersOf(services, v6))).toEqual(['::1_80', '::1_81']);
  });

  test('a VirtualService’s destination that is not imported has a cluster, but no listener', () => {
    const yaml = `${services}---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: a }
spec: { hosts: [a], tcp: [{ route: [{ destination: { host: b, port: { number: 81 } } }] }] }
${sidecar('[{ hosts: ["./a.default.svc.cluster.local"] }]')}`;
    expect(chains(yaml)['10.0.0.1_81']).toEqual([`any -> ${cluster('b', 81)}`]);
    expect(Object.keys(chains(yaml))).not.toContain('10.0.0.2_81');
  });
});

describe('addresses', () => {
  const both = services.replace(
    'clusterIP: 10.0.0.1',
    'clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1, "fd00::a"]',
  );

  test('IPv6 alone: all addresses are those of IPv6, and of a Service’s the one of the family counts', () => {
    expect(Object.keys(listenersOf(both, { proxy: { ipAddresses: ['fd00::1'] } }))).toEqual([
      '10.0.0.2_81',
      '::_80',
      'fd00::a_81',
      'virtualInbound',
      'virtualOutbound',
    ]);
  });

  test('both families: listeners of a service stand on its addresses of both', () => {
    const all = listenersOf(both, { proxy: { ipAddresses: ['10.1.0.1', 'fd00::1'] } });
    const also = (address: string, portValue: number) => ({
      additionalAddresses: [{ address: { socketAddress: { address, portValue } } }],
    });
    expect(all['0.0.0.0_80']).toMatchObject(also('::', 80));
    expect(all['10.0.0.1_81']).toMatchObject(also('fd00::a', 81));
    expect(all['virtualOutbound']).toMatchObject(also('::', 15_001));
    expect(all['10.0.0.2_81']).not.toHaveProperty('additionalAddresses');
  });

  test('each address of a ServiceEntry has a listener, its ranges share that of all addresses (C8.01, C11.02)', () => {
    const entry = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: e }
spec: { hosts: [e.com], addresses: [192.0.2.1, 198.51.100.0/24, 192.0.2.2], resolution: NONE, ports: [{ number: 9000, name: tcp, protocol: TCP }] }
`;
    expect(chains(entry)).toEqual({
      '0.0.0.0_9000': ['198.51.100.0/24 -> outbound|9000||e.com', 'default -> PassthroughCluster'],
      '192.0.2.1_9000': ['any -> outbound|9000||e.com'],
      '192.0.2.2_9000': ['any -> outbound|9000||e.com'],
    });
  });
});

describe('outbound traffic policy', () => {
  const looksUp: Surroundings = { mesh: { outboundTrafficPolicy: 'ALLOW_ANY_DYNAMIC_DNS' } };

  test('ALLOW_ANY_DYNAMIC_DNS: HTTP to unknown hosts is looked up by name, the rest passes through', () => {
    const all = listenersOf(services, looksUp);
    expect(chainLines(all['virtualOutbound'])).toEqual([
      ':15001 -> BlackHoleCluster',
      'http/1.1+h2c -> inline allow_any_dynamic_dns',
      'any -> PassthroughCluster',
    ]);
    expect(all['virtualOutbound']).toMatchObject({
      listenerFilters: [{ name: 'envoy.filters.listener.http_inspector' }],
      continueOnListenerFiltersTimeout: true,
    });
    const { filterChains } = all['0.0.0.0_80'] as unknown as {
      filterChains: { filters: { typedConfig: { httpFilters: unknown } }[] }[];
    };
    expect(filterChains[0]?.filters[0]?.typedConfig.httpFilters).toMatchObject([
      {},
      {},
      {
        name: 'envoy.filters.http.dynamic_forward_proxy',
        typedConfig: {
          dnsCacheConfig: { name: 'allow_any_dfp_dns_cache', dnsLookupFamily: 'V4_ONLY', maxHosts: 1024 },
        },
      },
      { name: 'envoy.filters.http.router' },
    ]);
    expect(routeLines(routesOf(services, '80', looksUp))['allow_any_dynamic_dns']).toEqual([
      '/* AllowAnyDynamicDNSCluster',
    ]);
  });

  test('a TCP connection to nowhere is closed under REGISTRY_ONLY', () => {
    const { virtualOutbound } = listenersOf(services, { mesh: { outboundTrafficPolicy: 'REGISTRY_ONLY' } });
    expect(chainLines(virtualOutbound)).toEqual([':15001 -> BlackHoleCluster', 'any -> BlackHoleCluster']);
  });
});

test('MeshConfig says which writings of a path are one, and whether listeners log (C11.07, traps 1)', () => {
  const managerOf = (pathNormalization: MeshConfig['pathNormalization']): unknown => {
    const { filterChains } = listenersOf(services, { mesh: { pathNormalization } })[
      '0.0.0.0_80'
    ] as unknown as {
      filterChains: { filters: { typedConfig: unknown }[] }[];
    };
    return filterChains[0]?.filters[0]?.typedConfig;
  };
  expect(managerOf('NONE')).toMatchObject({ normalizePath: false });
  expect(managerOf('BASE')).toMatchObject({ normalizePath: true });
  expect(managerOf('BASE')).not.toHaveProperty('mergeSlashes');
  expect(managerOf('MERGE_SLASHES')).toMatchObject({ normalizePath: true, mergeSlashes: true });
  expect(managerOf('DECODE_AND_MERGE_SLASHES')).toMatchObject({
    normalizePath: true,
    mergeSlashes: true,
    pathWithEscapedSlashesAction: 'UNESCAPE_AND_FORWARD',
  });
  const logging = (disableListenerLog: boolean) =>
    listenersOf(services, { mesh: { accessLogFile: '/dev/stdout', disableListenerLog } });
  for (const name of ['virtualInbound', 'virtualOutbound']) {
    expect(logging(false)[name]).toHaveProperty('accessLog');
    expect(logging(true)[name]).not.toHaveProperty('accessLog');
  }
});

describe('tcp_proxy', () => {
  const rule = (policy: string, subsets = ''): string => `---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: a }
spec: { host: a, trafficPolicy: ${policy}${subsets} }
`;
  const proxyOf = (yaml: string, surroundings?: Surroundings): unknown => {
    const { filterChains } = listenersOf(yaml, surroundings)['10.0.0.1_81'] as unknown as {
      filterChains: { filters: { typedConfig: unknown }[] }[];
    };
    return filterChains[0]?.filters[0]?.typedConfig;
  };

  test('idle connections: the DestinationRule’s word, else the proxy’s own (C6.04)', () => {
    const patient: Surroundings = { proxy: { idleTimeout: '20m' } };
    expect(proxyOf(services)).not.toHaveProperty('idleTimeout');
    expect(proxyOf(services, patient)).toMatchObject({ idleTimeout: '1200s' });
    const ruled = services + rule('{ connectionPool: { tcp: { idleTimeout: 5s } } }');
    expect(proxyOf(ruled, patient)).toMatchObject({ idleTimeout: '5s' });
    const { filterChains } = listenersOf(services, patient)['0.0.0.0_80'] as unknown as {
      filterChains: { filters: { typedConfig: unknown }[] }[];
    };
    expect(filterChains[0]?.filters[0]?.typedConfig).toMatchObject({
      commonHttpProtocolOptions: { idleTimeout: '1200s' },
    });
  });

  test('a tunnel: the upstream is asked to connect on; a subset has its own or none', () => {
    const tunnel = (port: number, method: string) =>
      `{ tunnel: { protocol: ${method}, targetHost: far.com, targetPort: ${port} } }`;
    const whole =
      services +
      rule(
        tunnel(443, 'CONNECT'),
        `, subsets: [{ name: v1 }, { name: v2, trafficPolicy: ${tunnel(444, 'POST')} }]`,
      );
    expect(proxyOf(whole)).toMatchObject({ tunnelingConfig: { hostname: 'far.com:443' } });
    const to = (subset: string): string => `${whole}---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: a }
spec: { hosts: [a], tcp: [{ route: [{ destination: { host: a, subset: ${subset} } }] }] }
`;
    expect(proxyOf(to('v1'))).not.toHaveProperty('tunnelingConfig');
    expect(proxyOf(to('v2'))).toMatchObject({ tunnelingConfig: { hostname: 'far.com:444', usePost: true } });
  });
});

test('outboundListeners: who loses a conflict is told, with the metric that counts it (C11.05)', () => {
  const same = services.replaceAll(/clusterIP: 10.0.0.\d/g, 'clusterIP: 10.0.0.9');
  const { world, scope } = worldAndScope(same);
  expect(outboundListeners(world, scope).conflicts).toEqual([
    {
      metric: 'pilot_conflict_outbound_listener_tcp_over_current_tcp',
      listener: '10.0.0.9_81',
      accepted: 'TCP',
      rejected: 'TCP',
      hostname: 'b.default.svc.cluster.local',
    },
  ]);
  const { world: quiet, scope: same2 } = worldAndScope(services);
  expect(outboundListeners(quiet, same2).conflicts).toEqual([]);
});

test('names of routes: the port, host and port where the first bytes decide, http_proxy, the path of a Unix socket (B6.06)', () => {
  const yaml = `${services}---
apiVersion: v1
kind: Service
metadata: { name: sniffed }
spec: { clusterIP: 10.0.0.9, selector: { app: sniffed }, ports: [{ port: 5000 }] }
${sidecar(
  "[{ port: { number: 0, protocol: HTTP, name: uds }, bind: 'unix:///var/run/egress.sock', captureMode: NONE, hosts: ['./*'] }, { hosts: ['./*'] }]",
)}`;
  const all = chains(yaml, { mesh: { proxyHttpPort: 15_002 } });
  const named = Object.entries(all).flatMap(([listener, lines]) =>
    lines.flatMap((line) => {
      const name = / routes (.+)$/.exec(line)?.[1];
      return name === undefined ? [] : [`${listener}: ${name}`];
    }),
  );
  expect(named.sort()).toEqual([
    '0.0.0.0_80: 80',
    '10.0.0.9_5000: sniffed.default.svc.cluster.local:5000',
    '127.0.0.1_15002: http_proxy',
    'unix:///var/run/egress.sock_0: unix:///var/run/egress.sock',
  ]);
  // And the routes are made under these names.
  const own = cluster('a', 80);
  const hosts = (name: string) =>
    JSON.stringify(routeLines(routesOf(yaml, name, { mesh: { proxyHttpPort: 15_002 } })));
  for (const name of ['80', 'http_proxy', 'unix:///var/run/egress.sock'])
    expect(hosts(name), name).toContain(own);
  expect(hosts('sniffed.default.svc.cluster.local:5000')).toContain(cluster('sniffed', 5000));
});
