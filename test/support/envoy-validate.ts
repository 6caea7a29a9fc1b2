// Stock Envoy's verdict on what one proxy would get: its listeners with their routes inlined, in validate mode.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { messageToJson } from '../../src/api/any.ts';
import { ListenerSchema } from '../../src/api/gen/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '../../src/api/gen/envoy/config/route/v3/route_pb.js';
import { listeners, routes } from '../../src/translate/index.ts';
import type { ProxyScope } from '../../src/translate/resource.ts';
import type { World } from '../../src/translate/world.ts';

/** What Envoy prints of that file, which is written first. A good one ends in `' OK`. */
export function validateInEnvoy(bootstrap: JsonObject, file: string): string {
  writeFileSync(file, JSON.stringify(bootstrap));
  // Through a pipe of the shell: Node's own are sockets, which nobody can open as /dev/stdout.
  const command = `envoy --mode validate -c '${file}' -l error 2>&1 | cat`;
  return spawnSync('sh', ['-c', command], { encoding: 'utf8' }).stdout;
}

/** A bootstrap with the listeners of one proxy, and their routes within them. Throws where one cannot be built. */
export function envoyBootstrapOf(world: World, scope: ProxyScope): JsonObject {
  const routesOf = (name: string): JsonValue => {
    const input = routes.input(world, scope, name);
    if (input === undefined) throw new Error(`no routes ${name}`);
    return messageToJson(RouteConfigurationSchema, routes.build(input).message);
  };
  const staticListeners = listeners.names(world, scope).map((name) => {
    const input = listeners.input(world, scope, name);
    if (input === undefined) throw new Error(`no listener ${name}`);
    return withInlineRoutes(messageToJson(ListenerSchema, listeners.build(input).message), routesOf);
  });
  return {
    node: { id: 'any', cluster: 'any' },
    dynamicResources: {
      adsConfig: {
        apiType: 'GRPC',
        transportApiVersion: 'V3',
        grpcServices: [{ envoyGrpc: { clusterName: 'sds-grpc' } }],
      },
    },
    staticResources: { listeners: staticListeners, clusters: [agentCluster] },
  };
}

/** The agent's, which every bootstrap has: certificates come from there. */
const agentCluster: JsonObject = {
  name: 'sds-grpc',
  typedExtensionProtocolOptions: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      explicitHttpConfig: { http2ProtocolOptions: {} },
    },
  },
  loadAssignment: {
    clusterName: 'sds-grpc',
    endpoints: [{ lbEndpoints: [{ endpoint: { address: { pipe: { path: './socket' } } } }] }],
  },
};

function withInlineRoutes(json: JsonValue, routesOf: (name: string) => JsonValue): JsonValue {
  if (Array.isArray(json)) return json.map((part) => withInlineRoutes(part, routesOf));
  if (typeof json !== 'object' || json === null) return json;
  const object: JsonObject = {};
  for (const [key, value] of Object.entries(json)) {
    if (key === 'rds')
      object['routeConfig'] = routesOf((value as { routeConfigName: string }).routeConfigName);
    else object[key] = withInlineRoutes(value, routesOf);
  }
  return object;
}
