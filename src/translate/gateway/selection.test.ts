import { expect, test } from 'vitest';
import { gatewayPod } from '../../../test/support/translated.ts';
import { configsOfYaml, proxyNode, worldOf } from '../../../test/support/world.ts';
import type { ProxyNode } from '../../model/proxy-node.ts';
import { proxyScope } from '../scope.ts';
import { mergedGateways } from './servers.ts';

const services = `
apiVersion: v1
kind: Service
metadata: { name: a, namespace: istio-system }
spec: { clusterIP: 10.0.0.1, selector: { istio: ingressgateway }, ports: [{ name: http, port: 80, targetPort: 8080 }] }
---
apiVersion: v1
kind: Service
metadata: { name: b, namespace: istio-system }
spec: { clusterIP: 10.0.0.2, selector: { istio: ingressgateway }, ports: [{ name: http, port: 80, targetPort: 9090 }, { name: more, port: 82 }] }
---
apiVersion: v1
kind: Service
metadata: { name: not-mine, namespace: istio-system }
spec: { clusterIP: 10.0.0.3, selector: { app: other }, ports: [{ name: http, port: 83 }] }
`;

/** A Gateway as a conversion of the Gateway API makes it: ports 80 and 83. */
const gateway = (name: string, namespace: string, annotations: string, selector = ''): string => `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: ${name}, namespace: ${namespace}, annotations: ${annotations} }
spec:
  ${selector}
  servers:
    - { port: { number: 80, name: a, protocol: HTTP }, hosts: ['*'] }
    - { port: { number: 83, name: b, protocol: HTTP }, hosts: ['*'] }
`;
const named = (...hosts: readonly string[]): string =>
  `internal.istio.io/gateway-service: '${hosts.map((host) => `${host}.istio-system.svc.cluster.local`).join(',')}'`;

function listening(yaml: string, proxy: Partial<ProxyNode> = gatewayPod): readonly string[] {
  const world = worldOf(configsOfYaml(`${services}\n---\n${yaml}`));
  const { listeners } = mergedGateways(world, proxyScope(world, proxyNode(proxy)));
  return listeners.map(
    ({ listenerPort, servers }) => `${listenerPort} ${servers.map((server) => server.gateway).join(' ')}`,
  );
}

test('selectedGateways: one that names Services is for their workloads, and listens where all of them lead (C7.02)', () => {
  expect(listening(gateway('gw', 'istio-system', `{ ${named('a')} }`))).toEqual(['8080 istio-system/gw']);
  expect(listening(gateway('gw', 'istio-system', `{ ${named('b', 'a')} }`))).toEqual([
    '8080 istio-system/gw',
    '9090 istio-system/gw',
  ]);
});

test('selectedGateways: Services of others, and those of another namespace than the Gateway’s, do not count', () => {
  expect(listening(gateway('gw', 'istio-system', `{ ${named('not-mine')} }`))).toEqual([]);
  expect(listening(gateway('gw', 'default', `{ ${named('a')} }`))).toEqual([]);
  const parent = 'internal.istio.io/parent-namespace: istio-system';
  expect(listening(gateway('gw', 'default', `{ ${named('a')}, ${parent} }`))).toEqual(['8080 default/gw']);
  expect(listening(gateway('gw', 'istio-system', `{ ${named('a')} }`), { type: 'router' })).toEqual([]);
});

test('selectedGateways: named Services are instead of a selector, and an absent selector is everybody’s (C7.01)', () => {
  const other = 'selector: { istio: other }';
  expect(listening(gateway('gw', 'istio-system', `{ ${named('a')} }`, other))).toEqual([
    '8080 istio-system/gw',
  ]);
  expect(listening(gateway('gw', 'default', '{}', other))).toEqual([]);
  expect(listening(gateway('gw', 'default', '{}'))).toEqual(['8080 default/gw', '83 default/gw']);
});

test('selectedGateways: beside a Gateway with a proxy of its own those of other namespaces do not stand', () => {
  const managed = `{ ${named('a')}, internal.istio.io/gateway-semantics: gateway, internal.istio.io/service-account-name: sa }`;
  const yaml = [
    gateway('api', 'istio-system', managed),
    gateway('near', 'istio-system', '{}'),
    gateway('far', 'default', '{}'),
  ].join('\n---\n');
  expect(listening(yaml)).toEqual(['8080 istio-system/api istio-system/near', '83 istio-system/near']);
  const unmanaged = managed.replace(': sa }', ": '' }");
  expect(listening(yaml.replace(managed, unmanaged))).toEqual([
    '8080 istio-system/api default/far istio-system/near',
    '83 default/far istio-system/near',
  ]);
});
