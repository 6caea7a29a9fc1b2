// Who speaks: what a call brings to show it, and what an authenticator makes of that.
import type { SpiffeId } from '../../model/spiffe-id.ts';

/** What came with a call (gRPC) or a request (HTTP). */
export interface Credentials {
  /** `address:port`, for messages. */
  readonly peer: string;
  /** The client's certificate in DER, verified against the CA that the port trusts; undefined: none was shown. */
  readonly certificate: Buffer | undefined;
  /** Every `authorization` header. */
  readonly authorization: readonly string[];
}

/** Who it is, and how that is known. */
export interface Caller {
  readonly source: 'certificate' | 'token';
  readonly identities: readonly SpiffeId[];
}

/**
 * Undefined: there is nothing of its kind in the credentials. Rejects with AuthenticationError where there is
 * something that proves nothing.
 */
export interface Authenticator {
  readonly name: string;
  authenticate(credentials: Credentials): Promise<Caller | undefined>;
}

/** Why a credential is refused. The text is for our log: the caller is told only that it was refused. */
export class AuthenticationError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'AuthenticationError';
  }
}

/** No token of a Kubernetes API server is longer, and nothing longer is looked into. */
const tokenLengthMax = 16 * 1024;

/** The first bearer token (RFC 6750: the scheme in any case). Rejects one of unreasonable length. */
export function bearerToken({ authorization }: Credentials): string | undefined {
  for (const value of authorization) {
    if (!/^bearer /i.test(value)) continue;
    const token = value.slice('bearer '.length).trim();
    if (token.length > tokenLengthMax)
      throw new AuthenticationError(`a token of ${token.length} characters: accepted are ${tokenLengthMax}`);
    return token;
  }
  return undefined;
}
