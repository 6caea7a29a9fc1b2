// Lists of cipher suites as TLS contexts have them.
import { isUsableCipherSuite } from '../../model/cipher-suites.ts';

/** For workloads within the mesh: forward secrecy first. Source: Istio `SupportedCiphers`. */
export const workloadCipherSuites: readonly string[] = [
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'AES256-GCM-SHA384',
  'AES128-GCM-SHA256',
];

/** Each usable suite once, in the order written. Source: Istio `FilterCipherSuites`. */
export function usableCipherSuites(written: readonly string[]): readonly string[] {
  return [...new Set(written)].filter(isUsableCipherSuite);
}
