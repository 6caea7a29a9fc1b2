// ClusterLoadAssignment -> the flat list of endpoints that an UpstreamCluster takes.
import { isIP } from 'node:net';
import type { Address } from '../../api/gen/envoy/config/core/v3/address_pb.js';
import { HealthStatus } from '../../api/gen/envoy/config/core/v3/health_check_pb.js';
import type { ClusterLoadAssignment } from '../../api/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import {
  ClusterLoadAssignmentSchema,
  ClusterLoadAssignment_PolicySchema,
} from '../../api/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import type { LbEndpoint } from '../../api/gen/envoy/config/endpoint/v3/endpoint_components_pb.js';
import {
  EndpointSchema,
  LbEndpointSchema,
  LocalityLbEndpointsSchema,
} from '../../api/gen/envoy/config/endpoint/v3/endpoint_components_pb.js';
import { ConfigError } from '../config-error.ts';
import { socketAddress } from '../io/socket-address.ts';
import { refuseFields } from '../refuse-fields.ts';
import type { EdsHealth, EndpointUpdate } from '../upstream/host.ts';
import type { TransportSocketCheck } from './transport-socket.ts';

/** An endpoint whose address may still be a name. */
export interface EndpointTarget {
  /** IP address or DNS name. */
  readonly address: string;
  readonly port: number;
  readonly isName: boolean;
  /** Everything but the address. */
  readonly update: Omit<EndpointUpdate, 'address'>;
}

export interface Assignment {
  readonly targets: readonly EndpointTarget[];
  readonly overprovisioningPercent: number;
}

const defaultOverprovisioningPercent = 140;
/** RFC 1035 3.1. */
const hostnameLengthMax = 255;
/** A priority beyond this is refused, as in Envoy. */
const priorityMax = 128;

/** Throws ConfigError with the path of what this proxy does not do, and of malformed addresses. */
export function readAssignment(
  assignment: ClusterLoadAssignment | undefined,
  path: string,
  checkTransportSocket: TransportSocketCheck,
): Assignment {
  if (assignment === undefined)
    return { targets: [], overprovisioningPercent: defaultOverprovisioningPercent };
  refuseFields(
    ClusterLoadAssignmentSchema,
    assignment,
    path,
    new Set(['cluster_name', 'endpoints', 'policy']),
  );
  if (assignment.policy !== undefined) {
    refuseFields(
      ClusterLoadAssignment_PolicySchema,
      assignment.policy,
      join(path, 'policy'),
      new Set(['overprovisioning_factor']),
    );
  }
  const targets: EndpointTarget[] = [];
  assignment.endpoints.forEach((group, groupIndex) => {
    const groupPath = join(path, `endpoints[${groupIndex}]`);
    refuseFields(
      LocalityLbEndpointsSchema,
      group,
      groupPath,
      new Set(['locality', 'lb_endpoints', 'load_balancing_weight', 'priority', 'proximity', 'metadata']),
    );
    if (group.priority > priorityMax) {
      throw new ConfigError(`${groupPath}.priority`, `${group.priority} is above ${priorityMax}`);
    }
    const locality = {
      region: group.locality?.region ?? '',
      zone: group.locality?.zone ?? '',
      subZone: group.locality?.subZone ?? '',
    };
    group.lbEndpoints.forEach((endpoint, index) => {
      const endpointPath = `${groupPath}.lb_endpoints[${index}]`;
      checkTransportSocket(endpoint.metadata, endpointPath);
      const where = readEndpoint(endpoint, endpointPath);
      targets.push({
        address: where.address,
        port: where.port,
        isName: isIP(where.address) === 0,
        update: {
          hostname: where.hostname,
          weight: endpoint.loadBalancingWeight ?? 1,
          health: readHealth(endpoint.healthStatus),
          priority: group.priority,
          locality,
          localityWeight: group.loadBalancingWeight,
          metadata: endpoint.metadata?.filterMetadata,
        },
      });
    });
  });
  return {
    targets,
    overprovisioningPercent: assignment.policy?.overprovisioningFactor ?? defaultOverprovisioningPercent,
  };
}

/** Endpoints that need no resolution. Throws ConfigError for a name, as Envoy does for STATIC and EDS. */
export function fixedEndpoints(assignment: Assignment, path: string): EndpointUpdate[] {
  return assignment.targets.map((target) => {
    if (target.isName) {
      throw new ConfigError(
        path,
        `malformed IP address: ${target.address}; consider setting the cluster type to STRICT_DNS or LOGICAL_DNS`,
      );
    }
    return { ...target.update, address: socketAddress(target.address, target.port) };
  });
}

/** The IP socket address of `address`. Throws ConfigError for pipes, internal addresses and named ports. */
export function readSocketAddress(
  address: Address | undefined,
  path: string,
): { readonly address: string; readonly port: number } {
  const kind = address?.address;
  if (kind?.case !== 'socketAddress') {
    throw new ConfigError(path, `${kind?.case ?? 'nothing'} is not supported; use socket_address`);
  }
  if (kind.value.portSpecifier.case !== 'portValue') {
    throw new ConfigError(`${path}.socket_address`, 'named_port is not supported; use port_value');
  }
  if (kind.value.resolverName !== '') {
    throw new ConfigError(`${path}.socket_address.resolver_name`, 'is not supported');
  }
  const { address: text } = kind.value;
  const port = kind.value.portSpecifier.value;
  if (text === '' || text.length > hostnameLengthMax) {
    throw new ConfigError(
      `${path}.socket_address.address`,
      text === '' ? 'is required' : `has ${text.length} characters, ${hostnameLengthMax} are allowed`,
    );
  }
  if (port > 65_535) throw new ConfigError(`${path}.socket_address.port_value`, `${port} is above 65535`);
  return { address: text, port };
}

function readEndpoint(
  endpoint: LbEndpoint,
  path: string,
): { address: string; port: number; hostname: string } {
  refuseFields(
    LbEndpointSchema,
    endpoint,
    path,
    new Set(['endpoint', 'health_status', 'metadata', 'load_balancing_weight']),
  );
  if (endpoint.hostIdentifier.case !== 'endpoint') throw new ConfigError(`${path}.endpoint`, 'is required');
  const body = endpoint.hostIdentifier.value;
  refuseFields(
    EndpointSchema,
    body,
    `${path}.endpoint`,
    new Set(['address', 'hostname', 'health_check_config']),
  );
  return { ...readSocketAddress(body.address, `${path}.endpoint.address`), hostname: body.hostname };
}

function readHealth(status: HealthStatus): EdsHealth {
  if (status === HealthStatus.UNKNOWN || status === HealthStatus.HEALTHY) return 'HEALTHY';
  return status === HealthStatus.DEGRADED ? 'DEGRADED' : 'UNHEALTHY';
}

function join(path: string, field: string): string {
  return path === '' ? field : `${path}.${field}`;
}
