// Our proxy under our own control plane, in both dialects: changes, and a control plane that is started anew.
import { afterEach, describe, expect, test } from 'vitest';
import { renderBootstrap } from '../src/agent/bootstrap.ts';
import { defaultNodeIdentity } from '../src/agent/node-identity.ts';
import { LoggerRegistry } from '../src/base/logger.ts';
import { ConfigStore } from '../src/config/store.ts';
import type { Pilot } from '../src/pilot/pilot.ts';
import { startPilot } from '../src/pilot/pilot.ts';
import { grpcTransport } from '../src/xds/client/grpc-transport.ts';
import { call } from './support/http.ts';
import type { InProcessProxy } from './support/in-process-proxy.ts';
import { startInProcess } from './support/in-process-proxy.ts';
import { waitFor } from './support/wait.ts';
import { putSource } from './support/world.ts';

const podIp = '127.42.6.1';
const httpProxyPort = 22781;
const web = 'outbound|80||web.default.svc.cluster.local';

let pilot: Pilot | undefined;
let proxy: InProcessProxy | undefined;
afterEach(async () => {
  proxy?.close();
  await pilot?.close();
});

const pod = (name: string, ip: string): string => `
---
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: default, labels: {app: web}}
spec: {containers: [{name: app, image: web}]}
status: {podIP: ${ip}, phase: Running, conditions: [{type: Ready, status: "True"}]}
`;
const service = (name: string): string => `
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: default}
spec: {clusterIP: 10.96.0.${name.length}, selector: {app: web}, ports: [{name: http, port: 80}]}
`;
const answers = (status: number): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: default}
spec: {hosts: [web], http: [{directResponse: {status: ${status}}}]}
`;

describe.each(['true', 'false'])('ISTIO_DELTA_XDS %s', (delta) => {
  test('changes arrive, and a new control plane changes nothing (B3.01, partly B3.02, D1.03, D1.08)', async () => {
    const store = new ConfigStore();
    const put = (source: string, text: string): void => putSource(store, source, text);
    const start = (port: number): Promise<Pilot> =>
      startPilot({
        store,
        loggers: new LoggerRegistry({ level: 'off' }),
        grpcAddress: `127.0.0.1:${port}`,
        httpAddress: '127.0.0.1:0',
      });
    put('web', service('web') + pod('web-0', '10.1.0.1'));
    put('other', service('other'));
    put('routes', answers(201));
    pilot = await start(0);
    const port = pilot.grpcPort;
    const bootstrap = renderBootstrap({
      node: {
        ...defaultNodeIdentity,
        type: 'sidecar',
        ipAddresses: [podIp],
        podName: 'client-0',
        namespace: 'default',
        labels: { app: 'client' },
        workloadName: 'client',
        proxyMetadata: { ISTIO_DELTA_XDS: delta },
        interception: { mode: 'loopback', appAddress: '127.42.6.9', httpProxyPort, gatewayBinds: [] },
      },
      discovery: { address: '127.0.0.1', port },
    });
    const dialects: string[] = [];
    proxy = await startInProcess(JSON.stringify(bootstrap), {
      createTransport: (options) => {
        dialects.push(options.dialect);
        return grpcTransport(options);
      },
    });
    expect(dialects).toEqual([delta === 'true' ? 'delta' : 'sotw']);
    const { server } = proxy;
    const stat = (name: string): number | undefined => proxy?.stat(name);
    const hosts = (): number | undefined => server.clusters.get(web)?.hosts.length;
    const answer = async (status: number): Promise<void> => {
      await waitFor(`status ${status}`, async () => {
        const got = await call({ url: 'http://web.default/', httpProxy: `${podIp}:${httpProxyPort}` });
        return got.status === status || undefined;
      });
    };
    await answer(201);
    put('routes', answers(202));
    await answer(202);
    const host = server.clusters.get(web)?.hosts[0];
    put('web', service('web') + pod('web-0', '10.1.0.1') + pod('web-1', '10.1.0.2'));
    await waitFor('two hosts', () => hosts() === 2 || undefined);
    // The host that stays is the same object: what it has counted goes on.
    expect(server.clusters.get(web)?.hosts).toContain(host);
    put('other', '');
    const other = web.replace('web', 'other');
    await waitFor('the other cluster to go', () => server.clusters.get(other) === undefined || undefined);

    const changes = (): unknown[] =>
      [
        'cluster_manager.cluster_added',
        'cluster_manager.cluster_modified',
        'cluster_manager.cluster_removed',
      ].map((name) => stat(name));
    const before = changes();
    const updates = stat(`cluster.${web}.update_success`);
    await pilot.close();
    await waitFor('the end of the stream', () => stat('control_plane.connected_state') === 0 || undefined);
    await answer(202);
    pilot = await start(port);
    await waitFor('a stream', () => stat('control_plane.connected_state') === 1 || undefined);
    put('routes', answers(203));
    await answer(203);
    expect(changes()).toEqual(before);
    expect(hosts()).toBe(2);
    // In delta it has said what it holds: nothing that did not change is sent again.
    if (delta === 'true') expect(stat(`cluster.${web}.update_success`)).toBe(updates);
    expect(stat('cluster_manager.cds.update_rejected')).toBe(0);
    expect(stat('listener_manager.lds.update_rejected')).toBe(0);
  });
});
