// `fairlead analyze` within the test's own process.
import { vi } from 'vitest';
import { command } from '../../src/cmd/analyze.ts';

export interface Ran {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number;
}

/** Runs the command in `directory`; what it throws comes through. */
export async function runAnalyze(args: readonly string[], directory: string): Promise<Ran> {
  const before = { exitCode: process.exitCode, directory: process.cwd() };
  const stdout = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  const stderr = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  const textOf = ({ mock }: typeof stdout): string => mock.calls.map(([chunk]) => String(chunk)).join('');
  process.exitCode = 0;
  try {
    process.chdir(directory);
    await command().exitOverride().parseAsync(args, { from: 'user' });
    return { stdout: textOf(stdout), stderr: textOf(stderr), exitCode: process.exitCode };
  } finally {
    stdout.mockRestore();
    stderr.mockRestore();
    process.exitCode = before.exitCode;
    process.chdir(before.directory);
  }
}
