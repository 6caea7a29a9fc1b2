// Everything that we make for gRPC applications, of every configuration that stands in the repository, is taken by the
// library's own decoder: one resource that it refused would keep an application from all that comes with it.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { readGoldenCases } from '../../../test/support/golden.ts';
import { grpcVerdict } from '../../../test/support/grpc-verdict.ts';
import { configsOfYaml, proxyNode, worldOf } from '../../../test/support/world.ts';
import { RouteConfigurationSchema } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import type { Config } from '../../config/config.ts';
import type { MeshConfig } from '../../config/mesh-config.ts';
import { factsOf } from '../../pilot/resources/resource-facts.ts';
import { endpoints, grpcClusters, grpcListeners, grpcRoutes, routes } from '../index.ts';
import { proxyScope } from '../scope.ts';
import { serverListenerPrefix } from './names.ts';

const root = join(import.meta.dirname, '../../..');

interface Verdicts {
  readonly resources: number;
  /** `name: reason` */
  readonly refused: readonly string[];
}

/** Listeners of all that can be dialled, their routes, and the clusters and endpoints that these name. */
function verdictsOf(configs: readonly Config[], mesh: Partial<MeshConfig> = {}): Verdicts {
  const world = worldOf(configs, mesh);
  const refused: string[] = [];
  let resources = 0;
  const judge = (name: string, verdict: string | undefined): void => {
    resources++;
    if (verdict !== undefined) refused.push(`${name}: ${verdict}`);
  };
  for (const namespace of ['default', 'other']) {
    const scope = proxyScope(
      world,
      proxyNode({ generator: 'grpc', namespace, labels: { app: 'reviews', version: 'v1' } }),
    );
    const servers = [80, 8080, 9080].map((port) => `${serverListenerPrefix}0.0.0.0:${port}`);
    for (const name of [...grpcListeners.names(world, scope), ...servers]) {
      const input = grpcListeners.input(world, scope, name);
      if (input !== undefined)
        judge(name, grpcVerdict(grpcListeners.schema, grpcListeners.build(input).message));
    }
    const clusters = new Set(grpcClusters.names(world, scope));
    for (const name of grpcRoutes.names(world, scope)) {
      const input = grpcRoutes.input(world, scope, name);
      if (input === undefined) continue;
      const { message } = grpcRoutes.build(input);
      judge(name, grpcVerdict(grpcRoutes.schema, message));
      for (const cluster of factsOf(message).clusters) clusters.add(cluster);
    }
    for (const name of clusters) {
      const cluster = grpcClusters.input(world, scope, name);
      if (cluster !== undefined)
        judge(name, grpcVerdict(grpcClusters.schema, grpcClusters.build(cluster).message));
      const assignment = endpoints.input(world, scope, name);
      if (assignment !== undefined)
        judge(name, grpcVerdict(endpoints.schema, endpoints.build(assignment).message));
    }
  }
  return { resources, refused };
}

describe('grpc kinds', () => {
  test('grpcVerdict: the decoder does refuse: routes for proxies among them (partly B5.09)', () => {
    const world = worldOf(
      configsOfYaml(`
apiVersion: v1
kind: Service
metadata: { name: a, namespace: default }
spec: { clusterIP: 10.0.0.1, ports: [{ name: http, port: 80 }] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: a, namespace: default }
spec: { hosts: [a], http: [{ redirect: { uri: /b } }] }
`),
    );
    const input = routes.input(world, proxyScope(world, proxyNode()), '80');
    if (input === undefined) throw new Error('no routes');
    expect(grpcVerdict(routes.schema, routes.build(input).message)).toContain('unsupported action');
    expect(grpcVerdict(RouteConfigurationSchema, create(RouteConfigurationSchema, { name: 'a' }))).toBe(
      undefined,
    );
  });

  test.each(readGoldenCases(join(root, 'test/golden')).map((each) => [each.name, each] as const))(
    'grpc kinds: what the golden case %s would give an application is accepted (B5.09)',
    (_name, { header, config }) => {
      expect(verdictsOf(configsOfYaml(config), header.mesh).refused).toEqual([]);
    },
  );

  test('grpc kinds: what Bookinfo and its routes would give an application is accepted (B5.09)', () => {
    const folder = join(root, 'samples/bookinfo');
    const base = readFileSync(join(folder, 'bookinfo.yaml'), 'utf8');
    let resources = 0;
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) =>
      file.endsWith('.yaml'),
    );
    for (const file of files) {
      const own = file === 'bookinfo.yaml' ? [] : configsOfYaml(readFileSync(join(folder, file), 'utf8'));
      const verdicts = verdictsOf([...configsOfYaml(base), ...own]);
      expect({ file, refused: verdicts.refused }).toEqual({ file, refused: [] });
      resources += verdicts.resources;
    }
    expect(resources).toBeGreaterThan(100);
  });
});
