// A connected proxy.
import type { GatewayTopology } from './gateway-topology.ts';
import type { ProxyHeaders } from './proxy-headers.ts';
import type { Locality } from './service.ts';

export type ProxyType = 'sidecar' | 'router';

/**
 * How traffic reaches the proxy.
 * REDIRECT and TPROXY: iptables hands connections to 15001 and 15006.
 * NONE: nothing is captured, the proxy binds every port itself (Istio's meaning).
 * LOOPBACK: ours, for pods that share one machine's network: each pod has a loopback address of its own, the
 * proxy binds on that address what iptables would have captured inbound, and clients reach the mesh
 * through the HTTP proxy listener. Inbound traffic is handed to `appAddress`.
 */
export type InterceptionMode = 'REDIRECT' | 'TPROXY' | 'NONE' | 'LOOPBACK';

/** LOOPBACK gateways: one more address of the listener on that target port (`127.0.0.1:8080->8080`). */
export interface GatewayBind {
  readonly address: string;
  readonly port: number;
  readonly targetPort: number;
}

/** Who a proxy has shown to be: what it may be given secrets by. */
export interface ProxyIdentity {
  readonly namespace: string;
  readonly serviceAccount: string;
}

export interface ProxyNode {
  /** `<type>~<ip>~<pod>.<namespace>~<dns domain>`, as sent. */
  readonly id: string;
  readonly type: ProxyType;
  /** The first is the primary address. */
  readonly ipAddresses: readonly string[];
  readonly podName: string;
  readonly namespace: string;
  /** `default.svc.cluster.local` */
  readonly dnsDomain: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
  readonly workloadName: string;
  readonly clusterId: string;
  readonly network: string;
  readonly locality: Locality;
  readonly istioVersion: string;
  readonly interceptionMode: InterceptionMode;
  /** LOOPBACK only: where the app itself listens, with the same port numbers. */
  readonly appAddress?: string;
  /** Port of the HTTP proxy listener; undefined: the mesh's (MeshConfig.proxyHttpPort). */
  readonly httpProxyPort?: number;
  /** LOOPBACK gateways only: where they also listen (metadata FAIRLEAD_GATEWAY_BINDS). */
  readonly gatewayBinds?: readonly GatewayBind[];
  readonly adminPort: number;
  /** Metadata GENERATOR where it is `grpc`: an application without a proxy, whose gRPC library speaks xDS. Absent: a proxy. */
  readonly generator?: string;
  /** Names of Istio's own extensions (`istio.*`) that the proxy says it has; stock Envoy has none. */
  readonly istioExtensions?: readonly string[];
  /** Whether its agent answers the application's DNS (metadata DNS_CAPTURE), with allocated addresses where a service has none. */
  readonly dnsCapture?: boolean;
  /** The Kubernetes node that it runs on (metadata NODE_NAME). */
  readonly nodeName?: string;
  /** Networks whose endpoints alone it is shown (metadata REQUESTED_NETWORK_VIEW); absent: all. */
  readonly networkView?: readonly string[];
  readonly http10: boolean;
  /** Go notation: when its silent connections are closed (metadata IDLE_TIMEOUT); undefined: Envoy's hour. */
  readonly idleTimeout?: string;
  /** Node metadata whose values are texts, for EnvoyFilters that look at them; absent: none. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Of a gateway, where its own ProxyConfig came along (metadata PROXY_CONFIG); absent: the mesh's. */
  readonly gatewayTopology?: GatewayTopology;
  /** Likewise, of sidecars and gateways. */
  readonly proxyHeaders?: ProxyHeaders;
  /** True: it may not listen on ports below 1024 (metadata UNPRIVILEGED_POD). */
  readonly unprivileged?: boolean;
  /**
   * Whether its agent hands it a workload certificate over SDS, as Istio's agents do. False (metadata
   * `FAIRLEAD_WORKLOAD_CERTIFICATES: "none"`): it can neither offer nor speak mesh mutual TLS, so auto
   * mTLS and the mutual TLS filter chains of inbound listeners are left out for it.
   */
  readonly workloadCertificates: boolean;
  /** Verified by certificate or token, and that of this node; absent: it came in plaintext, and nobody knows. */
  readonly identity?: ProxyIdentity;
}
