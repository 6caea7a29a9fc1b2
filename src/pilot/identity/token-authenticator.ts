// Identities of bearer tokens: signed ones of a Kubernetes API server, and those that we gave out ourselves.
import { createHash } from 'node:crypto';
import type { JWTPayload, JWTVerifyOptions } from 'jose';
import { errors, jwtVerify } from 'jose';
import type { Clock } from '../../base/clock.ts';
import type { SpiffeId } from '../../model/spiffe-id.ts';
import { formatSpiffeId, parseSpiffeId } from '../../model/spiffe-id.ts';
import type { Authenticator, Caller, Credentials } from './caller.ts';
import { AuthenticationError, bearerToken } from './caller.ts';
import { guardedGet } from './guarded-get.ts';
import type { JwtRule } from './jwt-rule.ts';
import type { KeyResolver } from './key-set.ts';
import { RemoteKeySet, readKeySet } from './key-set.ts';

/** Signatures with a private key alone: `none`, and secrets that a public key could be taken for, are not asked. */
const algorithms = 'RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519'.split(' ');

export interface JwtAuthenticatorOptions {
  readonly rule: JwtRule;
  readonly clock: Clock;
  /** The mesh's trust domain: tokens name none. */
  readonly trustDomain: () => string;
  /** The body of a GET. Default: guardedGet. */
  readonly get?: (url: string) => Promise<string>;
}

/** Service account tokens: `sub` is `system:serviceaccount:<namespace>:<name>`. Source: Istio `JwtAuthenticator`. */
export class JwtAuthenticator implements Authenticator {
  readonly name = 'token';
  readonly #options: JwtAuthenticatorOptions;
  readonly #inline: KeyResolver | undefined;
  readonly #remote: RemoteKeySet;

  constructor(options: JwtAuthenticatorOptions) {
    this.#options = options;
    const { rule, clock } = options;
    const get = options.get ?? ((url: string) => guardedGet(url, clock));
    this.#inline = rule.keys.kind === 'inline' ? readKeySet(rule.keys.jwks) : undefined;
    this.#remote = new RemoteKeySet({ clock, fetch: () => fetchKeys(rule, get) });
  }

  async authenticate(credentials: Credentials): Promise<Caller | undefined> {
    const token = bearerToken(credentials);
    if (token === undefined) return undefined;
    const identity = this.#identityOf(await this.#verify(token));
    return { source: 'token', identities: [identity] };
  }

  async #verify(token: string): Promise<JWTPayload> {
    const keys = this.#inline ?? (await refusing('', () => this.#remote.keys()));
    try {
      return await this.#verifyBy(token, keys);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw asRefusal(error);
    }
    const newer = this.#inline === undefined ? await this.#remote.newerKeys() : undefined;
    if (newer === undefined) throw new AuthenticationError('signed with a key that the issuer does not have');
    return refusing('', () => this.#verifyBy(token, newer));
  }

  async #verifyBy(token: string, keys: KeyResolver): Promise<JWTPayload> {
    const { rule, clock } = this.#options;
    const options: JWTVerifyOptions = {
      algorithms,
      issuer: rule.issuer,
      audience: [...rule.audiences],
      requiredClaims: ['sub', 'exp'],
      currentDate: new Date(clock.now()),
    };
    try {
      return (await jwtVerify(token, keys, options)).payload;
    } catch (error) {
      if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
      // The token names no key, and several are of its kind: one of them must have signed it.
      for await (const key of error) {
        try {
          return (await jwtVerify(token, key, options)).payload;
        } catch (other) {
          if (!(other instanceof errors.JWSSignatureVerificationFailed)) throw other;
        }
      }
      throw new errors.JWSSignatureVerificationFailed();
    }
  }

  #identityOf({ sub = '' }: JWTPayload): SpiffeId {
    const [, namespace, serviceAccount] = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(sub) ?? [];
    const trustDomain = this.#options.trustDomain();
    const identity =
      namespace === undefined || serviceAccount === undefined
        ? undefined
        : parseSpiffeId(formatSpiffeId({ trustDomain, namespace, serviceAccount }));
    if (identity === undefined)
      throw new AuthenticationError('its subject is not system:serviceaccount:<namespace>:<name>');
    return identity;
  }
}

async function fetchKeys({ issuer, keys }: JwtRule, get: (url: string) => Promise<string>): Promise<string> {
  if (keys.kind === 'inline') return keys.jwks;
  if (keys.kind === 'remote') return get(keys.uri);
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const document = JSON.parse(await get(url)) as { readonly issuer?: unknown; readonly jwks_uri?: unknown };
  // OpenID Connect Discovery 1.0, 4.3.
  if (document.issuer !== issuer) throw new Error(`${url} is the document of another issuer`);
  if (typeof document.jwks_uri !== 'string') throw new Error(`${url} names no jwks_uri`);
  return get(document.jwks_uri);
}

/** What `work` rejects with is a refusal: a verifier that fails for whatever reason lets nobody in. */
async function refusing<T>(prefix: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw asRefusal(error, prefix);
  }
}

/** Texts of jose's errors name claims and algorithms, never the token. */
function asRefusal(error: unknown, prefix = ''): AuthenticationError {
  return new AuthenticationError(`${prefix}${error instanceof Error ? error.message : String(error)}`);
}

/**
 * Tokens that this process gave to processes that it starts (`fairlead up`): each stands for one pod's service
 * account for as long as it is not revoked.
 */
export class IssuedTokens implements Authenticator {
  readonly name = 'issued token';
  /** By digest: to find one takes no longer for a guess that begins rightly. */
  readonly #identities = new Map<string, SpiffeId>();

  /** `token` has at least 128 random bits. */
  add(token: string, identity: SpiffeId): void {
    this.#identities.set(digest(token), identity);
  }

  revoke(token: string): void {
    this.#identities.delete(digest(token));
  }

  async authenticate(credentials: Credentials): Promise<Caller | undefined> {
    const token = bearerToken(credentials);
    if (token === undefined) return undefined;
    const identity = this.#identities.get(digest(token));
    if (identity === undefined) throw new AuthenticationError('nobody was given this token');
    return { source: 'token', identities: [identity] };
  }
}

function digest(token: string): string {
  return createHash('sha256').update(token).digest('base64');
}
