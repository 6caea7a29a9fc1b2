// A proxy and a world for tests of delivery, both under the test's hand: no sockets, no time.
import type { Subscription } from '../../src/xds/server/subscription.ts';
import { receive, sent } from '../../src/xds/server/subscription.ts';
import { isWildcardType, typeUrls, warmedBy } from '../../src/xds/types.ts';
import type { Flight } from '../../src/pilot/delivery-track.ts';
import { Delivery } from '../../src/pilot/delivery.ts';
import type { Encoded, Snapshot } from '../../src/pilot/resources.ts';
import { FakeClock } from './fake-clock.ts';

export const types = {
  CDS: typeUrls.cluster,
  EDS: typeUrls.endpoint,
  LDS: typeUrls.listener,
  RDS: typeUrls.route,
} as const;
export type Type = keyof typeof types;

/** A proxy and a world, both under the test's hand. Resources are texts: `name=content`. */
export class DeliveryBench {
  readonly clock: FakeClock;
  readonly subscriptions = new Map<string, Subscription>();
  readonly world: Record<Type, Map<string, Encoded>> = {
    CDS: new Map(),
    EDS: new Map(),
    LDS: new Map(),
    RDS: new Map(),
  };
  /** What was sent, as `CDS a=1 b=1`; taken by `take`. */
  sentTexts: string[] = [];
  rejected: string[] = [];
  busy = false;
  /** Called with every response. */
  onSend: (type: Type, resources: readonly Encoded[]) => void = () => {};
  /** Called whenever a target is asked for. */
  onTarget: () => void = () => {};
  /** Called with each ACK before it is taken in, and the response that it is about. */
  onAck: (type: Type, flight: Flight | undefined) => void = () => {};
  /** Called with each request after it was answered as far as it can be. */
  onReceived: (type: Type) => void = () => {};
  readonly delivery: Delivery;
  readonly #snapshots = new Map<string, Snapshot>();
  #nonces = 0;

  constructor(clock = new FakeClock()) {
    this.clock = clock;
    const isBusy = (): boolean => this.busy;
    this.delivery = new Delivery({
      clock: this.clock,
      port: {
        dialect: 'sotw',
        subscriptions: this.subscriptions,
        get busy() {
          return isBusy();
        },
        send: (typeUrl, resources) => this.#send(typeUrl, resources as readonly Encoded[]),
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

  /** Puts `name=content` into the world; ` -> a,b` after it names clusters, `!eds` makes it an EDS cluster. */
  set(type: Type, ...texts: readonly string[]): void {
    for (const text of texts) {
      const [, name = '', content = '', clusters = ''] = /^([^=]+)=(\S*)(?: -> (.*))?$/.exec(text) ?? [];
      this.world[type].set(name, {
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
    for (const name of names) this.world[type].delete(name);
  }

  /** A request; `nonce` defaults to the last one of this stream. */
  ask(
    type: Type,
    names: readonly string[] = [],
    options: { error?: string; nonce?: string; version?: string } = {},
  ): void {
    const typeUrl = types[type];
    const before = this.subscriptions.get(typeUrl);
    const { subscription, event } = receive(
      before,
      {
        names,
        nonce: options.nonce ?? before?.nonceSent ?? '',
        version: options.version ?? '',
        ...(options.error === undefined ? {} : { error: { code: 13, message: options.error } }),
      },
      isWildcardType(typeUrl),
    );
    if (subscription === undefined) this.subscriptions.delete(typeUrl);
    else this.subscriptions.set(typeUrl, subscription);
    const waiting = event.kind === 'subscribe' ? warmedBy(typeUrl) : undefined;
    const dependent = waiting === undefined ? undefined : this.subscriptions.get(waiting);
    if (waiting !== undefined && dependent !== undefined)
      this.subscriptions.set(waiting, { ...dependent, respondAnyway: true });
    if (event.kind === 'ack') this.onAck(type, this.delivery.inFlight(typeUrl));
    this.delivery.received(typeUrl, event);
    this.delivery.pump();
    this.onReceived(type);
  }

  ack(type: Type): void {
    this.ask(type, [...(this.subscriptions.get(types[type])?.names ?? [])]);
  }

  nack(type: Type, error: string): void {
    this.ask(type, [...(this.subscriptions.get(types[type])?.names ?? [])], { error });
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
    this.ask('CDS');
    this.ack('CDS');
    if (endpointNames.length > 0) {
      this.ask('EDS', endpointNames);
      this.ack('EDS');
    }
    this.ask('LDS');
    this.ack('LDS');
    if (routeNames.length > 0) {
      this.ask('RDS', routeNames);
      this.ack('RDS');
    }
    this.take();
  }

  #send(typeUrl: string, resources: readonly Encoded[]): string {
    const nonce = `n${++this.#nonces}`;
    const before = this.subscriptions.get(typeUrl);
    if (before === undefined) throw new Error(`not subscribed to ${typeUrl}`);
    this.subscriptions.set(typeUrl, sent(before, { nonce, version: 'v', atMs: 0 }));
    this.onSend(short(typeUrl), resources);
    const content = resources.map(({ name, field }) => `${name}=${Buffer.from(field).toString()}`);
    this.sentTexts.push([short(typeUrl), ...content].join(' '));
    return nonce;
  }

  /** What the proxy should have. */
  target(typeUrl: string): Snapshot | undefined {
    const subscription = this.subscriptions.get(typeUrl);
    if (subscription === undefined) return undefined;
    const all = this.world[short(typeUrl)];
    const names = subscription.wildcard ? [...all.keys()] : [...subscription.names].sort();
    const next = new Map<string, Encoded>();
    for (const name of names) {
      const encoded = all.get(name) ?? emptyOf(name);
      next.set(name, encoded);
    }
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
  const empty = {
    name,
    field: Buffer.from('empty'),
    version: 'empty',
    facts: { clusters: [] },
    provenance: [],
  };
  empties.set(name, empty);
  return empty;
}

/** The short name of a type URL. */
export function short(typeUrl: string): Type {
  const found = Object.entries(types).find(([, url]) => url === typeUrl);
  return (found?.[0] ?? 'CDS') as Type;
}
