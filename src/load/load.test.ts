// Played proxies before a server that the test plays, under a simulated clock: no sockets, no time.
import type { MessageInitShape } from '@bufbuild/protobuf';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { anyPack } from '@bufbuild/protobuf/wkt';
import { expect, test } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { ClusterSchema, Cluster_DiscoveryType } from '../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '../api/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '../api/gen/envoy/config/listener/v3/listener_pb.js';
import type {
  DeltaDiscoveryRequest,
  DiscoveryRequest,
} from '../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
  DiscoveryRequestSchema,
  DiscoveryResponseSchema,
} from '../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import { typeUrls } from '../xds/types.ts';
import { behaviours } from './behaviour.ts';
import { encodeNode, fillPattern, identityOf } from './identity.ts';
import type { Behaviour, Dialect } from './played-proxy.ts';
import { LoadRun } from './run.ts';
import type { LoadStreamHandlers, LoadWire } from './wire.ts';

const honest: Behaviour = { ackAfterMs: 0, nackEvery: 0, keepsVersions: true };

/** A server under the test's hand. */
class Server implements LoadWire {
  readonly connections = 0;
  readonly methods: string[] = [];
  readonly requests: (DiscoveryRequest | DeltaDiscoveryRequest)[] = [];
  readonly #dialect: Dialect;
  handlers: LoadStreamHandlers | undefined;
  closed = 0;
  #nonces = 0;

  constructor(dialect: Dialect) {
    this.#dialect = dialect;
  }

  open(_index: number, method: string, handlers: LoadStreamHandlers) {
    this.handlers = handlers;
    this.methods.push(method);
    return {
      send: (message: Uint8Array) =>
        void this.requests.push(
          this.#dialect === 'sotw'
            ? fromBinary(DiscoveryRequestSchema, message)
            : fromBinary(DeltaDiscoveryRequestSchema, message),
        ),
      close: () => void this.closed++,
    };
  }

  close(): void {}

  /** What has come since the last look, in short: `CDS ACK`, `EDS a,b`. */
  taken(): readonly string[] {
    return this.requests.splice(0).map((request) => {
      const short = (Object.entries(shorts).find(([, url]) => url === request.typeUrl) ?? ['?'])[0];
      const names =
        'resourceNames' in request
          ? request.resourceNames
          : [
              ...request.resourceNamesSubscribe.map((name) => `+${name}`),
              ...request.resourceNamesUnsubscribe.map((name) => `-${name}`),
              ...Object.entries(request.initialResourceVersions).map(
                ([name, version]) => `${name}@${version}`,
              ),
            ];
      const kind = request.errorDetail !== undefined ? 'NACK' : request.responseNonce === '' ? 'ask' : 'ACK';
      const node = request.node === undefined ? '' : ' node';
      return `${short} ${kind}${names.length === 0 ? '' : ` ${names.join(',')}`}${node}`;
    });
  }

  sotw(
    type: keyof typeof shorts,
    resources: MessageInitShape<typeof DiscoveryResponseSchema>['resources'],
  ): void {
    const nonce = `n${++this.#nonces}`;
    const init = {
      versionInfo: `v${this.#nonces}`,
      typeUrl: shorts[type],
      nonce,
      resources: resources ?? [],
    };
    this.handlers?.onMessage(toBinary(DiscoveryResponseSchema, create(DiscoveryResponseSchema, init)));
  }

  delta(
    type: keyof typeof shorts,
    resources: MessageInitShape<typeof DeltaDiscoveryResponseSchema>['resources'],
    removedResources: string[] = [],
  ): void {
    const nonce = `n${++this.#nonces}`;
    const init = { typeUrl: shorts[type], nonce, resources: resources ?? [], removedResources };
    this.handlers?.onMessage(
      toBinary(DeltaDiscoveryResponseSchema, create(DeltaDiscoveryResponseSchema, init)),
    );
  }
}

const shorts = {
  CDS: typeUrls.cluster,
  EDS: typeUrls.endpoint,
  LDS: typeUrls.listener,
  RDS: typeUrls.route,
} as const;

const cluster = (name: string) =>
  anyPack(
    ClusterSchema,
    create(ClusterSchema, { name, clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.EDS } }),
  );
const endpoints = (clusterName: string) =>
  anyPack(ClusterLoadAssignmentSchema, create(ClusterLoadAssignmentSchema, { clusterName }));
const listener = (name: string) => anyPack(ListenerSchema, create(ListenerSchema, { name }));

function playing(
  dialect: Dialect,
  behaviour: Partial<Behaviour> = {},
): { server: Server; clock: FakeClock; run: LoadRun } {
  const server = new Server(dialect);
  const clock = new FakeClock();
  const patterns = { pod: 'p-{n}', namespace: 'ns', labels: [], firstIp: '10.0.0.1' };
  const run = new LoadRun({
    identities: [identityOf(patterns, 0, 'sidecar')],
    dialect,
    wire: server,
    clock,
    random: () => 0.5,
    behaviour: () => ({ ...honest, ...behaviour }),
    rate: 100,
  });
  void run.connect();
  return { server, clock, run };
}

/** Time that passes in small steps, so that what waits on promises gets its turns. */
async function passing(clock: FakeClock, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 10) {
    clock.advance(10);
    // oxlint-disable-next-line no-await-in-loop -- a turn
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test('state of the world: clusters, their endpoints, then listeners; each answered with the names it is about', () => {
  const { server, run } = playing('sotw');
  expect(server.methods).toEqual([
    '/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources',
  ]);
  expect(server.taken()).toEqual(['CDS ask node']);
  server.sotw('CDS', [cluster('b'), cluster('a')]);
  expect(server.taken()).toEqual(['CDS ACK', 'EDS ask a,b']);
  server.sotw('EDS', [endpoints('a')]);
  expect(server.taken()).toEqual(['EDS ACK a,b']);
  expect(run.report().converged).toBe(0);
  server.sotw('EDS', [endpoints('b')]);
  expect(server.taken()).toEqual(['EDS ACK a,b', 'LDS ask']);
  server.sotw('LDS', [listener('l')]);
  expect(server.taken()).toEqual(['LDS ACK']);
  expect(run.report()).toMatchObject({ converged: 1, byType: { Cluster: { resources: 2, acks: 1 } } });
  server.sotw('CDS', [cluster('a')]);
  // As Envoy: what changed warms until its endpoints are answered anew.
  expect(server.taken()).toEqual(['CDS ACK', 'EDS ACK a']);
});

test('delta: names are added and taken away; what was removed is not held', () => {
  const { server, run } = playing('delta');
  expect(server.taken()).toEqual(['CDS ask node']);
  const named = (name: string, resource: ReturnType<typeof cluster>) => ({
    name,
    version: `v-${name}`,
    resource,
  });
  server.delta('CDS', [named('a', cluster('a')), named('b', cluster('b'))]);
  expect(server.taken()).toEqual(['CDS ACK', 'EDS ask +a,+b']);
  server.delta('EDS', [named('a', endpoints('a')), named('b', endpoints('b'))]);
  expect(server.taken()).toEqual(['EDS ACK', 'LDS ask']);
  server.delta('LDS', []);
  expect(run.report().converged).toBe(1);
  server.taken();
  server.delta('CDS', [named('c', cluster('c'))], ['a']);
  expect(server.taken()).toEqual(['CDS ACK', 'EDS ask +c,-a']);
});

test('delta: who comes back says what it has; who has restarted, nothing', () => {
  const { server, run } = playing('delta');
  server.delta('CDS', [{ name: 'a', version: '1', resource: cluster('a') }]);
  server.delta('EDS', [{ name: 'a', version: '2', resource: endpoints('a') }]);
  server.taken();
  run.reconnectAll(false);
  expect(server.taken()).toEqual(['CDS ask a@1 node', 'EDS ask +a,a@2', 'LDS ask']);
  run.reconnectAll(true);
  expect(server.taken()).toEqual(['CDS ask node']);
});

test('delta: who comes back and is told nothing has all; a stream that ends takes that away', () => {
  const { server, clock, run } = playing('delta');
  server.delta('CDS', [{ name: 'a', version: '1', resource: cluster('a') }]);
  server.delta('EDS', [{ name: 'a', version: '2', resource: endpoints('a') }]);
  server.delta('LDS', [{ name: 'l', version: '3', resource: listener('l') }]);
  run.reconnectAll(false);
  // Nothing took time that could be told: the one that counts is the first.
  expect(run.report()).toMatchObject({ converged: 1, connectMs: { count: 1 } });
  server.handlers?.onEnd('refused');
  expect(run.report()).toMatchObject({ converged: 0, open: 0 });
  clock.advance(500);
  expect(run.report()).toMatchObject({ converged: 1, open: 1 });
  run.reconnectAll(true);
  expect(run.report().converged).toBe(0);
});

test('state of the world: who comes back repeats names and versions, without a nonce', () => {
  const { server, run } = playing('sotw');
  server.sotw('CDS', [cluster('a')]);
  server.requests.length = 0;
  run.reconnectAll(false);
  expect(server.requests).toMatchObject([
    { typeUrl: typeUrls.cluster, versionInfo: 'v1', responseNonce: '' },
    { typeUrl: typeUrls.endpoint, versionInfo: '', responseNonce: '', resourceNames: ['a'] },
  ]);
});

test('a stream that the server ends is opened again after a wait that doubles; an answer begins it anew', () => {
  const { server, clock, run } = playing('sotw');
  for (const waitMs of [250, 500, 1000]) {
    server.handlers?.onEnd('gone');
    const before = server.methods.length;
    clock.advance(waitMs - 1);
    expect(server.methods).toHaveLength(before);
    clock.advance(1);
    expect(server.methods).toHaveLength(before + 1);
  }
  server.sotw('CDS', []);
  server.handlers?.onEnd('gone');
  clock.advance(250);
  expect(server.methods).toHaveLength(5);
  expect(run.report().ends).toEqual({ gone: 4 });
});

test('lagging: a response is answered so much later, unless its stream is gone by then', () => {
  const { server, clock, run } = playing('sotw', { ackAfterMs: 2000 });
  server.taken();
  server.sotw('CDS', []);
  clock.advance(1999);
  expect(server.taken()).toEqual([]);
  clock.advance(1);
  expect(server.taken()).toEqual(['CDS ACK', 'LDS ask']);
  server.sotw('LDS', []);
  run.reconnectAll(true);
  server.taken();
  clock.advance(5000);
  expect(server.taken()).toEqual([]);
});

test('refusing: every so many-th response, or those with a resource of a name; the version accepted last is repeated', () => {
  const every = playing('sotw', { nackEvery: 2 });
  every.server.sotw('CDS', []);
  every.server.requests.length = 0;
  every.server.sotw('CDS', [cluster('a')]);
  expect(every.server.requests).toMatchObject([
    {
      versionInfo: 'v1',
      responseNonce: 'n2',
      errorDetail: { message: 'played: every so many-th is refused' },
    },
  ]);
  for (const dialect of ['sotw', 'delta'] as const) {
    const { server } = playing(dialect, { nackResource: 'bad' });
    const answer = (name: string): void => {
      if (dialect === 'sotw') server.sotw('CDS', [cluster(name)]);
      else server.delta('CDS', [{ name, version: '1', resource: cluster(name) }]);
    };
    server.taken();
    answer('bad');
    expect(server.taken()).toEqual(['CDS NACK']);
    answer('good');
    expect(server.taken()[0]).toBe('CDS ACK');
  }
});

test('bytes that are no response end the stream, with or without lag', () => {
  for (const ackAfterMs of [0, 100]) {
    const { server, clock, run } = playing('sotw', { ackAfterMs });
    server.handlers?.onMessage(Uint8Array.of(0x0b));
    clock.advance(100);
    expect(server.closed).toBe(1);
    expect(Object.keys(run.report().ends)).toEqual([
      'a response cannot be read: byte 1 is no protobuf field',
    ]);
  }
});

test('change: from the change to the last answer of each proxy; who was sent nothing does not count', async () => {
  const { server, clock, run } = playing('sotw');
  server.sotw('CDS', []);
  clock.advance(1000);
  const made: string[] = [];
  const silent = run.change(() => void made.push('first'), 300, 10_000);
  await passing(clock, 400);
  expect(await silent).toMatchObject({ proxies: 0, responses: 0, bytes: 0 });
  const answered = run.change(() => void made.push('second'), 300, 10_000);
  await passing(clock, 20);
  server.sotw('CDS', [cluster('a')]);
  await passing(clock, 30);
  server.sotw('EDS', [endpoints('a')]);
  await passing(clock, 400);
  const report = await answered;
  expect(report).toMatchObject({ proxies: 1, responses: 2, byType: { Cluster: { acks: 1 } } });
  expect(report.ackMs.max).toBe(50);
  expect(made).toEqual(['first', 'second']);
  expect(run.report()).toMatchObject({ changes: 2, changeMs: { count: 1 } });
});

test('behaviours: each share is spread evenly, the same for the same numbers', () => {
  const shares = {
    lagging: 10,
    ackAfter: 500,
    slowReaders: 1,
    readRate: 1000,
    nacking: 50,
    nackEvery: 3,
    keepsVersions: true,
  };
  const plan = behaviours(shares);
  const all = Array.from({ length: 1000 }, (_each, index) => index);
  expect(all.filter((index) => plan.behaviour(index).ackAfterMs === 500)).toHaveLength(100);
  expect(all.slice(0, 10).filter((index) => plan.behaviour(index).ackAfterMs === 500)).toHaveLength(1);
  expect(all.filter((index) => plan.bytesPerSecond(index) === 1000)).toHaveLength(10);
  expect(all.filter((index) => plan.behaviour(index).nackEvery === 3)).toHaveLength(500);
  const named = behaviours({ ...shares, nacking: 100, nackResource: 'x' }).behaviour(0);
  expect(named).toMatchObject({ nackEvery: 0, nackResource: 'x' });
});

test('identities: patterns are filled, addresses count on, nodes are as agents write them', () => {
  expect(fillPattern('p-{n}-{n%3}-{n/3}', 7)).toBe('p-7-1-2');
  const identity = identityOf(
    { pod: 'p-{n}', namespace: 'ns-{n%2}', labels: ['app=p-{n}'], firstIp: '10.0.0.250' },
    10,
    'router',
  );
  expect(identity).toMatchObject({ pod: 'p-10', namespace: 'ns-0', ip: '10.0.1.4', labels: { app: 'p-10' } });
  const text = Buffer.from(encodeNode(identity)).toString('latin1');
  expect(text).toContain('router~10.0.1.4~p-10.ns-0~ns-0.svc.cluster.local');
  expect(text).toContain('CLUSTER_ID');
});
