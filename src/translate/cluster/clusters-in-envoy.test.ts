import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JsonValue } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { readGoldenCases } from '../../../test/support/golden.ts';
import { needs } from '../../../test/support/tools.ts';
import { proxyNode, worldOfYaml } from '../../../test/support/world.ts';
import { messageToJson } from '../../api/any.ts';
import { clusters, endpoints } from '../index.ts';
import { proxyScope } from '../scope.ts';

const goldenDirectory = join(import.meta.dirname, '../../../test/golden');

test.skipIf(needs('envoy'))('clusters, endpoints: stock Envoy takes what every golden case builds', () => {
  const staticClusters: JsonValue[] = [];
  for (const { name: caseName, header, config } of readGoldenCases(goldenDirectory)) {
    if (!header.kinds.some((kind) => kind === 'clusters' || kind === 'endpoints')) continue;
    const world = worldOfYaml(config, header.mesh);
    const scope = proxyScope(world, proxyNode(header.proxy));
    for (const name of clusters.names(world, scope)) {
      const input = clusters.input(world, scope, name);
      if (input === undefined) continue;
      const json = messageToJson(clusters.schema, clusters.build(input).message);
      staticClusters.push({ ...(json as object), name: `${caseName}/${name}` });
    }
    for (const name of endpoints.names(world, scope)) {
      const input = endpoints.input(world, scope, name);
      if (input === undefined) continue;
      const loadAssignment = messageToJson(endpoints.schema, endpoints.build(input).message);
      staticClusters.push({ name: `${caseName}/eds/${name}`, type: 'STATIC', loadAssignment });
    }
  }
  expect(staticClusters.length).toBeGreaterThan(30);
  expect(validateInEnvoy(staticClusters)).toBe('');
});

/** Empty, or what Envoy says against it. */
function validateInEnvoy(staticClusters: readonly JsonValue[]): string {
  const directory = mkdtempSync(join(tmpdir(), 'fairlead-validate-'));
  try {
    const file = join(directory, 'bootstrap.json');
    const grpc = { envoyGrpc: { clusterName: 'xds-grpc' } };
    const xds = { name: 'xds-grpc', type: 'STATIC', loadAssignment: { clusterName: 'xds-grpc' } };
    const bootstrap = {
      node: { id: 'test', cluster: 'test' },
      dynamicResources: { adsConfig: { apiType: 'GRPC', transportApiVersion: 'V3', grpcServices: [grpc] } },
      staticResources: { clusters: [xds, ...staticClusters] },
    };
    writeFileSync(file, JSON.stringify(bootstrap));
    const result = spawnSync('envoy', ['--mode', 'validate', '-l', 'error', '-c', file], {
      encoding: 'utf8',
    });
    // Envoy repeats the whole file behind its complaint.
    return result.status === 0 ? '' : `${result.stdout}${result.stderr}`.slice(0, 1000);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
