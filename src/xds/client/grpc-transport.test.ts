// ADS streams over real gRPC: what a server may do to us.
import { createServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import { afterEach, expect, test } from 'vitest';
import type { DiscoveryResponse } from '../../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import {
  DiscoveryRequestSchema,
  DiscoveryResponseSchema,
} from '../../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import { grpcTransport, methodPath, responseBytesMax } from './grpc-transport.ts';
import { typeUrls } from '../types.ts';
import type { XdsStream } from './transport.ts';
import { deferredTransport } from './transport.ts';

type Stream = ServerDuplexStream<Buffer, Buffer>;

let server: Server | undefined;
let stream: XdsStream | undefined;
afterEach(() => {
  stream?.close();
  server?.forceShutdown();
  server = undefined;
});

/** Serves raw bytes at a free port. */
function serve(onStream: (stream: Stream) => void): Promise<number> {
  const raw = (bytes: Buffer): Buffer => bytes;
  const grpc = new Server();
  server = grpc;
  grpc.addService(
    {
      StreamAggregatedResources: {
        path: '/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources',
        requestStream: true,
        responseStream: true,
        requestSerialize: raw,
        requestDeserialize: raw,
        responseSerialize: raw,
        responseDeserialize: raw,
      },
    },
    { StreamAggregatedResources: onStream },
  );
  return new Promise((resolve, reject) => {
    grpc.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    );
  });
}

const request = (typeUrl: string): Uint8Array =>
  toBinary(DiscoveryRequestSchema, create(DiscoveryRequestSchema, { typeUrl }));

interface Heard {
  connected: number;
  readonly responses: DiscoveryResponse[];
  readonly ends: string[];
}

function open(target: string | undefined, metadata: readonly (readonly [string, string])[] = []): Heard {
  const heard: Heard = { connected: 0, responses: [], ends: [] };
  stream = grpcTransport({ target: () => target, dialect: 'sotw', metadata }).open({
    onConnected: () => heard.connected++,
    onResponse: (bytes) => heard.responses.push(fromBinary(DiscoveryResponseSchema, bytes)),
    onEnd: (reason) => heard.ends.push(reason),
  });
  return heard;
}

test('grpcTransport: requests, responses and metadata travel; 6 MB in one response are taken (partly D1.03)', async () => {
  const requests: string[] = [];
  let metadata: unknown;
  const port = await serve((peer) => {
    metadata = peer.metadata.get('x-token')[0];
    peer.on('error', () => {});
    peer.on('data', (bytes: Buffer) => {
      requests.push(fromBinary(DiscoveryRequestSchema, bytes).typeUrl);
      const big = create(AnySchema, { typeUrl: 't', value: new Uint8Array(6 * 1024 * 1024) });
      peer.write(
        Buffer.from(
          toBinary(
            DiscoveryResponseSchema,
            create(DiscoveryResponseSchema, { versionInfo: 'v', resources: [big] }),
          ),
        ),
      );
    });
  });
  const heard = open(`127.0.0.1:${port}`, [['x-token', 'secret']]);
  stream?.send(request('a'));
  await expect.poll(() => heard.responses.length).toBe(1);
  expect(requests).toEqual(['a']);
  expect(metadata).toBe('secret');
  expect(heard.responses[0]?.resources[0]?.value.length).toBe(6 * 1024 * 1024);
  expect(heard.ends).toEqual([]);
});

test('grpcTransport: a response of 300 MB ends the stream when its length is known, before it is there (traps row 17)', async () => {
  const http2 = createServer();
  const bytes = 300 * 1024 * 1024;
  let written = 0;
  http2.on('stream', (peer) => {
    peer.on('error', () => {});
    peer.respond({ ':status': 200, 'content-type': 'application/grpc' });
    const head = Buffer.alloc(5);
    head.writeUInt32BE(bytes, 1);
    peer.write(head);
    const chunk = Buffer.alloc(64 * 1024);
    const more = (): void => {
      if (peer.destroyed || peer.closed || written >= bytes) return;
      written += chunk.length;
      peer.write(chunk, () => more());
    };
    more();
  });
  await new Promise<void>((resolve) => http2.listen(0, '127.0.0.1', resolve));
  try {
    const heard = open(`127.0.0.1:${(http2.address() as AddressInfo).port}`);
    await expect.poll(() => heard.ends.length).toBe(1);
    expect(heard.ends[0]).toContain(`(${bytes} vs ${responseBytesMax})`);
    expect(heard.responses).toEqual([]);
    expect(written).toBeLessThan(bytes / 4);
  } finally {
    http2.close();
  }
});

test('grpcTransport: while it is paused little more is read than was there (partly D1.03)', async () => {
  const port = await serve((peer) => {
    peer.on('error', () => {});
    peer.once('data', () => {
      for (let index = 0; index < 100; index++) peer.write(Buffer.alloc(100_000));
    });
  });
  let heard = 0;
  stream = grpcTransport({ target: () => `127.0.0.1:${port}`, dialect: 'sotw' }).open({
    onConnected: () => {},
    onResponse: () => {
      heard++;
      if (heard === 1) stream?.pause();
    },
    onEnd: () => {},
  });
  stream.send(request('a'));
  await expect.poll(() => heard).toBeGreaterThan(0);
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(heard).toBeLessThan(5);
  stream.resume();
  await expect.poll(() => heard).toBe(100);
});

test('methodPath: one service for all types, one for each, in both dialects (D1.02, partly B1.03)', () => {
  expect(methodPath('sotw', undefined)).toBe(
    '/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources',
  );
  expect(methodPath('delta', undefined)).toBe(
    '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources',
  );
  expect(methodPath('sotw', typeUrls.listener)).toBe(
    '/envoy.service.listener.v3.ListenerDiscoveryService/StreamListeners',
  );
  expect(methodPath('delta', typeUrls.endpoint)).toBe(
    '/envoy.service.endpoint.v3.EndpointDiscoveryService/DeltaEndpoints',
  );
  expect(() => methodPath('delta', 'x')).toThrow('there is no discovery service for x');
});

test('grpcTransport: a server that ends, one that dies, one that is not there, and no address (partly D1.03)', async () => {
  const port = await serve((peer) => {
    peer.on('error', () => {});
    peer.on('data', () => peer.end());
  });
  const ended = open(`127.0.0.1:${port}`);
  stream?.send(request('a'));
  await expect.poll(() => ended.ends.length).toBe(1);

  const died = open(`127.0.0.1:${port}`);
  await expect.poll(() => died.connected).toBe(1);
  server?.forceShutdown();
  await expect.poll(() => died.ends.length).toBe(1);

  const absent = open(`127.0.0.1:${port}`);
  await expect.poll(() => absent.ends.length).toBe(1);
  expect(absent.ends[0]).toContain(`127.0.0.1:${port}`);
  expect(absent.connected).toBe(0);

  const nowhere = open(undefined);
  expect(nowhere.ends).toEqual([]);
  await expect.poll(() => nowhere.ends).toEqual(['no address of the control plane is known']);
});

test('grpcTransport: after close nothing is heard (partly D1.03)', async () => {
  const port = await serve((peer) => {
    peer.on('error', () => {});
    peer.on('data', () => peer.write(Buffer.alloc(0)));
  });
  const heard = open(`127.0.0.1:${port}`);
  stream?.send(request('a'));
  stream?.close();
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(heard).toMatchObject({ responses: [], ends: [] });
});

test('deferredTransport: what is sent while it is loaded is sent then; what cannot be loaded ends the stream', async () => {
  const requests: string[] = [];
  const port = await serve((peer) => {
    peer.on('error', () => {});
    peer.on('data', (bytes: Buffer) => requests.push(fromBinary(DiscoveryRequestSchema, bytes).typeUrl));
  });
  stream = deferredTransport(async () =>
    grpcTransport({ target: () => `127.0.0.1:${port}`, dialect: 'sotw' }),
  ).open({ onConnected: () => {}, onResponse: () => {}, onEnd: () => {} });
  stream.send(request('a'));
  stream.send(request('b'));
  await expect.poll(() => requests).toEqual(['a', 'b']);

  const ends: string[] = [];
  const handlers = {
    onConnected: () => {},
    onResponse: () => {},
    onEnd: (reason: string) => ends.push(reason),
  };
  deferredTransport(() => Promise.reject(new Error('no such module'))).open(handlers);
  deferredTransport(() => Promise.reject(new Error('nobody hears this')))
    .open(handlers)
    .close();
  await expect.poll(() => ends).toEqual(['no such module']);
});
