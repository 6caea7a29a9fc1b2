// Tests of the word `help` in command lines.
import { expect, test } from 'vitest';
import { helpWordAsFlag } from './help-words.ts';

const names = new Set(['up', 'proxy-config', 'pc']);
const groups = new Set(['proxy-config', 'pc']);

test.each([
  ['help', 'help'],
  ['help up', 'up --help'],
  ['help pc route', 'pc route --help'],
  ['pc help route', 'pc route --help'],
  ['pc help', 'pc --help'],
  ['help nope', 'nope'],
  ['up help', 'up help'],
  ['pc route help', 'pc route help'],
  ['', ''],
])('helpWordAsFlag: %j is %j', (given, expected) => {
  expect(helpWordAsFlag(given.split(' '), names, groups).join(' ')).toBe(expected);
});
