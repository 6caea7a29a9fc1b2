import { expect, test } from 'vitest';
import { proxyNode, worldOfYaml } from '../../test/support/world.ts';
import { listenerVirtualServices } from './egress-listeners.ts';
import { clusters, endpoints, listeners } from './index.ts';
import { inboundTargets } from './inbound-targets.ts';
import {
  aliasesOf,
  egressListeners,
  outboundTrafficPolicyOf,
  proxyScope,
  sidecarOf,
  visibleService,
  visibleServices,
} from './scope.ts';

const service = (
  name: string,
  namespace: string,
  more = 'selector: { app: x }, ports: [{ name: http, port: 80 }]',
): string => `
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: ${namespace} }
spec: { ${more} }
---`;

const sidecar = (name: string, namespace: string, spec: string): string => `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: { name: ${name}, namespace: ${namespace} }
spec: { ${spec} }
---`;

const all = "egress: [{ hosts: ['*/*'] }]";

test('proxyScope: replicas share a scope, other labels than selectors mention do not count', () => {
  const world = worldOfYaml(service('a', 'default'));
  const one = proxyScope(
    world,
    proxyNode({ podName: 'a-1', ipAddresses: ['10.1.0.1'], labels: { app: 'x', 'pod-template-hash': '1' } }),
  );
  const two = proxyScope(
    world,
    proxyNode({ podName: 'a-2', ipAddresses: ['10.1.0.2'], labels: { app: 'x', 'pod-template-hash': '2' } }),
  );
  expect(two.key).toBe(one.key);
  expect(proxyScope(world, proxyNode({ labels: { app: 'y' } })).key).not.toBe(one.key);
});

test('proxyScope: an address counts where a service names it, a port has a name, or the proxy binds to it', () => {
  const key = (yaml: string, part: Parameters<typeof proxyNode>[0]) => {
    const world = worldOfYaml(yaml);
    return proxyScope(world, proxyNode({ labels: { app: 'x' }, ...part })).node.ipAddresses;
  };
  const ipAddresses = ['10.1.0.1'];
  expect(key(service('a', 'default'), { ipAddresses })).toEqual(['0.0.0.0']);
  expect(key(service('a', 'default'), { ipAddresses: ['fd00::1'] })).toEqual(['::']);
  expect(key(service('a', 'default'), { ipAddresses, interceptionMode: 'LOOPBACK' })).toEqual(ipAddresses);
  expect(
    key(service('a', 'default', 'selector: { app: x }, ports: [{ port: 80, targetPort: web }]'), {
      ipAddresses,
    }),
  ).toEqual(ipAddresses);
  const named = `${service('a', 'default', 'ports: [{ port: 80 }]')}
apiVersion: v1
kind: Endpoints
metadata: { name: a, namespace: default }
subsets: [{ addresses: [{ ip: 10.1.0.1 }], ports: [{ port: 8080 }] }]`;
  expect(key(named, { ipAddresses })).toEqual(ipAddresses);
  expect(key(named, { ipAddresses: ['10.1.0.2'] })).toEqual(['0.0.0.0']);
});

test('sidecarOf: selecting, then namespace-wide, then the root namespace’s (C9.01)', () => {
  const selecting = sidecar('selecting', 'default', `workloadSelector: { labels: { app: x } }, ${all}`);
  const wide = sidecar('wide', 'default', all);
  const root = sidecar('root', 'istio-system', all);
  const named = (yaml: string, labels: Record<string, string> = { app: 'x' }) => {
    const world = worldOfYaml(yaml);
    return sidecarOf(world, proxyScope(world, proxyNode({ labels })))?.name;
  };
  expect(named(wide + root + selecting)).toBe('selecting');
  expect(named(wide + root + selecting, { app: 'y' })).toBe('wide');
  expect(named(root + selecting, { app: 'y' })).toBe('root');
  expect(named(selecting, { app: 'y' })).toBeUndefined();
});

test('visibleServices: egress hosts choose by namespace and name (partly C9.02, C9.04)', () => {
  const services =
    service('own', 'default') + service('a', 'shop') + service('b', 'shop') + service('c', 'bank');
  const seen = (hosts: string) => {
    const world = worldOfYaml(`${services}${sidecar('s', 'default', `egress: [{ hosts: [${hosts}] }]`)}`);
    const scope = proxyScope(world, proxyNode());
    const list = visibleServices(world, scope).map(({ name }) => name);
    // One by one must give the same answer.
    for (const { name, hostname } of world.servicesVisibleTo('default'))
      expect(visibleService(world, scope, hostname) !== undefined).toBe(list.includes(name));
    return list.sort();
  };
  expect(seen("'*/*'")).toEqual(['a', 'b', 'c', 'own']);
  expect(seen("'./*'")).toEqual(['own']);
  expect(seen("'shop/*'")).toEqual(['a', 'b']);
  expect(seen("'*/a.shop.svc.cluster.local', 'bank/*.cluster.local'")).toEqual(['a', 'c']);
  expect(seen("'shop/*', '~shop/a.shop.svc.cluster.local'")).toEqual(['b']);
  expect(seen("'~/*'")).toEqual([]);
});

test('listenerVirtualServices: those of which an egress host and a host overlap (C9.04)', () => {
  const virtualService = (name: string, namespace: string, host: string): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: ${name}, namespace: ${namespace} }
spec: { hosts: ['${host}'], http: [{ route: [{ destination: { host: x.example.com } }] }] }
---`;
  const world = worldOfYaml(
    virtualService('in', 'shop', 'a') +
      virtualService('wild', 'shop', '*.local') +
      virtualService('out', 'bank', 'a') +
      sidecar('s', 'default', "egress: [{ hosts: ['shop/a.shop.svc.cluster.local'] }]"),
  );
  const [listener] = egressListeners(world, proxyScope(world, proxyNode()));
  if (listener === undefined) throw new Error('no egress listener');
  expect(listenerVirtualServices(world, listener).map(({ name }) => name)).toEqual(['in', 'wild']);
});

test('outboundTrafficPolicyOf: the Sidecar’s word before the mesh’s (partly C9.03)', () => {
  const policy = (yaml: string, mesh: 'ALLOW_ANY' | 'REGISTRY_ONLY') => {
    const world = worldOfYaml(yaml, { outboundTrafficPolicy: mesh });
    return outboundTrafficPolicyOf(world, proxyScope(world, proxyNode()));
  };
  expect(policy('', 'ALLOW_ANY')).toBe('ALLOW_ANY');
  expect(policy('', 'REGISTRY_ONLY')).toBe('REGISTRY_ONLY');
  expect(policy(sidecar('s', 'default', 'outboundTrafficPolicy: { mode: REGISTRY_ONLY }'), 'ALLOW_ANY')).toBe(
    'REGISTRY_ONLY',
  );
  expect(policy(sidecar('s', 'default', 'outboundTrafficPolicy: { mode: ALLOW_ANY }'), 'REGISTRY_ONLY')).toBe(
    'ALLOW_ANY',
  );
});

test('aliasesOf: aliases of aliases end at the service, circles end nowhere (C2.06)', () => {
  const alias = (name: string, target: string) =>
    service(
      name,
      'default',
      `type: ExternalName, externalName: ${target}.default.svc.cluster.local, ports: [{ port: 80 }]`,
    );
  const world = worldOfYaml(
    service('a', 'default') + alias('b', 'a') + alias('c', 'b') + alias('d', 'e') + alias('e', 'd'),
  );
  const scope = proxyScope(world, proxyNode());
  const fqdn = (name: string) => `${name}.default.svc.cluster.local`;
  expect(aliasesOf(world, scope, fqdn('a'))).toEqual([fqdn('b'), fqdn('c')]);
  expect(aliasesOf(world, scope, fqdn('d'))).toEqual([]);
});

test('inboundTargets: one for each target port, the first service port’s protocol counts (C2.11, C2.12)', () => {
  const world = worldOfYaml(
    service(
      'a',
      'default',
      'selector: { app: x }, ports: [{ name: http, port: 80, targetPort: 8080 }, { name: tcp, port: 81, targetPort: 8080 }]',
    ) +
      service(
        'b',
        'default',
        'selector: { app: x }, ports: [{ name: tcp, port: 82, targetPort: 8080 }, { name: grpc, port: 83 }]',
      ) +
      service('c', 'other'),
  );
  const targets = inboundTargets(world, proxyScope(world, proxyNode({ labels: { app: 'x' } })));
  expect(
    targets.map(({ targetPort, port, services }) => [targetPort, port.protocol, services.length]),
  ).toEqual([
    [83, 'GRPC', 1],
    [8080, 'HTTP', 2],
  ]);
  const router = proxyNode({ type: 'router', labels: { app: 'x' } });
  expect(inboundTargets(world, proxyScope(world, router))).toEqual([]);
});

test('clusters, endpoints: names that do not exist', () => {
  const world = worldOfYaml(service('a', 'default'));
  const scope = proxyScope(world, proxyNode());
  for (const name of [
    'outbound|81||a.default.svc.cluster.local',
    'outbound|80|v1|a.default.svc.cluster.local',
    'inbound|9||',
    'x',
    'outbound|80||hasOwnProperty',
  ]) {
    expect(clusters.input(world, scope, name)).toBeUndefined();
    expect(endpoints.input(world, scope, name)).toEqual({ name, endpoints: [] });
  }
});

test('clusters: every name has an input, and every input builds to that name', () => {
  const world = worldOfYaml(
    service('a', 'default') + service('b', 'shop', 'clusterIP: None, ports: [{ port: 1 }]'),
  );
  for (const type of ['sidecar', 'router'] as const) {
    const scope = proxyScope(world, proxyNode({ type, labels: { app: 'x' } }));
    const names = clusters.names(world, scope);
    expect([...names].sort()).toEqual(names);
    for (const name of names) {
      const input = clusters.input(world, scope, name);
      expect(input === undefined ? undefined : clusters.build(input).message.name).toBe(name);
      // Plain data, and all that build looks at.
      const copy = JSON.parse(JSON.stringify(input)) as NonNullable<typeof input>;
      expect(copy).toStrictEqual(input);
      expect(clusters.build(copy)).toEqual(clusters.build(input as NonNullable<typeof input>));
    }
  }
});

test('listeners: workloads that only Services tell apart share outbound listeners; who is chosen has its own', () => {
  const world =
    worldOfYaml(`${service('a', 'default', 'clusterIP: 10.0.0.1, selector: { app: a }, ports: [{ name: tcp, port: 80 }]')}
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: chosen }
spec:
  host: a
  workloadSelector: { matchLabels: { role: batch } }
  trafficPolicy: { connectionPool: { tcp: { idleTimeout: 7s } } }
`);
  const inputFor = (labels: Readonly<Record<string, string>>, address: string) =>
    listeners.input(world, proxyScope(world, proxyNode({ labels, ipAddresses: [address] })), '10.0.0.1_80');
  const one = inputFor({ app: 'a' }, '10.1.0.1');
  expect(one).toBeDefined();
  expect(inputFor({ app: 'b' }, '10.1.0.2')).toBe(one);
  expect(inputFor({ app: 'a', role: 'batch' }, '10.1.0.1')).toMatchObject({
    chains: [{ filter: { idleTimeout: '7s' } }],
  });
  expect(inputFor({ app: 'a' }, 'fd00::1')).not.toBe(one);
});
