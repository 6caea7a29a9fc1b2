// Why a stream or a call is refused, as the peer is told.
import { status } from '@grpc/grpc-js';

/** Why a stream is refused or ended: a gRPC status. */
export class StreamError extends Error {
  readonly code: status;

  constructor(code: status, message: string) {
    super(message);
    this.name = 'StreamError';
    this.code = code;
  }
}

/** Characters of a reason that its peer is told: it travels in a header, each character as up to nine bytes. */
const detailsLengthMax = 1024;

/**
 * A reason as grpc-js can send it. What quotes a peer may be endless, or end within a character that takes two
 * units: grpc-js throws at half a character, and the stream would never end.
 */
export function sentDetails(details: string): string {
  return details.slice(0, detailsLengthMax).replaceAll(/\p{Surrogate}/gu, '\uFFFD');
}

export { status as grpcStatus };
