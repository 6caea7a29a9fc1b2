// npm run coverage: runs every suite, then writes docs/coverage.md from the tests that name an
// inventory row, and prints the totals. All figures come from this one run.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { format, readInventory, summarize } from './coverage-report.ts';
import type { TestResult } from './coverage-report.ts';

const root = join(import.meta.dirname, '..');
const reportFile = join(root, '.cache/coverage/vitest.json');
mkdirSync(join(root, '.cache/coverage'), { recursive: true });

const run = spawnSync(
  join(root, 'node_modules/.bin/vitest'),
  ['run', '--reporter=default', '--reporter=json', `--outputFile.json=${reportFile}`],
  { cwd: root, stdio: ['ignore', 2, 2] },
);

const summary = summarize(
  readInventory(readFileSync(join(root, 'docs/inventory.csv'), 'utf8')),
  readResults(),
);
writeFileSync(join(root, 'docs/coverage.md'), format(summary));
console.log(summary.line);
process.exit(run.status ?? 1);

interface VitestReport {
  readonly testResults: readonly {
    readonly name: string;
    readonly assertionResults: readonly {
      readonly fullName: string;
      readonly status: string;
      readonly meta?: Readonly<Record<string, unknown>>;
    }[];
  }[];
}

function readResults(): TestResult[] {
  const report = JSON.parse(readFileSync(reportFile, 'utf8')) as VitestReport;
  return report.testResults.flatMap(({ name, assertionResults }) =>
    assertionResults.map((result) => ({
      file: relative(root, name),
      title: result.fullName,
      status: result.status === 'passed' ? 'passed' : result.status === 'failed' ? 'failed' : 'skipped',
      meta: result.meta ?? {},
    })),
  );
}
