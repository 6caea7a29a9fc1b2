// What arrives at a workload: chains by mutual TLS mode and protocol, and Sidecar.ingress.
import { describe, expect, test } from 'vitest';
import type { Surroundings } from '../../../test/support/translated.ts';
import { chainLines, listenersOf, sourceLines, worldAndScope } from '../../../test/support/translated.ts';
import { listeners } from '../listeners.ts';

const app = `
apiVersion: v1
kind: Service
metadata: { name: app }
spec:
  clusterIP: 10.0.0.1
  selector: { app: app }
  ports:
    - { name: http, port: 80 }
    - { name: tcp, port: 81 }
    - { name: any, port: 82 }
`;
const asApp: Surroundings = { proxy: { labels: { app: 'app' } } };
const anyMesh = 'istio+istio-peer-exchange+istio-http/1.0+istio-http/1.1+istio-h2';
const meshHttp = 'istio-http/1.0+istio-http/1.1+istio-h2';

function peers(spec: string, name = 'default', namespace = 'default'): string {
  return `---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: ${name}, namespace: ${namespace} }
spec: ${spec}
`;
}

function sidecar(ingress: string): string {
  return `---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: { name: app }
spec: { ingress: ${ingress} }
`;
}

/** Without the chains for the listener's own port. */
function inboundLines(yaml: string, surroundings: Surroundings = asApp): readonly string[] {
  return chainLines(listenersOf(yaml, surroundings)['virtualInbound']).filter(
    (line) => !line.startsWith(':15006 '),
  );
}

describe('virtualInbound (C11.04)', () => {
  test('PERMISSIVE, the default, takes the mesh’s TLS, the application’s own, and plain text (T16)', () => {
    expect(inboundLines(app)).toEqual([
      `tls ${meshHttp} -> inline InboundPassthroughCluster`,
      'raw_buffer http/1.1+h2c -> inline InboundPassthroughCluster',
      'tls istio-peer-exchange+istio -> InboundPassthroughCluster',
      'raw_buffer -> InboundPassthroughCluster',
      'tls -> InboundPassthroughCluster',
      `:80 tls ${anyMesh} -> inline inbound|80||`,
      ':80 raw_buffer -> inline inbound|80||',
      `:81 tls ${anyMesh} -> inbound|81||`,
      ':81 tls -> inbound|81||',
      ':81 raw_buffer -> inbound|81||',
      `:82 tls ${meshHttp} -> inline inbound|82||`,
      ':82 raw_buffer http/1.1+h2c -> inline inbound|82||',
      ':82 tls istio-peer-exchange+istio -> inbound|82||',
      ':82 raw_buffer -> inbound|82||',
      ':82 tls -> inbound|82||',
    ]);
  });

  test('STRICT takes the mesh’s TLS alone: all else has no chain, and is closed (partly C12.02, T16)', () => {
    expect(inboundLines(app + peers('{ mtls: { mode: STRICT } }'))).toEqual([
      `tls ${meshHttp} -> inline InboundPassthroughCluster`,
      'tls -> InboundPassthroughCluster',
      ':80 tls -> inline inbound|80||',
      ':81 tls -> inbound|81||',
      `:82 tls ${meshHttp} -> inline inbound|82||`,
      ':82 tls -> inbound|82||',
    ]);
  });

  test('DISABLE takes plain text alone', () => {
    expect(inboundLines(app + peers('{ mtls: { mode: DISABLE } }'))).toEqual([
      'raw_buffer http/1.1+h2c -> inline InboundPassthroughCluster',
      'raw_buffer -> InboundPassthroughCluster',
      ':80 raw_buffer -> inline inbound|80||',
      ':81 raw_buffer -> inbound|81||',
      ':82 raw_buffer http/1.1+h2c -> inline inbound|82||',
      ':82 raw_buffer -> inbound|82||',
    ]);
  });

  test('a proxy without certificate ends no mutual TLS: PERMISSIVE is plain text, STRICT lets nobody in', () => {
    const bare: Surroundings = { proxy: { ...asApp.proxy, workloadCertificates: false } };
    const plain = inboundLines(app + peers('{ mtls: { mode: DISABLE } }'));
    expect(inboundLines(app, bare)).toEqual(plain);
    expect(inboundLines(app + peers('{ mtls: { mode: STRICT } }'), bare)).toEqual([]);
  });

  test('a port’s mode is its own; one that no service names has passthrough chains of its own (C12.01)', () => {
    const policy = peers(
      '{ selector: { matchLabels: { app: app } }, mtls: { mode: DISABLE }, portLevelMtls: { 80: { mode: STRICT }, 9000: { mode: STRICT } } }',
    );
    const lines = inboundLines(app + policy);
    expect(lines.filter((line) => line.startsWith(':80 '))).toEqual([':80 tls -> inline inbound|80||']);
    expect(lines.filter((line) => line.startsWith(':9000 '))).toEqual([
      `:9000 tls ${meshHttp} -> inline InboundPassthroughCluster`,
      ':9000 tls -> InboundPassthroughCluster',
    ]);
    expect(lines.filter((line) => line.startsWith('raw_buffer'))).toHaveLength(2);
  });

  test('chains that end mutual TLS show the workload’s certificate and ask for one of the mesh’s trust domains', () => {
    const { virtualInbound } = listenersOf(app + peers('{ mtls: { mode: STRICT } }'), {
      ...asApp,
      mesh: { trustDomain: 'td', trustDomainAliases: ['old-td'] },
    });
    const chains = (virtualInbound as unknown as { filterChains: Record<string, unknown>[] }).filterChains;
    const [http] = chains.slice(3);
    expect(http).toMatchObject({
      transportSocket: {
        name: 'envoy.transport_sockets.tls',
        typedConfig: {
          requireClientCertificate: true,
          commonTlsContext: {
            alpnProtocols: ['h2', 'http/1.1'],
            tlsCertificateSdsSecretConfigs: [{ name: 'default' }],
            combinedValidationContext: {
              defaultValidationContext: {
                matchSubjectAltNames: [{ prefix: 'spiffe://td/' }, { prefix: 'spiffe://old-td/' }],
              },
              validationContextSdsSecretConfig: { name: 'ROOTCA' },
            },
          },
        },
      },
    });
    // Nothing here reads what a client's proxy would say of itself: it must not be asked to.
    expect(chains[4]).toMatchObject({
      transportSocket: { typedConfig: { commonTlsContext: { alpnProtocols: ['h2', 'http/1.1'] } } },
    });
  });

  test('proxies that have Istio’s filters exchange metadata first, and tell protocols onwards (partly C11.09, partly C11.10)', () => {
    const istioExtensions = ['istio.alpn', 'istio.metadata_exchange'];
    const all = listenersOf(app + peers('{ mtls: { mode: STRICT } }'), {
      proxy: { ...asApp.proxy, istioExtensions },
    });
    const chainsOf = (name: string) =>
      (
        all[name] as unknown as {
          filterChains: { filters: { name: string; typedConfig: Record<string, unknown> }[] }[];
        }
      ).filterChains;
    for (const { filters } of chainsOf('virtualInbound'))
      expect(filters[0]).toMatchObject({
        name: 'istio.metadata_exchange',
        typedConfig: { value: { protocol: 'istio-peer-exchange', enable_discovery: true } },
      });
    const alpnLists = chainsOf('virtualInbound').map((chain) => {
      const { transportSocket } = chain as {
        transportSocket?: { typedConfig: { commonTlsContext: { alpnProtocols: string[] } } };
      };
      return transportSocket?.typedConfig.commonTlsContext.alpnProtocols.join() ?? '';
    });
    expect(new Set(alpnLists)).toEqual(new Set(['', 'h2,http/1.1', 'istio-peer-exchange,h2,http/1.1']));
    const [manager] = chainsOf('0.0.0.0_80')[0]?.filters ?? [];
    expect(manager?.typedConfig['httpFilters']).toMatchObject([
      { name: 'istio.alpn' },
      { name: 'envoy.filters.http.fault' },
      { name: 'envoy.filters.http.cors' },
      { name: 'envoy.filters.http.router' },
    ]);
  });

  test('the TLS inspector looks only where a chain asks for TLS, so that servers elsewhere may speak first (C11.06)', () => {
    const tlsPorts = (yaml: string): unknown => {
      const { listenerFilters } = listenersOf(yaml, asApp)['virtualInbound'] as {
        listenerFilters: { name: string; filterDisabled?: unknown }[];
      };
      return (
        listenerFilters.find(({ name }) => name.endsWith('tls_inspector'))?.filterDisabled ?? 'everywhere'
      );
    };
    const port = (start: number) => ({ destinationPortRange: { start, end: start + 1 } });
    expect(tlsPorts(app)).toEqual(port(15_006));
    const selected = (mode: string, ports: string): string =>
      peers(`{ selector: { matchLabels: { app: app } }, mtls: { mode: ${mode} }, portLevelMtls: ${ports} }`);
    expect(tlsPorts(app + selected('DISABLE', '{ 81: { mode: STRICT } }'))).toEqual({ notMatch: port(81) });
    expect(tlsPorts(app + selected('STRICT', '{ 81: { mode: DISABLE } }'))).toEqual({
      orMatch: { rules: [port(81), port(15_006)] },
    });
  });

  test('the PeerAuthentication stands in the provenance of passthrough chains', () => {
    const { world, scope } = worldAndScope(app + peers('{ mtls: { mode: STRICT } }'), asApp);
    const input = listeners.input(world, scope, 'virtualInbound');
    expect(input === undefined ? [] : sourceLines(listeners.build(input).provenance)).toContain(
      'filterChains[1] <- PeerAuthentication default/default spec.mtls',
    );
  });

  test('IPv6 alone, and both families', () => {
    const addressed = (...ipAddresses: string[]) =>
      listenersOf(app, { proxy: { ...asApp.proxy, ipAddresses } })['virtualInbound'];
    expect(addressed('fd00::1')).toMatchObject({
      address: { socketAddress: { address: '::', portValue: 15_006 } },
    });
    expect(addressed('10.1.0.1', 'fd00::1')).toMatchObject({
      address: { socketAddress: { address: '0.0.0.0' } },
      additionalAddresses: [{ address: { socketAddress: { address: '::', portValue: 15_006 } } }],
    });
  });

  test('TPROXY keeps the client’s address', () => {
    const { virtualInbound } = listenersOf(app, { proxy: { ...asApp.proxy, interceptionMode: 'TPROXY' } });
    expect(virtualInbound).toMatchObject({
      transparent: true,
      listenerFilters: [
        { name: 'envoy.filters.listener.original_dst' },
        { name: 'envoy.filters.listener.original_src', typedConfig: { mark: 1337 } },
        { name: 'envoy.filters.listener.tls_inspector' },
        { name: 'envoy.filters.listener.http_inspector' },
      ],
    });
  });
});

describe('Sidecar.ingress (partly C9.03)', () => {
  const plain = peers('{ mtls: { mode: DISABLE } }');

  test('its ports take the place of those that services name', () => {
    const yaml = app + plain + sidecar('[{ port: { number: 9080, protocol: HTTP, name: http } }]');
    expect(inboundLines(yaml).filter((line) => line.startsWith(':'))).toEqual([
      ':9080 raw_buffer -> inline inbound|9080||',
    ]);
  });

  test('TLS of its own ends where mutual TLS is off, and stands back where it is not', () => {
    const tls = '{ mode: SIMPLE, serverCertificate: /cert, privateKey: /key }';
    const yaml =
      app +
      sidecar(
        `[{ port: { number: 9443, protocol: HTTPS, name: https }, tls: ${tls} }, { port: { number: 9444, protocol: TLS, name: tls }, tls: ${tls} }]`,
      );
    expect(inboundLines(yaml + plain).filter((line) => line.startsWith(':'))).toEqual([
      ':9443 tls -> inline inbound|9443||',
      ':9444 tls -> inbound|9444||',
    ]);
    expect(inboundLines(yaml).filter((line) => line.startsWith(':'))).toEqual([
      `:9443 tls ${anyMesh} -> inline inbound|9443||`,
      ':9443 raw_buffer -> inline inbound|9443||',
      `:9444 tls ${anyMesh} -> inbound|9444||`,
      ':9444 tls -> inbound|9444||',
      ':9444 raw_buffer -> inbound|9444||',
    ]);
  });

  test('captureMode NONE binds the port itself; in NONE mode every port is, and nothing else stands', () => {
    const ports =
      '[{ port: { number: 9080, protocol: HTTP, name: http }, bind: 127.0.0.2, captureMode: NONE }, { port: { number: 9081, protocol: TCP, name: tcp } }]';
    const yaml = app + plain + sidecar(ports);
    const mixed = listenersOf(yaml, asApp);
    expect(mixed['127.0.0.2_9080']).toMatchObject({
      address: { socketAddress: { address: '127.0.0.2', portValue: 9080 } },
      trafficDirection: 'INBOUND',
    });
    expect(mixed['127.0.0.2_9080']).not.toHaveProperty('bindToPort');
    expect(inboundLines(yaml).filter((line) => line.startsWith(':'))).toEqual([
      ':9081 raw_buffer -> inbound|9081||',
    ]);
    const none = listenersOf(yaml, { proxy: { ...asApp.proxy, interceptionMode: 'NONE' } });
    expect(Object.keys(none).filter((name) => /virtual|908/.test(name))).toEqual([
      '10.1.0.1_9081',
      '127.0.0.2_9080',
    ]);
  });

  test('a proxy that may not listen below 1024 has no such listener', () => {
    const yaml = app + sidecar('[{ port: { number: 80, protocol: HTTP, name: http }, captureMode: NONE }]');
    const names = (unprivileged: boolean) =>
      Object.keys(listenersOf(yaml, { proxy: { ...asApp.proxy, unprivileged } }));
    expect(names(false)).toContain('10.1.0.1_80');
    expect(names(true)).not.toContain('10.1.0.1_80');
  });
});
