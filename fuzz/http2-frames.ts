// Random HTTP/2 for our data path, in memory: frames that are right, nearly right, and noise.
//
//   node tools/run.mjs fuzz/http2-frames.ts [RUNS] [SEED]
//
// A run is one connection. It must not throw, must not write more than a bound for what it read, and must leave
// nothing behind: no active stream, no active request, no armed timeout.
import { fromJson } from '@bufbuild/protobuf';
import * as fc from 'fast-check';
import { pathToFileURL } from 'node:url';
import { frame, literals, preface, request, settings } from '../test/support/raw-http2.ts';
import { registry } from '../src/api/any.ts';
import { HttpConnectionManagerSchema } from '../src/api/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { silentLogger } from '../src/base/logger.ts';
import { FakeClock } from '../test/support/fake-clock.ts';
import { createHttpConnectionManager } from '../src/proxy/http/connection-manager.ts';
import { socketAddress } from '../src/proxy/io/socket-address.ts';
import type { Wire, WireHandler } from '../src/proxy/io/wire.ts';
import { StatsStore } from '../src/proxy/stats/stats.ts';

/** A wire whose other end is the fuzzer. */
class MemoryWire implements Wire {
  readonly localAddress = socketAddress('127.0.0.1', 1);
  readonly remoteAddress = socketAddress('127.0.0.1', 2);
  readonly bufferedBytes = 0;
  readonly descriptor = -1;
  destroyed = false;
  writtenBytes = 0;
  #handler: WireHandler | undefined;

  setHandler(handler: WireHandler): void {
    this.#handler = handler;
  }
  deliver(bytes: Buffer): void {
    if (!this.destroyed) this.#handler?.onBytes(bytes, bytes.length);
  }
  close(): void {
    this.destroyed = true;
    this.#handler?.onClose(undefined);
  }
  writeText(text: string): boolean {
    this.writtenBytes += text.length;
    return true;
  }
  writeBytes(bytes: Uint8Array): boolean {
    this.writtenBytes += bytes.length;
    return true;
  }
  writeTextAndBytes(text: string, bytes: Uint8Array): boolean {
    this.writtenBytes += text.length + bytes.length;
    return true;
  }
  writeAtOnce(bytes: Uint8Array): boolean {
    return this.writeBytes(bytes);
  }
  pause(): void {}
  resume(): void {}
  end(): void {}
  destroy(): void {
    this.destroyed = true;
  }
  reset(): void {
    this.destroyed = true;
  }
  setKeepAlive(): void {}
}

const manager = fromJson(
  HttpConnectionManagerSchema,
  {
    statPrefix: 'fuzz',
    http2ProtocolOptions: { maxConcurrentStreams: 20, overrideStreamErrorOnInvalidHttpMessage: true },
    routeConfig: {
      virtualHosts: [
        {
          name: 'all',
          domains: ['*'],
          routes: [
            { match: { path: '/' }, directResponse: { status: 200, body: { inlineString: 'direct' } } },
            { match: { prefix: '/absent' }, route: { cluster: 'absent' } },
          ],
        },
      ],
    },
    httpFilters: [
      {
        name: 'fault',
        typedConfig: {
          '@type': 'type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault',
          delay: { fixedDelay: '1s', percentage: { numerator: 50 } },
        },
      },
      {
        name: 'router',
        typedConfig: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
      },
    ],
  },
  { registry },
);

const streamId = fc.oneof(
  { weight: 5, arbitrary: fc.integer({ min: 0, max: 5 }).map((n) => n * 2 + 1) },
  { weight: 1, arbitrary: fc.constantFrom(0, 2, 4, 0x7fffffff) },
);
const bytes = (max: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ maxLength: max }).map((each) => Buffer.from(each));
const field = fc.tuple(
  fc.constantFrom(
    'x-a',
    'cookie',
    'content-length',
    'te',
    'host',
    ':path',
    ':status',
    'X-B',
    '',
    'connection',
  ),
  fc.constantFrom('', '1', '3', 'trailers', '/', 'a b', 'a\r\nb', 'x'.repeat(300)),
);
const block = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .tuple(
        fc.constantFrom('/', '/absent', '*', 'x', ''),
        fc.array(field, { maxLength: 4 }),
        fc.constantFrom('GET', 'POST', 'HEAD', 'CONNECT', 'a b'),
      )
      .map(([path, more, method]) => literals(request(path, more, method))),
  },
  { weight: 2, arbitrary: fc.constant(Buffer.from('828684410474657374', 'hex')) },
  { weight: 1, arbitrary: bytes(60) },
);
const anyFrame = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .tuple(block, streamId, fc.constantFrom(5, 4, 4, 1, 0, 0x2d, 0x0d))
      .map(([payload, id, flags]) => frame(1, flags, id, payload)),
  },
  {
    weight: 5,
    arbitrary: fc
      .tuple(bytes(40), streamId, fc.constantFrom(0, 1, 8, 9))
      .map(([payload, id, flags]) => frame(0, flags, id, payload)),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(block, streamId, fc.constantFrom(0, 4))
      .map(([payload, id, flags]) => frame(9, flags, id, payload)),
  },
  { weight: 2, arbitrary: streamId.map((id) => frame(3, 0, id, Buffer.from([0, 0, 0, 8]))) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.integer({ min: 0, max: 8 }), fc.nat({ max: 0x7fffffff }))
      .map(([id, value]) => settings([id, value])),
  },
  { weight: 1, arbitrary: fc.constant(frame(6, 0, 0, '12345678')) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(streamId, fc.constantFrom([0, 0, 0, 0], [0, 0, 0, 9], [0x7f, 0xff, 0xff, 0xff]))
      .map(([id, payload]) => frame(8, 0, id, Buffer.from(payload))),
  },
  { weight: 1, arbitrary: fc.constant(frame(7, 0, 0, Buffer.alloc(8))) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.nat({ max: 12 }), fc.nat({ max: 255 }), streamId, bytes(30))
      .map(([type, flags, id, payload]) => frame(type, flags, id, payload)),
  },
  { weight: 1, arbitrary: bytes(20) },
);

/** What is sent, and where it is cut into reads. */
export const connection: fc.Arbitrary<{
  readonly sent: Buffer;
  readonly cuts: readonly number[];
  readonly waitsMs: number;
}> = fc
  .tuple(
    fc.array(anyFrame, { maxLength: 30 }),
    fc.array(fc.nat({ max: 1500 }), { maxLength: 6 }),
    fc.constantFrom(0, 500, 2000),
  )
  .map(([frames, cuts, waitsMs]) => ({
    sent: Buffer.concat([preface, settings(), ...frames]),
    cuts,
    waitsMs,
  }));

const writtenPerFrame = 64;

/** Throws if the data path did what it must not. */
export async function play({
  sent,
  cuts,
  waitsMs,
}: {
  readonly sent: Buffer;
  readonly cuts: readonly number[];
  readonly waitsMs: number;
}): Promise<void> {
  const clock = new FakeClock();
  const stats = new StatsStore();
  let logged = 0;
  const filter = createHttpConnectionManager(manager, {
    clusters: { get: () => undefined },
    stats: stats.root,
    accessLogs: () => ({ log: () => void logged++ }),
    routes: { acquire: (name) => ({ name, current: undefined }), release: () => {} },
    trafficDirection: 'UNSPECIFIED',
    nodeCluster: '',
    nodeId: '',
    clock,
    random: () => 0.4,
    logger: silentLogger,
  });
  const wire = new MemoryWire();
  filter.accept({
    id: 1,
    wire,
    peeked: undefined,
    localAddress: wire.localAddress,
    directLocalAddress: wire.localAddress,
    remoteAddress: wire.remoteAddress,
    serverName: undefined,
    applicationProtocols: [],
    transportProtocol: 'raw_buffer',
    trafficDirection: 'UNSPECIFIED',
    acceptedMs: 0,
  });
  const ends = [...new Set([...cuts.filter((cut) => cut < sent.length), sent.length])].toSorted(
    (a, b) => a - b,
  );
  let start = 0;
  for (const end of ends) {
    // The data path owns the memory during the call.
    wire.deliver(Buffer.from(sent.subarray(start, end)));
    start = end;
  }
  if (waitsMs > 0) clock.advance(waitsMs);
  // Frames leave at the end of the event loop's turn.
  await new Promise((resolve) => setImmediate(resolve));
  wire.close();
  const level = (name: string): number => [...stats.gauges()].find(({ id }) => id.name === name)?.value ?? 0;
  for (const name of [
    'http2.streams_active',
    'http.fuzz.downstream_rq_active',
    'http.fuzz.downstream_cx_active',
  ])
    if (level(name) !== 0) throw new Error(`${name} is ${level(name)} after the end`);
  if (filter.activeConnections !== 0) throw new Error('the connection is still known');
  const most = 2000 + sent.length * writtenPerFrame;
  if (wire.writtenBytes > most) throw new Error(`${wire.writtenBytes} bytes written for ${sent.length} read`);
  filter.close();
}

if (
  import.meta.url === pathToFileURL(process.argv[1] ?? '').href ||
  process.argv[1]?.endsWith('http2-frames.ts') === true
) {
  const [, , runs = '100000', seed = String(Math.trunc(Math.random() * 2 ** 31))] = process.argv;
  const total = Number(runs);
  const batch = 10_000;
  for (let done = 0; done < total; done += batch) {
    await fc.assert(fc.asyncProperty(connection, play), {
      numRuns: Math.min(batch, total - done),
      seed: Number(seed) + done,
    });
    const megabytes = Math.round(process.memoryUsage().rss / 2 ** 20);
    console.log(`${Math.min(total, done + batch)} connections, seed ${seed}, ${megabytes} MB`);
  }
}
