// The statistics of one HTTP connection manager (`http.<stat_prefix>.`), as handles made once.
import type { Counter, Gauge, Histogram, StatsScope } from '../stats/stats.ts';

const counterNames = [
  'downstream_cx_total',
  'downstream_cx_http1_total',
  'downstream_cx_http2_total',
  'downstream_cx_destroy',
  'downstream_cx_destroy_active_rq',
  'downstream_cx_destroy_local',
  'downstream_cx_destroy_remote',
  'downstream_cx_idle_timeout',
  'downstream_cx_max_duration_reached',
  'downstream_cx_protocol_error',
  'downstream_cx_rx_bytes_total',
  'downstream_cx_tx_bytes_total',
  'downstream_cx_upgrades_total',
  'downstream_cx_delayed_close_timeout',
  'downstream_cx_drain_close',
  'downstream_rq_total',
  'downstream_rq_http1_total',
  'downstream_rq_http2_total',
  'downstream_rq_too_many_premature_resets',
  'downstream_rq_completed',
  'downstream_rq_1xx',
  'downstream_rq_2xx',
  'downstream_rq_3xx',
  'downstream_rq_4xx',
  'downstream_rq_5xx',
  'downstream_rq_rx_reset',
  'downstream_rq_tx_reset',
  'downstream_rq_idle_timeout',
  'downstream_rq_timeout',
  'downstream_rq_header_timeout',
  'downstream_rq_max_duration_reached',
  'downstream_rq_non_relative_path',
  'downstream_rq_too_large',
  'downstream_rq_ws_on_non_ws_route',
  'downstream_rq_response_before_rq_complete',
  'downstream_rq_redirected_with_normalized_path',
  'no_cluster',
  'no_route',
  'rq_direct_response',
  'rq_redirect',
  'rq_total',
  'rq_reset_after_downstream_response_started',
] as const;
const gaugeNames = [
  'downstream_cx_active',
  'downstream_cx_http1_active',
  'downstream_cx_http2_active',
  'downstream_rq_active',
] as const;
const histogramNames = ['downstream_rq_time', 'downstream_cx_length_ms'] as const;

/** https://www.envoyproxy.io/docs/envoy/v1.33.0/configuration/http/http_conn_man/stats */
export interface ManagerStats
  extends
    Record<(typeof counterNames)[number], Counter>,
    Record<(typeof gaugeNames)[number], Gauge>,
    Record<(typeof histogramNames)[number], Histogram> {
  readonly fault: {
    readonly delaysInjected: Counter;
    readonly abortsInjected: Counter;
    readonly overflow: Counter;
    readonly activeFaults: Gauge;
  };
  /** Counts a response by its class. */
  response(status: number): void;
}

export function managerStats(scope: StatsScope): ManagerStats {
  const handles = {
    ...(Object.fromEntries(counterNames.map((name) => [name, scope.counter(name)])) as Record<
      (typeof counterNames)[number],
      Counter
    >),
    ...(Object.fromEntries(gaugeNames.map((name) => [name, scope.gauge(name)])) as Record<
      (typeof gaugeNames)[number],
      Gauge
    >),
    ...(Object.fromEntries(histogramNames.map((name) => [name, scope.histogram(name)])) as Record<
      (typeof histogramNames)[number],
      Histogram
    >),
  };
  const byClass = [
    undefined,
    handles.downstream_rq_1xx,
    handles.downstream_rq_2xx,
    handles.downstream_rq_3xx,
    handles.downstream_rq_4xx,
    handles.downstream_rq_5xx,
  ];
  const fault = scope.scope('fault');
  return {
    ...handles,
    fault: {
      delaysInjected: fault.counter('delays_injected'),
      abortsInjected: fault.counter('aborts_injected'),
      overflow: fault.counter('faults_overflow'),
      activeFaults: fault.gauge('active_faults'),
    },
    response(status) {
      handles.downstream_rq_completed.inc();
      byClass[Math.floor(status / 100)]?.inc();
    },
  };
}
