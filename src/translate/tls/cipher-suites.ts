// The cipher suites that Envoy's BoringSSL knows: any other name makes it refuse the whole listener.

const known: ReadonlySet<string> = new Set([
  ...['ECDSA', 'RSA'].flatMap((key) => [
    `ECDHE-${key}-AES128-GCM-SHA256`,
    `ECDHE-${key}-AES256-GCM-SHA384`,
    `ECDHE-${key}-CHACHA20-POLY1305`,
    `ECDHE-${key}-AES128-SHA`,
    `ECDHE-${key}-AES256-SHA`,
  ]),
  'AES128-GCM-SHA256',
  'AES256-GCM-SHA384',
  'AES128-SHA',
  'AES256-SHA',
  'DES-CBC3-SHA',
]);

/** For workloads within the mesh: forward secrecy first. Source: Istio `SupportedCiphers`. */
export const workloadCipherSuites: readonly string[] = [
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'AES256-GCM-SHA384',
  'AES128-GCM-SHA256',
];

/**
 * Each known suite once, in the order written; what begins with an operator (`-ALL`, `[A|B]`) is BoringSSL's
 * to read. Source: Istio `FilterCipherSuites`.
 */
export function usableCipherSuites(written: readonly string[]): readonly string[] {
  return [...new Set(written)].filter(
    (suite) => suite === '' || suite === 'ALL' || !/^[\p{L}\p{N}]/u.test(suite) || known.has(suite),
  );
}
