// Istio's published Bookinfo YAML is read as it is: nothing in it may be refused but what is not built yet.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { formatDiagnostic } from '../src/config/config.ts';
import { readText } from '../src/config/reader.ts';
import { istioTestdata, reportFamily } from './support/istio-testdata.ts';

const samples = istioTestdata('samples');

/** Files that ask for what is not built yet, and the words in which that is refused. */
const refused: Readonly<Record<string, RegExp>> = {
  'destination-rule-all-mtls.yaml': /tls.*not supported yet/,
  'egress-rule-google-apis.yaml': /not supported yet/,
};

test.skipIf(samples === undefined)(
  "readText: Istio's Bookinfo networking files are accepted unchanged (A5.02, A1.16)",
  (context) => {
    const folder = join(samples ?? '', 'files/bookinfo/networking');
    expect(existsSync(folder)).toBe(true);
    const problems: string[] = [];
    const files = readdirSync(folder).filter((file) => file.endsWith('.yaml'));
    let accepted = 0;
    for (const file of files) {
      const { diagnostics } = readText(file, readFileSync(join(folder, file), 'utf8'));
      const errors = diagnostics.filter(({ severity }) => severity === 'error').map(formatDiagnostic);
      const expected = refused[file];
      if (expected === undefined) {
        problems.push(...errors);
        if (errors.length === 0) accepted += 1;
      } else if (!errors.some((error) => expected.test(error)))
        problems.push(`${file}: expected a refusal like ${expected}, got ${errors.join('; ')}`);
    }
    reportFamily(context, { family: 'samples (Bookinfo networking)', passed: accepted, total: files.length });
    expect(problems).toEqual([]);
  },
);
