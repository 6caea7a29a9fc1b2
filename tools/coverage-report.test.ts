import { expect, test } from 'vitest';
import { readInventory, rowsNamedIn, rowsPartlyNamedIn, summarize } from './coverage-report.ts';

const inventory = readInventory(
  'row,priority,statement\nA5.01,P0,"one, two"\nA5.02,P0,b\nC1.01,P1,c\nT01,P0,d\n',
);

test('rowsNamedIn: single rows, lists and ranges', () => {
  expect(rowsNamedIn('x: y (A5.01, T07, D4.05b)')).toEqual(['A5.01', 'T07', 'D4.05b']);
  expect(rowsNamedIn('all of A5.01-A5.04')).toEqual(['A5.01', 'A5.04', 'A5.02', 'A5.03']);
  expect(rowsNamedIn('version v1.10 of 127.0.0.1')).toEqual([]);
});

test('rowsPartlyNamedIn: what a test says to prove only in part is not named', () => {
  const title = 'x: y (A5.01, partly D4.01, partly A5.02-A5.04, T07)';
  expect(rowsNamedIn(title)).toEqual(['A5.01', 'T07']);
  expect(rowsPartlyNamedIn(title)).toEqual(['D4.01', 'A5.02', 'A5.04', 'A5.03']);
});

test('summarize: a row that is proved in part is partly held', () => {
  const passed = (title: string) => ({ file: 'f', title, status: 'passed' as const, meta: {} });
  const { rows, line } = summarize(inventory, [
    passed('a (partly A5.01)'),
    passed('b (partly A5.02)'),
    passed('c (A5.02)'),
  ]);
  expect(rows.map(({ state }) => state)).toEqual(['partly', 'held', 'no test', 'no test']);
  expect(line).toMatch(/^inventory P0 1\/3 /);
});

test('summarize: a row is held is held if a test names it and none that does fails', () => {
  const result = (title: string, status: 'passed' | 'failed' | 'skipped', meta = {}) => ({
    file: 'f',
    title,
    status,
    meta,
  });
  const summary = summarize(inventory, [
    result('a (A5.01)', 'passed'),
    result('b (A5.02)', 'passed'),
    result('c (A5.02)', 'failed'),
    result('d (C1.01)', 'skipped'),
    result('[proxy] x › y', 'passed'),
    result('[envoy] x › y', 'skipped'),
    result('data', 'passed', { istioTestdata: { family: 'routes', passed: 3, total: 5 } }),
  ]);
  expect(summary.rows.map(({ state }) => state)).toEqual(['held', 'failing', 'not run', 'no test']);
  expect(summary.line).toBe(
    'inventory P0 1/3 P1 0/1 | conformance matchers 0/0 proxy 1/1 envoy 0/1 | istio-testdata 3/5',
  );
});

test('readInventory: a malformed line is refused', () => {
  expect(() => readInventory('row,priority,statement\nnonsense\n')).toThrow('not a row: nonsense');
  expect(inventory[0]?.statement).toBe('one, two');
});
