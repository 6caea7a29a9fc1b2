// Clusters of gRPC applications: what of a DestinationRule a gRPC library can do.
import { create } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { CircuitBreakersSchema } from '../../api/gen/envoy/config/cluster/v3/circuit_breaker_pb.js';
import type { LoadBalancingPolicySchema } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import {
  Cluster_DiscoveryType,
  Cluster_LbPolicy,
  ClusterSchema,
} from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import type { OutlierDetectionSchema } from '../../api/gen/envoy/config/cluster/v3/outlier_detection_pb.js';
import { LeastRequestSchema } from '../../api/gen/envoy/extensions/load_balancing_policies/least_request/v3/least_request_pb.js';
import { RoundRobinSchema } from '../../api/gen/envoy/extensions/load_balancing_policies/round_robin/v3/round_robin_pb.js';
import { WrrLocalitySchema } from '../../api/gen/envoy/extensions/load_balancing_policies/wrr_locality/v3/wrr_locality_pb.js';
import { blackHoleCluster, parseClusterName } from '../../model/cluster-name.ts';
import type { Origin } from '../../model/origin.ts';
import type { Endpoint } from '../../model/service.ts';
import type { ClusterInit } from '../cluster/traffic-policy.ts';
import { loadBalancing } from '../cluster/traffic-policy.ts';
import { outboundClusterNames, outboundTarget } from '../cluster/outbound-clusters.ts';
import { upstreamSecurity } from '../cluster/upstream-security.ts';
import type { LoadBalancer, OutlierDetection } from '../destination-rule.ts';
import { clusterEndpoints } from '../endpoint/cluster-endpoints.ts';
import { loadAssignment } from '../endpoint/load-assignment.ts';
import type { LayeredPolicy } from '../layered-policy.ts';
import { durationOf, pack } from '../proto-values.ts';
import { unknownCluster } from '../route/action.ts';
import type { Built, Provenance, ProxyScope, ResourceKind } from '../resource.ts';
import { kindOfParts } from '../resource.ts';
import { destinationScope } from '../views.ts';
import type { World } from '../world.ts';
import { grpcGenerator } from './names.ts';
import { clientSocket } from './tls.ts';

export interface GrpcClusterInput {
  readonly name: string;
  /** A service that is known by a DNS name: its one endpoint, which the client resolves. Absent: EDS. */
  readonly dnsEndpoint?: Endpoint;
  readonly loadBalancer?: LoadBalancer;
  /** Requests at a time; absent: gRPC's own 1024. */
  readonly maxRequests?: number;
  readonly outlierDetection?: OutlierDetection;
  /** Names that the server may have, where a rule asks for mutual TLS. Absent: in clear. */
  readonly subjectAltNames?: readonly string[];
  readonly serviceOrigin?: Origin;
  readonly origins: LayeredPolicy['origins'];
}

/**
 * Whatever a route names: a client that asks for a cluster which does not exist would hold back every route of its
 * listener for fifteen seconds, so such a one is answered, without endpoints.
 * A rule's own TLS (SIMPLE, MUTUAL) is the application's to do, as in Istio; mutual TLS of the mesh only where a rule
 * says so, for nobody can tell whether the application takes certificates from its bootstrap.
 * Source: Istio `grpcgen.BuildClusters`.
 */
export const grpcClusters: ResourceKind<GrpcClusterInput, typeof ClusterSchema> = {
  ...kindOfParts({ schema: ClusterSchema, shortName: 'CDS', build: buildGrpcCluster }, [
    {
      name: '',
      viewOf: destinationScope,
      names: (world, view) => [...outboundClusterNames(world, view)].sort(),
      input: grpcClusterInput,
    },
  ]),
  generator: grpcGenerator,
};

function grpcClusterInput(world: World, scope: ProxyScope, name: string): GrpcClusterInput | undefined {
  const target = outboundTarget(world, scope, name);
  if (target === undefined) return mayBeNamed(name) ? { name, origins: {} } : undefined;
  const { policy, service, discovery } = target;
  const isDns = discovery === 'STRICT_DNS' || discovery === 'LOGICAL_DNS';
  const endpoints = isDns ? clusterEndpoints(world, scope, target) : [];
  // gRPC resolves one name a cluster (gRFC A37).
  const [only] = endpoints.length === 1 ? endpoints : [];
  const { loadBalancer, outlierDetection, connectionPool } = policy.policy;
  const maxRequests = connectionPool?.http?.http2MaxRequests ?? 0;
  const security = upstreamSecurity(world, scope, target);
  const isAsked = policy.policy.tls?.mode === 'ISTIO_MUTUAL' && scope.node.workloadCertificates;
  return {
    name,
    ...(only === undefined ? {} : { dnsEndpoint: only }),
    ...(loadBalancer === undefined ? {} : { loadBalancer }),
    ...(maxRequests > 0 ? { maxRequests } : {}),
    ...(outlierDetection === undefined ? {} : { outlierDetection }),
    ...(security?.kind === 'mutual-tls' && isAsked ? { subjectAltNames: security.subjectAltNames } : {}),
    serviceOrigin: service.origin,
    origins: policy.origins,
  };
}

/** Whether a route of ours could name it. */
function mayBeNamed(name: string): boolean {
  return (
    name === blackHoleCluster || name === unknownCluster || parseClusterName(name)?.direction === 'outbound'
  );
}

function buildGrpcCluster(input: GrpcClusterInput): Built<typeof ClusterSchema> {
  const { name, subjectAltNames } = input;
  const outlier = outlierDetectionOf(input.outlierDetection);
  const breakers = circuitBreakersOf(input.maxRequests);
  const message = create(ClusterSchema, {
    name,
    altStatName: `${name};`,
    ...discoveryOf(input),
    ...balancingOf(input.loadBalancer),
    ...(breakers === undefined ? {} : { circuitBreakers: breakers }),
    ...(outlier === undefined ? {} : { outlierDetection: outlier }),
    ...(subjectAltNames === undefined ? {} : { transportSocket: clientSocket(subjectAltNames) }),
  });
  return { name, message, provenance: provenanceOf(input) };
}

function discoveryOf({ name, dnsEndpoint }: GrpcClusterInput): ClusterInit {
  if (dnsEndpoint !== undefined)
    return {
      clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.LOGICAL_DNS },
      loadAssignment: loadAssignment({ name, endpoints: [dnsEndpoint] }),
    };
  return {
    clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.EDS },
    edsClusterConfig: {
      serviceName: name,
      edsConfig: { configSourceSpecifier: { case: 'ads', value: {} } },
    },
  };
}

/**
 * Round robin, which is what gRPC does unasked; a ring for any consistent hash, the only one that it knows. Least
 * request not all libraries have: those that do not go round. Random and the rest are for proxies.
 */
function balancingOf(balancer: LoadBalancer | undefined): ClusterInit {
  if (balancer?.consistentHash !== undefined) {
    const ring = loadBalancing(balancer);
    return ring.lbPolicy === Cluster_LbPolicy.MAGLEV ? { lbPolicy: Cluster_LbPolicy.RING_HASH } : ring;
  }
  if (balancer?.simple !== 'LEAST_REQUEST' && balancer?.simple !== 'LEAST_CONN') return {};
  return {
    loadBalancingPolicy: policyOf(
      'envoy.load_balancing_policies.wrr_locality',
      pack(WrrLocalitySchema, {
        endpointPickingPolicy: {
          policies: [
            ...policyOf('envoy.load_balancing_policies.least_request', pack(LeastRequestSchema, {})).policies,
            ...policyOf('envoy.load_balancing_policies.round_robin', pack(RoundRobinSchema, {})).policies,
          ],
        },
      }),
    ),
  };
}

function policyOf(
  name: string,
  typedConfig: ReturnType<typeof pack>,
): { policies: NonNullable<MessageInitShape<typeof LoadBalancingPolicySchema>['policies']> } {
  return { policies: [{ typedExtensionConfig: { name, typedConfig } }] };
}

/** Of all limits gRPC knows this one alone (gRFC A32). */
function circuitBreakersOf(
  maxRequests: number | undefined,
): MessageInitShape<typeof CircuitBreakersSchema> | undefined {
  return maxRequests === undefined ? undefined : { thresholds: [{ maxRequests }] };
}

/**
 * gRPC does not count errors in a row, it looks at what share of an interval's calls failed (gRFC A50). What comes
 * nearest to N errors in a row: an endpoint that had N calls or more in an interval, all of which failed.
 */
function outlierDetectionOf(
  outlier: OutlierDetection | undefined,
): MessageInitShape<typeof OutlierDetectionSchema> | undefined {
  if (outlier === undefined) return undefined;
  const errors = outlier.consecutive5xxErrors ?? outlier.consecutiveGatewayErrors ?? defaultErrors;
  const interval = durationOf(outlier.interval);
  const baseEjectionTime = durationOf(outlier.baseEjectionTime);
  const percent = outlier.maxEjectionPercent ?? 0;
  return {
    enforcingSuccessRate: 0,
    enforcingFailurePercentage: errors > 0 ? 100 : 0,
    // A share must be greater than this.
    failurePercentageThreshold: 99,
    failurePercentageRequestVolume: Math.max(1, errors),
    failurePercentageMinimumHosts: 1,
    ...(interval === undefined ? {} : { interval }),
    ...(baseEjectionTime === undefined ? {} : { baseEjectionTime }),
    ...(percent > 0 ? { maxEjectionPercent: percent } : {}),
  };
}

/** Envoy's, of errors in a row. */
const defaultErrors = 5;

function provenanceOf({ origins, serviceOrigin }: GrpcClusterInput): readonly Provenance[] {
  const parts: readonly (readonly [string, Origin | undefined])[] = [
    ['', serviceOrigin],
    ['circuitBreakers', origins.connectionPool],
    ['outlierDetection', origins.outlierDetection],
    ['lbPolicy', origins.loadBalancer],
    ['transportSocket', origins.tls],
  ];
  return parts.flatMap(([at, origin]) => (origin === undefined ? [] : [{ at, origin }]));
}
