// One client's stream: requests in, responses out, and what it may cost. What the resources are, and when they
// are sent, is the handler's business; how requests and responses are written is the dialect's.
import { randomUUID } from 'node:crypto';
import type { Node } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import type { RecentlyTold } from '../../base/recently-told.ts';
import { isWildcardType, warmedBy } from '../types.ts';
import type { Dialect, DiscoveryMessage, StreamResponse } from './dialect.ts';
import {
  firstRequestMs,
  ignoredTypesMax,
  nameLengthMax,
  namesLengthMax,
  namesMax,
  nodeIdLengthMax,
  unreadBytesMax,
} from './limits.ts';
import { StreamError, grpcStatus as status } from './stream-error.ts';
import type { Subscription, SubscriptionEvent } from './subscription.ts';
import { sent } from './subscription.ts';
import { WorkBudget } from './work-budget.ts';

/** One client's stream, after its first request. */
export interface XdsStream {
  /** The node's id and a number that this server gives once. */
  readonly id: string;
  readonly peer: string;
  /** Who the client has shown to be, by any of these names; undefined: nobody has asked. */
  readonly identities: readonly string[] | undefined;
  readonly connectedAtMs: number;
  readonly dialect: Dialect['name'];
  /** The only type of the stream; undefined: all of them (ADS). */
  readonly onlyType: string | undefined;
  /** Bytes of an earlier response are still waiting for the client to read: send nothing more until `drained`. */
  readonly busy: boolean;
  /** By type URL. */
  readonly subscriptions: ReadonlyMap<string, Subscription>;
  /** Sends a response to a subscribed type and returns its nonce. Throws if the type is not subscribed. */
  send(response: StreamResponse): string;
  /** Ends the stream with a status. Idempotent. */
  end(code: status, message: string): void;
}

export interface XdsStreamHandler {
  /** A request for a type that is served, after the subscription took it in. */
  received(typeUrl: string, event: SubscriptionEvent): void;
  /** `busy` has become false. */
  drained(): void;
  /** The stream is over, whoever ended it. Called once. */
  closed(): void;
}

/** The call below a stream. */
export interface Wire {
  readonly peer: string;
  readonly identities?: readonly string[] | undefined;
  /** `written` is called when the connection has taken the bytes. */
  write(bytes: Buffer, written: () => void): void;
  /** Reads no more requests until `resume`. */
  pause(): void;
  resume(): void;
  fail(code: status, details: string): void;
}

/** What streams need of their server. */
export interface StreamOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Refusals that were logged a moment ago. */
  readonly told: RecentlyTold;
  /** Stands in every response. */
  readonly controlPlane: string;
  readonly serves: (typeUrl: string) => boolean;
  /** Takes a new stream on. Throws StreamError to refuse it. */
  readonly connect: (stream: XdsStream, node: Node) => XdsStreamHandler;
  readonly newId?: (() => string) | undefined;
  readonly nextNumber: () => number;
  /** Told of each message: its bytes. */
  readonly received?: ((bytes: number) => void) | undefined;
  readonly opened: (stream: Stream) => void;
  readonly closed: (stream: Stream) => void;
}

export class Stream implements XdsStream {
  id = '';
  readonly peer: string;
  readonly identities: readonly string[] | undefined;
  readonly connectedAtMs: number;
  readonly dialect: Dialect['name'];
  readonly onlyType: string | undefined;
  readonly subscriptions = new Map<string, Subscription>();
  readonly #wire: Wire;
  readonly #dialect: Dialect;
  readonly #options: StreamOptions;
  readonly #ignored = new Set<string>();
  readonly #silence: { cancel(): void };
  readonly #budget: WorkBudget;
  #handler: XdsStreamHandler | undefined;
  /** Written, and not taken by the connection yet. */
  #unreadBytes = 0;
  #over = false;

  constructor(wire: Wire, dialect: Dialect, onlyType: string | undefined, options: StreamOptions) {
    this.#wire = wire;
    this.#dialect = dialect;
    this.dialect = dialect.name;
    this.onlyType = onlyType;
    this.#options = options;
    this.peer = wire.peer;
    this.identities = wire.identities;
    this.connectedAtMs = options.clock.now();
    this.#budget = new WorkBudget(
      options.clock,
      () => wire.pause(),
      () => {
        if (!this.busy) wire.resume();
      },
    );
    this.#silence = options.clock.after(firstRequestMs, () => {
      this.end(status.DEADLINE_EXCEEDED, `no request within ${firstRequestMs / 1000} s`);
    });
  }

  get busy(): boolean {
    return this.#unreadBytes > unreadBytesMax;
  }

  /** One message of the client. */
  receive(bytes: Uint8Array): void {
    if (this.#over) return;
    this.#silence.cancel();
    this.#budget.run(() => {
      this.#guard(() => {
        this.#options.received?.(bytes.length);
        const message = this.#dialect.decode(bytes);
        const typeUrl = this.#typeOf(message);
        if (this.#handler === undefined) this.#connect(message);
        this.#process(typeUrl, message);
      });
    });
    if (this.#over) this.#budget.dispose();
  }

  /** The client is gone. Idempotent. */
  close(): void {
    if (this.#over) return;
    this.#over = true;
    this.#silence.cancel();
    this.#budget.dispose();
    if (this.#handler === undefined) return;
    this.#options.closed(this);
    this.#handler.closed();
  }

  send(response: StreamResponse): string {
    const { typeUrl, versionInfo } = response;
    const subscription = this.subscriptions.get(typeUrl);
    if (subscription === undefined) throw new Error(`${this.id} is not subscribed to ${typeUrl}`);
    const nonce = `${versionInfo}${(this.#options.newId ?? randomUUID)()}`;
    const atMs = this.#options.clock.now();
    this.subscriptions.set(typeUrl, sent(subscription, { nonce, version: versionInfo, atMs }));
    if (this.#over) return nonce;
    const { controlPlane } = this.#options;
    const bytes = this.#dialect.encode({ versionInfo, typeUrl, nonce, controlPlane }, response);
    this.#unreadBytes += bytes.length;
    // The stream of grpc-js counts messages, sixteen of them, whatever their size: we count bytes.
    this.#wire.write(bytes, () => this.#written(bytes.length));
    // Who does not read is not read from: its requests could only ask for more.
    if (this.busy) this.#wire.pause();
    return nonce;
  }

  end(code: status, message: string): void {
    if (this.#over) return;
    this.close();
    this.#wire.fail(code, message);
  }

  #written(bytes: number): void {
    const wasBusy = this.busy;
    this.#unreadBytes -= bytes;
    if (!wasBusy || this.busy || this.#over) return;
    if (!this.#budget.isResting) this.#wire.resume();
    this.#guard(() => this.#handler?.drained());
  }

  #connect({ node }: DiscoveryMessage): void {
    if (node === undefined || node.id === '') {
      throw new StreamError(status.INVALID_ARGUMENT, 'missing node information');
    }
    if (node.id.length > nodeIdLengthMax) {
      throw new StreamError(
        status.INVALID_ARGUMENT,
        `the node id has ${node.id.length} characters: accepted are ${nodeIdLengthMax}`,
      );
    }
    this.id = `${node.id}-${this.#options.nextNumber()}`;
    this.#handler = this.#options.connect(this, node);
    this.#options.opened(this);
  }

  /** On a stream of one type the type may be left out, and no other is answered (B1.03). */
  #typeOf({ typeUrl }: DiscoveryMessage): string {
    if (this.onlyType === undefined) {
      if (typeUrl !== '') return typeUrl;
      throw new StreamError(status.INVALID_ARGUMENT, 'type_url is empty: an aggregated stream needs it');
    }
    if (typeUrl === '' || typeUrl === this.onlyType) return this.onlyType;
    throw new StreamError(
      status.INVALID_ARGUMENT,
      `type_url is ${typeUrl.slice(0, nameLengthMax)}: this service has ${this.onlyType} alone`,
    );
  }

  #process(typeUrl: string, message: DiscoveryMessage): void {
    if (!this.#options.serves(typeUrl)) {
      this.#ignore(typeUrl);
      return;
    }
    for (const names of message.names) checkNames(names);
    const before = this.subscriptions.get(typeUrl);
    const { subscription, event } = message.receive(before, isWildcardType(typeUrl));
    // In delta names add up over requests.
    if (subscription !== undefined && subscription.names !== before?.names) checkSum(subscription.names);
    if (subscription === undefined) this.subscriptions.delete(typeUrl);
    else this.subscriptions.set(typeUrl, subscription);
    if (event.kind === 'subscribe' && this.#dialect.name === 'sotw') this.#expectRepetition(typeUrl);
    this.#handler?.received(typeUrl, event);
  }

  /**
   * A client that reconnects may have asked for endpoints before it asks for clusters; these will warm and
   * wait for an answer to a request that reads like an ACK (istio: warmingDependencies; B2.08).
   */
  #expectRepetition(typeUrl: string): void {
    const waiting = warmedBy(typeUrl);
    const dependent = waiting === undefined ? undefined : this.subscriptions.get(waiting);
    if (waiting !== undefined && dependent !== undefined) {
      this.subscriptions.set(waiting, { ...dependent, respondAnyway: true });
    }
  }

  #ignore(typeUrl: string): void {
    if (this.onlyType !== undefined) {
      throw new StreamError(status.UNIMPLEMENTED, `${typeUrl} is not served`);
    }
    if (this.#ignored.size >= ignoredTypesMax || this.#ignored.has(typeUrl)) return;
    this.#ignored.add(typeUrl);
    this.#options.logger.debug(
      `xDS: ${this.id} asks for ${typeUrl.slice(0, nameLengthMax)}, which is not served`,
    );
  }

  /** One bad stream ends alone. */
  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (error instanceof StreamError) {
        this.#tellRefusal(error);
        this.end(error.code, error.message);
        return;
      }
      const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.#options.logger.error(`xDS: ${this.peer} ${this.id} ended by an internal error: ${detail}`);
      this.end(status.INTERNAL, 'internal error of the control plane');
    }
  }

  /** A client that is refused tries again, on another port each time: its address and the reason are told once. */
  #tellRefusal(error: StreamError): void {
    const { clock, logger, told } = this.#options;
    const line = `xDS: ${this.peer} ${this.id} refused: ${error.message}`;
    const isNews = told.isNews(`${hostOf(this.peer)} ${error.message}`, clock.monotonicMs());
    if (isNews) logger.warn(line);
    else logger.debug(line);
  }
}

/** `127.0.0.1` of `127.0.0.1:4711`. */
export function hostOf(peer: string): string {
  const at = peer.lastIndexOf(':');
  return at < 0 ? peer : peer.slice(0, at);
}

function checkNames(names: readonly string[]): void {
  checkCount(names.length);
  for (const { length } of names) {
    if (length > nameLengthMax) {
      throw new StreamError(
        status.INVALID_ARGUMENT,
        `a resource name of ${length} characters: accepted are ${nameLengthMax}`,
      );
    }
  }
}

/** Of all that a subscription has added up to. */
function checkSum(names: ReadonlySet<string>): void {
  checkCount(names.size);
  let characters = 0;
  for (const { length } of names) characters += length;
  if (characters <= namesLengthMax) return;
  throw new StreamError(
    status.INVALID_ARGUMENT,
    `resource names of ${characters} characters in a subscription: accepted are ${namesLengthMax}`,
  );
}

function checkCount(count: number): void {
  if (count <= namesMax) return;
  throw new StreamError(
    status.INVALID_ARGUMENT,
    `${count} resource names in a subscription: accepted are ${namesMax}`,
  );
}
