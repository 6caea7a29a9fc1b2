// What listeners are built from: plain data, compared by structure.
import type { PathNormalization } from '../../config/mesh-config.ts';
import type { Hostname } from '../../model/hostname.ts';
import type { GatewayTopology } from '../../model/gateway-topology.ts';
import type { Origin } from '../../model/origin.ts';
import type { ProxyHeaders } from '../../model/proxy-headers.ts';
import type { AddressFamily } from '../cluster/cluster-input.ts';
import type { ConfigIdentity } from '../proto-values.ts';
import type { InboundRouteInput } from '../route/inbound-route.ts';
import type { RouteConfigurationInput } from '../route/route-input.ts';
import type { ServerTls, ServerTlsOptions, WorkloadTlsOptions } from '../tls/downstream-tls.ts';

export interface SocketAddressInput {
  /** An IP address, or `unix://<path>`, whose port is 0. */
  readonly address: string;
  readonly port: number;
}

/** Destination ports on which an inspector looks, or on which alone it does not. */
export interface InspectedPorts {
  readonly on: 'only' | 'all-but';
  readonly ports: readonly number[];
}

export interface ListenerInput {
  readonly name: string;
  readonly address: SocketAddressInput;
  readonly additionalAddresses: readonly SocketAddressInput[];
  readonly direction: 'INBOUND' | 'OUTBOUND';
  /** False: connections come from another listener, by their original destination. */
  readonly bindToPort: boolean;
  /** Connections are handed to the listener of their original destination, if there is one. */
  readonly useOriginalDst: boolean;
  /** The socket option of TPROXY: connections keep the client's source address. */
  readonly transparent: boolean;
  readonly originalDstFilter: boolean;
  /** Whether connections begin with a PROXY header. */
  readonly proxyProtocol?: boolean;
  /** TPROXY: connections to the application keep the client's address. */
  readonly originalSrcFilter?: boolean;
  readonly tlsInspector: boolean;
  /** Absent: it looks on every port. */
  readonly tlsInspectorPorts?: InspectedPorts;
  readonly httpInspector: boolean;
  /** Destination ports on which the HTTP inspector stays away: what is said there is known. */
  readonly httpInspectorDisabledPorts: readonly number[];
  /** Undefined: Envoy's 15 seconds. 0: inspectors wait for ever. */
  readonly listenerFiltersTimeoutMs?: number;
  readonly continueOnListenerFiltersTimeout: boolean;
  /** Handshakes of all chains must be finished by then; absent: they may take as long as they like. */
  readonly transportSocketConnectTimeoutMs?: number;
  /** Logs connections for which there is no chain. */
  readonly accessLog?: AccessLogInput;
  readonly chains: readonly ChainInput[];
  readonly defaultChain?: ChainInput;
  /** What the listener as a whole stands for. */
  readonly origin?: Origin;
}

export interface ChainInput {
  /** Why the chain is there, for readers of the input. */
  readonly reason: ChainReason;
  /** Empty: chains of outbound and gateway listeners have none. */
  readonly name: string;
  readonly match: ChainMatchInput;
  /** Whether the client's proxy says who it is before it sends bytes, and is answered (Istio's build of Envoy). */
  readonly metadataExchange?: boolean;
  /** TLS that ends here; absent: the bytes are taken as they come. */
  readonly tls?: ChainTlsInput;
  /** Who asked for the TLS, where it is not who made the chain. */
  readonly tlsOrigin?: Origin;
  readonly filter: HttpFilterInput | TcpFilterInput;
  /** The user's rule that made it, for metadata. */
  readonly config?: ConfigIdentity;
  readonly origin?: Origin;
}

/** `workload`: mutual TLS of the mesh. `server`: what a Gateway's server or a Sidecar's ingress says. */
export type ChainTlsInput =
  | ({ readonly kind: 'workload' } & WorkloadTlsOptions)
  | { readonly kind: 'server'; readonly settings: ServerTls; readonly options: ServerTlsOptions };

export type ChainReason =
  | 'service-http'
  | 'service-tcp'
  | 'virtual-service-tcp'
  | 'virtual-service-tls'
  | 'fallthrough'
  | 'blackhole'
  | 'passthrough-http'
  | 'passthrough-tcp'
  | 'inbound-plaintext-http'
  | 'inbound-plaintext-tcp'
  | 'inbound-mutual-tls-http'
  | 'inbound-mutual-tls-tcp'
  | 'inbound-tls-passthrough'
  | 'inbound-tls-http'
  | 'inbound-tls-tcp'
  | 'gateway-http'
  | 'gateway-https'
  | 'gateway-tcp'
  | 'gateway-tls'
  | 'gateway-auto-passthrough'
  | 'gateway-tls-passthrough'
  | 'http-proxy';

/** All that is given must hold; nothing given: every connection. */
export interface ChainMatchInput {
  readonly destinationPort?: number;
  /** As `formatCidr` writes them. */
  readonly prefixRanges?: readonly string[];
  readonly serverNames?: readonly string[];
  readonly transportProtocol?: 'raw_buffer' | 'tls';
  readonly applicationProtocols?: readonly string[];
}

export interface HttpFilterInput {
  readonly kind: 'http';
  readonly side: 'outbound' | 'inbound' | 'gateway' | 'http-proxy';
  readonly statPrefix: string;
  readonly routes:
    | { readonly rds: string }
    | { readonly inline: InboundRouteInput }
    | { readonly table: RouteConfigurationInput };
  /** Whether HTTP/1.0 is let in. */
  readonly http10: boolean;
  /** Absent: BASE. */
  readonly pathNormalization?: PathNormalization;
  /** Whether the port is known to speak HTTP/2. */
  readonly http2: boolean;
  /** Whether the upstream's sidecar is told the protocol that was found (Istio's build of Envoy). */
  readonly tellsProtocol?: boolean;
  /** Names that are looked up before requests are forwarded to them. */
  readonly dynamicDns?: readonly DynamicDnsInput[];
  /** Go notation: when connections without requests are closed; absent: Envoy's hour. */
  readonly idleTimeout?: string;
  /** Whether browsers speak gRPC here, in HTTP/1.1's clothes: it is made plain gRPC. */
  readonly grpcWeb?: boolean;
  readonly headers: ProxyHeaders;
  /** Of gateways: what stands in front of them. */
  readonly topology?: GatewayTopology;
  readonly accessLog?: AccessLogInput;
}

export interface TcpFilterInput {
  readonly kind: 'tcp';
  readonly statPrefix: string;
  /** More than one: each connection goes to one of them, by weight. */
  readonly clusters: readonly {
    readonly cluster: string;
    readonly weight: number;
    readonly origin?: Origin;
  }[];
  /** Go notation; absent: Envoy's hour. */
  readonly idleTimeout?: string;
  readonly maxConnectionDuration?: string;
  /** What carries the bytes onwards within HTTP; absent: nothing. */
  readonly tunnel?: TunnelInput;
  /** The server name of the client's hello is looked up, and connected to on this port. */
  readonly serverNameLookup?: Required<DynamicDnsInput> & { readonly port: number };
  /** Whether what is said is read as MongoDB's protocol, for statistics. */
  readonly mongo?: boolean;
  /** Whether the client's address chooses the endpoint. */
  readonly hashBySource: boolean;
  readonly accessLog?: AccessLogInput;
}

/** Which names are looked up: those of one service, or without a hostname any. */
export interface DynamicDnsInput {
  readonly hostname?: Hostname;
  readonly family: AddressFamily;
}

/** A request to the upstream within which the bytes travel. */
export interface TunnelInput {
  readonly method: 'CONNECT' | 'POST';
  /** Where the upstream is asked to connect to: `host:port`. */
  readonly target: string;
}

export interface AccessLogInput {
  readonly path: string;
  readonly encoding: 'TEXT' | 'JSON';
  /** Empty: Istio's default format. */
  readonly format: string;
}
