// Debug types over xDS, asked for as istioctl does: a stream of its own, one request, the first answer.
import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import { fromBinary } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import { afterEach, expect, test } from 'vitest';
import { BareAdsClient } from '../../../test/support/ads-client.ts';
import { ReportClient } from '../../../test/support/report-client.ts';
import { waitFor } from '../../../test/support/wait.ts';
import { configsOfYaml } from '../../../test/support/world.ts';
import {
  ClustersConfigDumpSchema,
  RoutesConfigDumpSchema,
} from '../../api/gen/envoy/admin/v3/config_dump_shared_pb.js';
import { ClientConfigSchema, ConfigStatus } from '../../api/gen/envoy/service/status/v3/csds_pb.js';
import { NameTableSchema } from '../../api/gen/istio/networking/nds/v1/nds_pb.js';
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
} from '../../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import { LoggerRegistry } from '../../base/logger.ts';
import { ConfigStore } from '../../config/store.ts';
import { typeUrls } from '../../xds/types.ts';
import type { XdsStream } from '../../xds/server/stream.ts';
import type { Subscription } from '../../xds/server/subscription.ts';
import type { Pilot, PilotServer } from '../pilot.ts';
import { startPilot } from '../pilot.ts';
import type { ProxyConnection } from '../proxy-connection.ts';
import { answeringDebugTypes } from './debug-types.ts';

const closing: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

const yaml = `
apiVersion: v1
kind: Service
metadata: { name: a, namespace: default }
spec: { clusterIP: 10.0.0.1, selector: { app: a }, ports: [{ name: http, port: 80 }] }
---`;
const node = {
  id: 'sidecar~10.1.0.1~a-0.default~default.svc.cluster.local',
  metadata: { CLUSTER_ID: 'Kubernetes', ISTIO_VERSION: '1.32.0' },
};
const tool = { id: 'sidecar~10.1.0.9~istioctl.istio-system~istio-system.svc.cluster.local' };

async function start(store = new ConfigStore()): Promise<Pilot> {
  store.applyBatch('test', configsOfYaml(yaml), []);
  const pilot = await startPilot({
    store,
    loggers: new LoggerRegistry({ level: 'off' }),
    grpcAddress: '127.0.0.1:0',
    httpAddress: '127.0.0.1:0',
  });
  closing.push(() => pilot.close());
  return pilot;
}

const deltaPath = '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources';

function deltaClient({ grpcPort }: Pilot) {
  const made = new ReportClient(
    grpcPort,
    deltaPath,
    DeltaDiscoveryRequestSchema,
    DeltaDiscoveryResponseSchema,
  );
  closing.push(() => made.close());
  return made;
}

function client(pilot: Pilot): BareAdsClient {
  const made = new BareAdsClient(pilot.grpcPort);
  closing.push(() => made.close());
  return made;
}

/** A proxy that has accepted its clusters, and was sent routes. */
async function proxy(pilot: Pilot): Promise<BareAdsClient> {
  const made = client(pilot);
  made.send({ typeUrl: typeUrls.cluster, node });
  made.ack(await made.next());
  made.send({ typeUrl: typeUrls.route, resourceNames: ['80'] });
  await made.next();
  return made;
}

async function ask(pilot: Pilot, typeUrl: string, resourceNames: string[] = []) {
  const asking = client(pilot);
  asking.send({ typeUrl, node: tool, resourceNames });
  const response = await asking.next();
  expect(response.typeUrl).toBe(typeUrl);
  return response.resources;
}

function unpacked<Desc extends DescMessage>(
  schema: Desc,
  resources: Awaited<ReturnType<typeof ask>>,
): MessageShape<Desc> | undefined {
  const found = resources.find(({ typeUrl }) => typeUrl.endsWith(`/${schema.typeName}`));
  return found === undefined ? undefined : fromBinary(schema, found.value);
}

test('istio.io/debug/syncz: every proxy and how far it is with each type; tools are no proxies (B5.07)', async () => {
  const pilot = await start();
  await proxy(pilot);
  await waitFor('the ACK', async () => {
    const config = unpacked(ClientConfigSchema, await ask(pilot, 'istio.io/debug/syncz'));
    return config?.genericXdsConfigs[0]?.configStatus === ConfigStatus.SYNCED || undefined;
  });
  const resources = await ask(pilot, 'istio.io/debug/syncz');
  expect(resources).toHaveLength(1);
  const config = unpacked(ClientConfigSchema, resources);
  expect(config?.node).toMatchObject({
    id: node.id,
    metadata: { CLUSTER_ID: 'Kubernetes', NAMESPACE: 'default', ISTIO_VERSION: '1.32.0' },
  });
  expect(config?.genericXdsConfigs.map(({ typeUrl, configStatus }) => [typeUrl, configStatus])).toEqual([
    [typeUrls.cluster, ConfigStatus.SYNCED],
    [typeUrls.route, ConfigStatus.STALE],
  ]);
});

test('istio.io/debug/config_dump: what one proxy should have; nothing for one that is not connected (B5.07)', async () => {
  const pilot = await start();
  await proxy(pilot);
  const resources = await ask(pilot, 'istio.io/debug/config_dump', ['a-0.default']);
  const clusters = unpacked(ClustersConfigDumpSchema, resources)?.dynamicActiveClusters ?? [];
  expect(clusters.map(({ cluster }) => cluster?.typeUrl)).toContain(typeUrls.cluster);
  expect(unpacked(RoutesConfigDumpSchema, resources)?.dynamicRouteConfigs).toHaveLength(1);
  expect(await ask(pilot, 'istio.io/debug/config_dump', ['b-0.default'])).toEqual([]);
});

type Page = (pilot: Pilot, name: string) => Promise<string>;

const dialects: Readonly<Record<string, Page>> = {
  'state of the world': async (pilot, name) => {
    const [resource] = await ask(pilot, 'istio.io/debug', [name]);
    expect(resource?.typeUrl).toBe('istio.io/debug');
    return new TextDecoder().decode(resource?.value);
  },
  delta: async (pilot, name) => {
    const asking = deltaClient(pilot);
    asking.send({ typeUrl: 'istio.io/debug', node: tool, resourceNamesSubscribe: [name] });
    const [resource] = (await asking.response(0)).resources;
    expect(resource?.name).toBe(name);
    return new TextDecoder().decode(resource?.resource?.value);
  },
};

test.each(Object.entries(dialects))(
  'istio.io/debug: any page by its name, %s (B5.07)',
  async (_name, page) => {
    const pilot = await start();
    await proxy(pilot);
    expect(JSON.parse(await page(pilot, 'list'))).toContain('syncz');
    expect(JSON.parse(await page(pilot, 'syncz'))).toMatchObject([{ proxy: 'a-0.default' }]);
    expect(JSON.parse(await page(pilot, 'ndsz?proxyID=a-0.default'))).toEqual({
      '@type': typeUrls.nameTable,
      table: {
        'a.default.svc.cluster.local': {
          ips: ['10.0.0.1'],
          registry: 'Kubernetes',
          shortname: 'a',
          namespace: 'default',
        },
      },
    });
    expect(await page(pilot, 'nothing')).toBe('404 page not found\n');
    expect(await page(pilot, 'config_dump')).toContain('You must provide a proxyID');
  },
);

test('debug types: no page or several end the stream (B5.07)', async () => {
  const pilot = await start();
  for (const resourceNames of [[], ['list', 'syncz']]) {
    const asking = client(pilot);
    asking.send({ typeUrl: 'istio.io/debug', node: tool, resourceNames });
    expect((await asking.failure()).code).toBe(status.INVALID_ARGUMENT);
  }
});

/** How many resources a caller of that namespace gets; undefined: one that has not shown who it is. */
function answered(
  pilot: Pilot,
  peer: string,
  namespace: string | undefined,
  typeUrl: string,
  name?: string,
): number {
  let count = -1;
  const subscription = { names: new Set(name === undefined ? [] : [name]) } as unknown as Subscription;
  const stream = {
    peer,
    identities: namespace === undefined ? undefined : ['somebody'],
    subscriptions: new Map([[typeUrl, subscription]]),
    send: ({ resources }: { resources: readonly unknown[] }) => {
      count = resources.length;
      return '';
    },
  } as unknown as XdsStream;
  const identity = namespace === undefined ? {} : { identity: { namespace } };
  const connection = { node: identity } as unknown as ProxyConnection;
  const handler = answeringDebugTypes(pilot as PilotServer, stream, connection);
  handler.received(typeUrl, { kind: 'subscribe', resumed: false });
  return count;
}

test('debug types: callers of a namespace see its proxies alone, nobody else from afar (B5.07)', async () => {
  const pilot = await start();
  await proxy(pilot);
  const far = '10.9.9.9:4711';
  const syncz = 'istio.io/debug/syncz';
  expect(() => answered(pilot, far, undefined, syncz)).toThrow('authentication required');
  for (const near of ['127.0.0.1:1', '[::1]:1', '[::ffff:127.0.0.1]:1'])
    expect(answered(pilot, near, undefined, syncz)).toBe(1);
  expect(answered(pilot, far, 'istio-system', syncz)).toBe(1);
  expect(answered(pilot, far, 'default', syncz)).toBe(1);
  expect(answered(pilot, far, 'other', syncz)).toBe(0);
  const dump = 'istio.io/debug/config_dump';
  expect(answered(pilot, far, 'default', dump, 'a-0.default')).toBeGreaterThan(3);
  expect(answered(pilot, far, 'other', dump, 'a-0.default')).toBe(0);
  const page = 'istio.io/debug';
  expect(answered(pilot, far, 'istio-system', page, 'syncz')).toBe(1);
  expect(() => answered(pilot, far, 'default', page, 'syncz')).toThrow('not available');
  expect(answered(pilot, far, 'default', page, 'config_dump?proxyID=a-0.default')).toBe(1);
  for (const name of ['config_dump?proxyID=a-0.default', 'edsz'])
    expect(() => answered(pilot, far, 'other', page, name)).toThrow('proxyID must name');
});

test('NDS: a table for who asks for it, again when it changes, in both dialects (B5.04)', async () => {
  const store = new ConfigStore();
  const pilot = await start(store);
  const sotw = client(pilot);
  sotw.send({ typeUrl: typeUrls.nameTable, node });
  const first = await sotw.next();
  sotw.ack(first);
  const host = 'a.default.svc.cluster.local';
  expect(unpacked(NameTableSchema, first.resources)?.table[host]?.ips).toEqual(['10.0.0.1']);
  const delta = deltaClient(pilot);
  delta.send({ typeUrl: typeUrls.nameTable, node });
  const response = await delta.response(0);
  const [resource] = response.resources;
  expect(resource?.name).toBe('');
  expect(resource?.resource?.value).toEqual(first.resources[0]?.value);
  delta.send({ typeUrl: typeUrls.nameTable, responseNonce: response.nonce });
  store.applyBatch('test', configsOfYaml(yaml.replace('10.0.0.1', '10.0.0.7')), []);
  expect(unpacked(NameTableSchema, (await sotw.next()).resources)?.table[host]?.ips).toEqual(['10.0.0.7']);
  const changed = (await delta.response(1)).resources[0]?.resource;
  expect(fromBinary(NameTableSchema, changed?.value ?? new Uint8Array()).table[host]?.ips).toEqual([
    '10.0.0.7',
  ]);
});
