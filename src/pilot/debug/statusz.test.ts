import { expect, test } from 'vitest';
import { configsOfYaml } from '../../../test/support/world.ts';
import { Graph } from '../../collections/index.ts';
import { configKey } from '../../config/config.ts';
import { defaultMeshConfig } from '../../config/mesh-config.ts';
import type { PilotServer } from '../pilot.ts';
import { PilotWorld } from '../world/world.ts';
import { debugPages } from './pages.ts';

test('/debug/statusz: statuses by kind, namespace and name, as Kubernetes writes them (partly C14.02)', () => {
  const graph = new Graph();
  const world = new PilotWorld(graph, defaultMeshConfig);
  const objects = configsOfYaml(`
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: istio, generation: 3}
spec: {controllerName: istio.io/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: front, namespace: istio-system}
spec: {gatewayClassName: istio, listeners: [{name: http, port: 80, protocol: HTTP}]}
`);
  world.apply(objects.map((after) => ({ key: configKey(after), after })));
  const page = debugPages.find(({ path }) => path === '/debug/statusz');
  // The page asks nothing else of a pilot.
  const pilot = { graph, world } as unknown as PilotServer;
  const get = (query: string): unknown =>
    JSON.parse(page?.answer(pilot, new URLSearchParams(query)).body ?? '');
  expect(get('kind=GatewayClass')).toEqual([
    {
      apiVersion: 'gateway.networking.k8s.io/v1',
      kind: 'GatewayClass',
      metadata: { namespace: '', name: 'istio' },
      status: {
        conditions: [
          {
            type: 'Accepted',
            status: 'True',
            reason: 'Accepted',
            message: 'Handled by Istio controller',
            observedGeneration: 3,
          },
        ],
      },
    },
  ]);
  expect(get('')).toHaveLength(2);
  // No address: a proxy would have to be deployed for it.
  expect(JSON.stringify(get('kind=Gateway&name=front'))).toContain(
    'hostname \\"front-istio.istio-system.svc.cluster.local\\" not found',
  );
  expect(get('namespace=nobody')).toEqual([]);
});
