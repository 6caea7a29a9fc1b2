// What explain sees of a mesh, whether it runs or is only written down. Offline it comes from the control plane's
// own translation (offline.ts), live from debug pages and admin ports (live.ts).
import type { Cluster } from '../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import type { ClusterLoadAssignment } from '../api/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import type { Listener } from '../api/gen/envoy/config/listener/v3/listener_pb.js';
import type { RouteConfiguration } from '../api/gen/envoy/config/route/v3/route_pb.js';
import type { FieldPath } from '../model/origin.ts';
import type { InterceptionMode, ProxyType } from '../model/proxy-node.ts';
import type { Endpoint, Service } from '../model/service.ts';
import type { SourceRef } from './trace.ts';

/** The generated configuration of one proxy. */
export interface ProxyConfiguration {
  readonly listeners: readonly Listener[];
  routes(name: string): RouteConfiguration | undefined;
  cluster(name: string): Cluster | undefined;
  clusterNames(): readonly string[];
  /** By the name under which the cluster asks for its endpoints. */
  assignment(name: string): ClusterLoadAssignment | undefined;
  /** The origins that stand nearest above a place (`virtualHosts[0].routes[2]`) of a resource. */
  sources(type: 'LDS' | 'RDS' | 'CDS', resource: string, at: string): readonly SourceRef[];
}

/** What of a proxy counts for where connections go. */
export interface ProxyFacts {
  readonly type: ProxyType;
  readonly interceptionMode: InterceptionMode;
  /** LOOPBACK sidecars: where apps send their requests. */
  readonly httpProxyPort?: number;
}

export interface ProxyView extends ProxyFacts {
  readonly configuration: ProxyConfiguration;
}

/** A pod, or a workload that is written down with an address. */
export interface Workload {
  readonly name: string;
  readonly namespace: string;
  readonly addresses: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly workloadName: string;
  readonly hasProxy: boolean;
  readonly isGateway: boolean;
  readonly ready: boolean;
  readonly terminating: boolean;
}

/** A user's object that takes part in routing. */
export interface MeshObject {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly spec: unknown;
  /** The place of a field, or of the object where fields are not known. */
  readonly locate: (path: FieldPath) => SourceRef;
}

export interface MeshView {
  readonly domainSuffix: string;
  readonly rootNamespace: string;
  readonly workloads: readonly Workload[];
  readonly services: readonly Service[];
  /** Undefined: the workload has no proxy. Rejects with a UserError where it cannot be asked. */
  proxyOf(workload: Workload): Promise<ProxyView | undefined>;
  /** Every endpoint of a port of a service, whatever its subset. */
  endpoints(service: Service, servicePort: number): readonly Endpoint[];
  objects(kind: string): readonly MeshObject[];
}

export function workloadId({ name, namespace }: Pick<Workload, 'name' | 'namespace'>): string {
  return `${name}.${namespace}`;
}

/** The pod that has this address; empty where none has it, or there is no address. */
export function podAt(mesh: MeshView, address: string | undefined): string {
  if (address === undefined) return '';
  const workload = mesh.workloads.find(({ addresses }) => addresses.includes(address));
  return workload === undefined ? '' : workloadId(workload);
}
