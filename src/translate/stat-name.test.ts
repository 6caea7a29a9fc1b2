// MeshConfig's patterns for names of statistics, in clusters and in tcp_proxy filters; and MongoDB's protocol.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JsonObject } from '@bufbuild/protobuf';
import { afterAll, expect, test } from 'vitest';
import { envoyBootstrapOf, validateInEnvoy } from '../../test/support/envoy-validate.ts';
import { needs } from '../../test/support/tools.ts';
import type { Surroundings } from '../../test/support/translated.ts';
import { listenersOf, worldAndScope } from '../../test/support/translated.ts';
import { clusters } from './index.ts';

const directory = mkdtempSync(join(tmpdir(), 'fairlead-stats-'));
afterAll(() => rmSync(directory, { recursive: true }));

const store = `
apiVersion: v1
kind: Service
metadata: { name: store, namespace: shop }
spec: { clusterIP: 10.0.0.1, selector: { app: store }, ports: [{ name: tcp-db, port: 90, targetPort: 9000 }, { name: mongo, port: 27017 }] }
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: store, namespace: shop }
spec: { host: store, subsets: [{ name: v1, labels: { version: v1 } }] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: store, namespace: shop }
spec:
  hosts: [store]
  tcp: [{ match: [{ port: 90 }], route: [{ destination: { host: store, port: { number: 90 }, subset: v1 } }] }]
`;

const mesh = {
  inboundClusterStatName: 'in_%SERVICE%_%SERVICE_PORT_NAME%_%TARGET_PORT%',
  outboundClusterStatName: 'out_%SERVICE_NAME%_%SUBSET_NAME%_%SERVICE_PORT%_%SERVICE_PORT_NAME%',
};
const proxy = { namespace: 'shop', labels: { app: 'store' } };

function statNames(surroundings: Surroundings): Record<string, string> {
  const { world, scope } = worldAndScope(store, surroundings);
  return Object.fromEntries(
    clusters.names(world, scope).flatMap((name) => {
      const input = clusters.input(world, scope, name);
      return input === undefined ? [] : [[name, clusters.build(input).message.altStatName]];
    }),
  );
}

interface Chain {
  readonly filters: readonly {
    readonly name: string;
    readonly typedConfig: { readonly statPrefix: string };
  }[];
}

/** `<filter> <its stat prefix>` of every chain, each once. */
function filterLines(listener: JsonObject | undefined): readonly string[] {
  const { filterChains, defaultFilterChain } = listener as unknown as {
    readonly filterChains: readonly Chain[];
    readonly defaultFilterChain?: Chain;
  };
  const chains = [...filterChains, ...(defaultFilterChain === undefined ? [] : [defaultFilterChain])];
  const lines = chains.map(({ filters }) =>
    filters
      .map(({ name, typedConfig }) => `${name.replace(/.*\./, '')} ${typedConfig.statPrefix}`)
      .join(', '),
  );
  return [...new Set(lines)];
}

test('clusters: alt_stat_name is what the mesh’s pattern means, else the cluster’s name (B6.09)', () => {
  const named = statNames({ mesh, proxy });
  expect(named).toMatchObject({
    'inbound|9000||': 'in_store.shop_tcp-db_9000;',
    'inbound|27017||': 'in_store.shop_mongo_27017;',
    'outbound|90||store.shop.svc.cluster.local': 'out_store__90_tcp-db;',
    'outbound|90|v1|store.shop.svc.cluster.local': 'out_store_v1_90_tcp-db;',
    PassthroughCluster: 'PassthroughCluster;',
  });
  expect(statNames({ proxy })['inbound|9000||']).toBe('inbound|9000||;');
});

test('listeners: TCP has the same names, by rule and by service (B6.09)', () => {
  const built = listenersOf(store, { mesh, proxy });
  expect(filterLines(built['10.0.0.1_90'])).toEqual(['tcp_proxy out_store_v1_90_tcp-db']);
  const inbound = filterLines(built['virtualInbound']);
  expect(inbound).toContain('tcp_proxy in_store.shop_tcp-db_%TARGET_PORT%');
});

test('listeners: what goes to a MONGO port is read on its way, in both directions (partly C11.10)', () => {
  const built = listenersOf(store, { proxy });
  const cluster = 'outbound|27017||store.shop.svc.cluster.local';
  expect(filterLines(built['10.0.0.1_27017'])).toEqual([`mongo_proxy ${cluster}, tcp_proxy ${cluster}`]);
  expect(filterLines(built['virtualInbound'])).toContain(
    'mongo_proxy inbound|27017||, tcp_proxy inbound|27017||',
  );
});

test('statName: a name that would be empty is the cluster’s, for Envoy takes no empty one', () => {
  const [first] = filterLines(
    listenersOf(store, { mesh: { inboundClusterStatName: '%SERVICE%' }, proxy })['virtualInbound'],
  ).filter((line) => line.includes('InboundPassthroughCluster'));
  expect(first).toBeDefined();
});

test.skipIf(needs('envoy'))('statName: stock Envoy accepts the listeners', () => {
  const { world, scope } = worldAndScope(store, { mesh, proxy });
  expect(validateInEnvoy(envoyBootstrapOf(world, scope), join(directory, 'x.json'))).toContain("' OK");
});
