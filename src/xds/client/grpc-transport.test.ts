// ADS streams over real gRPC: what a server may do to us.
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
import type { AdsStream } from './ads-client.ts';
import { grpcTransport } from './grpc-transport.ts';

type Stream = ServerDuplexStream<Buffer, Buffer>;

let server: Server | undefined;
let stream: AdsStream | undefined;
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

interface Heard {
  readonly responses: DiscoveryResponse[];
  readonly ends: string[];
}

function open(target: string | undefined, metadata: readonly (readonly [string, string])[] = []): Heard {
  const heard: Heard = { responses: [], ends: [] };
  stream = grpcTransport({ target: () => target, metadata }).open({
    onResponse: (response) => heard.responses.push(response),
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
  stream?.send(create(DiscoveryRequestSchema, { typeUrl: 'a' }));
  await expect.poll(() => heard.responses.length).toBe(1);
  expect(requests).toEqual(['a']);
  expect(metadata).toBe('secret');
  expect(heard.responses[0]?.resources[0]?.value.length).toBe(6 * 1024 * 1024);
  expect(heard.ends).toEqual([]);
});

test('grpcTransport: bytes that are no DiscoveryResponse end the stream, once, and nothing is thrown (partly D1.03, traps row 17)', async () => {
  const port = await serve((peer) => {
    peer.on('error', () => {});
    peer.on('data', () => peer.write(Buffer.from([0xff, 0xff, 0xff, 0xff])));
  });
  const heard = open(`127.0.0.1:${port}`);
  stream?.send(create(DiscoveryRequestSchema, { typeUrl: 'a' }));
  await expect.poll(() => heard.ends.length).toBe(1);
  expect(heard.responses).toEqual([]);
  stream?.send(create(DiscoveryRequestSchema, { typeUrl: 'b' }));
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(heard.ends).toHaveLength(1);
});

test('grpcTransport: a server that ends, one that dies, one that is not there, and no address (partly D1.03)', async () => {
  const port = await serve((peer) => {
    peer.on('error', () => {});
    peer.on('data', () => peer.end());
  });
  const ended = open(`127.0.0.1:${port}`);
  stream?.send(create(DiscoveryRequestSchema, { typeUrl: 'a' }));
  await expect.poll(() => ended.ends.length).toBe(1);

  const died = open(`127.0.0.1:${port}`);
  await new Promise((resolve) => setTimeout(resolve, 50));
  server?.forceShutdown();
  await expect.poll(() => died.ends.length).toBe(1);

  const absent = open(`127.0.0.1:${port}`);
  await expect.poll(() => absent.ends.length).toBe(1);
  expect(absent.ends[0]).toContain(`127.0.0.1:${port}`);

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
  stream?.send(create(DiscoveryRequestSchema, { typeUrl: 'a' }));
  stream?.close();
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(heard).toEqual({ responses: [], ends: [] });
});
