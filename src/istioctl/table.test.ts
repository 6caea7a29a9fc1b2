// Column padding, and the difference of two texts.
import { expect, test } from 'vitest';
import { formatTable } from './table.ts';
import { unifiedDiff } from './unified-diff.ts';
import { ageText } from './proxy-status.ts';

test('formatTable: pads all cells but the last, and counts letters, not bytes (E.03)', () => {
  const rows = [
    ['NAME', 'PORT', 'RULE'],
    ['größe', '80', ''],
    ['a', '15001', 'x.y'],
  ];
  expect(formatTable(rows, 5)).toBe(
    ['NAME      PORT      RULE', 'größe     80        ', 'a         15001     x.y', ''].join('\n'),
  );
  expect(formatTable([['A', 'B']], 1)).toBe('A B\n');
});

test('formatTable: a row of fewer cells ends the column', () => {
  expect(formatTable([['long name', 'x'], ['alone'], ['b', 'y']], 1)).toBe('long name x\nalone\nb y\n');
});

test('unifiedDiff: empty for equal texts, hunks with context for others', () => {
  const text = (lines: readonly (string | number)[]): string => `${lines.join('\n')}\n`;
  const many = Array.from({ length: 30 }, (_, index) => index);
  const from = { title: 'a', text: text(many) };
  expect(unifiedDiff(from, { title: 'b', text: text(many) }, 2)).toBe('');
  const changed = [...many.slice(0, 5), 'five', ...many.slice(6, 20), ...many.slice(21), 'end'];
  expect(unifiedDiff(from, { title: 'b', text: text(changed) }, 2)).toBe(
    text([
      '--- a',
      '+++ b',
      '@@ -4,5 +4,5 @@',
      ' 3',
      ' 4',
      '-5',
      '+five',
      ' 6',
      ' 7',
      '@@ -19,5 +19,4 @@',
      ' 18',
      ' 19',
      '-20',
      ' 21',
      ' 22',
      '@@ -29,2 +28,3 @@',
      ' 28',
      ' 29',
      '+end',
    ]),
  );
});

test('unifiedDiff: what differs altogether is removed and added', () => {
  expect(unifiedDiff({ title: 'a', text: 'x\n' }, { title: 'b', text: 'y\nz\n' }, 7)).toBe(
    '--- a\n+++ b\n@@ -1 +1,2 @@\n-x\n+y\n+z\n',
  );
});

test('ageText: two units where they are small, one where they are large', () => {
  const second = 1000;
  const cases: readonly (readonly [number, string])[] = [
    [45, '45s'],
    [119, '119s'],
    [200, '3m20s'],
    [180, '3m'],
    [25 * 60, '25m'],
    [4 * 3600 + 600, '4h10m'],
    [30 * 3600, '30h'],
    [5 * 86_400 + 3600, '5d1h'],
    [60 * 86_400, '60d'],
  ];
  for (const [seconds, text] of cases) expect(ageText(seconds * second)).toBe(text);
});
