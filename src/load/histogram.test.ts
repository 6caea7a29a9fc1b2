import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { Histogram } from './histogram.ts';

test('Histogram: quantiles are off by 1 % at most, and never beyond what was seen', () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0.001, max: 1e7, noNaN: true }), { minLength: 1, maxLength: 200 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (values, share) => {
        const histogram = new Histogram();
        for (const value of values) histogram.add(value);
        const sorted = [...values].sort((a, b) => a - b);
        const exact = sorted[Math.max(1, Math.ceil(share * values.length)) - 1] ?? Number.NaN;
        const found = histogram.quantile(share);
        expect(Math.abs(found - exact) / exact).toBeLessThan(0.0101);
        expect(found).toBeGreaterThanOrEqual(sorted[0] ?? Number.NaN);
        expect(found).toBeLessThanOrEqual(sorted.at(-1) ?? Number.NaN);
      },
    ),
  );
});

test('Histogram: count, mean, extremes; without values there is none', () => {
  const histogram = new Histogram();
  expect(histogram.quantile(0.5)).toBeNaN();
  expect(histogram.summary()).toMatchObject({ count: 0, min: Number.NaN, max: Number.NaN });
  for (const value of [1, 2, 3, 0]) histogram.add(value);
  const { count, mean, min, max } = histogram.summary();
  expect({ count, mean, min, max }).toEqual({ count: 4, mean: 1.5, min: 0, max: 3 });
});
