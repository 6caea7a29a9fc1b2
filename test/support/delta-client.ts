// A bare client of delta xDS over a real gRPC channel: it sends what the test says, and answers nothing by itself.
import type { ClientDuplexStream, ServiceError } from '@grpc/grpc-js';
import { Client, credentials } from '@grpc/grpc-js';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { DeltaDiscoveryResponse } from '../../src/api/gen/envoy/service/discovery/v3/discovery_pb.js';
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
} from '../../src/api/gen/envoy/service/discovery/v3/discovery_pb.js';
import { waitFor } from './wait.ts';

const raw = (bytes: Buffer): Buffer => bytes;

export class BareDeltaClient {
  readonly responses: DeltaDiscoveryResponse[] = [];
  /** How the stream ended. */
  error: ServiceError | undefined;
  readonly #client: Client;
  readonly #call: ClientDuplexStream<Buffer, Buffer>;
  #taken = 0;

  constructor(
    port: number,
    method = '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources',
  ) {
    this.#client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
      'grpc.max_receive_message_length': -1,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_retries': 0,
    });
    this.#call = this.#client.makeBidiStreamRequest(method, raw, raw);
    this.#call.on('data', (bytes: Buffer) => {
      this.responses.push(fromBinary(DeltaDiscoveryResponseSchema, bytes));
    });
    this.#call.on('error', (error: ServiceError) => {
      this.error = error;
    });
  }

  send(request: MessageInitShape<typeof DeltaDiscoveryRequestSchema>): void {
    const message = create(DeltaDiscoveryRequestSchema, request);
    this.sendBytes(toBinary(DeltaDiscoveryRequestSchema, message));
  }

  sendBytes(bytes: Uint8Array): void {
    this.#call.write(Buffer.from(bytes));
  }

  /** The next response that was not taken yet. */
  async next(): Promise<DeltaDiscoveryResponse> {
    const response = await waitFor(
      'a response',
      () => this.responses[this.#taken] ?? this.#failure(),
      5000,
      5,
    );
    this.#taken++;
    return response;
  }

  ack({ typeUrl, nonce }: DeltaDiscoveryResponse): void {
    this.send({ typeUrl, responseNonce: nonce });
  }

  nack({ typeUrl, nonce }: DeltaDiscoveryResponse, message: string): void {
    this.send({ typeUrl, responseNonce: nonce, errorDetail: { code: 13, message } });
  }

  /** Resolves with the error that ended the stream. */
  failure(): Promise<ServiceError> {
    return waitFor('the end of the stream', () => this.error, 5000, 5);
  }

  pause(): void {
    this.#call.pause();
  }

  resume(): void {
    this.#call.resume();
  }

  close(): void {
    this.#call.cancel();
    this.#client.close();
  }

  #failure(): undefined {
    if (this.error !== undefined) throw this.error;
  }
}

/** Calls a method that takes one message and answers one. Rejects with the status. */
export function callUnary(port: number, method: string, request: Uint8Array): Promise<Buffer> {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
  });
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(method, raw, raw, Buffer.from(request), (error, answer) => {
      client.close();
      if (error !== null) reject(error);
      else resolve(answer ?? Buffer.alloc(0));
    });
  });
}
