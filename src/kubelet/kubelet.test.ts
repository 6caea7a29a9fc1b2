// Tests of the kubelet with real processes: small node programs as apps, and a stand-in for the proxy that
// knows nothing but its admin page.
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { envoyFilter } from '../../test/support/envoy-filters.ts';
import { call } from '../../test/support/http.ts';
import { waitFor } from '../../test/support/wait.ts';
import { ProcessGuard, processesOfRun } from '../agent/guard.ts';
import { LocalProcesses } from '../agent/process.ts';
import { systemClock } from '../base/clock.ts';
import { seededRandom } from '../base/random.ts';
import type { PodStatus } from '../config/kube-types.ts';
import { defaultProxyConfig } from '../config/mesh-config.ts';
import { readText } from '../config/reader.ts';
import { ConfigStore } from '../config/store.ts';
import { AddressAllocator } from './addresses.ts';
import { inheritedEnvironment } from './container-environment.ts';
import { Kubelet } from './kubelet.ts';

let directory: string;
let state: string;
let wishes: ConfigStore;
let facts: ConfigStore;
let guard: ProcessGuard;
let kubelet: Kubelet;
let lines: string[];
let tokens: string[];
let revoked: string[];
let events: string[];
let faults: unknown[];
let network = 20;

/** Serves its name; `/ready` says 200 when the file `ready` lies in its folder; `/slow` takes 400 ms. */
const app = `
const http = require('node:http');
const fs = require('node:fs');
const env = process.env;
console.log('listening on ' + env.HOST + ':' + env.PORT, env.GREETING ?? '');
const server = http.createServer((request, response) => {
  if (request.url === '/exit') process.exit(7);
  if (request.url === '/env') return response.end(JSON.stringify(env));
  if (request.url === '/ready') { response.statusCode = fs.existsSync('ready') ? 200 : 503; return response.end(); }
  if (request.url === '/slow') return setTimeout(() => response.end('slow'), 400);
  response.end(env.POD_NAME);
}).listen(Number(env.PORT), env.HOST);
process.on('SIGTERM', () => { console.log('told to end'); server.close(() => process.exit(0)); server.closeIdleConnections(); });
`;

/** What a proxy shows of itself: LIVE, and one request under way while the file \`busy\` exists. */
const proxy = `
const http = require('node:http');
const fs = require('node:fs');
const bootstrap = JSON.parse(fs.readFileSync(process.argv[4]));
const { address, port_value } = bootstrap.admin.address.socket_address;
console.log('proxy of ' + bootstrap.node.id);
console.log('told ' + JSON.stringify({ ...bootstrap.node.metadata, ...process.env }));
console.log('flushes ' + bootstrap.stats_flush_interval);
http.createServer((request, response) => {
  if (request.url === '/ready') return response.end(fs.existsSync(${JSON.stringify('DIR')} + '/unready') ? 'INITIALIZING' : 'LIVE');
  const busy = fs.existsSync(${JSON.stringify('DIR')} + '/busy') ? 1 : 0;
  response.end('http.inbound_0.0.0.0_80;.downstream_rq_active: ' + busy + '\\n');
}).listen(port_value, address);
`;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'fairlead-kubelet-'));
  state = mkdtempSync(join(tmpdir(), 'fairlead-kubelet-state-'));
  writeFileSync(join(directory, 'app.cjs'), app);
  writeFileSync(join(directory, 'proxy.cjs'), proxy.replaceAll('DIR', directory));
  lines = [];
  tokens = [];
  revoked = [];
  events = [];
  faults = [];
  wishes = new ConfigStore();
  facts = new ConfigStore();
  network++;
  guard = new ProcessGuard({
    self: [process.execPath, '-e', 'process.stdin.resume()'],
    runId: `kubelet-test-${process.pid}-${network}`,
    stateDirectory: state,
    environment: { PATH: process.env['PATH'] ?? '' },
  });
  kubelet = new Kubelet({
    wishes,
    facts,
    clock: systemClock,
    random: seededRandom(network),
    starter: new LocalProcesses(guard, state, systemClock),
    addresses: new AddressAllocator(`127.80.${network}.0/24`),
    listener: {
      line: (pod, container, line) => lines.push(`${pod.facts.name}/${container}: ${line}`),
      event: (pod, container, text) => events.push(`${pod.facts.name}/${container}: ${text}`),
      changed: () => {},
    },
    onFault: (error) => faults.push(error),
    dataPlane: { kind: 'fairlead', self: [process.execPath, join(directory, 'proxy.cjs')] },
    proxyLogLevel: 'warning',
    discovery: { address: '127.0.0.1', port: 25_010 },
    tokens: {
      issue: ({ namespace, serviceAccount }) => {
        const token = `token-${tokens.length}-${namespace}-${serviceAccount}`;
        tokens.push(token);
        return token;
      },
      revoke: (token) => void revoked.push(token),
    },
    stateDirectory: state,
    sources: {
      baseEnvironment: inheritedEnvironment(process.env),
      self: [process.execPath, join(directory, 'proxy.cjs')],
      nodePath: process.execPath,
    },
    machineName: 'here',
    rootNamespace: 'istio-system',
    defaultProxyConfig: () => ({ ...defaultProxyConfig, proxyMetadata: { FROM_MESH: 'yes' } }),
    domainSuffix: 'cluster.local',
    trustDomain: 'cluster.local',
    httpProxyPort: 15_080,
    gateway: { hostAddresses: ['127.0.0.1'], hostPort: 25_080 },
    firstOpenPort: 0,
    times: { sidecarWaitMs: 10_000, endpointRemovalMs: 100, drainMsMax: 5000 },
  });
});

afterEach(async () => {
  await kubelet.stop(2000);
  await guard.close();
  await waitFor('all processes to end', () => guard.groups.size === 0);
  expect(processesOfRun(`kubelet-test-${process.pid}-${network}`, new Set())).toEqual([]);
  expect(existsSync(state)).toBe(false);
  rmSync(directory, { recursive: true });
});

function apply(yaml: string): void {
  const file = join(directory, 'mesh.yaml');
  const { configs, diagnostics } = readText(file, yaml);
  expect(diagnostics.filter(({ severity }) => severity === 'error')).toEqual([]);
  const kept = new Set(configs.map(({ kind, namespace, name }) => `${kind}/${namespace}/${name}`));
  const deletes = wishes.keysOf(file).filter((key) => !kept.has(key));
  wishes.applyBatch(file, configs, deletes);
}

interface Wish {
  readonly replicas?: number;
  readonly version?: string;
  readonly ownLabel?: string;
  readonly container?: string;
  readonly namespaceLabels?: string;
}

function deployment({
  replicas = 1,
  version = 'v1',
  ownLabel = 'a',
  container,
  namespaceLabels,
}: Wish): string {
  return `
apiVersion: v1
kind: Namespace
metadata: { name: default, labels: { ${namespaceLabels ?? 'istio-injection: enabled'} } }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, labels: { own: ${ownLabel} } }
spec:
  replicas: ${replicas}
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web, version: ${version} } }
    spec:
      containers:
      - name: app
${container ?? defaultContainer}
`;
}

const defaultContainer = `
        command: [node, app.cjs]
        ports: [{ containerPort: 8000 }]`;

interface Seen {
  readonly name: string;
  readonly ip: string;
  readonly ready: boolean;
  readonly terminating: boolean;
  readonly version: string | undefined;
}

/** The pods of the mesh, the gateway left out. */
function pods(): Seen[] {
  return facts
    .list('Pod')
    .filter(({ namespace }) => namespace === 'default')
    .map(({ name, labels, status, deletionTimeMs }) => {
      const { podIP = '', conditions = [] } = status as PodStatus;
      return {
        name,
        ip: podIP,
        ready: conditions.some((condition) => condition.type === 'Ready' && condition.status === 'True'),
        terminating: deletionTimeMs !== undefined,
        version: labels['version'],
      };
    });
}

const serving = (): Seen[] => pods().filter(({ ready, terminating }) => ready && !terminating);
const appOf = (pod: Seen): string => {
  const { addresses, httpProxyPort } = kubelet.pods.find(({ facts: { name } }) => name === pod.name)!.facts;
  return httpProxyPort === undefined ? addresses.podIp : addresses.appAddress;
};

test('Kubelet: runs replicas, scales, and a label of the Deployment itself restarts nothing (A5.03)', async () => {
  apply(deployment({ replicas: 1 }));
  kubelet.start();
  const [first] = await waitFor('one pod', () => (serving().length === 1 ? serving() : undefined));
  expect(first?.name).toMatch(/^web-[b-z2-9]{10}-[b-z2-9]{5}$/);
  const answer = await call({ url: `http://${appOf(first!)}:8000/` });
  expect(answer.body).toBe(first?.name);
  apply(deployment({ replicas: 3, ownLabel: 'b' }));
  await waitFor('three pods', () => serving().length === 3);
  expect(serving().map(({ name }) => name)).toContain(first?.name);
  apply(deployment({ replicas: 1, ownLabel: 'c' }));
  await waitFor('one pod again', () => pods().length === 1);
  expect(pods()[0]?.name).toBe(first?.name);
  apply('');
  await waitFor('no pod', () => pods().length === 0);
  expect(lines.some((line) => line.startsWith(`${first?.name}/app: listening on 127.80.`))).toBe(true);
});

test('Kubelet: a pod has sidecar, addresses and environment; without injection the app has the pod IP', async () => {
  apply(deployment({}));
  kubelet.start();
  const [pod] = await waitFor('the pod', () => (serving().length === 1 ? serving() : undefined));
  const env = JSON.parse((await call({ url: `http://${appOf(pod!)}:8000/env` })).body) as Record<
    string,
    string
  >;
  expect(env).toMatchObject({
    PORT: '8000',
    POD_NAME: pod?.name,
    POD_NAMESPACE: 'default',
    POD_IP: pod?.ip,
    HTTP_PROXY: `http://${pod?.ip}:15080`,
    http_proxy: `http://${pod?.ip}:15080`,
  });
  expect(env['HOST']).not.toBe(pod?.ip);
  expect(env['NO_PROXY']?.split(',')).toContain(env['HOST']);
  expect(env['NO_PROXY']?.split(',')).toContain('127.0.0.0/8');
  expect(lines.join('\n')).toContain(
    `proxy of sidecar~${pod?.ip}~${pod?.name}.default~default.svc.cluster.local`,
  );
  // Taking the label away changes nothing that runs; what comes next has no sidecar (A1.08).
  apply(deployment({ namespaceLabels: '' }));
  apply(deployment({ namespaceLabels: '', version: 'v2' }));
  const [bare] = await waitFor('the next pod', () => {
    const next = serving().filter(({ version }) => version === 'v2');
    return next.length === 1 ? next : undefined;
  });
  expect(appOf(bare!)).toBe(bare?.ip);
  const bareEnv = JSON.parse((await call({ url: `http://${bare?.ip}:8000/env` })).body) as Record<
    string,
    string
  >;
  expect(bareEnv['HOST']).toBe(bare?.ip);
  expect(bareEnv['HTTP_PROXY']).toBeUndefined();
});

test('Kubelet: a proxy is started as MeshConfig, ProxyConfig and annotation say, and with BOOTSTRAP patches (C1.03, partly C13.06)', async () => {
  const proxyConfig = (name: string, spec: string): string =>
    `\n---\napiVersion: networking.istio.io/v1beta1\nkind: ProxyConfig\nmetadata: { name: ${name} }\nspec: ${spec}`;
  const own = proxyConfig(
    'own',
    '{ selector: { matchLabels: { app: web } }, environmentVariables: { OWN: "yes" } }',
  );
  const patch = envoyFilter('BOOTSTRAP', 'MERGE', '{ stats_flush_interval: 7s }');
  apply(
    deployment({}) + proxyConfig('wide', '{ environmentVariables: { ISTIO_META_ROLE: edge } }') + own + patch,
  );
  kubelet.start();
  await waitFor('the pod', () => serving().length === 1 || undefined);
  // The gateway's proxy says what it was told, too.
  const said = lines.filter((line) => line.startsWith('web-')).join('\n');
  const told = JSON.parse(/told (\{.*\})/.exec(said)?.[1] ?? '{}') as Record<string, string>;
  expect(told).toMatchObject({ FROM_MESH: 'yes', OWN: 'yes', ROLE: 'edge', ISTIO_META_ROLE: 'edge' });
  expect(said).toContain('flushes 7s');
});

test('Kubelet: each proxy has a token of its own, in a file that others cannot read, until it ends', async () => {
  apply(deployment({ replicas: 2 }));
  kubelet.start();
  await waitFor('two pods', () => serving().length === 2);
  // The third is the built-in gateway's.
  expect(tokens.map((token) => token.replace(/^token-\d+-/, '')).sort()).toEqual([
    'default-default',
    'default-default',
    expect.stringMatching(/^istio-system-/) as string,
  ]);
  const files = readdirSync(state).filter((name) => name.endsWith('.bootstrap.json'));
  expect(files).toHaveLength(3);
  const shown = files.map((name) => {
    expect(statSync(join(state, name)).mode & 0o777).toBe(0o600);
    const { dynamic_resources } = JSON.parse(readFileSync(join(state, name), 'utf8')) as {
      dynamic_resources: {
        ads_config: { grpc_services: { initial_metadata: { key: string; value: string }[] }[] };
      };
    };
    return dynamic_resources.ads_config.grpc_services[0]?.initial_metadata;
  });
  expect(shown.map((headers) => headers?.[0]?.value ?? '').toSorted()).toEqual(
    tokens.map((token) => `Bearer ${token}`),
  );
  expect(revoked).toEqual([]);
  await kubelet.stop(1000);
  expect(revoked.sort()).toEqual([...tokens].sort());
});

test('Kubelet: a new template is ready before the old pod goes, which finishes what is under way', async () => {
  apply(deployment({}));
  kubelet.start();
  const [old] = await waitFor('the pod', () => (serving().length === 1 ? serving() : undefined));
  writeFileSync(join(directory, 'busy'), '');
  const address = appOf(old!);
  apply(deployment({ version: 'v2' }));
  await waitFor('the old pod to drain', () => {
    expect(serving().length).toBeGreaterThanOrEqual(1);
    return pods().some(({ name, terminating }) => name === old?.name && terminating);
  });
  expect(serving()).toMatchObject([{ version: 'v2' }]);
  // Not an endpoint any more, but it still answers what its proxy is busy with.
  const slow = call({ url: `http://${address}:8000/slow` });
  expect((await slow).body).toBe('slow');
  rmSync(join(directory, 'busy'));
  await waitFor('the old pod to go', () => pods().length === 1);
  expect(lines).toContain(`${old?.name}/app: told to end`);
});

test('Kubelet: readiness gates the pod; sidecar and app must both be ready', async () => {
  const container = `
        command: [node, app.cjs]
        ports: [{ name: http, containerPort: 8000 }]
        readinessProbe: { httpGet: { path: /ready, port: http }, periodSeconds: 1, failureThreshold: 1 }`;
  apply(deployment({ container }));
  kubelet.start();
  await waitFor('the app to listen', () => lines.find((line) => line.includes('listening on')));
  expect(serving()).toEqual([]);
  writeFileSync(join(directory, 'ready'), '');
  await waitFor('ready', () => serving().length === 1);
  rmSync(join(directory, 'ready'));
  await waitFor('not ready', () => serving().length === 0);
  writeFileSync(join(directory, 'ready'), '');
  await waitFor('ready again', () => serving().length === 1);
});

test('Kubelet: probes by TCP and by command', async () => {
  for (const probe of ['tcpSocket: { port: 8000 }', 'exec: { command: [sh, -c, "test -f ready"] }']) {
    const container = `
        command: [node, app.cjs]
        ports: [{ containerPort: 8000 }]
        readinessProbe: { ${probe}, periodSeconds: 1 }`;
    apply(deployment({ container, version: `v-${probe.slice(0, 3)}` }));
    if (kubelet.pods.length === 0) kubelet.start();
    else {
      await waitFor('the second pod', () => pods().length === 2);
      writeFileSync(join(directory, 'ready'), '');
    }
    await waitFor('ready', () => serving().some(({ version }) => version === `v-${probe.slice(0, 3)}`));
  }
});

test('Kubelet: a subscriber that fails stops nothing', async () => {
  facts.subscribe(() => {
    throw new Error('a bug');
  });
  apply(deployment({}));
  kubelet.start();
  await waitFor('the pod', () => serving().length === 1);
  apply(deployment({ replicas: 2 }));
  await waitFor('the second', () => serving().length === 2);
  expect(faults[0]).toEqual(new Error('a bug'));
});

test('Kubelet: a crashed app is started again, and is no endpoint meanwhile', async () => {
  apply(deployment({}));
  kubelet.start();
  const [pod] = await waitFor('the pod', () => (serving().length === 1 ? serving() : undefined));
  await expect(call({ url: `http://${appOf(pod!)}:8000/exit` })).rejects.toThrow();
  await waitFor('not ready', () => serving().length === 0);
  await waitFor('ready again', () => serving().length === 1);
  expect(pods()[0]?.name).toBe(pod?.name);
  expect(events).toContain(`${pod?.name}/app: exit code 7; starting it again in 1 s (restart 1)`);
});

test('Kubelet: a container without command is named; other pods run', async () => {
  apply(`${deployment({})}
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: nginx }
spec:
  template:
    metadata: { labels: { app: nginx } }
    spec:
      containers:
      - name: nginx
        image: nginx:1.25.3
        ports: [{ containerPort: 80 }]
`);
  kubelet.start();
  await waitFor('web', () => serving().length === 1);
  expect(
    facts.diagnostics().map(({ message, object, fieldPath }) => ({ message, object, fieldPath })),
  ).toEqual([
    {
      message: 'container nginx: no command: images are not pulled; give it a command',
      object: { kind: 'Deployment', namespace: 'default', name: 'nginx' },
      fieldPath: ['spec', 'template', 'spec', 'containers', 0],
    },
  ]);
  expect(pods().filter(({ ready }) => !ready)).toHaveLength(1);
});

test('Kubelet: what is asked for and cannot be had is named with its place', async () => {
  apply(`
apiVersion: v1
kind: Pod
metadata:
  name: much
  annotations: { traffic.sidecar.istio.io/excludeOutboundPorts: "3306", prometheus.io/scrape: "true" }
spec:
  containers:
  - name: app
    command: [sleep, "1000"]
    lifecycle: { preStop: { exec: { command: [sleep, "5"] } } }
    volumeMounts: [{ name: words, mountPath: /words }, { name: scratch, mountPath: /scratch }]
  - name: other
    command: [sleep, "1000"]
    livenessProbe: { grpc: { port: 9000 } }
    env: [{ name: LIMIT, valueFrom: { resourceFieldRef: { resource: limits.cpu } } }]
  volumes: [{ name: words, configMap: { name: words } }, { name: scratch, emptyDir: {} }]
`);
  kubelet.start();
  await waitFor('the pod', () => pods().length === 1);
  const found = facts.diagnostics().map(({ fieldPath, severity }) => `${severity} ${fieldPath.join('.')}`);
  expect(found.sort()).toEqual([
    'error spec.containers.1.env.0.valueFrom',
    'error spec.containers.1.livenessProbe.grpc',
    'warning metadata.annotations.traffic.sidecar.istio.io/excludeOutboundPorts',
    'warning spec.containers.0.lifecycle',
    'warning spec.containers.0.volumeMounts.0',
  ]);
});

test('Kubelet: env from fields, ConfigMaps and Secrets; a missing key is named and looked for again', async () => {
  const container = `
        command: [node, app.cjs]
        args: ["--name=$(POD_NAME)", "$$(POD_NAME)"]
        ports: [{ containerPort: 8000 }]
        env:
        - { name: VERSION, valueFrom: { fieldRef: { fieldPath: "metadata.labels['version']" } } }
        - { name: GREETING, valueFrom: { configMapKeyRef: { name: words, key: hello } } }
        - { name: SECRET, valueFrom: { secretKeyRef: { name: words, key: hello } } }
        - { name: BOTH, value: "$(GREETING)-$(SECRET)-$(NOBODY)" }
        envFrom: [{ prefix: W_, configMapRef: { name: words } }]`;
  const words = `
---
apiVersion: v1
kind: ConfigMap
metadata: { name: words }
data: { hello: good day }
---
apiVersion: v1
kind: Secret
metadata: { name: words }
data: { hello: c2VjcmV0 }
`;
  apply(deployment({ container }));
  kubelet.start();
  await waitFor('the complaint', () =>
    facts
      .diagnostics()
      .some(({ message }) => message === 'there is no ConfigMap default/words with the key hello'),
  );
  apply(deployment({ container }) + words);
  const [pod] = await waitFor('the pod', () => (serving().length === 1 ? serving() : undefined));
  const env = JSON.parse((await call({ url: `http://${appOf(pod!)}:8000/env` })).body) as Record<
    string,
    string
  >;
  expect(env).toMatchObject({
    VERSION: 'v1',
    GREETING: 'good day',
    SECRET: 'secret',
    BOTH: 'good day-secret-$(NOBODY)',
    W_hello: 'good day',
  });
  expect(facts.diagnostics()).toEqual([]);
});

test('Kubelet: a StatefulSet has stable names; a bare Pod keeps its own, and one with an address is not run', async () => {
  apply(`
apiVersion: apps/v1
kind: StatefulSet
metadata: { name: db }
spec:
  replicas: 2
  template:
    metadata: { labels: { app: db } }
    spec: { containers: [{ name: app, command: [node, app.cjs], ports: [{ containerPort: 8000 }] }] }
---
apiVersion: v1
kind: Pod
metadata: { name: tool, labels: { app: tool } }
spec: { containers: [{ name: tool, command: [tail, -f, /dev/null] }] }
---
apiVersion: v1
kind: Pod
metadata: { name: elsewhere, labels: { app: elsewhere } }
spec: { containers: [{ name: app }] }
status: { phase: Running, podIP: 127.80.99.99 }
`);
  kubelet.start();
  await waitFor('all pods', () => serving().length === 3);
  expect(pods().map(({ name }) => name)).toEqual(['db-0', 'db-1', 'elsewhere', 'tool']);
  expect(kubelet.pods.map(({ facts: { name } }) => name)).not.toContain('elsewhere');
});

test('Kubelet: init containers run to their end first', async () => {
  apply(`
apiVersion: v1
kind: Pod
metadata: { name: two }
spec:
  initContainers:
  - { name: first, command: [sh, -c, 'echo one; sleep 0.2; echo two'] }
  containers:
  - { name: app, command: [sh, -c, 'echo three; sleep 1000'] }
  - { name: other, command: [sleep, "1000"] }
`);
  kubelet.start();
  await waitFor('ready', () => serving().length === 1);
  await waitFor('its lines', () => lines.filter((line) => line.startsWith('two/')).length === 3);
  expect(lines.filter((line) => line.startsWith('two/'))).toEqual([
    'two/first: one',
    'two/first: two',
    'two/app: three',
  ]);
});

test('Kubelet: the built-in gateway has a Service, and gives way to one of the user’s', async () => {
  apply('');
  kubelet.start();
  const gateways = () => facts.list('Pod').filter(({ namespace }) => namespace === 'istio-system');
  await waitFor('the gateway', () => gateways()[0]);
  expect(gateways()[0]?.labels).toMatchObject({ app: 'istio-ingressgateway', istio: 'ingressgateway' });
  expect(facts.get('Service', 'istio-system', 'istio-ingressgateway')).toBeDefined();
  apply(`
apiVersion: apps/v1
kind: Deployment
metadata: { name: edge, namespace: edge }
spec:
  template:
    metadata:
      labels: { istio: edge, sidecar.istio.io/inject: "true" }
      annotations: { inject.istio.io/templates: gateway }
    spec: { containers: [{ name: istio-proxy, image: auto }] }
`);
  await waitFor('the user’s gateway', () =>
    lines.find((line) => line.includes('proxy of router~') && line.includes('edge-')),
  );
  await waitFor('the built-in one to go', () => gateways().length === 0);
  expect(facts.get('Service', 'istio-system', 'istio-ingressgateway')).toBeUndefined();
});
