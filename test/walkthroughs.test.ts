// The pages of samples/walkthroughs, executed: every command of a page is typed, and what it prints must be
// what the page shows. Dates, addresses and milliseconds may differ.
import { execFile } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, test } from 'vitest';
import type { DataPlane, Mesh } from './support/mesh.ts';
import { fairleadMain, startMesh } from './support/mesh.ts';
import type { Step } from './support/pages.ts';
import { readSteps } from './support/pages.ts';
import { needs } from './support/tools.ts';

const root = join(import.meta.dirname, '../samples/walkthroughs');
const run = promisify(execFile);

/** Inventory rows that a page shows. */
const rows: Readonly<Record<string, string>> = {
  'gateway-virtualservice-destinationrule': 'A5.01, A2.14',
  'simple-gateway': 'A5.05, A6.01, A6.02',
  rewrite: 'A5.06, A6.04',
  sidecar: 'A5.04, A6.03, A2.01, A2.10, partly A2.12',
  canary: 'A5.08, A6.07',
  fault: 'A5.09, A6.08, A6.09',
};

/** A command may need this many tries: configuration is on its way, and some answers are given by chance. */
const triesMax = 60;

describe.each<{ dataPlane: DataPlane; network: number }>([
  { dataPlane: 'fairlead', network: 96 },
  { dataPlane: 'envoy', network: 97 },
])('$dataPlane', ({ dataPlane, network }) => {
  describe.each(Object.keys(rows))('%s', (folder) => {
    let mesh: Mesh | undefined;
    afterAll(async () => {
      await mesh?.stop();
    });

    const absent = dataPlane === 'envoy' && needs('envoy');
    const title = `walkthrough: ${folder} prints what its page shows (${rows[folder]})`;
    test.skipIf(absent || needs('curl'))(title, { timeout: 120_000 }, async () => {
      const files = readdirSync(join(root, folder)).filter((name) => name.endsWith('.yaml'));
      const read = (name: string): string => readFileSync(join(root, folder, name), 'utf8');
      mesh = await startMesh({
        files: Object.fromEntries(files.map((name) => [name, read(name)])),
        dataPlane,
        network,
      });
      // A page may show a command whose value only the reader knows.
      const steps = readSteps(read('README.md')).filter(({ command }) => !command.includes('IP-OF-THE-POD'));
      expect(steps.length).toBeGreaterThan(0);
      // oxlint-disable-next-line no-await-in-loop -- a page is read from top to bottom
      for (const step of steps) await typeStep(mesh, step);
    });
  });
});

test('walkthroughs: every folder is run by this test and listed in the index', () => {
  const folders = readdirSync(root, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
  expect(folders.sort()).toEqual(Object.keys(rows).sort());
  const index = readFileSync(join(root, 'README.md'), 'utf8');
  for (const folder of folders) expect(index).toContain(`(${folder}/README.md)`);
});

async function typeStep(mesh: Mesh, { command, printed }: Step): Promise<void> {
  const wanted = comparable(printed);
  let got = '';
  for (let attempt = 0; attempt < triesMax; attempt++) {
    // oxlint-disable-next-line no-await-in-loop -- one try after the other is the point
    got = comparable(await type(mesh, command));
    if (wanted === '' ? !got.startsWith('exit ') : got === wanted) return;
  }
  expect(got, command).toBe(wanted);
}

async function type(mesh: Mesh, command: string): Promise<string> {
  const script = `fairlead() { "${process.execPath}" "${fairleadMain}" "$@"; }\n${command.replaceAll('localhost:8080', mesh.gateway)}`;
  const env = { ...process.env, FAIRLEAD_DEBUG_ADDRESS: `http://${mesh.debug}` };
  try {
    const { stdout } = await run('bash', ['-c', script], { env, timeout: 30_000 });
    return stdout;
  } catch (error) {
    const { code, stderr } = error as { code?: number; stderr?: string };
    return `exit ${code}: ${stderr}`;
  }
}

/** What must be equal: not dates, addresses, durations, counts of chance and the width of columns. */
function comparable(text: string): string {
  return text
    .replaceAll('\r', '')
    .replaceAll(/^date: .*$/gm, 'date: ...')
    .replaceAll(/^(x-envoy-upstream-service-time:) \d+$/gm, '$1 N')
    .replaceAll(/\b127\.\d+\.\d+\.\d+/g, '127.x')
    .replaceAll(/^ *\d+ (200|500)$/gm, 'N $1')
    .replaceAll(/[ \t]+/g, ' ')
    .replaceAll(/ $/gm, '')
    .trim();
}
