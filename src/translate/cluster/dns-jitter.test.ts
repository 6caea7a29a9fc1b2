import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { DurationSchema } from '@bufbuild/protobuf/wkt';
import { expect, test } from 'vitest';
import { needs } from '../../../test/support/tools.ts';
import { worldAndScope } from '../../../test/support/translated.ts';
import { BootstrapSchema } from '../../api/gen/envoy/config/bootstrap/v3/bootstrap_pb.js';
import type { Cluster } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterSchema } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { clusters } from '../index.ts';

const entry = (resolution: string): string => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: a }
spec: { hosts: [a.com], ports: [{ number: 80, name: http, protocol: HTTP }], resolution: ${resolution} }
`;

function clusterOf(resolution: string): Cluster {
  const { world, scope } = worldAndScope(entry(resolution));
  const input = clusters.input(world, scope, 'outbound|80||a.com');
  if (input === undefined) throw new Error('no cluster');
  return clusters.build(input).message;
}

/** What a reader of the wire finds in the field. */
function jitterOf(cluster: Cluster): unknown {
  const [field] = fromBinary(ClusterSchema, toBinary(ClusterSchema, cluster)).$unknown ?? [];
  return field && { no: field.no, ...fromBinary(DurationSchema, field.data.subarray(1)) };
}

test('dns_jitter: 100 ms for clusters that ask DNS, none for others (C3.03)', () => {
  for (const resolution of ['DNS', 'DNS_ROUND_ROBIN'])
    expect(jitterOf(clusterOf(resolution))).toMatchObject({ no: 58, seconds: 0n, nanos: 100_000_000 });
  expect(jitterOf(clusterOf('NONE'))).toBeUndefined();
});

test.skipIf(needs('envoy'))('dns_jitter: stock Envoy knows the field, and no negative one (C3.03)', () => {
  const directory = mkdtempSync(join(tmpdir(), 'fairlead-jitter-'));
  const verdict = (cluster: Cluster): string => {
    const file = join(directory, 'bootstrap.pb');
    const bootstrap = create(BootstrapSchema, { staticResources: { clusters: [cluster] } });
    writeFileSync(file, toBinary(BootstrapSchema, bootstrap));
    const { stdout, stderr } = spawnSync('envoy', ['--mode', 'validate', '-l', 'error', '-c', file], {
      encoding: 'utf8',
    });
    return `${stdout}${stderr}`;
  };
  try {
    const cluster = clusterOf('DNS');
    expect(verdict(cluster)).toContain("' OK");
    const negative = toBinary(DurationSchema, create(DurationSchema, { seconds: -1n }));
    const [field] = cluster.$unknown ?? [];
    if (field === undefined) throw new Error('no jitter');
    cluster.$unknown = [{ ...field, data: Uint8Array.of(negative.length, ...negative) }];
    expect(verdict(cluster)).toMatch(/Expected positive duration/);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
