// Stock Envoy's verdict on what we make: every golden case with listeners or routes, the routes inlined, in validate mode.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { envoyBootstrapOf, validateInEnvoy } from '../../test/support/envoy-validate.ts';
import { readGoldenCases } from '../../test/support/golden.ts';
import { needs } from '../../test/support/tools.ts';
import { proxyNode, worldOfYaml } from '../../test/support/world.ts';
import { proxyScope } from './scope.ts';

const directory = mkdtempSync(join(tmpdir(), 'fairlead-envoy-'));
afterAll(() => rmSync(directory, { recursive: true }));

const cases = readGoldenCases(join(import.meta.dirname, '../../test/golden')).filter(
  ({ header }) => header.kinds.includes('listeners') || header.kinds.includes('routes'),
);

for (const { name, header, config } of cases) {
  test.skipIf(needs('envoy'))(`listeners, routes: stock Envoy accepts the case ${name}`, () => {
    const world = worldOfYaml(config, header.mesh);
    const bootstrap = envoyBootstrapOf(world, proxyScope(world, proxyNode(header.proxy)));
    expect(validateInEnvoy(bootstrap, join(directory, `${name}.json`))).toContain("' OK");
  });
}
