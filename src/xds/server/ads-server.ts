// The management server's side of ADS over gRPC: streams, limits and subscriptions. It knows names,
// versions, nonces and bytes; what the resources are, and when they are sent, is the handler's business.
import { randomUUID } from 'node:crypto';
import type { ServerDuplexStream, ServerWritableStream } from '@grpc/grpc-js';
import { Server, ServerCredentials, logVerbosity, setLogVerbosity, status } from '@grpc/grpc-js';
import { fromBinary } from '@bufbuild/protobuf';
import type { Node } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import type { DiscoveryRequest } from '../../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import { DiscoveryRequestSchema } from '../../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import { isWildcardType, warmedBy } from '../types.ts';
import { RateLimit } from './rate-limit.ts';
import { encodeResponse } from './response.ts';
import type { Subscription, SubscriptionEvent } from './subscription.ts';
import { receive, sent } from './subscription.ts';

/** Why a stream is refused or ended: a gRPC status. */
export class StreamError extends Error {
  readonly code: status;

  constructor(code: status, message: string) {
    super(message);
    this.name = 'StreamError';
    this.code = code;
  }
}

export { status as grpcStatus };

export interface StreamResponse {
  readonly typeUrl: string;
  readonly versionInfo: string;
  /** Each from encodeResourceField; shared, never copied before the socket. */
  readonly resources: readonly Uint8Array[];
}

/** One client's stream, after its first request. */
export interface AdsStream {
  /** The node's id and a number that this server gives once. */
  readonly id: string;
  readonly peer: string;
  readonly connectedAtMs: number;
  /** Bytes of an earlier response are still waiting for the client to read: send nothing more until `drained`. */
  readonly busy: boolean;
  /** By type URL. */
  readonly subscriptions: ReadonlyMap<string, Subscription>;
  /** Sends a response to a subscribed type and returns its nonce. Throws if the type is not subscribed. */
  send(response: StreamResponse): string;
  /** Ends the stream with a status. Idempotent. */
  end(code: status, message: string): void;
}

export interface AdsStreamHandler {
  /** A request for a type that is served, after the subscription took it in. */
  received(typeUrl: string, event: SubscriptionEvent): void;
  /** `busy` has become false. */
  drained(): void;
  /** The stream is over, whoever ended it. Called once. */
  closed(): void;
}

export interface AdsServerOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Stands in every response. */
  readonly controlPlane: string;
  /** Streams are refused with UNAVAILABLE until this is true. */
  readonly ready: () => boolean;
  /** Types that are answered; requests for others are ignored, as Istio does. */
  readonly serves: (typeUrl: string) => boolean;
  /** Takes a new stream on. Throws StreamError to refuse it. */
  readonly connect: (stream: AdsStream, node: Node) => AdsStreamHandler;
  /** Connections are closed gently when they reach this age, so that clients spread anew. Default: never. */
  readonly connectionAgeMsMax?: number;
  /** What their streams get from then on before they are cut. Default 10 s, as in Istio. */
  readonly connectionGraceMs?: number;
  /** See defaultRate. */
  readonly streamsPerSecond: number;
  /** Unique within the process. Default: a random UUID. */
  readonly newId?: () => string;
}

/** Istio: `--maxRecvMsgSize` of istiod's gRPC servers. */
const requestBytesMax = 4 * 1024 * 1024;
const concurrentStreamsMax = 100_000;
const keepaliveMs = 30_000;
const keepaliveTimeoutMs = 10_000;
/** With more than this on its way to a client nothing is added. So a client holds one large response, or a few small. */
const unreadBytesMax = 64 * 1024;
/** A peer that connects and says nothing holds a stream no longer than this. */
const firstRequestMs = 60_000;
/** Kubernetes allows 253 characters for each of the names in it. */
const nodeIdLengthMax = 1024;
/** Each name costs memory for as long as it is subscribed. */
const namesMax = 100_000;
const serviceName = 'envoy.service.discovery.v3.AggregatedDiscoveryService';

// What goes wrong reaches us as an error and is told once, in our words.
setLogVerbosity(logVerbosity.NONE);

type Call = ServerDuplexStream<Buffer, Buffer>;

export class AdsServer {
  readonly #options: AdsServerOptions;
  readonly #server: Server;
  readonly #rateLimit: RateLimit;
  readonly #streams = new Set<Stream>();
  #streamNumber = 0;

  constructor(options: AdsServerOptions) {
    this.#options = options;
    this.#rateLimit = new RateLimit({ clock: options.clock, perSecond: options.streamsPerSecond });
    this.#server = new Server({
      'grpc.max_receive_message_length': requestBytesMax,
      'grpc.max_send_message_length': -1,
      'grpc.max_concurrent_streams': concurrentStreamsMax,
      'grpc.keepalive_time_ms': keepaliveMs,
      'grpc.keepalive_timeout_ms': keepaliveTimeoutMs,
      ...(options.connectionAgeMsMax === undefined
        ? {}
        : {
            'grpc.max_connection_age_ms': options.connectionAgeMsMax,
            'grpc.max_connection_age_grace_ms': options.connectionGraceMs ?? 10_000,
          }),
    });
    const raw = {
      requestStream: true,
      responseStream: true,
      // Decoded in the stream, so that what cannot be decoded gets a status of ours.
      requestDeserialize: (bytes: Buffer) => bytes,
      requestSerialize: (bytes: Buffer) => bytes,
      responseDeserialize: (bytes: Buffer) => bytes,
      responseSerialize: (bytes: Buffer) => bytes,
    };
    this.#server.addService(
      {
        StreamAggregatedResources: { path: `/${serviceName}/StreamAggregatedResources`, ...raw },
        DeltaAggregatedResources: { path: `/${serviceName}/DeltaAggregatedResources`, ...raw },
      },
      {
        StreamAggregatedResources: (call: Call) => this.#accept(call),
        DeltaAggregatedResources: (call: Call) => refuseDelta(call),
      },
    );
  }

  /** Streams that have sent their first request. */
  get size(): number {
    return this.#streams.size;
  }

  /** Binds `address:port` in plaintext; port 0 takes a free one. Resolves to the port. Rejects if it is in use. */
  listen(address: string): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(address, ServerCredentials.createInsecure(), (error, port) => {
        if (error === null) resolve(port);
        else reject(error);
      });
    });
  }

  /** Ends every stream with UNAVAILABLE, so that clients look for another server, and stops listening. */
  async close(): Promise<void> {
    this.#rateLimit.dispose();
    for (const stream of this.#streams) stream.end(status.UNAVAILABLE, 'the control plane is shutting down');
    await new Promise<void>((resolve) => {
      const force = this.#options.clock.after(shutdownMs, () => this.#server.forceShutdown());
      this.#server.tryShutdown(() => {
        force.cancel();
        resolve();
      });
    });
  }

  #accept(call: Call): void {
    // Without a listener an error that comes while the stream waits would end the process.
    call.on('error', () => {});
    if (!this.#options.ready()) {
      fail(call, status.UNAVAILABLE, 'the control plane has not read its configuration yet; try again');
      return;
    }
    const admitted = this.#rateLimit.admit(() => this.#start(call));
    if (!admitted) {
      const { streamsPerSecond } = this.#options;
      this.#options.logger.warn(
        `ADS: ${call.getPeer()} refused: more than ${streamsPerSecond} new streams/s`,
      );
      fail(call, status.RESOURCE_EXHAUSTED, `more than ${streamsPerSecond} new streams a second; try again`);
    }
  }

  #start(call: Call): void {
    if (call.cancelled || call.destroyed) return;
    const stream = new Stream(call, this.#options, {
      nextNumber: () => ++this.#streamNumber,
      opened: () => void this.#streams.add(stream),
      closed: () => void this.#streams.delete(stream),
    });
  }
}

/** How long streams get to end by themselves. */
const shutdownMs = 1000;

interface StreamOwner {
  readonly nextNumber: () => number;
  readonly opened: () => void;
  readonly closed: () => void;
}

class Stream implements AdsStream {
  id = '';
  readonly peer: string;
  readonly connectedAtMs: number;
  readonly subscriptions = new Map<string, Subscription>();
  readonly #call: Call;
  readonly #options: AdsServerOptions;
  readonly #owner: StreamOwner;
  readonly #ignored = new Set<string>();
  #handler: AdsStreamHandler | undefined;
  /** Written, and not taken by the connection yet. */
  #unreadBytes = 0;
  #over = false;

  constructor(call: Call, options: AdsServerOptions, owner: StreamOwner) {
    this.#call = call;
    this.#options = options;
    this.#owner = owner;
    this.peer = call.getPeer();
    this.connectedAtMs = options.clock.now();
    const silence = options.clock.after(firstRequestMs, () => {
      this.end(status.DEADLINE_EXCEEDED, `no request within ${firstRequestMs / 1000} s`);
    });
    call.on('data', (bytes: Buffer) => {
      silence.cancel();
      this.#receive(bytes);
    });
    for (const event of ['end', 'error', 'cancelled', 'close'] as const) {
      call.on(event, () => {
        silence.cancel();
        this.#close();
        if (event === 'end') call.end();
      });
    }
  }

  get busy(): boolean {
    return this.#unreadBytes > unreadBytesMax;
  }

  send(response: StreamResponse): string {
    const subscription = this.subscriptions.get(response.typeUrl);
    if (subscription === undefined) throw new Error(`${this.id} is not subscribed to ${response.typeUrl}`);
    const nonce = `${response.versionInfo}${(this.#options.newId ?? randomUUID)()}`;
    this.subscriptions.set(
      response.typeUrl,
      sent(subscription, { nonce, version: response.versionInfo, atMs: this.#options.clock.now() }),
    );
    if (this.#over) return nonce;
    const { typeUrl, versionInfo, resources } = response;
    const { controlPlane } = this.#options;
    const bytes = encodeResponse({ versionInfo, typeUrl, nonce, controlPlane }, resources);
    this.#unreadBytes += bytes.length;
    // The stream of grpc-js counts messages, sixteen of them, whatever their size: we count bytes.
    this.#call.write(bytes, () => this.#written(bytes.length));
    // Who does not read is not read from: its requests could only ask for more.
    if (this.busy) this.#call.pause();
    return nonce;
  }

  end(code: status, message: string): void {
    if (this.#over) return;
    this.#close();
    fail(this.#call, code, message);
  }

  #written(bytes: number): void {
    const wasBusy = this.busy;
    this.#unreadBytes -= bytes;
    if (!wasBusy || this.busy || this.#over) return;
    this.#call.resume();
    this.#guard(() => this.#handler?.drained());
  }

  #close(): void {
    if (this.#over) return;
    this.#over = true;
    if (this.#handler === undefined) return;
    this.#owner.closed();
    this.#handler.closed();
  }

  #receive(bytes: Buffer): void {
    if (this.#over) return;
    this.#guard(() => {
      const request = decode(bytes);
      if (this.#handler === undefined) this.#connect(request);
      this.#process(request);
    });
  }

  #connect(request: DiscoveryRequest): void {
    const { node } = request;
    if (node === undefined || node.id === '') {
      throw new StreamError(status.INVALID_ARGUMENT, 'missing node information');
    }
    if (node.id.length > nodeIdLengthMax) {
      throw new StreamError(
        status.INVALID_ARGUMENT,
        `the node id has ${node.id.length} characters: accepted are ${nodeIdLengthMax}`,
      );
    }
    this.id = `${node.id}-${this.#owner.nextNumber()}`;
    this.#handler = this.#options.connect(this, node);
    this.#owner.opened();
  }

  #process(request: DiscoveryRequest): void {
    const { typeUrl } = request;
    if (!this.#options.serves(typeUrl)) {
      this.#ignore(typeUrl);
      return;
    }
    if (request.resourceNames.length > namesMax) {
      throw new StreamError(
        status.INVALID_ARGUMENT,
        `${request.resourceNames.length} resource names in a request: accepted are ${namesMax}`,
      );
    }
    const before = this.subscriptions.get(typeUrl);
    const { subscription, event } = receive(
      before,
      {
        names: request.resourceNames,
        nonce: request.responseNonce,
        version: request.versionInfo,
        ...(request.errorDetail === undefined
          ? {}
          : { error: { code: request.errorDetail.code, message: request.errorDetail.message } }),
      },
      isWildcardType(typeUrl),
    );
    if (subscription === undefined) this.subscriptions.delete(typeUrl);
    else this.subscriptions.set(typeUrl, subscription);
    // A client that reconnects may have asked for endpoints before it asks for clusters; these will
    // warm and wait for an answer to a request that reads like an ACK (istio: warmingDependencies).
    const waiting = event.kind === 'subscribe' ? warmedBy(typeUrl) : undefined;
    const dependent = waiting === undefined ? undefined : this.subscriptions.get(waiting);
    if (waiting !== undefined && dependent !== undefined) {
      this.subscriptions.set(waiting, { ...dependent, respondAnyway: true });
    }
    this.#handler?.received(typeUrl, event);
  }

  #ignore(typeUrl: string): void {
    if (this.#ignored.size >= 16 || this.#ignored.has(typeUrl)) return;
    this.#ignored.add(typeUrl);
    this.#options.logger.debug(`ADS: ${this.id} asks for ${typeUrl}, which is not served`);
  }

  /** One bad stream ends alone. */
  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (error instanceof StreamError) {
        this.#options.logger.warn(`ADS: ${this.peer} ${this.id} refused: ${error.message}`);
        this.end(error.code, error.message);
        return;
      }
      const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.#options.logger.error(`ADS: ${this.peer} ${this.id} ended by an internal error: ${detail}`);
      this.end(status.INTERNAL, 'internal error of the control plane');
    }
  }
}

function decode(bytes: Buffer): DiscoveryRequest {
  try {
    return fromBinary(DiscoveryRequestSchema, bytes);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new StreamError(status.INVALID_ARGUMENT, `the request is not a DiscoveryRequest: ${reason}`);
  }
}

function refuseDelta(call: Call): void {
  call.on('error', () => {});
  fail(
    call,
    status.UNIMPLEMENTED,
    'delta xDS is not served yet: set api_type GRPC (state of the world) in the bootstrap',
  );
}

/** Ends a call with a status; what was written before still goes out. */
function fail(call: Call | ServerWritableStream<Buffer, Buffer>, code: status, details: string): void {
  call.emit('error', { code, details });
}
