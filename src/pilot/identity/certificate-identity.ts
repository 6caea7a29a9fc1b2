// Identities of a client certificate: the SPIFFE names among its URIs.
import { X509Certificate } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import type { SpiffeId } from '../../model/spiffe-id.ts';
import { parseSpiffeId } from '../../model/spiffe-id.ts';
import type { Authenticator, Caller } from './caller.ts';
import { AuthenticationError } from './caller.ts';

/** No workload has more names; each is looked at on every stream. */
const namesMax = 32;

export interface CertificateAuthenticatorOptions {
  readonly clock: Clock;
  /** The mesh's trust domain and its aliases: names of others are nobody's here. */
  readonly trustDomains: () => readonly string[];
}

/**
 * Takes the certificates that TLS has verified (chain, purpose, time). The time is asked again for each stream,
 * because a connection, and a TLS session that is resumed, may outlive its certificate.
 */
export class CertificateAuthenticator implements Authenticator {
  readonly name = 'client certificate';
  readonly #options: CertificateAuthenticatorOptions;

  constructor(options: CertificateAuthenticatorOptions) {
    this.#options = options;
  }

  async authenticate({ certificate }: { readonly certificate: Buffer | undefined }) {
    return certificate === undefined ? undefined : this.#callerOf(certificate);
  }

  #callerOf(der: Buffer): Caller {
    const certificate = readCertificate(der);
    const nowMs = this.#options.clock.now();
    if (!(Date.parse(certificate.validFrom) <= nowMs && nowMs <= Date.parse(certificate.validTo)))
      throw new AuthenticationError(
        `valid from ${certificate.validFrom} to ${certificate.validTo}, which is not now`,
      );
    const identities = spiffeIdsOf(certificate);
    const trusted = this.#options.trustDomains();
    const own = identities.filter(({ trustDomain }) => trusted.includes(trustDomain));
    if (own.length > 0) return { source: 'certificate', identities: own };
    const [other] = identities;
    throw new AuthenticationError(
      other === undefined
        ? 'no name of the form spiffe://<trust domain>/ns/<namespace>/sa/<service account>'
        : `trust domain ${other.trustDomain} is not one of ${trusted.join(', ')}`,
    );
  }
}

function readCertificate(der: Buffer): X509Certificate {
  try {
    return new X509Certificate(der);
  } catch (error) {
    throw new AuthenticationError(
      `cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

/**
 * The SPIFFE names among the URIs of the subject alternative names. Names of other kinds (otherName, DNS) are
 * none, whatever their text; a certificate with a name that must be quoted (control characters, NUL, commas)
 * has none at all, because nobody honest issues one.
 */
export function spiffeIdsOf(certificate: X509Certificate): readonly SpiffeId[] {
  const text = certificate.subjectAltName ?? '';
  // Node quotes a name that could be taken for several: `URI:"spiffe://a, URI:spiffe://b"`.
  if (text.includes('"')) return [];
  return text
    .split(', ')
    .slice(0, namesMax)
    .flatMap((name) => (name.startsWith('URI:') ? (parseSpiffeId(name.slice('URI:'.length)) ?? []) : []));
}
