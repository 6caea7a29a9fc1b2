import { expect, test } from 'vitest';
import { formatDiagnostic } from '../config.ts';
import { readText } from '../reader.ts';

/** What is said of a Gateway with this server. */
function saidOf(server: string): readonly string[] {
  const { diagnostics } = readText(
    'f.yaml',
    `apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: gw}\nspec: {servers: [${server}]}\n`,
  );
  return diagnostics.map(
    (one) =>
      `${one.severity}: ${formatDiagnostic(one).replace(/^f\.yaml:[\d:]+ Gateway default\/gw: spec\.servers\[0\]\.?/, '')}`,
  );
}
const https = (tls: string): readonly string[] =>
  saidOf(`{port: {number: 443, name: https, protocol: HTTPS}, hosts: [a.b], tls: {${tls}}}`);

test.each([
  'mode: SIMPLE, credentialName: c',
  'mode: SIMPLE, credentialNames: [c, d]',
  'mode: MUTUAL, credentialName: c, caCertCredentialName: d, subjectAltNames: [x], verifyCertificateHash: [aa], verifyCertificateSpki: [bb]',
  'mode: OPTIONAL_MUTUAL, serverCertificate: /c, privateKey: /k, caCertificates: /ca, caCrl: /crl',
  'mode: SIMPLE, tlsCertificates: [{serverCertificate: /c, privateKey: /k}, {serverCertificate: /d, privateKey: /l}]',
  'mode: ISTIO_MUTUAL, minProtocolVersion: TLSV1_3, maxProtocolVersion: TLSV1_3',
  'mode: SIMPLE, credentialName: c, cipherSuites: [ECDHE-RSA-AES128-GCM-SHA256, ALL, "-ALL"]',
  'mode: PASSTHROUGH',
  'mode: AUTO_PASSTHROUGH',
])('validateGateway: taken: {%s} (C7.04, C7.05, C7.08)', (tls) => {
  expect(https(tls)).toEqual([]);
});

test.each<[string, readonly string[]]>([
  [
    'mode: SIMPLE, credentialName: c, cipherSuites: [NO-SUCH, PSK-AES128-CBC-SHA, AES128-SHA, AES128-SHA]',
    [
      'warning: tls.cipherSuites[0]: ignoring invalid cipher suite: NO-SUCH',
      'warning: tls.cipherSuites[1]: ignoring invalid cipher suite: PSK-AES128-CBC-SHA',
      'warning: tls.cipherSuites[3]: ignoring duplicate cipher suite: AES128-SHA',
    ],
  ],
  [
    'mode: SIMPLE',
    ['error: tls: SIMPLE TLS requires a server certificate', 'error: tls: SIMPLE TLS requires a private key'],
  ],
  [
    'mode: PASSTHROUGH, credentialName: c',
    ['warning: tls: PASSTHROUGH mode does not use certificates, they will be ignored'],
  ],
  [
    'mode: MUTUAL, serverCertificate: /c, privateKey: /k, caCertificates: /ca, verifyCertificateHash: [aa]',
    [
      'warning: tls.verifyCertificateHash: has no effect, as in Istio, but with a credential and clients that are asked',
    ],
  ],
  [
    'mode: SIMPLE, tlsCertificates: [{serverCertificate: /c, privateKey: /k, caCertificates: /ca}]',
    [
      'warning: tls.tlsCertificates[0].caCertificates: has no effect, as in Istio: caCertificates of the server counts',
    ],
  ],
  [
    'mode: ISTIO_MUTUAL, credentialName: c',
    [expect.stringContaining('error: tls.credentialName: ') as string],
  ],
  [
    'mode: SIMPLE, credentialName: c, httpsRedirect: true',
    ['warning: tls.httpsRedirect: tls.httpsRedirect should only be used with http servers'],
  ],
])('validateGateway: complained of: {%s} (C7.04, C7.08)', (tls, said) => {
  expect(https(tls)).toEqual(said);
});

test('validateGateway: fields and protocols without effect on gateways are named, not refused (C7.03, C7.09)', () => {
  expect(saidOf('{port: {number: 53, name: udp, protocol: UDP}, hosts: [a.b]}')).toEqual([
    'warning: port.protocol: gateways do not listen for UDP: as in Istio the port is taken for TCP',
  ]);
  expect(
    saidOf('{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.b], defaultEndpoint: "127.0.0.1:80"}'),
  ).toEqual([
    'warning: defaultEndpoint: has no effect on a Gateway, as in Istio: VirtualServices say where to',
  ]);
});
