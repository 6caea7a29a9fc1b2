// A management server that says what the test tells it to: state of the world, over gRPC.
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { packAny, typeUrlOf } from '../../src/api/any.ts';
import type {
  DiscoveryRequest,
  DiscoveryResponse,
} from '../../src/api/gen/envoy/service/discovery/v3/discovery_pb.js';
import {
  DiscoveryRequestSchema,
  DiscoveryResponseSchema,
} from '../../src/api/gen/envoy/service/discovery/v3/discovery_pb.js';

type Stream = ServerDuplexStream<DiscoveryRequest, DiscoveryResponse>;

interface Offer {
  readonly version: string;
  readonly resources: ReadonlyMap<string, Any>;
}

/** Answers each first request of a type, and pushes what `set` changes to whoever asked for the type. */
export class AdsServer {
  /** All requests of all streams, in order. */
  readonly requests: DiscoveryRequest[] = [];
  readonly #offers = new Map<string, Offer>();
  readonly #streams = new Map<Stream, Map<string, ReadonlySet<string>>>();
  #server: Server | undefined;
  #nonce = 0;

  /** Listens on 127.0.0.1. */
  async start(port: number): Promise<void> {
    const server = new Server();
    server.addService(
      {
        StreamAggregatedResources: {
          path: '/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources',
          requestStream: true,
          responseStream: true,
          requestDeserialize: (bytes: Buffer) => fromBinary(DiscoveryRequestSchema, bytes),
          requestSerialize: (value: DiscoveryRequest) => Buffer.from(toBinary(DiscoveryRequestSchema, value)),
          responseSerialize: (value: DiscoveryResponse) =>
            Buffer.from(toBinary(DiscoveryResponseSchema, value)),
          responseDeserialize: (bytes: Buffer) => fromBinary(DiscoveryResponseSchema, bytes),
        },
      },
      { StreamAggregatedResources: (stream: Stream) => this.#serve(stream) },
    );
    await new Promise<void>((resolve, reject) => {
      server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error) =>
        error === null ? resolve() : reject(error),
      );
    });
    this.#server = server;
  }

  /** Dies at once, as a killed process does. */
  stop(): void {
    this.#server?.forceShutdown();
    this.#server = undefined;
    this.#streams.clear();
  }

  /** Offers exactly these resources from now on, by name. */
  set<Desc extends DescMessage>(
    schema: Desc,
    version: string,
    resources: Readonly<Record<string, MessageShape<Desc>>>,
  ): void {
    const packed = Object.entries(resources).map(
      ([name, message]) => [name, packAny(schema, message)] as const,
    );
    const typeUrl = typeUrlOf(schema);
    this.#offers.set(typeUrl, { version, resources: new Map(packed) });
    for (const [stream, types] of this.#streams) if (types.has(typeUrl)) this.#send(stream, typeUrl);
  }

  /** Requests of one type that carry an error, oldest first. */
  nacks(schema: DescMessage): DiscoveryRequest[] {
    const typeUrl = typeUrlOf(schema);
    return this.requests.filter(
      (request) => request.typeUrl === typeUrl && request.errorDetail !== undefined,
    );
  }

  /** Whether a request acknowledged that version of a type. */
  acknowledged(schema: DescMessage, version: string): boolean {
    const typeUrl = typeUrlOf(schema);
    return this.requests.some(
      (request) =>
        request.typeUrl === typeUrl &&
        request.versionInfo === version &&
        request.responseNonce !== '' &&
        request.errorDetail === undefined,
    );
  }

  #serve(stream: Stream): void {
    const types = new Map<string, ReadonlySet<string>>();
    this.#streams.set(stream, types);
    stream.on('data', (request: DiscoveryRequest) => {
      this.requests.push(request);
      const before = types.get(request.typeUrl);
      const names = new Set(request.resourceNames);
      types.set(request.typeUrl, names);
      const isNew = before === undefined || [...names].some((name) => !before.has(name));
      if (isNew || request.responseNonce === '') this.#send(stream, request.typeUrl);
    });
    const end = (): void => {
      this.#streams.delete(stream);
      stream.end();
    };
    stream.on('end', end);
    stream.on('error', end);
  }

  #send(stream: Stream, typeUrl: string): void {
    const offer = this.#offers.get(typeUrl);
    if (offer === undefined) return;
    const names = this.#streams.get(stream)?.get(typeUrl) ?? new Set();
    const resources = [...offer.resources].filter(([name]) => names.size === 0 || names.has(name));
    stream.write(
      create(DiscoveryResponseSchema, {
        versionInfo: offer.version,
        typeUrl,
        nonce: String(++this.#nonce),
        resources: resources.map(([, any]) => any),
        controlPlane: { identifier: 'test-server' },
      }),
    );
  }
}
