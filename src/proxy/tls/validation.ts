// Whose certificates are taken: CertificateValidationContext. OpenSSL checks chain, time and purpose; the rest is here.
import { createHash } from 'node:crypto';
import type { CertificateValidationContext } from '../../api/gen/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import {
  CertificateValidationContextSchema,
  CertificateValidationContext_TrustChainVerification as TrustChain,
  SubjectAltNameMatcher_SanType as SanType,
} from '../../api/gen/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import { ConfigError } from '../config-error.ts';
import { compileStringMatcher } from '../matchers/text.ts';
import { refuseFields } from '../refuse-fields.ts';
import { readDataSource } from './data-source.ts';
import type { Certificate, SubjectAltName } from './peer-certificate.ts';

/** Why a certificate is refused: the names of Envoy's counters. */
export type ValidationFailure = 'fail_verify_error' | 'fail_verify_san' | 'fail_verify_cert_hash';

export interface Validation {
  /** PEM; undefined: whatever a peer shows is taken, unless it must have a name or a hash. */
  readonly trustedCa: string | undefined;
  readonly crl: string | undefined;
  readonly expiredAllowed: boolean;
  /** Undefined: the certificate is good. `verifyError` is OpenSSL's code. */
  check(certificate: Certificate, verifyError: string | undefined): ValidationFailure | undefined;
}

const acceptedFields = new Set([
  'trusted_ca',
  'crl',
  'verify_certificate_spki',
  'verify_certificate_hash',
  'match_typed_subject_alt_names',
  'match_subject_alt_names',
  'allow_expired_certificate',
  'trust_chain_verification',
]);

/** What OpenSSL says of a certificate that is only too old or too new. */
const aboutTime = new Set(['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID']);

/** Throws ConfigError. */
export function compileValidation(config: CertificateValidationContext, path: string): Validation {
  refuseFields(CertificateValidationContextSchema, config, path, acceptedFields);
  const trustedCa = readDataSource(config.trustedCa, `${path}.trusted_ca`);
  const crl = readDataSource(config.crl, `${path}.crl`);
  if (crl !== undefined && trustedCa === undefined) {
    throw new ConfigError(`${path}.crl`, 'Failed to load CRL: needs trusted_ca');
  }
  const untrusted = config.trustChainVerification === TrustChain.ACCEPT_UNTRUSTED;
  const matchers = [
    ...config.matchTypedSubjectAltNames.map((matcher, index) =>
      compileName(matcher, `${path}.match_typed_subject_alt_names[${index}]`),
    ),
    ...config.matchSubjectAltNames.map((matcher, index) => {
      const matches = compileStringMatcher(matcher, `${path}.match_subject_alt_names[${index}]`);
      return ({ value }: SubjectAltName): boolean => matches(value);
    }),
  ];
  if (matchers.length > 0 && trustedCa === undefined) {
    throw new ConfigError(
      `${path}.match_typed_subject_alt_names`,
      'SAN-based verification of peer certificates without trusted CA is insecure and not allowed',
    );
  }
  const hashes = new Set(config.verifyCertificateHash.map((hash) => hash.replaceAll(':', '').toLowerCase()));
  const spkis = new Set(config.verifyCertificateSpki);
  return {
    trustedCa,
    crl,
    expiredAllowed: config.allowExpiredCertificate,
    check: (certificate, verifyError) => {
      const forgiven =
        verifyError !== undefined && config.allowExpiredCertificate && aboutTime.has(verifyError);
      if (trustedCa !== undefined && !untrusted && verifyError !== undefined && !forgiven)
        return 'fail_verify_error';
      const names = certificate.subjectAltNames;
      // What stops at a NUL for one reader does not for another.
      if (names.some(({ value }) => value.includes('\0'))) return 'fail_verify_san';
      if (matchers.length > 0 && !names.some((name) => matchers.some((matches) => matches(name))))
        return 'fail_verify_san';
      if (hashes.size === 0 && spkis.size === 0) return undefined;
      const known = hashes.has(certificate.fingerprint256) || spkis.has(spkiHash(certificate));
      return known ? undefined : 'fail_verify_cert_hash';
    },
  };
}

function spkiHash(certificate: Certificate): string {
  const spki = certificate.x509.publicKey.export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(spki).digest('base64');
}

const typeOf: Partial<Record<SanType, SubjectAltName['type']>> = {
  [SanType.EMAIL]: 'EMAIL',
  [SanType.DNS]: 'DNS',
  [SanType.URI]: 'URI',
  [SanType.IP_ADDRESS]: 'IP_ADDRESS',
};

function compileName(
  config: CertificateValidationContext['matchTypedSubjectAltNames'][number],
  path: string,
): (name: SubjectAltName) => boolean {
  const type = typeOf[config.sanType];
  if (type === undefined)
    throw new ConfigError(`${path}.san_type`, 'EMAIL, DNS, URI and IP_ADDRESS are supported');
  if (config.matcher === undefined) throw new ConfigError(`${path}.matcher`, 'is required');
  const pattern = config.matcher.matchPattern;
  // A certificate of *.example.com is one of a.example.com, and nobody else's.
  if (type === 'DNS' && pattern.case === 'exact') {
    const wanted = pattern.value.toLowerCase();
    return (name) => name.type === 'DNS' && dnsNameMatches(wanted, name.value.toLowerCase());
  }
  const matches = compileStringMatcher(config.matcher, `${path}.matcher`);
  return (name) => name.type === type && matches(name.value);
}

/** Whether a certificate's name, perhaps with a wildcard for its first label, is that of `name`. Both in lower case. */
export function dnsNameMatches(name: string, pattern: string): boolean {
  if (name === pattern) return true;
  if (!pattern.startsWith('*.')) return false;
  const dot = name.indexOf('.');
  return dot > 0 && name.slice(dot) === pattern.slice(1);
}
