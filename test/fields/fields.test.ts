// Holds docs/fields.md to what translation does.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { fieldTable } from './table.ts';

const file = join(import.meta.dirname, '../../docs/fields.md');

test('every field of the networking kinds reaches Envoy, or is refused or explained in words (docs/fields.md)', () => {
  const { markdown, missing, refused } = fieldTable();
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, markdown);
  expect(refused).toEqual([]);
  expect(missing).toEqual([]);
  expect(markdown).toBe(readFileSync(file, 'utf8'));
}, 240_000);
