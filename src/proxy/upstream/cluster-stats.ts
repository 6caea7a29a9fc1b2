// The statistics of one cluster, as handles made once.
import type { Counter, Gauge, Histogram, StatsScope } from '../stats/stats.ts';

const counterNames = [
  'upstream_cx_total',
  'upstream_cx_http1_total',
  'upstream_cx_http2_total',
  'upstream_cx_connect_fail',
  'upstream_cx_connect_timeout',
  'upstream_cx_connect_attempts_exceeded',
  'upstream_cx_overflow',
  'upstream_cx_destroy',
  'upstream_cx_destroy_local',
  'upstream_cx_destroy_remote',
  'upstream_cx_destroy_with_active_rq',
  'upstream_cx_idle_timeout',
  'upstream_cx_max_requests',
  'upstream_cx_close_notify',
  'upstream_cx_none_healthy',
  'upstream_cx_protocol_error',
  'upstream_cx_rx_bytes_total',
  'upstream_cx_tx_bytes_total',
  'upstream_rq_total',
  'upstream_rq_completed',
  'upstream_rq_cancelled',
  'upstream_rq_maintenance_mode',
  'upstream_rq_timeout',
  'upstream_rq_per_try_timeout',
  'upstream_rq_rx_reset',
  'upstream_rq_tx_reset',
  'upstream_rq_retry',
  'upstream_rq_retry_success',
  'upstream_rq_retry_overflow',
  'upstream_rq_retry_limit_exceeded',
  'upstream_rq_pending_total',
  'upstream_rq_pending_overflow',
  'upstream_rq_pending_failure_eject',
  'upstream_rq_1xx',
  'upstream_rq_2xx',
  'upstream_rq_3xx',
  'upstream_rq_4xx',
  'upstream_rq_5xx',
  'lb_healthy_panic',
  'membership_change',
  'retry_or_shadow_abandoned',
] as const;
const gaugeNames = [
  'upstream_cx_active',
  'upstream_rq_active',
  'upstream_rq_pending_active',
  'membership_total',
  'membership_healthy',
  'membership_degraded',
] as const;
const histogramNames = ['upstream_rq_time', 'upstream_cx_connect_ms', 'upstream_cx_length_ms'] as const;

type CounterName = (typeof counterNames)[number];
type GaugeName = (typeof gaugeNames)[number];
type HistogramName = (typeof histogramNames)[number];

/** Envoy's `cluster.<name>.*`: https://www.envoyproxy.io/docs/envoy/v1.33.0/configuration/upstream/cluster_manager/cluster_stats */
export interface ClusterStats
  extends Record<CounterName, Counter>, Record<GaugeName, Gauge>, Record<HistogramName, Histogram> {
  /** Counts a response: its class, its code, and upstream_rq_completed. */
  response(status: number): void;
}

export function clusterStats(scope: StatsScope): ClusterStats {
  const byStatus: (Counter | undefined)[] = [];
  const handles = {
    ...(Object.fromEntries(counterNames.map((name) => [name, scope.counter(name)])) as Record<
      CounterName,
      Counter
    >),
    ...(Object.fromEntries(gaugeNames.map((name) => [name, scope.gauge(name)])) as Record<GaugeName, Gauge>),
    ...(Object.fromEntries(histogramNames.map((name) => [name, scope.histogram(name)])) as Record<
      HistogramName,
      Histogram
    >),
  };
  const byClass = [
    undefined,
    handles.upstream_rq_1xx,
    handles.upstream_rq_2xx,
    handles.upstream_rq_3xx,
    handles.upstream_rq_4xx,
    handles.upstream_rq_5xx,
  ];
  return {
    ...handles,
    response(status) {
      handles.upstream_rq_completed.inc();
      byClass[Math.floor(status / 100)]?.inc();
      let counter = byStatus[status];
      if (counter === undefined) {
        counter = scope.counter(`upstream_rq_${status}`);
        byStatus[status] = counter;
      }
      counter.inc();
    },
  };
}
