// What each kind of cluster is built from. Plain data: it is the cache key of the build.
import type { MeshConfig, TcpKeepalive, TlsDefaults } from '../../config/mesh-config.ts';
import type { ClusterName } from '../../model/cluster-name.ts';
import type { Origin } from '../../model/origin.ts';
import type { Endpoint, Protocol } from '../../model/service.ts';
import type { ConnectionPool } from '../destination-rule.ts';
import type { LayeredPolicy } from '../layered-policy.ts';
import type { LocalityLb } from '../endpoint/locality-lb.ts';
import type { ConfigIdentity } from '../proto-values.ts';
import type { ClientTls } from '../tls/upstream-tls.ts';

/** How Envoy finds the endpoints of an outbound cluster. */
export type Discovery = 'EDS' | 'STRICT_DNS' | 'LOGICAL_DNS' | 'ORIGINAL_DST' | 'DYNAMIC_DNS';

/** What metadata says of a service. */
export interface ServiceIdentity {
  readonly host: string;
  readonly name: string;
  readonly namespace: string;
}

/** How the upstream is spoken to. Plain TCP has none. */
export type UpstreamSecurity =
  /** As a rule's `tls` says, mode SIMPLE or MUTUAL. */
  | {
      readonly kind: 'client-tls';
      readonly tls: ClientTls;
      readonly defaults: TlsDefaults;
      /** Whether the rule itself lists names that the upstream must have. */
      readonly isNamed: boolean;
    }
  /** Mutual TLS of the mesh. `isAutomatic`: of endpoints that take it alone; else of all, as a rule says. */
  | {
      readonly kind: 'mutual-tls';
      readonly sni: string;
      readonly subjectAltNames: readonly string[];
      readonly isAutomatic: boolean;
    };

/** What the mesh says of all connections to upstreams. */
export interface UpstreamDefaults {
  readonly connectTimeoutMs: number;
  readonly tcpKeepalive?: TcpKeepalive;
  /** Of clusters that stand for no service: PassthroughCluster. */
  readonly connectionPool?: ConnectionPool;
}

export interface OutboundClusterInput {
  readonly kind: 'outbound';
  readonly name: ClusterName;
  /** Between networks: reached by a name that is a server name, its connections passed on as they are. */
  readonly isSniDnat: boolean;
  /** Of its statistics, where the mesh has a pattern for it. */
  readonly statName?: string;
  readonly discovery: Discovery;
  readonly protocol: Protocol;
  /** Whether the upstream is asked in the protocol of the downstream: sniffed ports of sidecars. */
  readonly followsDownstream: boolean;
  readonly upgradePolicy: MeshConfig['h2UpgradePolicy'];
  readonly service: ServiceIdentity;
  readonly serviceOrigin: Origin;
  readonly meshExternal: boolean;
  /** Whether unready endpoints are sent whatever the rule says, so that panic must stay off. */
  readonly alwaysSendsUnready: boolean;
  /** Whether endpoints that are going away are sent, for the sessions that clients have with them. */
  readonly keepsDraining: boolean;
  /** ORIGINAL_DST: the port to connect to where it is not the one that the client called. */
  readonly upstreamPort?: number;
  readonly policy: LayeredPolicy;
  readonly security?: UpstreamSecurity;
  /** Absent: no DestinationRule. */
  readonly destinationRule?: ConfigIdentity;
  readonly destinationRuleOrigins: readonly Origin[];
  readonly subsetOrigin?: Origin;
  /** STRICT_DNS and LOGICAL_DNS: what stands in the cluster itself. */
  readonly endpoints: readonly Endpoint[];
  readonly localityLb?: LocalityLb;
  readonly defaults: UpstreamDefaults;
  readonly dnsRefreshRateMs: number;
  readonly addressFamily: AddressFamily;
  /** Whether names of HTTP/1.1 headers are sent as they came. */
  readonly keepsCase: boolean;
  /** Whether the proxy has Istio's filter that tells upstreams of TCP connections who calls. */
  readonly exchangesMetadata: boolean;
}

export interface InboundClusterInput {
  readonly kind: 'inbound';
  /** The port that the cluster is named after. */
  readonly port: number;
  readonly statName?: string;
  readonly protocol: Protocol;
  /** Services with the same service port that lead here, for metadata; empty where a Sidecar names a port of no service. */
  readonly services: readonly ServiceIdentity[];
  readonly origin: Origin;
  /** Only its connectionPool and retryBudget count on the receiving side. */
  readonly policy: LayeredPolicy;
  readonly destinationRule?: ConfigIdentity;
  /** Where the app listens, `unix://path` with port 0 among others. Absent: the connection's original destination. */
  readonly app?: { readonly address: string; readonly port: number };
  /** Whether connections to the app are made from 127.0.0.6 all the same: it listens at the pod's own address. */
  readonly bindsUpstream: boolean;
  readonly defaults: UpstreamDefaults;
  readonly addressFamily: AddressFamily;
  readonly keepsCase: boolean;
}

/** The clusters that every proxy has, whatever there is in the mesh. */
export interface BuiltInClusterInput {
  readonly kind: 'black-hole' | 'passthrough' | 'inbound-passthrough' | 'allow-any-dynamic-dns';
  readonly defaults: UpstreamDefaults;
  readonly addressFamily: AddressFamily;
  readonly keepsCase: boolean;
  readonly exchangesMetadata: boolean;
  /** allow-any-dynamic-dns: MeshConfig.outboundTrafficPolicy.tls. */
  readonly security?: UpstreamSecurity;
}

export type ClusterInput = OutboundClusterInput | InboundClusterInput | BuiltInClusterInput;

/** Of the proxy's own addresses. */
export type AddressFamily = 'v4' | 'v6' | 'dual';

export function addressFamilyOf(ipAddresses: readonly string[]): AddressFamily {
  const v6 = ipAddresses.filter((address) => address.includes(':')).length;
  if (v6 === 0) return 'v4';
  return v6 === ipAddresses.length ? 'v6' : 'dual';
}
