// One subscription of a state-of-the-world stream as a pure state machine: what a request means, given what was sent.
//
// Where the protocol leaves a choice we do as Istio does, because that is what proxies in the field have
// been tested with. Sources, named at the rules below:
//   spec:  https://github.com/envoyproxy/envoy/blob/v1.33.0/docs/root/api-docs/xds_protocol.rst
//   istio: https://github.com/istio/istio/blob/1.27.0/pkg/xds/server.go (ShouldRespond)

export interface Rejection {
  /** gRPC status code of the error detail. */
  readonly code: number;
  readonly message: string;
  readonly nonce: string;
}

/** What a stream asked for of one type, and how far it got. */
export interface Subscription {
  /** All resources of the type. */
  readonly wildcard: boolean;
  /** Asked for by name; may be empty on a wildcard. */
  readonly names: ReadonlySet<string>;
  /** Empty: nothing was sent on this stream yet. */
  readonly nonceSent: string;
  readonly nonceAcked: string;
  readonly versionSent: string;
  readonly versionAcked: string;
  /** Wall time in milliseconds of the last response; 0: none. */
  readonly sentAtMs: number;
  /** Set by a NACK, cleared by the next ACK. */
  readonly rejection: Rejection | undefined;
  /** The next request must be answered even if it reads like an ACK: something warms and waits for it. */
  readonly respondAnyway: boolean;
}

/** What the server takes from one DiscoveryRequest. Delta's is in delta-subscription.ts. */
export interface SubscriptionRequest {
  readonly names: readonly string[];
  readonly nonce: string;
  /** The version that the client has; empty where it has none. */
  readonly version: string;
  readonly error?: { readonly code: number; readonly message: string };
}

/** `late`: the request refuses an older response than the last one. */
export type SubscriptionEvent =
  /**
   * The first request for the type on this stream, or as good as that: answer everything asked for.
   * `resumed`: the client has resources from an earlier stream; `versions` says which where the dialect
   * does, by name.
   */
  | {
      readonly kind: 'subscribe';
      readonly resumed: boolean;
      readonly versions?: ReadonlyMap<string, string>;
    }
  /** Nothing of this type is wanted any more; it is not answered. */
  | { readonly kind: 'unsubscribe' }
  /** About an older response than the last one: silence, the answer to the last one is under way. */
  | { readonly kind: 'stale'; readonly late?: Rejection }
  /** Delta: other names, and nothing about a response. `added` must be answered; with `all` everything must. */
  | {
      readonly kind: 'change';
      readonly added: readonly string[];
      readonly all: boolean;
      readonly late?: Rejection;
    }
  /** The last response is in use. `added` must be answered; with `all` everything must. */
  | { readonly kind: 'ack'; readonly added: readonly string[]; readonly all: boolean }
  /** The last response (or a part of it) was refused. `added` must be answered all the same. */
  | {
      readonly kind: 'nack';
      readonly added: readonly string[];
      readonly all: boolean;
      readonly rejection: Rejection;
    };

export interface Received {
  /** Undefined: not subscribed any more. */
  readonly subscription: Subscription | undefined;
  readonly event: SubscriptionEvent;
}

/** Takes a request in. `before` is undefined where the type is not subscribed; it is never changed. */
export function receive(
  before: Subscription | undefined,
  request: SubscriptionRequest,
  wildcardType: boolean,
): Received {
  // spec, "Unsubscribing from resources"; istio: shouldUnsubscribe. Also as the first request of a stream:
  // an Envoy without routes sends one without names.
  if (!wildcardType && request.names.length === 0) {
    const rejection = rejectionOf(request, before);
    return {
      subscription: undefined,
      event:
        rejection === undefined
          ? { kind: 'unsubscribe' }
          : { kind: 'nack', added: [], all: false, rejection },
    };
  }
  // istio: INIT/RECONNECT. A nonce of an earlier stream means nothing here. Nothing sent yet: the first
  // answer is still being held back, and the client has changed its mind meanwhile.
  if (before === undefined || request.nonce === '' || before.nonceSent === '') {
    return {
      subscription: fresh(request.names, wildcardType, before),
      event: { kind: 'subscribe', resumed: request.version !== '' },
    };
  }
  // spec, "ACK and NACK semantics summary": a stale nonce is ignored; names that it changes come again with
  // the answer to the last response.
  if (request.nonce !== before.nonceSent)
    return { subscription: before, event: { kind: 'stale', ...lateRejection(request) } };

  const rejection = rejectionOf(request, before);
  const wanted = wantedNames(request.names);
  const added = [...wanted].filter((name) => !before.names.has(name));
  // The same object for the same names: whoever hangs something on it finds it again.
  const names = added.length === 0 && wanted.size === before.names.size ? before.names : wanted;
  const wildcard = isWildcard(request.names, before.wildcard);
  const widened = wildcard && !before.wildcard;
  const common = { ...before, names, wildcard };
  if (rejection !== undefined) {
    // istio: ACK ERROR. The client keeps what it had; nothing is sent again until it changes.
    return {
      subscription: { ...common, rejection },
      event: { kind: 'nack', added, all: widened, rejection },
    };
  }
  return {
    subscription: {
      ...common,
      nonceAcked: request.nonce,
      versionAcked: before.versionSent,
      rejection: undefined,
      respondAnyway: false,
    },
    // istio: FORCE RESPONSE for warming; RESOURCE CHANGE answers additions, and only those.
    event: { kind: 'ack', added, all: before.respondAnyway || widened },
  };
}

/** The subscription after a response went out. */
export function sent(
  before: Subscription,
  response: { readonly nonce: string; readonly version: string; readonly atMs: number },
): Subscription {
  return { ...before, nonceSent: response.nonce, versionSent: response.version, sentAtMs: response.atMs };
}

function fresh(
  names: readonly string[],
  wildcardType: boolean,
  before: Subscription | undefined,
): Subscription {
  return {
    // spec, "Legacy wildcard": a first request without names on a type that has a wildcard.
    wildcard: isWildcard(names, wildcardType),
    names: wantedNames(names),
    nonceSent: before?.nonceSent ?? '',
    nonceAcked: '',
    versionSent: before?.versionSent ?? '',
    versionAcked: '',
    sentAtMs: before?.sentAtMs ?? 0,
    rejection: undefined,
    respondAnyway: false,
  };
}

/** Without names it stays what it was; with names it is one only where `*` is among them. */
function isWildcard(names: readonly string[], before: boolean): boolean {
  return names.length === 0 ? before : names.includes('*');
}

function wantedNames(names: readonly string[]): ReadonlySet<string> {
  const wanted = new Set(names);
  wanted.delete('*');
  return wanted;
}

/** What a request refuses: the last response, or an older one. */
export function rejectionIn(event: SubscriptionEvent): Rejection | undefined {
  if (event.kind === 'nack') return event.rejection;
  return event.kind === 'stale' || event.kind === 'change' ? event.late : undefined;
}

/** What a request with the nonce of an older response says against that one. */
export function lateRejection({ nonce, error }: Pick<SubscriptionRequest, 'nonce' | 'error'>): {
  readonly late?: Rejection;
} {
  return error === undefined || nonce === '' ? {} : { late: { ...error, nonce } };
}

function rejectionOf(request: SubscriptionRequest, before: Subscription | undefined): Rejection | undefined {
  // A NACK of what this stream never sent says nothing about us.
  if (request.error === undefined || before === undefined || before.nonceSent === '') return undefined;
  if (request.nonce !== before.nonceSent) return undefined;
  return { ...request.error, nonce: request.nonce };
}
