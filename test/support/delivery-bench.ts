// A proxy and a world for tests of delivery, both under the test's hand: no sockets, no time.
import { receiveDelta } from '../../src/xds/server/delta-subscription.ts';
import type { OutgoingResource } from '../../src/xds/server/dialect.ts';
import type { Subscription, SubscriptionEvent } from '../../src/xds/server/subscription.ts';
import { receive, sent } from '../../src/xds/server/subscription.ts';
import { isWildcardType, typeUrls, warmedBy } from '../../src/xds/types.ts';
import { Delivery } from '../../src/pilot/delivery/delivery.ts';
import type { Flight } from '../../src/pilot/delivery/track.ts';
import type { Encoded, Snapshot } from '../../src/pilot/resources/snapshot.ts';
import { FakeClock } from './fake-clock.ts';
import { XdsInvariants } from './xds-invariants.ts';

export const types = {
  CDS: typeUrls.cluster,
  EDS: typeUrls.endpoint,
  LDS: typeUrls.listener,
  RDS: typeUrls.route,
  ECDS: typeUrls.extensionConfig,
} as const;
export type Type = keyof typeof types;

/** What a response held. */
export interface SentResponse {
  readonly type: Type;
  readonly nonce: string;
  readonly resources: readonly Encoded[];
  /** As they stand on the wire, by name. */
  readonly versions: ReadonlyMap<string, string>;
  readonly removed: readonly string[];
}

/** What a delta request says beside its type. */
export interface DeltaAsk {
  readonly subscribe?: readonly string[];
  readonly unsubscribe?: readonly string[];
  readonly versions?: Readonly<Record<string, string>> | ReadonlyMap<string, string>;
  readonly nonce?: string;
  readonly error?: string;
}

/** What the proxy should have, shared by all of its streams. Resources are texts: `name=content`. */
export class BenchWorld {
  readonly resources: Record<Type, Map<string, Encoded>> = {
    CDS: new Map(),
    EDS: new Map(),
    LDS: new Map(),
    RDS: new Map(),
    ECDS: new Map(),
  };

  /** Puts `name=content` into the world; ` -> a,b` after it names clusters, `!eds` makes it an EDS cluster. */
  set(type: Type, ...texts: readonly string[]): void {
    for (const text of texts) {
      const [, name = '', content = '', clusters = ''] = /^([^=]+)=(\S*)(?: -> (.*))?$/.exec(text) ?? [];
      this.resources[type].set(name, {
        name,
        field: Buffer.from(content),
        version: `${content} ${clusters}`,
        facts: {
          clusters: clusters === '' ? [] : clusters.split(','),
          ...(content.includes('!eds') ? { endpointsName: name } : {}),
        },
        provenance: [],
      });
    }
  }

  remove(type: Type, ...names: readonly string[]): void {
    for (const name of names) this.resources[type].delete(name);
  }

  /** What a proxy that asks for these names should have. */
  targetOf(type: Type, wildcard: boolean, names: Iterable<string>): Map<string, Encoded> {
    const all = this.resources[type];
    const target = new Map<string, Encoded>();
    for (const name of wildcard ? all.keys() : [...names].sort()) {
      const encoded = all.get(name) ?? (type === 'EDS' || type === 'RDS' ? emptyOf(name) : undefined);
      if (encoded !== undefined) target.set(name, encoded);
    }
    return target;
  }
}

/** One stream of a proxy. */
export class DeliveryBench {
  readonly clock: FakeClock;
  readonly dialect: 'sotw' | 'delta';
  readonly subscriptions = new Map<string, Subscription>();
  readonly worldOf: BenchWorld;
  /** What was sent, as `CDS a=1 b=1`, with removed names as `-a`; taken by `take`. */
  sentTexts: string[] = [];
  rejected: string[] = [];
  busy = false;
  /** Called with every response. */
  onSend: (type: Type, resources: readonly Encoded[], response: SentResponse) => void = () => {};
  /** Called whenever a target is asked for. */
  onTarget: () => void = () => {};
  /** Called with each ACK before it is taken in, and the response that it is about. */
  onAck: (type: Type, flight: Flight | undefined) => void = () => {};
  /** Called with each request after it was answered as far as it can be. */
  onReceived: (type: Type) => void = () => {};
  /** What must hold on every stream; looked at by the test. */
  readonly invariants: XdsInvariants;
  readonly delivery: Delivery;
  readonly #snapshots = new Map<string, Snapshot>();
  #nonces = 0;

  constructor(clock = new FakeClock(), dialect: 'sotw' | 'delta' = 'sotw', world = new BenchWorld()) {
    this.dialect = dialect;
    this.worldOf = world;
    this.clock = clock;
    this.invariants = new XdsInvariants({
      dialect,
      wildcardTypes: [typeUrls.cluster, typeUrls.listener],
      repeatable: [typeUrls.endpoint],
    });
    const isBusy = (): boolean => this.busy;
    this.delivery = new Delivery({
      clock: this.clock,
      port: {
        dialect,
        subscriptions: this.subscriptions,
        get busy() {
          return isBusy();
        },
        send: (typeUrl, resources, removed) => this.#send(typeUrl, resources, removed),
      },
      target: (typeUrl) => {
        this.onTarget();
        return this.target(typeUrl);
      },
      failed: (error) => {
        throw error;
      },
      rejected: ({ typeUrl, resources, message }) => {
        this.rejected.push(`${short(typeUrl)} ${resources.map(({ name }) => name).join(' ')}: ${message}`);
      },
    });
  }

  get world(): Record<Type, Map<string, Encoded>> {
    return this.worldOf.resources;
  }

  /** See BenchWorld. */
  set(type: Type, ...texts: readonly string[]): void {
    this.worldOf.set(type, ...texts);
  }

  remove(type: Type, ...names: readonly string[]): void {
    this.worldOf.remove(type, ...names);
  }

  /** A request in state of the world; `nonce` defaults to the last one of this stream. */
  ask(
    type: Type,
    names: readonly string[] = [],
    options: { error?: string; nonce?: string; version?: string } = {},
  ): void {
    const typeUrl = types[type];
    const before = this.subscriptions.get(typeUrl);
    const nonce = options.nonce ?? before?.nonceSent ?? '';
    this.invariants.request({ typeUrl, names, nonce, error: options.error });
    const { subscription, event } = receive(
      before,
      {
        names,
        nonce,
        version: options.version ?? '',
        ...(options.error === undefined ? {} : { error: { code: 13, message: options.error } }),
      },
      isWildcardType(typeUrl),
    );
    this.#take(typeUrl, subscription);
    const waiting = event.kind === 'subscribe' ? warmedBy(typeUrl) : undefined;
    const dependent = waiting === undefined ? undefined : this.subscriptions.get(waiting);
    if (waiting !== undefined && dependent !== undefined)
      this.subscriptions.set(waiting, { ...dependent, respondAnyway: true });
    if (event.kind === 'ack') this.onAck(type, this.delivery.inFlight(typeUrl));
    this.delivery.received(typeUrl, event);
    this.delivery.pump();
    this.onReceived(type);
  }

  /** A request in delta; without `nonce` it says nothing of a response. */
  askDelta(type: Type, ask: DeltaAsk = {}): SubscriptionEvent {
    const typeUrl = types[type];
    const { subscribe = [], unsubscribe = [], nonce = '', error } = ask;
    const versions = new Map(ask.versions instanceof Map ? ask.versions : Object.entries(ask.versions ?? {}));
    this.invariants.request({ typeUrl, subscribe, unsubscribe, versions, nonce, error });
    const { subscription, event } = receiveDelta(
      this.subscriptions.get(typeUrl),
      {
        subscribe,
        unsubscribe,
        versions,
        nonce,
        ...(error === undefined ? {} : { error: { code: 13, message: error } }),
      },
      isWildcardType(typeUrl),
    );
    this.#take(typeUrl, subscription);
    if (event.kind === 'ack') this.onAck(type, this.delivery.inFlight(typeUrl));
    this.delivery.received(typeUrl, event);
    this.delivery.pump();
    this.onReceived(type);
    return event;
  }

  ack(type: Type): void {
    if (this.dialect === 'delta') this.askDelta(type, { nonce: this.#lastNonce(type) });
    else this.ask(type, [...(this.subscriptions.get(types[type])?.names ?? [])]);
  }

  nack(type: Type, error: string): void {
    if (this.dialect === 'delta') this.askDelta(type, { nonce: this.#lastNonce(type), error });
    else this.ask(type, [...(this.subscriptions.get(types[type])?.names ?? [])], { error });
  }

  push(): void {
    this.delivery.pump();
  }

  take(): string[] {
    const texts = this.sentTexts;
    this.sentTexts = [];
    return texts;
  }

  /** A proxy with everything that the world has, all acknowledged. */
  connect(endpointNames: readonly string[], routeNames: readonly string[]): void {
    const ask = (type: Type, names: readonly string[] = []): void => {
      if (this.dialect === 'delta') this.askDelta(type, { subscribe: names });
      else this.ask(type, names);
      this.ack(type);
    };
    ask('CDS');
    if (endpointNames.length > 0) ask('EDS', endpointNames);
    ask('LDS');
    if (routeNames.length > 0) ask('RDS', routeNames);
    this.take();
  }

  #lastNonce(type: Type): string {
    return this.subscriptions.get(types[type])?.nonceSent ?? '';
  }

  #take(typeUrl: string, subscription: Subscription | undefined): void {
    if (subscription === undefined) this.subscriptions.delete(typeUrl);
    else this.subscriptions.set(typeUrl, subscription);
  }

  #send(typeUrl: string, outgoing: readonly OutgoingResource[], removed: readonly string[]): string {
    const nonce = `n${++this.#nonces}`;
    const before = this.subscriptions.get(typeUrl);
    if (before === undefined) throw new Error(`not subscribed to ${typeUrl}`);
    this.subscriptions.set(typeUrl, sent(before, { nonce, version: 'v', atMs: 0 }));
    const target = this.target(typeUrl);
    const resources = outgoing.map(
      (each) => [target?.get(each.name), each].find((one) => one?.field === each.field) as Encoded,
    );
    const type = short(typeUrl);
    const isDelta = this.dialect === 'delta';
    const named = outgoing.map(({ name, version }) => ({ name, version: isDelta ? version : undefined }));
    this.invariants.response({ typeUrl, nonce, resources: named, removed });
    const versions = new Map(outgoing.map(({ name, version }) => [name, version]));
    const content = resources.map(({ name, field }) => `${name}=${Buffer.from(field).toString()}`);
    this.sentTexts.push([type, ...content, ...removed.map((name) => `-${name}`)].join(' '));
    this.onSend(type, resources, { type, nonce, resources, versions, removed });
    return nonce;
  }

  /** What the proxy should have of a type. */
  target(typeUrl: string): Snapshot | undefined {
    const subscription = this.subscriptions.get(typeUrl);
    if (subscription === undefined) return undefined;
    const next = this.worldOf.targetOf(short(typeUrl), subscription.wildcard, subscription.names);
    const known = this.#snapshots.get(typeUrl);
    if (known?.size === next.size && [...next].every(([name, each]) => known.get(name) === each))
      return known;
    this.#snapshots.set(typeUrl, next);
    return next;
  }
}

const empties = new Map<string, Encoded>();

function emptyOf(name: string): Encoded {
  const known = empties.get(name);
  if (known !== undefined) return known;
  const field = Buffer.from('empty');
  const empty = { name, field, version: 'empty', facts: { clusters: [] }, provenance: [] };
  empties.set(name, empty);
  return empty;
}

/** The short name of a type URL. */
export function short(typeUrl: string): Type {
  const found = Object.entries(types).find(([, url]) => url === typeUrl);
  return (found?.[0] ?? 'CDS') as Type;
}
