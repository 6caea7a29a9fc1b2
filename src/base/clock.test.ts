import { afterEach, expect, test, vi } from 'vitest';
import { systemClock } from './clock.ts';

afterEach(() => {
  vi.useRealTimers();
});

test('systemClock: delays beyond Node’s longest timer do not fire at once', () => {
  vi.useFakeTimers();
  const dayMs = 86_400_000;
  let fired = 0;
  systemClock.after(30 * dayMs, () => fired++);
  const timer = systemClock.after(30 * dayMs, () => fired++);
  // Istio's cleanup_interval of inbound clusters: 292 years.
  systemClock.every(9_223_372_035_000, () => fired++);
  vi.advanceTimersByTime(29 * dayMs);
  timer.cancel();
  expect(fired).toBe(0);
  vi.advanceTimersByTime(2 * dayMs);
  expect(fired).toBe(1);
});
