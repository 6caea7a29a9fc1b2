// The client of xDS, state of the world, against a transport that the test plays. Delta: delta.test.ts.
import { create, toBinary } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import { expect, test } from 'vitest';
import { FakeClock } from '../../../test/support/fake-clock.ts';
import { playSotw } from '../../../test/support/played-transport.ts';
import { ClusterSchema } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { NodeSchema } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import type {
  DiscoveryRequest,
  DiscoveryResponseSchema,
} from '../../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import { ResourceSchema } from '../../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import { silentLogger } from '../../base/logger.ts';
import type { ResourceConsumer, ResourceUpdate } from './resource.ts';
import { peekName } from './resource.ts';
import { sotw } from './sotw.ts';
import { XdsClient } from './xds-client.ts';

const cds = 'type.googleapis.com/envoy.config.cluster.v3.Cluster';
const eds = 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment';

function play() {
  const { transport, streams } = playSotw();
  const clock = new FakeClock();
  const connected: boolean[] = [];
  const client = new XdsClient({
    dialect: sotw,
    transport,
    node: create(NodeSchema, { id: 'n1' }),
    clock,
    random: () => 1,
    logger: silentLogger,
    onConnected: (value) => connected.push(value),
  });
  return { streams, client, clock, connected };
}

function consumer(
  answer: () => readonly string[] | Promise<readonly string[]> = () => [],
): ResourceConsumer & { readonly seen: ResourceUpdate[] } {
  const seen: ResourceUpdate[] = [];
  return {
    seen,
    onUpdate: (update) => {
      seen.push(update);
      return answer();
    },
  };
}

function response(
  typeUrl: string,
  version: string,
  nonce: string,
  values: readonly number[] = [],
): MessageInitShape<typeof DiscoveryResponseSchema> & { resources: ReturnType<typeof any>[] } {
  return {
    typeUrl,
    versionInfo: version,
    nonce,
    resources: values.map((value) => any(typeUrl, value)),
  };
}

const any = (typeUrl: string, value = 0) => create(AnySchema, { typeUrl, value: new Uint8Array([value]) });

const summary = (request: DiscoveryRequest | undefined): unknown => ({
  type: request?.typeUrl,
  version: request?.versionInfo,
  nonce: request?.responseNonce,
  names: request?.resourceNames,
  node: request?.node?.id,
  error: request?.errorDetail?.message,
});

test('XdsClient: the node goes with the first message only, and ACKs carry version and nonce (partly D1.03, D1.04)', () => {
  const { streams, client } = play();
  client.subscribe(cds, true, consumer());
  client.start();
  const stream = streams[0]!;
  expect(stream.sent.map(summary)).toEqual([
    { type: cds, version: '', nonce: '', names: [], node: 'n1', error: undefined },
  ]);
  stream.respond(response(cds, 'v1', 'a'));
  expect(summary(stream.sent[1])).toEqual({
    type: cds,
    version: 'v1',
    nonce: 'a',
    names: [],
    node: undefined,
    error: undefined,
  });
});

test('XdsClient: a NACK names the error and keeps the version before it (partly D1.03, B2.02)', () => {
  const { streams, client } = play();
  let bad = false;
  client.subscribe(
    cds,
    true,
    consumer(() => (bad ? ['Cluster a: lb_policy: no'] : [])),
  );
  client.start();
  const stream = streams[0]!;
  stream.respond(response(cds, 'v1', 'a'));
  bad = true;
  stream.respond(response(cds, 'v2', 'b'));
  expect(summary(stream.sent.at(-1))).toMatchObject({
    version: 'v1',
    nonce: 'b',
    error: 'Cluster a: lb_policy: no',
  });
});

test('XdsClient: a consumer that throws is a NACK, never a crash (partly D1.03)', () => {
  const { streams, client } = play();
  client.subscribe(cds, true, {
    onUpdate: () => {
      throw new Error('boom');
    },
  });
  client.start();
  streams[0]!.respond(response(cds, 'v1', 'a'));
  expect(summary(streams[0]!.sent.at(-1))).toMatchObject({ version: '', nonce: 'a', error: 'boom' });
});

test('XdsClient: a response of another type, and one that nobody asked for (partly D1.03)', () => {
  const { streams, client } = play();
  const taken = consumer();
  client.subscribe(cds, true, taken);
  client.start();
  const stream = streams[0]!;
  stream.respond(response(eds, 'v1', 'a'));
  expect(stream.sent).toHaveLength(1);
  const mixed = response(cds, 'v1', 'b');
  mixed.resources.push(any(eds));
  stream.respond(mixed);
  expect(summary(stream.sent.at(-1))).toMatchObject({ error: expect.stringContaining(eds) });
  expect(taken.seen).toEqual([]);
});

test('XdsClient: names are asked for once something is named; none at all is an unsubscribe (B2.03, B2.07)', () => {
  const { streams, client } = play();
  const names = client.subscribe(eds, false, consumer());
  client.start();
  const stream = streams[0]!;
  expect(stream.sent).toEqual([]);
  names.setNames(new Set(['b', 'a']));
  names.setNames(new Set(['a', 'b']));
  expect(stream.sent.map((request) => request.resourceNames)).toEqual([['a', 'b']]);
  names.setNames(new Set());
  expect(stream.sent.at(-1)?.resourceNames).toEqual([]);
  expect(stream.sent).toHaveLength(2);
});

test('XdsClient: while paused, changes of names are merged into one request (D1.06)', () => {
  const { streams, client } = play();
  const names = client.subscribe(eds, false, consumer());
  client.start();
  names.pause();
  names.setNames(new Set(['a']));
  names.setNames(new Set(['a', 'b']));
  expect(streams[0]!.sent).toEqual([]);
  names.resume();
  expect(streams[0]!.sent.map((request) => request.resourceNames)).toEqual([['a', 'b']]);
});

test('XdsClient: reconnects after a jittered back-off of 500 ms, doubling to 30 s, and asks again with its version (partly D1.03, B2.04)', () => {
  const { streams, client, clock, connected } = play();
  client.subscribe(cds, true, consumer());
  client.start();
  streams[0]!.respond(response(cds, 'v1', 'a'));
  streams[0]!.end('gone');
  expect(connected).toEqual([true, false]);
  clock.advance(499);
  expect(streams).toHaveLength(1);
  clock.advance(1);
  expect(streams).toHaveLength(2);
  expect(summary(streams[1]!.sent[0])).toEqual({
    type: cds,
    version: 'v1',
    nonce: '',
    names: [],
    node: 'n1',
    error: undefined,
  });
  // Without an answer the interval doubles, up to 30 s.
  const delays: number[] = [];
  for (let i = 1; i < 9; i++) {
    streams[i]!.end('refused');
    let waitedMs = 0;
    while (streams.length === i + 1) {
      clock.advance(500);
      waitedMs += 500;
    }
    delays.push(waitedMs);
  }
  expect(delays).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
  // An answer makes the server trusted again.
  streams[9]!.respond(response(cds, 'v1', 'x'));
  streams[9]!.end('gone');
  clock.advance(500);
  expect(streams).toHaveLength(11);
});

test('XdsClient: responses wait while one is being applied, and keep their order (partly D1.03)', async () => {
  const { streams, client } = play();
  let finish: (errors: readonly string[]) => void = () => {};
  const order: string[] = [];
  client.subscribe(cds, true, {
    onUpdate: ({ versionInfo }) => {
      order.push(versionInfo);
      return versionInfo === 'v1' ? new Promise((resolve) => (finish = resolve)) : [];
    },
  });
  client.start();
  const stream = streams[0]!;
  stream.respond(response(cds, 'v1', 'a'));
  stream.respond(response(cds, 'v2', 'b'));
  expect(order).toEqual(['v1']);
  finish(['bad']);
  await new Promise((resolve) => setImmediate(resolve));
  expect(order).toEqual(['v1', 'v2']);
  expect(stream.sent.slice(1).map(summary)).toMatchObject([
    { nonce: 'a', version: '', error: 'bad' },
    { nonce: 'b', version: 'v2', error: undefined },
  ]);
});

test('XdsClient: what a stream says after its end is not heard; stop closes it (partly D1.03)', () => {
  const { streams, client, clock } = play();
  const taken = consumer();
  client.subscribe(cds, true, taken);
  client.start();
  streams[0]!.end('gone');
  streams[0]!.respond(response(cds, 'v9', 'z'));
  streams[0]!.end('gone twice');
  expect(taken.seen).toEqual([]);
  clock.advance(500);
  expect(streams).toHaveLength(2);
  client.stop();
  expect(streams[1]!.closed).toBe(true);
  clock.advance(60_000);
  expect(streams).toHaveLength(2);
});

test('peekName: the name of a resource, when it is written first and short enough to be sure of (D1.07)', () => {
  const cluster = create(ClusterSchema, { name: 'outbound|80||a', altStatName: 'b' });
  expect(peekName(toBinary(ClusterSchema, cluster))).toBe('outbound|80||a');
  expect(peekName(toBinary(ClusterSchema, create(ClusterSchema, { altStatName: 'b' })))).toBeUndefined();
  expect(peekName(toBinary(ClusterSchema, create(ClusterSchema, { name: 'x'.repeat(200) })))).toBeUndefined();
  expect(peekName(new Uint8Array([0x0a, 5, 1]))).toBeUndefined();
  expect(peekName(new Uint8Array())).toBeUndefined();
});

test('XdsClient: bytes that are no response end the stream, once, and the next one is tried later and later (partly D1.03, traps row 17)', () => {
  const { streams, client, clock } = play();
  const taken = consumer();
  client.subscribe(cds, true, taken);
  client.start();
  for (const delayMs of [500, 1000, 2000]) {
    const stream = streams.at(-1)!;
    stream.respondBytes(new Uint8Array([0xff, 0xff, 0xff, 0xff]));
    expect(stream.closed).toBe(true);
    stream.end('twice');
    clock.advance(delayMs - 1);
    expect(streams.at(-1)).toBe(stream);
    clock.advance(1);
    expect(streams.at(-1)).not.toBe(stream);
  }
  expect(taken.seen).toEqual([]);
});

test('XdsClient: a wrapper that cannot be read, or asks for a ttl, is a NACK (partly D1.03, traps row 17)', () => {
  const { streams, client } = play();
  const rejected: string[] = [];
  client.subscribe(cds, true, { onUpdate: () => [], onRejected: (reason) => rejected.push(reason) });
  client.start();
  const wrapper = (value: Uint8Array) =>
    create(AnySchema, { typeUrl: 'type.googleapis.com/envoy.service.discovery.v3.Resource', value });
  const timed = toBinary(
    ResourceSchema,
    create(ResourceSchema, { name: 'a', resource: any(cds), ttl: { seconds: 1n } }),
  );
  streams[0]!.respond({ typeUrl: cds, nonce: 'a', resources: [wrapper(timed)] });
  expect(summary(streams[0]!.sent.at(-1))).toMatchObject({
    nonce: 'a',
    error: expect.stringMatching(/a: ttl is not/),
  });
  streams[0]!.respond({ typeUrl: cds, nonce: 'b', resources: [wrapper(new Uint8Array([255, 255]))] });
  expect(summary(streams[0]!.sent.at(-1))).toMatchObject({ nonce: 'b', error: expect.any(String) });
  expect(rejected).toHaveLength(2);
});

test('XdsClient: the stream ends while an update is being applied: it is finished first, and what it brought is kept (partly D1.03)', async () => {
  const { streams, client, clock } = play();
  let finish: (errors: readonly string[]) => void = () => {};
  const order: string[] = [];
  client.subscribe(cds, true, {
    onUpdate: ({ versionInfo }) => {
      order.push(versionInfo);
      return versionInfo === 'v1' ? new Promise((resolve) => (finish = resolve)) : [];
    },
  });
  client
    .subscribe(eds, false, {
      onUpdate: ({ versionInfo }) => {
        order.push(versionInfo);
        return [];
      },
    })
    .setNames(new Set(['a']));
  client.start();
  streams[0]!.respond(response(cds, 'v1', 'a'));
  streams[0]!.respond(response(cds, 'v2', 'b'));
  expect(streams[0]!.paused).toBe(true);
  streams[0]!.end('gone');
  clock.advance(500);
  streams[1]!.respond(response(eds, 'e1', 'c'));
  expect(order).toEqual(['v1']);
  expect(streams[1]!.paused).toBe(true);
  finish([]);
  await new Promise((resolve) => setImmediate(resolve));
  // v2 was on the lost stream: its server will say it again.
  expect(order).toEqual(['v1', 'e1']);
  expect(streams[1]!.paused).toBe(false);
  expect(streams[0]!.sent).toHaveLength(2);
  expect(streams[1]!.sent.map(summary)).toMatchObject([
    { type: eds, version: '', nonce: '', node: 'n1' },
    { type: cds, version: 'v1', nonce: '', node: undefined },
    { type: eds, version: 'e1', nonce: 'c' },
  ]);
});

test('XdsClient: two control planes with skewed views: a version that goes back is a version (partly D1.03)', () => {
  const { streams, client, clock } = play();
  const taken = consumer();
  client.subscribe(cds, true, taken);
  client.start();
  streams[0]!.respond(response(cds, '2026-01-02/7', 'a', [7]));
  streams[0]!.end('another replica');
  clock.advance(500);
  streams[1]!.respond(response(cds, '2026-01-01/3', 'a', [3]));
  expect(summary(streams[1]!.sent.at(-1))).toMatchObject({
    version: '2026-01-01/3',
    nonce: 'a',
    error: undefined,
  });
  expect(taken.seen.map(({ versionInfo }) => versionInfo)).toEqual(['2026-01-02/7', '2026-01-01/3']);
});

test('XdsClient: names beside a wildcard are asked for beside it (partly B3.02)', () => {
  const { streams, client } = play();
  const names = client.subscribe(cds, true, consumer());
  client.start();
  names.setNames(new Set(['b']));
  expect(streams[0]!.sent.map(({ resourceNames }) => resourceNames)).toEqual([[], ['*', 'b']]);
});

test('XdsClient: each consumer hears that there is no stream', () => {
  const { streams, client } = play();
  let failures = 0;
  client.subscribe(cds, true, { onUpdate: () => [], onConnectionFailure: () => failures++ });
  client.start();
  streams[0]!.end('refused');
  expect(failures).toBe(1);
});
