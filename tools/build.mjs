// Bundles src/cmd/main.ts and the sample apps into dist/, one file a lazily loaded part.
import { build } from 'esbuild';
import { existsSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const version = /fairleadVersion = '([^']+)'/.exec(
  readFileSync(join(root, 'src/base/version.ts'), 'utf8'),
)?.[1];
if (version !== manifest.version)
  throw new Error(`package.json says ${manifest.version}, src/base/version.ts ${version}`);

const common = {
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  logLevel: 'warning',
  // CommonJS dependencies (grpc-js) ask for node's own modules through require.
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
};

// Built aside and moved into place at the end: whoever starts the program meanwhile gets a whole one.
const dist = join(root, 'dist');
const fresh = join(root, `dist.new-${process.pid}`);
const stale = join(root, `dist.old-${process.pid}`);
await build({
  ...common,
  entryPoints: { fairlead: join(root, 'src/cmd/main.ts') },
  outdir: fresh,
  splitting: true,
  // Names stay, for stack traces; `keepNames` would instead cost a call for each closure made at run time.
  minifySyntax: true,
  minifyWhitespace: true,
  sourcemap: 'linked',
  legalComments: 'linked',
  chunkNames: 'chunks/[name]-[hash]',
});

const apps = join(root, 'samples/bookinfo/src');
if (existsSync(apps)) {
  const entryPoints = readdirSync(apps).filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'));
  await build({
    ...common,
    entryPoints: entryPoints.map((name) => join(apps, name)),
    outdir: join(fresh, 'samples/bookinfo'),
    splitting: true,
    chunkNames: 'chunks/[name]-[hash]',
  });
}

if (existsSync(dist)) renameSync(dist, stale);
renameSync(fresh, dist);
rmSync(stale, { recursive: true, force: true });
