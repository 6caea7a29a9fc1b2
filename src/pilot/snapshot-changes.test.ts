// Tests of the comparison of snapshots.
import { expect, test } from 'vitest';
import type { Encoded, Snapshot } from './resources.ts';
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

test('changesBetween: many who go from the one to the other cost one comparison', () => {
  let reads = 0;
  const entries = snapshotOf('a=1', 'b=1');
  class Counted extends Map<string, Encoded> {
    override get(name: string): Encoded | undefined {
      reads++;
      return super.get(name);
    }
  }
  const before = new Counted(entries);
  const after = snapshotOf('a=2', 'b=1');
  const first = changesBetween(before, after);
  const once = reads;
  for (let index = 0; index < 1000; index++) expect(changesBetween(before, after)).toBe(first);
  expect(once).toBeGreaterThan(0);
  expect(reads).toBe(once);
});
