// Istio's own validation cases (table tests of pkg/config/validation, the CRDs' test data, istioctl validate) for the
// kinds and mesh settings that we read.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { istioTestdata, reportFamily } from '../../test/support/istio-testdata.ts';
import type { ValidationCase } from '../../test/support/istio-validation.ts';
import { judge } from '../../test/support/istio-validation.ts';

const folder = istioTestdata('validation');

test.skipIf(folder === undefined)('readText: judges as Istio does (partly C14.03)', (context) => {
  const { cases } = parse(readFileSync(join(folder ?? '', 'cases.yaml'), 'utf8'), { maxAliasCount: -1 }) as {
    cases: ValidationCase[];
  };
  const known = parse(
    readFileSync(join(import.meta.dirname, 'istio-validation.known-failures.yaml'), 'utf8'),
  ) as Record<string, string>;
  const wrong = new Map<string, string>();
  let total = 0;
  for (const one of cases.filter(({ heldOut }) => !heldOut)) {
    const findings = judge(one);
    if (findings === undefined) continue;
    total++;
    const problem = differenceOf(one, findings);
    if (problem !== undefined) wrong.set(one.name, problem);
  }
  const unexpected = [...wrong].filter(([name]) => known[name] === undefined);
  const healed = Object.keys(known).filter((name) => !wrong.has(name));
  reportFamily(context, { family: 'validation', passed: total - wrong.size, total });
  expect({ unexpected, healed }).toEqual({ unexpected: [], healed: [] });
});

/** What is wrong with our verdict; undefined if it is Istio's. */
function differenceOf(
  { expected }: ValidationCase,
  findings: NonNullable<ReturnType<typeof judge>>,
): string | undefined {
  // What we do not do yet is refused although it is valid, and warned of: that is no verdict on the object.
  const own = findings.filter(({ code }) => code !== 'not-supported' && code !== 'no-effect');
  const errors = own.filter(({ severity }) => severity === 'error');
  const isValid = errors.length === 0;
  if (isValid !== expected.valid)
    return `${isValid ? 'accepted' : 'refused'}: ${errors.map(({ message }) => message).join('; ')}`;
  const hasWarning = own.some(({ severity }) => severity === 'warning');
  if (!isValid || expected.warning === undefined || expected.warning === hasWarning) return undefined;
  return hasWarning ? `warned: ${own.map(({ message }) => message).join('; ')}` : 'did not warn';
}
