// Istio's published sample YAML is read as it is: every object in it is valid, so none may be refused.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { formatDiagnostic } from '../src/config/config.ts';
import { readText } from '../src/config/reader.ts';
import { istioTestdata, reportFamily } from './support/istio-testdata.ts';

const samples = istioTestdata('samples');

/** Files of which something is refused, and why. One that is taken nevertheless is a failure. */
const telemetry = 'kind Telemetry is not built';
const known: Readonly<Record<string, string>> = {
  'open-telemetry/loki/telemetry': telemetry,
  'open-telemetry/tracing/telemetry': telemetry,
};

interface Sample {
  readonly name: string;
  readonly input?: string;
  readonly heldOut: boolean;
}

test.skipIf(samples === undefined)(
  'readText: Istio’s samples are accepted unchanged (A5.02, A1.16)',
  (context) => {
    const folder = samples ?? '';
    const { cases } = JSON.parse(readFileSync(join(folder, 'cases.json'), 'utf8')) as {
      cases: readonly Sample[];
    };
    const open = cases.filter(({ heldOut, input }) => !heldOut && input?.endsWith('.yaml') === true);
    const refused = new Map<string, readonly string[]>();
    for (const { name, input = '' } of open) {
      const { diagnostics } = readText(name, readFileSync(join(folder, input), 'utf8'));
      const errors = diagnostics.filter(({ severity }) => severity === 'error').map(formatDiagnostic);
      if (errors.length > 0) refused.set(name, errors);
    }
    expect(Object.fromEntries([...refused].filter(([name]) => known[name] === undefined))).toEqual({});
    expect(Object.keys(known).filter((name) => !refused.has(name))).toEqual([]);
    reportFamily(context, { family: 'samples', passed: open.length - refused.size, total: open.length });
  },
);
