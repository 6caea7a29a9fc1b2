// The EDS subscriptions: which cluster waits for which ClusterLoadAssignment, and the last one of each.
import type { Clock } from '../../base/clock.ts';
import { fromBinary } from '@bufbuild/protobuf';
import { typeUrlOf } from '../../api/any.ts';
import type { ClusterLoadAssignment } from '../../api/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { ClusterLoadAssignmentSchema } from '../../api/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import type { ResourceConsumer } from '../../xds/client/resource.ts';
import type { ConfigSource } from '../config-source/config-source.ts';
import type { NamedResource } from '../config-source/named-subscriptions.ts';
import { NamedSubscriptions, resourceKey } from '../config-source/named-subscriptions.ts';
import type { SubscriptionFactory } from '../config-source/subscription-factory.ts';
import { SubscriptionStats } from '../config-source/subscription-stats.ts';
import type { StatsScope } from '../stats/stats.ts';

export interface EdsWatcher {
  /** `cluster.<name>.` */
  readonly stats: StatsScope;
  /** Throws ConfigError to reject it. */
  onAssignment(assignment: ClusterLoadAssignment): void;
  /** The same bytes came again. */
  onUnchanged(): void;
  /** There is none, or none that could be taken: whoever waits for the first goes on without, as in Envoy. */
  onMissing(): void;
}

/** For `/config_dump?include_eds`. */
export interface ReceivedAssignment {
  readonly message: ClusterLoadAssignment;
  readonly versionInfo: string;
  readonly lastUpdatedMs: number;
}

/** A watch that runs. */
export interface EdsWatch {
  /** Counts that its first answer did not come in time. */
  timedOut(): void;
  stop(): void;
}

export class EdsSubscriptions {
  readonly #clock: Clock;
  readonly #subscriptions = new NamedSubscriptions(typeUrlOf(ClusterLoadAssignmentSchema));
  readonly #watched = new Map<string, WatchedAssignment>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Subscribes; what is watched already is asked for. */
  start(factory: SubscriptionFactory): void {
    this.#subscriptions.start(factory);
  }

  /** While CDS is applied: the names change many times, the server hears of them once. */
  pause(): void {
    this.#subscriptions.pause();
  }

  resume(): void {
    this.#subscriptions.resume();
  }

  /** Takes what comes over ADS; for tests that play the server. */
  get adsConsumer(): ResourceConsumer {
    return this.#subscriptions.adsConsumer;
  }

  /**
   * Calls `watcher` with each assignment of that name; at once with the last one, if there is one: a
   * server need not send again what has not changed.
   */
  watch(source: ConfigSource, serviceName: string, watcher: EdsWatcher): EdsWatch {
    const key = resourceKey(source, serviceName);
    const known = this.#watched.get(key);
    const watched = known ?? new WatchedAssignment(watcher.stats, this.#clock);
    this.#watched.set(key, watched);
    const stats = new SubscriptionStats(watcher.stats, source, this.#clock);
    const entry: WatcherEntry = { watcher, stats };
    watched.watchers.add(entry);
    if (known === undefined) this.#subscriptions.add(source, serviceName, watched);
    else if (known.accepted !== undefined) watcher.onAssignment(known.accepted.message);
    return {
      timedOut: () => stats.timedOut(),
      stop: () => {
        watched.watchers.delete(entry);
        if (watched.watchers.size > 0 || this.#watched.get(key) !== watched) return;
        this.#watched.delete(key);
        this.#subscriptions.remove(source, serviceName);
      },
    };
  }

  /** What is in force, by name. */
  assignments(): ReceivedAssignment[] {
    return [...this.#watched.values()].flatMap(({ accepted }) => (accepted === undefined ? [] : [accepted]));
  }
}

interface WatcherEntry {
  readonly watcher: EdsWatcher;
  readonly stats: SubscriptionStats;
}

/** One assignment and the clusters that use it: usually one, two while a new version of a cluster warms. */
class WatchedAssignment implements NamedResource {
  readonly stats: StatsScope;
  readonly watchers = new Set<WatcherEntry>();
  accepted: ReceivedAssignment | undefined;
  readonly #clock: Clock;

  constructor(stats: StatsScope, clock: Clock) {
    this.stats = stats;
    this.#clock = clock;
  }

  onResource(bytes: Uint8Array, version: string, versionInfo: string): void {
    const startedMs = this.#clock.monotonicMs();
    const message = fromBinary(ClusterLoadAssignmentSchema, bytes);
    for (const { watcher, stats } of this.watchers) {
      watcher.onAssignment(message);
      stats.succeeded(versionInfo, startedMs);
    }
    this.accepted = { message, versionInfo: version, lastUpdatedMs: this.#clock.now() };
  }

  onUnchanged(versionInfo: string): void {
    const startedMs = this.#clock.monotonicMs();
    for (const { watcher, stats } of this.watchers) {
      stats.succeeded(versionInfo, startedMs);
      watcher.onUnchanged();
    }
  }

  onRemoved(versionInfo: string): void {
    const startedMs = this.#clock.monotonicMs();
    for (const { watcher, stats } of this.watchers) {
      watcher.stats.counter('update_empty').inc();
      stats.succeeded(versionInfo, startedMs);
      watcher.onMissing();
    }
  }

  onRejected(): void {
    const startedMs = this.#clock.monotonicMs();
    for (const { watcher, stats } of this.watchers) {
      stats.rejected(startedMs);
      watcher.onMissing();
    }
  }

  onUnreadable(): void {
    for (const { watcher, stats } of this.watchers) {
      stats.failed();
      watcher.onMissing();
    }
  }

  onConnectionFailure(): void {
    for (const { stats } of this.watchers) stats.failed();
  }
}
