// Our proxy's verdict on what our control plane makes: the routes of every golden case compile.
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { compileRoutes } from '../src/proxy/router/compile.ts';
import { routes } from '../src/translate/index.ts';
import { proxyScope } from '../src/translate/scope.ts';
import { readGoldenCases } from './support/golden.ts';
import { proxyNode, worldOfYaml } from './support/world.ts';

const cases = readGoldenCases(join(import.meta.dirname, 'golden')).filter(
  ({ header }) => header.kinds.includes('listeners') || header.kinds.includes('routes'),
);

test.each(cases.map((each) => [each.name, each] as const))(
  'compileRoutes: our proxy accepts the case %s',
  (_name, { header, config }) => {
    const world = worldOfYaml(config, header.mesh);
    const scope = proxyScope(world, proxyNode(header.proxy));
    for (const name of routes.names(world, scope)) {
      const input = routes.input(world, scope, name);
      if (input === undefined) throw new Error(`no routes ${name}`);
      expect(compileRoutes(routes.build(input).message).name).toBe(name);
    }
  },
);
