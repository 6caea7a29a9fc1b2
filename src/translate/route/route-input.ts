// What routes are built from: plain data, compared by structure. The user's own rules stand in it as they are.
import type { VirtualServiceSpec } from '../../api/gen/istio-types.js';
import type { Origin } from '../../model/origin.ts';
import type { ConfigIdentity } from '../proto-values.ts';

type WrittenRule = NonNullable<VirtualServiceSpec['http']>[number];
/** `prefixRewrite` is newer than the package of types. */
export type HttpRedirect = NonNullable<WrittenRule['redirect']> & {
  readonly prefixRewrite?: string | undefined;
};
export type HttpRule = Omit<WrittenRule, 'redirect'> & { readonly redirect?: HttpRedirect | undefined };
export type HttpRetry = NonNullable<HttpRule['retries']>;
export type HttpMatch = NonNullable<HttpRule['match']>[number];
export type HttpHeaders = NonNullable<NonNullable<HttpRule['route']>[number]['headers']>;
export type StringMatch = NonNullable<HttpMatch['uri']>;
export type Destination = NonNullable<NonNullable<HttpRule['route']>[number]['destination']>;
/** The key by which a load balancer keeps requests together. */
export type ConsistentHash =
  | { readonly kind: 'header'; readonly name: string }
  | {
      readonly kind: 'cookie';
      readonly name: string;
      /** Go notation; absent: a session cookie that the proxy never makes. */
      readonly ttl?: string;
      readonly path: string;
      readonly attributes: readonly { readonly name: string; readonly value: string }[];
    }
  | { readonly kind: 'source-ip' }
  | { readonly kind: 'query-parameter'; readonly name: string };

/** `gateway`: of the Kubernetes Gateway API. `ingress`: of an Ingress. Prefixes end at a slash in both. */
export type RouteSemantics = 'gateway' | 'ingress';

/** One rule of a VirtualService under one of its matches: one Envoy route. */
export interface RuleRouteInput {
  readonly kind: 'rule';
  readonly rule: HttpRule;
  /** Absent: the rule has no `match`, everything meets it. */
  readonly match?: HttpMatch;
  readonly virtualService: ConfigIdentity;
  /** Absent: a user's VirtualService. Else what it was made of, whose rules mean a little else. */
  readonly semantics?: RouteSemantics;
  /** Place of the match, or of the rule where it has none. */
  readonly origin: Origin;
  /** Place of the rule: a delegate's may have a match of its root. */
  readonly ruleOrigin: Origin;
  /** Cluster of each `rule.route`, in its order. */
  readonly clusters: readonly string[];
  /** Hash of each `rule.route`. */
  readonly hashes: readonly (ConsistentHash | null)[];
  /** MeshConfig.defaultHttpRetryPolicy, where the rule says nothing of retries. Absent: Istio's own. */
  readonly defaultRetries?: HttpRetry;
  /** Clusters of `rule.mirror` (if it is set) and `rule.mirrors`. */
  readonly mirrorClusters: readonly string[];
  /** The port that clients named: a service port, or the port of a Gateway server. */
  readonly listenPort: number;
  /** Whether clients of this listener speak TLS: the scheme that a redirect's port is compared with. */
  readonly tls: boolean;
}

/** The route of a service that has no VirtualService. */
export interface ServiceRouteInput {
  readonly kind: 'service';
  readonly cluster: string;
  /** `fqdn:port/*`, the name of its spans. */
  readonly operation: string;
  readonly hash: ConsistentHash | null;
  /** MeshConfig.defaultHttpRetryPolicy. Absent: Istio's own. */
  readonly defaultRetries?: HttpRetry;
  readonly origin: Origin;
}

/**
 * The last route of sidecars: to where the client wanted to go, or nowhere. `no-destination`: nobody knows
 * where it wanted to go, for it speaks to the HTTP proxy listener.
 */
export interface CatchAllRouteInput {
  readonly kind: 'catch-all';
  readonly to: 'original-destination' | 'looked-up-name' | 'nowhere' | 'no-destination';
  /** Of the egress proxy, instead of the original destination. */
  readonly cluster?: string;
}

export type RouteInput = RuleRouteInput | ServiceRouteInput | CatchAllRouteInput;

export interface VirtualHostInput {
  readonly name: string;
  readonly domains: readonly string[];
  readonly routes: readonly RouteInput[];
  /** 301 to https for whatever comes in clear. */
  readonly requireTls: boolean;
  /** What the virtual host stands for: the service, the VirtualService host, the Gateway server. */
  readonly origin?: Origin;
}

export interface RouteConfigurationInput {
  readonly name: string;
  readonly virtualHosts: readonly VirtualHostInput[];
  readonly ignorePortInHostMatching: boolean;
  /** Headers that upstreams get; absent: the attempt count alone. */
  readonly headers?: RouteHeaders;
}

export interface RouteHeaders {
  /** x-envoy-attempt-count */
  readonly attemptCount: boolean;
  /** x-forwarded-host, of requests whose path or host is rewritten and those to where the client wanted to go. */
  readonly forwardedHost: boolean;
}
