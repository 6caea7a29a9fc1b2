// A bare client of ADS over a real gRPC channel: it sends what the test says, and answers nothing by itself.
import type { ClientDuplexStream, ServiceError } from '@grpc/grpc-js';
import type { ChannelCredentials } from '@grpc/grpc-js';
import { Client, Metadata, credentials } from '@grpc/grpc-js';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { DiscoveryResponse } from '../../src/api/gen/envoy/service/discovery/v3/discovery_pb.js';
import {
  DiscoveryRequestSchema,
  DiscoveryResponseSchema,
} from '../../src/api/gen/envoy/service/discovery/v3/discovery_pb.js';

export type RequestInit = MessageInitShape<typeof DiscoveryRequestSchema>;

/** How a client shows who it is. */
export interface ClientCredentials {
  /** Default: plaintext. */
  readonly channel?: ChannelCredentials;
  /** The name that the server's certificate must have. */
  readonly serverName?: string;
  /** Sent as `authorization: Bearer`. */
  readonly token?: string;
}

const service = '/envoy.service.discovery.v3.AggregatedDiscoveryService';

export class BareAdsClient {
  readonly responses: DiscoveryResponse[] = [];
  /** How the stream ended. */
  error: ServiceError | undefined;
  ended = false;
  readonly #client: Client;
  readonly #call: ClientDuplexStream<Buffer, Buffer>;
  readonly #waiting = new Set<() => void>();
  #taken = 0;

  constructor(port: number, method = 'StreamAggregatedResources', shown: ClientCredentials = {}) {
    this.#client = new Client(`127.0.0.1:${port}`, shown.channel ?? credentials.createInsecure(), {
      ...(shown.serverName === undefined ? {} : { 'grpc.ssl_target_name_override': shown.serverName }),
      'grpc.max_receive_message_length': -1,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_retries': 0,
    });
    const raw = (bytes: Buffer): Buffer => bytes;
    const metadata = new Metadata();
    if (shown.token !== undefined) metadata.set('authorization', `Bearer ${shown.token}`);
    // A whole path names another service.
    const path = method.startsWith('/') ? method : `${service}/${method}`;
    this.#call = this.#client.makeBidiStreamRequest(path, raw, raw, metadata);
    this.#call.on('data', (bytes: Buffer) => {
      this.responses.push(fromBinary(DiscoveryResponseSchema, bytes));
      this.#notify();
    });
    this.#call.on('error', (error: ServiceError) => {
      this.error = error;
      this.#notify();
    });
    this.#call.on('end', () => {
      this.ended = true;
      this.#notify();
    });
  }

  send(request: RequestInit): void {
    this.sendBytes(toBinary(DiscoveryRequestSchema, create(DiscoveryRequestSchema, request)));
  }

  sendBytes(bytes: Uint8Array): void {
    this.#call.write(Buffer.from(bytes));
  }

  /** The next response that was not taken yet. Rejects if the stream ends or 5 s pass. */
  async next(): Promise<DiscoveryResponse> {
    await this.until(() => this.responses.length > this.#taken || this.error !== undefined, 'a response');
    const response = this.responses[this.#taken];
    if (response === undefined) throw this.error ?? new Error('the stream ended');
    this.#taken++;
    return response;
  }

  /** Sends an ACK of `response`, for the same or other names. */
  ack(response: DiscoveryResponse, resourceNames: string[] = []): void {
    const { typeUrl, versionInfo, nonce } = response;
    this.send({ typeUrl, versionInfo, responseNonce: nonce, resourceNames });
  }

  nack(response: DiscoveryResponse, message: string, resourceNames: string[] = []): void {
    const { typeUrl, nonce } = response;
    this.send({ typeUrl, responseNonce: nonce, resourceNames, errorDetail: { code: 13, message } });
  }

  /** Resolves with the error that ended the stream. */
  async failure(): Promise<ServiceError> {
    await this.until(() => this.error !== undefined, 'the end of the stream');
    return this.error as ServiceError;
  }

  /** Stops reading from the connection. */
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

  until(condition: () => boolean, what: string, withinMs = 5000): Promise<void> {
    return new Promise((resolve, reject) => {
      const check = (): void => {
        if (!condition()) return;
        clearTimeout(timer);
        this.#waiting.delete(check);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(check);
        reject(new Error(`no ${what} within ${withinMs} ms`));
      }, withinMs);
      this.#waiting.add(check);
      check();
    });
  }

  #notify(): void {
    for (const check of this.#waiting) check();
  }
}
