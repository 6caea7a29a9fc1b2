// Envoy's circuit breakers: limits on what a cluster has in flight, for each routing priority.
import type { CircuitBreakers } from '../../api/gen/envoy/config/cluster/v3/circuit_breaker_pb.js';
import { RoutingPriority } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import { ConfigError } from '../config-error.ts';
import type { Gauge, StatsScope } from '../stats/stats.ts';

/** A counted resource: `active` never passes `max` through `tryAcquire`. */
export class Limit {
  readonly max: number;
  active = 0;
  readonly #open: Gauge | undefined;
  readonly #remaining: Gauge | undefined;

  /** `remaining` is kept up to date where it is given: Envoy's track_remaining. */
  constructor(max: number, open: Gauge | undefined, remaining?: Gauge) {
    this.max = max;
    this.#open = open;
    this.#remaining = remaining;
    remaining?.set(max);
  }

  get available(): boolean {
    return this.active < this.max;
  }

  acquire(): void {
    this.active++;
    if (this.active === this.max) this.#open?.set(1);
    this.#remaining?.set(Math.max(0, this.max - this.active));
  }

  release(): void {
    if (this.active === this.max) this.#open?.set(0);
    this.active--;
    this.#remaining?.set(Math.max(0, this.max - this.active));
  }
}

export interface ResourceLimits {
  readonly connections: Limit;
  readonly pendingRequests: Limit;
  readonly requests: Limit;
  readonly retries: RetryLimit;
}

/** Retries: a fixed number, or a share of what is active (retry_budget). */
export interface RetryLimit {
  readonly available: boolean;
  acquire(): void;
  release(): void;
}

/** Limits for DEFAULT and HIGH; Envoy's defaults are 1024/1024/1024/3. Throws ConfigError. */
export function compileCircuitBreakers(
  config: CircuitBreakers | undefined,
  stats: StatsScope,
): { readonly default: ResourceLimits; readonly high: ResourceLimits } {
  for (const [index, threshold] of (config?.perHostThresholds ?? []).entries()) {
    if (threshold.maxConnections === undefined) continue;
    throw new ConfigError(
      `circuit_breakers.per_host_thresholds[${index}]`,
      'limits for each host are not supported; use thresholds',
    );
  }
  const limitsOf = (priority: RoutingPriority, name: string): ResourceLimits => {
    const threshold = config?.thresholds.find((each) => each.priority === priority);
    const scope = stats.scope('circuit_breakers').scope(name);
    const limit = (max: number, open: string, remaining: string): Limit =>
      new Limit(
        max,
        scope.gauge(open),
        threshold?.trackRemaining === true ? scope.gauge(remaining) : undefined,
      );
    const requests = limit(threshold?.maxRequests ?? 1024, 'rq_open', 'remaining_rq');
    const pendingRequests = limit(
      threshold?.maxPendingRequests ?? 1024,
      'rq_pending_open',
      'remaining_pending',
    );
    const budget = threshold?.retryBudget;
    const retries =
      budget === undefined
        ? limit(threshold?.maxRetries ?? 3, 'rq_retry_open', 'remaining_retries')
        : new RetryBudget(
            requests,
            pendingRequests,
            budget.budgetPercent?.value ?? 20,
            budget.minRetryConcurrency ?? 3,
          );
    return {
      connections: limit(threshold?.maxConnections ?? 1024, 'cx_open', 'remaining_cx'),
      pendingRequests,
      requests,
      retries,
    };
  };
  return {
    default: limitsOf(RoutingPriority.DEFAULT, 'default'),
    high: limitsOf(RoutingPriority.HIGH, 'high'),
  };
}

class RetryBudget implements RetryLimit {
  readonly #requests: Limit;
  readonly #pending: Limit;
  readonly #percent: number;
  readonly #concurrencyMin: number;
  #active = 0;

  constructor(requests: Limit, pending: Limit, percent: number, concurrencyMin: number) {
    this.#requests = requests;
    this.#pending = pending;
    this.#percent = percent;
    this.#concurrencyMin = concurrencyMin;
  }

  get available(): boolean {
    const active = this.#requests.active + this.#pending.active;
    return this.#active < Math.max(Math.floor((active * this.#percent) / 100), this.#concurrencyMin);
  }

  acquire(): void {
    this.#active++;
  }

  release(): void {
    this.#active--;
  }
}
