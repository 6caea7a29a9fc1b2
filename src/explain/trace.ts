// The answer of `explain`: one request's way through proxies, as data. `-o json` prints exactly this, so a field
// may be added, but none may be renamed or change its meaning without a new `version`.
import type { ClauseResult } from '../proxy/matchers/explain.ts';

export type { ClauseResult };

/** A place in a user's YAML. `line` is 0 where the object has no file. */
export interface SourceRef {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  /** `spec.http[0].match[1]`; empty: the whole object. */
  readonly field: string;
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

export interface Trace {
  readonly version: 1;
  readonly request: {
    readonly method: string;
    readonly url: string;
    /** The Host header, or `:authority`. */
    readonly authority: string;
    readonly path: string;
    readonly headers: Readonly<Record<string, string>>;
    /** Server name and protocols of the client's TLS; null without TLS. */
    readonly tls: { readonly sni: string; readonly alpn: readonly string[] } | null;
    /** `pod.namespace`, or the address of a client outside the mesh. */
    readonly from: string;
  };
  readonly outcome: Outcome;
  readonly hop: Hop;
}

export interface Outcome {
  /**
   * routed: it reaches an endpoint. answered: a proxy answers, as it is meant to (redirect, direct response).
   * passthrough: the mesh does not know the destination and lets it out. partly: it fails for some of the
   * weighted destinations. failed: it does not get there.
   */
  readonly kind: 'routed' | 'answered' | 'passthrough' | 'partly' | 'failed';
  /** One sentence without a full stop. */
  readonly summary: string;
  readonly failure: Failure | null;
  /** What may have been meant: of what is let out unknown, and VirtualServices of the host that do not count. */
  readonly candidates: readonly Candidate[];
}

/** In the order in which a request meets them. */
export type Stage =
  | 'client'
  | 'listener'
  | 'filter chain'
  | 'TLS'
  | 'routes'
  | 'virtual host'
  | 'rules'
  | 'fault'
  | 'cluster'
  | 'endpoints'
  | 'application';

export interface Failure {
  readonly stage: Stage;
  /** `sidecar of productpage-v1-x.default`; where it happens. */
  readonly at: string;
  readonly reason: string;
  /** HTTP status that the client gets; null: the connection ends. */
  readonly status: number | null;
  /** Envoy's response flag, such as `NR`; empty: none. */
  readonly flag: string;
  /** What may have been meant, the nearest first. */
  readonly candidates: readonly Candidate[];
}

export interface Candidate {
  readonly text: string;
  readonly sources: readonly SourceRef[];
}

/** One pass through one proxy, or through none (`proxy` null). */
export interface Hop {
  readonly side: 'outbound' | 'gateway' | 'inbound' | 'none';
  readonly proxy: {
    readonly pod: string;
    readonly namespace: string;
    readonly type: 'sidecar' | 'router';
    readonly interception: string;
  } | null;
  readonly connection: {
    readonly destination: string;
    /** How the destination was found. */
    readonly why: string;
    readonly transport: string;
  };
  readonly listener: {
    readonly name: string;
    readonly why: string;
    readonly sources: readonly SourceRef[];
  } | null;
  readonly chain: ChainTrace | null;
  readonly http: HttpTrace | null;
  readonly targets: readonly Target[];
  readonly failure: Failure | null;
  readonly notes: readonly string[];
}

export interface ChainTrace {
  /** Empty: Envoy's chains need no name. */
  readonly name: string;
  /** `filterChains[0]`, `defaultFilterChain`. */
  readonly at: string;
  readonly why: string;
  readonly filter: 'http' | 'tcp' | 'other';
  /** What the chain does with TLS: `plain text`, `ends TLS (...)`, `mutual TLS (...)`. */
  readonly transport: string;
  readonly sources: readonly SourceRef[];
}

export interface HttpTrace {
  readonly routeConfiguration: string;
  /** Host and path as routes see them, after normalization. */
  readonly authority: string;
  readonly path: string;
  readonly virtualHost: {
    readonly name: string;
    /** The domain that matched. */
    readonly domain: string;
    readonly sources: readonly SourceRef[];
  } | null;
  readonly rules: readonly RuleTrace[];
  readonly action: ActionTrace | null;
}

export interface RuleTrace {
  readonly index: number;
  readonly name: string;
  /** unknown: it asks for something that cannot be judged here; `reason` says what. */
  readonly result: 'matched' | 'missed' | 'not reached' | 'unknown';
  readonly clauses: readonly ClauseResult[];
  readonly reason: string;
  readonly sources: readonly SourceRef[];
}

export interface ActionTrace {
  readonly kind: 'forward' | 'redirect' | 'direct response' | 'other';
  /** As sent on; null where the proxy answers. */
  readonly authority: string | null;
  readonly path: string | null;
  readonly status: number | null;
  readonly location: string | null;
  readonly body: string | null;
  readonly settings: readonly Setting[];
}

/** `timeout: 10s`, `fault: ...` */
export interface Setting {
  readonly label: string;
  readonly text: string;
  /** It is so without anybody's word: Istio's default. */
  readonly usual: boolean;
  readonly sources: readonly SourceRef[];
}

export interface Target {
  readonly cluster: string;
  /** Share of requests, 0 to 1. */
  readonly share: number;
  /** Left out by --pick: not followed. */
  readonly picked: boolean;
  readonly authority: string;
  readonly discovery: string;
  readonly settings: readonly Setting[];
  readonly sources: readonly SourceRef[];
  readonly endpoints: readonly EndpointTrace[];
  /** What becomes of it at the pods that it reaches; pods at which it goes alike are one entry. */
  readonly receivers: readonly { readonly pods: readonly string[]; readonly hop: Hop }[];
  readonly failure: Failure | null;
}

export interface EndpointTrace {
  readonly address: string;
  /** `pod.namespace`; empty where it is none of ours. */
  readonly pod: string;
  /** standby: of a lower priority, used when the higher ones are not healthy. */
  readonly state: 'in' | 'standby' | 'out';
  readonly reason: string;
  readonly priority: number;
  readonly weight: number;
  readonly locality: string;
  readonly transport: string;
}
