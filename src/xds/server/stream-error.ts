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

export { status as grpcStatus };
