// The ADS client against a transport that the test plays.
import { create, toBinary } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import { expect, test } from 'vitest';
import { FakeClock } from '../../../test/support/fake-clock.ts';
import { ClusterSchema } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { NodeSchema } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import type {
  DiscoveryRequest,
  DiscoveryResponse,
} from '../../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import { DiscoveryResponseSchema } from '../../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import { silentLogger } from '../../base/logger.ts';
import type { AdsStreamHandlers, ReceivedResource, ResourceConsumer } from './ads-client.ts';
import { AdsClient, peekName } from './ads-client.ts';

const cds = 'type.googleapis.com/envoy.config.cluster.v3.Cluster';
const eds = 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment';

interface PlayedStream {
  readonly handlers: AdsStreamHandlers;
  readonly sent: DiscoveryRequest[];
  closed: boolean;
}

function play(): { streams: PlayedStream[]; client: AdsClient; clock: FakeClock; connected: boolean[] } {
  const streams: PlayedStream[] = [];
  const clock = new FakeClock();
  const connected: boolean[] = [];
  const client = new AdsClient({
    transport: {
      open: (handlers) => {
        const stream: PlayedStream = { handlers, sent: [], closed: false };
        streams.push(stream);
        return { send: (request) => stream.sent.push(request), close: () => (stream.closed = true) };
      },
    },
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
): ResourceConsumer & {
  readonly seen: (readonly ReceivedResource[])[];
} {
  const seen: (readonly ReceivedResource[])[] = [];
  return {
    seen,
    onResponse: (resources) => {
      seen.push(resources);
      return answer();
    },
  };
}

function response(
  typeUrl: string,
  version: string,
  nonce: string,
  values: readonly number[] = [],
): DiscoveryResponse {
  return create(DiscoveryResponseSchema, {
    typeUrl,
    versionInfo: version,
    nonce,
    resources: values.map((value) => create(AnySchema, { typeUrl, value: new Uint8Array([value]) })),
  });
}

const summary = (request: DiscoveryRequest | undefined): unknown => ({
  type: request?.typeUrl,
  version: request?.versionInfo,
  nonce: request?.responseNonce,
  names: request?.resourceNames,
  node: request?.node?.id,
  error: request?.errorDetail?.message,
});

test('AdsClient: the node goes with the first message only, and ACKs carry version and nonce (partly D1.03, D1.04)', () => {
  const { streams, client } = play();
  client.subscribe(cds, true, consumer());
  client.start();
  const stream = streams[0]!;
  expect(stream.sent.map(summary)).toEqual([
    { type: cds, version: '', nonce: '', names: [], node: 'n1', error: undefined },
  ]);
  stream.handlers.onResponse(response(cds, 'v1', 'a'));
  expect(summary(stream.sent[1])).toEqual({
    type: cds,
    version: 'v1',
    nonce: 'a',
    names: [],
    node: undefined,
    error: undefined,
  });
});

test('AdsClient: a NACK names the error and keeps the version before it (partly D1.03, B2.02)', () => {
  const { streams, client } = play();
  let bad = false;
  client.subscribe(
    cds,
    true,
    consumer(() => (bad ? ['Cluster a: lb_policy: no'] : [])),
  );
  client.start();
  const stream = streams[0]!;
  stream.handlers.onResponse(response(cds, 'v1', 'a'));
  bad = true;
  stream.handlers.onResponse(response(cds, 'v2', 'b'));
  expect(summary(stream.sent.at(-1))).toMatchObject({
    version: 'v1',
    nonce: 'b',
    error: 'Cluster a: lb_policy: no',
  });
});

test('AdsClient: a consumer that throws is a NACK, never a crash (partly D1.03)', () => {
  const { streams, client } = play();
  client.subscribe(cds, true, {
    onResponse: () => {
      throw new Error('boom');
    },
  });
  client.start();
  streams[0]!.handlers.onResponse(response(cds, 'v1', 'a'));
  expect(summary(streams[0]!.sent.at(-1))).toMatchObject({ version: '', nonce: 'a', error: 'boom' });
});

test('AdsClient: a response of another type, and one that nobody asked for (partly D1.03)', () => {
  const { streams, client } = play();
  const taken = consumer();
  client.subscribe(cds, true, taken);
  client.start();
  const stream = streams[0]!;
  stream.handlers.onResponse(response(eds, 'v1', 'a'));
  expect(stream.sent).toHaveLength(1);
  const mixed = response(cds, 'v1', 'b');
  mixed.resources.push(create(AnySchema, { typeUrl: eds }));
  stream.handlers.onResponse(mixed);
  expect(summary(stream.sent.at(-1))).toMatchObject({ error: expect.stringContaining(eds) });
  expect(taken.seen).toEqual([]);
});

test('AdsClient: names are asked for once something is named; none at all is an unsubscribe (B2.03, B2.07)', () => {
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

test('AdsClient: while paused, changes of names are merged into one request (D1.06)', () => {
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

test('AdsClient: reconnects after a jittered back-off of 500 ms, doubling to 30 s, and asks again with its version (partly D1.03, B2.04)', () => {
  const { streams, client, clock, connected } = play();
  client.subscribe(cds, true, consumer());
  client.start();
  streams[0]!.handlers.onResponse(response(cds, 'v1', 'a'));
  streams[0]!.handlers.onEnd('gone');
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
    streams[i]!.handlers.onEnd('refused');
    let waitedMs = 0;
    while (streams.length === i + 1) {
      clock.advance(500);
      waitedMs += 500;
    }
    delays.push(waitedMs);
  }
  expect(delays).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
  // An answer makes the server trusted again.
  streams[9]!.handlers.onResponse(response(cds, 'v1', 'x'));
  streams[9]!.handlers.onEnd('gone');
  clock.advance(500);
  expect(streams).toHaveLength(11);
});

test('AdsClient: responses wait while one is being applied, and keep their order (partly D1.03)', async () => {
  const { streams, client } = play();
  let finish: (errors: readonly string[]) => void = () => {};
  const order: string[] = [];
  client.subscribe(cds, true, {
    onResponse: (_, version) => {
      order.push(version);
      return version === 'v1' ? new Promise((resolve) => (finish = resolve)) : [];
    },
  });
  client.start();
  const stream = streams[0]!;
  stream.handlers.onResponse(response(cds, 'v1', 'a'));
  stream.handlers.onResponse(response(cds, 'v2', 'b'));
  expect(order).toEqual(['v1']);
  finish(['bad']);
  await new Promise((resolve) => setImmediate(resolve));
  expect(order).toEqual(['v1', 'v2']);
  expect(stream.sent.slice(1).map(summary)).toMatchObject([
    { nonce: 'a', version: '', error: 'bad' },
    { nonce: 'b', version: 'v2', error: undefined },
  ]);
});

test('AdsClient: what a stream says after its end is not heard; stop closes it (partly D1.03)', () => {
  const { streams, client, clock } = play();
  const taken = consumer();
  client.subscribe(cds, true, taken);
  client.start();
  streams[0]!.handlers.onEnd('gone');
  streams[0]!.handlers.onResponse(response(cds, 'v9', 'z'));
  streams[0]!.handlers.onEnd('gone twice');
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
