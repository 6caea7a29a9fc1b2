import { expect, test } from 'vitest';
import { gatewayPod, worldAndScope } from '../../../test/support/translated.ts';
import { mergedGateways } from './servers.ts';

const service = (name: string, ports: string, labels = '{}'): string => `
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: istio-system, labels: ${labels} }
spec: { clusterIP: 10.0.0.1, selector: { istio: ingressgateway }, ports: [${ports}] }
`;
const gateway = (name: string, servers: string, selector = '{ istio: ingressgateway }'): string => `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: ${name} }
spec: { selector: ${selector}, servers: [${servers}] }
`;
const http = (number: number, more = ''): string =>
  `{ port: { number: ${number}, name: 'http-${number}${more.length}', protocol: HTTP }, hosts: ['*']${more} }`;

function merged(...documents: readonly string[]) {
  const { world, scope } = worldAndScope(documents.join('\n---\n'), { proxy: gatewayPod });
  const { listeners, dropped } = mergedGateways(world, scope);
  return {
    listeners: listeners.map(
      ({ bind, listenerPort, kind, servers }) =>
        `${bind}:${listenerPort} ${kind} ${servers.map(({ routeName, gateway: owner }) => `${owner} ${routeName}`.trim()).join(', ')}`,
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

test('mergedGateways: a Service may opt out of port translation (C7.02)', () => {
  const optedOut = service(
    'gw',
    '{ name: http2, port: 80, targetPort: 8080 }',
    "{ experimental.istio.io/disable-gateway-port-translation: 'true' }",
  );
  expect(merged(optedOut, gateway('a', http(80))).listeners).toEqual([':80 http default/a http.80']);
});

test('mergedGateways: HTTP servers of a port are merged over Gateways (C7.01, partly C7.03)', () => {
  expect(
    merged(gateway('a', http(80)), gateway('b', http(80)), gateway('c', http(80), '{ istio: egress }')),
  ).toEqual({
    listeners: [':80 http default/a http.80, default/b http.80'],
    dropped: [],
  });
});

test('mergedGateways: of servers that cannot share a port the first stays (partly C7.03)', () => {
  const tcp = "{ port: { number: 80, name: tcp, protocol: TCP }, hosts: ['*'] }";
  expect(merged(gateway('a', `${http(80)}, ${tcp}`))).toEqual({
    listeners: [':80 http default/a http.80'],
    dropped: ['port 80 is HTTP already, it cannot be TCP, too'],
  });
  expect(merged(gateway('a', tcp), gateway('b', `${tcp}, ${http(80)}`))).toEqual({
    listeners: [':80 tcp default/a'],
    dropped: ['port 80 has a TCP server already', 'port 80 is TCP already, it cannot be HTTP, too'],
  });
});

test('mergedGateways: another address is another listener (C7.09, partly B6.07)', () => {
  const tcp = "{ port: { number: 80, name: tcp, protocol: TCP }, hosts: ['*'], bind: 10.0.0.2 }";
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
