// Tests of the comparison of snapshots.
import { expect, test } from 'vitest';
import type { Encoded, Snapshot } from './snapshot.ts';
import { changesBetween } from './snapshot-changes.ts';

function snapshotOf(...texts: readonly string[]): Snapshot {
  return new Map(
    texts.map((text): [string, Encoded] => {
      const [name = '', version = ''] = text.split('=');
      return [name, { name, version, field: Buffer.from(version), facts: { clusters: [] }, provenance: [] }];
    }),
  );
}

test('changesBetween: what is new, another or gone; equal content in another object is the same (B3.09)', () => {
  const before = snapshotOf('a=1', 'b=1', 'd=1', 'c=1');
  expect(changesBetween(before, snapshotOf('e=1', 'a=1', 'b=2'))).toEqual({
    changed: ['e', 'b'],
    removed: ['c', 'd'],
  });
  expect(changesBetween(before, snapshotOf('a=1', 'b=1', 'c=1', 'd=1'))).toEqual({
    changed: [],
    removed: [],
  });
  expect(changesBetween(before, before)).toEqual({ changed: [], removed: [] });
});

test('changesBetween: many who go from the one to the other pay for what changed, not for what there is', () => {
  let reads = 0;
  class Counted extends Map<string, Encoded> {
    override get(name: string): Encoded | undefined {
      reads++;
      return super.get(name);
    }
  }
  const texts = Array.from({ length: 1000 }, (_, index) => `n${index}=1`);
  const before = new Counted(snapshotOf(...texts));
  const after = snapshotOf(...texts.slice(1), 'n0=2');
  // The same objects but for the one that changed.
  for (const name of before.keys())
    if (name !== 'n0') (after as Map<string, Encoded>).set(name, before.get(name) as Encoded);
  expect(changesBetween(before, after)).toEqual({ changed: ['n0'], removed: [] });
  reads = 0;
  for (let index = 0; index < 1000; index++) changesBetween(before, after);
  expect(reads).toBeLessThanOrEqual(1000);
});
