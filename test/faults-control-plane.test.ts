// The control plane fails while requests pass through our proxy and stock Envoy, in both dialects: docs/faults.md says
// what happens in each case.
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import type { Server } from 'node:http';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { renderBootstrap } from '../src/agent/bootstrap.ts';
import { defaultNodeIdentity } from '../src/agent/node-identity.ts';
import { LoggerRegistry } from '../src/base/logger.ts';
import { ConfigStore } from '../src/config/store.ts';
import type { Pilot } from '../src/pilot/pilot.ts';
import { startPilot } from '../src/pilot/pilot.ts';
import { call } from './support/http.ts';
import type { SteadyLoad } from './support/load.ts';
import { steadyLoad } from './support/load.ts';
import { fairleadMain } from './support/mesh.ts';
import { Network } from './support/network.ts';
import type { ProxyProcess } from './support/proxy-process.ts';
import { startProxyProcess } from './support/proxy-process.ts';
import { startStockEnvoy } from './support/stock-envoy.ts';
import { has } from './support/tools.ts';
import { untilListening, waitFor } from './support/wait.ts';
import { configsOfYaml } from './support/world.ts';

const appPort = 9080;
const appAddresses = ['127.49.3.1', '127.49.3.2'] as const;
const grpcPort = 26_000;
const debugPort = 26_001;
/** Services beside the one that is asked, in a namespace that an edit is about. */
const others = 150;

interface Proxy {
  readonly name: string;
  readonly process: ProxyProcess;
  readonly address: string;
}

const networks: Network[] = [];
const proxies: Proxy[] = [];
const apps: Server[] = [];
const children: ChildProcess[] = [];
const folders: string[] = [];
const pilots: Pilot[] = [];
let loads: { readonly proxy: Proxy; readonly load: SteadyLoad }[] = [];

afterEach(async () => {
  await Promise.all(loads.splice(0).map(({ load }) => load.stop()));
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await Promise.all(proxies.splice(0).map(({ process: each }) => each.stop()));
  await Promise.all(pilots.splice(0).map((pilot) => pilot.close()));
  for (const network of networks.splice(0)) network.close();
  for (const app of apps.splice(0)) {
    app.close();
    app.closeAllConnections();
  }
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

const service = (name: string, namespace: string, ip: string, selector = 'web'): string => `
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: ${namespace}}
spec: {clusterIP: ${ip}, selector: {app: ${selector}}, ports: [{name: http, port: ${appPort}}]}
---`;
const pod = (index: 0 | 1): string => `
apiVersion: v1
kind: Pod
metadata: {name: web-${index}, namespace: default, labels: {app: web, version: v${index}}}
spec: {containers: [{name: app, image: web}]}
status: {podIP: ${appAddresses[index]}, phase: Running, conditions: [{type: Ready, status: "True"}]}
---`;
const route = (edit: string, subset = ''): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: default}
spec:
  hosts: [web]
  http:
  - headers: {response: {set: {x-edit: '${edit}'}}}
    route: [{destination: {host: web${subset === '' ? '' : `, subset: ${subset}`}}}]
---`;
const subsets = (...names: readonly string[]): string => `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: default}
spec: {host: web, subsets: [${names.map((name) => `{name: ${name}, labels: {version: ${name}}}`).join(', ')}]}
---`;
const limit = (connections: number): string => `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: others, namespace: others}
spec: {host: '*.others.svc.cluster.local', trafficPolicy: {connectionPool: {tcp: {maxConnections: ${connections}}}}}
---`;
const otherServices = Array.from({ length: others }, (_, index) =>
  service(`s${index}`, 'others', `10.97.0.${index + 1}`, 'none'),
).join('');
const base = service('web', 'default', '10.96.0.1') + otherServices;

function startApps(): void {
  for (const address of appAddresses) {
    apps.push(createServer((_, response) => void response.end(address)).listen(appPort, address));
  }
}

/** Our proxy and, where it is installed, stock Envoy in each dialect, all through a network of their own. */
async function startProxies(target: number): Promise<void> {
  const kinds = ['fairlead', ...(has('envoy') ? (['sotw', 'delta'] as const) : [])] as const;
  const starting = kinds.map(async (kind, index) => {
    const network = await new Network(target).listen();
    networks.push(network);
    const podIp = `127.49.1.${index + 1}`;
    const httpProxyPort = 26_010 + index;
    const adminPort = 26_020 + index;
    const common = { podIp, appAddress: `127.49.2.${index + 1}`, httpProxyPort, adminPort };
    const started =
      kind === 'fairlead'
        ? await startOwn({ ...common, grpcPort: network.port })
        : (await startStockEnvoy({ ...common, dialect: kind, grpcPort: network.port })).process;
    const name = kind === 'fairlead' ? kind : `envoy ${kind}`;
    proxies.push({ name, process: started, address: `${podIp}:${httpProxyPort}` });
  });
  // All of them, so that none is left behind where another does not start.
  for (const result of await Promise.allSettled(starting)) {
    if (result.status === 'rejected') throw result.reason;
  }
}

function startOwn(options: {
  readonly podIp: string;
  readonly appAddress: string;
  readonly httpProxyPort: number;
  readonly adminPort: number;
  readonly grpcPort: number;
}): Promise<ProxyProcess> {
  const { podIp, appAddress, httpProxyPort, adminPort, grpcPort: port } = options;
  const bootstrap = renderBootstrap({
    node: {
      ...defaultNodeIdentity,
      type: 'sidecar',
      ipAddresses: [podIp],
      podName: 'client-0',
      namespace: 'default',
      labels: { app: 'client' },
      workloadName: 'client',
      interception: { mode: 'loopback', appAddress, httpProxyPort, gatewayBinds: [] },
    },
    discovery: { address: '127.0.0.1', port },
    adminPort,
  });
  const admin = { address: { socket_address: { address: '127.0.0.1', port_value: adminPort } } };
  return startProxyProcess('fairlead', JSON.stringify({ ...bootstrap, admin }), adminPort);
}

/** Asks through each proxy, steadily. */
function startLoad(): void {
  loads = proxies.map((proxy) => ({
    proxy,
    load: steadyLoad(50, (agent) => call({ url: `http://web:${appPort}/`, httpProxy: proxy.address, agent })),
  }));
}

/** Waits until the answers that come through every proxy say so. */
async function arrived(edit: string, withinMs = 20_000): Promise<void> {
  await Promise.all(
    proxies.map(({ name, address }) =>
      waitFor(
        `${edit} at ${name}`,
        async () => {
          const answer = await call({ url: `http://web:${appPort}/`, httpProxy: address });
          return answer.headers['x-edit'] === edit || undefined;
        },
        withinMs,
      ),
    ),
  );
}

async function endLoad(): Promise<void> {
  const failures: string[] = [];
  for (const { proxy, load } of loads) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    await load.stop();
    expect(load.sent()).toBeGreaterThan(50);
    failures.push(...load.failures().map((failure) => `${proxy.name}: ${failure}`));
  }
  loads = [];
  expect(failures).toEqual([]);
}

/** Of each proxy: a counter or gauge. */
async function stats(stat: string): Promise<Record<string, number>> {
  const all = await Promise.all(
    proxies.map(async ({ name, process: each }) => {
      const { body } = await each.admin(`/stats?filter=^${stat}$`);
      const value = /: (\d+)/.exec(body)?.[1];
      if (value === undefined) throw new Error(`${name} has no ${stat}`);
      return [name, Number(value)] as const;
    }),
  );
  return Object.fromEntries(all);
}

const each = (value: number): Record<string, number> =>
  Object.fromEntries(proxies.map(({ name }) => [name, value]));

/** `fairlead pilot` on a folder. */
function pilotProcess(folder: string): ChildProcess {
  const args = ['--config-dir', folder, '--grpc-addr', `127.0.0.1:${grpcPort}`];
  const child = spawn(
    process.execPath,
    [fairleadMain, 'pilot', ...args, '--http-addr', `127.0.0.1:${debugPort}`, '--log-level', 'error'],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  children.push(child);
  return child;
}

function writeConfig(folder: string, text: string): void {
  writeFileSync(join(folder, 'mesh.yaml.tmp'), text);
  renameSync(join(folder, 'mesh.yaml.tmp'), join(folder, 'mesh.yaml'));
}

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-faults-'));
  folders.push(folder);
  return folder;
}

test(
  'fault: the control plane is killed in mid-push: no request fails, what was cut arrives later, and nothing else changes (partly B3.02)',
  { timeout: 90_000 },
  async () => {
    startApps();
    const folder = newFolder();
    const write = (edit: string, connections: number): void =>
      writeConfig(folder, base + pod(0) + pod(1) + route(edit) + limit(connections));
    write('before', 10);
    let pilot = pilotProcess(folder);
    await untilListening('127.0.0.1', grpcPort);
    await startProxies(grpcPort);
    await arrived('before');
    const added = await stats('cluster_manager.cluster_added');
    const modified = await stats('cluster_manager.cluster_modified');
    startLoad();

    // A change of 150 clusters is under way, and each proxy has some of its bytes, when the process dies.
    const cut = networks.map((network) => network.stopAnswersAfter(20_000));
    write('while down', 20);
    await Promise.all(cut);
    pilot.kill('SIGKILL');
    for (const network of networks) network.disconnect();
    write('after', 20);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(await stats('cluster_manager.cluster_modified')).toEqual(modified);
    pilot = pilotProcess(folder);
    await arrived('after', 40_000);
    const changed = Object.fromEntries(
      Object.entries(modified).map(([name, count]) => [name, count + others]),
    );
    await waitFor('the clusters that were edited, and no other', async () => {
      expect(await stats('cluster_manager.cluster_modified')).toEqual(changed);
      return true;
    });

    // And killed once more, with nothing to say: nothing moves at all.
    const listeners = await stats('listener_manager.listener_modified');
    pilot.kill('SIGKILL');
    for (const network of networks) network.disconnect();
    await waitFor(
      'the process to be gone',
      () => pilot.exitCode !== null || pilot.signalCode !== null || undefined,
    );
    pilotProcess(folder);
    await untilListening('127.0.0.1', grpcPort);
    write('again', 20);
    await arrived('again', 40_000);
    expect(await stats('cluster_manager.cluster_modified')).toEqual(changed);
    expect(await stats('cluster_manager.cluster_added')).toEqual(added);
    expect(await stats('cluster_manager.warming_clusters')).toEqual(each(0));
    expect(await stats('listener_manager.listener_modified')).toEqual(listeners);
    await endLoad();
  },
);

test(
  'fault: the control plane stands still for 5 s: no stream is lost, no request fails, and what was edited meanwhile arrives',
  { timeout: 90_000 },
  async () => {
    startApps();
    const folder = newFolder();
    writeConfig(folder, base + pod(0) + route('before'));
    const pilot = pilotProcess(folder);
    await untilListening('127.0.0.1', grpcPort);
    await startProxies(grpcPort);
    await arrived('before');
    const connections = networks.map((network) => network.connections);
    startLoad();
    pilot.kill('SIGSTOP');
    writeConfig(folder, base + pod(0) + pod(1) + route('after'));
    await new Promise((resolve) => setTimeout(resolve, 5000));
    pilot.kill('SIGCONT');
    await arrived('after');
    await endLoad();
    expect(networks.map((network) => network.connections)).toEqual(connections);
  },
);

test(
  'fault: proxies move between two replicas of skewed views, back and forth: no request fails, and the last view counts',
  { timeout: 90_000 },
  async () => {
    startApps();
    const views = ['a', 'b'].map(() => new ConfigStore());
    const put = (index: number, text: string): void => {
      const configs = configsOfYaml(text, 'mesh.yaml');
      const keys = new Set(configs.map(({ kind, namespace, name }) => `${kind}/${namespace}/${name}`));
      const store = views[index] as ConfigStore;
      store.applyBatch(
        'mesh',
        configs,
        store.keysOf('mesh').filter((key) => !keys.has(key)),
      );
    };
    // The second knows one pod less, and some services less; its limits are older.
    const newer = base + pod(0) + pod(1) + limit(20);
    const older = service('web', 'default', '10.96.0.1') + pod(0) + limit(10);
    put(0, newer + route('a'));
    put(1, older + route('b'));
    for (const store of views) {
      pilots.push(
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        await startPilot({
          store,
          loggers: new LoggerRegistry({ level: 'off' }),
          grpcAddress: '127.0.0.1:0',
          httpAddress: '127.0.0.1:0',
        }),
      );
    }
    const moveTo = (index: number): void => {
      for (const network of networks) {
        network.target = pilots[index]?.grpcPort ?? 0;
        network.disconnect();
      }
    };
    await startProxies(pilots[0]?.grpcPort ?? 0);
    await arrived('a');
    startLoad();
    for (const index of [1, 0, 1, 0, 1]) {
      moveTo(index);
      // oxlint-disable-next-line no-await-in-loop -- one move after the other
      await arrived(index === 0 ? 'a' : 'b');
    }
    // The replica that was behind catches up, and the proxies with it.
    put(1, newer + route('both'));
    await arrived('both');
    await waitFor('all clusters', async () => {
      expect(new Set(Object.values(await stats('cluster_manager.warming_clusters')))).toEqual(new Set([0]));
      expect(pilots[1]?.connections.size).toBe(proxies.length);
      return [...(pilots[1]?.connections ?? [])].every((connection) => connection.isSettled()) || undefined;
    });
    await endLoad();
    for (const { process: proxy } of proxies) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const { body } = await proxy.admin('/clusters');
      expect(body).toContain(`::${appAddresses[1]}:${appPort}::`);
      expect(body).toContain('||s0.others.');
    }
  },
);

test(
  'fault: the replica that delta proxies move to does not know the subset that their routes name: the cluster stays until these are replaced (A6.16)',
  { timeout: 90_000 },
  async () => {
    startApps();
    const stores = [new ConfigStore(), new ConfigStore()];
    const common = service('web', 'default', '10.96.0.1') + pod(0) + pod(1);
    stores[0]?.applyBatch('mesh', configsOfYaml(common + subsets('v0', 'v1') + route('a', 'v1')), []);
    stores[1]?.applyBatch('mesh', configsOfYaml(common + subsets('v0') + route('b', 'v0')), []);
    for (const store of stores) {
      pilots.push(
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        await startPilot({
          store,
          loggers: new LoggerRegistry({ level: 'off' }),
          grpcAddress: '127.0.0.1:0',
          httpAddress: '127.0.0.1:0',
        }),
      );
    }
    await startProxies(pilots[0]?.grpcPort ?? 0);
    const inSotw = proxies.findIndex(({ name }) => name === 'envoy sotw');
    // In state of the world a server cannot keep what it does not know: whatever a response leaves out is gone.
    if (inSotw >= 0) await proxies.splice(inSotw, 1)[0]?.process.stop();
    await arrived('a');
    startLoad();
    for (const index of [1, 0, 1, 0]) {
      for (const network of networks) {
        network.target = pilots[index]?.grpcPort ?? 0;
        network.disconnect();
      }
      // oxlint-disable-next-line no-await-in-loop -- one move after the other
      await arrived(index === 0 ? 'a' : 'b');
    }
    await endLoad();
  },
);
