// The EDS subscription: which cluster waits for which ClusterLoadAssignment, and the last one of each.
import type { Clock } from '../../base/clock.ts';
import { fromBinary } from '@bufbuild/protobuf';
import { typeUrlOf } from '../../api/any.ts';
import type { ClusterLoadAssignment } from '../../api/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { ClusterLoadAssignmentSchema } from '../../api/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import type {
  AdsClient,
  AdsSubscription,
  ReceivedResource,
  ResourceConsumer,
} from '../../xds/client/ads-client.ts';
import { peekName } from '../../xds/client/ads-client.ts';
import type { StatsScope } from '../stats/stats.ts';

export interface EdsWatcher {
  /** `cluster.<name>.` */
  readonly stats: StatsScope;
  /** Throws ConfigError to reject it. */
  onAssignment(assignment: ClusterLoadAssignment): void;
  /** The same bytes came again. */
  onUnchanged(): void;
}

interface Watched {
  readonly watchers: Set<EdsWatcher>;
  accepted: ReceivedAssignment | undefined;
}

/** For `/config_dump?include_eds`. */
export interface ReceivedAssignment {
  readonly message: ClusterLoadAssignment;
  readonly bytes: Uint8Array;
  readonly versionInfo: string;
  readonly lastUpdatedMs: number;
}

export class EdsSubscriptions implements ResourceConsumer {
  readonly #clock: Clock;
  readonly #watched = new Map<string, Watched>();
  #subscription: AdsSubscription | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Subscribes at `client`; what is watched already is asked for. */
  attach(client: AdsClient): void {
    this.#subscription = client.subscribe(typeUrlOf(ClusterLoadAssignmentSchema), false, this);
    this.#announce();
  }

  /** While CDS is applied: the names change many times, the server hears of them once. */
  pause(): void {
    this.#subscription?.pause();
  }

  resume(): void {
    this.#subscription?.resume();
  }

  /**
   * Calls `watcher` with each assignment of that name; at once with the last one, if there is one: a
   * server need not send again what has not changed. Returns the function that ends it.
   */
  watch(serviceName: string, watcher: EdsWatcher): () => void {
    let watched = this.#watched.get(serviceName);
    if (watched === undefined) {
      watched = { watchers: new Set(), accepted: undefined };
      this.#watched.set(serviceName, watched);
      this.#announce();
    }
    watched.watchers.add(watcher);
    watcher.stats.counter('update_attempt').inc();
    if (watched.accepted !== undefined) watcher.onAssignment(watched.accepted.message);
    return () => {
      watched.watchers.delete(watcher);
      if (watched.watchers.size > 0) return;
      this.#watched.delete(serviceName);
      this.#announce();
    };
  }

  onResponse(resources: readonly ReceivedResource[], versionInfo: string): readonly string[] {
    const errors: string[] = [];
    for (const resource of resources) {
      let name = peekName(resource.bytes) ?? resource.name ?? '';
      const known = this.#watched.get(name);
      if (known?.accepted !== undefined && Buffer.compare(known.accepted.bytes, resource.bytes) === 0) {
        for (const watcher of known.watchers) {
          watcher.stats.counter('update_success').inc();
          watcher.onUnchanged();
        }
        continue;
      }
      try {
        const message = fromBinary(ClusterLoadAssignmentSchema, resource.bytes);
        name = message.clusterName;
        const watched = this.#watched.get(name);
        if (watched !== undefined)
          this.#accept(watched, {
            message,
            bytes: resource.bytes,
            versionInfo,
            lastUpdatedMs: this.#clock.now(),
          });
      } catch (error) {
        for (const watcher of this.#watched.get(name)?.watchers ?? []) {
          watcher.stats.counter('update_rejected').inc();
        }
        errors.push(`ClusterLoadAssignment ${name}: ${(error as Error).message}`);
      }
    }
    return errors;
  }

  /** What is in force, by name. */
  assignments(): ReceivedAssignment[] {
    return [...this.#watched.values()].flatMap(({ accepted }) => (accepted === undefined ? [] : [accepted]));
  }

  #accept(watched: Watched, received: ReceivedAssignment): void {
    for (const watcher of watched.watchers) {
      watcher.onAssignment(received.message);
      watcher.stats.counter('update_success').inc();
    }
    watched.accepted = received;
  }

  #announce(): void {
    this.#subscription?.setNames(new Set(this.#watched.keys()));
  }
}
