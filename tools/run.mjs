// Runs a TypeScript program of this repository: node tools/run.mjs FILE [ARG ...]
// (Node 20 does not read TypeScript; the bundle goes to .cache and is made anew each time.)
import { build } from 'esbuild';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const [file, ...args] = process.argv.slice(2);
if (file === undefined) throw new Error('usage: node tools/run.mjs FILE [ARG ...]');
const outfile = join(root, '.cache/run', `${basename(file, '.ts')}-${process.pid}.mjs`);
await build({
  entryPoints: [resolve(file)],
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  packages: 'external',
  sourcemap: 'inline',
  define: { 'import.meta.dirname': JSON.stringify(resolve(file, '..')) },
  outfile,
});
process.argv = [process.argv[0], resolve(file), ...args];
const { rmSync } = await import('node:fs');
process.on('exit', () => rmSync(outfile, { force: true }));
await import(pathToFileURL(outfile).href);
