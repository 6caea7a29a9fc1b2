// `fairlead up` as a whole: rollouts under load, and that it leaves nothing behind, however it ends.
import type { ChildProcess } from 'node:child_process';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { steadyLoad } from './support/load.ts';
import type { DataPlane, Mesh } from './support/mesh.ts';
import { fairleadMain, freePorts, startMesh } from './support/mesh.ts';
import { needs } from './support/tools.ts';
import { waitFor } from './support/wait.ts';

let mesh: Mesh | undefined;
const folders: string[] = [];
const children: ChildProcess[] = [];
afterEach(async () => {
  await mesh?.stop();
  mesh = undefined;
  for (const child of children.splice(0)) child.kill('SIGKILL');
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

interface Template {
  readonly replicas: number;
  readonly greeting: string;
}

/** An echo server that says its greeting, and a way in. */
function yaml({ replicas, greeting }: Template): string {
  return `apiVersion: v1
kind: Namespace
metadata: { name: roll, labels: { istio-injection: enabled } }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: roll }
spec:
  replicas: ${replicas}
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      containers:
        - name: echo
          command: [fairlead, x, echo, --quiet, --header, 'x-greeting:${greeting}']
          ports: [{ containerPort: 8080 }]
---
apiVersion: v1
kind: Service
metadata: { name: web, namespace: roll }
spec: { selector: { app: web }, ports: [{ name: http, port: 80, targetPort: 8080 }] }
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: way-in, namespace: roll }
spec:
  selector: { istio: ingressgateway }
  servers: [{ port: { number: 80, name: http, protocol: HTTP }, hosts: ['*'] }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: web, namespace: roll }
spec:
  hosts: ['*']
  gateways: [way-in]
  http: [{ route: [{ destination: { host: web } }] }]
`;
}

describe.each<{ dataPlane: DataPlane; network: number }>([
  { dataPlane: 'fairlead', network: 80 },
  { dataPlane: 'envoy', network: 81 },
])('$dataPlane', ({ dataPlane, network }) => {
  test.skipIf(dataPlane === 'envoy' && needs('envoy'))(
    'up: a new template and every scaling lose no request under load (A5.03)',
    { timeout: 120_000 },
    async () => {
      const running = await startMesh({
        files: { 'mesh.yaml': yaml({ replicas: 1, greeting: 'one' }) },
        dataPlane,
        network,
      });
      mesh = running;
      const seen = new Set<string>();
      const load = steadyLoad(100, async (agent) => {
        const answer = await running.fromGateway({ url: 'http://up.test/', agent });
        seen.add(`${answer.headers['x-greeting']}`);
        return answer;
      });
      const roll = async (greeting: string, replicas: number): Promise<void> => {
        running.write('mesh.yaml', yaml({ replicas, greeting }));
        await waitFor(`${greeting} to answer alone`, async () => {
          seen.clear();
          const from = load.sent() + 50;
          await waitFor('fifty requests', () => load.sent() > from);
          return seen.size === 1 && seen.has(greeting);
        });
      };
      await roll('two', 1);
      await roll('three', 3);
      await roll('four', 2);
      await load.stop();
      expect(load.failures()).toEqual([]);
    },
  );
});

test('up: a reference that leads nowhere is named with its place; a way in that closes and opens is said', async () => {
  const good = yaml({ replicas: 1, greeting: 'one' });
  const running = await startMesh({ files: { 'mesh.yaml': good }, network: 89 });
  mesh = running;
  const says = async (text: string): Promise<void> => {
    await waitFor(`"${text}"`, () => running.output().includes(text));
  };
  await says('The mesh is ready');
  running.write('mesh.yaml', good.replace('destination: { host: web }', 'destination: { host: wbe }'));
  await says(`VirtualService roll/web: spec.http[0].route[0].destination.host: there is no Service`);
  running.write('mesh.yaml', good);
  await says('all configuration is good again');
  running.write('mesh.yaml', good.replace('number: 80', 'number: 81'));
  await says('does not answer any more: no Gateway of the YAML opens port 80 there');
  running.write('mesh.yaml', good);
  await says('answers now');
});

interface RawMesh {
  readonly child: ChildProcess;
  /** Its TMPDIR: everything of it has that in its environment, and all its files are there. */
  readonly temporary: string;
  readonly output: () => string;
  readonly exit: Promise<number | null>;
}

/** `fairlead up` with a temporary folder of its own. */
async function raw(content: string, network: number, args: readonly string[] = []): Promise<RawMesh> {
  const folder = mkdtempSync(join(tmpdir(), 'up-test-'));
  const temporary = mkdtempSync(join(tmpdir(), 'up-test-tmp-'));
  folders.push(folder, temporary);
  writeFileSync(join(folder, 'mesh.yaml'), content);
  const [gatewayPort, xdsPort, debugPort] = await freePorts(3);
  const ports = ['--port', `${gatewayPort}`, '--xds-port', `${xdsPort}`, '--debug-port', `${debugPort}`];
  const child = spawn(
    process.execPath,
    [fairleadMain, 'up', folder, ...ports, '--address-range', `127.${network}`, ...args],
    { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, TMPDIR: temporary } },
  );
  children.push(child);
  let output = '';
  const collect = (chunk: Buffer): void => {
    output += chunk.toString();
  };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  const exit = new Promise<number | null>((resolve) => void child.on('exit', resolve));
  return { child, temporary, output: () => output, exit };
}

/** Processes that belong to a mesh. */
function processesOf({ temporary }: RawMesh): string[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(`TMPDIR=${temporary}`);
      } catch {
        return false;
      }
    });
}

const ready = (started: RawMesh): Promise<boolean> =>
  waitFor('the mesh to be ready', () => started.output().includes('mesh is ready'), 60_000);

/** An app that ignores SIGTERM and has children, one of which leaves its process group. */
const stubborn = `apiVersion: apps/v1
kind: Deployment
metadata: { name: stubborn }
spec:
  selector: { matchLabels: { app: stubborn } }
  template:
    metadata: { labels: { app: stubborn, sidecar.istio.io/inject: "true" } }
    spec:
      containers:
        - name: app
          command: [sh, -c, "trap '' TERM; setsid sleep 1000 & sleep 1000 & wait; sleep 1000"]
`;

test.runIf(process.platform === 'linux')(
  'up: Ctrl-C ends everything, and no process and no file is left',
  { timeout: 60_000 },
  async () => {
    const started = await raw(stubborn, 82);
    await ready(started);
    expect(processesOf(started).length).toBeGreaterThanOrEqual(6);
    started.child.kill('SIGINT');
    expect(await started.exit).toBe(0);
    expect(processesOf(started)).toEqual([]);
    expect(readdirSync(started.temporary)).toEqual([]);
  },
);

test.runIf(process.platform === 'linux')(
  'up: a second Ctrl-C does not wait',
  { timeout: 60_000 },
  async () => {
    const started = await raw(stubborn, 83);
    await ready(started);
    const sentMs = performance.now();
    started.child.kill('SIGINT');
    await waitFor('the first to be seen', () => started.output().includes('ending everything'));
    started.child.kill('SIGINT');
    expect(await started.exit).toBe(1);
    expect(performance.now() - sentMs).toBeLessThan(2500);
    expect(processesOf(started)).toEqual([]);
    expect(readdirSync(started.temporary)).toEqual([]);
  },
);

test.runIf(process.platform === 'linux')(
  'up: killed with SIGKILL, its processes end and its files go all the same',
  { timeout: 60_000 },
  async () => {
    const started = await raw(stubborn, 84);
    await ready(started);
    started.child.kill('SIGKILL');
    await started.exit;
    await waitFor('its processes to end', () => processesOf(started).length === 0);
    expect(readdirSync(started.temporary)).toEqual([]);
  },
);

test('up: a port in use names its owner and the flag that moves it', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(25_980, '127.0.0.1', resolve);
  });
  try {
    const started = await raw(stubborn, 85, ['--port', '25980']);
    expect(await started.exit).toBe(1);
    expect(started.output()).toMatch(
      new RegExp(
        `^fairlead: cannot listen on 127\\.0\\.0\\.1:25980 for the ingress gateway: process ${process.pid} \\(.*node.*\\) has it; end that process, or choose another with --port\n$`,
      ),
    );
    expect(readdirSync(started.temporary)).toEqual([]);
  } finally {
    server.close();
  }
});

test('up: two meshes cannot share their addresses, and the message says so', async () => {
  const first = await raw('', 86);
  await ready(first);
  const second = await raw('', 86);
  expect(await second.exit).toBe(1);
  expect(second.output()).toContain("for the pods' addresses 127.86: process");
  expect(second.output()).toContain('choose another with --address-range');
  first.child.kill('SIGTERM');
  expect(await first.exit).toBe(0);
});

test(
  'up: a container without command is named with its place; the rest of the mesh is ready',
  { timeout: 60_000 },
  async () => {
    const nginx = `---
apiVersion: apps/v1
kind: Deployment
metadata: { name: nginx }
spec:
  selector: { matchLabels: { app: nginx } }
  template:
    metadata: { labels: { app: nginx } }
    spec:
      containers:
        - { name: nginx, image: 'nginx:1.25.3' }
`;
    const started = await raw(stubborn + nginx, 87);
    await ready(started);
    expect(started.output()).toMatch(
      /error: .*mesh\.yaml:\d+:\d+: Deployment default\/nginx: spec\.template\.spec\.containers\[0\]: container nginx: no command: images are not pulled; give it a command\n/,
    );
    expect(started.output()).toContain('ready: default/stubborn-');
    started.child.kill('SIGINT');
    expect(await started.exit).toBe(0);
  },
);

test('up: wrong options say what would be accepted', () => {
  const up = (...args: string[]) =>
    spawnSync(process.execPath, [fairleadMain, 'up', ...args], { encoding: 'utf8' });
  expect(up('/no/such/folder').stderr).toBe(
    'fairlead: there is no folder or file /no/such/folder; give one with YAML in it\n',
  );
  expect(up('.', '--address-range', '10.0.0.0/8').stderr).toContain(
    'the address range 10.0.0.0/8 cannot be used',
  );
  expect(up('.', '--port', '99999').stderr).toContain('give a port from 1 to 65535');
  expect(up('.', '--data-plane', 'envoy', '--envoy-path', '/no/envoy').stderr).toContain(
    'cannot run Envoy as /no/envoy',
  );
});
