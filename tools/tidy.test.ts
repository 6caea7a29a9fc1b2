import { join } from 'node:path';
import { expect, test } from 'vitest';
import { checkFile, tidy } from './tidy.ts';

const root = join(import.meta.dirname, '..');
const check = (file: string, text: string): string[] => checkFile(root, join(root, 'src', file), text);

test('tidy: the source obeys the law of imports', () => {
  expect(tidy(root)).toEqual([]);
});

test('checkFile: an import against the law is reported with its reason', () => {
  expect(check('model/x.ts', "import { a } from '../config/config.ts';\n")).toEqual([
    'src/model/x.ts:1: model must not import config (../config/config.ts): a noun does not know who stores it',
  ]);
  expect(check('model/x.ts', "export type { A } from '../api/any.ts';\n")).toEqual([]);
  expect(check('explain/x.ts', "import { a } from '../proxy/matchers/route.ts';\n")).toEqual([]);
  expect(check('explain/x.ts', "import { a } from '../proxy/upstream/host.ts';\n")).toHaveLength(1);
  expect(check('proxy/x.ts', "\nconst m = await import('../translate/world.ts');\n")).toHaveLength(1);
});

test('checkFile: time, chance and environment are parameters', () => {
  expect(check('proxy/x.ts', '// Date.now() is fine in words\nconst t = Date.now();\n')).toEqual([
    'src/proxy/x.ts:2: Date.now: take a Clock',
  ]);
  expect(check('cmd/x.ts', 'const e = process.env;\n')).toEqual([]);
  expect(check('pilot/x.ts', 'setTimeout(f, 1); Math.random(); process.env.X;\n')).toHaveLength(3);
});

test('checkFile: unknown rooms and files called utils are refused', () => {
  expect(check('helpers/x.ts', '')[0]).toContain('is not a room');
  expect(check('model/utils.ts', '')[0]).toContain('says nothing');
});
