// The pods that YAML asks for, without running them.
import { expect, test } from 'vitest';
import { configsOfYaml } from '../../test/support/world.ts';
import { ConfigStore } from '../config/store.ts';
import type { PlannedMesh } from './planned-pods.ts';
import { plannedPods } from './planned-pods.ts';

function planned(yaml: string): PlannedMesh {
  const store = new ConfigStore();
  store.apply([{ source: 'in.yaml', upserts: configsOfYaml(yaml), deletes: [] }]);
  let count = 0;
  return plannedPods(store, {
    interception: 'redirect',
    rootNamespace: 'istio-system',
    domainSuffix: 'cluster.local',
    trustDomain: 'cluster.local',
    httpProxyPort: 15080,
    gateway: { hostAddresses: [], hostPort: 8080 },
    allocate: () => ({ podIp: `10.0.0.${++count}`, appAddress: '' }),
  });
}

const names = ({ pods }: PlannedMesh): readonly string[] =>
  pods.map(({ config, identity }) => `${config.name} ${identity?.type ?? 'no proxy'}`);

const deployment = `apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  replicas: 2
  template: { metadata: { labels: { app: web } }, spec: { containers: [{ name: app, image: app }] } }`;

test('replicas are numbered; a namespace that is not there is taken to be injected; a gateway comes along', () => {
  const mesh = planned(deployment);
  expect(names(mesh)).toEqual(['web-0 sidecar', 'web-1 sidecar', 'istio-ingressgateway-0 router']);
  expect(mesh.assumedNamespaces).toEqual(['default']);
  expect(mesh.builtIn.map(({ kind, name }) => `${kind} ${name}`)).toEqual(['Service istio-ingressgateway']);
  expect(mesh.pods[0]?.config.labels).toEqual({ app: 'web', 'security.istio.io/tlsMode': 'istio' });
});

test('a Namespace decides about its pods', () => {
  const namespace = '---\napiVersion: v1\nkind: Namespace\nmetadata: { name: default }';
  const mesh = planned(`${deployment}\n${namespace}`);
  expect(names(mesh).slice(0, 2)).toEqual(['web-0 no proxy', 'web-1 no proxy']);
  expect(mesh.assumedNamespaces).toEqual([]);
});

test('Pods that run already stand for their Deployment, and their containers say whether they have a proxy', () => {
  const pod = (name: string, container: string): string => `---
apiVersion: v1
kind: Pod
metadata:
  name: ${name}
  labels: { app: web, pod-template-hash: abc }
  ownerReferences: [{ apiVersion: apps/v1, kind: ReplicaSet, name: web-abc, uid: u, controller: true }]
spec: { containers: [{ name: app }, { name: ${container} }] }
status: { phase: Running, podIP: 10.9.0.1 }
---
apiVersion: v1
kind: Namespace
metadata: { name: default }`;
  const mesh = planned(`${deployment}\n${pod('web-abc-x', 'istio-proxy')}`);
  expect(names(mesh)).toEqual(['istio-ingressgateway-0 router', 'web-abc-x sidecar']);
  expect(mesh.pods[1]?.workloadName).toBe('web');
  expect(names(planned(`${deployment}\n${pod('web-abc-x', 'other')}`))[1]).toBe('web-abc-x no proxy');
});
