// MeshConfig: the mesh-wide settings that we read, with Istio's defaults.
import type { DestinationRuleSpec, VirtualServiceSpec } from '../api/gen/istio-types.js';
import type { GatewayTopology } from '../model/gateway-topology.ts';
import { defaultGatewayTopology } from '../model/gateway-topology.ts';
import type { WrittenProxyHeaders } from '../model/proxy-headers.ts';
import type { MeshNetworks } from './mesh-networks.ts';

type HttpRetry = NonNullable<NonNullable<VirtualServiceSpec['http']>[number]['retries']>;
type LoadBalancer = NonNullable<NonNullable<DestinationRuleSpec['trafficPolicy']>['loadBalancer']>;

/** MeshConfig.tlsDefaults and MeshConfig.meshMTLS. */
export interface TlsDefaults {
  readonly minProtocolVersion?: 'TLS_AUTO' | 'TLSV1_2' | 'TLSV1_3' | undefined;
  /** Of tlsDefaults alone. */
  readonly ecdhCurves?: readonly string[] | undefined;
  readonly cipherSuites?: readonly string[] | undefined;
}

/** Durations are texts, such as `75s`; whole seconds count. */
export interface TcpKeepalive {
  readonly probes?: number | undefined;
  readonly time?: string | undefined;
  readonly interval?: string | undefined;
}

/**
 * Which writings of a path are one. BASE: `/a/../b` is `/b` (RFC 3986), `\\` is `/`. MERGE_SLASHES: `//` is `/`, too.
 * DECODE_AND_MERGE_SLASHES: and `%2F` is `/`.
 */
export type PathNormalization = 'NONE' | 'BASE' | 'MERGE_SLASHES' | 'DECODE_AND_MERGE_SLASHES';

export interface MeshConfig {
  readonly trustDomain: string;
  readonly rootNamespace: string;
  /** `cluster.local`: the suffix of Kubernetes service names. */
  readonly domainSuffix: string;
  readonly trustDomainAliases: readonly string[];
  /** Mutual TLS of sidecars. */
  readonly meshMtls: TlsDefaults;
  /** All other TLS. */
  readonly tlsDefaults: TlsDefaults;
  readonly outboundTrafficPolicy: 'ALLOW_ANY' | 'REGISTRY_ONLY' | 'ALLOW_ANY_DYNAMIC_DNS';
  /** TLS towards names that ALLOW_ANY_DYNAMIC_DNS resolves; absent: none. */
  readonly outboundTls?: NonNullable<NonNullable<DestinationRuleSpec['trafficPolicy']>['tls']>;
  /** LOCALHOST: what arrives for the workload goes to the app's loopback address. */
  readonly inboundTrafficPolicy: 'PASSTHROUGH' | 'LOCALHOST';
  /** Whether HTTP ports are reached by HTTP/2 where no rule says otherwise. */
  readonly h2UpgradePolicy: 'DO_NOT_UPGRADE' | 'UPGRADE';
  /** Of connections to upstreams, where no rule has one. */
  readonly tcpKeepalive?: TcpKeepalive;
  /** Of services whose DestinationRule has none. */
  readonly localityLbSetting: NonNullable<LoadBalancer['localityLbSetting']>;
  /** Of connections to every service, where its DestinationRule leaves the block out; the pool also of what passes through. */
  readonly defaultTrafficPolicy?: Pick<
    NonNullable<DestinationRuleSpec['trafficPolicy']>,
    'connectionPool' | 'outlierDetection'
  >;
  /** Before localityLbSetting, of services whose DestinationRule has neither. */
  readonly zoneAwareLbSetting?: {
    readonly enabled?: boolean | undefined;
    readonly failover?: readonly { readonly from?: string; readonly to?: string }[];
    readonly failoverPriority?: readonly string[];
    readonly minClusterSize?: number | undefined;
  };
  /**
   * Hosts whose endpoints count within their own Kubernetes cluster alone, or (false) everywhere although a
   * wider entry says otherwise; the most specific host counts. MeshConfig.serviceSettings over Istio's own.
   */
  readonly clusterLocalHosts: readonly { readonly host: string; readonly isLocal: boolean }[];
  /** Read from `meshNetworks`, beside the MeshConfig. */
  readonly networks: MeshNetworks;
  /** Of rules that say nothing of retries, and of services without a rule. Absent: Istio's two tries. */
  readonly defaultHttpRetryPolicy?: HttpRetry;
  /** Of requests to the application itself; attempts, retryOn and backoff count. Absent: Istio's two tries. */
  readonly defaultInboundHttpRetryPolicy?: HttpRetry;
  readonly connectTimeoutMs: number;
  /** Patterns of the names that statistics of clusters have; empty: those of the clusters. */
  readonly inboundClusterStatName: string;
  readonly outboundClusterStatName: string;
  /** Empty: no access log. */
  readonly accessLogFile: string;
  readonly accessLogEncoding: 'TEXT' | 'JSON';
  /** Empty: Istio's default format. */
  readonly accessLogFormat: string;
  readonly pathNormalization: PathNormalization;
  /** Whether connections that no filter chain is for go without a line in the access log. */
  readonly disableListenerLog: boolean;
  readonly protocolDetectionTimeoutMs: number;
  readonly dnsRefreshRateMs: number;
  /** 0: no HTTP proxy listener. */
  readonly proxyHttpPort: number;
  readonly proxyListenPort: number;
  readonly proxyInboundListenPort: number;
  readonly enableAutoMtls: boolean;
  /** Which Ingresses are served: none, those without a class too, or only those with ours. */
  readonly ingressControllerMode: 'OFF' | 'DEFAULT' | 'STRICT';
  /** The value of the annotation kubernetes.io/ingress.class that is ours. */
  readonly ingressClass: string;
  /** The label `istio` of the pods that serve Ingresses; empty: that of ingressService. */
  readonly ingressSelector: string;
  /** The Service in front of them, in the root namespace; empty: there is none. */
  readonly ingressService: string;
  readonly defaultServiceExportTo: readonly string[];
  readonly defaultVirtualServiceExportTo: readonly string[];
  readonly defaultDestinationRuleExportTo: readonly string[];
  /** What proxies are started with, unless their pod says otherwise. */
  readonly defaultConfig: ProxyConfig;
}

/** How one proxy is started: MeshConfig.defaultConfig, and later ProxyConfig objects and annotations. */
export interface ProxyConfig {
  /** `host:port` of the control plane. */
  readonly discoveryAddress: string;
  readonly drainDurationMs: number;
  readonly terminationDrainDurationMs: number;
  readonly proxyAdminPort: number;
  readonly statusPort: number;
  readonly statNameLength: number;
  /** Worker threads; 0: one a core; absent: by the CPU limit. */
  readonly concurrency?: number;
  /** Sent to the control plane as node metadata. */
  readonly proxyMetadata: Readonly<Record<string, string>>;
  readonly holdApplicationUntilProxyStarts: boolean;
  readonly gatewayTopology: GatewayTopology;
  /** As written, for a pod's own lie over the mesh's. */
  readonly proxyHeaders?: WrittenProxyHeaders;
}

/** Istio's defaults (ProxyConfig reference). */
export const defaultProxyConfig: ProxyConfig = {
  discoveryAddress: 'istiod.istio-system.svc:15012',
  drainDurationMs: 45_000,
  terminationDrainDurationMs: 5000,
  proxyAdminPort: 15_000,
  statusPort: 15_020,
  statNameLength: 189,
  proxyMetadata: {},
  holdApplicationUntilProxyStarts: false,
  gatewayTopology: defaultGatewayTopology,
};

export const defaultMeshConfig: MeshConfig = {
  trustDomain: 'cluster.local',
  rootNamespace: 'istio-system',
  domainSuffix: 'cluster.local',
  trustDomainAliases: [],
  meshMtls: {},
  tlsDefaults: {},
  outboundTrafficPolicy: 'ALLOW_ANY',
  inboundTrafficPolicy: 'PASSTHROUGH',
  h2UpgradePolicy: 'DO_NOT_UPGRADE',
  localityLbSetting: { enabled: true },
  clusterLocalHosts: [
    { host: '*.kube-system.svc.cluster.local', isLocal: true },
    { host: 'kubernetes.default.svc.cluster.local', isLocal: true },
    { host: 'istiod.istio-system.svc.cluster.local', isLocal: true },
  ],
  networks: {},
  connectTimeoutMs: 10_000,
  inboundClusterStatName: '',
  outboundClusterStatName: '',
  accessLogFile: '',
  accessLogEncoding: 'TEXT',
  accessLogFormat: '',
  pathNormalization: 'BASE',
  disableListenerLog: false,
  protocolDetectionTimeoutMs: 0,
  dnsRefreshRateMs: 60_000,
  proxyHttpPort: 0,
  proxyListenPort: 15001,
  proxyInboundListenPort: 15006,
  enableAutoMtls: true,
  ingressControllerMode: 'STRICT',
  ingressClass: 'istio',
  ingressSelector: '',
  ingressService: 'istio-ingressgateway',
  defaultServiceExportTo: ['*'],
  defaultVirtualServiceExportTo: ['*'],
  defaultDestinationRuleExportTo: ['*'],
  defaultConfig: defaultProxyConfig,
};
