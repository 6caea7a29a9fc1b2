// Outlier detection by consecutive errors: hosts that keep failing are taken out for a while.
//
// https://www.envoyproxy.io/docs/envoy/v1.33.0/intro/arch_overview/upstream/outlier
import type { OutlierDetection } from '../../api/gen/envoy/config/cluster/v3/outlier_detection_pb.js';
import type { Clock, Timer } from '../../base/clock.ts';
import type { Random } from '../../base/random.ts';
import { ConfigError } from '../config-error.ts';
import { durationMs } from '../refuse-fields.ts';
import type { Counter, Gauge, StatsScope } from '../stats/stats.ts';
import type { Host } from './host.ts';

export interface OutlierSettings {
  readonly consecutive5xx: number;
  readonly enforcing5xxPercent: number;
  readonly consecutiveGatewayFailure: number;
  readonly enforcingGatewayFailurePercent: number;
  readonly consecutiveLocalOriginFailure: number;
  readonly enforcingLocalOriginFailurePercent: number;
  readonly splitLocalOriginErrors: boolean;
  readonly intervalMs: number;
  readonly baseEjectionMs: number;
  readonly ejectionMsMax: number;
  readonly ejectionPercentMax: number;
  readonly alwaysEjectOneHost: boolean;
}

/** Throws ConfigError for the statistical detectors when they are asked for. */
export function outlierSettings(config: OutlierDetection): OutlierSettings {
  // Success rate is enforced by default in Envoy, but needs 5 hosts with 100 requests each within an
  // interval; only a configuration that names it is refused.
  const statistical: readonly (readonly [string, number | undefined])[] = [
    ['success_rate_minimum_hosts', config.successRateMinimumHosts],
    ['success_rate_request_volume', config.successRateRequestVolume],
    ['success_rate_stdev_factor', config.successRateStdevFactor],
    ['failure_percentage_threshold', config.failurePercentageThreshold],
  ];
  for (const [name, value] of statistical) {
    if (value === undefined) continue;
    throw new ConfigError(
      `outlier_detection.${name}`,
      'ejection by success rate or failure percentage is not supported; consecutive errors are',
    );
  }
  const enforced: readonly (readonly [string, number | undefined])[] = [
    ['enforcing_success_rate', config.enforcingSuccessRate],
    ['enforcing_local_origin_success_rate', config.enforcingLocalOriginSuccessRate],
    ['enforcing_failure_percentage', config.enforcingFailurePercentage],
    ['enforcing_failure_percentage_local_origin', config.enforcingFailurePercentageLocalOrigin],
  ];
  for (const [name, value] of enforced) {
    if (value === undefined || value === 0) continue;
    throw new ConfigError(`outlier_detection.${name}`, 'is not supported; leave it out or set it to 0');
  }
  if (config.monitors.length > 0) throw new ConfigError('outlier_detection.monitors', 'is not supported');
  const baseEjectionMs = durationMs(config.baseEjectionTime, 30_000);
  return {
    consecutive5xx: config.consecutive5xx ?? 5,
    enforcing5xxPercent: config.enforcingConsecutive5xx ?? 100,
    consecutiveGatewayFailure: config.consecutiveGatewayFailure ?? 5,
    enforcingGatewayFailurePercent: config.enforcingConsecutiveGatewayFailure ?? 0,
    consecutiveLocalOriginFailure: config.consecutiveLocalOriginFailure ?? 5,
    enforcingLocalOriginFailurePercent: config.enforcingConsecutiveLocalOriginFailure ?? 100,
    splitLocalOriginErrors: config.splitExternalLocalOriginErrors,
    intervalMs: durationMs(config.interval, 10_000),
    baseEjectionMs,
    ejectionMsMax: Math.max(baseEjectionMs, durationMs(config.maxEjectionTime, 300_000)),
    ejectionPercentMax: config.maxEjectionPercent ?? 10,
    alwaysEjectOneHost: config.alwaysEjectOneHost ?? false,
  };
}

export interface OutlierContext {
  readonly clock: Clock;
  readonly random: Random;
  /** The scope `cluster.<name>.`. */
  readonly stats: StatsScope;
  readonly hosts: () => readonly Host[];
  /** A host was ejected or came back: the balancer must be rebuilt. */
  readonly onChange: () => void;
}

type Detector = 'consecutive_5xx' | 'consecutive_gateway_failure' | 'consecutive_local_origin_failure';

/** Counts results by host and ejects. Time of ejection: base x number of ejections, capped. */
export class OutlierDetector {
  readonly #settings: OutlierSettings;
  readonly #context: OutlierContext;
  readonly #ejectedUntilMs = new Map<Host, number>();
  readonly #active: Gauge;
  readonly #overflow: Counter;
  readonly #enforcedTotal: Counter;
  readonly #detected: Readonly<Record<Detector, Counter>>;
  readonly #enforced: Readonly<Record<Detector, Counter>>;
  readonly #timer: Timer;

  constructor(settings: OutlierSettings, context: OutlierContext) {
    this.#settings = settings;
    this.#context = context;
    const scope = context.stats.scope('outlier_detection');
    this.#active = scope.gauge('ejections_active');
    this.#overflow = scope.counter('ejections_overflow');
    this.#enforcedTotal = scope.counter('ejections_enforced_total');
    this.#detected = {
      consecutive_5xx: scope.counter('ejections_detected_consecutive_5xx'),
      consecutive_gateway_failure: scope.counter('ejections_detected_consecutive_gateway_failure'),
      consecutive_local_origin_failure: scope.counter('ejections_detected_consecutive_local_origin_failure'),
    };
    this.#enforced = {
      consecutive_5xx: scope.counter('ejections_enforced_consecutive_5xx'),
      consecutive_gateway_failure: scope.counter('ejections_enforced_consecutive_gateway_failure'),
      consecutive_local_origin_failure: scope.counter('ejections_enforced_consecutive_local_origin_failure'),
    };
    this.#timer = context.clock.every(settings.intervalMs, () => this.#bringBack());
  }

  /** A response came from the host. */
  onResponse(host: Host, status: number): void {
    const settings = this.#settings;
    host.consecutiveLocalOriginFailures = 0;
    if (status < 500) {
      host.consecutive5xx = 0;
      host.consecutiveGatewayFailures = 0;
      return;
    }
    if (status === 502 || status === 503 || status === 504) {
      if (++host.consecutiveGatewayFailures === settings.consecutiveGatewayFailure)
        this.#detect(host, 'consecutive_gateway_failure', settings.enforcingGatewayFailurePercent);
    } else host.consecutiveGatewayFailures = 0;
    if (++host.consecutive5xx === settings.consecutive5xx)
      this.#detect(host, 'consecutive_5xx', settings.enforcing5xxPercent);
  }

  /** The host could not be reached, timed out or broke off. Without the split it counts as a 5xx. */
  onLocalOriginFailure(host: Host, status = 503): void {
    if (!this.#settings.splitLocalOriginErrors) {
      this.onResponse(host, status);
      return;
    }
    if (++host.consecutiveLocalOriginFailures === this.#settings.consecutiveLocalOriginFailure) {
      this.#detect(
        host,
        'consecutive_local_origin_failure',
        this.#settings.enforcingLocalOriginFailurePercent,
      );
    }
  }

  /** The host has left the cluster. */
  forget(host: Host): void {
    this.#ejectedUntilMs.delete(host);
    this.#active.set(this.#ejectedUntilMs.size);
  }

  close(): void {
    this.#timer.cancel();
  }

  #detect(host: Host, detector: Detector, enforcingPercent: number): void {
    host.consecutive5xx = 0;
    host.consecutiveGatewayFailures = 0;
    host.consecutiveLocalOriginFailures = 0;
    if (host.removed || host.ejected) return;
    this.#detected[detector].inc();
    if (this.#context.random() * 100 >= enforcingPercent) return;
    const settings = this.#settings;
    const ejected = this.#ejectedUntilMs.size;
    const total = this.#context.hosts().length;
    // Envoy >= 1.27: no exemption for the first host unless always_eject_one_host (inventory D6.04, T06).
    const percent = total === 0 ? 100 : ((ejected + 1) * 100) / total;
    if (percent > settings.ejectionPercentMax && !(settings.alwaysEjectOneHost && ejected === 0)) {
      this.#overflow.inc();
      return;
    }
    host.ejected = true;
    host.ejections++;
    const ejectionMs = Math.min(settings.baseEjectionMs * host.ejections, settings.ejectionMsMax);
    this.#ejectedUntilMs.set(host, this.#context.clock.monotonicMs() + ejectionMs);
    this.#active.set(this.#ejectedUntilMs.size);
    this.#enforced[detector].inc();
    this.#enforcedTotal.inc();
    this.#context.onChange();
  }

  #bringBack(): void {
    const nowMs = this.#context.clock.monotonicMs();
    let changed = false;
    for (const [host, untilMs] of this.#ejectedUntilMs) {
      if (nowMs < untilMs) continue;
      host.ejected = false;
      this.#ejectedUntilMs.delete(host);
      changed = true;
    }
    // A host that stayed in for a whole interval is trusted a little more again.
    for (const host of this.#context.hosts()) {
      if (!host.ejected && host.ejections > 0 && !changed) host.ejections--;
    }
    if (!changed) return;
    this.#active.set(this.#ejectedUntilMs.size);
    this.#context.onChange();
  }
}
