import { expect, test } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { ProbeRunner } from './probe.ts';

/** Moves the clock and lets the answers of checks arrive. */
async function pass(clock: FakeClock, ms: number): Promise<void> {
  for (let passedMs = 0; passedMs < ms; passedMs += 250) {
    clock.advance(250);
    await Promise.resolve();
    await Promise.resolve();
  }
}

test('ProbeRunner: asks often for ten seconds, then at the pace of its period', async () => {
  const clock = new FakeClock();
  let asked = 0;
  const runner = new ProbeRunner(
    { periodSeconds: 5 },
    async () => {
      asked += 1;
      return false;
    },
    clock,
    () => {},
  );
  runner.start();
  await pass(clock, 10_000);
  expect(asked).toBeGreaterThanOrEqual(38);
  const afterTenSeconds = asked;
  await pass(clock, 20_000);
  expect(asked - afterTenSeconds).toBeGreaterThanOrEqual(3);
  expect(asked - afterTenSeconds).toBeLessThanOrEqual(5);
  runner.stop();
});
