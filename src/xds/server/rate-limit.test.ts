import { expect, test } from 'vitest';
import { FakeClock } from '../../../test/support/fake-clock.ts';
import { RateLimit, defaultRate } from './rate-limit.ts';

test('RateLimit: a second worth at once, then evenly, refusing who would wait too long (B1.08)', () => {
  const clock = new FakeClock();
  const limit = new RateLimit({ clock, perSecond: 10 });
  let started = 0;
  let refused = 0;
  const admit = (): void =>
    limit.admit(
      () => started++,
      () => refused++,
    );
  for (let count = 0; count < 30; count++) admit();
  expect([started, refused]).toEqual([10, 10]);
  clock.advance(500);
  expect(started).toBe(15);
  clock.advance(5000);
  expect(started).toBe(20);
  admit();
  expect([started, refused]).toEqual([21, 10]);
});

/** 1,000 who come at once, where two a second are let in: how many have started, and how many were refused. */
function crowd(busyShare: () => number) {
  const clock = new FakeClock();
  const limit = new RateLimit({ clock, perSecond: 2, busyShare });
  const counts = { started: 0, refused: 0 };
  for (let count = 0; count < 1000; count++)
    limit.admit(
      () => counts.started++,
      () => counts.refused++,
    );
  return { clock, limit, counts };
}

test('RateLimit: who is too many starts while the process is idle, more at each look (partly B1.08)', () => {
  const { clock, counts } = crowd(() => 0.4);
  expect(counts).toEqual({ started: 2, refused: 0 });
  clock.advance(50);
  expect(counts.started).toBe(2 + 1);
  clock.advance(150);
  expect(counts.started).toBe(2 + 1 + 2 + 4 + 8);
  clock.advance(799);
  // Two more at the rate: one at 500 ms, one later.
  expect(counts.started).toBe(2 + 15 + 16 * 15 + 1);
  expect(counts.refused).toBe(0);
  clock.advance(1);
  expect(counts.started + counts.refused).toBe(1000);
  expect(counts.refused).toBeGreaterThan(700);
});

test('RateLimit: while the process is busy the rate holds, and who is too many is refused after the wait (B1.08)', () => {
  const { clock, counts } = crowd(() => 0.6);
  clock.advance(999);
  expect(counts).toEqual({ started: 3, refused: 0 });
  clock.advance(1);
  expect(counts).toEqual({ started: 4, refused: 996 });
});

test('RateLimit: a busy moment begins again with one', () => {
  const shares = [0, 0, 0, 0, 1, 0, 0];
  const { clock, counts } = crowd(() => shares.shift() ?? 1);
  // The first share is of the time before anybody came.
  clock.advance(150);
  expect(counts.started).toBe(2 + 1 + 2 + 4);
  clock.advance(50);
  expect(counts.started).toBe(2 + 7);
  clock.advance(100);
  expect(counts.started).toBe(2 + 7 + 1 + 2);
});

test('RateLimit: those who wait for idle time are bounded; disposed, they are forgotten', () => {
  const { clock, limit, counts } = crowd(() => 0);
  for (let count = 0; count < 100; count++)
    limit.admit(
      () => counts.started++,
      () => counts.refused++,
    );
  // Two started, two have a time, a thousand wait.
  expect(counts).toEqual({ started: 2, refused: 96 });
  limit.dispose();
  clock.advance(10_000);
  expect(counts).toEqual({ started: 2, refused: 96 });
});

test('RateLimit: dispose forgets those who wait', () => {
  const clock = new FakeClock();
  const limit = new RateLimit({ clock, perSecond: 1 });
  let started = 0;
  const refuse = (): never => {
    throw new Error('nobody is too many');
  };
  limit.admit(() => started++, refuse);
  limit.admit(() => started++, refuse);
  limit.dispose();
  clock.advance(10_000);
  expect(started).toBe(1);
});

test("defaultRate: Istio's formula (B1.08)", () => {
  expect([1, 2, 16, 64].map(defaultRate)).toEqual([20, 25, 95, 100]);
});
