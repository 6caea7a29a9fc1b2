// Make before break (A6.16): what a listener, a route or the end of a cluster has to wait for.
import { typeUrls } from '../../xds/types.ts';
import type { Subscription } from '../../xds/server/subscription.ts';
import type { Track } from './track.ts';
import { addDue, isRefused } from './track.ts';
import type { Encoded, Snapshot } from '../resources/snapshot.ts';
import { areProvided } from './provided.ts';
import { isUnknown } from './resumed.ts';
import { isSameContent } from '../resources/snapshot-changes.ts';

/** What it looks at of a delivery. */
export interface DeliveryView {
  readonly tracks: ReadonlyMap<string, Track>;
  readonly subscriptions: ReadonlyMap<string, Subscription>;
  target(typeUrl: string): Snapshot | undefined;
  nowMs(): number;
  /** Looks again at that time (monotonic). */
  wakeAt(ms: number): void;
}

/** The longest that a resource waits for the clusters that it names; then it goes without them. */
const holdMs = 5_000;
/** Time for a proxy that has a new cluster to ask for its endpoints; one that does not ask does not wait for them. */
const askMs = 1_000;

export class MakeBeforeBreak {
  readonly #view: DeliveryView;
  /** Endpoints of clusters that came anew while the proxy already was subscribed to them. */
  readonly #rewarming = new Set<string>();
  /** Endpoints of clusters that were sent before the proxy asked for any endpoints on this stream. */
  readonly #unasked = new Set<string>();
  #clustersAcceptedMs = 0;

  constructor(view: DeliveryView) {
    this.#view = view;
  }

  /** Whether a resource has to wait now for clusters that it names. */
  mustWait(track: Track, encoded: Encoded): boolean {
    if (this.missingClusters(encoded).length === 0) return false;
    const nowMs = this.#view.nowMs();
    const waiting = track.held.get(encoded.name);
    const sinceMs = waiting?.version === encoded.version ? waiting.sinceMs : nowMs;
    track.held.set(encoded.name, { version: encoded.version, sinceMs });
    if (nowMs - sinceMs >= holdMs) return false;
    this.#view.wakeAt(sinceMs + holdMs);
    return true;
  }

  /** The clusters named that the proxy is to get and does not have yet, with endpoints. */
  missingClusters(encoded: Encoded | undefined): readonly string[] {
    const track = this.#view.tracks.get(typeUrls.cluster);
    if (track === undefined || encoded === undefined || encoded.facts.clusters.length === 0) return [];
    const target = this.#view.target(typeUrls.cluster);
    if (target === track.inUse && this.#rewarming.size === 0) {
      const endpoints = this.#view.tracks.get(typeUrls.endpoint)?.inUse;
      if (endpoints !== undefined && areProvided(target, endpoints)) return [];
    }
    return encoded.facts.clusters.filter((name) => {
      // Named, but in no configuration: a route to an unknown host answers 503 (NC), and should.
      const wanted = target?.get(name);
      if (wanted === undefined) return false;
      const known = track.inUse.get(name);
      // Held from an earlier stream in a form that we do not know: it may still be without endpoints.
      const accepted = known === undefined || isUnknown(known) ? undefined : known;
      // Refused: only what goes there fails. To hold the rest back would let one bad object stop the others.
      if (accepted === undefined && isRefused(track, wanted)) return false;
      return accepted === undefined || !this.#hasEndpoints(accepted);
    });
  }

  #hasEndpoints({ facts: { endpointsName } }: Encoded): boolean {
    if (endpointsName === undefined) return true;
    const { tracks, subscriptions } = this.#view;
    if (tracks.get(typeUrls.endpoint)?.inUse.has(endpointsName) === true) {
      return !this.#rewarming.has(endpointsName);
    }
    if (subscriptions.get(typeUrls.endpoint)?.names.has(endpointsName) === true) return false;
    const untilMs = this.#clustersAcceptedMs + askMs;
    if (this.#view.nowMs() >= untilMs) return true;
    this.#view.wakeAt(untilMs);
    return false;
  }

  /** Of clusters that go: those that stay while a route or listener in use names them, and an update of that is to come. */
  lingering(clusters: Track, removed: readonly string[]): ReadonlySet<string> {
    if (clusters.typeUrl !== typeUrls.cluster || removed.length === 0) return none;
    const named = new Set<string>();
    for (const typeUrl of [typeUrls.listener, typeUrls.route]) {
      const users = this.#view.tracks.get(typeUrl);
      if (users === undefined) {
        if (this.#mayAskYet(clusters)) return new Set(removed);
        continue;
      }
      // Not compared yet with what it should have.
      if (users.versions !== undefined) return new Set(removed);
      const target = this.#view.target(typeUrl);
      for (const [user, encoded] of users.inUse) {
        if (isSameContent(target?.get(user), encoded)) continue;
        // Held from an earlier stream, and to be replaced: it may name any.
        if (isUnknown(encoded)) return new Set(removed);
        for (const name of encoded.facts.clusters) named.add(name);
      }
    }
    return named.size === 0 ? none : new Set(removed.filter((name) => named.has(name)));
  }

  /** A client that comes back says for one type after the other what it holds: its routes may be yet to come. */
  #mayAskYet({ resumed, subscribedAtMs }: Track): boolean {
    if (!resumed) return false;
    const untilMs = subscribedAtMs + askMs;
    if (this.#view.nowMs() >= untilMs) return false;
    this.#view.wakeAt(untilMs);
    return true;
  }

  /** Endpoints of a cluster that lingers stay as they are: its service is gone, its traffic is not. */
  isLeaving(name: string): boolean {
    const clusters = this.#view.tracks.get(typeUrls.cluster);
    if (clusters?.inUse.has(name) !== true) return false;
    return this.#view.target(typeUrls.cluster)?.has(name) === false;
  }

  /** A changed cluster warms, and waits for endpoints though it is subscribed to them (B3.06, T18). */
  clustersSent(clusters: Track, after: Snapshot, changed: readonly string[]): void {
    const endpoints = this.#view.tracks.get(typeUrls.endpoint);
    const names = this.#view.subscriptions.get(typeUrls.endpoint)?.names;
    for (const name of changed) {
      const endpointsName = after.get(name)?.facts.endpointsName;
      if (endpointsName === undefined) continue;
      if (endpoints === undefined) this.#unasked.add(endpointsName);
      if (endpoints === undefined || names?.has(endpointsName) !== true) continue;
      addDue(endpoints, [endpointsName]);
      if (!clusters.inUse.has(name)) this.#rewarming.add(endpointsName);
    }
    if (endpoints !== undefined) endpoints.settled = undefined;
  }

  clustersAccepted(): void {
    this.#clustersAcceptedMs = this.#view.nowMs();
  }

  endpointsAccepted(names: readonly string[]): void {
    for (const name of names) this.#rewarming.delete(name);
  }

  /** The first request for endpoints: of these the clusters wait, whatever the client holds. */
  takeUnasked(): readonly string[] {
    const names = [...this.#unasked];
    this.#unasked.clear();
    return names;
  }

  /**
   * The version under which endpoints go out in delta: of them, and of the cluster for which they were sent. A
   * client whose stream broke between a cluster and its endpoints holds both, and its cluster waits for the
   * endpoints all the same; by their version we see that they were meant for an older one.
   */
  endpointsVersion({ name, version }: Encoded): string {
    const clusters = this.#view.tracks.get(typeUrls.cluster);
    const cluster = (clusters?.flight?.after ?? clusters?.inUse)?.get(name);
    return cluster === undefined ? version : `${version}.${cluster.version.slice(0, clusterVersionLength)}`;
  }
}

const clusterVersionLength = 8;
const none: ReadonlySet<string> = new Set();
