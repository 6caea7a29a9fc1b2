// Where one YAML document ends and the next begins.
import { expect, test } from 'vitest';
import { splitDocuments } from './yaml-split.ts';

function texts(text: string): readonly string[] {
  return splitDocuments(text, 100).map((chunk) => chunk.text);
}

test('splitDocuments: documents after one with directives are documents of their own', () => {
  expect(texts('%YAML 1.2\n---\na: 1\n---\nb: 2\n')).toEqual(['%YAML 1.2\n---\na: 1\n', '---\nb: 2\n']);
});

test('splitDocuments: directives stand before the first document, and behind the end of another', () => {
  expect(texts('# c\n%YAML 1.2\n---\na: 1\n...\n%YAML 1.1\n---\nb: 2\n')).toEqual([
    '# c\n%YAML 1.2\n---\na: 1\n',
    '\n%YAML 1.1\n---\nb: 2\n',
  ]);
});

test('splitDocuments: a line that begins with % within a document is no directive', () => {
  expect(texts('---\n%a\n---\nb: 2\n')).toEqual(['---\n%a\n', '---\nb: 2\n']);
});

test('splitDocuments: a million markers after comments and a directive are read once (traps 17)', () => {
  const half = 500_000;
  const beginMs = performance.now();
  // Read anew for each marker, this is 5 * 10^11 characters.
  expect(splitDocuments(`${'#\n'.repeat(half)}%\n${'---\n'.repeat(half)}`, 20_000)).toHaveLength(1);
  expect(performance.now() - beginMs).toBeLessThan(20_000);
});
