import { connect } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { create } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import { BareAdsClient } from '../../../test/support/ads-client.ts';
import { waitFor } from '../../../test/support/wait.ts';
import { encode } from '../../api/any.ts';
import { RouteConfigurationSchema } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import { systemClock } from '../../base/clock.ts';
import { silentLogger } from '../../base/logger.ts';
import { typeUrls } from '../types.ts';
import type { OutgoingResource } from './dialect.ts';
import { encodeResourceField } from './response.ts';
import type { XdsServerOptions } from './server.ts';
import { XdsServer } from './server.ts';
import { StreamError } from './stream-error.ts';
import type { XdsStream } from './stream.ts';
import type { SubscriptionEvent } from './subscription.ts';

interface Session {
  readonly stream: XdsStream;
  readonly events: string[];
  drains: number;
  closed: number;
}

const servers: XdsServer[] = [];
const clients: BareAdsClient[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

async function serve(
  part: Partial<XdsServerOptions> = {},
  onEvent: (session: Session, typeUrl: string, event: SubscriptionEvent) => void = () => {},
): Promise<{ server: XdsServer; port: number; sessions: Session[] }> {
  const sessions: Session[] = [];
  let ids = 0;
  const server = new XdsServer({
    clock: systemClock,
    logger: silentLogger,
    controlPlane: '{"Component":"fairlead"}',
    ready: () => true,
    serves: (typeUrl) => Object.values(typeUrls).includes(typeUrl as typeof typeUrls.route),
    streamsPerSecond: 1000,
    newId: () => `id${++ids}`,
    connect: (stream) => {
      const session: Session = { stream, events: [], drains: 0, closed: 0 };
      sessions.push(session);
      return {
        received: (typeUrl, event) => {
          session.events.push(`${typeUrl.split('.').at(-1)} ${event.kind}`);
          onEvent(session, typeUrl, event);
        },
        drained: () => void session.drains++,
        closed: () => void session.closed++,
      };
    },
    ...part,
  });
  servers.push(server);
  return { server, port: await server.listen('127.0.0.1:0'), sessions };
}

function client(port: number, method?: string): BareAdsClient {
  const made = new BareAdsClient(port, method);
  clients.push(made);
  return made;
}

function route(name: string, bytes = 0): OutgoingResource {
  const host = { name: 'x'.repeat(bytes), domains: ['*'] };
  const message = create(RouteConfigurationSchema, { name, virtualHosts: bytes === 0 ? [] : [host] });
  const field = encodeResourceField(typeUrls.route, encode(RouteConfigurationSchema, message));
  return { name, field, version: `${bytes}` };
}

const node = { id: 'sidecar~10.0.0.1~pod.default~default.svc.cluster.local' };
const ask = { typeUrl: typeUrls.route, resourceNames: ['80'], node };

describe('XdsServer', () => {
  test('XdsServer: two clients are sent the same bytes under nonces of their own (B2.10)', async () => {
    const shared = [route('80')];
    const { port, sessions } = await serve({}, ({ stream }, typeUrl, event) => {
      if (event.kind === 'subscribe')
        stream.send({ typeUrl, versionInfo: '2026-01-01T00:00:00Z/7', resources: shared, removed: [] });
    });
    const [a, b] = [client(port), client(port)];
    a.send(ask);
    b.send(ask);
    const [first, second] = [await a.next(), await b.next()];
    expect(first.versionInfo).toBe('2026-01-01T00:00:00Z/7');
    expect(first.nonce).toBe('2026-01-01T00:00:00Z/7id1');
    expect(second.nonce).not.toBe(first.nonce);
    expect(first.controlPlane?.identifier).toBe('{"Component":"fairlead"}');
    expect(second.resources[0]?.value).toEqual(first.resources[0]?.value);
    a.ack(first, ['80']);
    await waitFor('an ACK', () => sessions.some(({ events }) => events.length === 2) || undefined);
    const acked = sessions
      .find(({ events }) => events.length === 2)
      ?.stream.subscriptions.get(typeUrls.route);
    expect(acked?.nonceAcked).toBe(first.nonce);
    expect(acked?.versionAcked).toBe('2026-01-01T00:00:00Z/7');
  });

  test('XdsServer: connection ids are the node id and a number (B1.09)', async () => {
    const { port, sessions } = await serve();
    const [a, b] = [client(port), client(port)];
    a.send(ask);
    await waitFor('a', () => sessions[0]);
    b.send(ask);
    await waitFor('b', () => sessions[1]);
    expect(sessions.map(({ stream }) => stream.id)).toEqual([`${node.id}-1`, `${node.id}-2`]);
    a.close();
    await waitFor('the end', () => sessions[0]?.closed === 1 || undefined);
    expect(sessions[1]?.closed).toBe(0);
  });

  test('XdsServer: later messages may leave out the node (B1.05)', async () => {
    const { port, sessions } = await serve();
    const a = client(port);
    a.send(ask);
    a.send({ typeUrl: typeUrls.cluster });
    await waitFor('both', () => sessions[0]?.events.length === 2 || undefined);
    expect(sessions[0]?.events).toEqual(['RouteConfiguration subscribe', 'Cluster subscribe']);
  });

  test('XdsServer: types that are not served are passed over', async () => {
    const { port, sessions } = await serve();
    const a = client(port);
    a.send({ ...ask, typeUrl: 'type.googleapis.com/google.protobuf.Empty' });
    a.send(ask);
    await waitFor('one', () => sessions[0]?.events.length === 1 || undefined);
    expect(sessions[0]?.stream.subscriptions.size).toBe(1);
  });

  const refusals: readonly {
    readonly title: string;
    readonly options?: Partial<XdsServerOptions>;
    readonly method?: string;
    readonly send: (client: BareAdsClient) => void;
    readonly code: status;
    readonly details: RegExp;
  }[] = [
    {
      title: 'a first message without node (B1.05)',
      send: (a) => a.send({ typeUrl: typeUrls.route, resourceNames: ['80'] }),
      code: status.INVALID_ARGUMENT,
      details: /^missing node information$/,
    },
    {
      title: 'a node without id (B1.05)',
      send: (a) => a.send({ ...ask, node: {} }),
      code: status.INVALID_ARGUMENT,
      details: /^missing node information$/,
    },
    {
      title: 'a stream before the configuration is read (B1.04)',
      options: { ready: () => false },
      send: (a) => a.send(ask),
      code: status.UNAVAILABLE,
      details: /has not read its configuration/,
    },
    {
      title: 'bytes that are no DiscoveryRequest (traps 17)',
      send: (a) => a.sendBytes(Buffer.from([0x0a, 0xff, 0xff, 0x7f, 0x01])),
      code: status.INVALID_ARGUMENT,
      details: /not a DiscoveryRequest/,
    },
    {
      title: 'metadata nested 100,000 deep (traps 17)',
      send: (a) => a.sendBytes(deepRequest(100_000)),
      code: status.INVALID_ARGUMENT,
      details: /not a DiscoveryRequest/,
    },
    {
      title: 'a request over 4 MiB (B1.08, traps 17)',
      send: (a) => a.send({ ...ask, resourceNames: ['x'.repeat(4 * 1024 * 1024)] }),
      code: status.RESOURCE_EXHAUSTED,
      details: /larger than max/,
    },
    {
      title: 'a request without type (B1.03)',
      send: (a) => a.send({ resourceNames: ['80'], node }),
      code: status.INVALID_ARGUMENT,
      details: /^type_url is empty/,
    },
    {
      title: 'an endless name (traps 17)',
      send: (a) => a.send({ ...ask, resourceNames: ['x'.repeat(100_000)] }),
      code: status.INVALID_ARGUMENT,
      details: /a resource name of 100000 characters/,
    },
    {
      title: 'an endless node id (traps 17)',
      send: (a) => a.send({ ...ask, node: { id: 'x'.repeat(100_000) } }),
      code: status.INVALID_ARGUMENT,
      details: /100000 characters: accepted are 1024/,
    },
    {
      title: 'names without end (traps 17)',
      send: (a) => a.send({ ...ask, resourceNames: Array.from({ length: 100_001 }, (_, i) => `n${i}`) }),
      code: status.INVALID_ARGUMENT,
      details: /100001 resource names/,
    },
    {
      title: 'what the handler refuses (B1.06)',
      options: {
        connect: () => {
          throw new StreamError(status.INVALID_ARGUMENT, 'malformed node id');
        },
      },
      send: (a) => a.send(ask),
      code: status.INVALID_ARGUMENT,
      details: /malformed node id/,
    },
    {
      title: 'an error of ours, without telling its text',
      options: {
        connect: () => {
          throw new Error('secret detail');
        },
      },
      send: (a) => a.send(ask),
      code: status.INTERNAL,
      details: /^internal error of the control plane$/,
    },
  ];
  for (const { title, options, method, send, code, details } of refusals) {
    test(`XdsServer: refuses ${title}`, async () => {
      const { port } = await serve(options);
      const bad = client(port, method);
      send(bad);
      const error = await bad.failure();
      expect(error.code).toBe(code);
      expect(error.details).toMatch(details);
    });
  }

  test('XdsServer: garbage on the port does not disturb others (traps 17)', async () => {
    const { port, sessions } = await serve();
    for (const bytes of [
      'GET / HTTP/1.1\r\n\r\n',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff',
    ]) {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => {});
      socket.write(Buffer.from(bytes, 'latin1'));
      socket.end();
    }
    client(port).send(ask);
    await waitFor('a good one', () => sessions[0]?.events[0]);
  });

  test('XdsServer: new streams over the rate wait a little, and are refused beyond that (B1.08)', async () => {
    const { port, sessions } = await serve({ streamsPerSecond: 4 });
    const all = Array.from({ length: 12 }, () => client(port));
    for (const each of all) each.send(ask);
    const refused = (): BareAdsClient[] => all.filter(({ error }) => error !== undefined);
    await waitFor('the refused ones', () => refused().length >= 3 || undefined);
    await waitFor('the others', () => sessions.length + refused().length === 12 || undefined);
    for (const { error } of refused()) expect(error?.code).toBe(status.RESOURCE_EXHAUSTED);
    expect(sessions.length).toBeGreaterThanOrEqual(4);
  });

  test('XdsServer: a client that does not read holds one response, and is not read from (B1.10)', async () => {
    const big = [route('80', 1024 * 1024)];
    const { port, sessions } = await serve();
    const slow = client(port);
    slow.pause();
    slow.send(ask);
    const session = await waitFor('a session', () => sessions[0]);
    // The connection itself takes some; then one response stays.
    for (let quiet = 0, i = 0; quiet < 10; quiet++) {
      if (!session.stream.busy) {
        session.stream.send({ typeUrl: typeUrls.route, versionInfo: `v${i++}`, resources: big, removed: [] });
        expect(session.stream.busy).toBe(true);
        quiet = 0;
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    for (let i = 0; i < 50; i++) slow.send({ typeUrl: typeUrls.cluster, responseNonce: `x${i}` });
    await new Promise((resolve) => setTimeout(resolve, 100));
    // Some may have been on their way through the stream's own buffer of objects.
    expect(session.events.length).toBeLessThan(25);
    const drains = session.drains;
    slow.resume();
    await waitFor('the drain', () => session.drains > drains || undefined);
    await waitFor('the requests', () => session.events.length === 51 || undefined);
  });

  test('XdsServer: a connection that reaches its age is closed, and the client may come back (B1.08)', async () => {
    const { port, sessions } = await serve({ connectionAgeMsMax: 100, connectionGraceMs: 100 });
    const a = client(port);
    a.send(ask);
    await waitFor('the end', () => sessions[0]?.closed === 1 || undefined);
    client(port).send(ask);
    await waitFor('another session', () => sessions[1]);
  });

  test('XdsServer: close ends streams with UNAVAILABLE', async () => {
    const { server, port, sessions } = await serve();
    const a = client(port);
    a.send(ask);
    await waitFor('a session', () => sessions[0]);
    await server.close();
    expect((await a.failure()).code).toBe(status.UNAVAILABLE);
    expect(sessions[0]?.closed).toBe(1);
  });
});

/** node.metadata as Struct of Struct of Struct, written by hand: no encoder goes that deep. */
function deepRequest(depth: number): Uint8Array {
  // Value{struct_value{fields{key:"", value: ...}}}: from the inside out, each level wraps the last.
  let size = 0;
  const heads: Buffer[] = [];
  const wrap = (tag: number): void => {
    const length: number[] = [];
    for (let rest = size; ; rest >>>= 7) {
      if (rest < 0x80) {
        length.push(rest);
        break;
      }
      length.push((rest & 0x7f) | 0x80);
    }
    heads.push(Buffer.from([tag, ...length]));
    size += 1 + length.length;
  };
  for (let i = 0; i < depth; i++) for (const tag of [0x12, 0x0a, 0x2a]) wrap(tag);
  // Struct.fields entry value (2), Struct.fields (1), Value.struct_value (5); then Node.metadata (3), request.node (2).
  for (const tag of [0x12, 0x0a, 0x1a, 0x12]) wrap(tag);
  return Buffer.concat(heads.reverse());
}
