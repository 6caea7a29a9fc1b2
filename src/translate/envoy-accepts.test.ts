// Stock Envoy's verdict on what we make: every golden case with listeners or routes, the routes inlined, in validate mode.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { afterAll, expect, test } from 'vitest';
import { messageToJson } from '../api/any.ts';
import { ListenerSchema } from '../api/gen/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '../api/gen/envoy/config/route/v3/route_pb.js';
import type { GoldenCase } from '../../test/support/golden.ts';
import { readGoldenCases } from '../../test/support/golden.ts';
import { needs } from '../../test/support/tools.ts';
import { proxyNode, worldOfYaml } from '../../test/support/world.ts';
import { listeners, routes } from './index.ts';
import { proxyScope } from './scope.ts';

const directory = mkdtempSync(join(tmpdir(), 'fairlead-envoy-'));
afterAll(() => rmSync(directory, { recursive: true }));

const cases = readGoldenCases(join(import.meta.dirname, '../../test/golden')).filter(
  ({ header }) => header.kinds.includes('listeners') || header.kinds.includes('routes'),
);

for (const golden of cases) {
  test.skipIf(needs('envoy'))(`listeners, routes: stock Envoy accepts the case ${golden.name}`, () => {
    const file = join(directory, `${golden.name}.json`);
    writeFileSync(file, JSON.stringify(bootstrapOf(golden)));
    // Through a pipe of the shell: Node's own are sockets, which nobody can open as /dev/stdout.
    const command = `envoy --mode validate -c '${file}' -l error 2>&1 | cat`;
    const run = spawnSync('sh', ['-c', command], { encoding: 'utf8' });
    expect(run.stdout).toContain("' OK");
  });
}

function bootstrapOf({ header, config }: GoldenCase): JsonObject {
  const world = worldOfYaml(config, header.mesh);
  const scope = proxyScope(world, proxyNode(header.proxy));
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
