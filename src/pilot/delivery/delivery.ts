// What one proxy is sent, and when: clusters, their endpoints, listeners, routes; make before break.
//
// Of each type one response is under way at a time; what changes meanwhile is merged. A listener or
// route that names a new cluster waits until the proxy has that cluster and its endpoints, and a
// cluster stays until no route in use names it. What a proxy refused is not sent again until it
// changes; the others of its type go on. The dialects differ in what a response holds (response-plan.ts).
import type { Clock, Timer } from '../../base/clock.ts';
import type { Dialect, OutgoingResource } from '../../xds/server/dialect.ts';
import type { Rejection, Subscription, SubscriptionEvent } from '../../xds/server/subscription.ts';
import { typeUrls } from '../../xds/types.ts';
import { refuseLate, remember, takeBack } from './late-answers.ts';
import type { Refusal, RejectedResources } from './refusal.ts';
import { refuse } from './refusal.ts';
import type { Flight, Track } from './track.ts';
import {
  addDue,
  emptySnapshot,
  isDue,
  isRefused,
  isolated,
  newTrack,
  skipSettledHolds,
  skipSettledIsolation,
} from './track.ts';
import { MakeBeforeBreak } from './make-before-break.ts';
import type { Encoded, Snapshot } from '../resources/snapshot.ts';
import type { ResponsePlan } from './response-plan.ts';
import { isFullSet, planResponse } from './response-plan.ts';
import { heldBefore, isUnknown } from './resumed.ts';

export type { RejectedResources } from './refusal.ts';

/** The stream below. */
export interface DeliveryPort {
  readonly dialect: Dialect['name'];
  readonly busy: boolean;
  readonly subscriptions: ReadonlyMap<string, Subscription>;
  /** Returns the nonce. */
  send(typeUrl: string, resources: readonly OutgoingResource[], removed: readonly string[]): string;
}

/** A refusal that stands: the resource is still what the proxy refused. */
export interface StandingRefusal {
  readonly typeUrl: string;
  readonly resource: Encoded;
  readonly message: string;
  /** Wall time. */
  readonly atMs: number;
}

export interface DeliveryOptions {
  readonly clock: Clock;
  readonly port: DeliveryPort;
  /** What the proxy should have of a subscribed type; undefined where that cannot be said. */
  readonly target: (typeUrl: string) => Snapshot | undefined;
  readonly rejected: (rejected: RejectedResources) => void;
  /** Clusters that are new or changed were accepted; these are the names of their endpoints. */
  readonly clustersAccepted?: (endpointsNames: readonly string[]) => void;
  /** Told of an error of ours while nobody was calling. */
  readonly failed: (error: unknown) => void;
}

/** A resource that waits, and for which clusters. */
export interface HeldResource {
  readonly typeUrl: string;
  readonly name: string;
  readonly clusters: readonly string[];
}

/** The order of a push; other types follow in no fixed order (B4.05). */
const deliveryOrder: readonly string[] = [
  typeUrls.cluster,
  typeUrls.endpoint,
  typeUrls.listener,
  typeUrls.route,
  typeUrls.secret,
  typeUrls.extensionConfig,
];

/** A response that is not answered within this is taken for accepted, as Istio takes every response. */
const answerMs = 15_000;

export class Delivery {
  readonly #options: DeliveryOptions;
  readonly #tracks = new Map<string, Track>();
  readonly #order: MakeBeforeBreak;
  #wake: Timer | undefined;
  #wakeMs = Number.POSITIVE_INFINITY;

  constructor(options: DeliveryOptions) {
    this.#options = options;
    this.#order = new MakeBeforeBreak({
      tracks: this.#tracks,
      subscriptions: options.port.subscriptions,
      target: options.target,
      nowMs: () => options.clock.monotonicMs(),
      wakeAt: (ms) => this.#wakeAt(ms),
    });
  }

  /** Takes a request's meaning in; call `pump` afterwards. */
  received(typeUrl: string, event: SubscriptionEvent): void {
    const track = this.#tracks.get(typeUrl);
    switch (event.kind) {
      case 'subscribe':
        this.#subscribed(typeUrl, event.resumed, event.versions);
        break;
      case 'unsubscribe':
        this.#tracks.delete(typeUrl);
        break;
      case 'stale':
        if (track === undefined || event.late === undefined) return;
        this.#refusedLate(track, event.late);
        this.#prune(track);
        break;
      case 'change':
      case 'ack':
      case 'nack':
        if (track === undefined) return;
        if (event.kind === 'change' && event.late !== undefined) this.#refusedLate(track, event.late);
        if (event.kind === 'ack') this.#answered(track);
        if (event.kind === 'nack') this.#refused(track, event.rejection);
        if (event.all) track.due = 'all';
        else addDue(track, event.added);
        this.#prune(track);
        if (!this.#options.port.subscriptions.has(typeUrl)) this.#tracks.delete(typeUrl);
        break;
    }
    this.#unsettle();
  }

  /** Sends what may be sent now. */
  pump(): void {
    for (const typeUrl of deliveryOrder) if (!this.#pump(typeUrl)) return;
    for (const typeUrl of this.#tracks.keys()) {
      if (!deliveryOrder.includes(typeUrl) && !this.#pump(typeUrl)) return;
    }
  }

  /** Whether nothing is under way or waiting. */
  get idle(): boolean {
    for (const track of this.#tracks.values()) {
      if (track.flight !== undefined || track.held.size > 0 || isDue(track)) return false;
    }
    return true;
  }

  held(): readonly HeldResource[] {
    return [...this.#tracks.values()].flatMap(({ typeUrl, held }) =>
      [...held.keys()].map((name) => ({
        typeUrl,
        name,
        clusters: this.#order.missingClusters(this.#options.target(typeUrl)?.get(name)),
      })),
    );
  }

  refusals(): readonly StandingRefusal[] {
    return [...this.#tracks.values()].flatMap(({ typeUrl, refused }) => {
      if (refused.size === 0) return [];
      const target = this.#options.target(typeUrl);
      return [...refused].flatMap(([name, { version, message, atMs }]) => {
        const resource = target?.get(name);
        return resource?.version === version ? [{ typeUrl, resource, message, atMs }] : [];
      });
    });
  }

  /** What the proxy has accepted of a type on this stream, or is known to hold from an earlier one. */
  inUse(typeUrl: string): Snapshot {
    const track = this.#tracks.get(typeUrl);
    if (track === undefined) return emptySnapshot;
    if (!track.mayHoldUnknown) return track.inUse;
    const known = new Map([...track.inUse].filter(([, encoded]) => !isUnknown(encoded)));
    if (known.size < track.inUse.size) return known;
    track.mayHoldUnknown = false;
    return track.inUse;
  }

  /** One resource of what `inUse` holds, at no more than a look. */
  inUseOf(typeUrl: string, name: string): Encoded | undefined {
    const encoded = this.#tracks.get(typeUrl)?.inUse.get(name);
    return encoded === undefined || isUnknown(encoded) ? undefined : encoded;
  }

  /** The response of a type that is not answered yet. */
  inFlight(typeUrl: string): Flight | undefined {
    return this.#tracks.get(typeUrl)?.flight;
  }

  /** Whether a name is among those that are sent one by one to find out which of them is refused. */
  isIsolating(typeUrl: string, name: string): boolean {
    return this.#tracks.get(typeUrl)?.isolating.has(name) === true;
  }

  /** Another stream of the same proxy took clusters anew: they wait for endpoints, which come on this one (B3.06). */
  warmEndpoints(names: readonly string[]): void {
    // A stream that has clusters of its own knows what they wait for.
    if (this.#tracks.has(typeUrls.cluster)) return;
    const track = this.#tracks.get(typeUrls.endpoint);
    const subscribed = this.#options.port.subscriptions.get(typeUrls.endpoint)?.names;
    if (track === undefined || subscribed === undefined) return;
    addDue(
      track,
      names.filter((name) => subscribed.has(name)),
    );
    track.settled = undefined;
  }

  close(): void {
    this.#wake?.cancel();
    this.#tracks.clear();
  }

  #subscribed(typeUrl: string, resumed: boolean, versions: ReadonlyMap<string, string> | undefined): void {
    const track = newTrack({
      typeUrl,
      resumed,
      versions,
      before: this.#tracks.get(typeUrl),
      nowMs: this.#options.clock.monotonicMs(),
    });
    this.#tracks.set(typeUrl, track);
    if (track.versions === undefined) return;
    // What the client holds and still should is not sent again; what it lacks of what it asks for is.
    const { names, wildcard } = this.#options.port.subscriptions.get(typeUrl) ?? {
      names: [],
      wildcard: false,
    };
    track.due = new Set([...names].filter((name) => !track.versions?.has(name)));
    if (!wildcard) {
      const wanted = new Set(names);
      track.versions = new Map([...track.versions].filter(([name]) => wanted.has(name)));
    }
    if (typeUrl === typeUrls.endpoint) {
      const held = track.versions;
      addDue(
        track,
        this.#order.takeUnasked().filter((name) => held.has(name)),
      );
    }
  }

  /** Returns false where nothing more can be sent now. */
  #pump(typeUrl: string): boolean {
    const track = this.#tracks.get(typeUrl);
    if (track === undefined) return true;
    if (this.#options.port.busy) return false;
    this.#pumpType(track);
    return true;
  }

  #pumpType(track: Track): void {
    const nowMs = this.#options.clock.monotonicMs();
    if (track.flight !== undefined) {
      if (nowMs - track.flight.atMs < answerMs) return;
      const { flight, inUse, accepted } = track;
      this.#accepted(track);
      remember(track, { flight, inUse, accepted });
    }
    const { typeUrl } = track;
    const subscription = this.#options.port.subscriptions.get(typeUrl);
    const target = this.#options.target(typeUrl);
    if (subscription === undefined || target === undefined) return;
    if (target === track.settled && !isDue(track)) return;
    if (track.versions !== undefined) this.#resume(track, track.versions, target);
    skipSettledIsolation(track, target);
    skipSettledHolds(track, target, subscription.names);
    const plan = planResponse({
      dialect: this.#options.port.dialect,
      track,
      subscription,
      target,
      mayGo: (encoded, old) => this.#mayGo(track, encoded, old),
      lingering: (removed) => this.#order.lingering(track, removed),
    });
    if (plan !== undefined) this.#send(track, plan);
    else track.settled = target;
  }

  #resume(track: Track, versions: ReadonlyMap<string, string>, target: Snapshot): void {
    const isEndpoints = track.typeUrl === typeUrls.endpoint;
    track.inUse = heldBefore(versions, target, (encoded) =>
      isEndpoints ? this.#order.endpointsVersion(encoded) : encoded.version,
    );
    track.mayHoldUnknown = track.inUse !== target;
    track.versions = undefined;
    track.accepted = true;
    if (track.typeUrl === typeUrls.cluster) this.#order.clustersAccepted();
  }

  #send(track: Track, plan: ResponsePlan): void {
    const { resources, after, changed, remaining } = plan;
    const { clock, port } = this.#options;
    const { typeUrl } = track;
    if (typeUrl === typeUrls.cluster) this.#order.clustersSent(track, after, changed);
    const nonce = port.send(
      typeUrl,
      this.#outgoing(typeUrl, resources),
      isFullSet(port.dialect, typeUrl) ? [] : plan.removed,
    );
    track.due = new Set(remaining);
    track.settled = undefined;
    const names = resources.map(({ name }) => name);
    const subscription = port.subscriptions.get(typeUrl);
    const asked = subscription?.wildcard === true ? undefined : subscription?.names;
    const atMs = clock.monotonicMs();
    track.flight = { nonce, after, changed, removed: plan.removed, names, asked, atMs };
    // Envoy does not answer a response of which it wants nothing any more.
    this.#wakeAt(atMs + answerMs);
  }

  #outgoing(typeUrl: string, resources: readonly Encoded[]): readonly OutgoingResource[] {
    if (this.#options.port.dialect === 'sotw' || typeUrl !== typeUrls.endpoint) return resources;
    return resources.map((encoded) => {
      const { name, field } = encoded;
      return { name, field, version: this.#order.endpointsVersion(encoded) };
    });
  }

  /** Whether a resource that is new to the proxy may go out now. */
  #mayGo(track: Track, encoded: Encoded, old: Encoded | undefined): boolean {
    const { name } = encoded;
    if (isRefused(track, encoded)) return false;
    if (track.isolating.has(name) && isolated(track) !== name) return false;
    if (track.typeUrl === typeUrls.endpoint) return old === undefined || !this.#order.isLeaving(name);
    if (track.typeUrl !== typeUrls.cluster && this.#order.mustWait(track, encoded)) return false;
    track.held.delete(name);
    return true;
  }

  /** Answers come in the order of the responses: of older ones there are none to come. */
  #answered(track: Track): void {
    this.#accepted(track);
    track.assumed = [];
  }

  #accepted(track: Track): void {
    const { flight } = track;
    if (flight === undefined) return;
    track.flight = undefined;
    track.inUse = flight.after;
    track.accepted = true;
    const head = isolated(track);
    // One that waits for its clusters does not keep the others; one that this response was not about is still to be tried.
    if (head !== undefined && (flight.changed.includes(head) || track.held.has(head)))
      track.isolating.delete(head);
    for (const name of flight.changed) track.refused.delete(name);
    if (track.typeUrl === typeUrls.cluster) this.#clustersAccepted(flight);
    if (track.typeUrl === typeUrls.endpoint) this.#order.endpointsAccepted(flight.names);
    // In delta names may have gone while the response was on its way.
    track.names = flight.asked;
    this.#prune(track);
  }

  #clustersAccepted({ after, changed }: Flight): void {
    this.#order.clustersAccepted();
    const names = changed.flatMap((name) => after.get(name)?.facts.endpointsName ?? []);
    if (names.length > 0) this.#options.clustersAccepted?.(names);
  }

  #refused(track: Track, { message, nonce }: Rejection): void {
    takeBack(track, nonce);
    const what = refuse(track, this.#refusal(track, message));
    track.assumed = [];
    if (what !== undefined) this.#options.rejected(what);
  }

  #refusedLate(track: Track, { message, nonce }: Rejection): void {
    const what = refuseLate(track, nonce, this.#refusal(track, message));
    if (what === undefined) return;
    track.names = undefined;
    this.#options.rejected(what);
  }

  #refusal({ typeUrl }: Track, message: string): Refusal {
    const { clock, port } = this.#options;
    return { message, atMs: clock.now(), isFullSet: isFullSet(port.dialect, typeUrl) };
  }

  /** Forgets what the proxy has of names that it does not ask for any more: it drops them. */
  #prune(track: Track): void {
    const subscription = this.#options.port.subscriptions.get(track.typeUrl);
    if (subscription?.wildcard === true) track.names = undefined;
    if (subscription === undefined || subscription.wildcard || track.names === subscription.names) return;
    const { names } = subscription;
    track.names = names;
    for (const name of track.inUse.keys()) {
      if (names.has(name)) continue;
      track.inUse = new Map([...track.inUse].filter(([each]) => names.has(each)));
      break;
    }
    if (track.versions !== undefined) {
      track.versions = new Map([...track.versions].filter(([name]) => names.has(name)));
    }
    for (const waiting of [track.held, track.refused]) {
      for (const name of waiting.keys()) if (!names.has(name)) waiting.delete(name);
    }
    if (track.due !== 'all') for (const name of track.due) if (!names.has(name)) track.due.delete(name);
  }

  #unsettle(): void {
    for (const track of this.#tracks.values()) track.settled = undefined;
  }

  #wakeAt(ms: number): void {
    if (ms >= this.#wakeMs) return;
    this.#wake?.cancel();
    this.#wakeMs = ms;
    this.#wake = this.#options.clock.after(Math.max(0, ms - this.#options.clock.monotonicMs()) + 1, () => {
      this.#wakeMs = Number.POSITIVE_INFINITY;
      this.#unsettle();
      try {
        this.pump();
      } catch (error) {
        this.#options.failed(error);
      }
    });
  }
}
