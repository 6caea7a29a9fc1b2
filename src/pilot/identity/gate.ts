// Who may speak on which port: through TLS everybody must show who they are, in plaintext nobody is asked.
import type { IncomingMessage } from 'node:http';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import { RecentlyTold } from '../../base/recently-told.ts';
import type { MeshConfig } from '../../config/mesh-config.ts';
import type { ProxyIdentity, ProxyNode } from '../../model/proxy-node.ts';
import type { SpiffeId } from '../../model/spiffe-id.ts';
import { formatSpiffeId, parseSpiffeId } from '../../model/spiffe-id.ts';
import type { Authenticate } from '../../xds/server/credentials.ts';
import { StreamError, grpcStatus } from '../../xds/server/stream-error.ts';
import { authenticate, describeIdentities, identityOfNode } from './authenticate.ts';
import type { Authenticator, Credentials } from './caller.ts';
import { bearerToken } from './caller.ts';
import { CertificateAuthenticator } from './certificate-identity.ts';
import type { JwtRule } from './jwt-rule.ts';
import type { IssuedTokens } from './token-authenticator.ts';
import { JwtAuthenticator } from './token-authenticator.ts';

export interface GateOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Not recorded. */
  readonly meshConfig: () => MeshConfig;
  /** Whose tokens are believed. Default: nobody's. */
  readonly jwtRule?: JwtRule | undefined;
  /** Tokens of processes that were started here: believed in plaintext, too, for they never leave this machine. */
  readonly issuedTokens?: IssuedTokens | undefined;
}

/** Clients that are refused try again and again. */
const refusalSilenceMs = 60_000;

export class Gate {
  readonly #options: GateOptions;
  readonly #authenticators: readonly Authenticator[];
  readonly #told = new RecentlyTold(refusalSilenceMs);

  constructor(options: GateOptions) {
    this.#options = options;
    const { clock, meshConfig, jwtRule, issuedTokens } = options;
    this.#authenticators = [
      new CertificateAuthenticator({
        clock,
        trustDomains: () => [meshConfig().trustDomain, ...meshConfig().trustDomainAliases],
      }),
      ...(issuedTokens === undefined ? [] : [issuedTokens]),
      ...(jwtRule === undefined
        ? []
        : [new JwtAuthenticator({ rule: jwtRule, clock, trustDomain: () => meshConfig().trustDomain })]),
    ];
  }

  /** Of calls: B1.07. The client is told that it was refused, not why: that is for our log. */
  readonly authenticate: Authenticate = async (call) => {
    const authenticators = call.isSecure ? this.#authenticators : this.#inPlaintext(call);
    if (authenticators.length === 0) return undefined;
    const answer = await authenticate(authenticators, call);
    if (answer.ok) return answer.identities.map(formatSpiffeId);
    this.#tell(call.peer, answer.reason);
    throw new StreamError(grpcStatus.UNAUTHENTICATED, 'authentication failure');
  };

  /**
   * Under which identity a node speaks on a stream; undefined: nobody was asked. Throws StreamError PERMISSION_DENIED
   * where it says to be somebody else.
   */
  identityOf(names: readonly string[] | undefined, node: ProxyNode): ProxyIdentity | undefined {
    if (names === undefined) return undefined;
    const identities = names.flatMap((name) => parseSpiffeId(name) ?? []);
    const identity = identityOfNode(identities, node);
    if (identity !== undefined) return identity;
    const said = `${node.namespace}/${node.serviceAccount}`;
    throw new StreamError(
      grpcStatus.PERMISSION_DENIED,
      `authorization failed: the node says to be ${said}, which is not ${describeIdentities(identities)}`,
    );
  }

  /** Of HTTP requests, in plaintext: by token alone. Undefined where there is no good one. */
  async identitiesOfRequest({ socket, headers }: IncomingMessage): Promise<readonly SpiffeId[] | undefined> {
    const { authorization } = headers;
    const credentials: Credentials = {
      peer: `${socket.remoteAddress ?? 'unknown'}:${socket.remotePort ?? 0}`,
      certificate: undefined,
      authorization: authorization === undefined ? [] : [authorization],
    };
    const answer = await authenticate(this.#authenticators, credentials);
    if (answer.ok) return answer.identities;
    if (credentials.authorization.length > 0) this.#tell(credentials.peer, answer.reason);
    return undefined;
  }

  /** A token of ours must be right where one is shown. */
  #inPlaintext(call: Credentials): readonly Authenticator[] {
    const { issuedTokens } = this.#options;
    if (issuedTokens === undefined) return [];
    try {
      return bearerToken(call) === undefined ? [] : [issuedTokens];
    } catch {
      // Too long to be looked at: the authenticator says so.
      return [issuedTokens];
    }
  }

  #tell(peer: string, reason: string): void {
    const { logger, clock } = this.#options;
    const line = `xDS: ${peer} refused: ${reason}`;
    const host = peer.slice(0, peer.lastIndexOf(':'));
    if (this.#told.isNews(`${host} ${reason}`, clock.monotonicMs())) logger.warn(line);
    else logger.debug(line);
  }
}
