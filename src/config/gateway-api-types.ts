// The kinds of the Gateway API (gateway.networking.k8s.io, release 1.6), as far as they are read.
import type { LabelSelector } from '../model/labels.ts';
import type { Config } from './config.ts';

/** Absent group: that of the Gateway API; absent kind: Gateway; absent namespace: that of the object. */
export interface ParentReference {
  readonly group?: string;
  readonly kind?: string;
  readonly namespace?: string;
  readonly name: string;
  readonly sectionName?: string;
  readonly port?: number;
}

/** Absent group and kind: the Service that is meant; absent namespace: that of the object. */
export interface BackendObjectReference {
  readonly group?: string;
  readonly kind?: string;
  readonly namespace?: string;
  readonly name: string;
  readonly port?: number;
}

export interface BackendRef extends BackendObjectReference {
  /** Absent: 1. */
  readonly weight?: number;
}

export interface ObjectReference {
  readonly group?: string;
  readonly kind?: string;
  readonly namespace?: string;
  readonly name: string;
}

export interface GatewayClassSpec {
  readonly controllerName: string;
  readonly description?: string;
  readonly parametersRef?: ObjectReference;
}

export interface RouteGroupKind {
  /** Absent: that of the Gateway API. */
  readonly group?: string;
  readonly kind: string;
}

export interface Listener {
  readonly name: string;
  readonly hostname?: string;
  /** Absent in a ListenerSet: that of the protocol. */
  readonly port?: number;
  readonly protocol: string;
  readonly tls?: ListenerTls;
  readonly allowedRoutes?: {
    readonly namespaces?: { readonly from?: 'All' | 'Selector' | 'Same'; readonly selector?: LabelSelector };
    readonly kinds?: readonly RouteGroupKind[];
  };
}

export interface ListenerTls {
  /** Absent: Terminate. */
  readonly mode?: 'Terminate' | 'Passthrough';
  readonly certificateRefs?: readonly ObjectReference[];
  readonly options?: Readonly<Record<string, string>>;
}

export interface FrontendTls {
  readonly validation?: {
    readonly caCertificateRefs: readonly ObjectReference[];
    readonly mode?: 'AllowValidOnly' | 'AllowInsecureFallback';
  };
}

export interface KubeGatewaySpec {
  readonly gatewayClassName: string;
  readonly listeners: readonly Listener[];
  readonly addresses?: readonly { readonly type?: string; readonly value?: string }[];
  readonly infrastructure?: {
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly parametersRef?: { readonly group: string; readonly kind: string; readonly name: string };
  };
  readonly allowedListeners?: {
    readonly namespaces?: {
      readonly from?: 'All' | 'Selector' | 'Same' | 'None';
      readonly selector?: LabelSelector;
    };
  };
  readonly tls?: {
    readonly backend?: { readonly clientCertificateRef?: ObjectReference };
    readonly frontend?: {
      readonly default: FrontendTls;
      readonly perPort?: readonly { readonly port: number; readonly tls: FrontendTls }[];
    };
  };
  readonly defaultScope?: 'All' | 'None';
}

export interface ListenerSetSpec {
  readonly parentRef: ObjectReference;
  readonly listeners: readonly Listener[];
}

export interface CommonRouteSpec {
  readonly parentRefs?: readonly ParentReference[];
  readonly useDefaultGateways?: 'All' | 'None';
}

export interface HeaderModifier {
  readonly set?: readonly { readonly name: string; readonly value: string }[];
  readonly add?: readonly { readonly name: string; readonly value: string }[];
  readonly remove?: readonly string[];
}

export interface PathModifier {
  readonly type: 'ReplaceFullPath' | 'ReplacePrefixMatch';
  readonly replaceFullPath?: string;
  readonly replacePrefixMatch?: string;
}

export interface RequestMirror {
  readonly backendRef: BackendObjectReference;
  readonly percent?: number;
  readonly fraction?: { readonly numerator: number; readonly denominator?: number };
}

export interface RequestRedirect {
  readonly scheme?: 'http' | 'https';
  readonly hostname?: string;
  readonly path?: PathModifier;
  readonly port?: number;
  readonly statusCode?: number;
}

export interface CorsFilter {
  readonly allowOrigins?: readonly string[];
  readonly allowCredentials?: boolean;
  readonly allowMethods?: readonly string[];
  readonly allowHeaders?: readonly string[];
  readonly exposeHeaders?: readonly string[];
  /** Seconds. */
  readonly maxAge?: number;
}

/** `type` says which of the others is there. GRPCRoutes have the header filters, mirror and ExtensionRef. */
export interface RouteFilter {
  readonly type: string;
  readonly requestHeaderModifier?: HeaderModifier;
  readonly responseHeaderModifier?: HeaderModifier;
  readonly requestMirror?: RequestMirror;
  readonly requestRedirect?: RequestRedirect;
  readonly urlRewrite?: { readonly hostname?: string; readonly path?: PathModifier };
  readonly cors?: CorsFilter;
  readonly extensionRef?: ObjectReference;
  readonly externalAuth?: unknown;
}

/** A header or query parameter. */
export interface NamedMatch {
  /** Absent: Exact. */
  readonly type?: 'Exact' | 'RegularExpression';
  readonly name: string;
  readonly value: string;
}

export interface HttpRouteMatch {
  /** Absent: the prefix `/`. */
  readonly path?: { readonly type?: 'Exact' | 'PathPrefix' | 'RegularExpression'; readonly value?: string };
  readonly headers?: readonly NamedMatch[];
  readonly queryParams?: readonly NamedMatch[];
  readonly method?: string;
}

export interface FilteredBackendRef extends BackendRef {
  readonly filters?: readonly RouteFilter[];
}

export interface HttpRouteRule {
  readonly name?: string;
  readonly matches?: readonly HttpRouteMatch[];
  readonly filters?: readonly RouteFilter[];
  readonly backendRefs?: readonly FilteredBackendRef[];
  readonly timeouts?: { readonly request?: string; readonly backendRequest?: string };
  readonly retry?: {
    readonly codes?: readonly number[];
    readonly attempts?: number;
    readonly backoff?: string;
  };
  readonly sessionPersistence?: unknown;
}

export interface HttpRouteSpec extends CommonRouteSpec {
  readonly hostnames?: readonly string[];
  readonly rules?: readonly HttpRouteRule[];
}

export interface GrpcRouteMatch {
  readonly method?: {
    readonly type?: 'Exact' | 'RegularExpression';
    readonly service?: string;
    readonly method?: string;
  };
  readonly headers?: readonly NamedMatch[];
}

export interface GrpcRouteRule {
  readonly name?: string;
  readonly matches?: readonly GrpcRouteMatch[];
  readonly filters?: readonly RouteFilter[];
  readonly backendRefs?: readonly FilteredBackendRef[];
  readonly sessionPersistence?: unknown;
}

export interface GrpcRouteSpec extends CommonRouteSpec {
  readonly hostnames?: readonly string[];
  readonly rules?: readonly GrpcRouteRule[];
}

export interface StreamRouteRule {
  readonly name?: string;
  readonly backendRefs?: readonly BackendRef[];
}

export interface TlsRouteSpec extends CommonRouteSpec {
  readonly hostnames?: readonly string[];
  readonly rules: readonly StreamRouteRule[];
}

export interface TcpRouteSpec extends CommonRouteSpec {
  readonly rules: readonly StreamRouteRule[];
}

export interface ReferenceGrantSpec {
  readonly from: readonly { readonly group: string; readonly kind: string; readonly namespace: string }[];
  /** Without a name: all of that kind. */
  readonly to: readonly { readonly group: string; readonly kind: string; readonly name?: string }[];
}

export interface PolicyTargetReference {
  readonly group: string;
  readonly kind: string;
  readonly name: string;
  readonly sectionName?: string;
}

export interface BackendTlsPolicySpec {
  readonly targetRefs: readonly PolicyTargetReference[];
  readonly validation: {
    readonly caCertificateRefs?: readonly ObjectReference[];
    readonly wellKnownCACertificates?: string;
    readonly hostname: string;
    readonly subjectAltNames?: readonly {
      readonly type: 'Hostname' | 'URI';
      readonly hostname?: string;
      readonly uri?: string;
    }[];
  };
  readonly options?: Readonly<Record<string, string>>;
}

export type GatewayClassConfig = Config<GatewayClassSpec>;
export type KubeGatewayConfig = Config<KubeGatewaySpec>;
export type ListenerSetConfig = Config<ListenerSetSpec>;
export type HttpRouteConfig = Config<HttpRouteSpec>;
export type GrpcRouteConfig = Config<GrpcRouteSpec>;
export type TlsRouteConfig = Config<TlsRouteSpec>;
export type TcpRouteConfig = Config<TcpRouteSpec>;
export type ReferenceGrantConfig = Config<ReferenceGrantSpec>;
export type BackendTlsPolicyConfig = Config<BackendTlsPolicySpec>;
export type RouteConfig = HttpRouteConfig | GrpcRouteConfig | TlsRouteConfig | TcpRouteConfig;
