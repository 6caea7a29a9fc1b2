// A cluster in words: how it is balanced, and what of it differs from Istio's defaults.
import { unpackAs } from '../api/any.ts';
import type { CircuitBreakers_Thresholds as Thresholds } from '../api/gen/envoy/config/cluster/v3/circuit_breaker_pb.js';
import type { Cluster } from '../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { Cluster_DiscoveryType, Cluster_LbPolicy } from '../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import type { OutlierDetection } from '../api/gen/envoy/config/cluster/v3/outlier_detection_pb.js';
import { HttpProtocolOptionsSchema } from '../api/gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js';
import type { Setting, SourceRef } from './trace.ts';
import { durationText } from './words.ts';

/** Where a field of the cluster came from (`lbPolicy`, `outlierDetection`). */
export type ClusterSources = (at: string) => readonly SourceRef[];

/** Istio's default load balancing. */
const balancingDefault = 'LEAST_REQUEST';
/** Istio's default of MeshConfig.connectTimeout. */
const connectTimeoutDefault = '10s';
/** Istio sets circuit breakers to this where nobody asks for less: no limit. */
const unlimited = 4_294_967_295;

export function discoveryText({ clusterDiscoveryType, name }: Cluster): string {
  if (clusterDiscoveryType.case !== 'type') return clusterDiscoveryType.case === undefined ? 'STATIC' : name;
  return Cluster_DiscoveryType[clusterDiscoveryType.value];
}

export function isOriginalDestination({ clusterDiscoveryType: type }: Cluster): boolean {
  return type.case === 'type' && type.value === Cluster_DiscoveryType.ORIGINAL_DST;
}

export function clusterSettings(cluster: Cluster, sources: ClusterSources): readonly Setting[] {
  const whole = sources('');
  const settings: Setting[] = [];
  const add = (label: string, text: string, at: string): void => {
    if (text === '') return;
    const own = sources(at);
    // What nobody asked for comes from no line.
    const usual = label === 'balancing' && text === balancingDefault;
    settings.push({ label, text, usual, sources: JSON.stringify(own) === JSON.stringify(whole) ? [] : own });
  };
  if (!isOriginalDestination(cluster)) add('balancing', balancingText(cluster), 'lbPolicy');
  const thresholds = cluster.circuitBreakers?.thresholds[0];
  add('limits', thresholds === undefined ? '' : limitsText(thresholds), 'circuitBreakers');
  add(
    'outliers',
    cluster.outlierDetection === undefined ? '' : outlierText(cluster.outlierDetection),
    'outlierDetection',
  );
  add('connect', connectText(cluster), 'connectTimeout');
  add('protocol', protocolText(cluster), 'typedExtensionProtocolOptions');
  return settings;
}

function balancingText({ lbPolicy, loadBalancingPolicy }: Cluster): string {
  if (loadBalancingPolicy !== undefined) {
    const names = loadBalancingPolicy.policies.map(
      ({ typedExtensionConfig }) => typedExtensionConfig?.name ?? '',
    );
    return names.join(', then ');
  }
  return Cluster_LbPolicy[lbPolicy] ?? String(lbPolicy);
}

function limitsText(thresholds: Thresholds): string {
  const limits: readonly (readonly [string, number | undefined])[] = [
    ['connections', thresholds.maxConnections],
    ['pending requests', thresholds.maxPendingRequests],
    ['requests', thresholds.maxRequests],
    ['retries at once', thresholds.maxRetries],
    ['connection pools', thresholds.maxConnectionPools],
  ];
  const texts = limits.flatMap(([name, limit]) =>
    limit === undefined || limit === unlimited ? [] : [`${limit} ${name}`],
  );
  if (thresholds.retryBudget !== undefined) {
    const { budgetPercent, minRetryConcurrency } = thresholds.retryBudget;
    texts.push(`retries ${budgetPercent?.value ?? 20}% of requests (at least ${minRetryConcurrency ?? 3})`);
  }
  return texts.length === 0 ? '' : `at most ${texts.join(', ')}`;
}

/** Envoy's defaults stand where nothing is said. */
function outlierText(outlier: OutlierDetection): string {
  const consecutive = outlier.consecutive5xx ?? 5;
  const gateway = outlier.enforcingConsecutiveGatewayFailure ?? 0;
  const after =
    (outlier.enforcingConsecutive5xx ?? 100) > 0
      ? `${consecutive} answers 5xx in a row`
      : gateway > 0
        ? `${outlier.consecutiveGatewayFailure ?? 5} gateway errors (502, 503, 504) in a row`
        : '';
  if (after === '') return '';
  const time = outlier.baseEjectionTime === undefined ? '30s' : durationText(outlier.baseEjectionTime);
  return `${after} put an endpoint out for ${time}, at most ${outlier.maxEjectionPercent ?? 10}% of them`;
}

function connectText({ connectTimeout }: Cluster): string {
  const text = connectTimeout === undefined ? '5s' : durationText(connectTimeout);
  return text === connectTimeoutDefault ? '' : `within ${text}`;
}

function protocolText({ typedExtensionProtocolOptions }: Cluster): string {
  const any = typedExtensionProtocolOptions['envoy.extensions.upstreams.http.v3.HttpProtocolOptions'];
  const options = unpackAs(any, HttpProtocolOptionsSchema)?.upstreamProtocolOptions;
  if (options?.case !== 'explicitHttpConfig') return '';
  return options.value.protocolConfig.case === 'http2ProtocolOptions' ? 'HTTP/2' : '';
}
