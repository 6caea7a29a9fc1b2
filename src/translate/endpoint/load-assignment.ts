// A ClusterLoadAssignment from endpoints: by EDS, or inside a DNS cluster.
import { create } from '@bufbuild/protobuf';
import type { JsonObject, MessageInitShape } from '@bufbuild/protobuf';
import { HealthStatus } from '../../api/gen/envoy/config/core/v3/health_check_pb.js';
import type {
  LbEndpointSchema,
  LocalityLbEndpointsSchema,
} from '../../api/gen/envoy/config/endpoint/v3/endpoint_components_pb.js';
import type { ClusterLoadAssignment } from '../../api/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { ClusterLoadAssignmentSchema } from '../../api/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import type { Endpoint, Locality } from '../../model/service.ts';
import type { Failover } from './locality-failover.ts';
import { failoverPriorities } from './locality-failover.ts';

export interface LoadAssignmentInput {
  /** The cluster's name. */
  readonly name: string;
  readonly endpoints: readonly Endpoint[];
  /** Absent: all localities share the traffic. */
  readonly failover?: Failover;
}

const healthStatus: Readonly<Record<Endpoint['health'], HealthStatus>> = {
  HEALTHY: HealthStatus.HEALTHY,
  UNHEALTHY: HealthStatus.UNHEALTHY,
  DRAINING: HealthStatus.DRAINING,
};

const uint32Max = 4_294_967_295;

/**
 * Endpoints grouped by locality, groups sorted by name, each with the sum of its weights and its priority.
 * No endpoint carries a transport socket match: until proxies have certificates nothing is sent by
 * mutual TLS (docs/decisions/0006-plaintext-until-certificates.md).
 */
export function loadAssignment(input: LoadAssignmentInput): ClusterLoadAssignment {
  const total = input.endpoints.reduce((sum, endpoint) => sum + endpoint.weight, 0);
  // Envoy refuses weights whose sum is no uint32. Every one is 1 at least, so there is one to spare for each.
  const scale = total > uint32Max ? (uint32Max - input.endpoints.length) / total : 1;
  const groups = new Map<string, Endpoint[]>();
  for (const endpoint of input.endpoints) {
    const key = formatLocality(endpoint.locality);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [endpoint]);
    else group.push(endpoint);
  }
  const sorted = [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, endpoints]) => endpoints);
  const priorities = failoverPriorities(sorted.map(localityOf), input.failover);
  return create(ClusterLoadAssignmentSchema, {
    clusterName: input.name,
    endpoints: sorted.map((endpoints, index) => localityEndpoints(endpoints, scale, priorities[index] ?? 0)),
  });
}

/**
 * `workload;namespace;canonical name;canonical revision;cluster`, which telemetry reads where it
 * cannot ask the upstream itself. Source: Istio `AppendLbEndpointMetadata`.
 */
export function workloadMetadata(endpoint: Endpoint): string {
  const { labels, workloadName, namespace, clusterId } = endpoint;
  const canonicalName =
    labels['service.istio.io/canonical-name'] ??
    labels['app.kubernetes.io/name'] ??
    labels['app'] ??
    workloadName;
  const revision =
    labels['service.istio.io/canonical-revision'] ??
    labels['app.kubernetes.io/version'] ??
    labels['version'] ??
    'latest';
  return [workloadName, namespace, canonicalName, revision === 'latest' ? '' : revision, clusterId].join(';');
}

function localityOf(endpoints: readonly Endpoint[]): Locality {
  return endpoints[0]?.locality ?? { region: '', zone: '', subzone: '' };
}

function localityEndpoints(
  endpoints: readonly Endpoint[],
  scale: number,
  priority: number,
): MessageInitShape<typeof LocalityLbEndpointsSchema> {
  const { region, zone, subzone } = localityOf(endpoints);
  const weights = endpoints.map(({ weight }) => Math.max(1, Math.floor(weight * scale)));
  return {
    locality: { region, zone, subZone: subzone },
    priority,
    loadBalancingWeight: weights.reduce((sum, weight) => sum + weight, 0),
    lbEndpoints: endpoints.map((endpoint, index) => lbEndpointOf(endpoint, weights[index] ?? 1)),
  };
}

function lbEndpointOf(endpoint: Endpoint, weight: number): MessageInitShape<typeof LbEndpointSchema> {
  const istio: JsonObject = { workload: workloadMetadata(endpoint) };
  return {
    hostIdentifier: { case: 'endpoint', value: { address: { address: addressOf(endpoint) } } },
    healthStatus: healthStatus[endpoint.health],
    metadata: { filterMetadata: { istio } },
    loadBalancingWeight: weight,
  };
}

function addressOf({ address, endpointPort }: Endpoint) {
  if (address.startsWith('unix://'))
    return { case: 'pipe', value: { path: address.slice('unix://'.length) } } as const;
  return {
    case: 'socketAddress',
    value: { address, portSpecifier: { case: 'portValue', value: endpointPort } },
  } as const;
}

function formatLocality({ region, zone, subzone }: Locality): string {
  return `${region}/${zone}/${subzone}`;
}
