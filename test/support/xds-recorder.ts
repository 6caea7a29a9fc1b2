// A control plane's port as its clients see it, and what goes over it, looked at: streams of every discovery service are
// handed on as the bytes that they are, and each message is fed to the invariants on the way.
import { connect, createServer } from 'node:http2';
import type {
  ClientHttp2Session,
  Http2Server,
  IncomingHttpHeaders,
  ServerHttp2Session,
  ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import { fromBinary } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { unpackAny } from '../../src/api/any.ts';
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
  DiscoveryRequestSchema,
  DiscoveryResponseSchema,
} from '../../src/api/gen/envoy/service/discovery/v3/discovery_pb.js';
import { typeUrls } from '../../src/xds/types.ts';
import { XdsInvariants } from './xds-invariants.ts';

/** One stream of a client, from its first message to its end. */
export interface RecordedStream {
  /** `/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources` */
  readonly path: string;
  /** `> Cluster` for a request, `> Cluster ACK`, `> Cluster NACK`; `< Cluster +2 -1` for a response. */
  readonly messages: readonly string[];
  /** What did not hold. */
  readonly violations: readonly string[];
}

export interface XdsRecorder {
  readonly port: number;
  readonly streams: readonly RecordedStream[];
  close(): void;
}

/** Listens on a port of 127.0.0.1; `controlPlanePort` may be silent for a time, as when it restarts. */
export async function recordXds(controlPlanePort: number): Promise<XdsRecorder> {
  const streams: RecordedStream[] = [];
  const sessions = new Set<ServerHttp2Session | ClientHttp2Session>();
  const server: Http2Server = createServer();
  server.on('session', (downstream) => {
    const upstream = connect(`http://127.0.0.1:${controlPlanePort}`);
    for (const [one, other] of [
      [downstream, upstream],
      [upstream, downstream],
    ] as const) {
      sessions.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        sessions.delete(one);
        other.destroy();
      });
    }
    downstream.on('stream', (stream, headers) => relay(stream, headers, upstream, streams));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    streams,
    close: () => {
      server.close();
      for (const session of sessions) session.destroy();
    },
  };
}

function relay(
  down: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  upstream: ClientHttp2Session,
  streams: RecordedStream[],
): void {
  const up = upstream.request(headers);
  const record = recordOf(headers[':path'] ?? '', streams);
  const requests = new Messages(record.request);
  const responses = new Messages(record.response);
  let trailers: IncomingHttpHeaders = {};
  down.on('data', (chunk: Buffer) => {
    requests.read(chunk);
    up.write(chunk);
  });
  down.on('end', () => up.end());
  up.on('response', (answer) => {
    down.respond(answer, { waitForTrailers: true });
    down.on('wantTrailers', () => down.sendTrailers(trailers));
  });
  up.on('trailers', (found) => (trailers = found));
  up.on('data', (chunk: Buffer) => {
    responses.read(chunk);
    down.write(chunk);
  });
  up.on('end', () => down.end());
  up.on('error', () => down.destroy());
  down.on('error', () => up.destroy());
  down.on('close', () => up.destroy());
}

interface Recording {
  readonly request: (bytes: Uint8Array) => void;
  readonly response: (bytes: Uint8Array) => void;
}

function recordOf(path: string, streams: RecordedStream[]): Recording {
  const method = /\.v3\.\w+DiscoveryService\/(Stream|Delta)\w+$/.exec(path)?.[1];
  if (method === undefined) return { request: () => {}, response: () => {} };
  const dialect = method === 'Delta' ? 'delta' : 'sotw';
  const invariants = new XdsInvariants({
    dialect,
    wildcardTypes: [typeUrls.cluster, typeUrls.listener],
    repeatable: [typeUrls.endpoint],
  });
  const messages: string[] = [];
  streams.push({ path, messages, violations: invariants.violations });
  const request = (typeUrl: string, nonce: string, error: string | undefined): void => {
    const answer = error === undefined ? (nonce === '' ? '' : ' ACK') : ' NACK';
    messages.push(`> ${lastPart(typeUrl)}${answer}`);
  };
  const response = (typeUrl: string, added: number, removed: number): void =>
    void messages.push(`< ${lastPart(typeUrl)} +${added} -${removed}`);
  if (dialect === 'delta') {
    return {
      request: (bytes) => {
        const message = fromBinary(DeltaDiscoveryRequestSchema, bytes);
        const { typeUrl, responseNonce: nonce, errorDetail } = message;
        request(typeUrl, nonce, errorDetail?.message);
        invariants.request({
          typeUrl,
          nonce,
          error: errorDetail?.message,
          subscribe: message.resourceNamesSubscribe,
          unsubscribe: message.resourceNamesUnsubscribe,
          versions: new Map(Object.entries(message.initialResourceVersions)),
        });
      },
      response: (bytes) => {
        const message = fromBinary(DeltaDiscoveryResponseSchema, bytes);
        const { typeUrl, nonce, systemVersionInfo: version, resources, removedResources: removed } = message;
        response(typeUrl, resources.length, removed.length);
        invariants.response({ typeUrl, nonce, version, resources, removed });
      },
    };
  }
  return {
    request: (bytes) => {
      const {
        typeUrl,
        responseNonce: nonce,
        errorDetail,
        resourceNames,
      } = fromBinary(DiscoveryRequestSchema, bytes);
      request(typeUrl, nonce, errorDetail?.message);
      invariants.request({ typeUrl, nonce, error: errorDetail?.message, names: resourceNames });
    },
    response: (bytes) => {
      const { typeUrl, nonce, versionInfo: version, resources } = fromBinary(DiscoveryResponseSchema, bytes);
      response(typeUrl, resources.length, 0);
      invariants.response({
        typeUrl,
        nonce,
        version,
        resources: resources.map((each) => ({ name: nameOf(each) })),
      });
    },
  };
}

/** In state of the world the name stands in the resource. */
function nameOf(any: Any): string {
  const message = unpackAny(any);
  const found = message as { name?: string; clusterName?: string } | undefined;
  return found?.name ?? found?.clusterName ?? '';
}

function lastPart(typeUrl: string): string {
  return typeUrl.slice(typeUrl.lastIndexOf('.') + 1);
}

const prefixBytes = 5;

/** The messages of one direction of a gRPC call, however they are cut into chunks. */
class Messages {
  readonly #each: (bytes: Uint8Array) => void;
  #rest: Buffer = Buffer.alloc(0);

  constructor(each: (bytes: Uint8Array) => void) {
    this.#each = each;
  }

  read(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= prefixBytes) {
      if (this.#rest[0] !== 0) throw new Error('a compressed message: nobody asked for that');
      const end = prefixBytes + this.#rest.readUInt32BE(1);
      if (this.#rest.length < end) return;
      this.#each(this.#rest.subarray(prefixBytes, end));
      this.#rest = this.#rest.subarray(end);
    }
  }
}
