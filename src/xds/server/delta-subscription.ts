// One subscription of a delta stream as a pure state machine, beside subscription.ts for the other dialect.
//
// Sources, named at the rules below:
//   spec:  https://github.com/envoyproxy/envoy/blob/v1.33.0/docs/root/api-docs/xds_protocol.rst
//   istio: https://github.com/istio/istio/blob/1.27.0/pilot/pkg/xds/delta.go (shouldRespondDelta)
import type { Received, Rejection, Subscription } from './subscription.ts';
import { lateRejection } from './subscription.ts';

/** What the server takes from one DeltaDiscoveryRequest. */
export interface DeltaRequest {
  readonly subscribe: readonly string[];
  readonly unsubscribe: readonly string[];
  /** initial_resource_versions: what the client holds from an earlier stream. */
  readonly versions: ReadonlyMap<string, string>;
  readonly nonce: string;
  readonly error?: { readonly code: number; readonly message: string };
}

/** Takes a request in. `before` is undefined for the first request of the type on the stream; it is never changed. */
export function receiveDelta(
  before: Subscription | undefined,
  request: DeltaRequest,
  wildcardType: boolean,
): Received {
  if (before === undefined) return first(request, wildcardType);
  const change = changed(before, request);
  const next = { ...before, names: change.names, wildcard: change.wildcard };
  const { added, all } = change;
  const isChange = request.subscribe.length > 0 || request.unsubscribe.length > 0;
  // spec, "Incremental xDS": a request may be an ACK or a NACK, a change of subscriptions, or both. So what
  // it says of names counts even where the nonce is stale, for it is not said a second time.
  if (request.nonce === '' || request.nonce !== before.nonceSent) {
    const late = lateRejection(request);
    if (isChange) return { subscription: next, event: { kind: 'change', added, all, ...late } };
    return { subscription: before, event: { kind: 'stale', ...late } };
  }
  if (request.error !== undefined) {
    const rejection: Rejection = { ...request.error, nonce: request.nonce };
    return { subscription: { ...next, rejection }, event: { kind: 'nack', added, all, rejection } };
  }
  return {
    subscription: {
      ...next,
      nonceAcked: request.nonce,
      versionAcked: before.versionSent,
      rejection: undefined,
    },
    event: { kind: 'ack', added, all },
  };
}

function first(request: DeltaRequest, wildcardType: boolean): Received {
  const names = new Set(request.subscribe);
  // spec, "How the client specifies what resources to return": without names a type that has a wildcard means it.
  if (wildcardType && names.size === 0) names.add('*');
  // istio: a client that wants nothing yet says `*` and takes it back in the same request.
  for (const name of request.unsubscribe) names.delete(name);
  const wildcard = names.delete('*');
  return {
    subscription: {
      wildcard,
      names,
      nonceSent: '',
      nonceAcked: '',
      versionSent: '',
      versionAcked: '',
      sentAtMs: 0,
      rejection: undefined,
      respondAnyway: false,
    },
    event: { kind: 'subscribe', resumed: request.versions.size > 0, versions: request.versions },
  };
}

interface NamesChange {
  readonly names: ReadonlySet<string>;
  readonly wildcard: boolean;
  /** To be answered. */
  readonly added: readonly string[];
  readonly all: boolean;
}

function changed(before: Subscription, { subscribe, unsubscribe }: DeltaRequest): NamesChange {
  if (subscribe.length === 0 && unsubscribe.length === 0) {
    return { names: before.names, wildcard: before.wildcard, added: [], all: false };
  }
  const gone = new Set(unsubscribe);
  const wildcard = (before.wildcard || subscribe.includes('*')) && !gone.has('*');
  const names = new Set(before.names);
  const added = new Set<string>();
  for (const name of subscribe) {
    if (name === '*' || gone.has(name)) continue;
    names.add(name);
    // spec: also one that the client is known to have; it may have forgotten it (B3.05).
    added.add(name);
  }
  for (const name of gone) {
    // spec, "Unsubscribing From Resources": under the wildcard the client cannot know whether it keeps the
    // resource; it is told, by the resource or by its removal.
    if (names.delete(name) && wildcard) added.add(name);
  }
  return {
    names: same(before.names, names),
    wildcard,
    added: [...added],
    all: subscribe.includes('*') && wildcard,
  };
}

/** The same object for the same names: whoever hangs something on it finds it again. */
function same(before: ReadonlySet<string>, after: ReadonlySet<string>): ReadonlySet<string> {
  if (before.size !== after.size) return after;
  for (const name of after) if (!before.has(name)) return after;
  return before;
}
