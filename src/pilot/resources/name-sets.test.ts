import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { NameSets } from './name-sets.ts';

test('NameSets: one object for the same names in any order, others for others', () => {
  const sets = new NameSets();
  const set = sets.of(['b', 'a', 'b']);
  expect(set.names).toEqual(['a', 'b']);
  expect(sets.of(new Set(['a', 'b']))).toBe(set);
  // As many names of the same length together.
  const other = sets.of(['a', 'c']);
  expect(other).not.toBe(set);
  expect(other.id).not.toBe(set.id);
  expect(sets.of([]).names).toEqual([]);
  expect(sets.size).toBe(3);
});

test('NameSets: what nobody asks for any more is forgotten, what somebody has is not', async () => {
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;
  const sets = new NameSets();
  const kept = sets.of(['kept']);
  for (let index = 0; index < 1000; index++) sets.of([`gone-${index}`, 'x']);
  expect(sets.size).toBe(1001);
  // Weak references live until the turn ends.
  await new Promise((resolve) => setImmediate(resolve));
  collectGarbage();
  sets.sweep();
  expect(sets.size).toBe(1);
  expect(sets.of(['kept'])).toBe(kept);
});
