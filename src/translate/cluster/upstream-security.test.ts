import type { JsonObject } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import type { Surroundings } from '../../../test/support/translated.ts';
import { worldAndScope } from '../../../test/support/translated.ts';
import { messageToJson } from '../../api/any.ts';
import type { MeshConfig } from '../../config/mesh-config.ts';
import { clusters, endpoints } from '../index.ts';

interface SocketJson {
  readonly name: string;
  readonly typedConfig: {
    readonly sni?: string;
    readonly commonTlsContext?: {
      readonly alpnProtocols?: readonly string[];
      readonly combinedValidationContext?: {
        readonly defaultValidationContext: {
          readonly matchSubjectAltNames?: readonly { readonly exact: string }[];
        };
      };
    };
  };
}

/** What of a TLS context the test of all modes looks at. */
interface CommonTlsJson {
  readonly commonTlsContext?: {
    readonly tlsCertificateSdsSecretConfigs?: readonly { readonly name: string }[];
    readonly alpnProtocols?: readonly string[];
    readonly combinedValidationContext?: {
      readonly defaultValidationContext?: {
        readonly matchSubjectAltNames?: readonly { readonly exact: string }[];
      };
      readonly validationContextSdsSecretConfig?: { readonly name: string };
    };
  };
}

interface ClusterJson {
  readonly transportSocket?: SocketJson;
  readonly transportSocketMatches?: readonly {
    readonly name: string;
    readonly transportSocket: SocketJson;
  }[];
  readonly metadata: { readonly filterMetadata: { readonly istio: JsonObject } };
  readonly typedExtensionProtocolOptions?: Readonly<Record<string, JsonObject>>;
}

function clusterOf(yaml: string, name: string, surroundings?: Surroundings): ClusterJson {
  const { world, scope } = worldAndScope(yaml, surroundings);
  const input = clusters.input(world, scope, name);
  if (input === undefined) throw new Error(`no cluster ${name}`);
  return messageToJson(clusters.schema, clusters.build(input).message) as unknown as ClusterJson;
}

/** `tlsMode` of the metadata of each endpoint, by address. */
function tlsModes(yaml: string, name: string, surroundings?: Surroundings): Record<string, string> {
  const { world, scope } = worldAndScope(yaml, surroundings);
  const input = endpoints.input(world, scope, name);
  return Object.fromEntries((input?.endpoints ?? []).map(({ address, tlsMode }) => [address, tlsMode]));
}

/** How the upstream is spoken to: `raw`, `auto`, or the server name and the names that it may have. */
function manner({ transportSocket, transportSocketMatches }: ClusterJson): string {
  const socket = transportSocketMatches?.[0]?.transportSocket ?? transportSocket;
  if (socket === undefined) return 'raw';
  const { sni = '', commonTlsContext } = socket.typedConfig;
  const names =
    commonTlsContext?.combinedValidationContext?.defaultValidationContext.matchSubjectAltNames ?? [];
  const kind = transportSocketMatches === undefined ? 'always' : 'auto';
  return `${kind} sni=${sni} names=${names.map(({ exact }) => exact).join(',')}`;
}

const service = (more = 'clusterIP: 10.96.0.7'): string => `
apiVersion: v1
kind: Service
metadata: {name: a, namespace: default, annotations: {alpha.istio.io/kubernetes-serviceaccounts: other}}
spec: {${more}, selector: {app: a}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: meshed, namespace: default, labels: {app: a, security.istio.io/tlsMode: istio}}
spec: {containers: [{name: app}], serviceAccountName: own}
status: {phase: Running, podIP: 10.1.0.11}
---`;
const plainPod = `
apiVersion: v1
kind: Pod
metadata: {name: plain, namespace: default, labels: {app: a}}
spec: {containers: [{name: app}], serviceAccountName: own}
status: {phase: Running, podIP: 10.1.0.12}
---`;
const peers = (mode: string, namespace = 'default'): string => `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: ${namespace}}
spec: {mtls: {mode: ${mode}}}
---`;
const rule = (policy: string, more = ''): string => `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: default}
spec: {host: a.default.svc.cluster.local, trafficPolicy: {${policy}}${more}}
---`;
const name = 'outbound|80||a.default.svc.cluster.local';
const names = 'spiffe://cluster.local/ns/default/sa/other,spiffe://cluster.local/ns/default/sa/own';
const automatic = `auto sni=outbound_.80_._.a.default.svc.cluster.local names=${names}`;

test('auto mTLS: where nothing is said otherwise, by the server name of the cluster (A5.13, C3.12, partly C3.11)', () => {
  expect(manner(clusterOf(service(), name))).toBe(automatic);
  expect(manner(clusterOf(service() + peers('STRICT'), name))).toBe(automatic);
  for (const off of [peers('DISABLE'), peers('DISABLE', 'istio-system'), rule('tls: {mode: DISABLE}')])
    expect(manner(clusterOf(service() + off, name))).toBe('raw');
  expect(manner(clusterOf(service(), name, { mesh: { enableAutoMtls: false } }))).toBe('raw');
  expect(manner(clusterOf(service(), name, { proxy: { workloadCertificates: false } }))).toBe('raw');
  const aliased = { mesh: { trustDomainAliases: ['old'] } };
  expect(manner(clusterOf(service(), name, aliased))).toContain('spiffe://old/ns/default/sa/own');
});

test('auto mTLS: endpoints say whether they take it, as their workload and its PeerAuthentication do (C3.12)', () => {
  const yaml = service() + plainPod;
  expect(tlsModes(yaml, name)).toEqual({ '10.1.0.11': 'istio', '10.1.0.12': 'disabled' });
  expect(tlsModes(yaml + peers('DISABLE'), name)['10.1.0.11']).toBe('disabled');
  expect(tlsModes(yaml + rule('tls: {mode: SIMPLE}'), name)['10.1.0.11']).toBe('disabled');
  expect(tlsModes(yaml + peers('DISABLE') + rule('tls: {mode: ISTIO_MUTUAL}'), name)['10.1.0.11']).toBe(
    'istio',
  );
  const bare = { proxy: { workloadCertificates: false } };
  expect(tlsModes(yaml, name, bare)['10.1.0.11']).toBe('disabled');
});

test('auto mTLS: a headless service takes it from sidecars only if all of its endpoints do', () => {
  const headless = service('clusterIP: None');
  expect(manner(clusterOf(headless, name))).toBe(automatic.replace('auto', 'always'));
  expect(manner(clusterOf(headless + plainPod, name))).toBe('raw');
});

test('DestinationRule tls: its server name and names come before those of the mesh (partly C3.11)', () => {
  const of = (policy: string) => manner(clusterOf(service() + rule(policy), name));
  expect(of('tls: {mode: ISTIO_MUTUAL}')).toBe(automatic.replace('auto', 'always'));
  expect(of('tls: {mode: ISTIO_MUTUAL, sni: x, subjectAltNames: [y]}')).toBe('always sni=x names=y');
  expect(of('tls: {mode: SIMPLE}')).toBe('always sni= names=');
  const simple = clusterOf(service() + rule('tls: {mode: SIMPLE}'), name);
  expect(simple.metadata.filterMetadata.istio['alpn_override']).toBe('false');
  expect(Object.values(simple.typedExtensionProtocolOptions ?? {})[0]).toMatchObject({
    upstreamHttpProtocolOptions: { autoSni: true, autoSanValidation: true },
  });
  const named = clusterOf(service() + rule('tls: {mode: SIMPLE, sni: x}'), name);
  expect(named.typedExtensionProtocolOptions).toBeUndefined();
});

test('DestinationRule tls: each mode in full (C3.11)', () => {
  const of = (tls: string, surroundings?: Surroundings, port = 'http') => {
    const cluster = clusterOf(
      service().replace('name: http', `name: ${port}`) + rule(`tls: {${tls}}`),
      name,
      surroundings,
    );
    const { commonTlsContext: common } = (cluster.transportSocket?.typedConfig ?? {}) as CommonTlsJson;
    const {
      defaultValidationContext: { matchSubjectAltNames = [] } = {},
      validationContextSdsSecretConfig: root,
    } = common?.combinedValidationContext ?? {};
    const [options = {}] = Object.values(cluster.typedExtensionProtocolOptions ?? {});
    return {
      socket: cluster.transportSocket?.name ?? 'raw',
      sni: cluster.transportSocket?.typedConfig.sni ?? '',
      names: matchSubjectAltNames.map(({ exact }) => exact).join(),
      certificates: (common?.tlsCertificateSdsSecretConfigs ?? []).map((secret) => secret.name).join(),
      root: root?.name ?? 'unchecked',
      alpn: (common?.alpnProtocols ?? []).join(),
      automatic: options['upstreamHttpProtocolOptions'],
    };
  };
  const tls = 'envoy.transport_sockets.tls';
  expect(of('mode: DISABLE')).toMatchObject({ socket: 'raw', automatic: undefined });
  expect(of('mode: SIMPLE')).toEqual({
    socket: tls,
    sni: '',
    names: '',
    certificates: '',
    root: 'file-root:system',
    alpn: '',
    automatic: { autoSni: true, autoSanValidation: true },
  });
  const files = 'clientCertificate: /c, privateKey: /k, caCertificates: /ca';
  expect(of(`mode: MUTUAL, ${files}, sni: x, subjectAltNames: [y, z]`)).toEqual({
    socket: tls,
    sni: 'x',
    names: 'y,z',
    certificates: 'file-cert:/c~/k',
    root: 'file-root:/ca',
    alpn: '',
    automatic: undefined,
  });
  // Names of its own are what counts, whatever the request asked for.
  expect(of('mode: SIMPLE, subjectAltNames: [y]').automatic).toEqual({ autoSni: true });
  expect(of('mode: SIMPLE, insecureSkipVerify: true')).toMatchObject({
    socket: tls,
    root: 'unchecked',
    automatic: { autoSni: true },
  });
  expect(of('mode: SIMPLE', undefined, 'http2').alpn).toBe('h2');
  const credential = 'mode: MUTUAL, credentialName: c';
  expect(of(credential).socket).toBe('raw');
  expect(of(credential, { proxy: { type: 'router' } })).toMatchObject({
    socket: tls,
    certificates: 'kubernetes://c',
    root: 'kubernetes://c-cacert',
  });
  const mutual = {
    socket: tls,
    sni: 'outbound_.80_._.a.default.svc.cluster.local',
    names,
    certificates: 'default',
    root: 'ROOTCA',
    alpn: 'istio-peer-exchange,istio',
    automatic: undefined,
  };
  expect(of('mode: ISTIO_MUTUAL')).toEqual(mutual);
  expect(of('mode: ISTIO_MUTUAL', undefined, 'http2')).toEqual({
    ...mutual,
    alpn: 'istio-peer-exchange,istio,h2',
  });
});

test('DestinationRule tls: a credential is for gateways and chosen workloads alone (partly C3.11)', () => {
  const tls = 'tls: {mode: SIMPLE, credentialName: c}';
  const of = (yaml: string, surroundings?: Surroundings) =>
    manner(clusterOf(service() + yaml, name, surroundings));
  expect(of(rule(tls))).toBe('raw');
  expect(of(rule(tls), { proxy: { type: 'router' } })).toBe('always sni= names=');
  const chosen = rule(tls, ', workloadSelector: {matchLabels: {app: b}}');
  expect(of(chosen, { proxy: { labels: { app: 'b' } } })).toBe('always sni= names=');
  expect(of(rule(tls.replace('c}', '"configmap://default/c"}')))).toBe('always sni= names=');
});

test('metadata exchange: only for a proxy that says it has the filter (C3.19)', () => {
  expect(clusterOf(service(), name)).not.toHaveProperty('filters');
  const istio = { proxy: { istioExtensions: ['istio.metadata_exchange'] } };
  expect(clusterOf(service(), name, istio)).toMatchObject({
    filters: [
      {
        name: 'istio.metadata_exchange',
        typedConfig: {
          typeUrl: 'type.googleapis.com/envoy.tcp.metadataexchange.config.MetadataExchange',
          value: { protocol: 'istio-peer-exchange', enable_discovery: true },
        },
      },
    ],
  });
});

test('connections: mesh-wide HTTP/2 for HTTP ports alone, keepalive of the mesh under the rule’s (partly C3.04, partly C3.07)', () => {
  const mesh = { h2UpgradePolicy: 'UPGRADE', tcpKeepalive: { probes: 3, time: '30s' } } as const;
  const optionsOf = (yaml: string) =>
    Object.values(clusterOf(yaml, name, { mesh }).typedExtensionProtocolOptions ?? {})[0]?.[
      'explicitHttpConfig'
    ];
  expect(optionsOf(service())).toEqual({ http2ProtocolOptions: {} });
  expect(
    optionsOf(service() + rule('connectionPool: {http: {h2UpgradePolicy: DO_NOT_UPGRADE}}')),
  ).toBeUndefined();
  expect(optionsOf(service().replace('name: http', 'name: tcp'))).toBeUndefined();
  const kept =
    'connectionPool: {http: {http2KeepAlive: {interval: 5s, timeout: 2s}}, tcp: {tcpKeepalive: {time: 9s}}}';
  expect(optionsOf(service() + rule(kept))).toEqual({
    http2ProtocolOptions: { connectionKeepalive: { interval: '5s', timeout: '2s' } },
  });
  expect(clusterOf(service() + rule(kept), name, { mesh })).toMatchObject({
    upstreamConnectionOptions: { tcpKeepalive: { keepaliveProbes: 3, keepaliveTime: 9 } },
  });
});

test('defaultTrafficPolicy of the mesh: under the rule’s blocks, over no subset’s port, and for what passes through', () => {
  const mesh = {
    defaultTrafficPolicy: {
      connectionPool: { tcp: { maxConnections: 5 } },
      outlierDetection: { consecutive5xxErrors: 3 },
    },
  };
  const limit = (yaml: string, cluster = name): unknown =>
    (
      clusterOf(yaml, cluster, { mesh }) as unknown as {
        circuitBreakers: { thresholds: readonly { maxConnections: number }[] };
      }
    ).circuitBreakers.thresholds[0]?.maxConnections;
  expect(limit(service())).toBe(5);
  expect(limit(service(), 'PassthroughCluster')).toBe(5);
  expect(clusterOf(service(), name, { mesh })).toMatchObject({ outlierDetection: { consecutive5xx: 3 } });
  expect(limit(service() + rule('connectionPool: {tcp: {maxConnections: 6}}'))).toBe(6);
  expect(
    limit(service() + rule('portLevelSettings: [{port: {number: 80}, loadBalancer: {simple: RANDOM}}]')),
  ).toBe(5);
  const subset =
    ', subsets: [{name: v1, trafficPolicy: {portLevelSettings: [{port: {number: 80}, loadBalancer: {simple: RANDOM}}]}}]';
  expect(limit(service() + rule('loadBalancer: {simple: RANDOM}', subset), name.replace('||', '|v1|'))).toBe(
    4_294_967_295,
  );
});

test('outboundTrafficPolicy.tls: names that are resolved when asked for are spoken to in TLS, by that name', () => {
  const mesh = { outboundTrafficPolicy: 'ALLOW_ANY_DYNAMIC_DNS' } as const;
  const of = (outboundTls?: MeshConfig['outboundTls']) =>
    clusterOf(service(), 'AllowAnyDynamicDNSCluster', {
      mesh: { ...mesh, ...(outboundTls === undefined ? {} : { outboundTls }) },
    }) as ClusterJson & { clusterType: { typedConfig: JsonObject } };
  expect(manner(of())).toBe('raw');
  expect(of().clusterType.typedConfig['allowInsecureClusterOptions']).toBe(true);
  const simple = of({ mode: 'SIMPLE' });
  expect(manner(simple)).toBe('always sni= names=');
  expect(simple.clusterType.typedConfig['allowInsecureClusterOptions']).toBeUndefined();
  expect(Object.values(simple.typedExtensionProtocolOptions ?? {})[0]).toMatchObject({
    upstreamHttpProtocolOptions: { autoSni: true, autoSanValidation: true },
  });
  const fixed = of({ mode: 'SIMPLE', sni: 'x' });
  expect(fixed.clusterType.typedConfig['allowInsecureClusterOptions']).toBe(true);
});
