// The two ways to speak xDS: state of the world, and delta. A stream speaks one of them from its first byte.
import type { Node } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import { errorLengthMax } from './limits.ts';
import { StreamError, grpcStatus } from './stream-error.ts';
import type { Received, Subscription } from './subscription.ts';

/** A resource as it goes out: encoded once, shared by all who get it. */
export interface OutgoingResource {
  readonly name: string;
  /** From encodeResourceField; never copied before the socket. */
  readonly field: Uint8Array;
  /** Of the content: equal versions mean equal content. Goes out in delta alone. */
  readonly version: string;
}

export interface StreamResponse {
  readonly typeUrl: string;
  readonly versionInfo: string;
  readonly resources: readonly OutgoingResource[];
  /** Names that the client is to forget; delta alone can say so. */
  readonly removed: readonly string[];
}

/** What stands in every response beside the resources. */
export interface ResponseHead {
  readonly versionInfo: string;
  readonly typeUrl: string;
  readonly nonce: string;
  /** `ControlPlane.identifier`. */
  readonly controlPlane: string;
}

/** A request, decoded. */
export interface DiscoveryMessage {
  readonly node: Node | undefined;
  readonly typeUrl: string;
  /** Every name in it, by what it is said for. */
  readonly names: readonly (readonly string[])[];
  /** Takes it in; `before` is never changed. */
  receive(before: Subscription | undefined, wildcardType: boolean): Received;
}

export interface Dialect {
  readonly name: 'sotw' | 'delta';
  /** Throws StreamError for what is no request. */
  decode(bytes: Uint8Array): DiscoveryMessage;
  encode(head: ResponseHead, response: StreamResponse): Buffer;
}

/** The error of a NACK, as far as it is kept. */
export function toldError(detail: { readonly code: number; readonly message: string } | undefined): {
  readonly error?: { readonly code: number; readonly message: string };
} {
  if (detail === undefined) return {};
  return { error: { code: detail.code, message: detail.message.slice(0, errorLengthMax) } };
}

/** Runs a decoder on bytes that a peer made up. */
export function decoded<T>(what: string, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new StreamError(grpcStatus.INVALID_ARGUMENT, `the request is not a ${what}: ${reason}`);
  }
}
