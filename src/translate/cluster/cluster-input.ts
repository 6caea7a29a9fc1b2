// What each kind of cluster is built from. Plain data: it is the cache key of the build.
import type { ClusterName } from '../../model/cluster-name.ts';
import type { Origin } from '../../model/origin.ts';
import type { Endpoint, Protocol } from '../../model/service.ts';
import type { LayeredPolicy } from '../destination-rule.ts';
import type { Failover } from '../endpoint/locality-failover.ts';
import type { ConfigIdentity } from '../proto-values.ts';

/** How Envoy finds the endpoints of an outbound cluster. */
export type Discovery = 'EDS' | 'STRICT_DNS' | 'LOGICAL_DNS' | 'ORIGINAL_DST';

/** What metadata says of a service. */
export interface ServiceIdentity {
  readonly host: string;
  readonly name: string;
  readonly namespace: string;
}

export interface OutboundClusterInput {
  readonly kind: 'outbound';
  readonly name: ClusterName;
  readonly discovery: Discovery;
  readonly protocol: Protocol;
  /** Whether the upstream is asked in the protocol of the downstream: sniffed ports of sidecars. */
  readonly followsDownstream: boolean;
  readonly service: ServiceIdentity;
  readonly serviceOrigin: Origin;
  readonly meshExternal: boolean;
  /** ORIGINAL_DST: the port to connect to where it is not the one that the client called. */
  readonly upstreamPort?: number;
  readonly policy: LayeredPolicy;
  /** Absent: no DestinationRule. */
  readonly destinationRule?: ConfigIdentity;
  readonly destinationRuleOrigins: readonly Origin[];
  readonly subsetOrigin?: Origin;
  /** STRICT_DNS and LOGICAL_DNS: what stands in the cluster itself. */
  readonly endpoints: readonly Endpoint[];
  /** Of those endpoints. */
  readonly failover?: Failover;
  readonly connectTimeoutMs: number;
  readonly dnsRefreshRateMs: number;
  readonly addressFamily: AddressFamily;
}

export interface InboundClusterInput {
  readonly kind: 'inbound';
  readonly targetPort: number;
  readonly protocol: Protocol;
  /** Services with the same service port that lead here, for metadata. */
  readonly services: readonly ServiceIdentity[];
  readonly serviceOrigin: Origin;
  /** Only its connectionPool counts on the receiving side. */
  readonly policy: LayeredPolicy;
  readonly destinationRule?: ConfigIdentity;
  /** LOOPBACK: where the app listens. Absent: the connection's original destination. */
  readonly appAddress?: string;
  readonly connectTimeoutMs: number;
  readonly addressFamily: AddressFamily;
}

/** The clusters that every proxy has, whatever there is in the mesh. */
export interface BuiltInClusterInput {
  readonly kind: 'black-hole' | 'passthrough' | 'inbound-passthrough';
  readonly connectTimeoutMs: number;
  readonly addressFamily: AddressFamily;
}

export type ClusterInput = OutboundClusterInput | InboundClusterInput | BuiltInClusterInput;

/** Of the proxy's own addresses. */
export type AddressFamily = 'v4' | 'v6' | 'dual';

export function addressFamilyOf(ipAddresses: readonly string[]): AddressFamily {
  const v6 = ipAddresses.filter((address) => address.includes(':')).length;
  if (v6 === 0) return 'v4';
  return v6 === ipAddresses.length ? 'v6' : 'dual';
}
