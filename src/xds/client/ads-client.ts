// The client's side of ADS, state of the world: one stream, one subscription for each type, ACK and NACK.
// It knows names, versions and nonces, nothing of what resources mean, and nothing of gRPC. See
// https://www.envoyproxy.io/docs/envoy/v1.33.0/api-docs/xds_protocol
import type { Clock, Timer } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import type { Random } from '../../base/random.ts';
import { create } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { unpackAs } from '../../api/any.ts';
import type { Node } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import type {
  DiscoveryRequest,
  DiscoveryResponse,
} from '../../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import {
  DiscoveryRequestSchema,
  ResourceSchema,
} from '../../api/gen/envoy/service/discovery/v3/discovery_pb.js';

/** Opens streams to a management server. */
export interface AdsTransport {
  /** Never throws: a stream that cannot be had ends through `onEnd`, after this call has returned. */
  open(handlers: AdsStreamHandlers): AdsStream;
}

export interface AdsStream {
  send(request: DiscoveryRequest): void;
  /** No handler is called afterwards. */
  close(): void;
}

export interface AdsStreamHandlers {
  onResponse(response: DiscoveryResponse): void;
  onEnd(reason: string): void;
}

/** One resource as it came. */
export interface ReceivedResource {
  /** From the `Resource` wrapper where there is one; otherwise undefined: the name stands in the resource. */
  readonly name: string | undefined;
  readonly typeUrl: string;
  readonly bytes: Uint8Array;
}

/** Who takes the resources of one type. */
export interface ResourceConsumer {
  /**
   * Applies what is good of one response. Returns what is wrong, one text a resource; empty means ACK. What it
   * throws becomes a NACK too. While it waits (for a port to be bound), later responses wait as well.
   */
  onResponse(
    resources: readonly ReceivedResource[],
    versionInfo: string,
  ): readonly string[] | Promise<readonly string[]>;
}

/** A subscription to one type. */
export interface AdsSubscription {
  /** Asks for exactly these names; the server hears of it unless they are the same. Wildcard types have none. */
  setNames(names: ReadonlySet<string>): void;
  /** Holds requests of this type until as many resumes: for the time in which other types change its names. */
  pause(): void;
  resume(): void;
}

export interface AdsClientOptions {
  readonly transport: AdsTransport;
  readonly node: Node | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly onConnected?: (connected: boolean) => void;
  /** The server's name of itself, whenever it changes. */
  readonly onControlPlane?: (identifier: string) => void;
}

const backOffFirstMs = 500;
const backOffMaxMs = 30_000;
const errorTextMax = 4096;
/** google.rpc.Code.INTERNAL: what Envoy sends in every NACK. */
const nackCode = 13;

type Connection =
  /** Not started, or closed for good. */
  | { readonly kind: 'stopped' }
  /** A stream was asked for; it may or may not be established. */
  | {
      readonly kind: 'open';
      readonly stream: AdsStream;
      nodeSent: boolean;
      /** Responses that wait for the one that is being applied. */
      readonly queue: DiscoveryResponse[];
      applying: boolean;
    }
  /** The last stream ended; the timer opens the next. */
  | { readonly kind: 'waiting'; readonly timer: Timer };

interface TypeState {
  readonly typeUrl: string;
  readonly wildcard: boolean;
  readonly consumer: ResourceConsumer;
  names: ReadonlySet<string>;
  /** Version of the last response that was accepted; lives on over streams. */
  version: string;
  /** Nonce of the last response on this stream; empty before it. */
  nonce: string;
  /** A request was sent on this stream: an empty list of names must now be said aloud. */
  requested: boolean;
  pauses: number;
  /** A request is due at resume. */
  due: boolean;
}

/** A resource as it stands in a response: plain, or in a `Resource` that names it. */
export function unwrapResource(any: Any): ReceivedResource {
  const wrapper = unpackAs(any, ResourceSchema);
  if (wrapper === undefined) return { name: undefined, typeUrl: any.typeUrl, bytes: any.value };
  return {
    name: wrapper.name,
    typeUrl: wrapper.resource?.typeUrl ?? '',
    bytes: wrapper.resource?.value ?? new Uint8Array(),
  };
}

/**
 * The name of a resource whose field 1 it is (Cluster, Listener, RouteConfiguration, ClusterLoadAssignment),
 * when it is written first, as encoders do. Undefined when it is not: then only decoding tells.
 */
export function peekName(bytes: Uint8Array): string | undefined {
  const length = bytes[1];
  // Tag of field 1, length-delimited; lengths of one byte suffice for names.
  if (bytes[0] !== 0x0a || length === undefined || length >= 0x80 || bytes.length < 2 + length)
    return undefined;
  return Buffer.from(bytes.buffer, bytes.byteOffset + 2, length).toString('utf8');
}

export class AdsClient {
  readonly #options: AdsClientOptions;
  readonly #types = new Map<string, TypeState>();
  #connection: Connection = { kind: 'stopped' };
  #backOffMs = backOffFirstMs;
  #connected = false;
  #controlPlane = '';

  constructor(options: AdsClientOptions) {
    this.#options = options;
  }

  /** Whether the server has answered on the present stream. */
  get connected(): boolean {
    return this.#connected;
  }

  start(): void {
    if (this.#connection.kind === 'stopped') this.#open();
  }

  stop(): void {
    const connection = this.#connection;
    this.#connection = { kind: 'stopped' };
    if (connection.kind === 'open') connection.stream.close();
    if (connection.kind === 'waiting') connection.timer.cancel();
    this.#setConnected(false);
  }

  /** Asks for a type; once for each. `wildcard` types (CDS, LDS) are asked for at once and whole. */
  subscribe(typeUrl: string, wildcard: boolean, consumer: ResourceConsumer): AdsSubscription {
    if (this.#types.has(typeUrl)) throw new Error(`${typeUrl} already has a consumer`);
    const state: TypeState = {
      typeUrl,
      wildcard,
      consumer,
      names: new Set(),
      version: '',
      nonce: '',
      requested: false,
      pauses: 0,
      due: false,
    };
    this.#types.set(typeUrl, state);
    if (wildcard) this.#request(state);
    return {
      setNames: (names) => {
        if (sameNames(state.names, names)) return;
        state.names = new Set(names);
        this.#request(state);
      },
      pause: () => void state.pauses++,
      resume: () => {
        if (--state.pauses === 0 && state.due) this.#request(state);
      },
    };
  }

  #open(): void {
    const { transport, logger } = this.#options;
    const current = (): boolean => this.#connection.kind === 'open' && this.#connection.stream === stream;
    const stream: AdsStream = transport.open({
      onResponse: (response) => {
        if (current()) this.#enqueue(response);
      },
      onEnd: (reason) => {
        if (!current()) return;
        logger.warn(`the stream to the control plane ended: ${reason}`);
        this.#retry();
      },
    });
    this.#connection = { kind: 'open', stream, nodeSent: false, queue: [], applying: false };
    for (const state of this.#types.values()) {
      state.nonce = '';
      state.requested = false;
      this.#request(state);
    }
  }

  /** Full jitter over a doubling interval, as Envoy's JitteredExponentialBackOffStrategy. */
  #retry(): void {
    const { clock, random } = this.#options;
    const delayMs = Math.round(random() * this.#backOffMs);
    this.#backOffMs = Math.min(this.#backOffMs * 2, backOffMaxMs);
    this.#connection = { kind: 'waiting', timer: clock.after(delayMs, () => this.#open()) };
    this.#setConnected(false);
  }

  #enqueue(response: DiscoveryResponse): void {
    this.#backOffMs = backOffFirstMs;
    this.#setConnected(true);
    this.#noteControlPlane(response);
    const connection = this.#connection;
    if (connection.kind !== 'open') return;
    connection.queue.push(response);
    if (!connection.applying) this.#applyNext(connection);
  }

  #applyNext(connection: Connection & { readonly kind: 'open' }): void {
    for (
      let response = connection.queue.shift();
      response !== undefined;
      response = connection.queue.shift()
    ) {
      const waiting = this.#apply(connection, response);
      if (waiting === undefined) continue;
      connection.applying = true;
      void waiting.then(() => {
        connection.applying = false;
        this.#applyNext(connection);
      });
      return;
    }
  }

  /** Applies and answers one response; a promise (never rejected) if that takes a while. */
  #apply(connection: Connection, response: DiscoveryResponse): Promise<void> | undefined {
    const state = this.#types.get(response.typeUrl);
    if (state === undefined) {
      this.#options.logger.warn(
        `the control plane sent ${response.typeUrl}, which was not asked for: ignored`,
      );
      return undefined;
    }
    if (connection === this.#connection) state.nonce = response.nonce;
    // What the consumer changes of its own names goes out with the ACK.
    state.pauses++;
    const finish = (errors: readonly string[]): void => {
      state.pauses--;
      this.#answer(connection, state, response, errors);
    };
    let outcome: readonly string[] | Promise<readonly string[]>;
    try {
      outcome = this.#consume(state, response);
    } catch (error) {
      outcome = [errorText(error)];
    }
    if (!(outcome instanceof Promise)) {
      finish(outcome);
      return undefined;
    }
    return outcome.catch((error: unknown) => [errorText(error)]).then(finish);
  }

  #answer(
    connection: Connection,
    state: TypeState,
    response: DiscoveryResponse,
    errors: readonly string[],
  ): void {
    if (errors.length === 0) state.version = response.versionInfo;
    const text = errors.length === 0 ? undefined : errors.join('\n');
    if (text !== undefined) {
      this.#options.logger.warn(`${response.typeUrl} ${response.versionInfo} is rejected: ${text}`);
    }
    // The stream on which it came may be gone: its nonce means nothing on the next.
    if (connection === this.#connection) this.#send(state, text);
    else if (state.due && state.pauses === 0) this.#request(state);
  }

  #consume(state: TypeState, response: DiscoveryResponse): ReturnType<ResourceConsumer['onResponse']> {
    const resources = response.resources.map(unwrapResource);
    const foreign = resources.find((resource) => resource.typeUrl !== state.typeUrl);
    if (foreign !== undefined) {
      return [`a resource of type ${foreign.typeUrl} came in a response of type ${state.typeUrl}`];
    }
    return state.consumer.onResponse(resources, response.versionInfo);
  }

  #noteControlPlane(response: DiscoveryResponse): void {
    const identifier = response.controlPlane?.identifier ?? '';
    if (identifier === this.#controlPlane) return;
    this.#controlPlane = identifier;
    this.#options.onControlPlane?.(identifier);
  }

  /** Sends what is asked for now, or notes that it is due. */
  #request(state: TypeState): void {
    if (state.pauses > 0) {
      state.due = true;
      return;
    }
    if (!state.wildcard && state.names.size === 0 && !state.requested) {
      state.due = false;
      return;
    }
    this.#send(state, undefined);
  }

  #send(state: TypeState, error: string | undefined): void {
    const connection = this.#connection;
    state.due = false;
    if (connection.kind !== 'open') return;
    const request = create(DiscoveryRequestSchema, {
      typeUrl: state.typeUrl,
      versionInfo: state.version,
      responseNonce: state.nonce,
      resourceNames: [...state.names].sort((a, b) => (a < b ? -1 : 1)),
    });
    if (!connection.nodeSent && this.#options.node !== undefined) request.node = this.#options.node;
    if (error !== undefined) {
      request.errorDetail = {
        $typeName: 'google.rpc.Status',
        code: nackCode,
        message: error.slice(0, errorTextMax),
        details: [],
      };
    }
    connection.nodeSent = true;
    state.requested = true;
    connection.stream.send(request);
  }

  #setConnected(connected: boolean): void {
    if (connected === this.#connected) return;
    this.#connected = connected;
    this.#options.onConnected?.(connected);
  }
}

function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function sameNames(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  if (a.size !== b.size) return false;
  for (const name of a) if (!b.has(name)) return false;
  return true;
}
