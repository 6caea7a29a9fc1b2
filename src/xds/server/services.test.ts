// The discovery services over real gRPC: both dialects, aggregated and a service a type.
import { afterEach, describe, expect, test } from 'vitest';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import { BareAdsClient } from '../../../test/support/ads-client.ts';
import { BareDeltaClient, callUnary } from '../../../test/support/delta-client.ts';
import { waitFor } from '../../../test/support/wait.ts';
import { encode } from '../../api/any.ts';
import { RouteConfigurationSchema } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import {
  DiscoveryRequestSchema,
  DiscoveryResponseSchema,
} from '../../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import { systemClock } from '../../base/clock.ts';
import { silentLogger } from '../../base/logger.ts';
import { typeUrls } from '../types.ts';
import { encodeResourceField } from './response.ts';
import { XdsServer } from './server.ts';
import { discoveryServices } from '../discovery-services.ts';
import type { XdsStream } from './stream.ts';
import type { SubscriptionEvent } from './subscription.ts';

const servers: XdsServer[] = [];
const clients: { close(): void }[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

interface Served {
  readonly server: XdsServer;
  readonly port: number;
  readonly streams: XdsStream[];
  readonly events: { readonly typeUrl: string; readonly event: SubscriptionEvent }[];
}

/** Answers each name but `nowhere` with a resource of that name. */
async function serve(serves: (typeUrl: string) => boolean = () => true): Promise<Served> {
  const streams: XdsStream[] = [];
  const events: Served['events'] = [];
  const server = new XdsServer({
    clock: systemClock,
    logger: silentLogger,
    controlPlane: '{}',
    ready: () => true,
    serves,
    streamsPerSecond: 1000,
    connect: (stream) => {
      streams.push(stream);
      return {
        received: (typeUrl, event) => {
          events.push({ typeUrl, event });
          if (event.kind === 'subscribe') answer(stream, typeUrl);
        },
        drained: () => {},
        closed: () => void streams.splice(streams.indexOf(stream), 1),
      };
    },
  });
  servers.push(server);
  return { server, port: await server.listen('127.0.0.1:0'), streams, events };
}

function answer(stream: XdsStream, typeUrl: string): void {
  const names = [...(stream.subscriptions.get(typeUrl)?.names ?? [])].filter((name) => name !== 'nowhere');
  if (names.length === 0) return;
  const resources = names.map((name) => {
    const message = create(RouteConfigurationSchema, { name });
    const field = encodeResourceField(typeUrl, encode(RouteConfigurationSchema, message));
    return { name, field, version: `of-${name}` };
  });
  stream.send({ typeUrl, versionInfo: '2026-01-01T00:00:00Z/7', resources, removed: ['gone'] });
}

function keep<Client extends { close(): void }>(client: Client): Client {
  clients.push(client);
  return client;
}

const node = { id: 'sidecar~10.0.0.1~pod.default~default.svc.cluster.local' };
const single = discoveryServices.filter(({ typeUrl }) => typeUrl !== undefined);

describe('XdsServer in delta', () => {
  test('XdsServer: delta over ADS: names, versions, removals, one system version, nonces (B1.01, B3.03, B3.08)', async () => {
    const { port, streams } = await serve();
    const client = keep(new BareDeltaClient(port));
    client.send({ typeUrl: typeUrls.route, resourceNamesSubscribe: ['80', '81'], node });
    const response = await client.next();
    expect(response.systemVersionInfo).toBe('2026-01-01T00:00:00Z/7');
    expect(response.nonce).toMatch(/^2026-01-01T00:00:00Z\/7./);
    expect(response.resources.map(({ name, version }) => `${name} ${version}`)).toEqual([
      '80 of-80',
      '81 of-81',
    ]);
    expect(response.removedResources).toEqual(['gone']);
    expect(streams[0]?.dialect).toBe('delta');
    client.ack(response);
    const subscription = (): unknown => streams[0]?.subscriptions.get(typeUrls.route);
    await waitFor(
      'the ACK',
      () => streams[0]?.subscriptions.get(typeUrls.route)?.nonceAcked === response.nonce || undefined,
    );
    client.nack(response, 'on second thoughts');
    await waitFor('the NACK', () => streams[0]?.subscriptions.get(typeUrls.route)?.rejection);
    // A NACK keeps what is subscribed (B3.08).
    expect(subscription()).toMatchObject({
      names: new Set(['80', '81']),
      rejection: { message: 'on second thoughts' },
    });
  });

  test('XdsServer: ADS in both dialects, of the third version alone (B1.01)', async () => {
    const { port } = await serve();
    const path = (version: string, method: string): string =>
      `/envoy.service.discovery.${version}.AggregatedDiscoveryService/${method}`;
    const sotw = keep(new BareAdsClient(port, path('v3', 'StreamAggregatedResources')));
    sotw.send({ typeUrl: typeUrls.route, resourceNames: ['80'], node });
    expect((await sotw.next()).resources).toHaveLength(1);
    const delta = keep(new BareDeltaClient(port, path('v3', 'DeltaAggregatedResources')));
    delta.send({ typeUrl: typeUrls.route, resourceNamesSubscribe: ['80'], node });
    expect((await delta.next()).resources).toHaveLength(1);
    for (const method of ['StreamAggregatedResources', 'DeltaAggregatedResources']) {
      const old = keep(new BareAdsClient(port, path('v2', method)));
      old.send({ typeUrl: typeUrls.route, resourceNames: ['80'], node });
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      expect(await old.failure()).toMatchObject({ code: status.UNIMPLEMENTED });
    }
  });

  test('XdsServer: delta: versions of an earlier stream reach the handler (B3.02)', async () => {
    const { port, events } = await serve();
    const client = keep(new BareDeltaClient(port));
    const initialResourceVersions = { a: '1', b: '2' };
    client.send({ typeUrl: typeUrls.cluster, initialResourceVersions, node });
    const first = await waitFor('the request', () => events[0]);
    expect(first.event).toEqual({
      kind: 'subscribe',
      resumed: true,
      versions: new Map([
        ['a', '1'],
        ['b', '2'],
      ]),
    });
  });

  test('XdsServer: both dialects on one port, and on several (B1.01)', async () => {
    const { server, port } = await serve();
    const other = await server.listen('127.0.0.1:0');
    expect(other).not.toBe(port);
    const delta = keep(new BareDeltaClient(other));
    delta.send({ typeUrl: typeUrls.route, resourceNamesSubscribe: ['80'], node });
    const sotw = keep(new BareAdsClient(port));
    sotw.send({ typeUrl: typeUrls.route, resourceNames: ['80'], node });
    expect((await delta.next()).resources).toHaveLength(1);
    expect((await sotw.next()).resources).toHaveLength(1);
  });
});

describe('services of one type', () => {
  for (const { name, typeUrl = '', stream, delta, fetch = '' } of single) {
    test(`XdsServer: ${name}: ${stream}, ${delta} and ${fetch} (B1.03)`, async () => {
      const { port } = await serve();
      for (const named of [typeUrl, '']) {
        const sotw = keep(new BareAdsClient(port, `/${name}/${stream}`));
        sotw.send({ typeUrl: named, resourceNames: ['x'], node });
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        expect(await sotw.next()).toMatchObject({ typeUrl, resources: [{ typeUrl }] });
        const client = keep(new BareDeltaClient(port, `/${name}/${delta}`));
        client.send({ typeUrl: named, resourceNamesSubscribe: ['x'], node });
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        expect(await client.next()).toMatchObject({ typeUrl, resources: [{ name: 'x' }] });
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        const bytes = await callUnary(
          port,
          `/${name}/${fetch}`,
          request({ typeUrl: named, resourceNames: ['x'], node }),
        );
        expect(fromBinary(DiscoveryResponseSchema, bytes)).toMatchObject({
          typeUrl,
          resources: [{ typeUrl }],
        });
      }
    });
  }

  test('XdsServer: another type on such a stream is refused, in each dialect and in Fetch (B1.03)', async () => {
    const { port } = await serve();
    const path = '/envoy.service.route.v3.RouteDiscoveryService';
    const sotw = keep(new BareAdsClient(port, `${path}/StreamRoutes`));
    sotw.send({ typeUrl: typeUrls.cluster, node });
    const delta = keep(new BareDeltaClient(port, `${path}/DeltaRoutes`));
    delta.send({ typeUrl: typeUrls.cluster, node });
    const failures = [
      await sotw.failure(),
      await delta.failure(),
      await callUnary(port, `${path}/FetchRoutes`, request({ typeUrl: typeUrls.cluster, node })).catch(
        (error: unknown) => error,
      ),
    ];
    for (const failure of failures) {
      expect(failure).toMatchObject({ code: status.INVALID_ARGUMENT });
      expect(failure).toMatchObject({ details: expect.stringContaining('RouteConfiguration alone') });
    }
  });

  test('XdsServer: the service of a type that is not served says so (B1.03)', async () => {
    const { port } = await serve((typeUrl) => typeUrl !== typeUrls.secret);
    const path = '/envoy.service.secret.v3.SecretDiscoveryService';
    const client = keep(new BareAdsClient(port, `${path}/StreamSecrets`));
    client.send({ resourceNames: ['x'], node });
    expect(await client.failure()).toMatchObject({
      code: status.UNIMPLEMENTED,
      details: expect.stringContaining('Secret'),
    });
  });

  test('XdsServer: Fetch of what does not exist is an empty response; nothing stays connected (B1.03)', async () => {
    const { port, server, streams } = await serve();
    const path = '/envoy.service.extension.v3.ExtensionConfigDiscoveryService/FetchExtensionConfigs';
    const bytes = await callUnary(port, path, request({ resourceNames: ['nowhere'], node }));
    expect(fromBinary(DiscoveryResponseSchema, bytes)).toMatchObject({
      typeUrl: typeUrls.extensionConfig,
      resources: [],
    });
    await callUnary(port, path, request({ resourceNames: ['x'], node }));
    expect(server.size).toBe(0);
    expect(streams).toEqual([]);
  });

  test('XdsServer: Fetch without node is refused as a stream is (B1.05)', async () => {
    const { port } = await serve();
    const path = '/envoy.service.route.v3.RouteDiscoveryService/FetchRoutes';
    await expect(callUnary(port, path, request({ resourceNames: ['x'] }))).rejects.toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: 'missing node information',
    });
  });
});

function request(init: Parameters<BareAdsClient['send']>[0]): Uint8Array {
  return toBinary(DiscoveryRequestSchema, create(DiscoveryRequestSchema, init));
}
