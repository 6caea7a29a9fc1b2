// What the control plane counts; names and meanings are istiod's.
import { fairleadVersion } from '../../base/version.ts';
import { meshGauges } from './mesh-gauges.ts';
import type { Histogram, Sample, Series } from './metrics.ts';
import { Metrics } from './metrics.ts';

const pushSeconds = [0.01, 0.1, 0.5, 1, 3, 5, 10, 20, 30];
/** Ours begin finer than Istio's: a change reaches a proxy in milliseconds. */
const convergenceSeconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 3, 5, 10, 20, 30];

export interface Gauges {
  readonly services: () => number;
  readonly virtualServices: () => number;
  readonly queue: () => number;
  /** All of meshGauges; asked once a rendering. */
  readonly mesh: () => Readonly<Record<string, number>>;
  readonly uptimeSeconds: () => number;
  /** Servers of Gateways that some connected gateway leaves out. */
  readonly leftOutServers: () => readonly Sample[];
}

export class PilotMetrics {
  readonly #metrics = new Metrics();
  readonly clients: Series;
  readonly requestBytesMax: Series;
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
  readonly sdsCertificateErrors: Series;
  readonly loadRequests: Series;
  readonly sendTime: Histogram;
  readonly writeTimeouts: Series;
  readonly #rejectsByType: ReadonlyMap<string, Series>;

  /** Of the rendering under way. */
  #counts: Readonly<Record<string, number>> | undefined;

  constructor(gauges: Gauges) {
    const m = this.#metrics;
    m.gauge('pilot_services', 'Services known to the control plane.', gauges.services);
    m.gauge('pilot_virt_services', 'VirtualServices known to the control plane.', gauges.virtualServices);
    m.gauge('pilot_push_queue_size', 'Connections that wait for a push.', gauges.queue);
    for (const [name, help] of Object.entries(meshGauges))
      m.gauge(name, help, () => (this.#counts ??= gauges.mesh())[name] ?? 0);
    m.gauge('istiod_uptime_seconds', 'Seconds since the control plane was started.', gauges.uptimeSeconds);
    m.gauge('pilot_info', 'Always 1: the version stands in its label.').set(1, { version: fairleadVersion });
    m.gauge(
      'pilot_total_rejected_configs',
      'Servers of Gateways that connected gateways leave out, for others stand in their place, by Gateway.',
      gauges.leftOutServers,
    );
    this.clients = m.gauge('pilot_xds', 'Connected proxies, by Istio version.');
    this.requestBytesMax = m.gauge('pilot_xds_recv_max', 'Bytes of the largest request so far.');
    this.requestBytesMax.set(0);
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
    this.sendTime = m.histogram(
      'pilot_xds_send_time',
      'Seconds to write a response to its connection.',
      [0.01, 0.1, 1, 3, 5, 10, 20, 30],
    );
    this.writeTimeouts = m.counter(
      'pilot_xds_write_timeout',
      'Times that a proxy did not read what was written to it within a second; others go on meanwhile.',
    );
    this.inboundUpdates = m.counter('pilot_inbound_updates', 'Changes received, by type.');
    this.pushTriggers = m.counter(
      'pilot_push_triggers',
      'Pushes to a proxy that something of it was changed for, by the reason for them.',
    );
    this.rejects = m.counter('pilot_total_xds_rejects', 'Responses that a proxy refused, by type.');
    this.expiredNonces = m.counter('pilot_xds_expired_nonce', 'Requests about an older response, by type.');
    this.internalErrors = m.counter('pilot_total_xds_internal_errors', 'Errors inside the control plane.');
    this.sdsCertificateErrors = m.counter(
      'pilot_sds_certificate_errors_total',
      'Secrets that could not be used, or were not for whoever asked.',
    );
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

  /** A request came, of that many bytes. */
  received(bytes: number): void {
    if (bytes > this.requestBytesMax.get()) this.requestBytesMax.set(bytes);
  }

  /** `type` is a short name (`CDS`); `code` a gRPC status code. */
  rejected(type: string, node: string, code: number): void {
    const short = type.toLowerCase();
    this.rejects.add(1, { type: short });
    this.#rejectsByType.get(short)?.add(1, { node, err: String(code) });
  }

  render(): string {
    this.#counts = undefined;
    return this.#metrics.render();
  }
}
