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
import type { Endpoint } from '../../model/service.ts';
import type { EndpointGroup, LocalityLb } from './locality-lb.ts';
import { groupsOf } from './locality-lb.ts';

export interface LoadAssignmentInput {
  /** The cluster's name. */
  readonly name: string;
  /** Their `tlsMode` says whether this proxy speaks mutual TLS to them. */
  readonly endpoints: readonly Endpoint[];
  /** Absent: all localities share the traffic. */
  readonly localityLb?: LocalityLb;
}

const healthStatus: Readonly<Record<Endpoint['health'], HealthStatus>> = {
  HEALTHY: HealthStatus.HEALTHY,
  UNHEALTHY: HealthStatus.UNHEALTHY,
  DRAINING: HealthStatus.DRAINING,
};

const uint32Max = 4_294_967_295;

/** Endpoints grouped by locality, each group with its weight and its priority. */
export function loadAssignment(input: LoadAssignmentInput): ClusterLoadAssignment {
  const total = input.endpoints.reduce((sum, endpoint) => sum + endpoint.weight, 0);
  // Envoy refuses weights whose sum is no uint32. Every one is 1 at least, so there is one to spare for each.
  const scale = total > uint32Max ? (uint32Max - input.endpoints.length) / total : 1;
  const endpoints =
    scale === 1
      ? input.endpoints
      : input.endpoints.map((each) => ({ ...each, weight: Math.max(1, Math.floor(each.weight * scale)) }));
  return create(ClusterLoadAssignmentSchema, {
    clusterName: input.name,
    endpoints: groupsOf(endpoints, input.localityLb).map(localityEndpoints),
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

function localityEndpoints({
  locality: { region, zone, subzone },
  priority,
  weight,
  endpoints,
}: EndpointGroup): MessageInitShape<typeof LocalityLbEndpointsSchema> {
  return {
    locality: { region, zone, subZone: subzone },
    priority,
    loadBalancingWeight: weight,
    lbEndpoints: endpoints.map(lbEndpointOf),
  };
}

/** An endpoint that takes mutual TLS says so to the cluster's transport_socket_matches (C3.12). */
function lbEndpointOf(endpoint: Endpoint): MessageInitShape<typeof LbEndpointSchema> {
  const istio: JsonObject = { workload: workloadMetadata(endpoint) };
  const { endpointPort, otherAddresses = [] } = endpoint;
  return {
    hostIdentifier: {
      case: 'endpoint',
      value: {
        address: { address: addressOf(endpoint.address, endpointPort) },
        additionalAddresses: otherAddresses.map((address) => ({
          address: { address: addressOf(address, endpointPort) },
        })),
      },
    },
    healthStatus: healthStatus[endpoint.health],
    metadata: {
      filterMetadata: {
        istio,
        ...(endpoint.tlsMode === 'istio' ? { 'envoy.transport_socket_match': { tlsMode: 'istio' } } : {}),
      },
    },
    loadBalancingWeight: endpoint.weight,
  };
}

function addressOf(address: string, endpointPort: number) {
  if (address.startsWith('unix://'))
    return { case: 'pipe', value: { path: address.slice('unix://'.length) } } as const;
  return {
    case: 'socketAddress',
    value: { address, portSpecifier: { case: 'portValue', value: endpointPort } },
  } as const;
}
