// What a call brings to show who speaks. Whether it is believed is the business of the server's owner.
import type { ServerDuplexStream, ServerUnaryCall } from '@grpc/grpc-js';

export interface CallCredentials {
  /** `address:port` */
  readonly peer: string;
  /** Whether it came through TLS. */
  readonly isSecure: boolean;
  /** The client's certificate in DER, verified by TLS; undefined: none was shown. */
  readonly certificate: Buffer | undefined;
  /** Every `authorization` header. */
  readonly authorization: readonly string[];
}

/**
 * The names of whoever speaks; undefined: nobody is asked who they are. Rejects with StreamError to refuse the call.
 * It must settle in bounded time.
 */
export type Authenticate = (credentials: CallCredentials) => Promise<readonly string[] | undefined>;

type AnyCall = ServerDuplexStream<unknown, unknown> | ServerUnaryCall<unknown, unknown>;

export function credentialsOf(call: AnyCall, isSecure: boolean): CallCredentials {
  return {
    peer: call.getPeer(),
    isSecure,
    certificate: isSecure ? call.getAuthContext().sslPeerCertificate?.raw : undefined,
    authorization: call.metadata.get('authorization').map(String),
  };
}
