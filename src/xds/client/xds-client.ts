// The client's side of xDS: one stream, one subscription for each type on it, ACK and NACK. It knows names, versions
// and nonces, nothing of what resources mean, nothing of gRPC, and leaves what is said to the dialect. See
// https://www.envoyproxy.io/docs/envoy/v1.33.0/api-docs/xds_protocol
import type { Clock, Timer } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import type { Random } from '../../base/random.ts';
import type { Node } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import type { Dialect, SubscriptionState } from './dialect.ts';
import type { ResourceConsumer, XdsResponse } from './resource.ts';
import type { XdsStream, XdsTransport } from './transport.ts';

/** A subscription to one type. */
export interface XdsSubscription {
  /** Asks for exactly these names; the server hears of it unless they are the same. Wildcard types need none. */
  setNames(names: ReadonlySet<string>): void;
  /** Holds requests of this type until as many resumes: for the time in which other types change its names. */
  pause(): void;
  resume(): void;
}

/** Full jitter over an interval that doubles: Envoy's JitteredExponentialBackOffStrategy. */
export interface BackOff {
  readonly firstMs: number;
  readonly maxMs: number;
}

/** Envoy's defaults for a stream of xDS. */
export const defaultBackOff: BackOff = { firstMs: 500, maxMs: 30_000 };

export interface XdsClientOptions {
  readonly dialect: Dialect;
  readonly transport: XdsTransport;
  readonly node: Node | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly backOff?: BackOff;
  readonly onConnected?: (connected: boolean) => void;
  /** The server's name of itself, whenever it changes. */
  readonly onControlPlane?: (identifier: string) => void;
}

interface OpenConnection {
  readonly kind: 'open';
  readonly stream: XdsStream;
  nodeSent: boolean;
  /** Responses that wait for the one that is being applied: no more than were on their way when reading stopped. */
  readonly queue: XdsResponse[];
}

type Connection =
  /** Not started, or closed for good. */
  | { readonly kind: 'stopped' }
  /** A stream was asked for; it may or may not be established. */
  | OpenConnection
  /** The last stream ended; the timer opens the next. */
  | { readonly kind: 'waiting'; readonly timer: Timer };

interface Subscribed {
  readonly typeUrl: string;
  readonly state: SubscriptionState;
  readonly consumer: ResourceConsumer;
  pauses: number;
}

export class XdsClient {
  readonly #options: XdsClientOptions;
  readonly #backOff: BackOff;
  readonly #types = new Map<string, Subscribed>();
  #connection: Connection = { kind: 'stopped' };
  #backOffMs: number;
  /** A response is being applied, perhaps one of a stream that is gone. */
  #applying = false;
  #connected = false;
  #controlPlane = '';

  constructor(options: XdsClientOptions) {
    this.#options = options;
    this.#backOff = options.backOff ?? defaultBackOff;
    this.#backOffMs = this.#backOff.firstMs;
  }

  /** Whether there is a connection to the server. */
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
  subscribe(typeUrl: string, wildcard: boolean, consumer: ResourceConsumer): XdsSubscription {
    if (this.#types.has(typeUrl)) throw new Error(`${typeUrl} already has a consumer`);
    const state = this.#options.dialect.createSubscription(typeUrl, wildcard);
    const subscribed: Subscribed = { typeUrl, state, consumer, pauses: 0 };
    this.#types.set(typeUrl, subscribed);
    this.#request(subscribed);
    return {
      setNames: (names) => {
        state.setNames(names);
        this.#request(subscribed);
      },
      pause: () => void subscribed.pauses++,
      resume: () => {
        subscribed.pauses--;
        this.#request(subscribed);
      },
    };
  }

  #open(): void {
    const current = (): OpenConnection | undefined =>
      this.#connection.kind === 'open' && this.#connection.stream === stream ? this.#connection : undefined;
    const stream: XdsStream = this.#options.transport.open({
      onConnected: () => {
        if (current() !== undefined) this.#setConnected(true);
      },
      onResponse: (bytes) => {
        const connection = current();
        if (connection !== undefined) this.#take(connection, bytes);
      },
      onEnd: (reason) => {
        if (current() !== undefined) this.#lost(reason);
      },
    });
    this.#connection = { kind: 'open', stream, nodeSent: false, queue: [] };
    for (const { state } of this.#types.values()) state.restart();
    for (const subscribed of this.#types.values()) this.#request(subscribed);
  }

  /** The stream is gone: what it brought stays in force, and another is tried after a while. */
  #lost(reason: string): void {
    const { clock, random, logger } = this.#options;
    logger.warn(`the stream to the control plane ended: ${reason}`);
    const delayMs = Math.round(random() * this.#backOffMs);
    this.#backOffMs = Math.min(this.#backOffMs * 2, this.#backOff.maxMs);
    this.#connection = { kind: 'waiting', timer: clock.after(delayMs, () => this.#open()) };
    this.#setConnected(false);
    // A consumer may go on without its first answer and subscribe to more.
    for (const { consumer } of this.#types.values()) consumer.onConnectionFailure?.();
  }

  #take(connection: OpenConnection, bytes: Uint8Array): void {
    let response: XdsResponse;
    try {
      response = this.#options.dialect.decode(bytes);
    } catch (error) {
      // Whom to answer, and with which nonce, is not known.
      connection.stream.close();
      this.#lost(`a response cannot be read: ${errorText(error)}`);
      return;
    }
    this.#backOffMs = this.#backOff.firstMs;
    this.#setConnected(true);
    this.#noteControlPlane(response.controlPlane);
    connection.queue.push(response);
    if (this.#applying) connection.stream.pause();
    else this.#applyQueued();
  }

  #applyQueued(): void {
    const connection = this.#connection;
    if (connection.kind !== 'open') return;
    for (
      let response = connection.queue.shift();
      response !== undefined;
      response = connection.queue.shift()
    ) {
      const waiting = this.#apply(connection, response);
      if (waiting === undefined) continue;
      this.#applying = true;
      connection.stream.pause();
      void waiting.then(() => {
        this.#applying = false;
        this.#applyQueued();
        if (!this.#applying && this.#connection.kind === 'open') this.#connection.stream.resume();
      });
      return;
    }
  }

  /** Applies and answers one response; a promise (never rejected) if that takes a while. */
  #apply(connection: OpenConnection, response: XdsResponse): Promise<void> | undefined {
    const subscribed = this.#types.get(response.typeUrl);
    if (subscribed === undefined) {
      this.#options.logger.warn(
        `the control plane sent ${response.typeUrl}, which was not asked for: ignored`,
      );
      return undefined;
    }
    // What the consumer changes of its own names goes out with the ACK.
    subscribed.pauses++;
    const finish = (errors: readonly string[]): void => {
      subscribed.pauses--;
      this.#answer(connection, subscribed, response, errors);
    };
    let outcome: readonly string[] | Promise<readonly string[]>;
    try {
      outcome = consume(subscribed, response);
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
    connection: OpenConnection,
    subscribed: Subscribed,
    response: XdsResponse,
    errors: readonly string[],
  ): void {
    const error = errors.length === 0 ? undefined : errors.join('\n');
    if (error === undefined) {
      subscribed.state.accept(response);
    } else {
      this.#options.logger.warn(`${response.typeUrl} ${response.versionInfo} is rejected: ${error}`);
    }
    // The stream on which it came may be gone: its nonce means nothing on the next.
    if (connection === this.#connection) this.#send(subscribed, { nonce: response.nonce, error });
    else this.#request(subscribed);
  }

  #noteControlPlane(identifier: string): void {
    if (identifier === this.#controlPlane) return;
    this.#controlPlane = identifier;
    this.#options.onControlPlane?.(identifier);
  }

  /** Sends what the server has not heard of yet, unless that is paused. */
  #request(subscribed: Subscribed): void {
    if (subscribed.pauses === 0 && subscribed.state.pending) this.#send(subscribed, undefined);
  }

  #send(subscribed: Subscribed, answer: Parameters<SubscriptionState['encodeRequest']>[0]): void {
    const connection = this.#connection;
    if (connection.kind !== 'open') return;
    const node = connection.nodeSent ? undefined : this.#options.node;
    connection.nodeSent = true;
    connection.stream.send(subscribed.state.encodeRequest(answer, node));
  }

  #setConnected(connected: boolean): void {
    if (connected === this.#connected) return;
    this.#connected = connected;
    this.#options.onConnected?.(connected);
  }
}

function consume(
  { state, consumer }: Subscribed,
  response: XdsResponse,
): ReturnType<ResourceConsumer['onUpdate']> {
  try {
    state.check(response);
  } catch (error) {
    const reason = errorText(error);
    consumer.onRejected?.(reason);
    return [reason];
  }
  return consumer.onUpdate(response);
}

function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
