// Istio's own validation cases (table tests of pkg/config/validation and istioctl validate) for our kinds.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { istioTestdata, reportFamily } from '../../test/support/istio-testdata.ts';
import { readText } from './reader.ts';

interface Case {
  readonly name: string;
  readonly group: string;
  readonly kind?: string;
  readonly type?: string;
  readonly resource?: Readonly<Record<string, unknown>>;
  readonly yaml?: string;
  readonly delegateVirtualService?: boolean;
  readonly expected?: {
    readonly valid: boolean;
    readonly warning?: boolean;
    readonly errorContains?: string;
  };
  readonly heldOut: boolean;
}

const folder = istioTestdata('validation');
const kinds = new Set([
  'VirtualService',
  'DestinationRule',
  'Gateway',
  'ServiceEntry',
  'WorkloadEntry',
  'Sidecar',
  'EnvoyFilter',
  'ProxyConfig',
  'WorkloadGroup',
]);

test.skipIf(folder === undefined)('readText: judges as Istio does (C14.03)', (context) => {
  const { cases } = parse(readFileSync(join(folder ?? '', 'cases.yaml'), 'utf8'), { maxAliasCount: -1 }) as {
    cases: Case[];
  };
  const known = parse(
    readFileSync(join(import.meta.dirname, 'istio-validation.known-failures.yaml'), 'utf8'),
  ) as Record<string, string>;
  const ours = cases.filter((one) => !one.heldOut && kinds.has(String(one.resource?.['kind'])));
  const wrong = new Map<string, string>();
  for (const one of ours) {
    const problem = judge(one);
    if (problem !== undefined) wrong.set(one.name, problem);
  }
  const unexpected = [...wrong].filter(([name]) => known[name] === undefined);
  const healed = Object.keys(known).filter((name) => !wrong.has(name));
  reportFamily(context, { family: 'validation', passed: ours.length - wrong.size, total: ours.length });
  expect({ unexpected, healed }).toEqual({ unexpected: [], healed: [] });
});

/** What is wrong with our verdict; undefined if it is Istio's. */
function judge({ resource, expected }: Case): string | undefined {
  const { diagnostics } = readText('case.yaml', stringify(expand(resource)));
  // What we do not do yet is refused although it is valid: that is no verdict on the object.
  const errors = diagnostics.filter(({ severity, code }) => severity === 'error' && code !== 'not-supported');
  const isValid = errors.length === 0;
  if (expected === undefined) return undefined;
  if (isValid === expected.valid) {
    const hasWarning = diagnostics.some(({ severity }) => severity === 'warning');
    if (!isValid || expected.warning === undefined || expected.warning === hasWarning) return undefined;
    return hasWarning ? `warned: ${diagnostics.map(({ message }) => message).join('; ')}` : 'did not warn';
  }
  return `${isValid ? 'accepted' : 'refused'}: ${errors.map(({ message }) => message).join('; ')}`;
}

/** `$repeat` and `$base64Of` are how the data writes oversized values. */
function expand(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(expand);
  if (typeof value !== 'object' || value === null) return value;
  const record = value as Record<string, unknown>;
  const repeat = record['$repeat'] as { text?: string; element?: unknown; count: number } | undefined;
  if (repeat !== undefined)
    return repeat.text === undefined
      ? Array.from({ length: repeat.count }, () => expand(repeat.element))
      : repeat.text.repeat(repeat.count);
  if (record['$base64Of'] !== undefined)
    return Buffer.from(String(expand(record['$base64Of']))).toString('base64');
  return Object.fromEntries(Object.entries(record).map(([key, item]) => [key, expand(item)]));
}
