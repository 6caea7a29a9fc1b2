import { expect, test } from 'vitest';
import { namesIn } from './blame.ts';

test('namesIn: names of an Envoy error, not names that they are the beginning of (B2.02)', () => {
  const names = ['outbound|80||a.b', 'outbound|80||a.b.c', 'outbound|80|v1|a.b', '0.0.0.0_80', '80'];
  const message =
    'Error adding/updating cluster(s) outbound|80||a.b.c: unknown policy, outbound|80|v1|a.b: bad port 80';
  expect(namesIn(message, names)).toEqual(['outbound|80||a.b.c', 'outbound|80|v1|a.b']);
  expect(namesIn("listener '0.0.0.0_80' failed.", names)).toEqual(['0.0.0.0_80']);
  expect(namesIn('cannot add outbound|80||a.b.', names)).toEqual(['outbound|80||a.b']);
  expect(namesIn('Proto constraint validation failed', names)).toEqual([]);
});
