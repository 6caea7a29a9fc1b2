import { expect, test } from 'vitest';
import { chainLines, domainsOf, listenersOf, routesOf } from '../../../test/support/translated.ts';

const service = (name: string, ports: string, spec = 'clusterIP: 10.0.0.1', age = '2020'): string => `
apiVersion: v1
kind: Service
metadata: { name: ${name}, creationTimestamp: '${age}-01-01T00:00:00Z' }
spec: { ${spec}, selector: { app: ${name} }, ports: [${ports}] }
`;
const entry = (name: string, spec: string): string => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: ${name} }
spec: ${spec}
`;
const pod = (name: string, app: string, address: string): string => `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, labels: { app: ${app} } }
spec: { containers: [{ name: app }] }
status: { phase: Running, podIP: ${address}, conditions: [{ type: Ready, status: 'True' }] }
`;
const virtualService = (spec: string): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: vs }
spec: ${spec}
`;
const http = 'raw_buffer http/1.1+h2c';
const cluster = (name: string, port: number): string => `outbound|${port}||${name}.default.svc.cluster.local`;

/** Outbound listener name -> its chains. */
function chains(...documents: readonly string[]): Record<string, readonly string[]> {
  const all = Object.entries(listenersOf(documents.join('\n---\n')));
  return Object.fromEntries(
    all
      .filter(([name]) => !name.startsWith('virtual'))
      .map(([name, listener]) => [name, chainLines(listener)]),
  );
}

test('outboundListeners: HTTP services share a port’s listener; what is not HTTP passes through (C11.01, B6.05, T09, T10)', () => {
  expect(
    chains(service('a', '{ name: http, port: 80 }'), service('b', '{ name: grpc-x, port: 80 }')),
  ).toEqual({
    '0.0.0.0_80': [`${http} -> routes 80`, 'default -> PassthroughCluster'],
  });
});

test('outboundListeners: a TCP service has its address for itself (C11.02, B6.05, T09)', () => {
  expect(chains(service('a', '{ name: tcp, port: 5000 }'))).toEqual({
    '10.0.0.1_5000': [`any -> ${cluster('a', 5000)}`],
  });
});

test('outboundListeners: without a protocol’s name the first bytes decide (C11.02, C2.03, T09)', () => {
  expect(chains(service('a', '{ port: 5000 }'))).toEqual({
    '10.0.0.1_5000': [
      `${http} -> routes a.default.svc.cluster.local:5000`,
      `default -> ${cluster('a', 5000)}`,
    ],
  });
  expect(chains(service('a', '{ port: 3306 }'))['10.0.0.1_3306']).toEqual([`any -> ${cluster('a', 3306)}`]);
});

test('outboundListeners: a service without an address takes all addresses of its port (partly C8.02, T11)', () => {
  const tcp = entry(
    'e',
    '{ hosts: [tcp.com], ports: [{ number: 9000, name: tcp, protocol: TCP }], resolution: DNS }',
  );
  expect(chains(tcp)).toEqual({ '0.0.0.0_9000': ['any -> outbound|9000||tcp.com'] });
});

test('outboundListeners: a ServiceEntry’s HTTP is a host of its port, its TCP has an address where DNS is captured (C8.02)', () => {
  const ports = (protocol: string): string =>
    `[{ number: 9000, name: ${protocol.toLowerCase()}, protocol: ${protocol} }]`;
  const yaml = [
    entry('h', `{ hosts: [http.com], ports: ${ports('HTTP')}, resolution: DNS }`),
    entry('t', `{ hosts: [tcp.com], ports: ${ports('TCP').replace('9000', '9001')}, resolution: DNS }`),
  ].join('\n---\n');
  expect(domainsOf(routesOf(yaml, '9000'))['http.com:9000']).toEqual(['http.com', 'http.com.']);
  expect(Object.keys(listenersOf(yaml))).toEqual(expect.arrayContaining(['0.0.0.0_9000', '0.0.0.0_9001']));
  const captured = (ipAddresses: readonly string[]): string | undefined =>
    Object.keys(listenersOf(yaml, { proxy: { dnsCapture: true, ipAddresses } })).find((name) =>
      name.endsWith('_9001'),
    );
  expect(captured(['10.1.0.1'])).toMatch(/^240\.240\.\d+\.\d+_9001$/);
  expect(captured(['fd00::1'])).toMatch(/^2001:2::[\da-f:]+_9001$/);
  expect(chainLines(listenersOf(yaml)['0.0.0.0_9001'])).toEqual(['any -> outbound|9001||tcp.com']);
});

test('outboundListeners: TLS ports without an address are told apart by name (C6.03, C8.03)', () => {
  const tls = (name: string): string =>
    entry(
      name,
      `{ hosts: [${name}.com], ports: [{ number: 443, name: tls, protocol: TLS }], resolution: DNS }`,
    );
  expect(chains(tls('a'), tls('b'))).toEqual({
    '0.0.0.0_443': [
      'a.com -> outbound|443||a.com',
      'b.com -> outbound|443||b.com',
      'default -> PassthroughCluster',
    ],
  });
  expect(chains(service('a', '{ name: https, port: 443 }'))).toEqual({
    '10.0.0.1_443': [`any -> ${cluster('a', 443)}`],
  });
});

test('outboundListeners: a range of addresses is a condition (C11.02)', () => {
  const range = entry(
    'e',
    '{ hosts: [db.com], addresses: [10.9.0.0/16], ports: [{ number: 9000, name: tcp, protocol: TCP }], resolution: NONE }',
  );
  expect(chains(range)).toEqual({
    '0.0.0.0_9000': ['10.9.0.0/16 -> outbound|9000||db.com', 'default -> PassthroughCluster'],
  });
});

test.each([
  ['HTTP first', '2020', '2021'],
  ['TCP first', '2021', '2020'],
])(
  'outboundListeners: where HTTP and TCP meet the first bytes decide: %s (C11.05)',
  (_case, httpAge, tcpAge) => {
    const web = service('web', '{ name: http, port: 80 }', 'clusterIP: 10.0.0.2', httpAge);
    const raw = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: raw, creationTimestamp: '${tcpAge}-01-01T00:00:00Z' }
spec: { hosts: [raw.com], ports: [{ number: 80, name: tcp, protocol: TCP }], resolution: DNS }
`;
    expect(chains(web, raw)).toEqual({
      '0.0.0.0_80': [`${http} -> routes 80`, 'default -> outbound|80||raw.com'],
    });
  },
);

test('outboundListeners: of two TCP services with one address and port the older stays (C11.05)', () => {
  const tcp = '{ name: tcp, port: 80 }';
  expect(chains(service('young', tcp, 'clusterIP: 10.0.0.1', '2021'), service('old', tcp))).toEqual({
    '10.0.0.1_80': [`any -> ${cluster('old', 80)}`],
  });
});

test('outboundListeners: the proxy’s own ports are left alone, but on addresses of services (C11.05)', () => {
  const ports = [15_001, 15_006, 15_021, 15_090].map((port) => `{ name: http-${port}, port: ${port} }`);
  expect(chains(service('a', ports.join(', ')))).toEqual({});
  expect(Object.keys(chains(service('a', '{ name: tcp, port: 15021 }')))).toEqual(['10.0.0.1_15021']);
});

test('outboundListeners: headless TCP is one listener per pod, headless HTTP the port’s (C2.05, T23)', () => {
  const documents = [pod('one', 'a', '10.1.0.1'), pod('two', 'a', '10.1.0.2')];
  expect(chains(service('a', '{ name: tcp, port: 5000 }', 'clusterIP: None'), ...documents)).toEqual({
    '10.1.0.1_5000': [`any -> ${cluster('a', 5000)}`],
    '10.1.0.2_5000': [`any -> ${cluster('a', 5000)}`],
  });
  expect(chains(service('a', '{ name: tcp, port: 5000 }', 'clusterIP: None'))).toEqual({});
  expect(
    Object.keys(chains(service('a', '{ name: http, port: 80 }', 'clusterIP: None'), ...documents)),
  ).toEqual(['0.0.0.0_80']);
});

test('outboundListeners: UDP ports and aliases have none', () => {
  const alias = service('old', '{ name: http, port: 80 }', 'type: ExternalName, externalName: a.com');
  expect(chains(service('a', '{ name: udp, port: 53, protocol: UDP }'), alias)).toEqual({});
});

test('outboundListeners: inspectors only where chains ask for them; no timeout for the first bytes (C11.01, C11.06)', () => {
  const documents = [
    service('a', '{ name: http, port: 80 }, { name: tcp, port: 81 }'),
    entry('e', '{ hosts: [e.com], ports: [{ number: 443, name: tls, protocol: TLS }], resolution: DNS }'),
  ];
  const listeners = listenersOf(documents.join('\n---\n'));
  const filters = (name: string): unknown =>
    (listeners[name]?.['listenerFilters'] as { name: string }[] | undefined)?.map((f) => f.name);
  expect(filters('0.0.0.0_80')).toEqual(['envoy.filters.listener.http_inspector']);
  expect(filters('10.0.0.1_81')).toBeUndefined();
  expect(filters('0.0.0.0_443')).toEqual(['envoy.filters.listener.tls_inspector']);
  expect(listeners['0.0.0.0_80']).toMatchObject({
    bindToPort: false,
    trafficDirection: 'OUTBOUND',
    listenerFiltersTimeout: '0s',
    continueOnListenerFiltersTimeout: true,
  });
});

test('streamChains: tcp rules - the first without addresses takes the rest, those with are before it (C6.01)', () => {
  const rules = virtualService(`{ hosts: [a], tcp: [
    { match: [{ port: 1 }], route: [{ destination: { host: never } }] },
    { match: [{ destinationSubnets: [10.5.0.0/16] }], route: [{ destination: { host: subnet, port: { number: 1 } } }] },
    { match: [{ sourceLabels: { app: nobody } }], route: [{ destination: { host: never } }] },
    { route: [{ destination: { host: a, subset: v1 }, weight: 20 }, { destination: { host: a, subset: v2 }, weight: 80 }, { destination: { host: b }, weight: 0 }] },
    { route: [{ destination: { host: never } }] }] }`);
  expect(chains(service('a', '{ name: tcp, port: 5000 }'), rules)).toEqual({
    '10.0.0.1_5000': [
      `10.5.0.0/16 -> ${cluster('subnet', 1)}`,
      'default -> outbound|5000|v1|a.default.svc.cluster.local=20 outbound|5000|v2|a.default.svc.cluster.local=80',
    ],
  });
});

test('streamChains: tls rules by server name, each asked for once (C6.02, C6.03)', () => {
  const rules = virtualService(`{ hosts: ['a.com', '*.b.com'], tls: [
    { match: [{ sniHosts: [x.b.com] }], route: [{ destination: { host: x } }] },
    { match: [{ sniHosts: [x.b.com] }, { sniHosts: ['*.b.com'] }], route: [{ destination: { host: y } }] }] }`);
  const tls = entry(
    'e',
    "{ hosts: ['*.b.com'], ports: [{ number: 443, name: tls, protocol: TLS }], resolution: NONE }",
  );
  expect(chains(tls, rules)).toEqual({
    '0.0.0.0_443': [
      `x.b.com -> ${cluster('x', 443)}`,
      `*.b.com -> ${cluster('y', 443)}`,
      'default -> PassthroughCluster',
    ],
  });
});

test('serviceTcp: the DestinationRule’s idle timeout is the connection’s (C6.04)', () => {
  const rule = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: a }
spec: { host: a, trafficPolicy: { connectionPool: { tcp: { idleTimeout: 90s, maxConnectionDuration: 1h } } } }
`;
  const listeners = listenersOf(`${service('a', '{ name: tcp, port: 5000 }')}\n---\n${rule}`);
  expect(listeners['10.0.0.1_5000']).toMatchObject({
    filterChains: [
      { filters: [{ typedConfig: { idleTimeout: '90s', maxDownstreamConnectionDuration: '3600s' } }] },
    ],
  });
});
