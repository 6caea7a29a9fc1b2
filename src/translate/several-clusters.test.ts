// One Service in two Kubernetes clusters of a mesh.
import type { JsonObject } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { configsOfYaml, proxyNode, worldOf } from '../../test/support/world.ts';
import { messageToJson } from '../api/any.ts';
import { endpoints, listeners, routes } from './index.ts';
import { proxyScope } from './scope.ts';

const cluster = (address: string, pod: string): string => `
apiVersion: v1
kind: Service
metadata: { name: a }
spec: { clusterIP: ${address}, selector: { app: a }, ports: [{ name: http, port: 80 }, { name: tcp, port: 90 }] }
---
apiVersion: v1
kind: Pod
metadata: { name: a, labels: { app: a } }
spec: { containers: [{ name: app }] }
status: { phase: Running, podIP: ${pod}, conditions: [{ type: Ready, status: 'True' }] }
`;
const entry = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: squat, namespace: evil, creationTimestamp: '2001-01-01T00:00:00Z' }
spec: { hosts: [a.default.svc.cluster.local], addresses: [192.0.2.9], resolution: STATIC, ports: [{ number: 90, name: tcp, protocol: TCP }] }
`;
/** Services of one host of a namespace each, all as old as that but the first. */
const others = ['young', 'b', 'a'].map(
  (namespace) => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: x, namespace: ${namespace}, creationTimestamp: '${namespace === 'young' ? 2003 : 2002}-01-01T00:00:00Z' }
spec: { hosts: [x.com], resolution: NONE, ports: [{ number: 95, name: tcp, protocol: TCP }] }
`,
);
const world = worldOf([
  ...configsOfYaml(others.join('---')),
  ...configsOfYaml(cluster('10.0.0.1', '10.1.0.11')),
  ...configsOfYaml(cluster('10.64.0.1', '10.65.0.11')).map((config) => ({ ...config, clusterId: 'west' })),
  ...configsOfYaml(entry),
]);

const scopeIn = (clusterId: string) => proxyScope(world, proxyNode({ clusterId }));

test('a Service of several clusters has the endpoints of all, before any ServiceEntry; those by age and name (C2.09)', () => {
  expect(world.service('a.default.svc.cluster.local', 'default')?.registry).toBe('Kubernetes');
  expect(world.service('x.com', 'default')?.namespace).toBe('a');
  for (const clusterId of ['Kubernetes', 'west']) {
    const input = endpoints.input(world, scopeIn(clusterId), 'outbound|90||a.default.svc.cluster.local');
    expect(input?.endpoints.map((each) => `${each.address} ${each.clusterId}`)).toEqual([
      '10.1.0.11 Kubernetes',
      '10.65.0.11 west',
    ]);
  }
});

test.each([
  ['Kubernetes', '10.0.0.1'],
  ['west', '10.64.0.1'],
  ['elsewhere', '10.0.0.1'],
])('a proxy of the cluster %s knows it by %s alone', (clusterId, address) => {
  const scope = scopeIn(clusterId);
  expect(listeners.names(world, scope).filter((name) => name.endsWith('_90'))).toEqual([`${address}_90`]);
  const listener = listeners.input(world, scope, `${address}_90`);
  if (listener === undefined) throw new Error('no listener');
  const { additionalAddresses } = messageToJson(
    listeners.schema,
    listeners.build(listener).message,
  ) as JsonObject;
  expect(additionalAddresses).toBeUndefined();
  const table = routes.input(world, scope, '80');
  const [host] = table?.virtualHosts ?? [];
  expect(host?.domains.filter((domain) => domain.startsWith('10.'))).toEqual([address]);
});
