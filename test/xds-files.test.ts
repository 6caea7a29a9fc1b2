// A proxy that runs from files alone: `fairlead x xds-files` writes them from our control plane, stock Envoy and our
// own proxy read them, and a change arrives by file.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JsonObject } from '@bufbuild/protobuf';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { renderBootstrap } from '../src/agent/bootstrap.ts';
import { defaultNodeIdentity } from '../src/agent/node-identity.ts';
import { XdsFiles, bootstrapFile } from '../src/agent/xds-files/run.ts';
import { systemClock } from '../src/base/clock.ts';
import { LoggerRegistry, silentLogger } from '../src/base/logger.ts';
import { ConfigStore } from '../src/config/store.ts';
import type { Pilot } from '../src/pilot/pilot.ts';
import { startPilot } from '../src/pilot/pilot.ts';
import { grpcTransport } from '../src/xds/client/grpc-transport.ts';
import { call } from './support/http.ts';
import type { ProxyProcess } from './support/proxy-process.ts';
import { startProxyProcess } from './support/proxy-process.ts';
import { needs } from './support/tools.ts';
import { waitFor } from './support/wait.ts';
import { putSource } from './support/world.ts';

const podIp = '127.42.4.1';
const appIp = '127.42.4.2';
const httpProxyPort = 22741;
const adminPort = 22742;
const appPort = 22743;

const apps = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {clusterIP: 10.96.0.1, selector: {app: web}, ports: [{name: http, port: 80, targetPort: ${appPort}}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: default, labels: {app: web}}
spec: {containers: [{name: app, image: web}]}
status: {podIP: ${appIp}, phase: Running, conditions: [{type: Ready, status: "True"}]}
`;
const answers = (status: number): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: default}
spec: {hosts: [web], http: [{directResponse: {status: ${status}}}]}
`;

let directory = '';
let app: Server;
let pilot: Pilot;
let store: ConfigStore;
let files: XdsFiles | undefined;
let proxy: ProxyProcess | undefined;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'fairlead-xds-files-'));
  app = createServer((_, response) => response.end('the app'));
  await new Promise<void>((resolve) => app.listen(appPort, appIp, resolve));
  store = new ConfigStore();
  putSource(store, 'apps', apps);
  pilot = await startPilot({
    store,
    loggers: new LoggerRegistry({ level: 'off' }),
    grpcAddress: '127.0.0.1:0',
    httpAddress: '127.0.0.1:0',
  });
});
afterEach(async () => {
  files?.stop();
  await proxy?.stop();
  proxy = undefined;
  await pilot.close();
  app.close();
  rmSync(directory, { recursive: true, force: true });
});

function follow(dialect: 'delta' | 'sotw'): XdsFiles {
  const bootstrap = renderBootstrap({
    node: {
      ...defaultNodeIdentity,
      type: 'sidecar',
      ipAddresses: [podIp],
      podName: 'client-0',
      namespace: 'default',
      labels: { app: 'client' },
      workloadName: 'client',
      interception: { mode: 'loopback', appAddress: '127.42.4.9', httpProxyPort, gatewayBinds: [] },
    },
    discovery: { address: '127.0.0.1', port: pilot.grpcPort },
    adminPort,
  });
  files = new XdsFiles({
    node: bootstrap['node'] as JsonObject,
    bootstrap: { admin: { address: { socket_address: { address: '127.0.0.1', port_value: adminPort } } } },
    output: directory,
    seenAt: undefined,
    dialect,
    transport: grpcTransport({ target: () => `127.0.0.1:${pilot.grpcPort}`, dialect }),
    clock: systemClock,
    random: () => 0.5,
    logger: silentLogger,
    write: () => {},
  });
  return files;
}

const request = async (): Promise<{ status: number; body: string } | undefined> => {
  try {
    return await call({ url: 'http://web.default/', httpProxy: `${podIp}:${httpProxyPort}` });
  } catch {
    return undefined;
  }
};
const stat = async (name: string): Promise<number> =>
  Number(/: (\d+)/.exec((await proxy?.admin(`/stats?filter=^${name}$`))?.body ?? '')?.[1]);

describe.each([
  ['envoy', 'delta'],
  ['envoy', 'sotw'],
  ['fairlead', 'delta'],
] as const)('%s from files that were written over %s', (plane, dialect) => {
  test.skipIf(plane === 'envoy' && needs('envoy'))(
    'it serves from the files alone, and what changes arrives by file (D1.02)',
    async () => {
      await follow(dialect).once(10_000);
      proxy = await startProxyProcess(plane, readFileSync(join(directory, bootstrapFile), 'utf8'), adminPort);
      await waitFor('the app', async () => (await request())?.body === 'the app' || undefined);
      follow(dialect).follow();
      putSource(store, 'routes', answers(418));
      await waitFor('the changed routes', async () => (await request())?.status === 418 || undefined);
      // Nothing is left that only a control plane could answer; what it has stays when that is gone.
      await pilot.close();
      expect((await request())?.status).toBe(418);
      expect(await stat('cluster_manager.cds.update_rejected')).toBe(0);
      expect(await stat('listener_manager.lds.update_rejected')).toBe(0);
      expect(await stat('cluster_manager.warming_clusters')).toBe(0);
      expect((await proxy.admin('/stats?filter=update_(rejected|failure)')).body).not.toMatch(/: [1-9]/);
      expect((await proxy.admin('/config_dump')).body).not.toContain('"ads"');
    },
  );
});
