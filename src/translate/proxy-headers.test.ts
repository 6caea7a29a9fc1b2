// What `proxyHeaders` of a ProxyConfig makes of connection managers, routes and clusters; stock Envoy reads all of it.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JsonObject } from '@bufbuild/protobuf';
import { afterAll, expect, test } from 'vitest';
import { envoyBootstrapOf, validateInEnvoy } from '../../test/support/envoy-validate.ts';
import { needs } from '../../test/support/tools.ts';
import type { Surroundings } from '../../test/support/translated.ts';
import { gatewayPod, listenersOf, routesOf, worldAndScope } from '../../test/support/translated.ts';
import { messageToJson } from '../api/any.ts';
import { readMeshConfig } from '../config/mesh-config-reader.ts';
import type { MeshConfig } from '../config/mesh-config.ts';
import { readProxyHeaders } from '../model/proxy-headers.ts';
import { clusters } from './index.ts';

const directory = mkdtempSync(join(tmpdir(), 'fairlead-headers-'));
afterAll(() => rmSync(directory, { recursive: true }));

const web = `
apiVersion: v1
kind: Service
metadata: { name: web, namespace: default }
spec: { clusterIP: 10.0.0.1, selector: { app: web }, ports: [{ name: http, port: 80 }, { name: tcp, port: 90 }] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: web, namespace: default }
spec:
  hosts: [web]
  http:
    - match: [{ uri: { prefix: /old } }]
      rewrite: { uri: /new }
      route: [{ destination: { host: web } }]
    - route: [{ destination: { host: web } }]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: gw, namespace: default }
spec: { selector: { istio: ingressgateway }, servers: [{ port: { number: 80, name: http, protocol: HTTP }, hosts: ['*'] }] }
`;

function meshOf(proxyHeaders: object): MeshConfig {
  const { meshConfig, findings } = readMeshConfig(JSON.stringify({ defaultConfig: { proxyHeaders } }));
  if (meshConfig === undefined) throw new Error(JSON.stringify(findings));
  return meshConfig;
}

const app = { labels: { app: 'web' } };

/** Every connection manager of a listener. */
function managersOf(listener: JsonObject | undefined): readonly JsonObject[] {
  const { filterChains = [] } = (listener ?? {}) as unknown as {
    readonly filterChains?: readonly { readonly filters: readonly { readonly typedConfig: JsonObject }[] }[];
  };
  return filterChains
    .flatMap(({ filters }) => filters.map(({ typedConfig }) => typedConfig))
    .filter((config) => config['httpFilters'] !== undefined);
}

function managerOf(name: string, surroundings: Surroundings): JsonObject {
  const [manager] = managersOf(listenersOf(web, surroundings)[name]);
  if (manager === undefined) throw new Error(`no connection manager at ${name}`);
  return manager;
}

/** The last one: the router. */
function routerOf(manager: JsonObject): unknown {
  return (manager['httpFilters'] as { typedConfig: JsonObject }[]).at(-1)?.typedConfig[
    'suppressEnvoyHeaders'
  ];
}

test('proxyHeaders: server, request id, debug headers and port of each connection manager', () => {
  const headers = {
    server: { value: 'edge' },
    requestId: { disabled: true },
    envoyDebugHeaders: { disabled: true },
    xForwardedPort: { enabled: true },
  };
  const mesh = meshOf(headers);
  for (const [name, proxy] of [
    ['virtualInbound', app],
    ['0.0.0.0_80', app],
    ['0.0.0.0_80', gatewayPod],
  ] as const) {
    const manager = managerOf(name, { mesh, proxy });
    const { serverName, generateRequestId, appendXForwardedPort } = manager;
    expect({ serverName, generateRequestId, appendXForwardedPort }).toEqual({
      serverName: 'edge',
      generateRequestId: false,
      appendXForwardedPort: true,
    });
    expect(routerOf(manager)).toBe(true);
  }
});

test('proxyHeaders: a server header that is switched off is the upstream’s', () => {
  const mesh = meshOf({ server: { disabled: true, value: 'edge' } });
  const manager = managerOf('virtualInbound', { mesh, proxy: app });
  expect(manager['serverHeaderTransformation']).toBe('PASS_THROUGH');
  expect(manager['serverName']).toBeUndefined();
});

test('proxyHeaders: what the application is told of the client’s certificate; gateways have a field of their own', () => {
  const mesh = meshOf({
    forwardedClientCert: 'SANITIZE_SET',
    setCurrentClientCertDetails: { subject: false, chain: true },
  });
  const inbound = managerOf('virtualInbound', { mesh, proxy: app });
  expect(inbound['forwardClientCertDetails']).toBe('SANITIZE_SET');
  expect(inbound['setCurrentClientCertDetails']).toEqual({
    subject: false,
    uri: true,
    dns: true,
    chain: true,
  });
  const forwards = meshOf({ forwardedClientCert: 'FORWARD_ONLY' });
  const gateway = managerOf('0.0.0.0_80', { mesh: forwards, proxy: gatewayPod });
  expect(gateway['forwardClientCertDetails']).toBe('SANITIZE_SET');
});

test('proxyHeaders: attempt count and forwarded host of routes, of those that rewrite alone', () => {
  const proxy = app;
  const mesh = meshOf({ attemptCount: { disabled: true }, xForwardedHost: { enabled: true } });
  const lines = (configuration: JsonObject): unknown =>
    (configuration['virtualHosts'] as JsonObject[]).map(({ includeRequestAttemptCount: counts, routes }) => [
      counts ?? false,
      ...(routes as { route: { appendXForwardedHost?: boolean } }[]).map(
        ({ route }) => route.appendXForwardedHost ?? false,
      ),
    ]);
  expect(lines(routesOf(web, '80', { proxy, mesh }))).toEqual([
    [false, true, false],
    [false, true],
  ]);
  // The same inputs again, for a proxy that says nothing: the messages are remembered apart.
  expect(lines(routesOf(web, '80', { proxy }))).toEqual([
    [true, false, false],
    [true, false],
  ]);
});

test('proxyHeaders: header names keep their case on both sides, but not towards TCP ports', () => {
  const mesh = meshOf({ preserveHttp1HeaderCase: true });
  const format = {
    statefulFormatter: {
      name: 'preserve_case',
      typedConfig: {
        '@type':
          'type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig',
      },
    },
  };
  const manager = managerOf('0.0.0.0_80', { mesh, proxy: app });
  expect(manager['httpProtocolOptions']).toEqual({ headerKeyFormat: format });
  const { world, scope } = worldAndScope(web, { mesh, proxy: app });
  const keeps = Object.fromEntries(
    clusters.names(world, scope).map((name) => {
      const input = clusters.input(world, scope, name);
      const json = input && messageToJson(clusters.schema, clusters.build(input).message);
      return [name, JSON.stringify(json).includes('preserve_case')];
    }),
  );
  expect(keeps).toEqual({
    BlackHoleCluster: false,
    InboundPassthroughCluster: true,
    PassthroughCluster: true,
    'inbound|80||': true,
    'inbound|90||': false,
    'outbound|80||web.default.svc.cluster.local': true,
    'outbound|90||web.default.svc.cluster.local': false,
  });
});

test('proxyHeaders: a proxy’s own ProxyConfig stands for the mesh’s', () => {
  const mesh = meshOf({ server: { value: 'mesh' } });
  const proxy = { ...app, proxyHeaders: readProxyHeaders({ server: { value: 'pod' } }) };
  expect(managerOf('virtualInbound', { mesh, proxy })['serverName']).toBe('pod');
});

test.skipIf(needs('envoy'))('proxyHeaders: stock Envoy accepts all of them', () => {
  const mesh = meshOf({
    forwardedClientCert: 'ALWAYS_FORWARD_ONLY',
    server: { disabled: true },
    requestId: { disabled: true },
    attemptCount: { disabled: true },
    envoyDebugHeaders: { disabled: true },
    metadataExchangeHeaders: { mode: 'IN_MESH' },
    preserveHttp1HeaderCase: true,
    xForwardedHost: { enabled: true },
    xForwardedPort: { enabled: true },
  });
  for (const proxy of [app, gatewayPod]) {
    const { world, scope } = worldAndScope(web, { mesh, proxy });
    expect(validateInEnvoy(envoyBootstrapOf(world, scope), join(directory, 'x.json'))).toContain("' OK");
  }
});

test('proxyHeaders: what is misspelt is told at its place', () => {
  const said = (text: string): readonly string[] =>
    readMeshConfig(`defaultConfig: { proxyHeaders: ${text} }`).findings.map(
      ({ fieldPath, message }) => `${fieldPath.slice(2).join('.')}: ${message}`,
    );
  expect(said('{ server: { vallue: x } }')[0]).toMatch(/^server\.vallue: unknown field/);
  expect(said('{ forwardedClientCert: SOMETIMES }')[0]).toMatch(/^forwardedClientCert: /);
});
