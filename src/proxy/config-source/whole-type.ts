// A subscription to all resources of a type (CDS, LDS): its statistics, and how long the start of the proxy waits for
// its first answer.
import type { Clock, Timer } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import type { ResourceConsumer, ResourceUpdate } from '../../xds/client/resource.ts';
import type { StatsScope } from '../stats/stats.ts';
import type { ConfigSource } from './config-source.ts';
import type { SubscriptionFactory } from './subscription-factory.ts';
import { SubscriptionStats } from './subscription-stats.ts';

export interface WholeType {
  readonly typeUrl: string;
  readonly consumer: ResourceConsumer;
  readonly stats: StatsScope;
  /** Called once: after the first answer, good or bad, or when that takes too long. */
  readonly onFirst: () => void;
}

export interface WholeTypeContext {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly factory: SubscriptionFactory;
}

export function subscribeWhole(source: ConfigSource, whole: WholeType, context: WholeTypeContext): void {
  const { typeUrl, consumer, stats: scope, onFirst } = whole;
  const { clock, logger, factory } = context;
  const stats = new SubscriptionStats(scope, source, clock);
  let timer: Timer | undefined;
  let first = true;
  const answered = (): void => {
    if (!first) return;
    first = false;
    timer?.cancel();
    onFirst();
  };
  const timeoutMs = source.initialFetchTimeoutMs;
  if (timeoutMs > 0) {
    timer = clock.after(timeoutMs, () => {
      stats.timedOut();
      logger.warn(`${scope.prefix.slice(0, -1)}: no answer within ${timeoutMs} ms, going on without`);
      answered();
    });
  }
  const applied = (errors: readonly string[], version: string, startedMs: number): readonly string[] => {
    if (errors.length === 0) stats.succeeded(version, startedMs);
    else stats.rejected(startedMs);
    answered();
    return errors;
  };
  factory.subscribe(source, {
    typeUrl,
    name: undefined,
    stats: scope,
    consumer: {
      onUpdate: (update: ResourceUpdate) => {
        const startedMs = clock.monotonicMs();
        const errors = consumer.onUpdate(update);
        return errors instanceof Promise
          ? errors.then((result) => applied(result, update.versionInfo, startedMs))
          : applied(errors, update.versionInfo, startedMs);
      },
      onRejected: () => {
        stats.rejected(clock.monotonicMs());
        answered();
      },
      onUnreadable: () => {
        stats.failed();
        answered();
      },
      onConnectionFailure: () => stats.failed(),
    },
  });
}
