// A server's side of TLS: which certificate is shown for a name, and who may come.
import { createHash } from 'node:crypto';
import { constants } from 'node:crypto';
import type { SecureContext, SecureContextOptions } from 'node:tls';
import { createSecureContext } from 'node:tls';
import { ConfigError } from '../config-error.ts';
import type { KeyPair } from './key-pair.ts';
import type { Certificate } from './peer-certificate.ts';
import type { Validation } from './validation.ts';
import { dnsNameMatches } from './validation.ts';

export interface ServerContextOptions {
  readonly parameters: Pick<SecureContextOptions, 'minVersion' | 'maxVersion' | 'ciphers' | 'ecdhCurve'>;
  readonly keyPairs: readonly KeyPair[];
  readonly validation: Validation | undefined;
  /** In the order in which they are preferred. */
  readonly protocols: readonly string[];
  readonly requireClientCertificate: boolean;
  readonly requireSni: boolean;
  readonly tickets: boolean;
  readonly sessionTimeoutSeconds: number | undefined;
}

interface Choice {
  readonly context: SecureContext;
  readonly local: Certificate | undefined;
}

/** One version of a server's TLS. Sessions of one are none of another: what is verified now is what counts now. */
export class ServerContext {
  readonly options: ServerContextOptions;
  readonly #choices = new Map<string, Choice>();
  readonly #sessionId: string;

  /** Throws ConfigError below `path`. */
  constructor(options: ServerContextOptions, path: string) {
    this.options = options;
    const { keyPairs, validation } = options;
    const hash = createHash('sha256');
    for (const { chain } of keyPairs) hash.update(chain);
    this.#sessionId = hash
      .update(validation?.trustedCa ?? '')
      .digest('hex')
      .slice(0, 32);
    try {
      this.choose(undefined);
    } catch (error) {
      throw new ConfigError(path, (error as Error).message);
    }
  }

  /** Of several certificates the one for the name, and one for each kind of key; the first ones where none fits. */
  choose(serverName: string | undefined): Choice {
    const { keyPairs } = this.options;
    let chosen = keyPairs;
    if (keyPairs.length > 1) {
      const fitting = (matches: (name: string) => boolean): readonly KeyPair[] =>
        keyPairs.filter(({ certificate }) =>
          certificate.names('DNS').some((name) => matches(name.toLowerCase())),
        );
      if (serverName !== undefined) {
        const exact = fitting((name) => name === serverName);
        const wild = exact.length > 0 ? exact : fitting((name) => dnsNameMatches(serverName, name));
        if (wild.length > 0) chosen = wild;
      }
      chosen = chosen.filter(
        ({ keyType }, index) => chosen.findIndex((other) => other.keyType === keyType) === index,
      );
    }
    const key = chosen.map((pair) => keyPairs.indexOf(pair)).join();
    let choice = this.#choices.get(key);
    if (choice === undefined) {
      choice = { context: this.#make(chosen), local: chosen[0]?.certificate };
      this.#choices.set(key, choice);
    }
    return choice;
  }

  #make(keyPairs: readonly KeyPair[]): SecureContext {
    const { parameters, validation, tickets, sessionTimeoutSeconds } = this.options;
    return createSecureContext({
      ...parameters,
      cert: keyPairs.map(({ chain }) => chain),
      key: keyPairs.map(({ key, passphrase }) =>
        passphrase === undefined ? { pem: key } : { pem: key, passphrase },
      ),
      // Never Node's own authorities: without trusted_ca nobody is vouched for.
      ca: validation?.trustedCa ?? [],
      ...(validation?.crl === undefined ? {} : { crl: validation.crl }),
      honorCipherOrder: true,
      sessionIdContext: this.#sessionId,
      sessionTimeout: sessionTimeoutSeconds ?? 7200,
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION | (tickets ? 0 : constants.SSL_OP_NO_TICKET),
    });
  }
}
