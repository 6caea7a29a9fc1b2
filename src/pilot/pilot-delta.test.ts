// The control plane over delta, with a client that says what the test says.
import { afterEach, describe, expect, test } from 'vitest';
import { create } from '@bufbuild/protobuf';
import { BareAdsClient } from '../../test/support/ads-client.ts';
import { BareDeltaClient } from '../../test/support/delta-client.ts';
import { waitFor } from '../../test/support/wait.ts';
import { putSource } from '../../test/support/world.ts';
import { XdsInvariants } from '../../test/support/xds-invariants.ts';
import { NodeSchema } from '../api/gen/envoy/config/core/v3/base_pb.js';
import type { DeltaDiscoveryResponse } from '../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import { LoggerRegistry } from '../base/logger.ts';
import { ConfigStore } from '../config/store.ts';
import { typeUrls } from '../xds/types.ts';
import type { Pilot } from './pilot.ts';
import { startPilot } from './pilot.ts';

const service = (name: string): string => `
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: default}
spec: {clusterIP: 10.96.0.1, selector: {app: ${name}}, ports: [{name: http, port: 9080}]}
`;
const clusterOf = (name: string): string => `outbound|9080||${name}.default.svc.cluster.local`;
const node = create(NodeSchema, {
  id: 'sidecar~10.1.0.1~client-0.default~default.svc.cluster.local',
  metadata: { NAMESPACE: 'default', LABELS: { app: 'client' }, ISTIO_VERSION: '1.32.0' },
});

const pilots: Pilot[] = [];
const clients: { close(): void }[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await Promise.all(pilots.splice(0).map((pilot) => pilot.close()));
});

async function setUp(
  ...names: readonly string[]
): Promise<{ pilot: Pilot; store: ConfigStore; logs: string[] }> {
  const store = new ConfigStore();
  put(store, 'base', names);
  const logs: string[] = [];
  const pilot = await startPilot({
    store,
    loggers: new LoggerRegistry({ write: (line) => void logs.push(line) }),
    grpcAddress: '127.0.0.1:0',
    httpAddress: '127.0.0.1:0',
    rate: 1000,
  });
  pilots.push(pilot);
  return { pilot, store, logs };
}

/** The Services of a source, and no others. */
function put(store: ConfigStore, source: string, names: readonly string[]): void {
  putSource(store, source, names.map(service).join('---\n'));
}

/** A client that acknowledges everything, and looks at what must hold on every stream. */
class Client {
  readonly bare: BareDeltaClient;
  readonly invariants = new XdsInvariants({
    dialect: 'delta',
    wildcardTypes: [typeUrls.cluster, typeUrls.listener],
    repeatable: [typeUrls.endpoint],
  });

  constructor(pilot: Pilot) {
    this.bare = new BareDeltaClient(pilot.grpcPort);
    clients.push(this.bare);
  }

  ask(
    typeUrl: string,
    part: {
      subscribe?: string[];
      unsubscribe?: string[];
      versions?: Record<string, string>;
      nonce?: string;
    } = {},
  ): void {
    const { subscribe = [], unsubscribe = [], versions = {}, nonce = '' } = part;
    const held = new Map(Object.entries(versions));
    this.invariants.request({ typeUrl, subscribe, unsubscribe, versions: held, nonce });
    this.bare.send({
      typeUrl,
      resourceNamesSubscribe: subscribe,
      resourceNamesUnsubscribe: unsubscribe,
      initialResourceVersions: versions,
      responseNonce: nonce,
      node,
    });
  }

  async next(): Promise<DeltaDiscoveryResponse> {
    const response = await this.bare.next();
    const { typeUrl, nonce, systemVersionInfo: version, resources, removedResources: removed } = response;
    this.invariants.response({ typeUrl, nonce, version, resources, removed });
    this.ask(typeUrl, { nonce });
    return response;
  }
}

function namesOf({ resources }: DeltaDiscoveryResponse): string[] {
  return resources.map(({ name }) => name);
}

function versionsOf({ resources }: DeltaDiscoveryResponse): Record<string, string> {
  return Object.fromEntries(resources.map(({ name, version }) => [name, version]));
}

describe('startPilot in delta', () => {
  test('startPilot: delta: what changed, what is gone, one version for all types (B2.10, B3.03, B3.08, B3.09)', async () => {
    const { pilot, store } = await setUp('web', 'shop');
    const client = new Client(pilot);
    client.ask(typeUrls.cluster);
    const first = await client.next();
    expect(namesOf(first)).toEqual(expect.arrayContaining([clusterOf('web'), clusterOf('shop')]));
    client.ask(typeUrls.endpoint, { subscribe: [clusterOf('web'), clusterOf('shop')] });
    const endpoints = await client.next();
    expect(endpoints.systemVersionInfo).toBe(first.systemVersionInfo);
    expect(first.systemVersionInfo).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\/\d+$/);
    put(store, 'base', ['web', 'more']);
    const second = await client.next();
    expect(namesOf(second)).toEqual([clusterOf('more')]);
    expect(second.removedResources).toEqual([clusterOf('shop')]);
    expect(second.nonce).not.toBe(first.nonce);
    expect(client.invariants.violations).toEqual([]);
  });

  test('startPilot: delta: a restarted control plane gives the same versions: who comes back is sent nothing (B3.02)', async () => {
    const { pilot, store } = await setUp('web', 'shop');
    const client = new Client(pilot);
    const held = new Map<string, Record<string, string>>();
    const asked: readonly (readonly [string, string[]])[] = [
      [typeUrls.cluster, []],
      [typeUrls.endpoint, [clusterOf('web'), clusterOf('shop')]],
      [typeUrls.listener, []],
      [typeUrls.route, ['9080']],
    ];
    for (const [typeUrl, subscribe] of asked) {
      client.ask(typeUrl, { subscribe });
      // oxlint-disable-next-line no-await-in-loop -- as a proxy does: one type after the other
      held.set(typeUrl, versionsOf(await client.next()));
    }
    await pilot.close();
    pilots.pop();
    // Another process would read the same objects in another order.
    const restarted = new ConfigStore();
    put(restarted, 'other', ['shop', 'web']);
    const again = await startPilot({
      store: restarted,
      loggers: new LoggerRegistry({ level: 'off' }),
      grpcAddress: '127.0.0.1:0',
      httpAddress: '127.0.0.1:0',
    });
    pilots.push(again);
    const back = new Client(again);
    for (const [typeUrl, subscribe] of asked) {
      back.ask(typeUrl, { subscribe, versions: held.get(typeUrl) ?? {} });
    }
    const connection = await waitFor('the connection', () => [...again.connections][0]);
    await waitFor('all requests', () => connection.stream.subscriptions.size === 4 || undefined);
    await waitFor('it to be settled', () => connection.isSettled() || undefined);
    expect(back.bare.responses).toEqual([]);
    expect([...connection.inUse(typeUrls.cluster).keys()]).toContain(clusterOf('web'));
    put(restarted, 'other', ['shop', 'web', 'more']);
    expect(namesOf(await back.next())).toEqual([clusterOf('more')]);
    expect(store.list('Service')).toHaveLength(2);
  });

  test('startPilot: delta: names of every type that do not exist (B3.04, B2.11, B2.12)', async () => {
    const { pilot } = await setUp('web');
    const client = new Client(pilot);
    client.ask(typeUrls.cluster, { subscribe: ['z', 'a', clusterOf('web')] });
    const clusters = await client.next();
    expect(namesOf(clusters)).toEqual([clusterOf('web')]);
    expect(clusters.removedResources).toEqual(['a', 'z']);
    client.ask(typeUrls.route, { subscribe: ['4711'] });
    expect(namesOf(await client.next())).toEqual(['4711']);
    client.ask(typeUrls.endpoint, { subscribe: ['outbound|1||gone.example.com'] });
    expect(namesOf(await client.next())).toEqual(['outbound|1||gone.example.com']);
    expect(client.invariants.violations).toEqual([]);
  });

  test('startPilot: delta: a name that is subscribed again is answered, unchanged (B3.05)', async () => {
    const { pilot } = await setUp('web');
    const client = new Client(pilot);
    client.ask(typeUrls.endpoint, { subscribe: [clusterOf('web')] });
    const first = await client.next();
    client.ask(typeUrls.endpoint, { subscribe: [clusterOf('web')] });
    expect(versionsOf(await client.next())).toEqual(versionsOf(first));
  });
});

describe('startPilot and bad clients', () => {
  for (const dialect of ['sotw', 'delta'] as const) {
    test(`startPilot: ${dialect}: 10,000 names that do not exist cost what they hold, and no time of others (traps 17)`, async () => {
      const { pilot, store } = await setUp('web');
      const names = Array.from({ length: 10_000 }, (_, index) => `outbound|1||n${index}.example.com`);
      globalThis.gc?.();
      const before = process.memoryUsage().heapUsed;
      const bad =
        dialect === 'delta' ? new BareDeltaClient(pilot.grpcPort) : new BareAdsClient(pilot.grpcPort);
      clients.push(bad);
      for (const typeUrl of [typeUrls.cluster, typeUrls.endpoint, typeUrls.route]) {
        if (bad instanceof BareDeltaClient) bad.send({ typeUrl, resourceNamesSubscribe: names, node });
        else bad.send({ typeUrl, resourceNames: names, node });
      }
      await waitFor('the answers', () => bad.responses.length === 3 || undefined);
      expect(bad.error).toBeUndefined();
      expect(process.memoryUsage().heapUsed - before).toBeLessThan(200 * 1024 * 1024);
      // Others go on, and a change reaches them soon.
      const good = new Client(pilot);
      good.ask(typeUrls.cluster);
      await good.next();
      const startMs = performance.now();
      put(store, 'more', ['more']);
      expect(namesOf(await good.next())).toEqual([clusterOf('more')]);
      expect(performance.now() - startMs).toBeLessThan(2000);
      bad.close();
      await waitFor('its end', () => pilot.connections.size === 1 || undefined);
    }, 30_000);
  }

  test('startPilot: a malformed node that comes again and again is told once (B1.06, traps 17)', async () => {
    const { pilot, logs } = await setUp('web');
    for (let attempt = 0; attempt < 10; attempt++) {
      const client = new BareDeltaClient(pilot.grpcPort);
      clients.push(client);
      client.send({ typeUrl: typeUrls.cluster, node: { id: 'nonsense' } });
      // oxlint-disable-next-line no-await-in-loop -- one attempt after the other
      expect((await client.failure()).details).toMatch(/^malformed .*accepted is/);
    }
    expect(logs.filter((line) => line.includes('malformed'))).toHaveLength(1);
  });

  test('startPilot: delta: a proxy that does not read costs one response, and catches up with one more (B1.10)', async () => {
    const { pilot, store } = await setUp('web');
    const slow = new BareDeltaClient(pilot.grpcPort);
    clients.push(slow);
    slow.send({ typeUrl: typeUrls.cluster, node });
    const first = await slow.next();
    slow.ack(first);
    slow.pause();
    const quick = new Client(pilot);
    quick.ask(typeUrls.cluster);
    await quick.next();
    for (let edit = 0; edit < 30; edit++) {
      put(
        store,
        'more',
        Array.from({ length: edit + 1 }, (_, index) => `s${index}`),
      );
      // oxlint-disable-next-line no-await-in-loop -- one edit after the other
      await quick.next();
    }
    slow.resume();
    const seen = new Set<string>();
    let responses = 0;
    while (!seen.has(clusterOf('s29'))) {
      // oxlint-disable-next-line no-await-in-loop -- one answer after the other
      const response = await slow.next();
      slow.ack(response);
      responses++;
      for (const name of namesOf(response)) seen.add(name);
    }
    expect(responses).toBe(2);
    expect(seen.size).toBe(30);
    expect(quick.invariants.violations).toEqual([]);
  });
});
