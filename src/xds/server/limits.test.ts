// What one bad client can do to the server: cost little, be refused, be told of once, and disturb nobody.
import { spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { connect } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { status } from '@grpc/grpc-js';
import { BareAdsClient } from '../../../test/support/ads-client.ts';
import { BareDeltaClient } from '../../../test/support/delta-client.ts';
import { FakeClock } from '../../../test/support/fake-clock.ts';
import { waitFor } from '../../../test/support/wait.ts';
import type { Clock } from '../../base/clock.ts';
import { systemClock } from '../../base/clock.ts';
import { LoggerRegistry } from '../../base/logger.ts';
import { typeUrls } from '../types.ts';
import { errorLengthMax, firstRequestMs, ignoredTypesMax, namesMax } from './limits.ts';
import type { XdsServerOptions } from './server.ts';
import { XdsServer } from './server.ts';

const servers: XdsServer[] = [];
const clients: { close(): void }[] = [];
const sockets: Socket[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  for (const socket of sockets.splice(0)) socket.destroy();
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

interface Served {
  readonly server: XdsServer;
  readonly port: number;
  readonly logs: string[];
}

/** Answers whoever subscribes to routes with an empty response. */
async function serve(part: Partial<XdsServerOptions> = {}, clock: Clock = systemClock): Promise<Served> {
  const logs: string[] = [];
  const server = new XdsServer({
    clock,
    logger: new LoggerRegistry({ level: 'debug', write: (line) => void logs.push(line) }).logger('xds'),
    controlPlane: '{}',
    ready: () => true,
    serves: (typeUrl) => typeUrl === typeUrls.route || typeUrl === typeUrls.cluster,
    streamsPerSecond: 1000,
    connect: (stream) => ({
      received: (typeUrl, event) => {
        if (event.kind === 'subscribe') {
          stream.send({ typeUrl, versionInfo: 't/1', resources: [], removed: [] });
        }
      },
      drained: () => {},
      closed: () => {},
    }),
    ...part,
  });
  servers.push(server);
  return { server, port: await server.listen('127.0.0.1:0'), logs };
}

function keep<Client extends { close(): void }>(client: Client): Client {
  clients.push(client);
  return client;
}

const node = { id: 'sidecar~10.0.0.1~pod.default~default.svc.cluster.local' };

/** Whoever comes is served as ever. */
async function serves(port: number): Promise<void> {
  const client = keep(new BareDeltaClient(port));
  client.send({ typeUrl: typeUrls.route, resourceNamesSubscribe: ['80'], node });
  await client.next();
  client.close();
}

function warnings(logs: readonly string[], text: string): number {
  return logs.filter((line) => line.includes('\twarning\t') && line.includes(text)).length;
}

describe('bad delta requests', () => {
  const refusals: readonly {
    readonly title: string;
    readonly send: (client: BareDeltaClient) => void;
    readonly code: status;
    readonly details: RegExp;
  }[] = [
    {
      title: 'bytes that are no request',
      send: (a) => a.sendBytes(Buffer.from([0x0a, 0xff, 0xff, 0x7f, 0x01])),
      code: status.INVALID_ARGUMENT,
      details: /not a DeltaDiscoveryRequest/,
    },
    {
      title: 'a request over 4 MiB',
      send: (a) => a.send({ typeUrl: typeUrls.route, resourceNamesSubscribe: ['x'.repeat(4 << 20)], node }),
      code: status.RESOURCE_EXHAUSTED,
      details: /larger than max/,
    },
    {
      title: 'a request without type',
      send: (a) => a.send({ resourceNamesSubscribe: ['x'], node }),
      code: status.INVALID_ARGUMENT,
      details: /type_url is empty/,
    },
    {
      title: 'an endless name among those given up',
      send: (a) => a.send({ typeUrl: typeUrls.route, resourceNamesUnsubscribe: ['x'.repeat(5000)], node }),
      code: status.INVALID_ARGUMENT,
      details: /a resource name of 5000 characters/,
    },
    {
      title: 'versions without end',
      send: (a) =>
        a.send({
          typeUrl: typeUrls.route,
          initialResourceVersions: Object.fromEntries(
            Array.from({ length: namesMax + 1 }, (_, index) => [`n${index}`, '1']),
          ),
          node,
        }),
      code: status.INVALID_ARGUMENT,
      details: /100001 resource names/,
    },
    {
      title: 'names that add up over requests',
      send: (a) => {
        for (const part of [0, 1, 2]) {
          const resourceNamesSubscribe = Array.from({ length: 40_000 }, (_, index) => `${part}-${index}`);
          a.send({ typeUrl: typeUrls.route, resourceNamesSubscribe, ...(part === 0 ? { node } : {}) });
        }
      },
      code: status.INVALID_ARGUMENT,
      details: /120000 resource names in a subscription/,
    },
  ];
  for (const { title, send, code, details } of refusals) {
    test(`XdsServer: delta: refuses ${title} (traps 17)`, async () => {
      const { port } = await serve();
      const bad = keep(new BareDeltaClient(port));
      send(bad);
      const error = await bad.failure();
      expect(error.code).toBe(code);
      expect(error.details).toMatch(details);
      await serves(port);
    });
  }
});

describe('clients that come again and again', () => {
  test('XdsServer: the same refusal of the same address is told once (traps 17)', async () => {
    const { port, logs } = await serve();
    for (let attempt = 0; attempt < 20; attempt++) {
      const client = keep(new BareAdsClient(port));
      client.sendBytes(Buffer.from([0x0a, 0xff, 0xff, 0x7f, 0x01]));
      // oxlint-disable-next-line no-await-in-loop -- one attempt after the other
      await client.failure();
    }
    expect(warnings(logs, 'not a DiscoveryRequest')).toBe(1);
    expect(logs.filter((line) => line.includes('not a DiscoveryRequest'))).toHaveLength(20);
  });

  test('XdsServer: who is too many is told of once (B1.08)', async () => {
    const { port, logs } = await serve({ streamsPerSecond: 2 });
    const storm = Array.from({ length: 40 }, () => keep(new BareAdsClient(port)));
    for (const client of storm) client.send({ typeUrl: typeUrls.route, resourceNames: ['80'], node });
    await waitFor(
      'refusals',
      () => storm.filter(({ error }) => error !== undefined).length >= 30 || undefined,
    );
    expect(warnings(logs, 'new streams/s')).toBe(1);
  });

  test('XdsServer: a thousand types that nobody serves cost sixteen lines of debugging, and no stream (traps 17)', async () => {
    const { port, logs } = await serve();
    const client = keep(new BareAdsClient(port));
    for (let index = 0; index < 1000; index++) client.send({ typeUrl: `type.example.com/t${index}`, node });
    client.send({ typeUrl: typeUrls.route, resourceNames: ['80'] });
    await client.next();
    expect(logs.filter((line) => line.includes('which is not served'))).toHaveLength(ignoredTypesMax);
  });
});

test('XdsServer: of an endless error only the beginning is kept (traps 17)', async () => {
  let kept = 0;
  const { port } = await serve({
    connect: (stream) => ({
      received: (typeUrl, event) => {
        if (event.kind === 'subscribe')
          stream.send({ typeUrl, versionInfo: 't/1', resources: [], removed: [] });
        if (event.kind === 'nack') kept = event.rejection.message.length;
      },
      drained: () => {},
      closed: () => {},
    }),
  });
  const client = keep(new BareDeltaClient(port));
  client.send({ typeUrl: typeUrls.route, resourceNamesSubscribe: ['80'], node });
  client.nack(await client.next(), 'x'.repeat(3 << 20));
  await waitFor('the NACK', () => kept > 0 || undefined);
  expect(kept).toBe(errorLengthMax);
});

describe('clients that say nothing', () => {
  test('XdsServer: streams without a request end after a minute (traps 17)', async () => {
    const clock = new FakeClock();
    const { port, server } = await serve({}, clock);
    const silent = Array.from({ length: 200 }, () => keep(new BareAdsClient(port)));
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(server.size).toBe(0);
    clock.advance(firstRequestMs - 1);
    expect(silent.some(({ error }) => error !== undefined)).toBe(false);
    // Some may have come a little later than others.
    await waitFor('the end of all', () => {
      clock.advance(firstRequestMs);
      return silent.every(({ error }) => error !== undefined) || undefined;
    });
    for (const { error } of silent) expect(error?.code).toBe(status.DEADLINE_EXCEEDED);
    await serves(port);
  });

  test('XdsServer: 10,000 connections without a stream are closed, and cost nothing afterwards (traps 17)', async () => {
    const { port } = await serve({ connectionIdleMs: 3000 });
    globalThis.gc?.();
    const before = process.memoryUsage().rss;
    const idle = spawn(process.execPath, ['-e', idleConnections(port)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    clients.push({ close: () => void idle.kill('SIGKILL') });
    let output = '';
    idle.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    await waitFor('the connections', () => output.includes('opened 10000') || undefined, 40_000);
    const during = process.memoryUsage().rss;
    // In the midst of it a proxy is served.
    await serves(port);
    await waitFor('the end of all', () => output.includes('closed 10000') || undefined, 40_000);
    await serves(port);
    // 40 KiB a connection.
    expect(during - before).toBeLessThan(400 * 1024 * 1024);
  }, 90_000);
});

/** A program of its own: it opens 10,000 connections, half of which do not even say that they speak HTTP/2. */
function idleConnections(port: number): string {
  return `
    const { connect } = require('node:net');
    const preface = Buffer.from('PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n\\x00\\x00\\x00\\x04\\x00\\x00\\x00\\x00\\x00', 'latin1');
    let opened = 0, closed = 0, under = 0, next = 0;
    const more = () => {
      for (; under < 200 && next < 10000; next++, under++) {
        const index = next;
        const socket = connect({ port: ${port}, host: '127.0.0.1', localAddress: '127.41.9.' + (1 + index % 4) }, () => {
          under--;
          if (++opened === 10000) console.log('opened 10000');
          if (index % 2 === 0) socket.write(preface);
          more();
        });
        socket.on('error', () => {});
        socket.on('close', () => { if (++closed === 10000) console.log('closed 10000'); });
        socket.resume();
      }
    };
    more();`;
}

/** A frame of HTTP/2. */
function frame(type: number, flags: number, stream: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

const type = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
};
const connectionPreface = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1'),
  frame(type.settings, 0, 0),
]);
/** Indexed `:method: POST`, `:scheme: http`; literal path, authority and content type. */
const requestHeaders = Buffer.concat([
  Buffer.from([0x83, 0x86]),
  literal(4, '/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources'),
  literal(1, 'x'),
  literal(31, 'application/grpc'),
  Buffer.concat([Buffer.from([0x00]), text('te'), text('trailers')]),
]);

function text(value: string): Buffer {
  return Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]);
}

/** Literal without indexing, of a name in the static table. */
function literal(index: number, value: string): Buffer {
  return Buffer.concat([index < 15 ? Buffer.from([index]) : Buffer.from([0x0f, index - 15]), text(value)]);
}

describe('floods of HTTP/2', () => {
  const floods: readonly { readonly title: string; readonly frames: (round: number) => Buffer }[] = [
    {
      title: 'streams that are opened and reset (CVE-2023-44487)',
      frames: (round) =>
        Buffer.concat([
          frame(type.headers, 0x4, 2 * round + 1, requestHeaders),
          frame(type.reset, 0, 2 * round + 1, Buffer.from([0, 0, 0, 8])),
        ]),
    },
    {
      title: 'headers that never end (CVE-2024-27919)',
      frames: (round) =>
        round === 0
          ? frame(type.headers, 0, 1, requestHeaders)
          : frame(
              type.continuation,
              0,
              1,
              Buffer.concat([Buffer.from([0x00]), text(`x-${round}`), text('y'.repeat(60))]),
            ),
    },
    {
      title: 'windows that overflow (CVE-2026-21714)',
      frames: () => frame(type.windowUpdate, 0, 0, Buffer.from([0x7f, 0xff, 0xff, 0xff])),
    },
    {
      title: 'data on a stream that was never opened',
      frames: (round) => frame(type.data, 0, 2 * round + 1, Buffer.alloc(10)),
    },
  ];
  for (const { title, frames } of floods) {
    test(`XdsServer: ends a connection with ${title}, and no other (traps 8)`, async () => {
      const { port, server } = await serve();
      const witness = keep(new BareDeltaClient(port));
      witness.send({ typeUrl: typeUrls.route, resourceNamesSubscribe: ['80'], node });
      await witness.next();
      const socket = connect(port, '127.0.0.1');
      sockets.push(socket);
      // The connection is cut, or told with GOAWAY that nothing of it is read any more; grpc-js then cuts it when it
      // does not answer the next ping.
      const end = { isOver: false };
      socket.on('error', () => {});
      socket.on('close', () => (end.isOver = true));
      let unread = Buffer.alloc(0);
      socket.on('data', (chunk) => {
        unread = Buffer.concat([unread, chunk]);
        for (; unread.length >= 9; unread = unread.subarray(9 + unread.readUIntBE(0, 3))) {
          if (unread[3] === type.goaway) end.isOver = true;
        }
      });
      const before = process.memoryUsage().rss;
      socket.write(connectionPreface);
      for (let round = 0; round < 20_000 && !end.isOver; round++) {
        const isTaken = socket.write(frames(round));
        // oxlint-disable-next-line no-await-in-loop -- as fast as the connection takes it
        if (!isTaken) await new Promise((resolve) => setTimeout(resolve, 1));
      }
      await waitFor('the end of the connection', () => end.isOver || undefined, 5000);
      // What goes on all the same is not kept.
      for (let round = 0; round < 1000 && !socket.destroyed; round++) socket.write(frames(20_000 + round));
      await new Promise((resolve) => setTimeout(resolve, 100));
      expect(process.memoryUsage().rss - before).toBeLessThan(100 * 1024 * 1024);
      expect(witness.error).toBeUndefined();
      expect(server.size).toBe(1);
      await serves(port);
    });
  }

  for (const [title, flood] of [
    ['SETTINGS', frame(type.settings, 0, 0)],
    ['PING', frame(type.ping, 0, 0, Buffer.alloc(8))],
  ] as const) {
    test(`XdsServer: ${title} without end, answers unread: memory stays bounded (traps 8)`, async () => {
      const { port, server } = await serve();
      const socket = connect(port, '127.0.0.1');
      sockets.push(socket);
      socket.on('error', () => {});
      // It never reads what it asks for.
      socket.pause();
      socket.write(connectionPreface);
      const before = process.memoryUsage().rss;
      const many = Buffer.concat(Array.from({ length: 1000 }, () => flood));
      for (let round = 0; round < 2000 && !socket.destroyed; round++) {
        if (socket.writableLength > 1 << 20) break;
        socket.write(many);
        // oxlint-disable-next-line no-await-in-loop -- as fast as the connection takes it
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      expect(process.memoryUsage().rss - before).toBeLessThan(150 * 1024 * 1024);
      expect(server.size).toBe(0);
      await serves(port);
    }, 30_000);
  }
});
