import * as fc from 'fast-check';
import { RE2JS } from 're2js';
import { expect, test } from 'vitest';
import type { Automaton } from './automaton.ts';
import { areDisjoint, buildAutomaton, isPartOf } from './automaton.ts';
import { parseRegex } from './regex-parser.ts';

const automatonOf = (pattern: string): Automaton => {
  const node = parseRegex(pattern);
  const automaton = node === undefined ? undefined : buildAutomaton(node);
  if (automaton === undefined) throw new Error(`not understood: ${pattern}`);
  return automaton;
};

test.each<[inner: string, outer: string, expected: boolean]>([
  ['/a', '/a', true],
  ['/a.*', '/.*', true],
  ['/.*', '/a.*', false],
  ['/(a|b)', '/[ab]', true],
  ['/[ab]', '/(a|b)', true],
  ['/[a-c]', '/[ab]', false],
  ['/a{2,3}', '/a+', true],
  ['/a+', '/a{2,3}', false],
  ['/a{0}', '/', true],
  ['/users/\\d+', '/users/[^/]+', true],
  ['/users/[^/]+', '/users/\\d+', false],
  ['/users/\\d+/x', '/users/[^/]+', false],
  ['^/a$', '/a', true],
  ['/a\\.b', '/a.b', true],
  ['/a.b', '/a\\.b', false],
  ['(?:/a)?', '(/a)*', true],
  ['(?P<x>/a)', '/a', true],
  ['/a.*?', '/a.*', true],
  ['a{,2}', 'a\\{,2}', true],
  ['[^a]', '.', true],
  ['.', '[^a]', false],
  ['[]a]', '[a\\]]', true],
  ['\\w', '[A-Za-z0-9_]', true],
  ['\\W|\\w', '.', true],
  ['x', 'y|', false],
  ['', 'x*', true],
])('isPartOf: %s in %s: %s', (inner, outer, expected) => {
  expect(isPartOf(automatonOf(inner), automatonOf(outer))).toBe(expected);
});

test.each([
  '(?i)a',
  '\\bx',
  '\\pL',
  '[[:alpha:]]',
  'a**',
  '(a',
  'a)',
  '[a',
  '\\Qa\\E',
  'a$b',
  '(^a)',
  'a{1001}',
  '\\x41',
  '*',
])('parseRegex: does not pretend to understand %s', (pattern) => {
  expect(parseRegex(pattern)).toBeUndefined();
});

test('isPartOf: gives up where it would take long', () => {
  const wide = automatonOf('(a|b)*a(a|b){60}');
  expect(isPartOf(automatonOf('(?:b|a)*a[ab]{60}'), wide)).toBeUndefined();
  const large = parseRegex('((a{50}){50}){50}');
  expect(large === undefined ? large : buildAutomaton(large)).toBeUndefined();
});

const regex = fc.letrec<{ node: string; leaf: string }>((tie) => ({
  leaf: fc.constantFrom('a', 'b', '/', '.', '[ab]', '[^a]', '\\d', '1', '\\.', '\\w'),
  node: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    tie('leaf'),
    fc.tuple(tie('node'), tie('node')).map(([a, b]) => a + b),
    fc.tuple(tie('node'), tie('node')).map(([a, b]) => `(${a}|${b})`),
    fc
      .tuple(tie('node'), fc.constantFrom('*', '+', '?', '{2}', '{1,2}', '{2,}', '*?'))
      .map(([a, q]) => `(?:${a})${q}`),
  ),
})).node;
const text = fc
  .array(fc.constantFrom('a', 'b', '/', '1', '.', '-', 'é'), { maxLength: 6 })
  .map((all) => all.join(''));

test('isPartOf and areDisjoint: agree with RE2 on every text', () => {
  let parts = 0;
  let apart = 0;
  fc.assert(
    fc.property(regex, regex, fc.array(text, { minLength: 30, maxLength: 30 }), (inner, outer, texts) => {
      const [a, b] = [automatonOf(inner), automatonOf(outer)];
      const [matchesA, matchesB] = [inner, outer].map((one) => RE2JS.compile(one));
      const isPart = isPartOf(a, b) === true;
      const isApart = areDisjoint(a, b) === true;
      parts += Number(isPart);
      apart += Number(isApart);
      for (const one of texts) {
        const inA = matchesA?.matches(one) === true;
        const inB = matchesB?.matches(one) === true;
        if (isPart && inA) expect({ inner, outer, one, inB }).toEqual({ inner, outer, one, inB: true });
        if (isApart)
          expect({ inner, outer, one, both: inA && inB }).toEqual({ inner, outer, one, both: false });
      }
    }),
    { numRuns: 2000, seed: 7 },
  );
  expect(Math.min(parts, apart)).toBeGreaterThan(50);
});
