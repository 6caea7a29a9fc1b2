// Streams of xDS over gRPC. A channel serves one stream: grpc-js has a back-off of its own, which grows to two
// minutes; with a fresh channel for each attempt the client's back-off is the only one.
import { Client, Metadata, credentials } from '@grpc/grpc-js';
import type { ClientDuplexStream } from '@grpc/grpc-js';
import { discoveryServices } from '../discovery-services.ts';
import type { DialectName } from './dialect.ts';
import type { XdsStream, XdsStreamHandlers, XdsTransport } from './transport.ts';

/** A larger response ends the stream as soon as its length is known: nothing of it is kept. */
export const responseBytesMax = 256 * 1024 * 1024;
/** A server that has gone without a word is noticed within this and `keepaliveTimeoutMs`. */
const keepaliveMs = 30_000;
const keepaliveTimeoutMs = 10_000;

export interface GrpcTransportOptions {
  /** `address:port` of a server, asked for each stream; undefined when none is known now. */
  readonly target: () => string | undefined;
  readonly dialect: DialectName;
  /** The one type of a service of its own (`StreamClusters`); undefined: all types on one stream. */
  readonly typeUrl?: string;
  readonly metadata?: readonly (readonly [string, string])[];
  /** `:authority`; the target where there is none. */
  readonly authority?: string;
}

/** Plaintext gRPC. */
export function grpcTransport(options: GrpcTransportOptions): XdsTransport {
  const path = methodPath(options.dialect, options.typeUrl);
  return { open: (handlers) => openStream(options, path, handlers) };
}

/** The method that serves a type, or all types, in a dialect. Throws where Envoy's API has none. */
export function methodPath(dialect: DialectName, typeUrl: string | undefined): string {
  const service = discoveryServices.find((candidate) => candidate.typeUrl === typeUrl);
  if (service === undefined) throw new Error(`there is no discovery service for ${typeUrl}`);
  return `/${service.name}/${dialect === 'delta' ? service.delta : service.stream}`;
}

function openStream(options: GrpcTransportOptions, path: string, handlers: XdsStreamHandlers): XdsStream {
  const target = options.target();
  let closed = false;
  if (target === undefined) {
    process.nextTick(() => {
      if (!closed) handlers.onEnd('no address of the control plane is known');
    });
    return {
      send: () => {},
      pause: () => {},
      resume: () => {},
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
    ...(options.authority === undefined ? {} : { 'grpc.default_authority': options.authority }),
  });
  const end = (reason: string): void => {
    if (closed) return;
    closed = true;
    client.close();
    handlers.onEnd(reason);
  };
  const metadata = new Metadata();
  for (const [key, value] of options.metadata ?? []) metadata.add(key, value);
  const call: ClientDuplexStream<Uint8Array, Buffer> = client.makeBidiStreamRequest(
    path,
    (request: Uint8Array) => Buffer.from(request.buffer, request.byteOffset, request.byteLength),
    (bytes: Buffer) => bytes,
    metadata,
  );
  client.waitForReady(Infinity, (error) => {
    if (error === undefined && !closed) handlers.onConnected();
  });
  call.on('data', (response: Buffer) => {
    if (!closed) handlers.onResponse(response);
  });
  call.on('error', (error: Error) => end(`${target}: ${connectionCause(error.message)}`));
  call.on('end', () => end(`${target}: closed by the control plane`));
  return {
    send: (request) => {
      if (!closed) call.write(request);
    },
    pause: () => void call.pause(),
    resume: () => void call.resume(),
    close: () => {
      if (closed) return;
      closed = true;
      call.cancel();
      client.close();
    },
  };
}

/** What grpc-js says of a connection that was not made, without what it puts around the cause. */
export function connectionCause(text: string): string {
  return text
    .replace(/No connection established\. Last error: (?:Error: )?/, '')
    .replace(/\.?\s*Resolution note:\s*$/, '');
}
