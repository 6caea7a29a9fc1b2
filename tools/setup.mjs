// Makes a checkout ready to run, on Node alone: dependencies, generated code, bundle. Each step is
// skipped while what it was made from has not changed.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`fairlead: needs Node 20.19 or newer, this is ${process.versions.node}`);
  process.exit(1);
}

const steps = [
  {
    name: 'dependencies',
    inputs: ['package.json', 'package-lock.json'],
    outputs: ['node_modules/.package-lock.json'],
    run: () => {
      // npm is a script of its own on every platform; `npm_execpath` is the one that runs us.
      const npm = process.env.npm_execpath;
      const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error'];
      if (npm !== undefined && /\.[cm]?js$/.test(npm)) run(process.execPath, [npm, ...args]);
      else run('npm', args, { shell: process.platform === 'win32' });
    },
  },
  {
    name: 'generated code',
    inputs: [
      'package-lock.json',
      'src/api/protos',
      'tools/extension-protos.mjs',
      'tools/generate.mjs',
      'tools/istio-schemas.mjs',
      'tools/pack-descriptors.mjs',
    ],
    outputs: ['src/api/gen/descriptors.js', 'src/api/gen/istio-schemas.json'],
    run: () => run(process.execPath, [join(root, 'tools/generate.mjs')]),
  },
  {
    name: 'bundle',
    inputs: ['package-lock.json', 'package.json', 'tools/build.mjs', 'tools/generate.mjs', 'src', 'samples'],
    outputs: ['dist/fairlead.js'],
    run: () => run(process.execPath, [join(root, 'tools/build.mjs')]),
  },
];

const cache = join(root, '.cache/setup');
mkdirSync(cache, { recursive: true });
for (const step of steps) {
  const stampFile = join(cache, step.name.replaceAll(' ', '-'));
  const stamp = `${fingerprint(step.inputs)}\n`;
  const fresh =
    existsSync(stampFile) &&
    readFileSync(stampFile, 'utf8') === stamp &&
    step.outputs.every((output) => existsSync(join(root, output)));
  if (fresh) continue;
  console.error(`fairlead: preparing ${step.name} ...`);
  rmSync(stampFile, { force: true });
  step.run();
  writeFileSync(stampFile, stamp);
}

function run(command, args, options = {}) {
  try {
    execFileSync(command, args, { cwd: root, stdio: ['ignore', 2, 2], ...options });
  } catch (error) {
    console.error(`fairlead: ${command} ${args.join(' ')} failed (exit ${error.status ?? error.code})`);
    process.exit(1);
  }
}

/** A digest of the contents of files, and of folders without their generated and hidden parts. */
function fingerprint(inputs) {
  const hash = createHash('sha256').update(process.versions.node);
  for (const input of inputs) {
    const path = join(root, input);
    if (!existsSync(path)) continue;
    const files = statSync(path).isDirectory()
      ? readdirSync(path, { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
          .filter(
            (file) => !file.includes('/api/gen/') && /\.(ts|js|mjs|json|html|css|svg|proto)$/.test(file),
          )
          .sort()
      : [path];
    for (const file of files)
      hash.update(file.slice(root.length)).update('\0').update(readFileSync(file)).update('\0');
  }
  return hash.digest('hex');
}
