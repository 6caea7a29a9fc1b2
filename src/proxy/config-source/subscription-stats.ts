// The statistics of a subscription: `cluster_manager.cds.update_success`, `cluster.<name>.update_rejected` and
// their kin, counted at the moments at which Envoy counts them.
import type { Clock } from '../../base/clock.ts';
import type { Counter, Gauge, Histogram, StatsScope, TextReadout } from '../stats/stats.ts';
import { xxhash64 } from '../upstream/xxhash64.ts';
import type { ConfigSource } from './config-source.ts';

export class SubscriptionStats {
  readonly #clock: Clock;
  readonly #isFile: boolean;
  readonly #attempt: Counter;
  readonly #success: Counter;
  readonly #rejected: Counter;
  readonly #failure: Counter;
  readonly #timedOut: Counter;
  readonly #time: Gauge;
  readonly #version: Gauge;
  readonly #versionText: TextReadout;
  readonly #duration: Histogram;
  #outcomes = 0;

  /** Counts the first attempt. */
  constructor(scope: StatsScope, source: ConfigSource, clock: Clock) {
    this.#clock = clock;
    this.#isFile = source.kind === 'path';
    this.#attempt = scope.counter('update_attempt');
    this.#success = scope.counter('update_success');
    this.#rejected = scope.counter('update_rejected');
    this.#failure = scope.counter('update_failure');
    this.#timedOut = scope.counter('init_fetch_timeout');
    this.#time = scope.gauge('update_time');
    this.#version = scope.gauge('version');
    this.#versionText = scope.textReadout('version_text');
    this.#duration = scope.histogram('update_duration');
    this.#attempt.inc();
  }

  /** `startedMs`: monotonic, when the update was begun. */
  succeeded(version: string, startedMs: number): void {
    this.#success.inc();
    this.#time.set(this.#clock.now());
    this.#version.set(hashOf(version));
    this.#versionText.value = version;
    this.#ended(startedMs);
  }

  rejected(startedMs: number): void {
    this.#rejected.inc();
    this.#ended(startedMs);
  }

  /** There is no stream, or no file that could be read. */
  failed(): void {
    this.#failure.inc();
    this.#nextAttempt();
  }

  timedOut(): void {
    this.#timedOut.inc();
  }

  #ended(startedMs: number): void {
    this.#duration.record(this.#clock.monotonicMs() - startedMs);
    this.#nextAttempt();
  }

  /** A stream waits for the next response at once; a file is only read again when it has been replaced. */
  #nextAttempt(): void {
    if (!this.#isFile || this.#outcomes > 0) this.#attempt.inc();
    this.#outcomes++;
  }
}

let lastVersion = '';
let lastHash = 0;

/**
 * Envoy's hash of a version, as near as a double comes to it: what Prometheus makes of Envoy's is the same number. Of
 * many resources in one response the versions are often one.
 */
function hashOf(version: string): number {
  if (version === lastVersion) return lastHash;
  lastVersion = version;
  lastHash = version === '' ? 0 : Number(xxhash64(version));
  return lastHash;
}
