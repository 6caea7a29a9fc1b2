// Programs that some tests need. Where one is absent its tests skip with one line; in CI that is a failure.
import { spawnSync } from 'node:child_process';

const missing = new Set<string>();

/** Whether `program` is on PATH. In CI (environment variable CI) an absent program throws. */
export function has(program: string): boolean {
  const found = spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
  if (found) return true;
  if (process.env['CI'] !== undefined && process.env['CI'] !== '') {
    throw new Error(`${program} is not on PATH: in CI every tool must be installed`);
  }
  if (!missing.has(program)) {
    missing.add(program);
    process.stderr.write(`skipped: tests that need ${program}, which is not on PATH\n`);
  }
  return false;
}

/** For `test.skipIf(needs('envoy'))`: true where one of the programs is absent. */
export function needs(...programs: readonly string[]): boolean {
  return !programs.every(has);
}
