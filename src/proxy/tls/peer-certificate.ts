// A certificate as configuration and logs ask for it.
import { X509Certificate } from 'node:crypto';

export interface SubjectAltName {
  readonly type: 'DNS' | 'URI' | 'EMAIL' | 'IP_ADDRESS' | 'OTHER';
  readonly value: string;
}

/** Of DER or PEM. Throws where it is none. What is read from it is read once. */
export class Certificate {
  readonly x509: X509Certificate;
  #names: readonly SubjectAltName[] | undefined;

  constructor(content: Buffer | string) {
    this.x509 = new X509Certificate(content);
  }

  get subjectAltNames(): readonly SubjectAltName[] {
    this.#names ??= parseSubjectAltNames(this.x509.subjectAltName ?? '');
    return this.#names;
  }

  names(type: SubjectAltName['type']): string[] {
    return this.subjectAltNames.filter((name) => name.type === type).map(({ value }) => value);
  }

  /** RFC 2253: the most specific part first. */
  get subject(): string {
    return rfc2253(this.x509.subject);
  }

  get issuer(): string {
    return rfc2253(this.x509.issuer);
  }

  /** SHA-256 of the DER, hex in lower case. */
  get fingerprint256(): string {
    return this.x509.fingerprint256.replaceAll(':', '').toLowerCase();
  }

  get serialNumber(): string {
    return this.x509.serialNumber.toLowerCase();
  }

  isValidAt(nowMs: number): boolean {
    return Date.parse(this.x509.validFrom) <= nowMs && nowMs <= Date.parse(this.x509.validTo);
  }
}

const types: Readonly<Record<string, SubjectAltName['type']>> = {
  DNS: 'DNS',
  URI: 'URI',
  email: 'EMAIL',
  'IP Address': 'IP_ADDRESS',
};

/**
 * Reads Node's text of the names, in which a value that could be misread (with a comma, a quote, a control character)
 * stands as a JSON string.
 */
export function parseSubjectAltNames(text: string): SubjectAltName[] {
  const names: SubjectAltName[] = [];
  for (let at = 0; at < text.length;) {
    const colon = text.indexOf(':', at);
    if (colon < 0) break;
    const type = types[text.slice(at, colon)] ?? 'OTHER';
    const quoted = /^"(?:[^"\\]|\\.)*"/.exec(text.slice(colon + 1))?.[0];
    const comma = text.indexOf(', ', colon);
    const end = quoted === undefined ? (comma < 0 ? text.length : comma) : colon + 1 + quoted.length;
    const value = quoted === undefined ? text.slice(colon + 1, end) : (JSON.parse(quoted) as string);
    names.push({ type, value });
    at = end + 2;
  }
  return names;
}

/** Node gives one part a line, in the certificate's order. */
function rfc2253(lines: string | undefined): string {
  return (lines ?? '')
    .split('\n')
    .toReversed()
    .map((line) => {
      const equals = line.indexOf('=');
      return `${line.slice(0, equals + 1)}${line.slice(equals + 1).replace(/[,+"\\<>;]/g, '\\$&')}`;
    })
    .join(',');
}
