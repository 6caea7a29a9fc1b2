// Istio's function-level cases (family `units` of its test data): one small table per group.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { TestContext } from 'vitest';
import { expect } from 'vitest';
import { istioTestdata, reportFamily } from './istio-testdata.ts';

export interface UnitCase {
  readonly name: string;
  readonly group: string;
  readonly in: never;
  readonly expected?: never;
}

/** Returns what we say and what Istio says. */
export type UnitCheck = (given: never, expected: never) => readonly [ours: unknown, theirs: unknown];

export const unitsFolder = istioTestdata('units');

/** All cases, those that are held back (without `expected`) included. */
export function unitCases(): readonly UnitCase[] {
  const text = readFileSync(join(unitsFolder ?? '', 'cases.json'), 'utf8');
  return (JSON.parse(text) as { cases: readonly UnitCase[] }).cases;
}

/** Runs the open cases of these groups. `known`: what we do otherwise, by name; one that passes nevertheless fails. */
export function runUnits(
  context: TestContext,
  checks: Readonly<Record<string, UnitCheck>>,
  known: Readonly<Record<string, string>> = {},
): void {
  const open = unitCases().filter(
    ({ group, expected }) => checks[group] !== undefined && expected !== undefined,
  );
  expect(Object.keys(checks).filter((group) => !open.some((each) => each.group === group))).toEqual([]);
  const failures = new Map<string, unknown>();
  for (const { name, group, in: given, expected } of open) {
    const [ours, theirs] = checks[group]?.(given, expected as never) ?? [];
    if (!isDeepStrictEqual(inJson(ours), inJson(theirs))) failures.set(name, { ours, theirs });
  }
  expect(Object.fromEntries([...failures].filter(([name]) => known[name] === undefined))).toEqual({});
  expect(Object.keys(known).filter((name) => !failures.has(name))).toEqual([]);
  reportFamily(context, { family: 'units', passed: open.length - failures.size, total: open.length });
}

/** Without what is undefined, and without prototypes. */
function inJson(value: unknown): unknown {
  return JSON.parse(JSON.stringify({ value }));
}
