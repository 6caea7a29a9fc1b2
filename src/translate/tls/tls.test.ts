import { create } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { messageToJson } from '../../api/any.ts';
import { TransportSocketSchema } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import { usableCipherSuites } from './cipher-suites.ts';
import type { ServerTls, ServerTlsOptions } from './downstream-tls.ts';
import { serverTlsSocket, workloadTlsSocket } from './downstream-tls.ts';
import { credentialRoot, credentialSecret } from './sds.ts';
import type { TransportSocketInit } from './tls-context.ts';
import type { ClientTls } from './upstream-tls.ts';
import { clientTlsSocket, mutualTlsSocket } from './upstream-tls.ts';

const agent = {
  apiConfigSource: {
    apiType: 'GRPC',
    transportApiVersion: 'V3',
    setNodeOnFirstMessageOnly: true,
    grpcServices: [{ envoyGrpc: { clusterName: 'sds-grpc' } }],
  },
  resourceApiVersion: 'V3',
};
const own = { ...agent, initialFetchTimeout: '0s' };
const ads = { ads: {}, resourceApiVersion: 'V3' };
const clientParameters = { tlsMinimumProtocolVersion: 'TLSv1_2', tlsMaximumProtocolVersion: 'TLSv1_3' };

function contextOf(socket: TransportSocketInit | undefined): unknown {
  if (socket === undefined) return undefined;
  const json = messageToJson(TransportSocketSchema, create(TransportSocketSchema, socket)) as {
    name: string;
    typedConfig: Record<string, unknown>;
  };
  expect(json.name).toBe('envoy.transport_sockets.tls');
  const { '@type': _type, ...context } = json.typedConfig;
  return context;
}
const client = (tls: ClientTls, speaksHttp2 = false) => contextOf(clientTlsSocket(tls, { speaksHttp2 }));
const server = (tls: ServerTls, options: ServerTlsOptions = { isTcp: false }) =>
  contextOf(serverTlsSocket(tls, options));

test('mutualTlsSocket: default and ROOTCA by SDS, names of the peers, ALPN of the mesh (partly C3.11)', () => {
  const input = { sni: 'outbound_.80_._.a', subjectAltNames: ['spiffe://td/ns/a/sa/b'], speaksHttp2: false };
  expect(contextOf(mutualTlsSocket(input))).toEqual({
    commonTlsContext: {
      tlsParams: clientParameters,
      tlsCertificateSdsSecretConfigs: [{ name: 'default', sdsConfig: own }],
      combinedValidationContext: {
        defaultValidationContext: { matchSubjectAltNames: [{ exact: 'spiffe://td/ns/a/sa/b' }] },
        validationContextSdsSecretConfig: { name: 'ROOTCA', sdsConfig: own },
      },
      alpnProtocols: ['istio-peer-exchange', 'istio'],
    },
    sni: 'outbound_.80_._.a',
  });
  expect(contextOf(mutualTlsSocket({ ...input, speaksHttp2: true }))).toMatchObject({
    commonTlsContext: { alpnProtocols: ['istio-peer-exchange', 'istio', 'h2'] },
  });
});

test('clientTlsSocket: system roots by default, files over the agent, credentials over ADS (partly C3.11)', () => {
  expect(client({ mode: 'SIMPLE' })).toEqual({
    commonTlsContext: {
      tlsParams: clientParameters,
      combinedValidationContext: {
        defaultValidationContext: {},
        validationContextSdsSecretConfig: { name: 'file-root:system', sdsConfig: agent },
      },
    },
  });
  const files = { clientCertificate: '/c', privateKey: '/k', caCertificates: '/ca', caCrl: '/crl' };
  expect(client({ mode: 'MUTUAL', ...files, sni: 'a', subjectAltNames: ['b'] }, true)).toEqual({
    commonTlsContext: {
      tlsParams: clientParameters,
      tlsCertificateSdsSecretConfigs: [{ name: 'file-cert:/c~/k', sdsConfig: agent }],
      combinedValidationContext: {
        defaultValidationContext: { matchSubjectAltNames: [{ exact: 'b' }], crl: { filename: '/crl' } },
        validationContextSdsSecretConfig: { name: 'file-root:/ca', sdsConfig: agent },
      },
      alpnProtocols: ['h2'],
    },
    sni: 'a',
  });
  expect(client({ mode: 'MUTUAL' })).toBeUndefined();
  expect(client({ mode: 'MUTUAL', credentialName: 'c' })).toMatchObject({
    commonTlsContext: {
      tlsCertificateSdsSecretConfigs: [{ name: 'kubernetes://c', sdsConfig: ads }],
      combinedValidationContext: {
        validationContextSdsSecretConfig: { name: 'kubernetes://c-cacert', sdsConfig: ads },
      },
    },
  });
  expect(client({ mode: 'SIMPLE', insecureSkipVerify: true })).toEqual({
    commonTlsContext: { tlsParams: clientParameters, validationContext: {} },
  });
  expect(client({ mode: 'SIMPLE', credentialName: 'c', insecureSkipVerify: true })).toEqual({
    commonTlsContext: { tlsParams: clientParameters },
  });
});

test.each([
  ['a', 'kubernetes://a', 'kubernetes://a-cacert'],
  ['configmap://ns/a', 'configmap://ns/a', 'configmap://ns/a-cacert'],
  ['kubernetes-gateway://ns/a', 'kubernetes-gateway://ns/a', 'kubernetes-gateway://ns/a-cacert'],
  ['builtin://', 'default', 'ROOTCA'],
  ['sds://a', 'kubernetes://a', 'kubernetes://a-cacert'],
])('credentialSecret: %s is %s, its CA %s', (credential, certificate, root) => {
  expect(credentialSecret(credential).name).toBe(certificate);
  expect(credentialRoot(credential).name).toBe(root);
});

test('serverTlsSocket: certificates by credential, by several, by file, or the workload’s own', () => {
  expect(server({ mode: 'PASSTHROUGH' })).toBeUndefined();
  expect(server({ mode: 'AUTO_PASSTHROUGH' })).toBeUndefined();
  expect(server({ mode: 'SIMPLE', credentialName: 'c' })).toEqual({
    commonTlsContext: {
      alpnProtocols: ['h2', 'http/1.1'],
      tlsCertificateSdsSecretConfigs: [{ name: 'kubernetes://c', sdsConfig: ads }],
    },
    requireClientCertificate: false,
  });
  expect(server({ mode: 'MUTUAL', credentialNames: ['rsa', 'ecdsa'], subjectAltNames: ['a'] })).toEqual({
    commonTlsContext: {
      alpnProtocols: ['h2', 'http/1.1'],
      tlsCertificateSdsSecretConfigs: [
        { name: 'kubernetes://rsa', sdsConfig: ads },
        { name: 'kubernetes://ecdsa', sdsConfig: ads },
      ],
      combinedValidationContext: {
        defaultValidationContext: { matchSubjectAltNames: [{ exact: 'a' }] },
        validationContextSdsSecretConfig: { name: 'kubernetes://rsa-cacert', sdsConfig: ads },
      },
    },
    requireClientCertificate: true,
  });
  expect(
    server({
      mode: 'OPTIONAL_MUTUAL',
      credentialName: 'c',
      caCertCredentialName: 'configmap://ns/ca',
      verifyCertificateHash: ['h'],
      verifyCertificateSpki: ['s'],
    }),
  ).toMatchObject({
    commonTlsContext: {
      combinedValidationContext: {
        defaultValidationContext: { verifyCertificateHash: ['h'], verifyCertificateSpki: ['s'] },
        validationContextSdsSecretConfig: { name: 'configmap://ns/ca' },
      },
    },
    requireClientCertificate: false,
  });
  expect(
    server({
      mode: 'MUTUAL',
      serverCertificate: '/c',
      privateKey: '/k',
      caCertificates: '/ca',
      caCrl: '/crl',
    }),
  ).toMatchObject({
    commonTlsContext: {
      tlsCertificateSdsSecretConfigs: [{ name: 'file-cert:/c~/k', sdsConfig: agent }],
      combinedValidationContext: {
        defaultValidationContext: { crl: { filename: '/crl' } },
        validationContextSdsSecretConfig: { name: 'file-root:/ca', sdsConfig: agent },
      },
    },
  });
  expect(server({ mode: 'ISTIO_MUTUAL' }, { isTcp: true })).toEqual({
    commonTlsContext: {
      alpnProtocols: ['istio-peer-exchange', 'h2', 'http/1.1'],
      tlsCertificateSdsSecretConfigs: [{ name: 'default', sdsConfig: own }],
      combinedValidationContext: {
        defaultValidationContext: {},
        validationContextSdsSecretConfig: { name: 'ROOTCA', sdsConfig: own },
      },
    },
    requireClientCertificate: true,
  });
});

test('serverTlsSocket: the server’s versions and ciphers go over the mesh’s; HTTP/3 has its own ALPN', () => {
  const parameters = (tls: ServerTls, defaults?: ServerTlsOptions['defaults']) =>
    (
      server({ ...tls, credentialName: 'c' }, { isTcp: false, defaults }) as {
        commonTlsContext: { tlsParams?: unknown };
      }
    ).commonTlsContext.tlsParams;
  expect(parameters({ mode: 'SIMPLE' })).toBeUndefined();
  expect(
    parameters({ mode: 'SIMPLE', minProtocolVersion: 'TLSV1_0', maxProtocolVersion: 'TLSV1_2' }),
  ).toEqual({
    tlsMinimumProtocolVersion: 'TLSv1_0',
    tlsMaximumProtocolVersion: 'TLSv1_2',
  });
  const mesh = {
    minProtocolVersion: 'TLSV1_3',
    cipherSuites: ['AES256-SHA'],
    ecdhCurves: ['P-256'],
  } as const;
  expect(parameters({ mode: 'SIMPLE' }, mesh)).toEqual({
    tlsMinimumProtocolVersion: 'TLSv1_3',
    cipherSuites: ['AES256-SHA'],
    ecdhCurves: ['P-256'],
  });
  expect(
    parameters({ mode: 'MUTUAL', cipherSuites: ['AES128-SHA', 'BAD', 'AES128-SHA'] }, mesh),
  ).toMatchObject({
    cipherSuites: ['AES128-SHA'],
  });
  expect(server({ mode: 'MUTUAL', credentialName: 'c' }, { isTcp: false, isQuic: true })).toMatchObject({
    commonTlsContext: { alpnProtocols: ['h3'] },
    requireClientCertificate: false,
  });
});

test('usableCipherSuites: unknown names go, operators stay', () => {
  expect(usableCipherSuites(['-ALL', 'ALL', '[AES128-SHA|AES256-SHA]', 'ROT13'])).toEqual([
    '-ALL',
    'ALL',
    '[AES128-SHA|AES256-SHA]',
  ]);
});

test('workloadTlsSocket: certificates of the mesh, TLS 1.2 or more, trust domains only where there are aliases', () => {
  expect(contextOf(workloadTlsSocket({ isTcp: true, trustDomains: [] }))).toEqual({
    commonTlsContext: {
      alpnProtocols: ['istio-peer-exchange', 'h2', 'http/1.1'],
      tlsParams: {
        tlsMinimumProtocolVersion: 'TLSv1_2',
        tlsMaximumProtocolVersion: 'TLSv1_3',
        cipherSuites: [
          'ECDHE-ECDSA-AES256-GCM-SHA384',
          'ECDHE-RSA-AES256-GCM-SHA384',
          'ECDHE-ECDSA-AES128-GCM-SHA256',
          'ECDHE-RSA-AES128-GCM-SHA256',
          'AES256-GCM-SHA384',
          'AES128-GCM-SHA256',
        ],
      },
      tlsCertificateSdsSecretConfigs: [{ name: 'default', sdsConfig: own }],
      combinedValidationContext: {
        defaultValidationContext: {},
        validationContextSdsSecretConfig: { name: 'ROOTCA', sdsConfig: own },
      },
    },
    requireClientCertificate: true,
  });
  expect(
    contextOf(
      workloadTlsSocket({
        isTcp: false,
        trustDomains: ['new', 'old'],
        meshMtls: { minProtocolVersion: 'TLSV1_3', cipherSuites: ['AES128-SHA'] },
      }),
    ),
  ).toMatchObject({
    commonTlsContext: {
      alpnProtocols: ['h2', 'http/1.1'],
      tlsParams: { tlsMinimumProtocolVersion: 'TLSv1_3', cipherSuites: ['AES128-SHA'] },
      combinedValidationContext: {
        defaultValidationContext: {
          matchSubjectAltNames: [{ prefix: 'spiffe://new/' }, { prefix: 'spiffe://old/' }],
        },
      },
    },
  });
});
