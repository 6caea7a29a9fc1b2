import { afterEach, describe, expect, test } from 'vitest';
import { create } from '@bufbuild/protobuf';
import { FollowingClient } from '../../../test/support/following-client.ts';
import { call } from '../../../test/support/http.ts';
import { waitFor } from '../../../test/support/wait.ts';
import { configsOfYaml } from '../../../test/support/world.ts';
import { NodeSchema } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import { LoggerRegistry } from '../../base/logger.ts';
import { ConfigStore } from '../../config/store.ts';
import { typeUrls } from '../../xds/types.ts';
import type { Pilot } from '../pilot.ts';
import { startPilot } from '../pilot.ts';

/**
 * Istio's own, with the labels and bounds that its dashboards and alerts ask for. Sources, 1.27: pilot/pkg/xds/monitoring.go,
 * pkg/xds/monitoring.go, pilot/pkg/model/push_context.go, pilot/pkg/bootstrap/monitoring.go.
 */
const istioMetrics: readonly {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly labels?: readonly string[];
  readonly bounds?: readonly number[];
}[] = [
  { name: 'pilot_services', type: 'gauge' },
  { name: 'pilot_xds', type: 'gauge', labels: ['version'] },
  { name: 'pilot_xds_recv_max', type: 'gauge' },
  { name: 'pilot_xds_pushes', type: 'counter', labels: ['type'] },
  {
    name: 'pilot_debounce_time',
    type: 'histogram',
    bounds: [0.01, 0.1, 0.5, 1, 3, 5, 10, 20, 30],
  },
  {
    name: 'pilot_xds_push_time',
    type: 'histogram',
    labels: ['type'],
    bounds: [0.01, 0.1, 0.5, 1, 3, 5, 10, 20, 30],
  },
  { name: 'pilot_proxy_queue_time', type: 'histogram', bounds: [0.1, 0.5, 1, 3, 5, 10, 20, 30] },
  { name: 'pilot_push_triggers', type: 'counter', labels: ['type'] },
  { name: 'pilot_proxy_convergence_time', type: 'histogram', bounds: [0.1, 0.5, 1, 3, 5, 10, 20, 30] },
  { name: 'pilot_inbound_updates', type: 'counter', labels: ['type'] },
  {
    name: 'pilot_xds_config_size_bytes',
    type: 'histogram',
    labels: ['type'],
    bounds: [1, 10_000, 1_000_000, 4_000_000, 10_000_000, 40_000_000],
  },
  { name: 'pilot_total_xds_internal_errors', type: 'counter' },
  { name: 'pilot_xds_expired_nonce', type: 'counter', labels: ['type'] },
  { name: 'pilot_xds_cds_reject', type: 'gauge', labels: ['err', 'node'] },
  { name: 'pilot_xds_eds_reject', type: 'gauge', labels: ['err', 'node'] },
  { name: 'pilot_xds_lds_reject', type: 'gauge', labels: ['err', 'node'] },
  { name: 'pilot_xds_rds_reject', type: 'gauge', labels: ['err', 'node'] },
  { name: 'pilot_total_xds_rejects', type: 'counter', labels: ['type'] },
  { name: 'pilot_xds_write_timeout', type: 'counter' },
  { name: 'pilot_xds_send_time', type: 'histogram', bounds: [0.01, 0.1, 1, 3, 5, 10, 20, 30] },
  { name: 'endpoint_no_pod', type: 'gauge' },
  { name: 'pilot_no_ip', type: 'gauge' },
  { name: 'pilot_endpoint_not_ready', type: 'gauge' },
  { name: 'pilot_conflict_outbound_listener_tcp_over_current_tcp', type: 'gauge' },
  { name: 'pilot_conflict_inbound_listener', type: 'gauge' },
  { name: 'pilot_duplicate_envoy_clusters', type: 'gauge' },
  { name: 'pilot_dns_cluster_without_endpoints', type: 'gauge' },
  { name: 'pilot_eds_no_instances', type: 'gauge' },
  { name: 'pilot_vservice_dup_domain', type: 'gauge' },
  { name: 'pilot_destrule_subsets', type: 'gauge' },
  { name: 'pilot_virt_services', type: 'gauge' },
  { name: 'pilot_info', type: 'gauge', labels: ['version'] },
  { name: 'istiod_uptime_seconds', type: 'gauge' },
];

const services = `
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: default}
spec: {clusterIP: 10.96.0.1, selector: {app: reviews}, ports: [{name: http, port: 9080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: reviews-0, namespace: default, labels: {app: reviews}}
spec: {containers: [{name: app, image: reviews}]}
status: {podIP: 10.1.0.1, phase: Running, conditions: [{type: Ready, status: "True"}]}
`;
const virtualService = (part: string): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: default}
spec: {hosts: [reviews], http: [{${part}, route: [{destination: {host: reviews}}]}]}
`;

const pilots: Pilot[] = [];
const clients: FollowingClient[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await Promise.all(pilots.splice(0).map((pilot) => pilot.close()));
});

interface Setup {
  readonly store: ConfigStore;
  readonly client: FollowingClient;
  readonly apply: (source: string, yaml: string) => void;
  /** One sample by its name with labels; 0 where there is none. */
  readonly sample: (name: string) => Promise<number>;
  readonly render: () => Promise<string>;
}

async function setUp(): Promise<Setup> {
  const store = new ConfigStore();
  const apply = (source: string, text: string): void => {
    const configs = text === '' ? [] : configsOfYaml(text, `${source}.yaml`);
    store.applyBatch(source, configs, configs.length === 0 ? store.keysOf(source) : []);
  };
  apply('base', services);
  const pilot = await startPilot({
    store,
    loggers: new LoggerRegistry({ write: () => {} }),
    grpcAddress: '127.0.0.1:0',
    httpAddress: '127.0.0.1:0',
  });
  pilots.push(pilot);
  const node = create(NodeSchema, {
    id: 'sidecar~10.1.0.1~reviews-0.default~default.svc.cluster.local',
    metadata: { NAMESPACE: 'default', LABELS: { app: 'reviews' }, ISTIO_VERSION: '1.32.0', CLUSTER_ID: 'c' },
  });
  const client = new FollowingClient(pilot.grpcPort, {
    node,
    refuse: ({ typeUrl, resources }) =>
      typeUrl === typeUrls.route && resources.some(({ value }) => Buffer.from(value).includes('x-bad'))
        ? 'no'
        : undefined,
  });
  clients.push(client);
  await client.ready();
  const render = async (): Promise<string> =>
    (await call({ url: `http://127.0.0.1:${pilot.httpPort}/metrics` })).body;
  const sample = async (name: string): Promise<number> => {
    const line = (await render()).split('\n').find((each) => each.startsWith(`${name} `));
    return line === undefined ? 0 : Number(line.slice(name.length + 1));
  };
  return { store, client, apply, render, sample };
}

describe('PilotMetrics', () => {
  test('render: Istio’s names, types, labels and bounds (B4.11)', async () => {
    const { client, apply, render, sample } = await setUp();
    apply('vs', virtualService('headers: {request: {set: {x-bad: y}}}'));
    await waitFor('the refusal', () => client.log.includes('RDS refused') || undefined);
    apply('vs', virtualService('timeout: 3s'));
    await waitFor(
      'convergence',
      async () => (await sample('pilot_proxy_convergence_time_count')) > 0 || undefined,
    );
    const lines = (await render()).split('\n');
    for (const { name, type, labels = [], bounds } of istioMetrics) {
      expect(lines, name).toContain(`# TYPE ${name} ${type}`);
      const samples = lines.filter((line) => new RegExp(`^${name}(_bucket|_sum|_count)?[ {]`).test(line));
      for (const line of samples) {
        const found = [...line.matchAll(/[{,](\w+)="/g)].map(([, label = '']) => label);
        expect(found.filter((label) => label !== 'le').sort(), line).toEqual([...labels].sort());
      }
      const isOnlyNow = /reject$|expired_nonce|internal_errors|write_timeout/.test(name);
      if (!isOnlyNow) expect(samples.length, name).toBeGreaterThan(0);
      if (bounds === undefined) continue;
      const ours = new Set(samples.flatMap((line) => /le="([^"]+)"/.exec(line)?.[1] ?? []));
      // Finer bounds may stand between Istio's: a query for one of these still finds it.
      for (const bound of bounds) expect(ours, name).toContain(String(bound));
    }
  });

  test('values: what one change counts, and what a refusal does (B4.11)', async () => {
    const { client, apply, sample } = await setUp();
    expect(await sample('pilot_xds{version="1.32.0"}')).toBe(1);
    expect(await sample('pilot_xds_recv_max')).toBeGreaterThan(0);
    const before = await sample('pilot_xds_pushes{type="rds"}');
    apply('vs', virtualService('timeout: 3s'));
    await waitFor(
      'the push',
      async () => (await sample('pilot_xds_pushes{type="rds"}')) > before || undefined,
    );
    expect(await sample('pilot_push_triggers{type="config"}')).toBe(1);
    expect(await sample('pilot_inbound_updates{type="config"}')).toBe(1);
    expect(await sample('pilot_virt_services')).toBe(1);
    apply('vs', virtualService('headers: {request: {set: {x-bad: y}}}'));
    await waitFor('the refusal', () => client.log.includes('RDS refused') || undefined);
    expect(await sample('pilot_total_xds_rejects{type="rds"}')).toBe(1);
    const node = 'sidecar~10.1.0.1~reviews-0.default~default.svc.cluster.local';
    expect(await sample(`pilot_xds_rds_reject{node="${node}",err="13"}`)).toBe(1);
    apply('base', '');
    await waitFor(
      'the deletion',
      async () => (await sample('pilot_inbound_updates{type="svcdelete"}')) === 1 || undefined,
    );
    expect(await sample('pilot_services')).toBe(0);
    clients.pop()?.close();
    await waitFor('the end', async () => (await sample('pilot_xds{version="1.32.0"}')) === 0 || undefined);
  });

  test('pilot_xds_pushes, pilot_push_triggers: what changes nothing for a proxy does not count', async () => {
    const { apply, sample } = await setUp();
    const types = ['cds', 'eds', 'lds', 'rds'];
    const pushes = (): Promise<readonly number[]> =>
      Promise.all(types.map((type) => sample(`pilot_xds_pushes{type="${type}"}`)));
    const before = await pushes();
    apply('base', services.replace('labels: {app: reviews}', 'annotations: {a: b}, labels: {app: reviews}'));
    apply('other', 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: any}\ndata: {a: b}\n');
    await waitFor(
      'the update',
      async () => (await sample('pilot_inbound_updates{type="eds"}')) === 1 || undefined,
    );
    // What follows is sent after anything that these had to send.
    apply('vs', virtualService('timeout: 3s'));
    await waitFor('the push', async () => ((await pushes())[3] ?? 0) > (before[3] ?? 0) || undefined);
    expect(await pushes()).toEqual([...before.slice(0, 3), (before[3] ?? 0) + 1]);
  });
});
