// BOOTSTRAP patches of EnvoyFilters, and what of a ProxyConfig reaches a proxy's start.
import { expect, test } from 'vitest';
import { envoyFilter } from '../../test/support/envoy-filters.ts';
import { configsOfYaml } from '../../test/support/world.ts';
import { messageFromJson } from '../api/any.ts';
import { BootstrapSchema } from '../api/gen/envoy/config/bootstrap/v3/bootstrap_pb.js';
import type { EnvoyFilterConfig } from '../config/config.ts';
import { bootstrapPatches } from './bootstrap-patches.ts';
import { renderBootstrap } from './bootstrap.ts';
import type { NodeIdentity } from './node-identity.ts';
import { defaultNodeIdentity } from './node-identity.ts';
import { proxyCommand } from './proxy-process.ts';

const node: NodeIdentity = {
  ...defaultNodeIdentity,
  type: 'sidecar',
  ipAddresses: ['127.105.0.1'],
  podName: 'web-0',
  namespace: 'default',
  labels: { app: 'web' },
  workloadName: 'web',
  interception: { mode: 'loopback', httpProxyPort: 0, gatewayBinds: [] },
};

function rendered(filters: string, of: NodeIdentity = node) {
  const configs = configsOfYaml(filters) as readonly EnvoyFilterConfig[];
  const patches = bootstrapPatches(configs, 'istio-system', of);
  const json = renderBootstrap({ node: of, discovery: { address: '127.0.0.1', port: 15010 }, patches });
  return { json, message: messageFromJson(BootstrapSchema, json) };
}

const value = `{ stats_flush_interval: 7s, cluster_manager: { outlier_detection: { event_log_path: /dev/null } }, static_resources: { clusters: [{ name: mine, connect_timeout: 1s }] } }`;

test('renderBootstrap: BOOTSTRAP patches are merged, in their order (C13.06)', () => {
  const { message } = rendered(
    envoyFilter('BOOTSTRAP', 'MERGE', value) +
      envoyFilter('BOOTSTRAP', 'MERGE', '{ stats_flush_interval: 9s }', { name: 'z' }),
  );
  const own = rendered('').message;
  expect(message.staticResources?.clusters.map(({ name }) => name)).toEqual([
    ...(own.staticResources?.clusters.map(({ name }) => name) ?? []),
    'mine',
  ]);
  expect(message.clusterManager?.outlierDetection?.eventLogPath).toBe('/dev/null');
  expect(message.statsFlush).toMatchObject({ case: undefined });
  expect(message.statsFlushInterval?.seconds).toBe(9n);
  expect(message.node).toEqual(own.node);
});

test('renderBootstrap: without patches for the proxy the file is the same text', () => {
  const own = JSON.stringify(rendered('').json);
  for (const filter of [
    envoyFilter('BOOTSTRAP', 'MERGE', value, { spec: 'workloadSelector: { labels: { app: other } }' }),
    envoyFilter('BOOTSTRAP', 'MERGE', value, { namespace: 'other' }),
    envoyFilter('BOOTSTRAP', 'MERGE', value, { match: 'context: GATEWAY' }),
    envoyFilter('BOOTSTRAP', 'MERGE', value, { match: 'proxy: { metadata: { ROLE: edge } }' }),
    envoyFilter('CLUSTER', 'ADD', '{ name: x }'),
  ])
    expect(JSON.stringify(rendered(filter).json), filter).toBe(own);
  const gateway: NodeIdentity = { ...node, type: 'router' };
  const forGateway = envoyFilter('BOOTSTRAP', 'MERGE', value, { match: 'context: GATEWAY' });
  expect(rendered(forGateway, gateway).message.statsFlushInterval?.seconds).toBe(7n);
});

test('nodeMetadata: variables of a ProxyConfig that begin with ISTIO_META_ are metadata (C1.03)', () => {
  const proxyMetadata = { ISTIO_META_ROLE: 'edge', OTHER: 'x' };
  const { message } = rendered(
    envoyFilter('BOOTSTRAP', 'MERGE', value, { match: 'proxy: { metadata: { ROLE: edge } }' }),
    { ...node, proxyMetadata },
  );
  expect(message.node?.metadata).toMatchObject({ ROLE: 'edge' });
  expect(message.node?.metadata).not.toHaveProperty('OTHER');
  expect(message.statsFlushInterval?.seconds).toBe(7n);
});

test('proxyCommand: threads and drain time are a ProxyConfig’s; 0 threads are one a core (C1.03)', () => {
  const flags = (settings?: object): string =>
    proxyCommand({ kind: 'envoy', path: 'envoy' }, 'b.json', 'warning', settings).args.join(' ');
  expect(flags()).toContain('--concurrency 2 --drain-time-s 45 ');
  expect(flags({ concurrency: 7, drainDurationMs: 3000 })).toContain('--concurrency 7 --drain-time-s 3 ');
  expect(flags({ concurrency: 0 })).not.toContain('--concurrency');
});
