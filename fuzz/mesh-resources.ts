// What the sidecar and the gateway of a case are given, as two listeners of a static bootstrap that our proxy and
// stock Envoy read alike.
import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { messageToJson } from '../src/api/any.ts';
import type { RouteConfiguration } from '../src/api/gen/envoy/config/route/v3/route_pb.js';
import { RouteConfigurationSchema } from '../src/api/gen/envoy/config/route/v3/route_pb.js';
import type { ProxyNode } from '../src/model/proxy-node.ts';
import { clusters, listeners, routes } from '../src/translate/index.ts';
import { proxyScope } from '../src/translate/scope.ts';
import { configsOfYaml, proxyNode, worldOf } from '../test/support/world.ts';
import type { FuzzRequest } from './generate-request.ts';

export type Place = FuzzRequest['at'];
export const places = ['sidecar', 'gateway'] as const;

const nodes: Readonly<Record<Place, Partial<ProxyNode>>> = {
  sidecar: { workloadCertificates: false, labels: { app: 'client' } },
  gateway: { type: 'router', namespace: 'istio-system', labels: { istio: 'ingressgateway' } },
};
const routeNames: Readonly<Record<Place, string>> = { sidecar: '80', gateway: 'http.80' };

export interface PlaceResources {
  readonly routes: RouteConfiguration;
  /** The connection manager that Istio's clients would meet there, with `routes` inside. */
  readonly connectionManager: JsonObject;
  readonly clusterNames: readonly string[];
}

/** Throws where the config is refused: cases are meant to be valid. */
export function resourcesOf(config: string): Readonly<Record<Place, PlaceResources>> {
  const world = worldOf(configsOfYaml(config));
  const at = (place: Place): PlaceResources => {
    const scope = proxyScope(world, proxyNode(nodes[place]));
    const name = routeNames[place];
    const input = routes.input(world, scope, name);
    if (input === undefined) throw new Error(`no routes ${name}`);
    const built = routes.build(input).message;
    const inline = messageToJson(RouteConfigurationSchema, built) as JsonObject;
    const managers = listeners.names(world, scope).flatMap((listener) => {
      const wanted = listeners.input(world, scope, listener);
      if (wanted === undefined) return [];
      return managersFor(messageToJson(listeners.schema, listeners.build(wanted).message), name);
    });
    const [manager] = managers;
    if (manager === undefined) throw new Error(`no listener has the routes ${name}`);
    const { rds: _rds, accessLog: _accessLog, ...rest } = manager;
    return {
      routes: built,
      connectionManager: { ...rest, routeConfig: inline },
      clusterNames: clusters.names(world, scope),
    };
  };
  return { sidecar: at('sidecar'), gateway: at('gateway') };
}

/** Every connection manager in there that takes its routes from that configuration. */
function managersFor(json: JsonValue, routeName: string): JsonObject[] {
  if (Array.isArray(json)) return json.flatMap((part) => managersFor(part, routeName));
  if (typeof json !== 'object' || json === null) return [];
  const rds = json['rds'];
  if (typeof rds === 'object' && rds !== null && !Array.isArray(rds) && rds['routeConfigName'] === routeName)
    return [json];
  return Object.values(json).flatMap((part) => managersFor(part, routeName));
}

export interface BootstrapPlace {
  readonly port: number;
  readonly connectionManager: JsonObject;
}

/** A listener for each place, and each cluster on an address of its own, which is how the backend knows it. */
export function bootstrapOf(
  listening: readonly BootstrapPlace[],
  clusterAddresses: ReadonlyMap<string, string>,
  backendPort: number,
): JsonObject {
  return {
    staticResources: {
      listeners: listening.map(({ port, connectionManager }) => ({
        name: `at-${port}`,
        address: { socketAddress: { address: '127.0.0.1', portValue: port } },
        filterChains: [
          {
            filters: [
              { name: 'envoy.filters.network.http_connection_manager', typedConfig: connectionManager },
            ],
          },
        ],
      })),
      clusters: [...clusterAddresses].map(([name, address]) => ({
        name,
        type: 'STATIC',
        connectTimeout: '2s',
        loadAssignment: {
          clusterName: name,
          endpoints: [
            {
              lbEndpoints: [
                { endpoint: { address: { socketAddress: { address, portValue: backendPort } } } },
              ],
            },
          ],
        },
      })),
    },
  };
}
