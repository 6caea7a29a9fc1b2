// Whether Secrets and ConfigMaps hold the certificates that a reference asks of them.
import { X509Certificate, createPrivateKey } from 'node:crypto';
import type { Config } from '../config/config.ts';
import type { ConfigMap, Secret } from '../config/kube-types.ts';

/** What is wrong with a server's certificate and key; undefined: nothing. Source: Istio `ExtractCertInfo`. */
export function keyPairProblem(secret: Config<Secret>): string | undefined {
  const data = secretData(secret.spec);
  for (const [certificate, key] of keyPairs) {
    if ((data[certificate] ?? '') === '' || (data[key] ?? '') === '') continue;
    const problem = pairProblem(data[certificate] ?? '', data[key] ?? '');
    return problem === undefined ? undefined : `the certificate is malformed: ${problem}`;
  }
  for (const [certificate, key] of keyPairs)
    if (certificate in data && key in data)
      return `found keys "${certificate}" and "${key}", but they were empty`;
  const expected = keyPairs.map((pair) => `(${pair.join(' and ')})`).join(' or ');
  return `found secret, but didn't have expected keys ${expected}; found: ${keysFound(data)}`;
}

/** What is wrong with a bundle of CA certificates; undefined: nothing. Source: Istio `ExtractRoot`. */
export function rootProblem(data: Readonly<Record<string, string>>): string | undefined {
  for (const key of rootKeys) if ((data[key] ?? '') !== '') return undefined;
  for (const key of rootKeys) if (key in data) return `found key "${key}", but it was empty`;
  return `found secret, but didn't have expected keys ${rootKeys.join(' or ')}; found: ${keysFound(data)}`;
}

/** Whether there is at least one certificate in the bundle. */
export function hasCertificates(data: Readonly<Record<string, string>>): boolean {
  const bundle = rootKeys.map((key) => data[key] ?? '').find((text) => text !== '') ?? '';
  return certificatesIn(bundle).some((pem) => certificateOf(pem) !== undefined);
}

/** The entries of a Secret as text. */
export function secretData({ data = {}, stringData = {} }: Secret): Readonly<Record<string, string>> {
  const decoded = Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]);
  return { ...(Object.fromEntries(decoded) as Record<string, string>), ...stringData };
}

export function configMapData({ data = {} }: ConfigMap): Readonly<Record<string, string>> {
  return data;
}

/** Of a generic Secret, and of one of type kubernetes.io/tls. */
const keyPairs = [
  ['cert', 'key'],
  ['tls.crt', 'tls.key'],
] as const;
const rootKeys = ['cacert', 'ca.crt'] as const;

function pairProblem(certificatePem: string, keyPem: string): string | undefined {
  const first = certificatesIn(certificatePem)[0];
  const certificate = first === undefined ? undefined : certificateOf(first);
  if (certificate === undefined) return 'no certificate can be read';
  try {
    if (!certificate.checkPrivateKey(createPrivateKey(keyPem))) return 'the key is not the certificate’s';
  } catch {
    return 'no private key can be read';
  }
  return undefined;
}

function certificatesIn(pem: string): readonly string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
}

function certificateOf(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
}

function keysFound(data: Readonly<Record<string, string>>): string {
  const keys = Object.keys(data).sort();
  return keys.length < 3 ? keys.join(', ') : `${keys.slice(0, 3).join(', ')}, and ${keys.length - 3} more...`;
}
