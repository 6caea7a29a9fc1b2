// Stock Envoy under our control plane: it must accept all that we send, and go on where it does not.
import { readFileSync } from 'node:fs';
import { create } from '@bufbuild/protobuf';
import { DurationSchema } from '@bufbuild/protobuf/wkt';
import { afterEach, describe, expect, test } from 'vitest';
import type { ProxyProcess } from '../../test/support/proxy-process.ts';
import { startProxyProcess } from '../../test/support/proxy-process.ts';
import { needs } from '../../test/support/tools.ts';
import { waitFor } from '../../test/support/wait.ts';
import { configsOfYaml } from '../../test/support/world.ts';
import { renderBootstrap } from '../agent/bootstrap.ts';
import { defaultNodeIdentity } from '../agent/node-identity.ts';
import { LoggerRegistry } from '../base/logger.ts';
import { ConfigStore } from '../config/store.ts';
import { clusters, endpoints, listeners, routes } from '../translate/index.ts';
import type { Pilot, PilotOptions } from './pilot.ts';
import { startPilot } from './pilot.ts';
import type { AnyResourceKind } from './resources/resources.ts';

const podIp = '127.91.1.1';
const adminPort = 23950;
const samples = `${import.meta.dirname}/../../samples`;
const reviews = 'outbound|9080|v2|reviews.default.svc.cluster.local';

let envoy: ProxyProcess | undefined;
const pilots: Pilot[] = [];

afterEach(async () => {
  await envoy?.stop();
  envoy = undefined;
  await Promise.all(pilots.splice(0).map((pilot) => pilot.close()));
});

function sample(path: string): string {
  return readFileSync(`${samples}/${path}`, 'utf8');
}

function put(store: ConfigStore, source: string, text: string): void {
  const configs = configsOfYaml(text, `${source}.yaml`);
  const keys = new Set(configs.map(({ kind, namespace, name }) => `${kind}/${namespace}/${name}`));
  const gone = store.keysOf(source).filter((key) => !keys.has(key));
  store.applyBatch(source, configs, gone);
}

async function start(store: ConfigStore, part: Partial<PilotOptions> = {}): Promise<Pilot> {
  const pilot = await startPilot({
    store,
    loggers: new LoggerRegistry({ level: 'off' }),
    grpcAddress: '127.0.0.1:0',
    httpAddress: '127.0.0.1:0',
    ...part,
  });
  pilots.push(pilot);
  return pilot;
}

async function startEnvoy(pilot: Pilot): Promise<ProxyProcess> {
  const bootstrap = renderBootstrap({
    node: {
      ...defaultNodeIdentity,
      type: 'sidecar',
      ipAddresses: [podIp],
      podName: 'productpage-v1-0',
      namespace: 'default',
      labels: { app: 'productpage', version: 'v1' },
      workloadName: 'productpage-v1',
      interception: { mode: 'loopback', appAddress: '127.91.2.1', httpProxyPort: 23960, gatewayBinds: [] },
    },
    discovery: { address: '127.0.0.1', port: pilot.grpcPort },
    adminPort,
  });
  const admin = { ...(bootstrap['admin'] as object) } as Record<string, unknown>;
  admin['address'] = { socket_address: { address: '127.0.0.1', port_value: adminPort } };
  envoy = await startProxyProcess('envoy', JSON.stringify({ ...bootstrap, admin }), adminPort);
  await waitFor('listeners', async () => (await stat('listener_manager.workers_started')) === 1 || undefined);
  return envoy;
}

async function stat(name: string): Promise<number> {
  const { body } = (await envoy?.admin(`/stats?filter=^${name}$`)) ?? { body: '' };
  return Number(/: (\d+)/.exec(body)?.[1]);
}

async function settled(pilot: Pilot): Promise<void> {
  await waitFor('the proxy to have everything', () => {
    const [connection] = pilot.connections;
    return connection?.isSettled() === true ? true : undefined;
  });
}

/** Zero means: Envoy took everything that it was sent. */
async function rejections(): Promise<number> {
  const counts = await Promise.all(
    ['cluster_manager.cds.update_rejected', 'listener_manager.lds.update_rejected'].map(stat),
  );
  const { body } = (await envoy?.admin('/stats?filter=(rds|eds|cluster).*update_rejected')) ?? { body: '' };
  const others = [...body.matchAll(/: (\d+)/g)].map(([, count]) => Number(count));
  return [...counts, ...others]
    .filter((count) => !Number.isNaN(count))
    .reduce((sum, count) => sum + count, 0);
}

describe('stock Envoy', () => {
  test.skipIf(needs('envoy'))(
    'startPilot: stock Envoy takes Bookinfo and every change of its routes (A6.15, A6.16, B5.01, T18)',
    async () => {
      const store = new ConfigStore();
      put(store, 'apps', sample('bookinfo/bookinfo.yaml'));
      put(store, 'gateway', sample('bookinfo/gateway.yaml'));
      const pilot = await start(store);
      await startEnvoy(pilot);
      const routeSets = ['all-v1', 'reviews-90-10', 'reviews-jason-v2', 'ratings-delay', 'reviews-v3'];
      for (const [index, name] of routeSets.entries()) {
        // The rules come with the routes that need their subsets, and go with them.
        put(store, 'rules', index % 2 === 0 ? sample('bookinfo/destination-rules.yaml') : '');
        put(store, 'routes', sample(`bookinfo-routes/${name}.yaml`));
        await settled(pilot);
      }
      put(store, 'rules', sample('bookinfo/destination-rules.yaml'));
      await settled(pilot);
      expect(await rejections()).toBe(0);
      expect((await envoy?.admin('/clusters'))?.body).toContain(`${reviews}::`);
      // Nothing warms on, waiting for an answer that never comes.
      expect(await stat('cluster_manager.warming_clusters')).toBe(0);
      expect(await stat('listener_manager.total_listeners_warming')).toBe(0);
      put(store, 'rules', '');
      put(store, 'routes', '');
      await settled(pilot);
      expect((await envoy?.admin('/clusters'))?.body).not.toContain(`${reviews}::`);
      expect(await rejections()).toBe(0);
    },
  );

  test.skipIf(needs('envoy'))(
    'startPilot: one cluster that Envoy refuses keeps nothing else from it (B2.02)',
    async () => {
      const store = new ConfigStore();
      put(store, 'apps', sample('bookinfo/bookinfo.yaml'));
      const poisoned: AnyResourceKind = {
        ...(clusters as AnyResourceKind),
        build: (input) => {
          const built = clusters.build(input as Parameters<typeof clusters.build>[0]);
          if (built.name.includes('|v1|reviews')) {
            // Out of the range that the field's validation rule allows.
            built.message.connectTimeout = create(DurationSchema, { seconds: -1n });
          }
          return built;
        },
      };
      const kinds = [poisoned, endpoints, listeners, routes] as readonly AnyResourceKind[];
      const pilot = await start(store, { kinds });
      await startEnvoy(pilot);
      put(store, 'rules', sample('bookinfo/destination-rules.yaml'));
      put(store, 'routes', sample('bookinfo-routes/all-v1.yaml'));
      const other = 'outbound|9080|v1|details.default.svc.cluster.local';
      await waitFor('the other clusters', async () =>
        (await envoy?.admin('/clusters'))?.body.includes(`${other}::`) === true ? true : undefined,
      );
      const bad = 'outbound|9080|v1|reviews.default.svc.cluster.local';
      expect((await envoy?.admin('/clusters'))?.body).not.toContain(`${bad}::`);
      const [connection] = pilot.connections;
      const refused = await waitFor('the NACK', () => {
        const names = connection?.refusals().map(({ resource }) => resource.name);
        return names?.length === 1 ? names : undefined;
      });
      expect(refused).toEqual([bad]);
      // Routes of other hosts do not wait for it.
      await settled(pilot);
      expect(connection?.held()).toEqual([]);
    },
  );

  test.skipIf(needs('envoy'))(
    'startPilot: Envoy comes back to a restarted control plane and gets what changed meanwhile (B2.04)',
    async () => {
      const store = new ConfigStore();
      put(store, 'apps', sample('bookinfo/bookinfo.yaml'));
      const first = await start(store);
      await startEnvoy(first);
      await settled(first);
      await first.close();
      pilots.pop();
      put(store, 'rules', sample('bookinfo/destination-rules.yaml'));
      put(store, 'routes', sample('bookinfo-routes/reviews-v3.yaml'));
      const second = await start(store, { grpcAddress: `127.0.0.1:${first.grpcPort}` });
      await waitFor('the connection', () => [...second.connections][0]);
      await waitFor('the new cluster', async () =>
        (await envoy?.admin('/clusters'))?.body.includes(`${reviews}::`) === true ? true : undefined,
      );
      await settled(second);
      expect(await rejections()).toBe(0);
      expect(await stat('listener_manager.total_listeners_warming')).toBe(0);
    },
    60_000,
  );
});
