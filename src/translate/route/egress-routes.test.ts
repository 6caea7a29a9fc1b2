// Routes of Sidecars with several egress listeners, and of services by every address that they have.
import { expect, test } from 'vitest';
import { proxyNode, worldOfYaml } from '../../../test/support/world.ts';
import type { ProxyNode } from '../../model/proxy-node.ts';
import { proxyScope } from '../scope.ts';
import { sidecarRouteInput } from './sidecar-routes.ts';

const service = (name: string, namespace: string, spec: string): string => `
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: ${namespace} }
spec: { selector: { app: x }, ${spec} }
---`;

const sidecar = (egress: string): string => `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: { name: s, namespace: default }
spec: { outboundTrafficPolicy: { mode: REGISTRY_ONLY }, egress: [${egress}] }
---`;

const services =
  service('own', 'default', 'ports: [{ name: http, port: 80 }, { name: http-b, port: 9080 }]') +
  service('shop', 'shop', 'ports: [{ name: http, port: 80 }, { name: http-b, port: 9080 }]');

/** Virtual host -> its clusters. */
function routesOf(yaml: string, name: string, node: Partial<ProxyNode> = {}): Record<string, string[]> {
  const world = worldOfYaml(yaml);
  const { virtualHosts } = sidecarRouteInput(world, proxyScope(world, proxyNode(node)), name);
  return Object.fromEntries(
    virtualHosts.map((host) => [
      host.name,
      host.routes.map((route) => ('cluster' in route ? (route.cluster ?? '') : route.kind)),
    ]),
  );
}

/** Domains of one virtual host. */
function domainsOf(
  yaml: string,
  name: string,
  host: string,
  node: Partial<ProxyNode> = {},
): readonly string[] {
  const world = worldOfYaml(yaml);
  const { virtualHosts } = sidecarRouteInput(world, proxyScope(world, proxyNode(node)), name);
  return virtualHosts.find((each) => each.name === host)?.domains ?? [];
}

const cluster = (name: string, port: number): string[] => [
  `outbound|${port}||${name}.${name === 'own' ? 'default' : name}.svc.cluster.local`,
];

test('sidecarRouteInput: each port has what the egress listener of that port imports (C9.02)', () => {
  const yaml =
    services +
    sidecar(
      `{ port: { number: 9080, protocol: HTTP, name: egress }, hosts: ['./*'] }, { hosts: ['shop/*'] }`,
    );
  expect(routesOf(yaml, '9080')).toEqual({
    'own.default.svc.cluster.local:9080': cluster('own', 9080),
    block_all: ['catch-all'],
  });
  expect(routesOf(yaml, '80')).toEqual({
    'shop.shop.svc.cluster.local:80': cluster('shop', 80),
    block_all: ['catch-all'],
  });
});

test('sidecarRouteInput: a port that no egress listener stands for has the last resort alone (C9.02, C4.12)', () => {
  const yaml = services + sidecar(`{ port: { number: 9080, protocol: HTTP, name: egress }, hosts: ['*/*'] }`);
  expect(routesOf(yaml, '80')).toEqual({ block_all: ['catch-all'] });
});

test.each([
  [
    'unix:///var/run/egress.sock',
    `{ port: { number: 0, protocol: HTTP, name: uds }, bind: 'unix:///var/run/egress.sock', captureMode: NONE`,
  ],
  ['3128', '{ port: { number: 3128, protocol: HTTP_PROXY, name: proxy }, bind: 127.0.0.1'],
])('sidecarRouteInput: behind %s every port is reached by its number (C9.02)', (name, listener) => {
  const yaml = services + sidecar(`${listener}, hosts: ['./*'] }`);
  expect(routesOf(yaml, name)).toEqual({
    'own.default.svc.cluster.local:80': cluster('own', 80),
    'own.default.svc.cluster.local:9080': cluster('own', 9080),
    block_all: ['catch-all'],
  });
  expect(domainsOf(yaml, name, 'own.default.svc.cluster.local:80').slice(0, 2)).toEqual([
    'own.default.svc.cluster.local',
    'own.default.svc.cluster.local:80',
  ]);
  expect(domainsOf(yaml, name, 'own.default.svc.cluster.local:9080')).not.toContain('own');
  expect(domainsOf(yaml, name, 'own.default.svc.cluster.local:9080')).toContain('own:9080');
});

test('sidecarRouteInput: a destination outside of what is imported is routed to, but has no host of its own (C9.04)', () => {
  const virtualService = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: own, namespace: default }
spec:
  hosts: [own]
  http: [{ route: [{ destination: { host: shop.shop.svc.cluster.local, port: { number: 80 } } }] }]
---`;
  expect(routesOf(services + virtualService + sidecar("{ hosts: ['./*'] }"), '80')).toEqual({
    'own.default.svc.cluster.local:80': ['rule'],
    block_all: ['catch-all'],
  });
});

test('sidecarRouteInput: of two services with one hostname the imported one counts (C9.04)', () => {
  const entry = (namespace: string, port: number): string => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: api, namespace: ${namespace} }
spec:
  hosts: [api.example.com]
  ports: [{ number: ${port}, name: http, protocol: HTTP }]
  resolution: DNS
---`;
  const yaml = entry('default', 80) + entry('shop', 8080);
  expect(routesOf(yaml + sidecar("{ hosts: ['*/*'] }"), '8080')).toEqual({ block_all: ['catch-all'] });
  expect(Object.keys(routesOf(yaml + sidecar("{ hosts: ['shop/*'] }"), '8080'))).toEqual([
    'api.example.com:8080',
    'block_all',
  ]);
});

test.each([
  ['IPv4', ['10.1.0.1'], ['10.0.0.1']],
  ['IPv6', ['fd00::1'], ['[fd00::10]']],
  ['both', ['10.1.0.1', 'fd00::1'], ['10.0.0.1', '[fd00::10]']],
])(
  'sidecarRouteInput: a proxy of %s knows a service by its addresses of that family (C4.11)',
  (_family, ipAddresses, expected) => {
    const yaml = service(
      'own',
      'default',
      'clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1, "fd00::10"], ports: [{ name: http, port: 80 }]',
    );
    const domains = domainsOf(yaml, '80', 'own.default.svc.cluster.local:80', { ipAddresses });
    expect(domains.filter((domain) => /^[[\d]/.test(domain))).toEqual(expected);
  },
);
