// One stream may use the thread that all share for a while, and then for a part of the time.
import { expect, test } from 'vitest';
import { FakeClock } from '../../../test/support/fake-clock.ts';
import { WorkBudget } from './work-budget.ts';

function budgetOf(clock: FakeClock) {
  const calls: string[] = [];
  const budget = new WorkBudget(
    clock,
    () => void calls.push('pause'),
    () => void calls.push('resume'),
  );
  return { budget, calls };
}

test('WorkBudget: after 20 ms others have a turn, and nothing more is waited for', () => {
  const clock = new FakeClock();
  const { budget, calls } = budgetOf(clock);
  budget.run(() => clock.advance(15));
  expect(calls).toEqual([]);
  budget.run(() => clock.advance(10));
  expect(calls).toEqual(['pause']);
  expect(budget.isResting).toBe(true);
  clock.advance(0);
  expect(calls).toEqual(['pause', 'resume']);
  expect(budget.isResting).toBe(false);
});

test('WorkBudget: who works without end works a quarter of the time, after its first second (traps 17)', () => {
  const clock = new FakeClock();
  const { budget, calls } = budgetOf(clock);
  let worked = 0;
  for (let slice = 0; slice < 12_000; slice++) {
    if (budget.isResting) clock.advance(5);
    else {
      budget.run(() => clock.advance(5));
      worked += 5;
    }
  }
  expect(clock.monotonicMs()).toBe(60_000);
  // 1 s that was saved up, and a quarter of a minute.
  expect(worked).toBeGreaterThan(15_000);
  expect(worked).toBeLessThan(16_500);
  expect(calls.filter((each) => each === 'pause').length).toBeGreaterThan(100);
});

test('WorkBudget: time without work saves up a second, not more', () => {
  const clock = new FakeClock();
  const { budget } = budgetOf(clock);
  clock.advance(3_600_000);
  budget.run(() => clock.advance(2000));
  // 1 s of work too much: 4 s of rest.
  clock.advance(1900);
  expect(budget.isResting).toBe(true);
  clock.advance(4100);
  expect(budget.isResting).toBe(false);
});

test('WorkBudget: work that throws is counted; a stream that is over is not resumed', () => {
  const clock = new FakeClock();
  const { budget, calls } = budgetOf(clock);
  const fails = (): void => {
    clock.advance(30);
    throw new Error('no');
  };
  expect(() => budget.run(fails)).toThrow('no');
  expect(calls).toEqual(['pause']);
  budget.dispose();
  clock.advance(10_000);
  expect(calls).toEqual(['pause']);
});
