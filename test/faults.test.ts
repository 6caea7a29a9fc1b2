// Processes are killed while requests arrive: the mesh goes on, and nothing is lost.
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { writeGatewayBootstrap } from './support/gateway-bootstrap.ts';
import { call } from './support/http.ts';
import { steadyLoad } from './support/load.ts';
import type { Mesh } from './support/mesh.ts';
import { fairleadMain, freePorts, startMesh } from './support/mesh.ts';
import { waitFor } from './support/wait.ts';

const children: ChildProcess[] = [];
let mesh: Mesh | undefined;
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await mesh?.stop();
  mesh = undefined;
});

function fairlead(...args: string[]): ChildProcess {
  const child = spawn(process.execPath, [fairleadMain, ...args], { stdio: ['ignore', 'ignore', 'inherit'] });
  children.push(child);
  return child;
}

test(
  'pilot: killed and started again, requests go on and the next edit takes effect (partly D1.03, B1.09)',
  { timeout: 90_000 },
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'fairlead-faults-'));
    const [xdsPort, debugPort, backendPort] = await freePorts(3);
    const [gatewayPort] = await freePorts(1);
    const address = '127.95.0.1';
    writeFileSync(join(folder, 'mesh.yaml'), gatewayYaml(gatewayPort, backendPort, 'before'));
    const bootstrap = join(mkdtempSync(join(tmpdir(), 'fairlead-faults-')), 'bootstrap.json');
    writeGatewayBootstrap(bootstrap, 'gateway', address, xdsPort);
    const pilot = (): ChildProcess =>
      fairlead(
        'pilot',
        '--config-dir',
        folder,
        '--grpc-addr',
        `127.0.0.1:${xdsPort}`,
        '--http-addr',
        `127.0.0.1:${debugPort}`,
        '--log-level',
        'error',
      );
    fairlead('x', 'echo', '--host', '127.0.0.1', '--port', String(backendPort), '--quiet');
    const first = pilot();
    fairlead('proxy', '-c', bootstrap, '--log-level', 'error');
    const ask = { url: 'http://faults.test/', connectTo: `${address}:${gatewayPort}` };
    await waitFor(
      'the first route',
      async () => (await call(ask)).headers['x-edit'] === 'before' || undefined,
      30_000,
    );

    const load = steadyLoad(100, (agent) => call({ ...ask, agent }));
    first.kill('SIGKILL');
    await waitFor(
      'the control plane to be gone',
      () => first.exitCode !== null || first.signalCode !== null || undefined,
    );
    const sentWithout = load.sent();
    await waitFor('requests without a control plane', () => load.sent() > sentWithout + 100 || undefined);
    writeFileSync(join(folder, 'mesh.yaml'), gatewayYaml(gatewayPort, backendPort, 'after'));
    pilot();
    await waitFor(
      'the edit to take effect',
      () => load.latest()?.headers['x-edit'] === 'after' || undefined,
      60_000,
    );
    await load.stop();
    expect(load.failures()).toEqual([]);
    rmSync(folder, { recursive: true });
  },
);

test(
  'up: an app killed under load is started again, and no request is lost (A6.17)',
  { timeout: 120_000 },
  async () => {
    const running = await startMesh({ files: { 'apps.yaml': replicated }, network: 96 });
    mesh = running;
    const ask = { url: 'http://faults.test/' };
    const load = steadyLoad(50, (agent) => running.fromGateway({ ...ask, agent }));
    await waitFor('some requests', () => load.sent() > 50 || undefined);
    const victim = await waitFor('an echo server', () => echoServers()[0]);
    process.kill(victim, 'SIGKILL');
    await waitFor(
      'another process in its place',
      () => {
        const now = echoServers();
        return (now.length === 2 && !now.includes(victim)) || undefined;
      },
      40_000,
    );
    const pods = new Set<string>();
    await waitFor('both pods to answer again', () => {
      const body = load.latest()?.body;
      if (body !== undefined) pods.add((JSON.parse(body) as { pod: string }).pod);
      return pods.size === 2 || undefined;
    });
    await load.stop();
    expect(load.failures()).toEqual([]);
    expect(running.output()).toMatch(/web-.*(killed|SIGKILL|exit)/i);
  },
);

/** Process ids of the echo servers that `fairlead up` runs for this test's Deployment. */
function echoServers(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
        const marker = readFileSync(`/proc/${pid}/environ`, 'utf8');
        return command.includes('echo') && command.includes('--quiet') && marker.includes('FAULTS_TEST=1');
      } catch {
        return false;
      }
    });
}

function gatewayYaml(gatewayPort: number, backendPort: number, edit: string): string {
  return `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: backend }
spec:
  hosts: [backend.test]
  resolution: STATIC
  ports: [{ number: 80, name: http, protocol: HTTP }]
  endpoints: [{ address: 127.0.0.1, ports: { http: ${backendPort} } }]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: gateway }
spec:
  selector: { istio: ingressgateway }
  servers: [{ port: { number: ${gatewayPort}, name: http, protocol: HTTP }, hosts: [faults.test] }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: web }
spec:
  hosts: [faults.test]
  gateways: [gateway]
  http:
    - headers: { response: { set: { x-edit: ${edit} } } }
      route: [{ destination: { host: backend.test } }]
`;
}

const replicated = `apiVersion: v1
kind: Namespace
metadata: { name: faults, labels: { istio-injection: disabled } }
---
apiVersion: v1
kind: Service
metadata: { name: web, namespace: faults }
spec: { selector: { app: web }, ports: [{ name: http, port: 80, targetPort: 8080 }] }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: faults }
spec:
  replicas: 2
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      containers:
        - name: echo
          command: [fairlead, x, echo, --quiet]
          env: [{ name: FAULTS_TEST, value: '1' }]
          ports: [{ containerPort: 8080 }]
          readinessProbe: { httpGet: { path: /healthz, port: 8080 }, periodSeconds: 1 }
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: gateway, namespace: faults }
spec:
  selector: { istio: ingressgateway }
  servers: [{ port: { number: 80, name: http, protocol: HTTP }, hosts: [faults.test] }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: web, namespace: faults }
spec:
  hosts: [faults.test]
  gateways: [gateway]
  http:
    - retries: { attempts: 3, retryOn: 'connect-failure,reset' }
      route: [{ destination: { host: web } }]
`;
