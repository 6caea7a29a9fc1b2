// Stock Envoy in each way to speak xDS: configuration arrives, changes arrive, what is gone goes, refusals are
// blamed, and a control plane that restarts costs no request.
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { create } from '@bufbuild/protobuf';
import { DurationSchema } from '@bufbuild/protobuf/wkt';
import { afterEach, describe, expect, test } from 'vitest';
import { call } from '../../test/support/http.ts';
import type { EnvoyDialect, StockEnvoy } from '../../test/support/stock-envoy.ts';
import { startStockEnvoy } from '../../test/support/stock-envoy.ts';
import { needs } from '../../test/support/tools.ts';
import { waitFor } from '../../test/support/wait.ts';
import { putSource } from '../../test/support/world.ts';
import { LoggerRegistry } from '../base/logger.ts';
import { ConfigStore } from '../config/store.ts';
import { clusters, endpoints, listeners, routes } from '../translate/index.ts';
import type { XdsStream } from '../xds/server/stream.ts';
import type { Pilot, PilotOptions } from './pilot.ts';
import { startPilot } from './pilot.ts';
import type { AnyResourceKind } from './resources/resources.ts';

const podIp = '127.41.1.1';
const appAddress = '127.41.2.1';
const webAddress = '127.41.3.1';
const httpProxyPort = 22002;
const adminPort = 22001;
const webCluster = 'outbound|9080||web.default.svc.cluster.local';

const service = (name: string, ip: string): string => `
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: default}
spec: {clusterIP: ${ip}, selector: {app: web}, ports: [{name: http, port: 9080}]}
`;
const base = `${service('web', '10.96.0.1')}---
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: default, labels: {app: web}}
spec: {containers: [{name: app, image: web}]}
status: {podIP: ${webAddress}, phase: Running, conditions: [{type: Ready, status: "True"}]}
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

let envoy: StockEnvoy | undefined;
let app: Server | undefined;
const pilots: Pilot[] = [];

afterEach(async () => {
  await envoy?.stop();
  envoy = undefined;
  app?.close();
  app?.closeAllConnections();
  await Promise.all(pilots.splice(0).map((pilot) => pilot.close()));
});

async function open(store: ConfigStore, port = 0, part: Partial<PilotOptions> = {}): Promise<Pilot> {
  const pilot = await startPilot({
    store,
    loggers: new LoggerRegistry({ level: 'off' }),
    grpcAddress: `127.0.0.1:${port}`,
    httpAddress: '127.0.0.1:0',
    ...part,
  });
  pilots.push(pilot);
  return pilot;
}

async function begin(
  dialect: EnvoyDialect,
  part: Partial<PilotOptions> = {},
): Promise<{ store: ConfigStore; pilot: Pilot; envoy: StockEnvoy }> {
  app = createServer((_, response) => void response.end('web')).listen(9080, webAddress);
  const store = new ConfigStore();
  putSource(store, 'base', base);
  const pilot = await open(store, 0, part);
  const started = await startStockEnvoy({
    dialect,
    grpcPort: pilot.grpcPort,
    adminPort,
    httpProxyPort,
    podIp,
    appAddress,
  });
  envoy = started;
  await settled(pilot);
  return { store, pilot, envoy: started };
}

async function settled(pilot: Pilot): Promise<void> {
  await waitFor('the proxy to have everything', () => {
    const streams = [...pilot.connections];
    return (streams.length > 0 && streams.every((each) => each.isSettled())) || undefined;
  });
}

async function ask(host = 'web'): Promise<number> {
  return (await call({ url: `http://${host}:9080/`, httpProxy: `${podIp}:${httpProxyPort}` })).status;
}

/** Asks without a pause until told to stop; resolves to how often which status came. */
function load(): () => Promise<Record<string, number>> {
  const statuses: Record<string, number> = {};
  const stop = new AbortController();
  const loop = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      // oxlint-disable-next-line no-await-in-loop -- one request after the other
      const status = await ask().catch(String);
      statuses[status] = (statuses[status] ?? 0) + 1;
    }
  };
  const loops = [loop(), loop()];
  return async () => {
    stop.abort();
    await Promise.all(loops);
    return statuses;
  };
}

/** What is sent from now on, as `Cluster +1 -0`. */
function watch(pilot: Pilot): string[] {
  const sent: string[] = [];
  for (const { stream } of pilot.connections) {
    const send = stream.send.bind(stream);
    const spied: XdsStream['send'] = (response) => {
      const { typeUrl, resources, removed } = response;
      sent.push(`${typeUrl.slice(typeUrl.lastIndexOf('.') + 1)} +${resources.length} -${removed.length}`);
      return send(response);
    };
    Object.assign(stream, { send: spied });
  }
  return sent;
}

const updates = ['cluster_manager.cds.update_success', 'listener_manager.lds.update_success'];

describe('stock Envoy', () => {
  for (const dialect of ['sotw', 'delta', 'sotw services', 'delta services'] as const) {
    test.skipIf(needs('envoy'))(
      `startPilot: ${dialect}: configuration, changes, removals, and a restart without a 503 (B1.01, B1.03, B2.09, B3.03, B3.06)`,
      async () => {
        const { store, pilot, envoy: proxy } = await begin(dialect);
        expect(await ask()).toBe(200);
        // A route.
        putSource(store, 'route', answering(418));
        await waitFor('the fault', async () => (await ask()) === 418 || undefined);
        putSource(store, 'route', '');
        await waitFor('the answer', async () => (await ask()) === 200 || undefined);
        // A Service comes, and goes.
        putSource(store, 'more', service('more', '10.96.0.2'));
        await waitFor('the cluster', async () => (await proxy.clusters()).includes('||more.') || undefined);
        await waitFor('its route', async () => (await ask('more')) === 200 || undefined);
        putSource(store, 'more', '');
        await waitFor('its end', async () => !(await proxy.clusters()).includes('||more.') || undefined);
        // A cluster changes under load: it warms, gets its endpoints, and no request notices.
        const stop = load();
        for (const connections of [10, 20, 30]) {
          putSource(store, 'rule', rule(connections));
          // oxlint-disable-next-line no-await-in-loop -- one change after the other
          await waitFor(
            'the setting',
            async () =>
              (await proxy.clusters()).includes(
                `${webCluster}::default_priority::max_connections::${connections}`,
              ) || undefined,
          );
        }
        await settled(pilot);
        expect(await proxy.warming()).toBe(0);
        // The control plane goes, and comes back on its port.
        const before = await Promise.all(updates.map((name) => proxy.stat(name)));
        await pilot.close();
        pilots.splice(pilots.indexOf(pilot), 1);
        const again = await open(store, pilot.grpcPort);
        const streams = dialect.endsWith('services') ? 3 : 1;
        await waitFor('the streams', () => again.connections.size === streams || undefined);
        await settled(again);
        putSource(store, 'rule', rule(40));
        await waitFor(
          'the setting',
          async () =>
            (await proxy.clusters()).includes(`${webCluster}::default_priority::max_connections::40`) ||
            undefined,
        );
        await settled(again);
        expect(await proxy.warming()).toBe(0);
        expect(Object.keys(await stop())).toEqual(['200']);
        expect(await proxy.rejections()).toBe(0);
        const after = await Promise.all(updates.map((name) => proxy.stat(name)));
        // In delta the return itself brought nothing: there is one update, that of the changed rule.
        if (dialect.startsWith('delta')) expect(after).toEqual([(before[0] ?? 0) + 1, before[1] ?? 0]);
      },
      60_000,
    );

    test.skipIf(needs('envoy'))(
      `startPilot: ${dialect}: one cluster that Envoy refuses is blamed, and keeps nothing else from it (B2.02, B3.08)`,
      async () => {
        const poisoned: AnyResourceKind = {
          ...(clusters as AnyResourceKind),
          build: (input) => {
            const built = clusters.build(input as Parameters<typeof clusters.build>[0]);
            // Out of the range that the field's validation rule allows.
            if (built.name.includes('||poison.')) {
              built.message.connectTimeout = create(DurationSchema, { seconds: -1n });
            }
            return built;
          },
        };
        const kinds = [poisoned, endpoints, listeners, routes] as readonly AnyResourceKind[];
        const { store, pilot, envoy: proxy } = await begin(dialect, { kinds });
        putSource(store, 'more', `${service('poison', '10.96.0.3')}---\n${service('good', '10.96.0.4')}`);
        await waitFor('the good one', async () => (await ask('good')) === 200 || undefined);
        expect(await proxy.clusters()).not.toContain('||poison.');
        const refused = await waitFor('the NACK', () => {
          const names = [...pilot.connections]
            .flatMap((each) => each.refusals())
            .map(({ resource }) => resource.name);
          return names.length > 0 ? names : undefined;
        });
        expect(refused).toEqual(['outbound|9080||poison.default.svc.cluster.local']);
        putSource(store, 'more', service('good', '10.96.0.4'));
        await settled(pilot);
        await waitFor(
          'no refusal',
          () => [...pilot.connections].every((each) => each.refusals().length === 0) || undefined,
        );
        expect(await ask('good')).toBe(200);
      },
      60_000,
    );
  }

  test.skipIf(needs('envoy'))(
    'startPilot: delta: a stream that breaks between a cluster and its endpoints leaves nothing warming (B3.06)',
    async () => {
      const { store, pilot, envoy: proxy } = await begin('delta');
      const [broken] = pilot.connections;
      for (const { stream } of pilot.connections) {
        const send = stream.send.bind(stream);
        const cut: XdsStream['send'] = (response) => {
          if (response.typeUrl.endsWith('.ClusterLoadAssignment')) {
            stream.end(14, 'cut by the test');
            return 'never sent';
          }
          return send(response);
        };
        Object.assign(stream, { send: cut });
      }
      putSource(store, 'rule', rule(10));
      await waitFor('its return', () => [...pilot.connections].some((each) => each !== broken) || undefined);
      await settled(pilot);
      await waitFor('warm clusters', async () => (await proxy.warming()) === 0 || undefined);
      expect(await proxy.clusters()).toContain(`${webCluster}::default_priority::max_connections::10`);
      expect(await ask()).toBe(200);
    },
    60_000,
  );

  test.skipIf(needs('envoy'))(
    'startPilot: delta: only what changed goes out (B3.09)',
    async () => {
      const { store, pilot } = await begin('delta');
      const sent = watch(pilot);
      putSource(store, 'rule', rule(10));
      await waitFor('the cluster', () => sent.includes('ClusterLoadAssignment +1 -0') || undefined);
      await settled(pilot);
      expect(sent).toEqual(['Cluster +1 -0', 'ClusterLoadAssignment +1 -0']);
      sent.length = 0;
      putSource(store, 'route', answering(418));
      await waitFor('the route', () => sent[0]);
      await settled(pilot);
      // The port's routes, and those of the HTTP proxy's listener, which has every host.
      expect(sent).toEqual(['RouteConfiguration +2 -0']);
    },
    60_000,
  );
});
