// A small run of what `npm run fuzz` does at length.
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { needs } from '../test/support/tools.ts';
import { differences } from './differential.ts';
import { foundCases } from './found.ts';
import { randomCase } from './generate.ts';

const ports = { ours: 22100, envoy: 22500, backend: 22991 };
const seeds = 60;

test.skipIf(needs('envoy'))(
  'matchers, our proxy and stock Envoy agree on random meshes, and on all that was found before (C5.02, C5.03, C5.12, C5.17, D4.07)',
  async () => {
    const random = Array.from({ length: seeds }, (_, index) => randomCase(index + 1));
    const found = foundCases(join(import.meta.dirname, 'cases'));
    expect(found.length).toBeGreaterThan(0);
    const all = await differences([...found, ...random], ports);
    expect(all.map(({ name, request, what }) => ({ name, request, what }))).toEqual([]);
  },
);
