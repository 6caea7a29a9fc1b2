// What the control plane counts; names and meanings are istiod's.
import type { Histogram, Series } from './metrics.ts';
import { Metrics } from './metrics.ts';

const pushSeconds = [0.01, 0.1, 0.5, 1, 3, 5, 10, 20, 30];
/** Ours begin finer than Istio's: a change reaches a proxy in milliseconds. */
const convergenceSeconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 3, 5, 10, 20, 30];

export interface Gauges {
  readonly services: () => number;
  readonly virtualServices: () => number;
  readonly queue: () => number;
  /** Listeners of connected proxies that several services ask for, and subsets of several rules, by metric. */
  readonly conflicts: () => Readonly<Record<string, number>>;
  /** Servers of Gateways that some connected gateway leaves out. */
  readonly leftOutServers: () => number;
}

export class PilotMetrics {
  readonly #metrics = new Metrics();
  readonly clients: Series;
  readonly pushes: Series;
  readonly pushTime: Histogram;
  readonly queueTime: Histogram;
  readonly convergenceTime: Histogram;
  readonly debounceTime: Histogram;
  readonly configBytes: Histogram;
  readonly inboundUpdates: Series;
  readonly pushTriggers: Series;
  readonly rejects: Series;
  readonly expiredNonces: Series;
  readonly internalErrors: Series;
  readonly loadRequests: Series;
  readonly #rejectsByType: ReadonlyMap<string, Series>;

  constructor(gauges: Gauges) {
    const m = this.#metrics;
    m.gauge('pilot_services', 'Services known to the control plane.', gauges.services);
    m.gauge('pilot_virt_services', 'VirtualServices known to the control plane.', gauges.virtualServices);
    m.gauge('pilot_push_queue_size', 'Connections that wait for a push.', gauges.queue);
    m.gauge(
      'pilot_conflict_inbound_listener',
      'Ports of workloads that services read in different ways; the oldest one counts.',
      () => gauges.conflicts()['pilot_conflict_inbound_listener'] ?? 0,
    );
    m.gauge(
      'pilot_conflict_outbound_listener_tcp_over_current_tcp',
      'Listeners on which two services ask for the same connections; the older one has them.',
      () => gauges.conflicts()['pilot_conflict_outbound_listener_tcp_over_current_tcp'] ?? 0,
    );
    m.gauge(
      'pilot_destrule_subsets',
      'Hosts of which several DestinationRules define a subset of one name; the oldest one counts.',
      () => gauges.conflicts()['pilot_destrule_subsets'] ?? 0,
    );
    m.gauge(
      'pilot_total_rejected_configs',
      'Servers of Gateways that connected gateways leave out, for others stand in their place.',
      gauges.leftOutServers,
    );
    this.clients = m.gauge('pilot_xds', 'Connected proxies, by Istio version.');
    this.pushes = m.counter('pilot_xds_pushes', 'Responses sent, by type.');
    this.pushTime = m.histogram(
      'pilot_xds_push_time',
      'Seconds to make and send a response, by type.',
      pushSeconds,
    );
    this.queueTime = m.histogram(
      'pilot_proxy_queue_time',
      'Seconds that a proxy waits in the push queue.',
      convergenceSeconds,
    );
    this.convergenceTime = m.histogram(
      'pilot_proxy_convergence_time',
      'Seconds from a change until a proxy has acknowledged all that it changed.',
      convergenceSeconds,
    );
    this.debounceTime = m.histogram(
      'pilot_debounce_time',
      'Seconds from the first change until its push is queued.',
      pushSeconds,
    );
    this.configBytes = m.histogram(
      'pilot_xds_config_size_bytes',
      'Bytes of responses, by type.',
      [1, 10_000, 1_000_000, 4_000_000, 10_000_000, 40_000_000],
    );
    this.inboundUpdates = m.counter('pilot_inbound_updates', 'Changes received, by type.');
    this.pushTriggers = m.counter('pilot_push_triggers', 'Pushes, by the reason for them.');
    this.rejects = m.counter('pilot_total_xds_rejects', 'Responses that a proxy refused, by type.');
    this.expiredNonces = m.counter('pilot_xds_expired_nonce', 'Requests about an older response, by type.');
    this.internalErrors = m.counter('pilot_total_xds_internal_errors', 'Errors inside the control plane.');
    this.loadRequests = m.counter(
      'fairlead_load_requests_total',
      'Requests that clients reported (LRS), by cluster and how they ended.',
    );
    this.#rejectsByType = new Map(
      ['cds', 'eds', 'lds', 'rds'].map((type) => [
        type,
        m.gauge(`pilot_xds_${type}_reject`, `${type.toUpperCase()} responses refused, by node and error.`),
      ]),
    );
  }

  /** `type` is a short name (`CDS`); `code` a gRPC status code. */
  rejected(type: string, node: string, code: number): void {
    const short = type.toLowerCase();
    this.rejects.add(1, { type: short });
    this.#rejectsByType.get(short)?.add(1, { node, err: String(code) });
  }

  render(): string {
    return this.#metrics.render();
  }
}
