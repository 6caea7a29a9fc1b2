// Whether a Secret holds a certificate and key that a gateway can present.
import { X509Certificate } from 'node:crypto';
import type { Secret } from '../../config/kube-types.ts';

/** Names of certificate and key in a Secret: generic ones, or those of type kubernetes.io/tls. */
const keyPairs = [
  ['cert', 'key'],
  ['tls.crt', 'tls.key'],
] as const;

/**
 * Whether there is a key beside a chain whose certificates are all in force at `nowMs`; the first pair of names
 * that holds something counts. Whether the key fits is for the proxy to say, as in Istio.
 */
export function hasUsableCertificate({ data = {}, stringData = {} }: Secret, nowMs: number): boolean {
  const textOf = (name: string): string =>
    stringData[name] ?? Buffer.from(data[name] ?? '', 'base64').toString('utf8');
  const pair = keyPairs.find((names) => names.every((name) => textOf(name) !== ''));
  return pair !== undefined && isChainInForce(textOf(pair[0]), nowMs);
}

function isChainInForce(text: string, nowMs: number): boolean {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  return blocks.length > 0 && blocks.every((block) => isInForce(block, nowMs));
}

function isInForce(block: string, nowMs: number): boolean {
  try {
    const { validFrom, validTo } = new X509Certificate(block);
    return Date.parse(validFrom) <= nowMs && nowMs <= Date.parse(validTo);
  } catch {
    return false;
  }
}
