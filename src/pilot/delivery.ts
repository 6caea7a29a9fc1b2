// What one proxy is sent, and when: clusters, their endpoints, listeners, routes; make before break.
//
// Of each type one response is under way at a time; what changes meanwhile is merged. A listener or
// route that names a new cluster waits until the proxy has that cluster and its endpoints, and a
// cluster stays until no route in use names it. What a proxy refused is not sent again until it
// changes; the others of its type go on.
import type { Clock, Timer } from '../base/clock.ts';
import { typeUrls } from '../xds/types.ts';
import type { Subscription, SubscriptionEvent } from '../xds/server/subscription.ts';
import { namesIn } from './blame.ts';
import type { Flight, Track } from './delivery-track.ts';
import {
  addDue,
  emptySnapshot,
  isDue,
  isFullSet,
  isSame,
  newTrack,
  skipSettledIsolation,
  without,
} from './delivery-track.ts';
import type { Encoded, Snapshot } from './resources.ts';

/** The stream below. */
export interface DeliveryPort {
  readonly busy: boolean;
  readonly subscriptions: ReadonlyMap<string, Subscription>;
  /** Returns the nonce. */
  send(typeUrl: string, resources: readonly Encoded[]): string;
}

export interface RejectedResources {
  readonly typeUrl: string;
  readonly resources: readonly Encoded[];
  readonly message: string;
  /**
   * True: these are not sent again until they change. False: it is one of these; they are sent one by
   * one now, to find it.
   */
  readonly isCertain: boolean;
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
  /** Told of an error of ours while nobody was calling. */
  readonly failed: (error: unknown) => void;
}

/** A resource that waits, and for which clusters. */
export interface HeldResource {
  readonly typeUrl: string;
  readonly name: string;
  readonly clusters: readonly string[];
}

/** The order of a push (B4.05). */
const deliveryOrder: readonly string[] = [
  typeUrls.cluster,
  typeUrls.endpoint,
  typeUrls.listener,
  typeUrls.route,
  typeUrls.extensionConfig,
];

/** A response that is not answered within this is taken for accepted, as Istio takes every response. */
const answerMs = 15_000;
/** The longest that a resource waits for the clusters that it names; then it goes without them. */
const holdMs = 5_000;
/** Time for a proxy that has a new cluster to ask for its endpoints; one that does not ask does not wait for them. */
const askMs = 1_000;

export class Delivery {
  readonly #options: DeliveryOptions;
  readonly #tracks = new Map<string, Track>();
  /** Clusters that came anew while the proxy already was subscribed to their endpoints. */
  readonly #rewarming = new Set<string>();
  #clustersAcceptedMs = 0;
  #wake: Timer | undefined;
  #wakeMs = Number.POSITIVE_INFINITY;

  constructor(options: DeliveryOptions) {
    this.#options = options;
  }

  /** Takes a request's meaning in; call `pump` afterwards. */
  received(typeUrl: string, event: SubscriptionEvent): void {
    const track = this.#tracks.get(typeUrl);
    switch (event.kind) {
      case 'subscribe':
        this.#tracks.set(typeUrl, newTrack(typeUrl, event.resumed, track));
        break;
      case 'unsubscribe':
        this.#tracks.delete(typeUrl);
        break;
      case 'stale':
        return;
      case 'change':
      case 'ack':
        if (track === undefined) return;
        if (event.kind === 'ack') this.#accepted(track);
        if (event.all) track.due = 'all';
        else addDue(track, event.added);
        this.#prune(track);
        break;
      case 'nack':
        if (track === undefined) return;
        addDue(track, event.added);
        this.#refused(track, event.rejection.message);
        this.#prune(track);
        if (!this.#options.port.subscriptions.has(typeUrl)) this.#tracks.delete(typeUrl);
        break;
    }
    this.#unsettle();
  }

  /** Sends what may be sent now. */
  pump(): void {
    for (const typeUrl of deliveryOrder) {
      const track = this.#tracks.get(typeUrl);
      if (track === undefined) continue;
      if (this.#options.port.busy) return;
      this.#pumpType(track);
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
        clusters: this.#missingClusters(this.#options.target(typeUrl)?.get(name)),
      })),
    );
  }

  refusals(): readonly StandingRefusal[] {
    return [...this.#tracks.values()].flatMap(({ typeUrl, refused }) => {
      const target = this.#options.target(typeUrl);
      return [...refused].flatMap(([name, { field, message, atMs }]) => {
        const resource = target?.get(name);
        return resource?.field === field ? [{ typeUrl, resource, message, atMs }] : [];
      });
    });
  }

  /** What the proxy has accepted of a type on this stream. */
  inUse(typeUrl: string): Snapshot {
    return this.#tracks.get(typeUrl)?.inUse ?? emptySnapshot;
  }

  /** The response of a type that is not answered yet. */
  inFlight(typeUrl: string): Flight | undefined {
    return this.#tracks.get(typeUrl)?.flight;
  }

  /** Whether a name is one of those that are sent one by one to find out which is refused. */
  isIsolating(typeUrl: string, name: string): boolean {
    return [...(this.#tracks.get(typeUrl)?.isolating ?? [])].includes(name);
  }

  close(): void {
    this.#wake?.cancel();
    this.#tracks.clear();
  }

  #pumpType(track: Track): void {
    const nowMs = this.#options.clock.monotonicMs();
    if (track.flight !== undefined) {
      if (nowMs - track.flight.atMs < answerMs) return;
      this.#accepted(track);
    }
    const target = this.#options.target(track.typeUrl);
    if (target === undefined || (target === track.settled && !isDue(track))) return;
    skipSettledIsolation(track, target);
    track.held.forEach((held, name) => {
      if (target.get(name)?.field !== held.field) track.held.delete(name);
    });
    if (isFullSet(track.typeUrl)) this.#sendFullSet(track, target);
    else this.#sendPart(track, target);
    if (track.flight === undefined) track.settled = target;
  }

  /** Clusters and listeners: a response is the whole set, and what is absent is deleted (B2.09). */
  #sendFullSet(track: Track, target: Snapshot): void {
    const chosen = new Map<string, Encoded>();
    const changed: string[] = [];
    let waits = false;
    for (const [name, encoded] of target) {
      const old = track.inUse.get(name);
      const use = this.#choose(track, encoded, old);
      if (use === undefined && track.refused.get(name)?.field === encoded.field && track.resumed) {
        // Left out it would be deleted; as it is, the proxy refuses it again and keeps its own.
        chosen.set(name, encoded);
        continue;
      }
      if (use !== encoded && track.held.has(name)) waits = true;
      if (use === undefined) continue;
      chosen.set(name, use);
      if (use.field !== old?.field) changed.push(name);
    }
    let removed = false;
    let lingering: ReadonlySet<string> | undefined;
    for (const [name, old] of track.inUse) {
      if (target.has(name)) continue;
      lingering ??= this.#lingeringClusters(track);
      if (lingering.has(name)) chosen.set(name, old);
      else removed = true;
    }
    if (!isDue(track) && changed.length === 0 && !removed) return;
    // The first set of a stream must be whole: what it lacks the proxy would delete.
    if (waits && !track.accepted) return;
    const after = isSame(chosen, target) ? target : chosen;
    if (track.typeUrl === typeUrls.cluster) this.#warmAgain(track, after, changed);
    this.#send(track, [...after.values()], after, changed);
  }

  /** Endpoints and routes: a response holds what changed, or was asked for. */
  #sendPart(track: Track, target: Snapshot): void {
    const part: Encoded[] = [];
    const changed: string[] = [];
    const remaining = new Set<string>();
    let complete = true;
    for (const [name, encoded] of target) {
      const old = track.inUse.get(name);
      const use = this.#choose(track, encoded, old);
      if (use !== encoded) complete = false;
      const due = track.due === 'all' || track.due.has(name);
      if (use === undefined) {
        if (due && track.held.has(name)) remaining.add(name);
        continue;
      }
      if (use.field !== old?.field) changed.push(name);
      else if (!due) continue;
      part.push(use);
    }
    if (part.length === 0) {
      // Nothing that was asked for exists (yet): an answer without it would say that it does not.
      track.due = remaining;
      return;
    }
    let after = target;
    if (!complete) {
      const merged = new Map(track.inUse);
      for (const encoded of part) merged.set(encoded.name, encoded);
      after = merged;
    }
    this.#send(track, part, after, changed);
    track.due = remaining;
  }

  #send(track: Track, resources: readonly Encoded[], after: Snapshot, changed: readonly string[]): void {
    const nonce = this.#options.port.send(track.typeUrl, resources);
    track.due = new Set();
    track.settled = undefined;
    track.flight = {
      nonce,
      after,
      changed,
      names: resources.map(({ name }) => name),
      atMs: this.#options.clock.monotonicMs(),
    };
    // Envoy does not answer a response of which it wants nothing any more.
    this.#wakeAt(track.flight.atMs + answerMs);
  }

  /** Which version of a resource the proxy should have now; undefined: none yet. */
  #choose(track: Track, encoded: Encoded, old: Encoded | undefined): Encoded | undefined {
    const { name, field } = encoded;
    if (old?.field === field) {
      track.held.delete(name);
      return encoded;
    }
    if (track.refused.get(name)?.field === field) return old;
    if (track.isolating.length > 0 && track.isolating[0] !== name && track.isolating.includes(name)) {
      return old;
    }
    if (track.typeUrl === typeUrls.endpoint) return this.#isLeaving(name) ? (old ?? encoded) : encoded;
    if (track.typeUrl === typeUrls.cluster || !this.#mustWait(track, encoded)) {
      track.held.delete(name);
      return encoded;
    }
    return old;
  }

  #mustWait(track: Track, encoded: Encoded): boolean {
    const missing = this.#missingClusters(encoded);
    if (missing.length === 0) return false;
    const nowMs = this.#options.clock.monotonicMs();
    const waiting = track.held.get(encoded.name);
    const sinceMs = waiting?.field === encoded.field ? waiting.sinceMs : nowMs;
    track.held.set(encoded.name, { field: encoded.field, sinceMs });
    if (nowMs - sinceMs < holdMs) {
      this.#wakeAt(sinceMs + holdMs);
      return true;
    }
    return false;
  }

  /** The clusters named that the proxy is to get and does not have yet, with endpoints. */
  #missingClusters(encoded: Encoded | undefined): readonly string[] {
    const track = this.#tracks.get(typeUrls.cluster);
    if (track === undefined || encoded === undefined || encoded.facts.clusters.length === 0) return [];
    const target = this.#options.target(typeUrls.cluster);
    return encoded.facts.clusters.filter((name) => {
      // Named, but in no configuration: a route to an unknown host answers 503 (NC), and should.
      const wanted = target?.get(name);
      if (wanted === undefined) return false;
      const accepted = track.inUse.get(name);
      // Refused: only what goes there fails. To hold the rest back would let one bad object stop the others.
      if (accepted === undefined && track.refused.get(name)?.field === wanted.field) return false;
      return accepted === undefined || !this.#hasEndpoints(accepted);
    });
  }

  #hasEndpoints({ facts: { endpointsName } }: Encoded): boolean {
    if (endpointsName === undefined) return true;
    const { clock, port } = this.#options;
    const endpoints = this.#tracks.get(typeUrls.endpoint);
    if (endpoints?.inUse.has(endpointsName) === true) return !this.#rewarming.has(endpointsName);
    if (port.subscriptions.get(typeUrls.endpoint)?.names.has(endpointsName) === true) return false;
    const untilMs = this.#clustersAcceptedMs + askMs;
    if (clock.monotonicMs() >= untilMs) return true;
    this.#wakeAt(untilMs);
    return false;
  }

  /** A cluster that goes stays while a route or listener in use names it, and an update of that is to come. */
  #lingeringClusters(track: Track): ReadonlySet<string> {
    const names = new Set<string>();
    if (track.typeUrl !== typeUrls.cluster) return names;
    for (const typeUrl of [typeUrls.listener, typeUrls.route]) {
      const users = this.#tracks.get(typeUrl);
      if (users === undefined) continue;
      const target = this.#options.target(typeUrl);
      for (const [user, encoded] of users.inUse) {
        if (target?.get(user)?.field === encoded.field) continue;
        for (const name of encoded.facts.clusters) names.add(name);
      }
    }
    return names;
  }

  /** Endpoints of a cluster that lingers stay as they are: its service is gone, its traffic is not. */
  #isLeaving(name: string): boolean {
    const clusters = this.#tracks.get(typeUrls.cluster);
    if (clusters?.inUse.has(name) !== true) return false;
    return this.#options.target(typeUrls.cluster)?.has(name) === false;
  }

  /** A changed cluster warms, and waits for endpoints though it is subscribed to them (B3.06, T18). */
  #warmAgain(track: Track, after: Snapshot, changed: readonly string[]): void {
    const endpoints = this.#tracks.get(typeUrls.endpoint);
    const names = this.#options.port.subscriptions.get(typeUrls.endpoint)?.names;
    if (endpoints === undefined || names === undefined) return;
    for (const name of changed) {
      const endpointsName = after.get(name)?.facts.endpointsName;
      if (endpointsName === undefined || !names.has(endpointsName)) continue;
      addDue(endpoints, [endpointsName]);
      if (!track.inUse.has(name)) this.#rewarming.add(endpointsName);
    }
    endpoints.settled = undefined;
  }

  #accepted(track: Track): void {
    const { flight } = track;
    if (flight === undefined) return;
    track.flight = undefined;
    track.inUse = flight.after;
    track.accepted = true;
    if (track.isolating.length > 0) track.isolating = track.isolating.slice(1);
    for (const name of flight.changed) track.refused.delete(name);
    if (track.typeUrl === typeUrls.cluster) this.#clustersAcceptedMs = this.#options.clock.monotonicMs();
    if (track.typeUrl === typeUrls.endpoint) for (const name of flight.names) this.#rewarming.delete(name);
  }

  #refused(track: Track, message: string): void {
    const { flight } = track;
    if (flight === undefined) return;
    track.flight = undefined;
    const suspects = flight.changed.length > 0 ? flight.changed : flight.names;
    const head = track.isolating[0];
    let blamed = head !== undefined && suspects.includes(head) ? [head] : namesIn(message, suspects);
    if (blamed.length === 0 && suspects.length === 1) blamed = suspects;
    const unknownState = isFullSet(track.typeUrl) && track.resumed && !track.accepted;
    if (blamed.length === 0 && unknownState) blamed = suspects;
    if (blamed.length === 0) {
      track.isolating = suspects;
    } else {
      if (head !== undefined) track.isolating = track.isolating.slice(1);
      for (const name of blamed) {
        const encoded = flight.after.get(name);
        if (encoded === undefined) continue;
        track.refused.set(name, { field: encoded.field, message, atMs: this.#options.clock.now() });
      }
      // A proxy applies what is good of a full set.
      if (unknownState) track.inUse = without(flight.after, blamed);
    }
    const resources = (blamed.length > 0 ? blamed : suspects).flatMap((name) => flight.after.get(name) ?? []);
    this.#options.rejected({ typeUrl: track.typeUrl, resources, message, isCertain: blamed.length > 0 });
  }

  /** Forgets what the proxy has of names that it does not ask for any more: it drops them. */
  #prune(track: Track): void {
    const subscription = this.#options.port.subscriptions.get(track.typeUrl);
    if (subscription === undefined || isFullSet(track.typeUrl) || track.names === subscription.names) return;
    track.names = subscription.names;
    for (const name of track.inUse.keys()) {
      if (subscription.names.has(name)) continue;
      track.inUse = new Map([...track.inUse].filter(([each]) => subscription.names.has(each)));
      break;
    }
    for (const name of track.held.keys()) if (!subscription.names.has(name)) track.held.delete(name);
    for (const name of track.refused.keys()) if (!subscription.names.has(name)) track.refused.delete(name);
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
