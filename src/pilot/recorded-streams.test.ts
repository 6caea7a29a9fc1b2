// What stock Envoy and @grpc/grpc-js-xds say and are told over a whole session, message by message: the invariants hold on
// every stream, in each dialect, through changes, removals, a refusal and a restart of the control plane.
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { create } from '@bufbuild/protobuf';
import { DurationSchema } from '@bufbuild/protobuf/wkt';
import { afterEach, describe, expect, test } from 'vitest';
import { EchoClient, EchoServer, grpcBootstrap } from '../../test/support/grpc-apps.ts';
import { call } from '../../test/support/http.ts';
import type { StockEnvoy } from '../../test/support/stock-envoy.ts';
import { startStockEnvoy } from '../../test/support/stock-envoy.ts';
import { needs } from '../../test/support/tools.ts';
import { waitFor } from '../../test/support/wait.ts';
import { configsOfYaml } from '../../test/support/world.ts';
import type { XdsRecorder } from '../../test/support/xds-recorder.ts';
import { recordXds } from '../../test/support/xds-recorder.ts';
import { LoggerRegistry } from '../base/logger.ts';
import { ConfigStore } from '../config/store.ts';
import { clusters, endpoints, listeners, routes } from '../translate/index.ts';
import type { Pilot } from './pilot.ts';
import { startPilot } from './pilot.ts';
import type { AnyResourceKind } from './resources/resources.ts';

const podIp = '127.53.1.1';
const appAddress = '127.53.2.1';
const webAddress = '127.53.3.1';
const httpProxyPort = 28_002;
const adminPort = 28_001;
const echoPort = 28_010;

const service = (name: string, ip: string): string => `
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: default}
spec: {clusterIP: ${ip}, selector: {app: web}, ports: [{name: http, port: 9080}]}
`;
const pod = (name: string, app: string, ip: string): string => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: default, labels: {app: ${app}}}
spec: {containers: [{name: app, image: web}]}
status: {podIP: ${ip}, phase: Running, conditions: [{type: Ready, status: "True"}]}
`;
const rule = (connections: number): string => `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: default}
spec: {host: web, trafficPolicy: {connectionPool: {tcp: {maxConnections: ${connections}}}}}
`;
const answering = (status: number): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: default}
spec:
  hosts: [web]
  http: [{fault: {abort: {httpStatus: ${status}, percentage: {value: 100}}}, route: [{destination: {host: web}}]}]
`;
/** Refuses nothing itself; stock Envoy does: the time is out of the range of the field. */
const poisoned: AnyResourceKind = {
  ...(clusters as AnyResourceKind),
  build: (input) => {
    const built = clusters.build(input as Parameters<typeof clusters.build>[0]);
    if (built.name.includes('||poison.')) {
      built.message.connectTimeout = create(DurationSchema, { seconds: -1n });
    }
    return built;
  },
};

let envoy: StockEnvoy | undefined;
let app: Server | undefined;
let recorder: XdsRecorder | undefined;
let pilot: Pilot | undefined;
const closing: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  await envoy?.stop();
  for (const close of closing.splice(0)) await close();
  recorder?.close();
  app?.close();
  app?.closeAllConnections();
  await pilot?.close();
  envoy = app = recorder = pilot = undefined;
});

function put(store: ConfigStore, source: string, text: string): void {
  const configs = configsOfYaml(text, `${source}.yaml`);
  const keys = new Set(configs.map(({ kind, namespace, name }) => `${kind}/${namespace}/${name}`));
  store.applyBatch(
    source,
    configs,
    store.keysOf(source).filter((key) => !keys.has(key)),
  );
}

async function open(store: ConfigStore, port: number, kinds?: readonly AnyResourceKind[]): Promise<Pilot> {
  pilot = await startPilot({
    store,
    loggers: new LoggerRegistry({ level: 'off' }),
    grpcAddress: `127.0.0.1:${port}`,
    httpAddress: '127.0.0.1:0',
    ...(kinds === undefined ? {} : { kinds }),
  });
  return pilot;
}

const settled = (): Promise<unknown> =>
  waitFor('the proxy to have everything', () => {
    const streams = [...(pilot?.connections ?? [])];
    return (streams.length > 0 && streams.every((each) => each.isSettled())) || undefined;
  });

function recorded(): { readonly messages: readonly string[]; readonly violations: readonly string[] } {
  const streams = recorder?.streams ?? [];
  return {
    messages: streams.flatMap(({ messages }) => messages),
    violations: streams.flatMap(({ path, violations }) => violations.map((each) => `${path}: ${each}`)),
  };
}

const ask = async (host = 'web'): Promise<number> =>
  (await call({ url: `http://${host}:9080/`, httpProxy: `${podIp}:${httpProxyPort}` })).status;

describe('a session, recorded', () => {
  for (const dialect of ['sotw', 'delta', 'sotw services', 'delta services'] as const) {
    test.skipIf(needs('envoy'))(
      `stock Envoy, ${dialect}: every message of its streams is as the protocol has it`,
      async () => {
        app = createServer((_, response) => void response.end('web')).listen(9080, webAddress);
        const store = new ConfigStore();
        put(store, 'base', `${service('web', '10.96.0.1')}---${pod('web-0', 'web', webAddress)}`);
        const kinds = [poisoned, endpoints, listeners, routes] as readonly AnyResourceKind[];
        const first = await open(store, 0, kinds);
        recorder = await recordXds(first.grpcPort);
        envoy = await startStockEnvoy({
          dialect,
          grpcPort: recorder.port,
          adminPort,
          httpProxyPort,
          podIp,
          appAddress,
        });
        await settled();
        put(store, 'route', answering(418));
        await waitFor('the fault', async () => (await ask()) === 418 || undefined);
        put(store, 'route', '');
        for (const connections of [10, 20, 30]) put(store, 'rule', rule(connections));
        await settled();
        put(store, 'more', `${service('poison', '10.96.0.3')}---\n${service('good', '10.96.0.4')}`);
        await waitFor('the good one', async () => (await ask('good')) === 200 || undefined);
        put(store, 'more', '');
        await waitFor('its end', async () => !(await envoy?.clusters())?.includes('||good.') || undefined);
        await settled();
        await first.close();
        await open(store, first.grpcPort, kinds);
        // Each stream comes back in its own time.
        const streams = dialect.endsWith('services') ? 3 : 1;
        await waitFor('its streams', () => pilot?.connections.size === streams || undefined);
        await settled();
        put(store, 'rule', rule(40));
        put(store, 'route', answering(418));
        await waitFor('the fault', async () => (await ask()) === 418 || undefined);
        await settled();
        const { messages, violations } = recorded();
        expect(violations).toEqual([]);
        const spoken = recorder.streams.filter((each) => each.messages.length > 0);
        expect(spoken.length).toBeGreaterThanOrEqual(2 * streams);
        // It was all there: answers of each kind, of each type, on the streams before the restart and after it.
        for (const type of ['Cluster', 'ClusterLoadAssignment', 'Listener', 'RouteConfiguration'])
          expect(messages).toContain(`> ${type} ACK`);
        expect(messages).toContain('> Cluster NACK');
        expect(messages.some((message) => /-[1-9]/.test(message))).toBe(dialect.startsWith('delta'));
      },
      60_000,
    );
  }

  test('@grpc/grpc-js-xds: every message of its stream is as the protocol has it (partly B5.09)', async () => {
    const store = new ConfigStore();
    const echo = (version: string): string => `
apiVersion: v1
kind: Service
metadata: { name: echo, namespace: default }
spec: { selector: { app: echo }, ports: [{ name: grpc, port: 7070, targetPort: ${echoPort} }], clusterIP: 10.0.0.1 }
---${pod('echo-0', 'echo', webAddress)}---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: echo, namespace: default }
spec: { hosts: [echo], http: [{ headers: { request: { set: { any: "${version}" } } }, route: [{ destination: { host: echo } }], timeout: ${version}s }] }
`;
    put(store, 'base', echo('3'));
    const first = await open(store, 0);
    recorder = await recordXds(first.grpcPort);
    const server = new EchoServer('v1');
    closing.push(() => server.close());
    await server.listen(`${webAddress}:${echoPort}`);
    const client = new EchoClient('xds:///echo.default.svc.cluster.local:7070', grpcBootstrap(recorder.port));
    closing.push(() => client.close());
    expect(await client.say()).toBe('v1');
    await settled();
    for (const version of ['4', '5', '6']) {
      put(store, 'base', echo(version));
      await settled();
    }
    await first.close();
    await open(store, first.grpcPort);
    await settled();
    put(store, 'base', echo('7'));
    await settled();
    const { messages, violations } = recorded();
    expect(violations).toEqual([]);
    for (const type of ['Cluster', 'ClusterLoadAssignment', 'Listener', 'RouteConfiguration'])
      expect(messages).toContain(`> ${type} ACK`);
    expect(recorder.streams.length).toBeGreaterThan(1);
  }, 60_000);
});
