// What the two dialects of xDS differ in: what is asked with which words, and how what comes is read.
import type { Node } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import type { XdsResponse } from './resource.ts';

export type DialectName = 'sotw' | 'delta';

export interface Dialect {
  readonly name: DialectName;
  /** Throws for bytes that are no response. */
  decode(bytes: Uint8Array): XdsResponse;
  /** `wildcard`: all resources of the type are wanted, from the first request on. */
  createSubscription(typeUrl: string, wildcard: boolean): SubscriptionState;
}

/** The answer to a response. */
export interface Answer {
  readonly nonce: string;
  /** Set: a NACK. */
  readonly error: string | undefined;
}

/** One type of one client: what is wanted, what is held and what the server knows of it. It sends nothing. */
export interface SubscriptionState {
  /** A new stream: the server may be another one. */
  restart(): void;
  /** Wants exactly these names, beside the wildcard where that is wanted. */
  setNames(names: ReadonlySet<string>): void;
  /** Whether the server must hear of something even if there is nothing to answer. */
  readonly pending: boolean;
  /** Throws what makes the whole response a NACK that no consumer sees. */
  check(response: XdsResponse): void;
  /** The consumer has taken all of it. */
  accept(response: XdsResponse): void;
  /** The next request, which says all that is pending. `node`: on the first of a stream. */
  encodeRequest(answer: Answer | undefined, node: Node | undefined): Uint8Array;
}

/** google.rpc.Code.INTERNAL: what Envoy sends in every NACK. */
const nackCode = 13;
/** Envoy cuts the text of a NACK there. */
const errorTextMax = 4096;

/** The error_detail of a NACK. */
export function errorDetail(error: string): {
  $typeName: 'google.rpc.Status';
  code: number;
  message: string;
  details: [];
} {
  return {
    $typeName: 'google.rpc.Status',
    code: nackCode,
    message: error.slice(0, errorTextMax),
    details: [],
  };
}

/** Throws when a resource cannot be read, or is of another type than its response. */
export function refuseUnreadable(response: XdsResponse): void {
  if (response.problem !== undefined) throw new Error(response.problem);
  const foreign = response.resources.find(({ typeUrl }) => typeUrl !== response.typeUrl);
  if (foreign === undefined) return;
  throw new Error(
    `a resource of type ${foreign.typeUrl || '(none)'} came in a response of type ${response.typeUrl}`,
  );
}

export function sameNames(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  if (a.size !== b.size) return false;
  for (const name of a) if (!b.has(name)) return false;
  return true;
}
