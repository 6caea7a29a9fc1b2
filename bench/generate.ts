// Scenario generate: everything that one proxy is given, made and encoded from nothing, for the shapes of Istio's own
// generation benchmark (its parameters and templates are read from the folder FAIRLEAD_ISTIO_TESTDATA names).
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { toBinary } from '@bufbuild/protobuf';
import type { Config } from '../src/config/config.ts';
import { readText } from '../src/config/reader.ts';
import { proxyScope } from '../src/translate/scope.ts';
import { proxyKinds } from '../test/support/golden.ts';
import { proxyNode, worldOf } from '../test/support/world.ts';
import { fillTemplate } from './go-template.ts';
import type { BenchOptions, Measurement, Scenario } from './scenario.ts';
import { quantile } from './scenario.ts';

export const generate: Scenario = {
  name: 'generate',
  about:
    "all resources of one proxy from nothing, for the shapes of Istio's generation benchmark: ms, MB, KB sent",
  run,
};

interface Shape {
  readonly name: string;
  readonly template: string;
  readonly services: number;
  readonly instances?: number;
  readonly proxyType: string;
  readonly scope?: string;
  readonly onlyType?: string;
}

interface Measured {
  readonly ms: number;
  readonly heapBytes: number;
  /** Of all resources, encoded. */
  readonly sentBytes: number;
  readonly resources: number;
}

async function run({ log, rounds }: BenchOptions): Promise<Measurement> {
  const root = process.env['FAIRLEAD_ISTIO_TESTDATA'];
  if (root === undefined || root === '')
    return { metrics: {}, ratios: {}, missing: ['FAIRLEAD_ISTIO_TESTDATA: the shapes'] };
  const folder = join(root, 'xds');
  const { cases } = JSON.parse(readFileSync(join(folder, 'bench/bench.json'), 'utf8')) as { cases: Shape[] };
  const metrics: Record<string, number> = {};
  const missing: string[] = [];
  for (const shape of cases) {
    const text = fillTemplate(readFileSync(join(folder, shape.template), 'utf8'), {
      '.Services': shape.services,
      '.Instances': shape.instances ?? 0,
    });
    const { configs, diagnostics } = readText(shape.template, text);
    const refused = diagnostics.find(({ severity }) => severity === 'error');
    if (shape.scope !== undefined || shape.onlyType === 'secrets' || refused !== undefined) {
      missing.push(`${shape.name}: ${refused?.message ?? shape.scope ?? 'secrets are not served yet'}`);
      continue;
    }
    const took: number[] = [];
    let last: Measured = { ms: 0, heapBytes: 0, sentBytes: 0, resources: 0 };
    for (let round = 0; round < Math.max(rounds, 3); round += 1) {
      last = measure(configs, shape);
      took.push(last.ms);
    }
    metrics[`${shape.name}_ms`] = quantile(took, 0.5);
    metrics[`${shape.name}_heap_mb`] = last.heapBytes / 1024 / 1024;
    metrics[`${shape.name}_sent_kb`] = last.sentBytes / 1024;
    log(
      `${shape.name}: ${quantile(took, 0.5).toFixed(1)} ms, ${(last.heapBytes / 1024 / 1024).toFixed(1)} MB, ${last.resources} resources, ${(last.sentBytes / 1024).toFixed(0)} KB`,
    );
  }
  return { metrics, ratios: {}, missing };
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** The objects are read already: what is measured begins with the registry. */
function measure(configs: readonly Config[], shape: Shape): Measured {
  collectGarbage();
  const heapBefore = process.memoryUsage().heapUsed;
  const startedMs = performance.now();
  const world = worldOf(configs);
  const scope = proxyScope(
    world,
    proxyNode({
      type: shape.proxyType === 'gateway' ? 'router' : 'sidecar',
      ipAddresses: ['1.1.1.1'],
      labels: { 'istio.io/benchmark': 'true' },
    }),
  );
  let sentBytes = 0;
  const kept: unknown[] = [];
  for (const kind of proxyKinds) {
    for (const name of kind.names(world, scope)) {
      const input = kind.input(world, scope, name);
      if (input === undefined) continue;
      const built = kind.build(input);
      const bytes = toBinary(kind.schema, built.message);
      sentBytes += bytes.length;
      kept.push(built, bytes);
    }
  }
  const ms = performance.now() - startedMs;
  collectGarbage();
  const heapBytes = process.memoryUsage().heapUsed - heapBefore;
  return { ms, heapBytes, sentBytes, resources: kept.length / 2 };
}
