// Envoy's statistics of the HTTP/2 codec: `http2.` downstream, `cluster.<name>.http2.` upstream.
import type { Counter, Gauge, StatsScope } from '../stats/stats.ts';

const counterNames = [
  'goaway_sent',
  'header_overflow',
  'headers_cb_no_stream',
  'inbound_empty_frames_flood',
  'inbound_priority_frames_flood',
  'inbound_window_update_frames_flood',
  'keepalive_timeout',
  'outbound_control_flood',
  'outbound_flood',
  'rx_messaging_error',
  'rx_reset',
  'stream_refused_errors',
  'trailers',
  'tx_flush_timeout',
  'tx_reset',
] as const;
const gaugeNames = ['streams_active'] as const;

/** https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/http/http_conn_man/stats#http2-codec-statistics */
export interface CodecStats
  extends Record<(typeof counterNames)[number], Counter>, Record<(typeof gaugeNames)[number], Gauge> {}

/** `scope` is the one that `http2.` stands in. */
export function codecStats(scope: StatsScope): CodecStats {
  const http2 = scope.scope('http2');
  return {
    ...(Object.fromEntries(counterNames.map((name) => [name, http2.counter(name)])) as Record<
      (typeof counterNames)[number],
      Counter
    >),
    ...(Object.fromEntries(gaugeNames.map((name) => [name, http2.gauge(name)])) as Record<
      (typeof gaugeNames)[number],
      Gauge
    >),
  };
}
