import { expect, test } from 'vitest';
import { parseDurationMs, parseDurationNs } from './duration.ts';

test.each([
  ['0', 0],
  ['0s', 0],
  ['2s', 2e9],
  ['1.5s', 1.5e9],
  ['.5s', 5e8],
  ['100ms', 1e8],
  ['1h30m', 5400e9],
  ['-1m', -60e9],
  ['+3us', 3000],
  ['7ns', 7],
])('parseDurationNs: %s is %d ns', (text, nanoseconds) => {
  expect(parseDurationNs(text)).toBe(nanoseconds);
});

test.each(['', 's', '5', '1 s', '1s ', '1d', 's1', '1s2', '1e3s', 'NaN', '--1s'])(
  'parseDurationNs: %j is no duration',
  (text) => {
    expect(parseDurationNs(text)).toBeUndefined();
  },
);

test('parseDurationMs: keeps fractions', () => {
  expect(parseDurationMs('1us')).toBe(0.001);
  expect(parseDurationMs('soon')).toBeUndefined();
});

test('parseDurationNs: digits without end take no time (traps 11)', () => {
  const beginMs = performance.now();
  for (const text of ['1'.repeat(1_000_000), '1'.repeat(199), `${'1.'.repeat(100_000)}s`])
    expect(parseDurationNs(text)).toBeUndefined();
  expect(performance.now() - beginMs).toBeLessThan(1000);
});
