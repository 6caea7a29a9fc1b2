import { expect, test } from 'vitest';
import type { Encoded, Snapshot } from '../resources/snapshot.ts';
import { areProvided } from './provided.ts';

function snapshot(...resources: readonly (readonly [name: string, endpointsName?: string])[]): Snapshot {
  const encoded = resources.map(([name, endpointsName]): [string, Encoded] => [
    name,
    {
      name,
      field: new Uint8Array(),
      version: '',
      facts: { clusters: [], ...(endpointsName === undefined ? {} : { endpointsName }) },
      provenance: [],
    },
  ]);
  return new Map(encoded);
}

test('areProvided: clusters that ask for endpoints have them, under the name that they ask for', () => {
  const clusters = snapshot(['a', 'a'], ['b', 'endpoints of b'], ['static']);
  const all = snapshot(['a'], ['endpoints of b'], ['more']);
  expect(areProvided(clusters, all)).toBe(true);
  expect(areProvided(clusters, snapshot(['a'], ['b']))).toBe(false);
  expect(areProvided(clusters, all)).toBe(true);
  expect(areProvided(snapshot(['c', 'c']), all)).toBe(false);
  expect(areProvided(snapshot(['static']), snapshot())).toBe(true);
});
