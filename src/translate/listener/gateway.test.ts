import type { JsonObject } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import {
  chainLines,
  gatewayPod,
  listenersOf,
  sourceLines,
  worldAndScope,
} from '../../../test/support/translated.ts';
import { clusters, listeners } from '../index.ts';

const gateway = (...servers: readonly string[]): string => `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: gw }
spec: { selector: { istio: ingressgateway }, servers: [${servers.join(', ')}] }
`;
let names = 0;
const server = (number: number, protocol: string, more: string): string => {
  names += 1;
  return `{ port: { number: ${number}, name: port-${names}, protocol: ${protocol} }, ${more} }`;
};
const virtualService = (name: string, spec: string, metadata = ''): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: ${name}${metadata} }
spec: { gateways: [gw], ${spec} }
`;
const to = (host: string): string => `route: [{ destination: { host: ${host} } }]`;

const built = (...documents: readonly string[]): Record<string, JsonObject> =>
  listenersOf(documents.join('\n---\n'), { proxy: gatewayPod });

interface Chain {
  readonly transportSocket?: { readonly typedConfig: JsonObject };
  readonly transportSocketConnectTimeout?: string;
  readonly filters: readonly { readonly typedConfig: JsonObject }[];
}

function chainsOf(listener: JsonObject | undefined): readonly Chain[] {
  return (listener?.['filterChains'] ?? []) as unknown as readonly Chain[];
}

/** The TLS context of the only chain of the only listener. */
function contextOf(tls: string, protocol = 'HTTPS', ...documents: readonly string[]): JsonObject | undefined {
  const [listener] = Object.values(
    built(gateway(server(443, protocol, `hosts: [a.com], tls: { ${tls} }`)), ...documents),
  );
  return chainsOf(listener)[0]?.transportSocket?.typedConfig;
}

/** `kubernetes://a (ads)`, `default (sds-grpc)`. */
function secretLine(reference: unknown): string {
  const { name, sdsConfig } = reference as { name: string; sdsConfig: JsonObject };
  return `${name} (${'ads' in sdsConfig ? 'ads' : JSON.stringify(sdsConfig).includes('sds-grpc') ? 'sds-grpc' : '?'})`;
}

/** Certificates, then after `|` the CA; `!` where clients must show theirs. */
function secretsOf(context: JsonObject | undefined): string {
  const common = context?.['commonTlsContext'] as JsonObject;
  const certificates = (common['tlsCertificateSdsSecretConfigs'] ?? []) as readonly unknown[];
  const combined = common['combinedValidationContext'] as JsonObject | undefined;
  const ca = combined === undefined ? [] : ['|', secretLine(combined['validationContextSdsSecretConfig'])];
  return [
    ...certificates.map(secretLine),
    ...ca,
    ...(context?.['requireClientCertificate'] === true ? ['!'] : []),
  ].join(' ');
}

describe('gatewayListeners: TLS that ends at the gateway', () => {
  test.each([
    ['mode: SIMPLE, credentialName: c', 'kubernetes://c (ads)'],
    ['mode: SIMPLE, credentialNames: [rsa, ec]', 'kubernetes://rsa (ads) kubernetes://ec (ads)'],
    ['mode: MUTUAL, credentialName: c', 'kubernetes://c (ads) | kubernetes://c-cacert (ads) !'],
    ['mode: OPTIONAL_MUTUAL, credentialName: c', 'kubernetes://c (ads) | kubernetes://c-cacert (ads)'],
    [
      'mode: MUTUAL, credentialNames: [rsa, ec]',
      'kubernetes://rsa (ads) kubernetes://ec (ads) | kubernetes://rsa-cacert (ads) !',
    ],
    [
      'mode: MUTUAL, credentialName: c, caCertCredentialName: ca',
      'kubernetes://c (ads) | kubernetes://ca (ads) !',
    ],
    ['mode: SIMPLE, serverCertificate: /c.pem, privateKey: /k.pem', 'file-cert:/c.pem~/k.pem (sds-grpc)'],
    [
      'mode: SIMPLE, tlsCertificates: [{ serverCertificate: /a, privateKey: /b }, { serverCertificate: /c, privateKey: /d }]',
      'file-cert:/a~/b (sds-grpc) file-cert:/c~/d (sds-grpc)',
    ],
    [
      'mode: MUTUAL, serverCertificate: /c, privateKey: /k, caCertificates: /ca',
      'file-cert:/c~/k (sds-grpc) | file-root:/ca (sds-grpc) !',
    ],
    ['mode: ISTIO_MUTUAL', 'default (sds-grpc) | ROOTCA (sds-grpc) !'],
    ['mode: SIMPLE, credentialName: "builtin://"', 'default (sds-grpc)'],
  ])('%s (C7.04)', (tls, secrets) => {
    expect(secretsOf(contextOf(tls))).toBe(secrets);
  });

  test('versions, suites, names and revoked certificates are said as they are written (C7.08)', () => {
    const context = contextOf(
      'mode: MUTUAL, serverCertificate: /c, privateKey: /k, caCertificates: /ca, caCrl: /crl, subjectAltNames: [x.com], minProtocolVersion: TLSV1_2, maxProtocolVersion: TLSV1_3, cipherSuites: [ECDHE-RSA-AES128-GCM-SHA256, NO-SUCH, ECDHE-RSA-AES128-GCM-SHA256]',
    );
    expect(context).toMatchObject({
      commonTlsContext: {
        alpnProtocols: ['h2', 'http/1.1'],
        tlsParams: {
          tlsMinimumProtocolVersion: 'TLSv1_2',
          tlsMaximumProtocolVersion: 'TLSv1_3',
          cipherSuites: ['ECDHE-RSA-AES128-GCM-SHA256'],
        },
        combinedValidationContext: {
          defaultValidationContext: { matchSubjectAltNames: [{ exact: 'x.com' }], crl: { filename: '/crl' } },
        },
      },
    });
    const pinned = contextOf(
      'mode: MUTUAL, credentialName: c, verifyCertificateSpki: [c3Brcw==], verifyCertificateHash: [aa]',
    );
    expect(pinned).toMatchObject({
      commonTlsContext: {
        combinedValidationContext: {
          defaultValidationContext: { verifyCertificateSpki: ['c3Brcw=='], verifyCertificateHash: ['aa'] },
        },
      },
    });
  });

  test('HTTPS has routes of its own by server name; the server’s name is that of its statistics (C7.04, C7.09, B6.07)', () => {
    const tls = 'tls: { mode: SIMPLE, credentialName: c }';
    const all = built(`
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: gw, namespace: apps }
spec:
  selector: { istio: ingressgateway }
  servers:
    - { port: { number: 443, name: https-a, protocol: HTTPS }, hosts: ['./b.com', '*.A.com'], name: front, ${tls} }
    - { port: { number: 443, name: https-b, protocol: HTTPS }, hosts: ['*'], ${tls} }
    - { port: { number: 443, name: https-c, protocol: HTTPS }, hosts: ['*'], bind: 10.0.0.9, ${tls} }
`);
    expect(Object.keys(all)).toEqual(['0.0.0.0_443', '10.0.0.9_443']);
    expect(chainLines(all['0.0.0.0_443'])).toEqual([
      '*.a.com b.com -> routes https.443.https-a.gw.apps',
      'any -> routes https.443.https-b.gw.apps',
    ]);
    expect(chainLines(all['10.0.0.9_443'])).toEqual(['any -> routes https.443.https-c.gw.apps.10.0.0.9']);
    expect(all['0.0.0.0_443']).toMatchObject({
      listenerFilters: [{ name: 'envoy.filters.listener.tls_inspector' }],
    });
    const chains = chainsOf(all['0.0.0.0_443']);
    expect(chains.map(({ filters }) => filters[0]?.typedConfig['statPrefix'])).toEqual([
      'front',
      'outbound_0.0.0.0_443;',
    ]);
    expect(chains.map((chain) => chain.transportSocketConnectTimeout)).toEqual(['15s', '15s']);
  });

  test('TCP within TLS goes where `tcp` rules say (C7.05, C6.01)', () => {
    const tls = 'tls: { mode: ISTIO_MUTUAL }';
    const rules = virtualService(
      'tcp',
      `hosts: [a.com, b.com], tcp: [{ match: [{ port: 9443 }], ${to('never')} }, { match: [{ gateways: [gw] }], ${to('db')} }]`,
    );
    const all = built(gateway(server(443, 'TLS', `hosts: [a.com], ${tls}`)), rules);
    expect(chainLines(all['0.0.0.0_443'])).toEqual(['a.com -> outbound|443||db.default.svc.cluster.local']);
    // Metadata would be exchanged with `istio-peer-exchange`: by proxies alone that have Istio's filter.
    expect(contextOf('mode: ISTIO_MUTUAL', 'TLS', rules)).toMatchObject({
      commonTlsContext: { alpnProtocols: ['h2', 'http/1.1'] },
    });
    // `tls` rules are for connections that stay encrypted.
    const sni = virtualService(
      'sni',
      `hosts: [a.com], tls: [{ match: [{ sniHosts: [a.com] }], ${to('db')} }]`,
    );
    expect(built(gateway(server(443, 'TLS', `hosts: [a.com], ${tls}`)), sni)).toEqual({});
    const route = sni.replace(
      'name: sni',
      'name: sni, annotations: { internal.istio.io/parents: TLSRoute/x.default }',
    );
    expect(
      chainLines(built(gateway(server(443, 'TLS', `hosts: [a.com], ${tls}`)), route)['0.0.0.0_443']),
    ).toEqual(['a.com -> outbound|443||db.default.svc.cluster.local']);
  });
});

test('gatewayListeners: ended, passed through and in clear on one port; of one name the first chain stays (C7.03, C7.05, T15)', () => {
  const all = built(
    gateway(
      server(443, 'HTTPS', "hosts: ['*.a.com'], tls: { mode: SIMPLE, credentialName: c }"),
      server(443, 'TLS', 'hosts: [b.com], tls: { mode: PASSTHROUGH }'),
      server(443, 'TLS', 'hosts: [c.com], tls: { mode: PASSTHROUGH }'),
      server(443, 'TCP', "hosts: ['*']"),
    ),
    virtualService(
      'tls',
      `hosts: [b.com, c.com, d.com, '*.a.com'], tls: [
        { match: [{ sniHosts: [b.com] }], ${to('b')} },
        { match: [{ sniHosts: [d.com, b.com] }], ${to('never')} },
        { match: [{ sniHosts: [c.com, '*.a.com'] }], ${to('c')} }]`,
      ", creationTimestamp: '2020-01-01T00:00:00Z'",
    ),
    virtualService('tcp', `hosts: [any.com], tcp: [{ ${to('rest')} }]`),
  );
  expect(chainLines(all['0.0.0.0_443']).map((line) => line.replace(/port-\d+/, 'PORT'))).toEqual([
    '*.a.com -> routes https.443.PORT.gw.default',
    'b.com -> outbound|443||b.default.svc.cluster.local',
    'c.com -> outbound|443||c.default.svc.cluster.local',
    'any -> outbound|443||rest.default.svc.cluster.local',
  ]);
});

test('gatewayListeners: AUTO_PASSTHROUGH forwards mutual TLS to the cluster that the server name spells out (C7.05)', () => {
  const services = `
apiVersion: v1
kind: Service
metadata: { name: web }
spec: { clusterIP: 10.0.0.1, ports: [{ name: http, port: 80 }, { name: dns, port: 53, protocol: UDP }] }
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: web }
spec: { host: web, subsets: [{ name: V1, labels: { version: v1 } }] }
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: outside }
spec: { hosts: [out.local], location: MESH_EXTERNAL, resolution: DNS, ports: [{ number: 80, name: http, protocol: HTTP }] }
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: elsewhere }
spec: { hosts: [other.com], location: MESH_INTERNAL, resolution: DNS, ports: [{ number: 80, name: http, protocol: HTTP }] }
`;
  const auto = gateway(server(15_443, 'TLS', "hosts: ['*.local'], tls: { mode: AUTO_PASSTHROUGH }"));
  const all = built(auto, services);
  const mesh = 'istio+istio-peer-exchange+istio-http/1.0+istio-http/1.1+istio-h2';
  expect(chainLines(all['0.0.0.0_15443'])).toEqual([
    `outbound_.80_._.web.default.svc.cluster.local ${mesh} -> outbound_.80_._.web.default.svc.cluster.local`,
    `outbound_.80_.v1_.web.default.svc.cluster.local ${mesh} -> outbound_.80_.V1_.web.default.svc.cluster.local`,
  ]);
  const { world, scope } = worldAndScope(`${auto}\n---\n${services}`, { proxy: gatewayPod });
  expect(clusters.names(world, scope)).toEqual(
    expect.arrayContaining([
      'outbound_.80_._.web.default.svc.cluster.local',
      'outbound_.80_.V1_.web.default.svc.cluster.local',
    ]),
  );
});

test('gatewayListeners: a proxy without privileges does not listen below 1024 (C7.02)', () => {
  const yaml = gateway(server(80, 'HTTP', 'hosts: [a.com]'), server(8080, 'HTTP', 'hosts: [a.com]'));
  const ports = (unprivileged: boolean): readonly string[] =>
    Object.keys(listenersOf(yaml, { proxy: { ...gatewayPod, unprivileged } }));
  expect(ports(false)).toEqual(['0.0.0.0_80', '0.0.0.0_8080']);
  expect(ports(true)).toEqual(['0.0.0.0_8080']);
});

test('gatewayListeners: without an address it listens on all of the families that the proxy has', () => {
  const yaml = gateway(server(80, 'HTTP', 'hosts: [a.com]'));
  const on = (...ipAddresses: readonly string[]): Record<string, JsonObject> =>
    listenersOf(yaml, { proxy: { ...gatewayPod, ipAddresses } });
  const at = (address: string): object => ({ address: { socketAddress: { address, portValue: 80 } } });
  expect(on('fd00::1')['::_80']).toMatchObject(at('::'));
  expect(on('10.1.0.1', 'fd00::1')['0.0.0.0_80']).toMatchObject({
    ...at('0.0.0.0'),
    additionalAddresses: [at('::')],
  });
});

test('gatewayListeners: a server may listen on a Unix socket (C7.09)', () => {
  const all = built(
    gateway(
      "{ port: { number: 0, name: http, protocol: HTTP }, hosts: [a.com], bind: 'unix:///var/run/gw.sock' }",
    ),
  );
  expect(all['unix:///var/run/gw.sock_0']).toMatchObject({ address: { pipe: { path: '/var/run/gw.sock' } } });
});

test('gatewayListeners: chains come from the server, or from the rule that says where to (C7.04, C7.05)', () => {
  const { world, scope } = worldAndScope(
    [
      gateway(
        server(443, 'HTTPS', 'hosts: [a.com], tls: { mode: SIMPLE, credentialName: c }'),
        server(443, 'TLS', 'hosts: [b.com], tls: { mode: PASSTHROUGH }'),
      ),
      virtualService('tls', `hosts: [b.com], tls: [{ match: [{ sniHosts: [b.com] }], ${to('b')} }]`),
    ].join('\n---\n'),
    { proxy: gatewayPod },
  );
  const input = listeners.input(world, scope, '0.0.0.0_443');
  expect(input === undefined ? [] : sourceLines(listeners.build(input).provenance)).toEqual([
    '<- Gateway default/gw spec.servers[0]',
    'filterChains[0] <- Gateway default/gw spec.servers[0]',
    'filterChains[0].transportSocket <- Gateway default/gw spec.servers[0].tls',
    'filterChains[1] <- VirtualService default/tls spec.tls[0].match[0]',
  ]);
});

test('gatewayListeners: what stands in front of the gateway is believed as far as its topology says (C7.10)', () => {
  const yaml = gateway(server(80, 'HTTP', 'hosts: [a.com]'));
  const topology = {
    trustedProxies: 2,
    forwardClientCert: 'ALWAYS_FORWARD_ONLY',
    proxyProtocol: true,
  } as const;
  const listener = listenersOf(yaml, { proxy: { ...gatewayPod, gatewayTopology: topology } })['0.0.0.0_80'];
  expect(listener).toMatchObject({ listenerFilters: [{ name: 'envoy.filters.listener.proxy_protocol' }] });
  const manager = chainsOf(listener)[0]?.filters[0]?.typedConfig;
  expect(manager).toMatchObject({ xffNumTrustedHops: 2, forwardClientCertDetails: 'ALWAYS_FORWARD_ONLY' });
  expect(manager?.['setCurrentClientCertDetails']).toBeUndefined();
});

test('gatewayListeners: a GRPC-WEB server makes gRPC of what browsers send (C7.03, partly C11.09)', () => {
  const filtersOf = (protocol: string): readonly string[] => {
    const [chain] = chainsOf(built(gateway(server(80, protocol, 'hosts: [a.com]')))['0.0.0.0_80']);
    const filters = (chain?.filters[0]?.typedConfig['httpFilters'] ?? []) as unknown as { name: string }[];
    return filters.map(({ name }) => name);
  };
  expect(filtersOf('GRPC-WEB')).toEqual(['envoy.filters.http.grpc_web', ...filtersOf('GRPC')]);
});
