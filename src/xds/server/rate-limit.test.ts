import { expect, test } from 'vitest';
import { FakeClock } from '../../../test/support/fake-clock.ts';
import { RateLimit, defaultRate } from './rate-limit.ts';

test('RateLimit: a second worth at once, then evenly, refusing who would wait too long (B1.08)', () => {
  const clock = new FakeClock();
  const limit = new RateLimit({ clock, perSecond: 10 });
  let started = 0;
  const admitted = Array.from({ length: 30 }, () => limit.admit(() => started++));
  expect(started).toBe(10);
  expect(admitted.filter(Boolean)).toHaveLength(20);
  clock.advance(500);
  expect(started).toBe(15);
  clock.advance(5000);
  expect(started).toBe(20);
  expect(limit.admit(() => started++)).toBe(true);
  expect(started).toBe(21);
});

test('RateLimit: dispose forgets those who wait', () => {
  const clock = new FakeClock();
  const limit = new RateLimit({ clock, perSecond: 1 });
  let started = 0;
  limit.admit(() => started++);
  limit.admit(() => started++);
  limit.dispose();
  clock.advance(10_000);
  expect(started).toBe(1);
});

test("defaultRate: Istio's formula (B1.08)", () => {
  expect([1, 2, 16, 64].map(defaultRate)).toEqual([20, 25, 95, 100]);
});
