// A RouteConfiguration made ready for requests: the form in which the data path holds routes.
import type { HashPolicy } from './hash-policy.ts';
import type { RouteConfiguration } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import type { CompiledMatch, PathSpecifier } from '../matchers/route.ts';
import type { RequestPredicate, TextPredicate } from '../matchers/input.ts';
import type { RegexSubstitution } from '../matchers/regex.ts';
import type { HeaderMutations } from './header-mutations.ts';

/** Made by `compileRoutes(configuration)` (compile.ts), which throws ConfigError. Immutable. */
export interface CompiledRoutes extends HostTable<CompiledVirtualHost> {
  readonly name: string;
  readonly source: RouteConfiguration;
  readonly virtualHosts: readonly CompiledVirtualHost[];
  /** Headers that only internal requests may carry, lower case. */
  readonly internalOnlyHeaders: readonly string[];
}

/** The domains of a RouteConfiguration, and whose they are. */
export interface HostTable<Host> {
  /** Lower-cased exact domains. */
  readonly exact: ReadonlyMap<string, Host>;
  /** `*.example.com` as `.example.com`, the longest first. */
  readonly suffixes: readonly DomainPattern<Host>[];
  /** `example.*` as `example.`, the longest first. */
  readonly prefixes: readonly DomainPattern<Host>[];
  /** The virtual host of `*`. */
  readonly any: Host | undefined;
  readonly ignorePort: boolean;
}

export interface DomainPattern<Host> {
  readonly text: string;
  readonly virtualHost: Host;
}

export interface CompiledVirtualHost {
  readonly index: number;
  readonly name: string;
  readonly routes: readonly CompiledRoute[];
  readonly requireTls: 'none' | 'external' | 'all';
  readonly attemptCountInRequest: boolean;
  readonly attemptCountInResponse: boolean;
}

export interface CompiledRoute {
  /** Place among the routes of its virtual host. */
  readonly index: number;
  readonly name: string;
  readonly virtualHost: CompiledVirtualHost;
  readonly match: CompiledMatch;
  readonly action: RouteActionKind;
  /** Of the route, its virtual host and the configuration; a weighted cluster brings its own. */
  readonly requestHeaders: HeaderMutations | undefined;
  readonly responseHeaders: HeaderMutations | undefined;
  readonly filterConfigs: FilterConfigs | undefined;
}

export type RouteActionKind = ForwardAction | RedirectActionKind | DirectResponseKind | NonForwardingKind;

export interface ForwardAction {
  readonly kind: 'forward';
  readonly target: ForwardTarget;
  /** 503, 404 or 500: what a request gets whose cluster is not there. */
  readonly clusterNotFoundStatus: number;
  readonly pathRewrite: PathRewrite | undefined;
  readonly hostRewrite: HostRewrite | undefined;
  readonly appendForwardedHost: boolean;
  /** 0: none. */
  readonly timeoutMs: number;
  /** Undefined: the connection manager's. */
  readonly idleTimeoutMs: number | undefined;
  /** Caps grpc-timeout; undefined: that header is not used. 0: no cap. */
  readonly grpcTimeoutMaxMs: number | undefined;
  readonly retry: RetrySettings | undefined;
  readonly mirrors: readonly MirrorSettings[];
  /** For clusters that place requests by a key. */
  readonly hashPolicy: HashPolicy | undefined;
  readonly highPriority: boolean;
  /** Upgrade types, lower case, that this route allows or forbids beyond the connection manager. */
  readonly upgrades: ReadonlyMap<string, boolean>;
  /** Bytes of a request body that may be kept for retries and mirrors; undefined: the connection's limit. */
  readonly bufferBytesMax: number | undefined;
}

export type ForwardTarget =
  | { readonly kind: 'cluster'; readonly cluster: string }
  | { readonly kind: 'header'; readonly header: string }
  | { readonly kind: 'weighted'; readonly clusters: readonly WeightedTarget[]; readonly totalWeight: number };

export interface WeightedTarget {
  readonly cluster: string;
  /** Instead of `cluster`: the header that names it. */
  readonly clusterHeader: string;
  readonly weight: number;
  readonly requestHeaders: HeaderMutations | undefined;
  readonly responseHeaders: HeaderMutations | undefined;
  readonly hostRewrite: string;
  readonly filterConfigs: FilterConfigs | undefined;
}

export type PathRewrite =
  | { readonly kind: 'prefix'; readonly matched: PathSpecifier; readonly replacement: string }
  | { readonly kind: 'regex'; readonly substitution: RegexSubstitution };

export type HostRewrite =
  | { readonly kind: 'literal'; readonly host: string }
  | { readonly kind: 'auto' }
  | { readonly kind: 'header'; readonly header: string }
  | { readonly kind: 'pathRegex'; readonly substitution: RegexSubstitution };

export interface RedirectActionKind {
  readonly kind: 'redirect';
  readonly scheme: string;
  readonly httpsRedirect: boolean;
  readonly host: string;
  /** 0: unchanged. */
  readonly port: number;
  readonly path: string;
  readonly rewrite: PathRewrite | undefined;
  readonly status: number;
  readonly stripQuery: boolean;
}

export interface DirectResponseKind {
  readonly kind: 'direct';
  readonly status: number;
  /** latin1 form of the body's bytes. */
  readonly body: string;
}

export interface NonForwardingKind {
  readonly kind: 'non-forwarding';
}

export interface RetrySettings {
  /** Bits of `retryBits`. */
  readonly conditions: number;
  readonly retriesMax: number;
  /** 0: none. */
  readonly perTryTimeoutMs: number;
  readonly retriableStatusCodes: readonly number[];
  readonly retriableHeaders: readonly RequestPredicate[];
  readonly retriableRequestHeaders: readonly RequestPredicate[];
  readonly avoidTriedHosts: boolean;
  /** After so many attempts, and each time so many more, their priorities are avoided; 0: never. */
  readonly priorityUpdateFrequency: number;
  readonly hostSelectionAttemptsMax: number;
  readonly backOffBaseMs: number;
  readonly backOffMaxMs: number;
}

export interface MirrorSettings {
  readonly cluster: string;
  readonly clusterHeader: string;
  readonly share: number;
  readonly appendShadowSuffix: boolean;
}

/** typed_per_filter_config by the filter's name in the connection manager. */
export type FilterConfigs = ReadonlyMap<string, FilterRouteConfig>;

export type FilterRouteConfig =
  | { readonly kind: 'disabled' }
  | { readonly kind: 'fault'; readonly fault: FaultSettings }
  | { readonly kind: 'cors'; readonly cors: CorsSettings };

export interface FaultSettings {
  readonly delay: { readonly delayMs: number; readonly share: number } | undefined;
  readonly abort:
    | { readonly httpStatus: number; readonly grpcStatus: number | undefined; readonly share: number }
    | undefined;
  readonly upstreamCluster: string;
  readonly headers: readonly RequestPredicate[];
  readonly activeMax: number | undefined;
}

export interface CorsSettings {
  readonly allowOrigins: readonly TextPredicate[];
  readonly allowMethods: string;
  readonly allowHeaders: string;
  readonly exposeHeaders: string;
  readonly maxAge: string;
  readonly allowCredentials: boolean;
  /** The share of requests that the policy applies to. */
  readonly enabledShare: number;
  readonly forwardNotMatchingPreflights: boolean;
}
