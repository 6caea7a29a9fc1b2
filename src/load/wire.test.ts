// Messages out of chunks, and streams over real HTTP/2.
import type { Http2Server, ServerHttp2Stream } from 'node:http2';
import { createServer } from 'node:http2';
import * as fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import { systemClock } from '../base/clock.ts';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { Http2Wire, MessageReader } from './wire.ts';

function framed(message: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

test('MessageReader: the same messages however they are cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 17 }), { minLength: 1 }),
      (messages, sizes) => {
        const seen: Buffer[] = [];
        const reader = new MessageReader((message) => seen.push(Buffer.from(message)));
        const all = Buffer.concat(messages.map(framed));
        for (let at = 0, turn = 0; at < all.length; turn++) {
          const size = sizes[turn % sizes.length] ?? 1;
          reader.push(all.subarray(at, at + size));
          at += size;
        }
        expect(seen).toEqual(messages.map((message) => Buffer.from(message)));
      },
    ),
  );
});

test('MessageReader: compressed messages and those beyond all measure are refused', () => {
  const reader = (): MessageReader => new MessageReader(() => {});
  expect(() => reader().push(Buffer.of(1, 0, 0, 0, 1, 0))).toThrow('a compressed message came');
  expect(() => reader().push(Buffer.of(0, 0xff, 0xff, 0xff, 0xff))).toThrow('a message of 4294967295 bytes');
});

let server: Http2Server | undefined;
let wire: Http2Wire | undefined;
afterEach(() => {
  wire?.close();
  server?.close();
});

async function serve(onStream: (stream: ServerHttp2Stream) => void): Promise<string> {
  const http2 = createServer();
  server = http2;
  http2.on('stream', onStream);
  await new Promise<void>((resolve) => http2.listen(0, '127.0.0.1', resolve));
  const address = http2.address();
  return `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
}

function heard() {
  const messages: number[] = [];
  const ends: string[] = [];
  return {
    messages,
    ends,
    onMessage: (message: Uint8Array) => void messages.push(message.length),
    onEnd: (reason: string) => void ends.push(reason),
  };
}

test('Http2Wire: messages travel both ways; streams share as many connections as they are given', async () => {
  const sessions = new Set<unknown>();
  const address = await serve((stream) => {
    sessions.add(stream.session);
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
    stream.on('data', (chunk: Buffer) => stream.write(chunk));
    stream.on('error', () => {});
  });
  wire = new Http2Wire({ address, connections: 2, clock: systemClock });
  const all = [0, 1, 2, 3].map((index) => {
    const each = heard();
    wire?.open(index, '/service/Method', each).send(new Uint8Array(100_000 + index));
    return each;
  });
  await expect
    .poll(() => all.map(({ messages }) => messages))
    .toEqual([[100_000], [100_001], [100_002], [100_003]]);
  expect(sessions.size).toBe(2);
  expect(wire.connections).toBe(2);
});

test('Http2Wire: what the server says at the end is the reason, once, also where it says nothing else', async () => {
  let turn = 0;
  const address = await serve((stream) => {
    stream.on('error', () => {});
    if (turn++ === 0) {
      stream.respond(
        { ':status': 200, 'grpc-status': '8', 'grpc-message': 'too%20many' },
        { endStream: true },
      );
      return;
    }
    stream.respond({ ':status': 200 }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '14' }));
    stream.end(framed(Buffer.of(1)));
  });
  wire = new Http2Wire({ address, connections: undefined, clock: systemClock });
  const refused = heard();
  wire.open(0, '/service/Method', refused).send(new Uint8Array(1));
  await expect.poll(() => refused.ends).toEqual(['gRPC status 8: too many']);
  const ended = heard();
  wire.open(1, '/service/Method', ended).send(new Uint8Array(1));
  await expect.poll(() => ended.ends).toEqual(['gRPC status 14']);
  expect(ended.messages).toEqual([1]);
  expect(refused.ends).toHaveLength(1);
});

test('Http2Wire: nobody listens; a stream that was closed hears nothing', async () => {
  const address = await serve(() => {});
  const [host, port] = address.split(':');
  server?.close();
  wire = new Http2Wire({ address: `${host}:${port}`, connections: undefined, clock: systemClock });
  const alone = heard();
  wire.open(0, '/service/Method', alone);
  await expect.poll(() => alone.ends).toHaveLength(1);
  const closed = heard();
  wire.open(1, '/service/Method', closed).close();
  await new Promise((resolve) => setTimeout(resolve, 30));
  expect(closed.ends).toEqual([]);
});

test('Http2Wire: a slow reader takes what comes at its rate', async () => {
  const address = await serve((stream) => {
    stream.on('error', () => {});
    stream.respond({ ':status': 200 });
    stream.write(framed(new Uint8Array(200_000)));
  });
  const clock = new FakeClock();
  wire = new Http2Wire({ address, connections: 1, clock, bytesPerSecond: () => 100_000 });
  const slow = heard();
  wire.open(0, '/service/Method', slow);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(slow.messages).toEqual([]);
  // Two seconds' worth of reading.
  for (let turn = 0; turn < 100 && slow.messages.length === 0; turn++) {
    clock.advance(100);
    // oxlint-disable-next-line no-await-in-loop -- the socket's turn
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  expect(slow.messages).toEqual([200_000]);
  expect(clock.monotonicMs()).toBeGreaterThanOrEqual(1000);
});
