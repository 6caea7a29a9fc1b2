// Istio's own test data: read from the folder that FAIRLEAD_ISTIO_TESTDATA names, never copied in.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'vitest';

let reported = false;

/** The folder of one family, or undefined (with one line, once) where the data is not at hand. */
export function istioTestdata(family: string): string | undefined {
  const root = process.env['FAIRLEAD_ISTIO_TESTDATA'];
  const folder = root === undefined || root === '' ? undefined : join(root, family);
  if (folder !== undefined && existsSync(folder)) return folder;
  if (!reported) {
    reported = true;
    process.stderr.write(
      'skipped: runs against Istio test data, whose folder FAIRLEAD_ISTIO_TESTDATA names\n',
    );
  }
  return undefined;
}

/** What one run against a family came to; `npm run coverage` adds these up. */
export interface FamilyResult {
  readonly family: string;
  readonly passed: number;
  /** All open cases of the part that was run, those in known-failures included. */
  readonly total: number;
}

/** Leaves a family's result in the test report: call it once a family, from the test that ran it. */
export function reportFamily(context: TestContext, result: FamilyResult): void {
  Object.assign(context.task.meta, { istioTestdata: result });
}
