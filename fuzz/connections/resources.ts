// What one proxy of a mesh is sent, as far as connections are concerned.
import type { Listener } from '../../src/api/gen/envoy/config/listener/v3/listener_pb.js';
import type { RouteConfiguration } from '../../src/api/gen/envoy/config/route/v3/route_pb.js';
import type { ProxyNode } from '../../src/model/proxy-node.ts';
import { clusters, listeners, routes } from '../../src/translate/index.ts';
import { proxyScope } from '../../src/translate/scope.ts';
import { configsOfYaml, proxyNode, worldOf } from '../../test/support/world.ts';

export type ProxyPlace = 'sidecar' | 'gateway';

export interface ProxyListeners {
  readonly place: ProxyPlace;
  readonly listeners: readonly Listener[];
  readonly routes: ReadonlyMap<string, RouteConfiguration>;
  readonly clusterNames: readonly string[];
}

const nodes: Readonly<Record<ProxyPlace, Partial<ProxyNode>>> = {
  sidecar: { labels: { app: 'a', version: 'v1' }, ipAddresses: ['10.1.0.1'] },
  gateway: { type: 'router', namespace: 'istio-system', labels: { istio: 'ingressgateway' } },
};

/** Throws where the config is refused: cases are meant to be valid. */
export function proxyListeners(config: string, place: ProxyPlace): ProxyListeners {
  const world = worldOf(configsOfYaml(config));
  const scope = proxyScope(world, proxyNode(nodes[place]));
  return {
    place,
    listeners: listeners.names(world, scope).flatMap((name) => {
      const input = listeners.input(world, scope, name);
      return input === undefined ? [] : [listeners.build(input).message];
    }),
    routes: new Map(
      routes.names(world, scope).flatMap((name) => {
        const input = routes.input(world, scope, name);
        return input === undefined ? [] : [[name, routes.build(input).message] as const];
      }),
    ),
    clusterNames: clusters.names(world, scope),
  };
}
