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

/**
 * Whether it is known, or begins with an operator (`-ALL`, `[A|B]`), which is BoringSSL's to read.
 * Source: Istio `IsValidCipherSuite`.
 */
export function isUsableCipherSuite(suite: string): boolean {
  return suite === '' || suite === 'ALL' || !/^[\p{L}\p{N}]/u.test(suite) || known.has(suite);
}
