// The endpoints of a cluster, and why each is in or out.
import { HealthStatus } from '../api/gen/envoy/config/core/v3/health_check_pb.js';
import type { Address } from '../api/gen/envoy/config/core/v3/address_pb.js';
import type { Metadata } from '../api/gen/envoy/config/core/v3/base_pb.js';
import type { Cluster } from '../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import type { LbEndpoint } from '../api/gen/envoy/config/endpoint/v3/endpoint_components_pb.js';
import type { ClusterLoadAssignment } from '../api/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import type { Endpoint, Service } from '../model/service.ts';
import { labelsMatch } from '../model/labels.ts';
import type { MeshView } from './mesh-view.ts';
import { podAt, workloadId } from './mesh-view.ts';
import type { EndpointTrace } from './trace.ts';
import { upstreamTransport } from './transport.ts';

type Labels = Readonly<Record<string, string>>;

/** What is known of a cluster's service. */
export interface ClusterService {
  readonly service: Service;
  readonly servicePort: number;
  /** Labels that the subset asks for; undefined for the whole service. */
  readonly subsetLabels: Labels | undefined;
}

/** An endpoint that the proxy has, with what its transport is chosen by. */
export interface ProxyEndpoint {
  readonly trace: EndpointTrace;
  readonly metadata: Metadata | undefined;
  /** Undefined for pipes. */
  readonly address: string | undefined;
  readonly port: number;
}

/** Those that the proxy has, by priority; then those that it does not have, though the service does. */
export function endpointsOf(
  mesh: MeshView,
  cluster: Cluster,
  assignment: ClusterLoadAssignment | undefined,
  about: ClusterService | undefined,
): { readonly known: readonly ProxyEndpoint[]; readonly all: readonly EndpointTrace[] } {
  const known = knownEndpoints(mesh, cluster, assignment);
  const addresses = new Set(known.map(({ trace }) => trace.address));
  const others = about === undefined ? [] : missingEndpoints(mesh, about, addresses);
  return { known, all: [...known.map(({ trace }) => trace), ...others] };
}

function knownEndpoints(
  mesh: MeshView,
  cluster: Cluster,
  assignment: ClusterLoadAssignment | undefined,
): readonly ProxyEndpoint[] {
  const groups = assignment?.endpoints ?? [];
  const usable = groups.filter(({ lbEndpoints }) => lbEndpoints.some(isHealthy));
  const best = Math.min(...usable.map(({ priority }) => priority));
  return groups
    .flatMap((group) =>
      group.lbEndpoints.map((endpoint): ProxyEndpoint => {
        const host = endpoint.hostIdentifier;
        const where = host.case === 'endpoint' ? addressOf(host.value.address) : undefined;
        const locality = [group.locality?.region, group.locality?.zone, group.locality?.subZone]
          .filter((part) => part !== undefined && part !== '')
          .join('/');
        return {
          trace: {
            address: where?.text ?? '?',
            pod: podAt(mesh, where?.address),
            ...stateOf(endpoint, group.priority, best),
            priority: group.priority,
            weight: endpoint.loadBalancingWeight ?? 1,
            locality,
            transport: upstreamTransport(cluster, endpoint.metadata).text,
          },
          metadata: endpoint.metadata,
          address: where?.address,
          port: where?.port ?? 0,
        };
      }),
    )
    .sort((a, b) => a.trace.priority - b.trace.priority);
}

function stateOf(
  endpoint: LbEndpoint,
  priority: number,
  best: number,
): Pick<EndpointTrace, 'state' | 'reason'> {
  if (!isHealthy(endpoint)) {
    const draining = endpoint.healthStatus === HealthStatus.DRAINING;
    return { state: 'out', reason: draining ? 'draining' : 'not ready' };
  }
  if (priority > best)
    return { state: 'standby', reason: `priority ${priority}: only when priority ${best} is not healthy` };
  return { state: 'in', reason: '' };
}

function isHealthy({ healthStatus }: LbEndpoint): boolean {
  return (
    healthStatus === HealthStatus.UNKNOWN ||
    healthStatus === HealthStatus.HEALTHY ||
    healthStatus === HealthStatus.DEGRADED
  );
}

function missingEndpoints(
  mesh: MeshView,
  { service, servicePort, subsetLabels }: ClusterService,
  known: ReadonlySet<string>,
): readonly EndpointTrace[] {
  const out = (address: string, pod: string, reason: string): EndpointTrace => ({
    address,
    pod,
    state: 'out',
    reason,
    priority: 0,
    weight: 0,
    locality: '',
    transport: '',
  });
  const endpoints = mesh
    .endpoints(service, servicePort)
    .filter((endpoint) => !known.has(endpointText(endpoint)))
    .map((endpoint) =>
      out(endpointText(endpoint), podAt(mesh, endpoint.address), reasonFor(endpoint, subsetLabels)),
    );
  const listed = new Set(mesh.endpoints(service, servicePort).map(({ address }) => address));
  const { selector } = service;
  const leaving = mesh.workloads.filter(
    ({ namespace, labels, terminating, addresses }) =>
      terminating &&
      selector !== undefined &&
      namespace === service.namespace &&
      labelsMatch(selector, labels) &&
      !addresses.some((address) => listed.has(address)),
  );
  return [
    ...endpoints,
    ...leaving.map((workload) => out(workload.addresses[0] ?? '', workloadId(workload), 'terminating')),
  ];
}

function reasonFor(endpoint: Endpoint, subsetLabels: Labels | undefined): string {
  const misses = Object.entries(subsetLabels ?? {}).flatMap(([name, wanted]) => {
    const value = endpoint.labels[name];
    if (value === wanted) return [];
    return [
      value === undefined
        ? `has no label ${name} (the subset wants ${wanted})`
        : `label ${name} is ${value}, the subset wants ${wanted}`,
    ];
  });
  if (misses.length > 0) return misses.join('; ');
  if (endpoint.health === 'UNHEALTHY') return 'not ready';
  if (endpoint.health === 'DRAINING') return 'draining';
  if (endpoint.network !== '') return `in network ${endpoint.network}, which is reached through its gateway`;
  return 'the proxy does not have it (yet)';
}

/** Of a service's pods the selector's labels that the nearest ones lack: why a service has no endpoints at all. */
export function nearestPods(mesh: MeshView, service: Service): readonly string[] {
  const { selector, namespace } = service;
  if (selector === undefined) return [];
  const wanted = Object.entries(selector);
  const ranked = mesh.workloads
    .filter((workload) => workload.namespace === namespace)
    .map((workload) => ({
      workload,
      misses: wanted.filter(([name, value]) => workload.labels[name] !== value),
    }))
    .filter(({ misses }) => misses.length > 0 && misses.length < Math.max(2, wanted.length))
    .sort((a, b) => a.misses.length - b.misses.length);
  const texts = ranked.map(({ workload, misses }) => {
    const what = misses.map(
      ([name, value]) => `${name} is ${workload.labels[name] ?? 'absent'}, not ${value}`,
    );
    return `pods of ${workload.workloadName}: label ${what.join(', ')}`;
  });
  return [...new Set(texts)].slice(0, 3);
}

function endpointText({ address, endpointPort }: Endpoint): string {
  if (address.startsWith('unix://')) return address;
  return address.includes(':') ? `[${address}]:${endpointPort}` : `${address}:${endpointPort}`;
}

function addressOf(
  address: Address | undefined,
): { address?: string; port: number; text: string } | undefined {
  const socket = address?.address;
  if (socket?.case === 'pipe') return { port: 0, text: `unix://${socket.value.path}` };
  if (socket?.case !== 'socketAddress') return undefined;
  const { address: ip, portSpecifier } = socket.value;
  const port = portSpecifier.case === 'portValue' ? portSpecifier.value : 0;
  return { address: ip, port, text: ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}` };
}
