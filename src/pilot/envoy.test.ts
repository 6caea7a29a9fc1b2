// Stock Envoy under our control plane: it must accept all that we send, and go on where it does not.
import { readFileSync } from 'node:fs';
import { create } from '@bufbuild/protobuf';
import { DurationSchema } from '@bufbuild/protobuf/wkt';
import { afterEach, describe, expect, test } from 'vitest';
import type { StockEnvoy } from '../../test/support/stock-envoy.ts';
import { startStockEnvoy } from '../../test/support/stock-envoy.ts';
import { needs } from '../../test/support/tools.ts';
import { waitFor } from '../../test/support/wait.ts';
import { putSource } from '../../test/support/world.ts';
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

let running: StockEnvoy | undefined;
const pilots: Pilot[] = [];

afterEach(async () => {
  await running?.stop();
  running = undefined;
  await Promise.all(pilots.splice(0).map((pilot) => pilot.close()));
});

function sample(path: string): string {
  return readFileSync(`${samples}/${path}`, 'utf8');
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

async function startEnvoy(pilot: Pilot): Promise<StockEnvoy> {
  running = await startStockEnvoy({
    grpcPort: pilot.grpcPort,
    adminPort,
    httpProxyPort: 23960,
    podIp,
    appAddress: '127.91.2.1',
    identity: {
      podName: 'productpage-v1-0',
      labels: { app: 'productpage', version: 'v1' },
      workloadName: 'productpage-v1',
    },
  });
  return running;
}

async function settled(pilot: Pilot): Promise<void> {
  await waitFor('the proxy to have everything', () => {
    const [connection] = pilot.connections;
    return connection?.isSettled() === true ? true : undefined;
  });
}

describe('stock Envoy', () => {
  test.skipIf(needs('envoy'))(
    'startPilot: stock Envoy takes Bookinfo and every change of its routes (A6.15, A6.16, B5.01, T18)',
    async () => {
      const store = new ConfigStore();
      putSource(store, 'apps', sample('bookinfo/bookinfo.yaml'));
      putSource(store, 'gateway', sample('bookinfo/gateway.yaml'));
      const pilot = await start(store);
      const envoy = await startEnvoy(pilot);
      const routeSets = ['all-v1', 'reviews-90-10', 'reviews-jason-v2', 'ratings-delay', 'reviews-v3'];
      for (const [index, name] of routeSets.entries()) {
        // The rules come with the routes that need their subsets, and go with them.
        putSource(store, 'rules', index % 2 === 0 ? sample('bookinfo/destination-rules.yaml') : '');
        putSource(store, 'routes', sample(`bookinfo-routes/${name}.yaml`));
        await settled(pilot);
      }
      putSource(store, 'rules', sample('bookinfo/destination-rules.yaml'));
      await settled(pilot);
      expect(await envoy.rejections()).toBe(0);
      expect(await envoy.clusters()).toContain(`${reviews}::`);
      // Nothing warms on, waiting for an answer that never comes.
      expect(await envoy.warming()).toBe(0);
      putSource(store, 'rules', '');
      putSource(store, 'routes', '');
      await settled(pilot);
      expect(await envoy.clusters()).not.toContain(`${reviews}::`);
      expect(await envoy.rejections()).toBe(0);
    },
  );

  test.skipIf(needs('envoy'))(
    'startPilot: one cluster that Envoy refuses keeps nothing else from it (B2.02)',
    async () => {
      const store = new ConfigStore();
      putSource(store, 'apps', sample('bookinfo/bookinfo.yaml'));
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
      const envoy = await startEnvoy(pilot);
      putSource(store, 'rules', sample('bookinfo/destination-rules.yaml'));
      putSource(store, 'routes', sample('bookinfo-routes/all-v1.yaml'));
      const other = 'outbound|9080|v1|details.default.svc.cluster.local';
      await waitFor(
        'the other clusters',
        async () => (await envoy.clusters()).includes(`${other}::`) || undefined,
      );
      const bad = 'outbound|9080|v1|reviews.default.svc.cluster.local';
      expect(await envoy.clusters()).not.toContain(`${bad}::`);
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
      putSource(store, 'apps', sample('bookinfo/bookinfo.yaml'));
      const first = await start(store);
      const envoy = await startEnvoy(first);
      await settled(first);
      await first.close();
      pilots.pop();
      putSource(store, 'rules', sample('bookinfo/destination-rules.yaml'));
      putSource(store, 'routes', sample('bookinfo-routes/reviews-v3.yaml'));
      const second = await start(store, { grpcAddress: `127.0.0.1:${first.grpcPort}` });
      await waitFor('the connection', () => [...second.connections][0]);
      await waitFor(
        'the new cluster',
        async () => (await envoy.clusters()).includes(`${reviews}::`) || undefined,
      );
      await settled(second);
      expect(await envoy.rejections()).toBe(0);
      expect(await envoy.warming()).toBe(0);
    },
    60_000,
  );
});
