// EnvoyFilters and MeshConfig on their way to connected proxies.
import { afterEach, expect, test } from 'vitest';
import { create, fromBinary } from '@bufbuild/protobuf';
import { BareAdsClient } from '../../test/support/ads-client.ts';
import { envoyFilter } from '../../test/support/envoy-filters.ts';
import { FollowingClient } from '../../test/support/following-client.ts';
import { waitFor } from '../../test/support/wait.ts';
import { putSource } from '../../test/support/world.ts';
import { NodeSchema } from '../api/gen/envoy/config/core/v3/base_pb.js';
import { TypedExtensionConfigSchema } from '../api/gen/envoy/config/core/v3/extension_pb.js';
import { LoggerRegistry } from '../base/logger.ts';
import { defaultMeshConfig } from '../config/mesh-config.ts';
import { ConfigStore } from '../config/store.ts';
import { typeUrls } from '../xds/types.ts';
import type { Pilot } from './pilot.ts';
import { startPilot } from './pilot.ts';

const services = `
apiVersion: v1
kind: Service
metadata: { name: web, namespace: default }
spec: { clusterIP: 10.96.0.1, selector: { app: web }, ports: [{ name: http, port: 80 }] }
`;
const web = 'outbound|80||web.default.svc.cluster.local';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
});

async function setUp(): Promise<{ pilot: Pilot; logs: string[]; apply: (yaml: string) => void }> {
  const logs: string[] = [];
  const store = new ConfigStore();
  const apply = (yaml: string): void => putSource(store, 'mesh', services + yaml);
  apply('');
  const pilot = await startPilot({
    store,
    loggers: new LoggerRegistry({ write: (line) => void logs.push(line) }),
    grpcAddress: '127.0.0.1:0',
    httpAddress: '127.0.0.1:0',
    rate: 1000,
  });
  closing.push(() => pilot.close());
  return { pilot, logs, apply };
}

function nodeOf(metadata: Record<string, string> = {}) {
  return create(NodeSchema, {
    id: 'sidecar~10.1.0.1~web-0.default~default.svc.cluster.local',
    metadata: { NAMESPACE: 'default', LABELS: { app: 'web' }, ISTIO_VERSION: '1.32.0', ...metadata },
  });
}

async function follow(
  pilot: Pilot,
  metadata?: Record<string, string>,
  poison = '<nothing>',
): Promise<FollowingClient> {
  const client = new FollowingClient(pilot.grpcPort, {
    node: nodeOf(metadata),
    refuse: ({ resources }) =>
      resources.some(({ value }) => Buffer.from(value).includes(poison))
        ? `cannot take ${poison}`
        : undefined,
  });
  closing.unshift(() => client.close());
  return client.ready();
}

test('startPilot: an EnvoyFilter sends what it changes, to whom it selects, and its end takes that back (C13.06)', async () => {
  const { pilot, apply } = await setUp();
  const selected = await follow(pilot, { ROLE: 'edge' });
  const other = await follow(pilot);
  for (const { log } of [selected, other]) log.length = 0;
  const match = 'context: SIDECAR_OUTBOUND, proxy: { metadata: { ROLE: edge } }';
  const added = envoyFilter('CLUSTER', 'ADD', '{ name: mine, connect_timeout: 1s }', { match });
  apply(added);
  await waitFor('the cluster', () => selected.clusters.has('mine') || undefined);
  apply(
    `${added}${envoyFilter('VIRTUAL_HOST', 'ADD', '{ name: mine, domains: [mine] }', { match, name: 'b' })}`,
  );
  await waitFor(
    'the virtual host',
    () => selected.routes.get('80')?.virtualHosts.some(({ name }) => name === 'mine') === true || undefined,
  );
  apply('');
  await waitFor('the end of it', () => !selected.clusters.has('mine') || undefined);
  await waitFor(
    'the end of the host',
    () => selected.routes.get('80')?.virtualHosts.every(({ name }) => name !== 'mine') === true || undefined,
  );
  expect([...new Set(selected.log)].sort()).toEqual(['CDS', 'RDS 80']);
  expect(other.log).toEqual([]);
  expect(other.clusters).not.toContain('mine');
});

test('startPilot: what a proxy refuses of a patch is blamed on its line; the rest goes on (C13.06, B2.02)', async () => {
  const { pilot, apply, logs } = await setUp();
  const client = await follow(pilot, {}, 'poison');
  const patch = envoyFilter('CLUSTER', 'MERGE', '{ alt_stat_name: poison }', {
    match: `cluster: { name: '${web}' }`,
  });
  apply(patch + envoyFilter('CLUSTER', 'ADD', '{ name: mine }', { name: 'good' }));
  await waitFor('the NACK', () => logs.find((line) => line.includes(`refused ${web}`)));
  expect(logs.find((line) => line.includes(`refused ${web}`))).toMatch(
    /EnvoyFilter default\/patch spec\.configPatches\[0\]\.patch\.value\.alt_stat_name at mesh\.yaml:\d+:\d+/,
  );
  await waitFor('the other cluster', () => client.clusters.has('mine') || undefined);
});

test('startPilot: extension configs are answered by name, and sent anew when they change (C13.06)', async () => {
  const { pilot, apply } = await setUp();
  const filter = (text: string): string =>
    envoyFilter(
      'EXTENSION_CONFIG',
      'ADD',
      `{ name: mine, typed_config: { '@type': type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua, default_source_code: { inline_string: ${text} } } }`,
    );
  apply(filter('one'));
  const client = new BareAdsClient(pilot.grpcPort);
  closing.unshift(() => client.close());
  client.send({ typeUrl: typeUrls.extensionConfig, resourceNames: ['mine'], node: nodeOf() });
  const first = await client.next();
  const config = fromBinary(TypedExtensionConfigSchema, first.resources[0]?.value ?? new Uint8Array());
  expect([first.typeUrl, config.name]).toEqual([typeUrls.extensionConfig, 'mine']);
  client.ack(first, ['mine']);
  apply(filter('two'));
  expect(Buffer.from((await client.next()).resources[0]?.value ?? []).includes('two')).toBe(true);
});

test('setMeshConfig: all types that it changes are sent to all proxies at once (C1.03)', async () => {
  const { pilot } = await setUp();
  const proxies = [await follow(pilot), await follow(pilot, { ROLE: 'edge' })];
  for (const { log } of proxies) log.length = 0;
  pilot.setMeshConfig({
    ...defaultMeshConfig,
    connectTimeoutMs: 3000,
    accessLogFile: '/dev/stdout',
    outboundTrafficPolicy: 'REGISTRY_ONLY',
  });
  for (const { log } of proxies) {
    // oxlint-disable-next-line no-await-in-loop -- each is waited for
    await waitFor(
      'all types',
      () => ['CDS', 'LDS', 'RDS'].every((type) => log.some((line) => line.startsWith(type))) || undefined,
    );
    expect(log[0]).toBe('CDS');
  }
  for (const { log } of proxies) log.length = 0;
  // The same settings again: nothing is sent.
  pilot.setMeshConfig({
    ...defaultMeshConfig,
    connectTimeoutMs: 3000,
    accessLogFile: '/dev/stdout',
    outboundTrafficPolicy: 'REGISTRY_ONLY',
  });
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(proxies.flatMap(({ log }) => log)).toEqual([]);
});
