import { expect, test } from 'vitest';
import { gatewayPod, worldAndScope } from '../../../test/support/translated.ts';
import { autoPassthroughHosts, mergedGateways } from './servers.ts';

const service = (name: string, ports: string, labels = '{}'): string => `
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: istio-system, labels: ${labels} }
spec: { clusterIP: 10.0.0.1, selector: { istio: ingressgateway }, ports: [${ports}] }
`;
const gateway = (name: string, servers: string, spec = 'selector: { istio: ingressgateway }'): string => `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: ${name} }
spec: { ${spec === '' ? '' : `${spec}, `}servers: [${servers}] }
`;
let names = 0;
const server = (number: number, protocol: string, more = ''): string => {
  names += 1;
  return `{ port: { number: ${number}, name: port-${names}, protocol: ${protocol} }${more.includes('hosts:') ? '' : ", hosts: ['*']"}${more} }`;
};
const http = (number: number, more = ''): string => server(number, 'HTTP', more);
const hosts = (...list: readonly string[]): string => `, hosts: [${list.join(', ')}]`;
const simple = ', tls: { mode: SIMPLE, credentialName: c }';

function merged(...documents: readonly string[]) {
  const { world, scope } = worldAndScope(documents.join('\n---\n'), { proxy: gatewayPod });
  const { listeners, dropped } = mergedGateways(world, scope);
  return {
    listeners: listeners.map(
      ({ bind, listenerPort, servers }) =>
        `${bind}:${listenerPort} ${servers.map(({ routeName, kind, gateway: owner }) => `${kind} ${owner} ${routeName}`.trim().replace(/port-\d+/, 'PORT')).join(', ')}`,
    ),
    dropped: dropped.map(({ reason }) => reason),
  };
}

test('mergedGateways: the listener’s port is the one that the gateway’s Service leads to (C7.02, T15)', () => {
  const ports = '{ name: http2, port: 80, targetPort: 8080 }, { name: same, port: 81 }';
  expect(
    merged(service('gw', ports), gateway('a', `${http(80)}, ${http(81)}, ${http(82)}`)).listeners,
  ).toEqual([':8080 http default/a http.8080', ':81 http default/a http.81', ':82 http default/a http.82']);
});

test('mergedGateways: who cannot share a port is told of the one that it names, and of the pod’s (C7.02, C7.03)', () => {
  const ports = '{ name: http2, port: 80, targetPort: 8080 }, { name: more, port: 81, targetPort: 8080 }';
  expect(merged(service('gw', ports), gateway('a', `${http(80)}, ${server(81, 'TCP')}`)).dropped).toEqual([
    'port 81 (8080 of the pod) is HTTP already, it cannot be TCP, too',
  ]);
});

test('mergedGateways: a Service may opt out of port translation (C7.02)', () => {
  const optedOut = service(
    'gw',
    '{ name: http2, port: 80, targetPort: 8080 }',
    "{ experimental.istio.io/disable-gateway-port-translation: 'true' }",
  );
  expect(merged(optedOut, gateway('a', http(80))).listeners).toEqual([':80 http default/a http.80']);
});

test('mergedGateways: HTTP servers of a port are merged over Gateways that select the proxy (C7.01, C7.03)', () => {
  const egress = gateway('c', http(80), 'selector: { istio: egress }');
  const everybody = gateway('d', server(80, 'GRPC'), '');
  expect(merged(gateway('a', http(80)), gateway('b', server(80, 'HTTP2')), egress, everybody)).toEqual({
    listeners: [':80 http default/a http.80, http default/b http.80, http default/d http.80'],
    dropped: [],
  });
});

test('mergedGateways: every protocol has its kind (C7.03, C7.04, C7.05)', () => {
  const servers = [
    ...['HTTP', 'HTTP2', 'GRPC', 'GRPC-WEB', 'TCP', 'MONGO', 'REDIS', 'MYSQL'].map((protocol, index) =>
      server(8001 + index, protocol),
    ),
    server(8010, 'HTTPS', simple),
    server(8011, 'TLS', simple),
    server(8012, 'HTTPS', ', tls: { mode: ISTIO_MUTUAL }'),
    server(8013, 'TLS', ', tls: { mode: ISTIO_MUTUAL }'),
    server(8014, 'HTTPS', ', tls: { mode: PASSTHROUGH }'),
    server(8015, 'TLS', ', tls: {}'),
    server(8016, 'TLS', ', tls: { mode: AUTO_PASSTHROUGH }'),
  ];
  expect(merged(gateway('a', servers.join(', ')))).toEqual({
    listeners: [
      ':8001 http default/a http.8001',
      ':8002 http default/a http.8002',
      ':8003 http default/a http.8003',
      ':8004 http default/a http.8004',
      ':8005 tcp default/a',
      ':8006 tcp default/a',
      ':8007 tcp default/a',
      ':8008 tcp default/a',
      ':8010 https default/a https.8010.PORT.a.default',
      ':8011 tls default/a',
      ':8012 https default/a https.8012.PORT.a.default',
      ':8013 tls default/a',
      ':8014 passthrough default/a',
      ':8015 passthrough default/a',
      ':8016 auto-passthrough default/a',
    ],
    dropped: [],
  });
});

test('mergedGateways: of servers in clear that cannot share a port the first stays (C7.03)', () => {
  const tcp = server(80, 'TCP');
  expect(merged(gateway('a', `${http(80)}, ${tcp}`))).toEqual({
    listeners: [':80 http default/a http.80'],
    dropped: ['port 80 is HTTP already, it cannot be TCP, too'],
  });
  expect(merged(gateway('a', tcp), gateway('b', `${tcp}, ${http(80)}`))).toEqual({
    listeners: [':80 tcp default/a'],
    dropped: ['port 80 has a TCP server already', 'port 80 is TCP already, it cannot be HTTP, too'],
  });
  expect(merged(gateway('a', http(80)), gateway('b', server(80, 'HTTPS', simple))).dropped).toEqual([
    'port 80 is HTTP already, it cannot be HTTPS, too',
  ]);
});

test('mergedGateways: servers with TLS share a port by name, ended or not; one in clear may follow (C7.03, C7.04, C7.08)', () => {
  const passthrough = ', tls: { mode: PASSTHROUGH }';
  const servers = [
    server(443, 'HTTPS', hosts('a.com') + simple),
    server(443, 'TLS', hosts('b.com') + simple),
    server(443, 'TLS', hosts('c.com') + passthrough),
    server(443, 'HTTPS', hosts('d.com', 'a.com') + simple),
    http(443),
    server(443, 'HTTPS', hosts('d.com') + simple),
  ];
  expect(merged(gateway('a', servers.join(', ')))).toEqual({
    listeners: [
      ':443 https default/a https.443.PORT.a.default, tls default/a, passthrough default/a, http default/a http.443',
    ],
    dropped: [
      'an earlier server of port 443 has TLS settings for a.com already',
      'port 443 is HTTP already, it cannot be HTTPS, too',
    ],
  });
});

test('mergedGateways: the oldest Gateway has a host’s TLS settings; another address is another matter (C7.08, C7.09)', () => {
  const secure = (name: string, more = ''): string => gateway(name, server(443, 'HTTPS', simple + more));
  expect(merged(secure('b'), secure('a'), secure('c', ', bind: 10.0.0.1'))).toEqual({
    listeners: [
      ':443 https default/a https.443.PORT.a.default',
      '10.0.0.1:443 https default/c https.443.PORT.c.default.10.0.0.1',
    ],
    dropped: ['an earlier server of port 443 has TLS settings for * already'],
  });
});

test('mergedGateways: another address is another listener (C7.09, partly B6.07)', () => {
  const tcp = server(80, 'TCP', ', bind: 10.0.0.2');
  expect(merged(gateway('a', `${http(80)}, ${http(80, ', bind: 10.0.0.1')}, ${tcp}`)).listeners).toEqual([
    ':80 http default/a http.80',
    '10.0.0.1:80 http default/a http.80.10.0.0.1',
    '10.0.0.2:80 tcp default/a',
  ]);
});

test('mergedGateways: a host is redirected to https by one server alone (C7.06, C7.08)', () => {
  const redirect = http(80, ', tls: { httpsRedirect: true }');
  expect(merged(gateway('a', redirect), gateway('b', redirect))).toEqual({
    listeners: [':80 http default/a http.80'],
    dropped: ['an earlier server of port 80 has TLS settings for * already'],
  });
});

test('mergedGateways: hosts of everybody make the others superfluous; ./ and */ are taken away (C4.10, C7.09)', () => {
  const hostsOf = (list: string): readonly string[] => {
    const { world, scope } = worldAndScope(gateway('a', http(80, `, hosts: [${list}]`)), {
      proxy: gatewayPod,
    });
    return mergedGateways(world, scope).listeners[0]?.servers[0]?.hosts ?? [];
  };
  expect(hostsOf("'./a.com', '*/B.com', 'other/c.com', d.com")).toEqual([
    'default/a.com',
    'b.com',
    'other/c.com',
    'd.com',
  ]);
  expect(hostsOf("'./a.com', '*/*'")).toEqual(['*']);
});

test('autoPassthroughHosts: of all servers that forward by server name (C7.05)', () => {
  const auto = (list: string): string =>
    server(15_443, 'TLS', `, hosts: [${list}], tls: { mode: AUTO_PASSTHROUGH }`);
  const { world, scope } = worldAndScope(
    [gateway('a', auto("'*.local', './x.com'")), gateway('b', auto("'*.local'"))].join('\n---\n'),
    { proxy: gatewayPod },
  );
  expect(autoPassthroughHosts(world, scope)).toEqual(['*.local', 'x.com']);
});
