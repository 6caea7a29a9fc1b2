// The client of xDS, incremental, against a transport that the test plays: what Envoy would send, message by message.
import { create } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import { array, assert, constantFrom, oneof, property, record, subarray, constant } from 'fast-check';
import { expect, test } from 'vitest';
import { FakeClock } from '../../../test/support/fake-clock.ts';
import { playDelta } from '../../../test/support/played-transport.ts';
import { NodeSchema } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import type { DeltaDiscoveryRequest } from '../../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import { silentLogger } from '../../base/logger.ts';
import { delta } from './delta.ts';
import type { ResourceConsumer, ResourceUpdate } from './resource.ts';
import { XdsClient } from './xds-client.ts';

const cds = 'type.googleapis.com/envoy.config.cluster.v3.Cluster';
const eds = 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment';

function play() {
  const { transport, streams } = playDelta();
  const clock = new FakeClock();
  const client = new XdsClient({
    dialect: delta,
    transport,
    node: create(NodeSchema, { id: 'n1' }),
    clock,
    random: () => 1,
    logger: silentLogger,
  });
  return { streams, client, clock };
}

function consumer(refuse: (update: ResourceUpdate) => readonly string[] = () => []) {
  const seen: ResourceUpdate[] = [];
  const rejected: string[] = [];
  const taken: ResourceConsumer = {
    onUpdate: (update) => {
      seen.push(update);
      return refuse(update);
    },
    onRejected: (reason) => rejected.push(reason),
  };
  return { ...taken, seen, rejected };
}

const resource = (name: string, version: string, typeUrl = cds) => ({
  name,
  version,
  resource: create(AnySchema, { typeUrl, value: new Uint8Array([1]) }),
});

const byText = (a: string, b: string): number => (a < b ? -1 : 1);

/** What a request says beside its type; empty parts are left out. */
function said(request: DeltaDiscoveryRequest | undefined): object {
  if (request === undefined) return {};
  const parts = {
    node: request.node?.id,
    subscribe: request.resourceNamesSubscribe.join(' '),
    unsubscribe: request.resourceNamesUnsubscribe.join(' '),
    versions: Object.entries(request.initialResourceVersions)
      .map((entry) => entry.join('='))
      .join(' '),
    nonce: request.responseNonce,
    error: request.errorDetail?.message,
  };
  return Object.fromEntries(Object.entries(parts).filter(([, value]) => value !== undefined && value !== ''));
}

test('delta: a wildcard is asked for by saying no name, the node on the first message only, ACKs have the nonce (D1.04, partly D1.03, B3.02)', () => {
  const { streams, client } = play();
  const taken = consumer();
  client.subscribe(cds, true, taken);
  client.start();
  const { sent } = streams[0]!;
  expect(sent.map(said)).toEqual([{ node: 'n1' }]);
  streams[0]!.respond({
    typeUrl: cds,
    nonce: 'a',
    systemVersionInfo: 's1',
    resources: [resource('x', '1'), resource('y', '2')],
  });
  expect(sent.slice(1).map(said)).toEqual([{ nonce: 'a' }]);
  expect(taken.seen).toMatchObject([
    {
      versionInfo: 's1',
      removed: [],
      resources: [
        { name: 'x', version: '1' },
        { name: 'y', version: '2' },
      ],
    },
  ]);
});

test('delta: a reconnecting client says what it has; a removed resource is forgotten (partly D1.03, B3.02)', () => {
  const { streams, client, clock } = play();
  client.subscribe(cds, true, consumer());
  const names = client.subscribe(eds, false, consumer());
  client.start();
  names.setNames(new Set(['b', 'a']));
  streams[0]!.respond({ typeUrl: cds, nonce: '1', resources: [resource('x', '1'), resource('y', '1')] });
  streams[0]!.respond({ typeUrl: cds, nonce: '2', resources: [resource('x', '2')], removedResources: ['y'] });
  streams[0]!.respond({
    typeUrl: eds,
    nonce: '3',
    // Nobody asked for c.
    resources: [resource('a', '5', eds), resource('c', '5', eds)],
  });
  streams[0]!.end('gone');
  clock.advance(500);
  expect(streams[1]!.sent.map((request) => [request.typeUrl, said(request)])).toEqual([
    [cds, { node: 'n1', versions: 'x=2' }],
    [eds, { subscribe: 'a b', versions: 'a=5' }],
  ]);
});

test('delta: changes of names are said as changes, and none is no request (partly D1.03, B3.02)', () => {
  const { streams, client } = play();
  const names = client.subscribe(eds, false, consumer());
  client.start();
  expect(streams[0]!.sent).toEqual([]);
  names.setNames(new Set(['a', 'b']));
  names.setNames(new Set(['b', 'a']));
  names.setNames(new Set(['b', 'c']));
  names.setNames(new Set());
  expect(streams[0]!.sent.map(said)).toEqual([
    { node: 'n1', subscribe: 'a b' },
    { subscribe: 'c', unsubscribe: 'a' },
    { unsubscribe: 'b c' },
  ]);
});

test('delta: while it is paused changes are merged; a name that went and came back is asked for anew (D1.06, partly B3.05)', () => {
  const { streams, client } = play();
  const names = client.subscribe(eds, false, consumer());
  client.start();
  names.setNames(new Set(['a']));
  streams[0]!.respond({ typeUrl: eds, nonce: '1', resources: [resource('a', '1', eds)] });
  names.pause();
  names.setNames(new Set());
  names.setNames(new Set(['a', 'b']));
  expect(streams[0]!.sent).toHaveLength(2);
  names.resume();
  expect(streams[0]!.sent.slice(2).map(said)).toEqual([{ subscribe: 'a b' }]);
});

test('delta: names that a consumer changes while it applies go out with the ACK', () => {
  const { streams, client } = play();
  const held: { set?: (names: ReadonlySet<string>) => void } = {};
  const names = client.subscribe(eds, false, {
    onUpdate: () => {
      held.set?.(new Set(['a', 'z']));
      return [];
    },
  });
  held.set = (next) => names.setNames(next);
  client.start();
  names.setNames(new Set(['a']));
  streams[0]!.respond({ typeUrl: eds, nonce: '1', resources: [resource('a', '1', eds)] });
  expect(streams[0]!.sent.slice(1).map(said)).toEqual([{ subscribe: 'z', nonce: '1' }]);
});

test('delta: names beside a wildcard; with names a new stream must say the wildcard, too (partly B3.02)', () => {
  const { streams, client, clock } = play();
  const names = client.subscribe(cds, true, consumer());
  client.start();
  names.setNames(new Set(['far']));
  streams[0]!.respond({ typeUrl: cds, nonce: '1', resources: [resource('far', '1'), resource('near', '1')] });
  names.setNames(new Set());
  expect(streams[0]!.sent.map(said)).toEqual([
    { node: 'n1' },
    { subscribe: 'far' },
    { nonce: '1' },
    { unsubscribe: 'far' },
  ]);
  names.setNames(new Set(['far']));
  streams[0]!.end('gone');
  clock.advance(500);
  // What is not asked for by name any more may still be held through the wildcard.
  expect(streams[1]!.sent.map(said)).toEqual([{ node: 'n1', subscribe: '* far', versions: 'far=1 near=1' }]);
});

test('delta: a NACK has error and nonce, and the versions before it are what is held (partly D1.03)', () => {
  const { streams, client, clock } = play();
  client.subscribe(
    cds,
    true,
    consumer(({ versionInfo }) => (versionInfo === 's2' ? ['Cluster x: lb_policy: no'] : [])),
  );
  client.start();
  streams[0]!.respond({ typeUrl: cds, nonce: 'a', systemVersionInfo: 's1', resources: [resource('x', '1')] });
  streams[0]!.respond({ typeUrl: cds, nonce: 'b', systemVersionInfo: 's2', resources: [resource('x', '2')] });
  expect(said(streams[0]!.sent.at(-1))).toEqual({ nonce: 'b', error: 'Cluster x: lb_policy: no' });
  expect(streams[0]!.sent.at(-1)?.errorDetail?.code).toBe(13);
  streams[0]!.end('gone');
  clock.advance(500);
  expect(said(streams[1]!.sent[0])).toEqual({ node: 'n1', versions: 'x=1' });
});

test('delta: a resource of another type, one without content and duplicate names are refused as a whole (partly D1.03, traps row 17)', () => {
  const { streams, client } = play();
  const taken = consumer();
  client.subscribe(cds, true, taken);
  client.start();
  const stream = streams[0]!;
  const nack = (): unknown => said(stream.sent.at(-1));
  stream.respond({ typeUrl: cds, nonce: '1', resources: [resource('x', '1'), resource('y', '1', eds)] });
  expect(nack()).toEqual({
    nonce: '1',
    error: `a resource of type ${eds} came in a response of type ${cds}`,
  });
  stream.respond({ typeUrl: cds, nonce: '2', resources: [{ name: 'x', version: '1' }] });
  expect(nack()).toMatchObject({ nonce: '2', error: expect.stringContaining('a resource of type (none)') });
  stream.respond({ typeUrl: cds, nonce: '3', resources: [resource('x', '1'), resource('x', '2')] });
  expect(nack()).toEqual({ nonce: '3', error: `duplicate name x found in one response of ${cds}` });
  stream.respond({ typeUrl: cds, nonce: '4', resources: [resource('x', '1')], removedResources: ['x'] });
  expect(nack()).toMatchObject({ nonce: '4', error: expect.stringContaining('duplicate name x') });
  stream.respond({
    typeUrl: cds,
    nonce: '5',
    resources: [{ ...resource('x', '1'), ttl: { seconds: 5n, nanos: 0 } }],
  });
  expect(nack()).toMatchObject({ nonce: '5', error: expect.stringContaining('x: ttl is not supported') });
  expect(taken.seen).toEqual([]);
  expect(taken.rejected).toHaveLength(5);
  // The stream goes on.
  stream.respond({ typeUrl: cds, nonce: '6', resources: [resource('x', '1')] });
  expect(nack()).toEqual({ nonce: '6' });
});

test('delta: a removed resource that was never known, and a type that nobody asked for (partly D1.03)', () => {
  const { streams, client } = play();
  const taken = consumer();
  client.subscribe(cds, true, taken);
  client.start();
  streams[0]!.respond({ typeUrl: cds, nonce: '1', removedResources: ['never'] });
  expect(said(streams[0]!.sent.at(-1))).toEqual({ nonce: '1' });
  expect(taken.seen).toMatchObject([{ resources: [], removed: ['never'] }]);
  streams[0]!.respond({ typeUrl: eds, nonce: '2', resources: [resource('a', '1', eds)] });
  expect(streams[0]!.sent).toHaveLength(2);
});

test('delta: connected is who has a connection, even if the server has nothing new to say', () => {
  const { streams, client, clock } = play();
  client.subscribe(cds, true, consumer());
  client.start();
  expect(client.connected).toBe(false);
  streams[0]!.connect();
  expect(client.connected).toBe(true);
  streams[0]!.end('gone');
  streams[0]!.connect();
  expect(client.connected).toBe(false);
  clock.advance(500);
  streams[1]!.connect();
  expect(client.connected).toBe(true);
  client.stop();
  expect(client.connected).toBe(false);
});

test('delta: two control planes with skewed views: what goes back is taken, and said to the next (partly D1.03)', () => {
  const { streams, client, clock } = play();
  const taken = consumer();
  client.subscribe(cds, true, taken);
  client.start();
  streams[0]!.respond({ typeUrl: cds, nonce: '1', resources: [resource('x', '9'), resource('y', '9')] });
  streams[0]!.end('another replica');
  clock.advance(500);
  streams[1]!.respond({ typeUrl: cds, nonce: '1', resources: [resource('x', '3')], removedResources: ['y'] });
  streams[1]!.end('the first one again');
  clock.advance(500);
  expect(said(streams[2]!.sent[0])).toEqual({ node: 'n1', versions: 'x=3' });
  expect(taken.seen.map(({ resources }) => resources.map(({ version }) => version))).toEqual([
    ['9', '9'],
    ['3'],
  ]);
});

test('delta: after any changes and losses of streams the server knows exactly what is wanted and held (partly D1.03)', () => {
  const name = constantFrom('a', 'b', 'c', 'd');
  const step = oneof(
    record({ kind: constant('names' as const), names: subarray(['a', 'b', 'c', 'd']) }),
    record({ kind: constant('pause' as const) }),
    record({ kind: constant('resume' as const) }),
    record({ kind: constant('lose' as const) }),
    record({
      kind: constant('give' as const),
      name,
      version: constantFrom('1', '2'),
      refuse: constantFrom(true, false),
    }),
    record({ kind: constant('take' as const), name }),
  );
  assert(
    property(array(step, { maxLength: 30 }), (steps) => {
      const { streams, client, clock } = play();
      let refuse = false;
      const subscription = client.subscribe(
        eds,
        false,
        consumer(() => (refuse ? ['no'] : [])),
      );
      client.start();
      let wanted: readonly string[] = [];
      let pauses = 0;
      /** What each stream's server must believe, worked out from its messages alone. */
      const known = new Map<number, Set<string>>();
      const held = new Map<string, string>();
      let read = 0;
      const catchUp = (): void => {
        const at = streams.length - 1;
        const names = known.get(at) ?? new Set<string>();
        known.set(at, names);
        for (const request of streams[at]!.sent.slice(read)) {
          for (const added of request.resourceNamesSubscribe) names.add(added);
          for (const removed of request.resourceNamesUnsubscribe) {
            expect(names.has(removed)).toBe(true);
            names.delete(removed);
          }
        }
        read = streams[at]!.sent.length;
      };
      for (const next of steps) {
        const stream = streams.at(-1)!;
        if (next.kind === 'names') {
          wanted = next.names;
          subscription.setNames(new Set(wanted));
          for (const kept of held.keys()) if (!wanted.includes(kept)) held.delete(kept);
        } else if (next.kind === 'pause') {
          subscription.pause();
          pauses++;
        } else if (next.kind === 'resume') {
          if (pauses === 0) continue;
          pauses--;
          subscription.resume();
        } else if (next.kind === 'lose') {
          catchUp();
          stream.end('lost');
          clock.advance(60_000);
          read = 0;
        } else if (next.kind === 'give') {
          ({ refuse } = next);
          stream.respond({ typeUrl: eds, nonce: 'n', resources: [resource(next.name, next.version, eds)] });
          if (!refuse && wanted.includes(next.name)) held.set(next.name, next.version);
        } else {
          refuse = false;
          stream.respond({ typeUrl: eds, nonce: 'n', removedResources: [next.name] });
          held.delete(next.name);
        }
        catchUp();
      }
      while (pauses-- > 0) subscription.resume();
      catchUp();
      expect([...known.get(streams.length - 1)!].toSorted(byText)).toEqual([...wanted].toSorted(byText));
      streams.at(-1)!.end('the last');
      clock.advance(60_000);
      expect(new Map(Object.entries(streams.at(-1)!.sent[0]?.initialResourceVersions ?? {}))).toEqual(held);
      client.stop();
    }),
    { numRuns: 500 },
  );
});
