// /clusters: every cluster with its limits and hosts, as text and as envoy.admin.v3.Clusters.
import type { JsonObject } from '@bufbuild/protobuf';
import { create } from '@bufbuild/protobuf';
import type { ClusterLoadAssignment } from '../../api/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { ClusterLoadAssignmentSchema } from '../../api/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import type { LbEndpoint } from '../../api/gen/envoy/config/endpoint/v3/endpoint_components_pb.js';
import {
  EndpointSchema,
  LbEndpointSchema,
  LocalityLbEndpointsSchema,
} from '../../api/gen/envoy/config/endpoint/v3/endpoint_components_pb.js';
import { HealthStatus } from '../../api/gen/envoy/config/core/v3/health_check_pb.js';
import { RoutingPriority } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import type { Cluster } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import type { ClusterEntry } from '../cluster-manager/cluster-manager.ts';
import type { Host } from '../upstream/host.ts';

interface Limits {
  readonly maxConnections: number;
  readonly maxPendingRequests: number;
  readonly maxRequests: number;
  readonly maxRetries: number;
}

/** Lines of `cluster::host::name::value`. */
export function printClusters(entries: readonly ClusterEntry[]): string {
  return entries.map(printCluster).join('');
}

export function clustersJson(entries: readonly ClusterEntry[]): JsonObject {
  return { cluster_statuses: entries.map(clusterJson) };
}

/** The hosts of a cluster as a ClusterLoadAssignment. */
export function staticAssignment(entry: ClusterEntry): ClusterLoadAssignment {
  return create(ClusterLoadAssignmentSchema, {
    clusterName: entry.name,
    endpoints: entry.upstream.hosts.map((host) =>
      create(LocalityLbEndpointsSchema, {
        locality: host.locality,
        priority: host.priority,
        lbEndpoints: [lbEndpoint(host)],
      }),
    ),
  });
}

function lbEndpoint(host: Host): LbEndpoint {
  const { address, port } = host.address;
  return create(LbEndpointSchema, {
    hostIdentifier: {
      case: 'endpoint',
      value: create(EndpointSchema, {
        address: {
          address: {
            case: 'socketAddress',
            value: { address, portSpecifier: { case: 'portValue', value: port } },
          },
        },
        hostname: host.hostname,
      }),
    },
    healthStatus: HealthStatus[host.health],
    loadBalancingWeight: host.weight,
  });
}

function printCluster(entry: ClusterEntry): string {
  const { name, config } = entry;
  const lines = [`observability_name::${observabilityName(config)}`];
  for (const [priority, limits] of [
    ['default', limitsOf(config, RoutingPriority.DEFAULT)],
    ['high', limitsOf(config, RoutingPriority.HIGH)],
  ] as const) {
    lines.push(
      `${priority}_priority::max_connections::${limits.maxConnections}`,
      `${priority}_priority::max_pending_requests::${limits.maxPendingRequests}`,
      `${priority}_priority::max_requests::${limits.maxRequests}`,
      `${priority}_priority::max_retries::${limits.maxRetries}`,
    );
  }
  lines.push(`added_via_api::${entry.versionInfo !== undefined}`);
  const edsName = edsServiceName(config);
  if (edsName !== '') lines.push(`eds_service_name::${edsName}`);
  for (const host of entry.upstream.hosts) {
    for (const [field, value] of hostFields(host)) lines.push(`${host.address.text}::${field}::${value}`);
  }
  return lines.map((line) => `${name}::${line}\n`).join('');
}

function hostFields(host: Host): (readonly [string, string | number])[] {
  const { stats, locality } = host;
  return [
    ['cx_active', stats.cxActive],
    ['cx_connect_fail', stats.cxConnectFail],
    ['cx_total', stats.cxTotal],
    ['rq_active', stats.rqActive],
    ['rq_error', stats.rqError],
    ['rq_success', stats.rqSuccess],
    ['rq_timeout', stats.rqTimeout],
    ['rq_total', stats.rqTotal],
    ['hostname', host.hostname],
    ['health_flags', healthFlags(host)],
    ['weight', host.weight],
    ['region', locality.region],
    ['zone', locality.zone],
    ['sub_zone', locality.subZone],
    ['canary', 'false'],
    ['priority', host.priority],
    ['success_rate', '-1'],
    ['local_origin_success_rate', '-1'],
  ];
}

function healthFlags(host: Host): string {
  const flags = [
    host.ejected ? '/failed_outlier_check' : '',
    host.health === 'UNHEALTHY' ? '/failed_eds_health' : '',
    host.health === 'DEGRADED' ? '/degraded_eds_health' : '',
  ].join('');
  return flags === '' ? 'healthy' : flags;
}

function clusterJson(entry: ClusterEntry): JsonObject {
  const { config } = entry;
  const edsName = edsServiceName(config);
  return {
    name: entry.name,
    ...(entry.versionInfo === undefined ? {} : { added_via_api: true }),
    host_statuses: entry.upstream.hosts.map(hostJson),
    circuit_breakers: {
      thresholds: [
        limitsJson(limitsOf(config, RoutingPriority.DEFAULT)),
        { priority: 'HIGH', ...limitsJson(limitsOf(config, RoutingPriority.HIGH)) },
      ],
    },
    observability_name: observabilityName(config),
    ...(edsName === '' ? {} : { eds_service_name: edsName }),
  };
}

/** As protobuf prints: zeros and empty texts are left out. */
function hostJson(host: Host): JsonObject {
  const { stats, locality } = host;
  const counter = (name: string, value: number): JsonObject => ({
    ...(value === 0 ? {} : { value: String(value) }),
    name,
  });
  const gauge = (name: string, value: number): JsonObject => ({ type: 'GAUGE', ...counter(name, value) });
  return {
    address: { socket_address: { address: host.address.address, port_value: host.address.port } },
    stats: [
      counter('cx_connect_fail', stats.cxConnectFail),
      counter('cx_total', stats.cxTotal),
      counter('rq_error', stats.rqError),
      counter('rq_success', stats.rqSuccess),
      counter('rq_timeout', stats.rqTimeout),
      counter('rq_total', stats.rqTotal),
      gauge('cx_active', stats.cxActive),
      gauge('rq_active', stats.rqActive),
    ],
    health_status: {
      ...(host.ejected ? { failed_outlier_check: true } : {}),
      eds_health_status: host.health,
    },
    weight: host.weight,
    ...(host.hostname === '' ? {} : { hostname: host.hostname }),
    ...(host.priority === 0 ? {} : { priority: host.priority }),
    locality: {
      ...(locality.region === '' ? {} : { region: locality.region }),
      ...(locality.zone === '' ? {} : { zone: locality.zone }),
      ...(locality.subZone === '' ? {} : { sub_zone: locality.subZone }),
    },
  };
}

/** Envoy's defaults where the configuration is silent: 1024, and 3 retries. */
function limitsOf(config: Cluster, priority: RoutingPriority): Limits {
  const thresholds = config.circuitBreakers?.thresholds.find((entry) => entry.priority === priority);
  return {
    maxConnections: thresholds?.maxConnections ?? 1024,
    maxPendingRequests: thresholds?.maxPendingRequests ?? 1024,
    maxRequests: thresholds?.maxRequests ?? 1024,
    maxRetries: thresholds?.maxRetries ?? 3,
  };
}

function limitsJson(limits: Limits): JsonObject {
  return {
    max_connections: limits.maxConnections,
    max_pending_requests: limits.maxPendingRequests,
    max_requests: limits.maxRequests,
    max_retries: limits.maxRetries,
  };
}

function observabilityName(config: Cluster): string {
  return config.altStatName === '' ? config.name : config.altStatName;
}

function edsServiceName(config: Cluster): string {
  return config.edsClusterConfig?.serviceName ?? '';
}
