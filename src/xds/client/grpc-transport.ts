// ADS streams over gRPC. A channel serves one stream: grpc-js has a back-off of its own, which grows to two
// minutes; with a fresh channel for each attempt the client's back-off is the only one.
import { Client, Metadata, credentials } from '@grpc/grpc-js';
import type { ClientDuplexStream } from '@grpc/grpc-js';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import type {
  DiscoveryRequest,
  DiscoveryResponse,
} from '../../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import {
  DiscoveryRequestSchema,
  DiscoveryResponseSchema,
} from '../../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import type { AdsStream, AdsStreamHandlers, AdsTransport } from './ads-client.ts';

const method = '/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources';
const responseBytesMax = 256 * 1024 * 1024;
/** A server that has gone without a word is noticed within this and `keepaliveTimeoutMs`. */
const keepaliveMs = 30_000;
const keepaliveTimeoutMs = 10_000;

export interface GrpcTransportOptions {
  /** `address:port` of a server, asked for each stream; undefined when none is known now. */
  readonly target: () => string | undefined;
  readonly metadata?: readonly (readonly [string, string])[];
}

/** Plaintext gRPC. */
export function grpcTransport(options: GrpcTransportOptions): AdsTransport {
  return { open: (handlers) => openStream(options, handlers) };
}

function openStream(options: GrpcTransportOptions, handlers: AdsStreamHandlers): AdsStream {
  const target = options.target();
  let closed = false;
  if (target === undefined) {
    process.nextTick(() => {
      if (!closed) handlers.onEnd('no address of the control plane is known');
    });
    return {
      send: () => {},
      close: () => {
        closed = true;
      },
    };
  }
  const client = new Client(target, credentials.createInsecure(), {
    'grpc.max_receive_message_length': responseBytesMax,
    'grpc.keepalive_time_ms': keepaliveMs,
    'grpc.keepalive_timeout_ms': keepaliveTimeoutMs,
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_retries': 0,
    // The mesh's own addresses are never reached through an HTTP proxy of the environment.
    'grpc.enable_http_proxy': 0,
  });
  const end = (reason: string): void => {
    if (closed) return;
    closed = true;
    client.close();
    handlers.onEnd(reason);
  };
  const metadata = new Metadata();
  for (const [key, value] of options.metadata ?? []) metadata.add(key, value);
  const call: ClientDuplexStream<DiscoveryRequest, DiscoveryResponse> = client.makeBidiStreamRequest(
    method,
    (request: DiscoveryRequest) => Buffer.from(toBinary(DiscoveryRequestSchema, request)),
    (bytes: Buffer) => fromBinary(DiscoveryResponseSchema, bytes),
    metadata,
  );
  call.on('data', (response: DiscoveryResponse) => {
    if (!closed) handlers.onResponse(response);
  });
  call.on('error', (error: Error) => end(`${target}: ${error.message}`));
  call.on('end', () => end(`${target}: closed by the control plane`));
  return {
    send: (request) => {
      if (!closed) call.write(request);
    },
    close: () => {
      if (closed) return;
      closed = true;
      call.cancel();
      client.close();
    },
  };
}
