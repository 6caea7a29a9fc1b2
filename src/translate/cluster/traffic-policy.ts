// What a DestinationRule's traffic policy becomes in a cluster: limits, load balancing, outlier detection.
import type { Message, MessageInitShape } from '@bufbuild/protobuf';
import type {
  CircuitBreakers_ThresholdsSchema,
  CircuitBreakersSchema,
} from '../../api/gen/envoy/config/cluster/v3/circuit_breaker_pb.js';
import type { ClusterSchema } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { Cluster_LbPolicy } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import type { OutlierDetectionSchema } from '../../api/gen/envoy/config/cluster/v3/outlier_detection_pb.js';
import type { ConnectionPool, LoadBalancer, OutlierDetection, TrafficPolicy } from '../destination-rule.ts';
import { durationOf, durationOfMs } from '../proto-values.ts';
import type { UpstreamDefaults } from './cluster-input.ts';

/** Fields of a cluster, to be spread into one. */
export type ClusterInit = Exclude<MessageInitShape<typeof ClusterSchema>, Message>;

/** The largest value of a uint32: Istio's "no limit", where Envoy's own default would be 1024 or 3. */
const unlimited = 4_294_967_295;

/** Thresholds of the DEFAULT priority; HIGH keeps Envoy's. Source: Istio `getDefaultCircuitBreakerThresholds`. */
export function circuitBreakers(
  pool: ConnectionPool = {},
  retryBudget?: TrafficPolicy['retryBudget'],
): MessageInitShape<typeof CircuitBreakersSchema> {
  const thresholds: MessageInitShape<typeof CircuitBreakers_ThresholdsSchema> = {
    maxConnections: positive(pool.tcp?.maxConnections) ?? unlimited,
    maxPendingRequests: positive(pool.http?.http1MaxPendingRequests) ?? unlimited,
    maxRequests: positive(pool.http?.http2MaxRequests) ?? unlimited,
    maxRetries: positive(pool.http?.maxRetries) ?? unlimited,
    trackRemaining: true,
    ...(retryBudget === undefined
      ? {}
      : {
          retryBudget: {
            budgetPercent: { value: retryBudget.percent ?? 20 },
            minRetryConcurrency: positive(retryBudget.minRetryConcurrency) ?? 3,
          },
        }),
  };
  return { thresholds: [thresholds] };
}

/** The connect timeout and TCP keepalive: the mesh's, each over-written by what the rule says itself. */
export function connectionOptions(pool: ConnectionPool | undefined, defaults: UpstreamDefaults): ClusterInit {
  const connectTimeout = durationOf(pool?.tcp?.connectTimeout) ?? durationOfMs(defaults.connectTimeoutMs);
  const own = pool?.tcp?.tcpKeepalive;
  const base = defaults.tcpKeepalive;
  if (own === undefined && base === undefined) return { connectTimeout };
  return {
    connectTimeout,
    // Empty: on, with what the operating system has.
    upstreamConnectionOptions: {
      tcpKeepalive: {
        ...optional('keepaliveProbes', positive(own?.probes) ?? positive(base?.probes)),
        ...optional('keepaliveTime', wholeSeconds(own?.time ?? base?.time)),
        ...optional('keepaliveInterval', wholeSeconds(own?.interval ?? base?.interval)),
      },
    },
  };
}

/** LEAST_REQUEST unless the rule says otherwise (T06). Source: Istio `applyLoadBalancer`. */
export function loadBalancing(balancer: LoadBalancer | undefined): ClusterInit {
  const hash = balancer?.consistentHash;
  if (hash?.maglev !== undefined) {
    const { tableSize = 0 } = hash.maglev;
    return {
      lbPolicy: Cluster_LbPolicy.MAGLEV,
      ...(tableSize === 0
        ? {}
        : { lbConfig: { case: 'maglevLbConfig', value: { tableSize: BigInt(tableSize) } } }),
    };
  }
  if (hash !== undefined) {
    // The deprecated field's default is 1024, the ring's own is Envoy's.
    const size =
      hash.ringHash === undefined
        ? (positive(hash.minimumRingSize) ?? 1024)
        : (hash.ringHash.minimumRingSize ?? 0);
    return {
      lbPolicy: Cluster_LbPolicy.RING_HASH,
      ...(size === 0
        ? {}
        : { lbConfig: { case: 'ringHashLbConfig', value: { minimumRingSize: BigInt(size) } } }),
    };
  }
  const slowStart = slowStartOf(balancer);
  const simple = balancer?.simple ?? 'UNSPECIFIED';
  switch (simple) {
    case 'RANDOM':
      return { lbPolicy: Cluster_LbPolicy.RANDOM };
    case 'ROUND_ROBIN':
      return {
        lbPolicy: Cluster_LbPolicy.ROUND_ROBIN,
        ...(slowStart === undefined
          ? {}
          : { lbConfig: { case: 'roundRobinLbConfig', value: { slowStartConfig: slowStart } } }),
      };
    case 'PASSTHROUGH':
      return { lbPolicy: Cluster_LbPolicy.CLUSTER_PROVIDED };
    case 'LEAST_CONN':
    case 'LEAST_REQUEST':
    case 'UNSPECIFIED':
      return {
        lbPolicy: Cluster_LbPolicy.LEAST_REQUEST,
        ...(slowStart === undefined
          ? {}
          : { lbConfig: { case: 'leastRequestLbConfig', value: { slowStartConfig: slowStart } } }),
      };
    default:
      return simple satisfies never;
  }
}

/**
 * Outlier detection exists only where a rule sets it. An error count of 0 turns its check off; success
 * rates are never looked at. Source: Istio `applyOutlierDetection`.
 */
export function outlierDetection(
  outlier: OutlierDetection | undefined,
): MessageInitShape<typeof OutlierDetectionSchema> | undefined {
  if (outlier === undefined) return undefined;
  const { consecutive5xxErrors, consecutiveGatewayErrors, consecutiveLocalOriginFailures } = outlier;
  const split = outlier.splitExternalLocalOriginErrors === true;
  return {
    enforcingSuccessRate: 0,
    ...optional('consecutive5xx', consecutive5xxErrors),
    ...optional('enforcingConsecutive5xx', enforcing(consecutive5xxErrors)),
    ...optional('consecutiveGatewayFailure', consecutiveGatewayErrors),
    ...optional('enforcingConsecutiveGatewayFailure', enforcing(consecutiveGatewayErrors)),
    ...optional('interval', durationOf(outlier.interval)),
    ...optional('baseEjectionTime', durationOf(outlier.baseEjectionTime)),
    ...optional('maxEjectionPercent', positive(outlier.maxEjectionPercent)),
    ...(split ? { splitExternalLocalOriginErrors: true, enforcingLocalOriginSuccessRate: 0 } : {}),
    ...(split && positive(consecutiveLocalOriginFailures) !== undefined
      ? {
          consecutiveLocalOriginFailure: consecutiveLocalOriginFailures as number,
          enforcingConsecutiveLocalOriginFailure: 100,
        }
      : {}),
  };
}

function enforcing(count: number | undefined): number | undefined {
  return count === undefined ? undefined : count > 0 ? 100 : 0;
}

function slowStartOf(balancer: LoadBalancer | undefined) {
  const { warmup, warmupDurationSecs } = balancer ?? {};
  const window = durationOf(warmup?.duration ?? warmupDurationSecs);
  if (window === undefined) return undefined;
  if (warmup === undefined) return { slowStartWindow: window };
  return {
    slowStartWindow: window,
    // The key must not be empty and is never looked up; Istio's is the same.
    aggression: { defaultValue: warmup.aggression ?? 1, runtimeKey: '(' },
    minWeightPercent: { value: warmup.minimumPercent ?? 10 },
  };
}

/** Zero is the same as unset in Istio's API. */
function positive(value: number | undefined): number | undefined {
  return value === undefined || value <= 0 ? undefined : value;
}

function wholeSeconds(duration: string | undefined): number | undefined {
  const seconds = durationOf(duration)?.seconds;
  return seconds === undefined ? undefined : Number(seconds);
}

function optional<Name extends string, Value>(
  name: Name,
  value: Value | undefined,
): { readonly [Key in Name]?: Value } {
  return (value === undefined ? {} : { [name]: value }) as { readonly [Key in Name]?: Value };
}
