// What a mesh routes to.
import type { HealthCheck } from './health-check.ts';
import type { Hostname } from './hostname.ts';
import { isWildcard } from './hostname.ts';
import type { Origin } from './origin.ts';

/**
 * How the port's traffic is read. `unsupported` is Istio's word for a port whose name says nothing:
 * the proxy sniffs it.
 */
export type Protocol =
  | 'HTTP'
  | 'HTTP2'
  | 'GRPC'
  | 'GRPC-Web'
  | 'HTTPS'
  | 'TLS'
  | 'TCP'
  | 'UDP'
  | 'Mongo'
  | 'Redis'
  | 'MySQL'
  | 'HTTP_PROXY'
  | 'unsupported';

export interface ServicePort {
  readonly name: string;
  /** The port that clients name. */
  readonly servicePort: number;
  readonly protocol: Protocol;
  /** Kubernetes targetPort: a number, or a name looked up on each pod. Absent: the same as servicePort. */
  readonly targetPort?: number | string;
}

/**
 * Where endpoints come from. `client-side`: EDS. `dns`: STRICT_DNS. `dns-round-robin`: LOGICAL_DNS.
 * `passthrough`: the address that the client called (headless Services, ServiceEntry NONE).
 * `alias`: another service (ExternalName). `dynamic-dns`: dynamic forward proxy.
 */
export type Resolution = 'client-side' | 'dns' | 'dns-round-robin' | 'passthrough' | 'alias' | 'dynamic-dns';

export interface Service {
  readonly hostname: Hostname;
  /** The object's own name and namespace. */
  readonly name: string;
  readonly namespace: string;
  readonly ports: readonly ServicePort[];
  /** Virtual IPs (or CIDRs of a ServiceEntry), the first being the primary one; empty if it has none. */
  readonly addresses: readonly string[];
  /** Where several Kubernetes clusters have it: id of the cluster (empty: the mesh's own) -> its virtual IPs there. */
  readonly clusterAddresses?: Readonly<Record<string, readonly string[]>>;
  /** Virtual IPs for proxies that answer DNS themselves, where the service has none of its own. */
  readonly allocatedAddresses?: { readonly v4?: string; readonly v6?: string };
  readonly resolution: Resolution;
  readonly meshExternal: boolean;
  readonly registry: 'Kubernetes' | 'External';
  /** Namespaces that see it; `*` is all. */
  readonly exportTo: readonly string[];
  /** Labels that choose its workloads; undefined where it has no selector. */
  readonly selector?: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  /** Target of an alias. */
  readonly aliasOf?: Hostname;
  readonly subjectAltNames: readonly string[];
  /** Service accounts of its namespace that its workloads may have, beside those that its endpoints show. */
  readonly serviceAccounts?: readonly string[];
  readonly publishNotReady: boolean;
  /** internalTrafficPolicy Local: clients are sent to endpoints of their own node alone. */
  readonly isNodeLocal?: boolean;
  /** What clients prefer, where no DestinationRule says otherwise: their zone, or their node. */
  readonly trafficDistribution?: 'PreferSameZone' | 'PreferSameNode';
  /** How its endpoints are to be checked by clients that offer to (HDS). */
  readonly healthCheck?: HealthCheck;
  /** The Kubernetes cluster of its object; absent: the mesh's own. */
  readonly clusterId?: string;
  /** Milliseconds since the epoch; 0 where the object has no creationTimestamp. Older wins conflicts. */
  readonly creationTimeMs: number;
  readonly origin: Origin;
}

export type Health = 'HEALTHY' | 'UNHEALTHY' | 'DRAINING';

export interface Locality {
  readonly region: string;
  readonly zone: string;
  readonly subzone: string;
}

/** The first two labels of a Pod's own DNS name. */
export interface PodName {
  readonly hostname: string;
  readonly subdomain: string;
}

/** One instance of one port of a service. */
export interface Endpoint {
  /** IP address, DNS name or `unix://path`; empty where only the gateway of its network leads to it. */
  readonly address: string;
  /** Further addresses of the same workload: the other family's. */
  readonly otherAddresses?: readonly string[];
  readonly endpointPort: number;
  /** Name and number of the service port that it serves. */
  readonly servicePortName: string;
  readonly servicePort: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly namespace: string;
  readonly workloadName: string;
  /** Of a Pod that names a subdomain: what DNS calls it, `<hostname>.<subdomain>.<namespace>.svc...`. */
  readonly podName?: PodName;
  readonly serviceAccount: string;
  readonly network: string;
  /** Id of the Kubernetes cluster that it runs in, as metrics and metadata name it. */
  readonly clusterId: string;
  readonly locality: Locality;
  readonly nodeName: string;
  /** `istio` if the workload has a sidecar that takes mTLS (label security.istio.io/tlsMode). */
  readonly tlsMode: 'istio' | 'disabled';
  readonly health: Health;
  /** Load-balancing weight, 1 or more. */
  readonly weight: number;
}

/** A wildcard name that is resolved when it is called; one that is no wildcard is a service like others. */
export function isDynamicDns({ resolution, hostname }: Service): boolean {
  return resolution === 'dynamic-dns' && isWildcard(hostname);
}

/**
 * Whether clients keep to the endpoint that they had first: then one that is going away is still an endpoint, DRAINING.
 * Istio: PILOT_PERSISTENT_SESSION_LABEL, PILOT_PERSISTENT_SESSION_HEADER_LABEL.
 */
export function keepsSessions({ labels }: Pick<Service, 'labels'>): boolean {
  const names = ['istio.io/persistent-session', 'istio.io/persistent-session-header'];
  return names.some((name) => (labels[name] ?? '') !== '');
}
