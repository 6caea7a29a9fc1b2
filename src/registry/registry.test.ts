import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { configsOfYaml } from '../../test/support/world.ts';
import { Graph } from '../collections/index.ts';
import type { Config } from '../config/config.ts';
import { configKey } from '../config/config.ts';
import { defaultMeshConfig } from '../config/mesh-config.ts';
import type { Registry, RegistrySources } from './registry.ts';
import { createRegistry } from './registry.ts';

/** A registry whose objects can be put and dropped. */
function liveRegistry(text = '') {
  const graph = new Graph();
  const kinds = [
    'Service',
    'Pod',
    'EndpointSlice',
    'Endpoints',
    'ServiceEntry',
    'WorkloadEntry',
    'Node',
  ] as const;
  const inputs = new Map(kinds.map((kind) => [kind as string, graph.input<Config>(kind)]));
  const source = (kind: string) => inputs.get(kind) as never;
  const sources: RegistrySources = {
    services: source('Service'),
    pods: source('Pod'),
    endpointSlices: source('EndpointSlice'),
    endpoints: source('Endpoints'),
    serviceEntries: source('ServiceEntry'),
    workloadEntries: source('WorkloadEntry'),
    nodes: source('Node'),
  };
  const registry: Registry = createRegistry({ graph, sources, meshConfig: () => defaultMeshConfig });
  const put = (yaml: string): void =>
    graph.batch(() => {
      for (const config of configsOfYaml(yaml)) inputs.get(config.kind)?.set(configKey(config), config);
    });
  const drop = (kind: string, name: string, namespace = 'default'): void =>
    inputs.get(kind)?.delete(configKey({ kind, namespace, name }));
  if (text !== '') put(text);
  return { graph, registry, put, drop };
}

const service = (name: string, more = ''): string => `
apiVersion: v1
kind: Service
metadata: { name: ${name} }
spec: { selector: { app: ${name} }, ports: [{ name: http, port: 80, targetPort: 8080 }] ${more} }
---`;

const pod = (name: string, ip: string, labels: string, more = ''): string => `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, labels: { ${labels} } ${more} }
spec: { containers: [{ name: app, ports: [{ name: web, containerPort: 9000 }] }] }
status: { phase: Running, podIP: ${ip}, conditions: [{ type: Ready, status: 'True' }] }
---`;

const hostA = 'a.default.svc.cluster.local';

test('registry: a Pod moves the endpoints of services that select it and nothing else (C2.10, T19)', () => {
  const { graph, registry, put } = liveRegistry(
    service('a') + service('b') + pod('a-1', '10.1.0.1', 'app: a'),
  );
  const runs = { services: 0, a: 0, b: 0 };
  const services = graph.derived({
    name: 'test-services',
    compute: (_all: string) => {
      runs.services++;
      return registry.servicesVisibleTo('default').map(({ addresses }) => addresses);
    },
  });
  const endpoints = graph.derived({
    name: 'test-endpoints',
    compute: (host: 'a' | 'b') => {
      runs[host]++;
      return registry.endpoints(`${host}.default.svc.cluster.local`, 80).map(({ address }) => address);
    },
  });
  services.get('');
  endpoints.get('b');
  expect(endpoints.get('a')).toEqual(['10.1.0.1']);
  put(pod('a-2', '10.1.0.2', 'app: a'));
  services.get('');
  endpoints.get('b');
  expect(endpoints.get('a')).toEqual(['10.1.0.1', '10.1.0.2']);
  expect(runs).toEqual({ services: 1, a: 2, b: 1 });
});

test('registry: a terminating Pod leaves at once, its ports stay known (T19)', () => {
  const { registry, put } = liveRegistry(service('a') + pod('a-1', '10.1.0.1', 'app: a'));
  expect(registry.endpoints(hostA, 80)).toHaveLength(1);
  put(pod('a-1', '10.1.0.1', 'app: a', ", deletionTimestamp: '2026-01-01T00:00:00Z'"));
  expect(registry.endpoints(hostA, 80)).toHaveLength(0);
  expect(registry.workloadPort('10.1.0.1', 'web')).toBe(9000);
});

test('registry: labels of the Pod choose, with the port that each Pod gives the name (C2.10, C2.11, T13)', () => {
  const { registry } = liveRegistry(`${service('a').replace('targetPort: 8080', 'targetPort: web')}
${pod('a-1', '10.1.0.1', 'app: a, version: v1')}
${pod('a-2', '10.1.0.2', 'app: other')}`);
  const [endpoint, ...others] = registry.endpoints(hostA, 80);
  expect(others).toEqual([]);
  expect(endpoint).toMatchObject({ address: '10.1.0.1', endpointPort: 9000, workloadName: 'a-1' });
  expect(endpoint?.labels).toMatchObject({ version: 'v1', 'topology.istio.io/cluster': 'Kubernetes' });
});

test('registry: EndpointSlices count before Endpoints, and both before the selector', () => {
  const endpoints = `
apiVersion: v1
kind: Endpoints
metadata: { name: a }
subsets: [{ addresses: [{ ip: 192.0.2.1 }], notReadyAddresses: [{ ip: 192.0.2.2 }], ports: [{ name: http, port: 1 }] }]
---`;
  const slice = `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: a-x, labels: { kubernetes.io/service-name: a } }
addressType: IPv4
ports: [{ name: http, port: 2 }]
endpoints:
  - { addresses: [192.0.2.3] }
  - { addresses: [192.0.2.4], conditions: { ready: false } }
  - { addresses: [192.0.2.5], conditions: { ready: false, terminating: true } }
  - { addresses: [10.1.0.1], targetRef: { kind: Pod, name: a-1 } }
  - { addresses: [10.1.0.9], targetRef: { kind: Pod, name: not-there-yet } }
---`;
  const { registry, put, drop } = liveRegistry(
    service('a') + pod('a-1', '10.1.0.1', 'app: a, version: v1') + endpoints,
  );
  const now = () => registry.endpoints(hostA, 80).map((e) => `${e.address}:${e.endpointPort} ${e.health}`);
  expect(now()).toEqual(['192.0.2.1:1 HEALTHY', '192.0.2.2:1 UNHEALTHY']);
  put(slice);
  expect(now()).toEqual(['10.1.0.1:2 HEALTHY', '192.0.2.3:2 HEALTHY', '192.0.2.4:2 UNHEALTHY']);
  expect(registry.endpoints(hostA, 80)[0]?.labels['version']).toBe('v1');
  drop('EndpointSlice', 'a-x');
  drop('Endpoints', 'a');
  expect(now()).toEqual(['10.1.0.1:8080 HEALTHY']);
});

test('registry: publishNotReadyAddresses makes unready Pods healthy (C2.07)', () => {
  const unready = pod('a-1', '10.1.0.1', 'app: a').replace("status: 'True'", "status: 'False'");
  const { registry, put } = liveRegistry(service('a') + unready);
  expect(registry.endpoints(hostA, 80)[0]?.health).toBe('UNHEALTHY');
  put(service('a', ', publishNotReadyAddresses: true'));
  expect(registry.endpoints(hostA, 80)[0]?.health).toBe('HEALTHY');
});

const entry = (name: string, created: string, more: string, namespace = 'default'): string => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: ${name}, namespace: ${namespace}, creationTimestamp: '${created}' }
spec: { ${more} }
---`;

test('registry: Kubernetes wins over a ServiceEntry of the same host, among those the oldest does (partly C2.09)', () => {
  const ports =
    'ports: [{ number: 80, name: http, protocol: HTTP }], resolution: STATIC, location: MESH_INTERNAL';
  const { registry, put } = liveRegistry(
    entry('young', '2026-02-01T00:00:00Z', `hosts: [x.com], ${ports}`, 'one') +
      entry('old', '2026-01-01T00:00:00Z', `hosts: [x.com], ${ports}`, 'two') +
      entry('squat', '2020-01-01T00:00:00Z', `hosts: [${hostA}], ${ports}`, 'evil'),
  );
  expect(registry.service('x.com', 'default')?.namespace).toBe('two');
  // Its own namespace's comes first.
  expect(registry.service('x.com', 'one')?.namespace).toBe('one');
  put(service('a'));
  expect(registry.service(hostA, 'default')?.registry).toBe('Kubernetes');
  expect(registry.servicesVisibleTo('default').map(({ hostname }) => hostname)).toEqual([hostA, 'x.com']);
});

test('registry: ServiceEntries of one namespace and host share their ports and endpoints (partly C2.09)', () => {
  const { registry } = liveRegistry(
    entry(
      'b',
      '2026-02-01T00:00:00Z',
      `hosts: [X.com], resolution: STATIC, ports: [{ number: 81, name: b, protocol: TCP }], endpoints: [{ address: 192.0.2.2 }]`,
    ) +
      entry(
        'a',
        '2026-01-01T00:00:00Z',
        `hosts: [x.com], resolution: STATIC, ports: [{ number: 80, name: a, protocol: TCP }], endpoints: [{ address: 192.0.2.1 }]`,
      ),
  );
  expect(registry.service('x.com')?.ports.map(({ servicePort }) => servicePort)).toEqual([80, 81]);
  expect(registry.endpoints('x.com', 81).map(({ address }) => address)).toEqual(['192.0.2.2']);
});

test('registry: exportTo hides a service from other namespaces', () => {
  const { registry } = liveRegistry(`
apiVersion: v1
kind: Service
metadata: { name: a, annotations: { networking.istio.io/exportTo: '., friends' } }
spec: { ports: [{ name: http, port: 80 }] }
`);
  expect(registry.service(hostA, 'friends')).toBeDefined();
  expect(registry.service(hostA, 'default')).toBeDefined();
  expect(registry.service(hostA, 'others')).toBeUndefined();
  expect(registry.servicesVisibleTo('others')).toEqual([]);
});

test('registry: WorkloadEntries are selected by Services and ServiceEntries, with their own ports (C8.05)', () => {
  const { registry } = liveRegistry(`${service('a')}
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: { name: vm, labels: { version: v9 } }
spec: { address: 192.0.2.7, labels: { app: a }, ports: { http: 8888 }, weight: 5, serviceAccount: vm, locality: eu/a/1 }
---
${pod('a-1', '10.1.0.1', 'app: a')}
${entry('se', '2026-01-01T00:00:00Z', 'hosts: [x.com], resolution: STATIC, location: MESH_INTERNAL, ports: [{ number: 70, name: tcp, protocol: TCP }], workloadSelector: { labels: { app: a } }')}
`);
  expect(registry.endpoints(hostA, 80).map((e) => `${e.address}:${e.endpointPort}`)).toEqual([
    '10.1.0.1:8080',
    '192.0.2.7:8888',
  ]);
  expect(registry.endpoints(hostA, 80)[1]).toMatchObject({
    weight: 5,
    tlsMode: 'istio',
    workloadName: 'vm',
    locality: { region: 'eu', zone: 'a', subzone: '1' },
    labels: { version: 'v9', 'topology.kubernetes.io/zone': 'a' },
  });
  expect(registry.endpoints('x.com', 70).map((e) => `${e.address}:${e.endpointPort}`)).toEqual([
    '10.1.0.1:70',
    '192.0.2.7:70',
  ]);
  expect(registry.workloadPort('192.0.2.7', 'http')).toBe(8888);
});

test('registry: a WorkloadEntry whose health is checked counts only while it is known to be healthy', () => {
  const machine = (annotation: string, status = '') => `
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: { name: vm, annotations: { ${annotation} } }
spec: { address: 192.0.2.7, labels: { app: a } }
${status}
---`;
  const checked = "proxy.istio.io/health-checks-enabled: 'true'";
  const condition = (status: string): string =>
    `status: { conditions: [{ type: Healthy, status: '${status}' }] }`;
  const count = (entryText: string): number =>
    liveRegistry(`${service('a')}${entryText}`).registry.endpoints(hostA, 80).length;
  expect(count(machine(''))).toBe(1);
  expect(count(machine('', condition('False')))).toBe(1);
  expect(count(machine(checked.replace('true', 'no'), condition('False')))).toBe(1);
  expect(count(machine(checked))).toBe(0);
  expect(count(machine(checked, condition('False')))).toBe(0);
  expect(count(machine(checked, condition('True')))).toBe(1);
});

test('registry: Services of a workload by selector, or by an endpoint that names it (C2.12)', () => {
  const { registry } = liveRegistry(`${service('a')}${service('b')}
apiVersion: v1
kind: Service
metadata: { name: manual }
spec: { ports: [{ name: tcp, port: 5 }] }
---
apiVersion: v1
kind: Endpoints
metadata: { name: manual }
subsets: [{ addresses: [{ ip: 10.1.0.1 }], ports: [{ name: tcp, port: 55 }] }]
`);
  const names = (labels: Record<string, string>, ...addresses: string[]) =>
    registry.servicesOfWorkload('default', labels, addresses).map(({ name }) => name);
  expect(names({ app: 'a' }, '10.1.0.2')).toEqual(['a']);
  expect(names({ app: 'a' }, '10.1.0.1')).toEqual(['a', 'manual']);
  expect(names({}, '10.1.0.2')).toEqual([]);
  expect(registry.selectorLabelNames('default')).toEqual(['app']);
});

test('registry: a Service without clusterIP gets one that stays; headless and ExternalName have none (C2.01, C2.05, C2.06)', () => {
  const { registry, put } = liveRegistry(service('a') + service('h', ', clusterIP: None'));
  const before = registry.service(hostA)?.addresses;
  expect(before).toHaveLength(1);
  expect(registry.service('h.default.svc.cluster.local')).toMatchObject({
    addresses: [],
    resolution: 'passthrough',
  });
  put(`${service('b')}
apiVersion: v1
kind: Service
metadata: { name: ext }
spec: { type: ExternalName, externalName: a.default.svc.cluster.local, ports: [{ port: 80 }] }`);
  expect(registry.service(hostA)?.addresses).toEqual(before);
  expect(registry.service('ext.default.svc.cluster.local')).toMatchObject({
    resolution: 'alias',
    aliasOf: hostA,
    addresses: [],
  });
});

test('registry: workload names come from the label, the Deployment behind the ReplicaSet, or the Pod', () => {
  const owned = (name: string, ip: string, labels: string): string =>
    pod(
      name,
      ip,
      `app: a, ${labels}`,
      ', ownerReferences: [{ kind: ReplicaSet, name: web-abc12, controller: true }]',
    );
  const { registry } = liveRegistry(
    service('a') +
      owned('web-abc12-x', '10.1.0.1', 'pod-template-hash: abc12') +
      owned('web-abc12-y', '10.1.0.2', 'service.istio.io/workload-name: named') +
      pod('alone', '10.1.0.3', 'app: a'),
  );
  expect(registry.endpoints(hostA, 80).map(({ workloadName }) => workloadName)).toEqual([
    'web',
    'named',
    'alone',
  ]);
});

test('registry: after any changes it answers as one that was made of the outcome, in whatever order', () => {
  const slice = (ready: boolean): string => `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: slice, labels: { kubernetes.io/service-name: a } }
addressType: IPv4
ports: [{ name: http, port: 2 }]
endpoints: [{ addresses: [10.1.0.1], conditions: { ready: ${ready} }, targetRef: { kind: Pod, name: p1 } }]
---`;
  const ports = 'ports: [{ number: 80, name: http, protocol: HTTP }], resolution: STATIC';
  const universe: readonly (readonly [
    kind: string,
    name: string,
    namespace: string,
    texts: readonly string[],
  ])[] = [
    [
      'Service',
      'a',
      'default',
      [service('a'), service('a', ', publishNotReadyAddresses: true'), service('a', ', clusterIP: None')],
    ],
    ['Service', 'b', 'default', [service('b'), service('b', ', clusterIP: 10.96.0.9')]],
    [
      'Pod',
      'p1',
      'default',
      [pod('p1', '10.1.0.1', 'app: a'), pod('p1', '10.1.0.1', 'app: b'), pod('p1', '10.1.0.3', 'app: a')],
    ],
    ['Pod', 'p2', 'default', [pod('p2', '10.1.0.2', 'app: a'), pod('p2', '10.1.0.1', 'app: b')]],
    ['EndpointSlice', 'slice', 'default', [slice(true), slice(false)]],
    [
      'ServiceEntry',
      'e1',
      'default',
      [
        entry('e1', '2026-01-01T00:00:00Z', `hosts: [x.com], ${ports}, endpoints: [{ address: 192.0.2.1 }]`),
        entry(
          'e1',
          '2026-01-01T00:00:00Z',
          `hosts: [${hostA}], ${ports}, endpoints: [{ address: 192.0.2.1 }]`,
        ),
      ],
    ],
    [
      'ServiceEntry',
      'e2',
      'other',
      [
        entry(
          'e2',
          '2025-01-01T00:00:00Z',
          `hosts: [x.com], ${ports}, endpoints: [{ address: 192.0.2.2 }]`,
          'other',
        ),
        entry(
          'e2',
          '2027-01-01T00:00:00Z',
          `hosts: [x.com], ${ports}, workloadSelector: { labels: { app: a } }`,
          'other',
        ),
      ],
    ],
  ];
  const snapshot = (registry: Registry) => ({
    services: registry.services(),
    seen: ['default', 'other'].map((namespace) => registry.servicesVisibleTo(namespace)),
    endpoints: registry
      .services()
      .flatMap(({ hostname, namespace }) => registry.endpoints(hostname, 80, namespace)),
    ofWorkload: ['10.1.0.1', '192.0.2.1'].map((address) =>
      registry.servicesOfWorkload('default', { app: 'a' }, [address]).map(({ hostname }) => hostname),
    ),
    port: registry.workloadPort('10.1.0.1', 'web'),
  });
  const step = fc.record({ object: fc.nat(universe.length - 1), version: fc.nat(3) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
      const live = liveRegistry();
      const state = new Map<number, string>();
      for (const { object, version } of steps) {
        const [kind, name, namespace, texts] = universe[object] as (typeof universe)[number];
        const text = texts[version];
        if (text === undefined) {
          live.drop(kind, name, namespace);
          state.delete(object);
        } else {
          live.put(text);
          state.set(object, text);
        }
        // Reading now and then, so that there is something to go stale.
        if (version === 0) snapshot(live.registry);
      }
      const texts = [...state].sort(([a], [b]) => a - b).map(([, text]) => text);
      const now = snapshot(live.registry);
      expect(now).toEqual(snapshot(liveRegistry(texts.join('')).registry));
      expect(now).toEqual(snapshot(liveRegistry([...texts].reverse().join('')).registry));
    }),
    { numRuns: 100 },
  );
});
