// `npm test`: types, lint, format, then every suite. Stops at the first step that fails; extra
// arguments go to vitest (npm test -- src/config).
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const bin = (name) => join(root, 'node_modules/.bin', name);
const filters = process.argv.slice(2);
const checks = [
  ['types', bin('tsc'), ['--noEmit']],
  ['lint', bin('oxlint'), ['--type-aware', '--deny-warnings']],
  ['format', bin('oxfmt'), ['--check', '.']],
];
const steps = [...(filters.length === 0 ? checks : []), ['tests', bin('vitest'), ['run', ...filters]]];

for (const [name, command, args] of steps) {
  console.log(`--- ${name}`);
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) {
    console.error(`--- ${name} failed`);
    process.exit(status ?? 1);
  }
}
