// Tests of what is told once.
import { expect, test } from 'vitest';
import { RecentlyTold } from './recently-told.ts';

test('RecentlyTold: the same is news again only after a silence; other things are news at once', () => {
  const told = new RecentlyTold(1000);
  expect([told.isNews('a', 0), told.isNews('a', 900), told.isNews('b', 900), told.isNews('a', 1800)]).toEqual(
    [true, false, true, false],
  );
  expect(told.isNews('a', 2800)).toBe(true);
  for (let index = 0; index < 5000; index++) told.isNews(`x${index}`, 2800);
  expect(told.isNews('a', 2801)).toBe(true);
});
