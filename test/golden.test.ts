// Runs every case of test/golden: config in, resources out.
import { join } from 'node:path';
import { expect, test } from 'vitest';
import * as translate from '../src/translate/index.ts';
import type { AnyResourceKind } from './support/golden.ts';
import { expectedGolden, readGoldenCases, renderGolden } from './support/golden.ts';

const kinds = translate as unknown as Readonly<Record<string, AnyResourceKind>>;

for (const golden of readGoldenCases(join(import.meta.dirname, 'golden'))) {
  test(`translate: ${golden.name}: ${golden.header.shows}`, () => {
    const actual = renderGolden(golden, kinds);
    expect(actual).toBe(expectedGolden(golden, actual));
  });
}
