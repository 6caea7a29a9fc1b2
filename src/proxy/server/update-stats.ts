// The statistics of a subscription: `cluster_manager.cds.update_success` and its kin.
import type { Clock } from '../../base/clock.ts';
import type { ReceivedResource, ResourceConsumer } from '../../xds/client/ads-client.ts';
import type { StatsScope } from '../stats/stats.ts';

export interface CountedConsumer extends ResourceConsumer {
  /** Counts a response that could not even be read. */
  reject(): void;
}

/** Passes responses on to `consumer`, counting them in `scope`; `onFirst` is called after the first one. */
export function countUpdates(
  consumer: ResourceConsumer,
  scope: StatsScope,
  clock: Clock,
  onFirst: () => void,
): CountedConsumer {
  const success = scope.counter('update_success');
  const rejected = scope.counter('update_rejected');
  scope.counter('update_failure');
  const attempt = scope.counter('update_attempt');
  const time = scope.gauge('update_time');
  const version = scope.gauge('version');
  const versionText = scope.textReadout('version_text');
  const duration = scope.histogram('update_duration');
  attempt.inc();
  let first = true;
  const finish = (errors: readonly string[], versionInfo: string, startedMs: number): readonly string[] => {
    attempt.inc();
    duration.record(clock.monotonicMs() - startedMs);
    if (errors.length === 0) {
      success.inc();
      time.set(clock.now());
      version.set(hashOf(versionInfo));
      versionText.value = versionInfo;
    } else {
      rejected.inc();
    }
    if (first) {
      first = false;
      onFirst();
    }
    return errors;
  };
  return {
    reject: () => {
      attempt.inc();
      rejected.inc();
    },
    onResponse: (resources: readonly ReceivedResource[], versionInfo: string) => {
      const startedMs = clock.monotonicMs();
      const errors = consumer.onResponse(resources, versionInfo);
      return errors instanceof Promise
        ? errors.then((result) => finish(result, versionInfo, startedMs))
        : finish(errors, versionInfo, startedMs);
    },
  };
}

/** A number that changes when the version does (FNV-1a). */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return hash;
}
