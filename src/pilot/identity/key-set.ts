// The public keys of an issuer of tokens: written inline, or fetched, kept for a while, and fetched again.
import type { JSONWebKeySet, JWK } from 'jose';
import { createLocalJWKSet } from 'jose';
import type { Clock } from '../../base/clock.ts';

/** What `jwtVerify` asks for the key of a token. */
export type KeyResolver = ReturnType<typeof createLocalJWKSet>;

/** No issuer rotates through more. */
const keysMax = 100;

/** The keys of a JWKS in JSON; only public ones are taken. Throws Error where it has none that can verify. */
export function readKeySet(text: string): KeyResolver {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new Error('the key set is not JSON');
  }
  const keys = isKeySet(parsed) ? parsed.keys : undefined;
  if (keys === undefined) throw new Error('the key set has no list "keys"');
  if (keys.length > keysMax) throw new Error(`${keys.length} keys: accepted are ${keysMax}`);
  // A shared secret (`oct`) in a public document is none: whoever reads it could sign.
  const usable = keys.filter(({ kty }) => kty === 'RSA' || kty === 'EC' || kty === 'OKP');
  if (usable.length === 0) throw new Error('the key set has no public key (RSA, EC or OKP)');
  return createLocalJWKSet({ keys: usable });
}

function isKeySet(value: unknown): value is JSONWebKeySet {
  const { keys } = (value ?? {}) as { readonly keys?: unknown };
  return Array.isArray(keys) && keys.every((key: unknown) => typeof (key as JWK | null)?.kty === 'string');
}

export interface RemoteKeySetOptions {
  readonly clock: Clock;
  /** The text of the key set. Rejects where it cannot be had. */
  readonly fetch: () => Promise<string>;
}

/** Fetched again when older; and when a token names a key that is not there. */
const freshMs = 10 * 60_000;
/** While the issuer cannot be reached its keys are good for this long: then tokens are refused. */
const usableMs = 60 * 60_000;
/** Tokens with invented key names, and an issuer that is down, cause no more than one fetch in this time. */
const cooldownMs = 30_000;

/** Fails closed: without a key that was fetched within the hour nothing is verified. */
export class RemoteKeySet {
  readonly #options: RemoteKeySetOptions;
  #keys: KeyResolver | undefined;
  #fetchedMs = Number.NEGATIVE_INFINITY;
  #triedMs = Number.NEGATIVE_INFINITY;
  #problem = 'not fetched yet';
  #fetching: Promise<void> | undefined;

  constructor(options: RemoteKeySetOptions) {
    this.#options = options;
  }

  /** Rejects where there are no keys to be had. */
  async keys(): Promise<KeyResolver> {
    if (this.#ageMs() >= freshMs) await this.#refresh();
    if (this.#keys === undefined || this.#ageMs() >= usableMs)
      throw new Error(`no keys of the issuer: ${this.#problem}`);
    return this.#keys;
  }

  /** The keys after a token named one that is unknown; undefined if they have been asked for just now. */
  async newerKeys(): Promise<KeyResolver | undefined> {
    const before = this.#keys;
    await this.#refresh();
    return this.#keys === before ? undefined : this.#keys;
  }

  #ageMs(): number {
    return this.#options.clock.monotonicMs() - this.#fetchedMs;
  }

  /** One at a time, whoever asks. */
  #refresh(): Promise<void> {
    if (this.#fetching !== undefined) return this.#fetching;
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - this.#triedMs < cooldownMs) return Promise.resolve();
    this.#triedMs = nowMs;
    this.#fetching = this.#fetch().finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  async #fetch(): Promise<void> {
    try {
      this.#keys = readKeySet(await this.#options.fetch());
      this.#fetchedMs = this.#options.clock.monotonicMs();
    } catch (error) {
      this.#problem = error instanceof Error ? error.message : String(error);
    }
  }
}
