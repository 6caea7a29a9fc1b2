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

/** What our proxy does not do yet and says so, by case. */
const refused: Readonly<Record<string, RegExp>> = {
  'route-retries-redirects': /retry_priority: is not supported/,
};

test.each(cases.map((each) => [each.name, each] as const))(
  'compileRoutes: our proxy accepts the case %s',
  (caseName, { header, config }) => {
    const refusal = refused[caseName];
    const world = worldOfYaml(config, header.mesh);
    const scope = proxyScope(world, proxyNode(header.proxy));
    for (const name of routes.names(world, scope)) {
      const input = routes.input(world, scope, name);
      if (input === undefined) throw new Error(`no routes ${name}`);
      const { message } = routes.build(input);
      if (refusal === undefined) expect(compileRoutes(message).name).toBe(name);
      else expect(() => compileRoutes(message)).toThrow(refusal);
    }
  },
);
