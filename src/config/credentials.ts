// What Secrets and ConfigMaps hold for TLS: which entries, and whether they can be used. No text of ours tells
// what stands in an entry.
import type { KeyObject } from 'node:crypto';
import { X509Certificate, createPrivateKey } from 'node:crypto';
import type { Config } from './config.ts';
import type { ConfigMap, Secret } from './kube-types.ts';

/** The entries of a Secret or ConfigMap, as bytes. */
export type Entries = Readonly<Record<string, Buffer>>;

/** What is wrong, and in which entry; undefined: they are missing. */
export interface EntryProblem {
  readonly entry: string | undefined;
  readonly message: string;
}

export interface PairEntries {
  readonly certificateChain: string;
  readonly privateKey: string;
  /** Base64. */
  readonly ocspStaple?: string;
}

export interface CaEntries {
  readonly certificates: string;
  readonly revocationList?: string;
}

/** Of a generic Secret, and of one of type kubernetes.io/tls. */
const keyPairs = [
  ['cert', 'key'],
  ['tls.crt', 'tls.key'],
] as const;
const rootKeys = ['cacert', 'ca.crt'] as const;
const stapleKey = 'tls.ocsp-staple';
const revocationKey = 'ca.crl';

export function secretEntries({ data = {}, stringData = {} }: Secret): Entries {
  return {
    ...mapValues(data, (value) => Buffer.from(value, 'base64')),
    ...mapValues(stringData, (value) => Buffer.from(value)),
  };
}

/** Text, and binary entries under what text has not. */
export function configMapEntries({ data = {}, binaryData = {} }: ConfigMap): Entries {
  return {
    ...mapValues(binaryData, (value) => Buffer.from(value, 'base64')),
    ...mapValues(data, (value) => Buffer.from(value)),
  };
}

/**
 * The certificate and key that a server, or a client, shows: of a generic Secret (`cert`, `key`), or of one of type
 * kubernetes.io/tls. With a time, certificates must be valid then. Source: Istio `ExtractCertInfo`.
 */
export function readKeyPair(entries: Entries, nowMs?: number): PairEntries | EntryProblem {
  for (const [certificateKey, keyKey] of keyPairs) {
    const certificateChain = textOf(entries, certificateKey);
    const privateKey = textOf(entries, keyKey);
    if (certificateChain === '' || privateKey === '') continue;
    const problem = pairProblem(certificateKey, certificateChain, keyKey, privateKey, nowMs);
    if (problem !== undefined) return problem;
    const staple = certificateKey === 'tls.crt' ? entries[stapleKey] : undefined;
    const hasStaple = staple !== undefined && staple.length > 0;
    return {
      certificateChain,
      privateKey,
      ...(hasStaple ? { ocspStaple: staple.toString('base64') } : {}),
    };
  }
  for (const [certificate, key] of keyPairs)
    if (certificate in entries && key in entries)
      return {
        entry: certificate,
        message: `found keys "${certificate}" and "${key}", but they were empty`,
      };
  const expected = keyPairs.map((pair) => `(${pair.join(' and ')})`).join(' or ');
  return {
    entry: undefined,
    message: `found secret, but didn't have expected keys ${expected}; found: ${keysFound(entries)}`,
  };
}

/** The certificates of authorities. With a time, one of them must be valid then. Source: Istio `ExtractRoot`. */
export function readTrustedCa(entries: Entries, nowMs?: number): CaEntries | EntryProblem {
  const key = rootKeys.find((each) => textOf(entries, each) !== '');
  if (key === undefined) {
    const empty = rootKeys.find((each) => each in entries);
    if (empty !== undefined) return { entry: empty, message: `found key "${empty}", but it was empty` };
    return {
      entry: undefined,
      message: `found secret, but didn't have expected keys ${rootKeys.join(' or ')}; found: ${keysFound(entries)}`,
    };
  }
  const certificates = textOf(entries, key);
  const read = certificatesIn(certificates);
  if (read.length === 0 || read.includes(undefined))
    return { entry: key, message: 'the bundle is malformed: not every certificate can be read' };
  const problems = read.map((each) => (each === undefined ? undefined : validityProblem(each, nowMs)));
  if (!problems.includes(undefined)) return { entry: key, message: problems[0] ?? '' };
  const revocationList = textOf(entries, revocationKey);
  if (revocationList !== '' && !/-----BEGIN X509 CRL-----[\s\S]+-----END X509 CRL-----/.test(revocationList))
    return { entry: revocationKey, message: 'is no list of revoked certificates in PEM' };
  return { certificates, ...(revocationList === '' ? {} : { revocationList }) };
}

export function isProblem(read: PairEntries | CaEntries | EntryProblem): read is EntryProblem {
  return 'message' in read;
}

/** What is wrong with a server's certificate and key, whatever the time; undefined: nothing. */
export function keyPairProblem(secret: Config<Secret>): string | undefined {
  const read = readKeyPair(secretEntries(secret.spec));
  return isProblem(read) ? read.message : undefined;
}

/** What is wrong with a bundle of CA certificates as far as its entries go; undefined: nothing. */
export function rootProblem(entries: Entries): string | undefined {
  const read = readTrustedCa(entries);
  const isMissing = isProblem(read) && (read.entry === undefined || textOf(entries, read.entry) === '');
  return isMissing ? read.message : undefined;
}

/** Whether there is at least one certificate in the bundle. */
export function hasCertificates(entries: Entries): boolean {
  const bundle = rootKeys.map((key) => textOf(entries, key)).find((text) => text !== '') ?? '';
  return certificatesIn(bundle).some((certificate) => certificate !== undefined);
}

function pairProblem(
  certificateEntry: string,
  certificatePem: string,
  keyEntry: string,
  keyPem: string,
  nowMs: number | undefined,
): EntryProblem | undefined {
  const wrong = (entry: string, what: string): EntryProblem => ({
    entry,
    message: `the certificate is malformed: ${what}`,
  });
  const chain = certificatesIn(certificatePem);
  const [own] = chain;
  if (own === undefined) return wrong(certificateEntry, 'no certificate can be read');
  if (chain.includes(undefined)) return wrong(certificateEntry, 'not every certificate of it can be read');
  const key = privateKeyOf(keyPem);
  if (key === undefined) return wrong(keyEntry, 'no private key can be read');
  if (!own.checkPrivateKey(key)) return wrong(keyEntry, 'the key is not the certificate’s');
  const weakness = weaknessOf(key);
  if (weakness !== undefined) return { entry: keyEntry, message: weakness };
  const invalid = validityProblem(own, nowMs);
  return invalid === undefined ? undefined : { entry: certificateEntry, message: invalid };
}

/** Keys with which Envoy refuses a certificate, and with it all that came in the same response. */
function weaknessOf({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): string | undefined {
  const { modulusLength = 0, namedCurve = '' } = asymmetricKeyDetails ?? {};
  if (asymmetricKeyType === 'rsa' && modulusLength < 2048)
    return `an RSA key of ${modulusLength} bits: proxies take those of 2048 and more`;
  if (asymmetricKeyType === 'ec' && !['prime256v1', 'secp384r1', 'secp521r1'].includes(namedCurve))
    return `a key on curve ${namedCurve}: proxies take P-256, P-384 and P-521`;
  return undefined;
}

function validityProblem(
  { validFrom, validTo }: X509Certificate,
  nowMs: number | undefined,
): string | undefined {
  if (nowMs === undefined) return undefined;
  if (Date.parse(validTo) < nowMs) return `the certificate expired on ${validTo}`;
  if (Date.parse(validFrom) > nowMs) return `the certificate is not valid before ${validFrom}`;
  return undefined;
}

/** Each certificate of a text; undefined for one that cannot be read. */
function certificatesIn(pem: string): readonly (X509Certificate | undefined)[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => {
    try {
      return new X509Certificate(block);
    } catch {
      return undefined;
    }
  });
}

function privateKeyOf(pem: string): KeyObject | undefined {
  try {
    return createPrivateKey(pem);
  } catch {
    return undefined;
  }
}

function textOf(entries: Entries, key: string): string {
  return Object.hasOwn(entries, key) ? (entries[key]?.toString() ?? '') : '';
}

function keysFound(entries: Entries): string {
  const keys = Object.keys(entries).sort();
  return keys.length < 3 ? keys.join(', ') : `${keys.slice(0, 3).join(', ')}, and ${keys.length - 3} more...`;
}

function mapValues(
  from: Readonly<Record<string, string>>,
  to: (value: string) => Buffer,
): Record<string, Buffer> {
  return Object.fromEntries(Object.entries(from).map(([key, value]) => [key, to(value)]));
}
