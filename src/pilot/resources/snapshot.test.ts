import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Encoded } from './snapshot.ts';
import type { Snapshot } from './snapshot.ts';
import { changedNames, layerSnapshots } from './snapshot.ts';

const pool: readonly Encoded[] = Array.from({ length: 3 }, (_, index) => ({
  name: 'x',
  field: new Uint8Array([index]),
  version: String(index),
  facts: { clusters: [] },
  provenance: [],
}));

const layer = fc
  .array(fc.tuple(fc.constantFrom('a', 'b', 'c', 'd'), fc.constantFrom(...pool)), { maxLength: 4 })
  .map((entries): Snapshot => new Map(entries));

/** The same by the book: what stands in an earlier layer counts. */
function merged(layers: readonly Snapshot[]): ReadonlyMap<string, Encoded> {
  return new Map(layers.toReversed().flatMap((each) => [...each]));
}

test('layerSnapshots: the first layer that has a name counts, in every way to read it', () => {
  fc.assert(
    fc.property(fc.array(layer, { maxLength: 3 }), (layers) => {
      const snapshot = layerSnapshots(layers);
      const expected = merged(layers);
      const sorted = (entries: Iterable<readonly [string, Encoded]>) =>
        [...entries].sort(([a], [b]) => (a < b ? -1 : 1));
      expect(sorted(snapshot)).toEqual(sorted(expected));
      expect([...snapshot.keys()].sort()).toEqual([...expected.keys()].sort());
      expect([...snapshot.values()]).toHaveLength(expected.size);
      expect(snapshot.size).toBe(expected.size);
      for (const name of ['a', 'b', 'c', 'd']) {
        expect(snapshot.get(name)).toBe(expected.get(name));
        expect(snapshot.has(name)).toBe(expected.has(name));
      }
      const seen: string[] = [];
      snapshot.forEach((_encoded, name) => void seen.push(name));
      expect(seen).toEqual([...snapshot.keys()]);
      expect(layerSnapshots(layers)).toBe(snapshot);
    }),
  );
});

test('changedNames: what differs, whichever layers two snapshots share', () => {
  fc.assert(
    fc.property(layer, layer, layer, layer, fc.nat(2), (own, base, otherOwn, otherBase, shared) => {
      const before = layerSnapshots([own, base]);
      const after = layerSnapshots([shared === 1 ? own : otherOwn, shared === 2 ? base : otherBase]);
      const names = ['a', 'b', 'c', 'd'].filter((name) => before.get(name) !== after.get(name));
      expect([...changedNames(before, after)].sort()).toEqual(names);
      expect(changedNames(before, before)).toEqual([]);
      // Asked again it is the same list, as a thousand proxies ask.
      expect([...changedNames(before, after)].sort()).toEqual(names);
    }),
  );
});
