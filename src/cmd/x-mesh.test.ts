// Synthetic meshes: the same for the same options, and nothing is wrong with them.
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { runAnalyze } from '../../test/support/run-analyze.ts';
import { seededRandom } from '../base/random.ts';
import { UserError } from '../base/user-error.ts';
import { validateFiles } from '../config/validate-files.ts';
import type { MeshFile, MeshOptions } from '../load/mesh/shape.ts';
import { meshShapes } from '../load/mesh/shapes.ts';
import { identitiesIn } from './x-load-pods.ts';
import { meshCommand } from './x-mesh.ts';

const options: MeshOptions = {
  services: 23,
  pods: 50,
  namespaces: 3,
  routes: 3,
  routed: 100,
  gateways: 2,
  gatewayPods: 2,
  sidecars: true,
  serviceEntries: 2,
  endpoints: 'pods',
};

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-x-mesh-'));
  folders.push(folder);
  return folder;
}

function written(files: Iterable<MeshFile>): string {
  const folder = temporary();
  for (const { path, text } of files) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  return folder;
}

const variants: readonly (readonly [string, string, Partial<MeshOptions>])[] = [
  ...meshShapes.map(({ name }) => [name, name, {}] as const),
  ['kubernetes with EndpointSlices', 'kubernetes', { endpoints: 'slices' }],
  ['kubernetes without routes', 'kubernetes', { routes: 0, gateways: 0, sidecars: false }],
  ['kubernetes, some services routed', 'kubernetes', { routed: 30, namespaces: 1 }],
  ['kubernetes, one pod each', 'kubernetes', { pods: 23 }],
  ['kubernetes, fewer pods than services', 'kubernetes', { pods: 5, gateways: 0 }],
];

test.each(variants)('x mesh, %s: validates, and analyze finds nothing', async (_title, shape, changes) => {
  const files = meshShapes
    .find(({ name }) => name === shape)
    ?.files({ ...options, ...changes }, seededRandom(1));
  const folder = written(files ?? []);
  const { errors, diagnostics } = validateFiles({ paths: [folder], readStdin: () => '' });
  expect(errors).toEqual([]);
  expect(diagnostics).toEqual([]);
  const { stdout, stderr, exitCode } = await runAnalyze([folder], temporary());
  expect(stdout + stderr).not.toMatch(/Error|Warning|Info \[/);
  expect(exitCode).toBe(0);
});

test('x mesh: the same text for the same seed, another for another', () => {
  const text = (seed: number): string =>
    meshShapes
      .flatMap((shape) => [...shape.files(options, seededRandom(seed))])
      .map(({ path, text: content }) => `${path}\n${content}`)
      .join('');
  expect(text(1)).toBe(text(1));
  expect(text(1)).not.toBe(text(2));
});

test('x mesh: every address is given once, up to the largest mesh', () => {
  const [kubernetes] = meshShapes;
  const large = { ...options, services: 1500, pods: 4000, gatewayPods: 10 };
  const addresses = [...(kubernetes?.files(large, seededRandom(1)) ?? [])].flatMap(({ text }) =>
    [...text.matchAll(/(?:podIP|clusterIP): (\S+)/g)].map(([, ip]) => ip),
  );
  expect(addresses).toHaveLength(1500 + 4000 + 10 + 1);
  expect(new Set(addresses).size).toBe(addresses.length);
  for (const ip of addresses)
    expect(ip).toMatch(/^(?:\d{1,2}|1\d\d|2[0-4]\d|25[0-5])(?:\.(?:\d{1,2}|1\d\d|2[0-4]\d|25[0-5])){3}$/);
});

test('x mesh: writes a directory, and refuses one in which something is', async () => {
  const out = join(temporary(), 'mesh');
  const said = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  const args = ['--services', '4', '--pods', '6', '--namespaces', '2', '--out', out];
  try {
    await meshCommand().exitOverride().parseAsync(args, { from: 'user' });
    expect(readdirSync(join(out, 'ns-1')).sort()).toEqual([
      'svc-1-pods.yaml',
      'svc-1-routes.yaml',
      'svc-1.yaml',
      'svc-3-pods.yaml',
      'svc-3-routes.yaml',
      'svc-3.yaml',
    ]);
    expect(readFileSync(join(out, 'ns-1/svc-1-pods.yaml'), 'utf8').match(/^kind: Pod$/gm)).toHaveLength(2);
    await expect(meshCommand().exitOverride().parseAsync(args, { from: 'user' })).rejects.toThrow(UserError);
  } finally {
    said.mockRestore();
  }
});

test('identitiesIn: a proxy for each Pod with an address, gateways by their template', () => {
  const [kubernetes] = meshShapes;
  const folder = written(kubernetes?.files(options, seededRandom(1)) ?? []);
  writeFileSync(
    join(folder, 'waiting.yaml'),
    'apiVersion: v1\nkind: Pod\nmetadata: { name: w }\nspec: { containers: [{ name: a, image: a }] }\n',
  );
  const identities = identitiesIn(folder);
  expect(identities.filter(({ type }) => type === 'router').map(({ pod }) => pod)).toEqual([
    'gateway-0',
    'gateway-1',
  ]);
  const sidecars = identities.filter(({ type }) => type === 'sidecar');
  expect(sidecars).toHaveLength(50);
  expect(sidecars.find(({ pod }) => pod === 'svc-4-1')).toMatchObject({
    namespace: 'ns-1',
    serviceAccount: 'svc-4',
    labels: { app: 'svc-4', version: 'v2' },
  });
});
