// `fairlead apply`, `delete` and `wait` against `fairlead pilot`, with proxies that acknowledge, refuse, and say nothing.
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { NodeSchema } from '../src/api/gen/envoy/config/core/v3/base_pb.js';
import { typeUrls } from '../src/xds/types.ts';
import type { FollowingOptions } from './support/following-client.ts';
import { FollowingClient } from './support/following-client.ts';
import { call } from './support/http.ts';
import { fairleadMain, freePorts } from './support/mesh.ts';
import { waitFor } from './support/wait.ts';

const services = `# The services of the shop.
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: default}
spec: {clusterIP: 10.96.0.1, selector: {app: reviews}, ports: [{name: http, port: 9080}]}
---
# Another.
apiVersion: v1
kind: Service
metadata: {name: ratings, namespace: default}
spec: {clusterIP: 10.96.0.2, selector: {app: ratings}, ports: [{name: http, port: 9080}]}
`;
const virtualService = (part: string, name = 'reviews'): string => `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ${name}}
spec:
  hosts: [${name}]
  http:
  - ${part}
    route: [{destination: {host: ${name}}}]
`;
const bad = 'headers: {request: {set: {x-bad: y}}}';

let folder: string;
let pilot: ChildProcess;
let ports: readonly number[];
const clients: FollowingClient[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fairlead-apply-'));
  mkdirSync(join(folder, 'mesh'));
  writeFileSync(join(folder, 'mesh/services.yaml'), services);
  ports = await freePorts(2);
  pilot = spawn(
    process.execPath,
    [
      fairleadMain,
      'pilot',
      '--config-dir',
      'mesh',
      '--log-level',
      'error',
      '--grpc-addr',
      `127.0.0.1:${ports[0]}`,
      '--http-addr',
      `127.0.0.1:${ports[1]}`,
    ],
    { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] },
  );
  await waitFor('the control plane', async () => (await get('/ready')).status === 200 || undefined);
  await connect('quick-0');
  await connect('stubborn-0', {
    refuse: ({ typeUrl, resources }) =>
      typeUrl === typeUrls.route && resources.some(({ value }) => Buffer.from(value).includes('x-bad'))
        ? 'no such header allowed'
        : undefined,
  });
  await connect('elsewhere-0', {}, 'elsewhere');
});

afterEach(() => {
  for (const client of clients.splice(3)) client.close();
});

afterAll(() => {
  for (const client of clients) client.close();
  pilot.kill('SIGKILL');
  rmSync(folder, { recursive: true });
});

async function connect(
  pod: string,
  part: Omit<FollowingOptions, 'node'> = {},
  namespace = 'default',
): Promise<void> {
  const node = create(NodeSchema, {
    id: `sidecar~10.1.0.${clients.length + 1}~${pod}.${namespace}~${namespace}.svc.cluster.local`,
    metadata: {
      NAMESPACE: namespace,
      LABELS: { app: pod },
      ISTIO_VERSION: '1.32.0',
      CLUSTER_ID: 'Kubernetes',
    },
  });
  const client = new FollowingClient(ports[0] ?? 0, { node, ...part });
  clients.push(client);
  await client.ready();
}

function get(path: string): ReturnType<typeof call> {
  return call({ url: `http://127.0.0.1:${ports[1]}${path}` });
}

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly error: string;
}

function fairlead(args: readonly string[], stdin = ''): Promise<Ended> {
  const child = spawn(process.execPath, [fairleadMain, ...args], {
    cwd: folder,
    env: { ...process.env, FAIRLEAD_DEBUG_ADDRESS: `127.0.0.1:${ports[1]}` },
  });
  let out = '';
  let error = '';
  child.stdout.on('data', (text: Buffer) => void (out += text.toString()));
  child.stderr.on('data', (text: Buffer) => void (error += text.toString()));
  child.stdin.end(stdin);
  return new Promise((resolve) => {
    child.on('close', (code) => resolve({ code, out, error }));
  });
}

test('apply: created, unchanged, configured; returns when the affected proxies have acknowledged', async () => {
  const created = await fairlead(['apply', '-f', '-'], virtualService('timeout: 3s'));
  expect(created).toMatchObject({ code: 0, out: 'virtualservice.networking.istio.io/reviews created\n' });
  expect(created.error).toMatch(/^written: mesh\/virtualservice-reviews.yaml$/m);
  expect(created.error).toMatch(/^revision \d+: 3 of 3 affected proxies have acknowledged$/m);
  expect(clients.map(({ log }) => log.at(-1))).toEqual(['RDS 9080', 'RDS 9080', 'RDS 9080']);
  const again = await fairlead(['apply', '-f', '-'], virtualService('timeout: 3s'));
  expect(again).toMatchObject({ code: 0, out: 'virtualservice.networking.istio.io/reviews unchanged\n' });
  const changed = await fairlead(['apply', '-f', '-'], virtualService('timeout: 4s'));
  expect(changed).toMatchObject({ code: 0, out: 'virtualservice.networking.istio.io/reviews configured\n' });
  expect(readFileSync(join(folder, 'mesh/virtualservice-reviews.yaml'), 'utf8')).toBe(
    virtualService('timeout: 4s'),
  );
  expect(readdirSync(join(folder, 'mesh')).sort()).toEqual(['services.yaml', 'virtualservice-reviews.yaml']);
});

test('apply: a proxy that refuses is 1, with its message and the file and line; wait says the same', async () => {
  await fairlead(['apply', '-f', '-'], virtualService('timeout: 3s'));
  const refused = await fairlead(['apply', '-f', '-'], virtualService(bad));
  expect(refused).toMatchObject({ code: 1, out: 'virtualservice.networking.istio.io/reviews configured\n' });
  expect(refused.error).toMatch(/^revision \d+: 2 of 3 affected proxies have acknowledged, 1 refused$/m);
  expect(refused.error).toMatch(/^ {2}refused {2}stubborn-0.default {2}RDS 9080: no such header allowed$/m);
  expect(refused.error).toMatch(
    /^ {11}VirtualService default\/reviews .*at mesh\/virtualservice-reviews.yaml:\d+:\d+$/m,
  );
  const waited = await fairlead(['x', 'wait', '--for=distribution', 'virtual-service', 'reviews.default']);
  expect(waited.code).toBe(1);
  expect(waited.error).toContain(
    'resource networking.istio.io/v1/VirtualService/default/reviews was refused, and cannot become effective on all sidecars',
  );
  const enough = await fairlead(['wait', 'vs', 'reviews', '--threshold=.6']);
  expect(enough).toMatchObject({
    code: 0,
    out: 'Resource networking.istio.io/v1/VirtualService/default/reviews present on 2 out of 3 configurations across 3 sidecars\n',
  });
  expect((await fairlead(['wait', 'vs', 'reviews', '--proxy', 'quick-0.default'])).code).toBe(0);
  // What repairs it is acknowledged, and so is the older revision with it.
  expect((await fairlead(['apply', '-f', '-'], virtualService('timeout: 9s'))).code).toBe(0);
});

test('apply: a proxy that says nothing is told of when the time is over; one in another namespace does not count', async () => {
  await fairlead(['apply', '-f', '-'], virtualService('timeout: 3s'));
  let isMute = false;
  await connect('mute-0', { isMute: () => isMute });
  isMute = true;
  const own = virtualService('timeout: 5s').replace('spec:\n', "spec:\n  exportTo: ['.']\n");
  const late = await fairlead(['apply', '-f', '-', '--timeout', '1s'], own);
  expect(late.code).toBe(1);
  expect(late.error).toMatch(/^revision \d+: 3 of 4 affected proxies have acknowledged, 1 lags$/m);
  expect(late.error).toMatch(
    /^ {2}lagging {2}mute-0.default {2}RDS 9080: sent, not acknowledged, for \d+(\.\d)? m?s$/m,
  );
  const edited = await fairlead(
    ['apply', '-f', '-', '--timeout', '1s'],
    own.replace('timeout: 5s', 'timeout: 6s'),
  );
  // Exported to its own namespace alone, now and before.
  expect(edited.error).toMatch(/^revision \d+: 2 of 3 affected proxies have acknowledged, 1 lags$/m);
  const revision = /^revision (\d+)/m.exec(edited.error)?.[1] ?? '';
  expect((await fairlead(['wait', revision, '--timeout', '100ms'])).error).toMatch(
    /^fairlead: timeout expired before revision \d+ became effective on all sidecars\n/,
  );
  // Who disconnects drops out.
  clients.pop()?.close();
  const waited = await fairlead(['wait', revision]);
  expect(waited.out).toBe(`Revision ${revision} present on 2 out of 2 configurations across 2 sidecars\n`);
});

test('apply: an object is replaced where it stands, and comments elsewhere stay', async () => {
  const changed = services
    .split('---\n')[1]
    ?.replace('# Another.', '# My own words.')
    .replace('name: http,', 'name: http-web,');
  const { code, error } = await fairlead(['apply', '-f', '-'], changed);
  expect([code, error]).toEqual([0, expect.stringContaining('written: mesh/services.yaml')]);
  expect(readFileSync(join(folder, 'mesh/services.yaml'), 'utf8')).toBe(
    services.replace(/(ratings[^]*)name: http,/, '$1name: http-web,'),
  );
});

test('apply: what is invalid is told as validate tells it, and nothing is written', async () => {
  const before = readdirSync(join(folder, 'mesh'));
  const { code, out, error } = await fairlead(
    ['apply', '-f', '-'],
    `${virtualService('timeout: 3s', 'ratings')}---\n${virtualService('timeout: soon', 'other')}`,
  );
  expect([code, out]).toEqual([1, '']);
  expect(error).toMatch(
    /^fairlead: nothing was written, for not everything is valid:\nstdin:16:5: VirtualService default\/other: spec.http\[0\].timeout: /,
  );
  expect(readdirSync(join(folder, 'mesh'))).toEqual(before);
});

test('delete: the object goes, and the proxies have acknowledged that', async () => {
  await fairlead(['apply', '-f', '-'], virtualService('timeout: 3s'));
  const deleted = await fairlead(['delete', 'vs', 'reviews']);
  expect(deleted).toMatchObject({ code: 0, out: 'virtualservice.networking.istio.io "reviews" deleted\n' });
  expect(deleted.error).toMatch(/^revision \d+: 3 of 3 affected proxies have acknowledged$/m);
  expect(deleted.error).toMatch(/^removed: mesh\/virtualservice-reviews.yaml$/m);
  expect(readdirSync(join(folder, 'mesh'))).toEqual(['services.yaml']);
  expect((await fairlead(['wait', '--for=delete', 'vs', 'reviews'])).code).toBe(0);
  expect(await fairlead(['delete', 'vs', 'reviews'])).toMatchObject({
    code: 1,
    error: 'fairlead: (NotFound): virtualservice.networking.istio.io "reviews" not found\n',
  });
});

test.each([
  [
    ['apply', '-f', '-', '--wait=maybe'],
    64,
    "option '--wait [boolean]' argument 'maybe' is invalid. give true",
  ],
  [['apply', '-f', '-', '-n', 'Bad_NS'], 64, "argument 'Bad_NS' is invalid. give the name of a namespace"],
  [
    ['apply', '-f', 'nothing.yaml'],
    1,
    'cannot stat file "nothing.yaml": ENOENT: no such file or directory\n',
  ],
  [['wait', '1', '--proxy', 'nobody.default'], 1, 'fairlead: nobody.default is not connected to the control'],
])('%j: what makes no sense is told in words', async (args, code, error) => {
  expect(await fairlead(args)).toMatchObject({ code, error: expect.stringContaining(error) });
});

test('apply: a control plane that does not take files over is told of (stopped), and one that is not there', async () => {
  pilot.kill('SIGSTOP');
  const hung = await fairlead(['apply', '-f', '-', '--timeout', '500ms'], virtualService('timeout: 3s'));
  pilot.kill('SIGCONT');
  expect(hung.code).toBe(1);
  expect(hung.error).toContain('cannot reach the control plane');
  const nobody = await fairlead(
    ['apply', '-f', '-', '--debug-address', '127.0.0.1:1'],
    virtualService('timeout: 3s'),
  );
  expect([nobody.code, nobody.error]).toEqual([1, expect.stringContaining('nobody listens there')]);
  expect(readdirSync(join(folder, 'mesh'))).toEqual(['services.yaml']);
});

test('proxy-status: both dialects, SYNCED, STALE, ERROR, NOT SENT and IGNORED; wait counts delta proxies, too (B4.10, delta-xds-stale)', async () => {
  const loads = (
    [
      ['delta', 'delta-{n}'],
      ['delta', 'lag-{n}', '--lagging', '100', '--ack-after', '60s'],
      ['sotw', 'late-{n}', '--lagging', '100', '--ack-after', '60s'],
      ['delta', 'nack-{n}', '--nacking', '100', '--nack-resource', '9080'],
    ] as const
  ).map(([dialect, name, ...args]) =>
    spawn(
      process.execPath,
      [
        fairleadMain,
        'x',
        'load',
        '--address',
        `127.0.0.1:${ports[0]}`,
        '--proxies',
        '1',
        '--dialect',
        dialect,
        '--namespace',
        'default',
        '--pod',
        name,
        '--duration',
        '60s',
        ...args,
      ],
      { stdio: 'ignore' },
    ),
  );
  try {
    clients[0]?.bare.send({ typeUrl: typeUrls.extensionConfig, resourceNames: ['nothing'] });
    const table = await waitFor('all states', async () => {
      const { out } = await fairlead(['ps', '-v', '1']);
      return /^delta-0\..*(SYNCED.*){4}/m.test(out) &&
        /^nack-0\..*ERROR/m.test(out) &&
        /^la.*STALE/m.test(out)
        ? out
        : undefined;
    });
    const cells = (pod: string): readonly string[] =>
      table
        .split('\n')
        .find((line) => line.startsWith(`${pod}.`))
        ?.split(/ {3,}/)
        .slice(2, 7)
        .map((cell) => cell.replace(/ \(.*/, '')) ?? [];
    // CDS, ECDS, EDS, LDS, RDS
    expect(cells('quick-0')).toEqual(['SYNCED', 'NOT SENT', 'SYNCED', 'SYNCED', 'SYNCED']);
    expect(cells('delta-0')).toEqual(['SYNCED', 'IGNORED', 'SYNCED', 'SYNCED', 'SYNCED']);
    expect(cells('lag-0')).toEqual(['STALE', 'IGNORED', 'IGNORED', 'IGNORED', 'IGNORED']);
    expect(cells('late-0')).toEqual(['STALE', 'IGNORED', 'IGNORED', 'IGNORED', 'IGNORED']);
    expect(cells('nack-0')).toEqual(['SYNCED', 'IGNORED', 'SYNCED', 'SYNCED', 'ERROR']);
    const { code, error } = await fairlead(
      ['apply', '-f', '-', '--timeout', '2s'],
      virtualService('timeout: 8s', 'ratings'),
    );
    expect(code).toBe(1);
    expect(error).toMatch(/^ {2}refused {2}nack-0.default {2}RDS 9080: played: 9080 is refused$/m);
    const delta = await fairlead(['wait', 'vs', 'ratings', '--proxy', 'delta-0.default']);
    expect(delta.out).toMatch(/present on 1 out of 1 configurations across 1 sidecars\n$/);
    // Beside the table, on standard error: what was refused.
    expect((await fairlead(['ps'])).error).toMatch(/^refused: RDS 9080 \(from .*: played: 9080 is refused$/m);
    // After the change nothing of it is left as STALE.
    expect((await fairlead(['ps', '-v', '1'])).out).toMatch(/^delta-0\.(?!.*STALE)(.*SYNCED){4}/m);
  } finally {
    for (const load of loads) load.kill('SIGKILL');
  }
  await waitFor('their end', async () => !/^nack-0/m.test((await fairlead(['ps'])).out) || undefined);
  await fairlead(['delete', 'vs', 'ratings']);
});

test('wait: words and exit codes of a command line that makes no sense', async () => {
  expect(await fairlead(['wait', 'not-service', 'foo.default'])).toMatchObject({
    code: 1,
    error: 'fairlead: type not-service is not recognized\n',
  });
  expect((await fairlead(['wait', '--for=ready', 'vs', 'foo'])).code).toBe(64);
  expect((await fairlead(['wait', 'vs'])).code).toBe(64);
  expect(await fairlead(['wait', 'virtual-service', 'bar.default', '--timeout', '20ms'])).toMatchObject({
    code: 1,
    error: expect.stringMatching(
      /^fairlead: timeout expired before resource networking.istio.io\/v1\w*\/VirtualService\/default\/bar became effective on all sidecars\n/,
    ) as string,
  });
});

test('/debug/pushes: the trigger, the proxies, responses, bytes and milliseconds; newest last', async () => {
  await fairlead(['apply', '-f', '-'], virtualService('timeout: 7s'));
  interface Pushes {
    readonly pushes: readonly Record<string, unknown>[];
  }
  const { pushes } = JSON.parse((await get('/debug/pushes')).body) as Pushes;
  expect(pushes.at(-1)).toMatchObject({
    reasons: { config: 1 },
    objects: ['VirtualService/default/reviews'],
    connected: 3,
    waiting: 0,
    proxyCount: 3,
    responseCount: 3,
    resources: 3,
  });
  const own = JSON.parse((await get('/debug/pushes?proxyID=quick-0.default')).body) as Pushes;
  expect(own.pushes.at(-1)).toMatchObject({
    proxies: ['quick-0.default'],
    responses: [{ proxy: 'quick-0.default', type: 'RDS', resources: 1 }],
  });
});
