// Istio's own cases of `istioctl analyze` as a command.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { istioTestdata, reportFamily } from '../../test/support/istio-testdata.ts';
import { runAnalyze } from '../../test/support/run-analyze.ts';

interface Case {
  readonly name: string;
  readonly group: string;
  readonly args: readonly string[];
  readonly files: readonly string[];
  readonly expected?: {
    readonly exitNonZero: boolean;
    readonly codesInOrder?: readonly string[];
    readonly outputContains?: readonly string[];
    readonly stdoutJSON?: unknown;
  };
  readonly heldOut: boolean;
}

const folder = istioTestdata('analyzers');

const known = parse(
  readFileSync(join(import.meta.dirname, 'istio-analyzers.known-failures.yaml'), 'utf8'),
) as Readonly<Record<string, string>>;

test.skipIf(folder === undefined)(
  'analyze: as a command, ends and prints as istioctl (E.04)',
  async (context) => {
    const { cases } = JSON.parse(readFileSync(join(folder ?? '', 'cases.json'), 'utf8')) as { cases: Case[] };
    const open = cases.filter(({ heldOut, group }) => !heldOut && group === 'cli');
    const wrong: Record<string, unknown> = {};
    for (const { name, args, files, expected } of open) {
      const { stdout, stderr, exitCode } = await runAnalyze([...args, ...files], folder ?? '');
      const codes = [...stdout.matchAll(/^\w+ \[(\w+)\] \(/gm)].map(([, code]) => code);
      const text = stdout + stderr;
      const isRight =
        (exitCode !== 0) === expected?.exitNonZero &&
        (expected.codesInOrder === undefined || expected.codesInOrder.join(' ') === codes.join(' ')) &&
        (expected.outputContains ?? []).every((part) => text.includes(part)) &&
        (expected.stdoutJSON === undefined ||
          JSON.stringify(JSON.parse(stdout)) === JSON.stringify(expected.stdoutJSON));
      if (!isRight) wrong[name] = { text, exitCode, expected };
    }
    const unexpected = Object.fromEntries(
      Object.entries(wrong).filter(([name]) => known[name] === undefined),
    );
    const healed = open.filter(({ name }) => known[name] !== undefined && wrong[name] === undefined);
    reportFamily(context, {
      family: 'analyzers',
      passed: open.length - Object.keys(wrong).length,
      total: open.length,
    });
    expect({ unexpected, healed }).toEqual({ unexpected: {}, healed: [] });
  },
);
