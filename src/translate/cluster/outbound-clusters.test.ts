import type { JsonObject } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import type { Surroundings } from '../../../test/support/translated.ts';
import { gatewayPod, worldAndScope } from '../../../test/support/translated.ts';
import { messageToJson } from '../../api/any.ts';
import { clusters } from '../index.ts';

const plain: Surroundings = { mesh: { enableAutoMtls: false } };

/** All clusters of a proxy by name, as proto3 JSON. */
function clustersOf(yaml: string, surroundings: Surroundings = plain): Record<string, JsonObject> {
  const { world, scope } = worldAndScope(yaml, surroundings);
  const entries = clusters.names(world, scope).flatMap((name) => {
    const input = clusters.input(world, scope, name);
    if (input === undefined) return [];
    return [[name, messageToJson(clusters.schema, clusters.build(input).message) as JsonObject] as const];
  });
  return Object.fromEntries(entries);
}

const service = (name: string, ports: string, more = 'clusterIP: 10.0.0.1'): string => `
apiVersion: v1
kind: Service
metadata: { name: ${name} }
spec: { ${more}, selector: { app: ${name} }, ports: [${ports}] }
---`;
const entry = (host: string, resolution: string, ports: string, more = ''): string => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: ${host.replace('*', 'all')} }
spec: { hosts: ['${host}'], resolution: ${resolution}, ports: [${ports}]${more} }
---`;
const rule = (host: string, spec: string): string => `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: ${host} }
spec: { host: ${host}, ${spec} }
---`;
const http = '{ number: 80, name: http, protocol: HTTP }';
const nameOf = (service: string, port = 80, subset = ''): string =>
  `outbound|${port}|${subset}|${service}.default.svc.cluster.local`;

test('clusters: one for each port that is not UDP and each subset, found as the resolution says (C3.01)', () => {
  const yaml =
    service(
      'a',
      '{ name: http, port: 80 }, { name: tcp, port: 90 }, { name: dns, port: 53, protocol: UDP }',
    ) +
    rule('a', 'subsets: [{ name: v1, labels: { version: v1 } }, { name: v2, labels: { version: v2 } }]') +
    service('headless', '{ name: http, port: 80 }', 'clusterIP: None') +
    entry('static.com', 'STATIC', http, ', endpoints: [{ address: 192.0.2.1 }]') +
    entry('dns.com', 'DNS', http) +
    entry('round.com', 'DNS_ROUND_ROBIN', http) +
    entry('none.com', 'NONE', http) +
    entry('*.com', 'DYNAMIC_DNS', http);
  const found = Object.entries(clustersOf(yaml)).filter(([name]) => name.startsWith('outbound'));
  const shapes = found.map(([name, cluster]) => {
    const { name: type } = (cluster['clusterType'] ?? { name: cluster['type'] }) as { name: string };
    return `${name} ${type} ${JSON.stringify(cluster['lbPolicy'])}`;
  });
  const least = '"LEAST_REQUEST"';
  expect(shapes.sort()).toEqual(
    [
      ...['', 'v1', 'v2'].flatMap((subset) =>
        [80, 90].map((port) => `${nameOf('a', port, subset)} EDS ${least}`),
      ),
      `${nameOf('headless')} ORIGINAL_DST "CLUSTER_PROVIDED"`,
      `outbound|80||static.com EDS ${least}`,
      `outbound|80||dns.com STRICT_DNS ${least}`,
      `outbound|80||round.com LOGICAL_DNS ${least}`,
      'outbound|80||none.com ORIGINAL_DST "CLUSTER_PROVIDED"',
      'outbound|80||*.com envoy.clusters.dynamic_forward_proxy "CLUSTER_PROVIDED"',
    ].sort(),
  );
  for (const [, cluster] of found.filter(([, { type }]) => type === 'EDS'))
    expect(cluster['edsClusterConfig']).toMatchObject({
      edsConfig: { ads: {}, initialFetchTimeout: '0s', resourceApiVersion: 'V3' },
    });
});

/** `http1`, `http2` or `downstream`: how the upstream of the only service is spoken to. */
function protocolOf(yaml: string, surroundings: Surroundings = plain): string {
  const cluster = clustersOf(yaml, surroundings)[nameOf('a')];
  const [options = {}] = Object.values((cluster?.['typedExtensionProtocolOptions'] ?? {}) as object);
  const { useDownstreamProtocolConfig, explicitHttpConfig = {} } = options as Record<string, object>;
  if (useDownstreamProtocolConfig !== undefined) return 'downstream';
  return 'http2ProtocolOptions' in explicitHttpConfig ? 'http2' : 'http1';
}

test('clusters: the upstream’s protocol by the port, the downstream, the rule and the mesh (C3.04)', () => {
  const port = (name: string): string => service('a', `{ ${name === '' ? '' : `name: ${name}, `}port: 80 }`);
  const pool = (settings: string): string =>
    rule('a', `trafficPolicy: { connectionPool: { http: { ${settings} } } }`);
  const gateway: Surroundings = { ...plain, proxy: gatewayPod };
  for (const name of ['http2', 'grpc', 'grpc-web']) expect(protocolOf(port(name))).toBe('http2');
  for (const name of ['http', 'https', 'tls', 'tcp']) expect(protocolOf(port(name))).toBe('http1');

  // What the port does not say is the downstream's to say, but never at a gateway.
  expect(protocolOf(port(''))).toBe('downstream');
  expect(protocolOf(port(''), gateway)).toBe('http1');
  for (const name of ['http', 'http2', 'tcp', ''])
    for (const proxy of [plain, gateway])
      expect(protocolOf(port(name) + pool('useClientProtocol: true'), proxy)).toBe('downstream');

  expect(protocolOf(port('http') + pool('h2UpgradePolicy: UPGRADE'))).toBe('http2');
  expect(protocolOf(port('tcp') + pool('h2UpgradePolicy: UPGRADE'))).toBe('http2');
  const upgraded: Surroundings = { mesh: { enableAutoMtls: false, h2UpgradePolicy: 'UPGRADE' } };
  expect(protocolOf(port('http'), upgraded)).toBe('http2');
  expect(protocolOf(port('http') + pool('h2UpgradePolicy: DEFAULT'), upgraded)).toBe('http2');
  expect(protocolOf(port('http') + pool('h2UpgradePolicy: DO_NOT_UPGRADE'), upgraded)).toBe('http1');
  expect(protocolOf(port('tcp'), upgraded)).toBe('http1');
  expect(protocolOf(port(''), { ...upgraded, proxy: gatewayPod })).toBe('http1');
});

test('clusters: connect timeout, TCP keepalive and HTTP/2 keepalive - Istio’s, the mesh’s, the rule’s (C3.07)', () => {
  const yaml = service('a', '{ name: http2, port: 80 }');
  const tcp = (settings: string): string =>
    rule('a', `trafficPolicy: { connectionPool: { tcp: { ${settings} } } }`);
  const of = (text: string, surroundings?: Surroundings) => clustersOf(text, surroundings)[nameOf('a')] ?? {};
  expect(of(yaml)['connectTimeout']).toBe('10s');
  expect(of(yaml)['upstreamConnectionOptions']).toBeUndefined();
  expect(of(yaml + tcp('connectTimeout: 30ms'))['connectTimeout']).toBe('0.030s');
  const mesh = { connectTimeoutMs: 3000, tcpKeepalive: { probes: 3, time: '30s' } } as const;
  expect(of(yaml, { mesh })).toMatchObject({
    connectTimeout: '3s',
    upstreamConnectionOptions: { tcpKeepalive: { keepaliveProbes: 3, keepaliveTime: 30 } },
  });
  expect(
    of(yaml + tcp('connectTimeout: 1s, tcpKeepalive: { time: 9s, interval: 75s }'), { mesh }),
  ).toMatchObject({
    connectTimeout: '1s',
    upstreamConnectionOptions: {
      tcpKeepalive: { keepaliveProbes: 3, keepaliveTime: 9, keepaliveInterval: 75 },
    },
  });
  // Empty: on, as the operating system has it.
  expect(of(yaml + tcp('tcpKeepalive: {}'))['upstreamConnectionOptions']).toEqual({ tcpKeepalive: {} });
  const alive =
    'trafficPolicy: { connectionPool: { http: { http2KeepAlive: { interval: 5s, timeout: 2s } } } }';
  const options = of(yaml + rule('a', alive))['typedExtensionProtocolOptions'] ?? {};
  expect(Object.values(options)).toMatchObject([
    {
      explicitHttpConfig: {
        http2ProtocolOptions: { connectionKeepalive: { interval: '5s', timeout: '2s' } },
      },
    },
  ]);
});

const upstreamPorts = (yaml: string): unknown =>
  clustersOf(yaml)['outbound|80||a.com']?.['originalDstLbConfig'];

test('ORIGINAL_DST: another port only where a ServiceEntry without resolution says so', () => {
  const ports = '{ number: 80, name: http, protocol: HTTP, targetPort: 8080 }';
  const passes = rule('a.com', 'trafficPolicy: { loadBalancer: { simple: PASSTHROUGH } }');
  expect(upstreamPorts(entry('a.com', 'NONE', ports))).toEqual({ upstreamPortOverride: 8080 });
  const fixed = entry('a.com', 'STATIC', ports, ', endpoints: [{ address: 192.0.2.1 }]') + passes;
  expect(clustersOf(fixed)['outbound|80||a.com']).toMatchObject({ type: 'ORIGINAL_DST' });
  expect(upstreamPorts(fixed)).toBeUndefined();
});

test('gateways: the clusters of all services, the black hole, and server names for AUTO_PASSTHROUGH alone (partly C3.15)', () => {
  const yaml = service('a', '{ name: http, port: 80 }') + entry('b.com', 'DNS', http);
  const server = (mode: string): string => `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: gw, namespace: istio-system }
spec:
  selector: { istio: ingressgateway }
  servers: [{ port: { number: 443, name: tls, protocol: TLS }, hosts: ['*.local'], tls: { mode: ${mode} } }]
`;
  const names = (text: string): string[] => Object.keys(clustersOf(text, { ...plain, proxy: gatewayPod }));
  const all = ['BlackHoleCluster', nameOf('a'), 'outbound|80||b.com'];
  expect(names(yaml)).toEqual(all);
  expect(names(yaml + server('PASSTHROUGH'))).toEqual(all);
  expect(names(yaml + server('AUTO_PASSTHROUGH'))).toEqual(
    [...all, 'outbound_.80_._.a.default.svc.cluster.local'].sort(),
  );
});

test('inbound clusters have the retry budget of the service’s rule, too', () => {
  const yaml =
    service('a', '{ name: http, port: 80, targetPort: 8080 }') +
    rule('a', 'trafficPolicy: { retryBudget: { percent: 30 }, connectionPool: { http: { maxRetries: 4 } } }');
  const { world, scope } = worldAndScope(yaml, { proxy: { labels: { app: 'a' } } });
  const input = clusters.input(world, scope, 'inbound|8080||');
  if (input === undefined) throw new Error('no inbound cluster');
  const { message, provenance } = clusters.build(input);
  expect(messageToJson(clusters.schema, message)).toMatchObject({
    circuitBreakers: {
      thresholds: [{ maxRetries: 4, retryBudget: { budgetPercent: { value: 30 }, minRetryConcurrency: 3 } }],
    },
  });
  expect(provenance.map(({ at }) => at)).toContain('circuitBreakers.thresholds[0].retryBudget');
});
