// A small run of what `npm run fuzz -- connections` does at length.
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { needs } from '../test/support/tools.ts';
import { connectionDifferences, randomConnectionCase } from './connections/differential.ts';
import { foundConnectionCases } from './connections/found.ts';

const places = { address: '127.114.0.1', firstPort: 23_100, backendPort: 23_001, adminPort: 23_002 };
const seeds = 10;

test.skipIf(needs('envoy', 'openssl'))(
  'matchers and stock Envoy choose the same listener, chain, route and cluster for random connections, and for all that was found before (D2.03, D2.04, D2.05)',
  async () => {
    const random = Array.from({ length: seeds }, (_, index) => randomConnectionCase(index + 1));
    const found = foundConnectionCases(join(import.meta.dirname, 'cases/connections'));
    expect(found.length).toBeGreaterThan(0);
    expect(await connectionDifferences([...found, ...random], places)).toEqual([]);
  },
  60_000,
);
