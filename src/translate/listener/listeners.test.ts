import { expect, test } from 'vitest';
import type { JsonObject } from '@bufbuild/protobuf';
import type { Surroundings } from '../../../test/support/translated.ts';
import {
  chainLines,
  gatewayPod,
  listenersOf,
  sourceLines,
  worldAndScope,
} from '../../../test/support/translated.ts';
import { defaultProxyConfig } from '../../config/mesh-config.ts';
import { listeners } from '../listeners.ts';
import { routes } from '../routes.ts';
import { defaultTextFormat } from './access-log.ts';

const app = `
apiVersion: v1
kind: Service
metadata: { name: app }
spec:
  clusterIP: 10.0.0.1
  selector: { app: app }
  ports:
    - { name: http, port: 80, targetPort: 8080 }
    - { name: tcp, port: 81 }
    - { name: any, port: 82 }
    - { name: grpc, port: 83 }
`;
const asApp: Surroundings = { proxy: { labels: { app: 'app' }, workloadCertificates: false } };
const loopback: Surroundings = {
  proxy: {
    labels: { app: 'app' },
    ipAddresses: ['127.66.0.1'],
    interceptionMode: 'LOOPBACK',
    appAddress: '127.67.0.1',
    httpProxyPort: 15_080,
    workloadCertificates: false,
  },
};

function managerOf(listener: JsonObject | undefined, chain = 0): JsonObject {
  const chains = listener?.['filterChains'] as { filters: { typedConfig: JsonObject }[] }[];
  return chains[chain]?.filters[0]?.typedConfig ?? {};
}

test('virtualInbound: the own port, all the others, and chains of service ports in clear (partly C11.04, B6.08, C2.12)', () => {
  const { virtualInbound } = listenersOf(app, asApp);
  expect(chainLines(virtualInbound)).toEqual([
    ':15006 -> BlackHoleCluster',
    'raw_buffer http/1.1+h2c -> inline InboundPassthroughCluster',
    'raw_buffer -> InboundPassthroughCluster',
    ':81 raw_buffer -> inbound|81||',
    ':82 raw_buffer http/1.1+h2c -> inline inbound|82||',
    ':82 raw_buffer -> inbound|82||',
    ':83 raw_buffer -> inline inbound|83||',
    ':8080 raw_buffer -> inline inbound|8080||',
  ]);
  const names = [
    'virtualInbound-blackhole',
    'virtualInbound-catchall-http',
    'virtualInbound',
    '0.0.0.0_81',
    '0.0.0.0_82',
    '0.0.0.0_82',
    '0.0.0.0_83',
    '0.0.0.0_8080',
  ].map((name) => ({ name }));
  expect(virtualInbound).toMatchObject({ filterChains: names });
});

test('virtualInbound: the proxy’s own ports are left alone (C11.05)', () => {
  const own = app.replace('targetPort: 8080', 'targetPort: 15021').replace('port: 81', 'port: 15001');
  expect(chainLines(listenersOf(own, asApp)['virtualInbound']).slice(3)).toEqual([
    ':82 raw_buffer http/1.1+h2c -> inline inbound|82||',
    ':82 raw_buffer -> inbound|82||',
    ':83 raw_buffer -> inline inbound|83||',
  ]);
});

test('virtualInbound: ports whose protocol is known are not sniffed, so that servers may speak first (partly C11.04, C11.06)', () => {
  const { virtualInbound } = listenersOf(app, asApp);
  const disabled = [81, 83, 8080, 15_006].map((start) => ({
    destinationPortRange: { start, end: start + 1 },
  }));
  expect(virtualInbound).toMatchObject({
    trafficDirection: 'INBOUND',
    listenerFiltersTimeout: '0s',
    continueOnListenerFiltersTimeout: true,
    listenerFilters: [
      { name: 'envoy.filters.listener.original_dst' },
      { name: 'envoy.filters.listener.http_inspector', filterDisabled: { orMatch: { rules: disabled } } },
    ],
  });
});

test('virtualInbound: requests go to the application’s port, retried only where they were not sent (C5.20, B6.04, C11.08, T07)', () => {
  const { virtualInbound } = listenersOf(app, asApp);
  expect(managerOf(virtualInbound, 7)).toMatchObject({
    statPrefix: 'inbound_0.0.0.0_8080;',
    serverName: 'istio-envoy',
    forwardClientCertDetails: 'APPEND_FORWARD',
    setCurrentClientCertDetails: { subject: true, dns: true, uri: true },
    routeConfig: {
      name: 'inbound|8080||',
      validateClusters: false,
      virtualHosts: [
        {
          name: 'inbound|http|80',
          domains: ['*'],
          routes: [
            {
              name: 'default',
              decorator: { operation: 'app.default.svc.cluster.local:80/*' },
              route: {
                cluster: 'inbound|8080||',
                timeout: '0s',
                retryPolicy: { retryOn: 'reset-before-request', numRetries: 2 },
              },
            },
          ],
        },
      ],
    },
  });
  const grpc = managerOf(virtualInbound, 6);
  expect(grpc).toMatchObject({ http2ProtocolOptions: {} });
  expect(JSON.stringify(grpc)).not.toContain('retryPolicy');
});

test('virtualOutbound: takes captured connections, and passes on what no listener is for (C11.03, B6.08)', () => {
  const { virtualOutbound } = listenersOf('', {});
  expect(virtualOutbound).toMatchObject({
    address: { socketAddress: { address: '0.0.0.0', portValue: 15_001 } },
    useOriginalDst: true,
    trafficDirection: 'OUTBOUND',
    filterChains: [{ name: 'virtualOutbound-blackhole' }, { name: 'virtualOutbound-catchall-tcp' }],
  });
  expect(chainLines(virtualOutbound)).toEqual([':15001 -> BlackHoleCluster', 'any -> PassthroughCluster']);
  const { virtualOutbound: closed } = listenersOf('', { mesh: { outboundTrafficPolicy: 'REGISTRY_ONLY' } });
  expect(chainLines(closed)[1]).toBe('any -> BlackHoleCluster');
});

test.each([
  ['REDIRECT', undefined],
  ['TPROXY', true],
] as const)('listeners: interception mode %s', (interceptionMode, transparent) => {
  const all = listenersOf('', { proxy: { interceptionMode } });
  expect(all['virtualOutbound']?.['transparent']).toBe(transparent);
  expect(all['virtualInbound']?.['transparent']).toBe(transparent);
});

test('listeners: nothing is captured in NONE mode', () => {
  expect(Object.keys(listenersOf('', { proxy: { interceptionMode: 'NONE' } }))).toEqual([]);
});

test('listeners: LOOPBACK binds the pod’s own address, and each port of the application on it', () => {
  const all = listenersOf(app, loopback);
  const at = (portValue: number) => ({ socketAddress: { address: '127.66.0.1', portValue } });
  expect(all['virtualOutbound']).toMatchObject({ address: at(15_001) });
  expect(all['virtualInbound']).toMatchObject({
    address: at(15_006),
    additionalAddresses: [81, 82, 83, 8080].map((port) => ({ address: at(port) })),
  });
  expect(all['127.66.0.1_15080']).toMatchObject({ address: at(15_080), trafficDirection: 'OUTBOUND' });
  expect(chainLines(all['127.66.0.1_15080'])).toEqual(['any -> routes http_proxy']);
  expect(all['0.0.0.0_80']).toMatchObject({ bindToPort: false });
});

test('httpProxy: the mesh’s port on the loopback address (partly B6.06)', () => {
  const all = listenersOf('', { mesh: { proxyHttpPort: 15_002 } });
  expect(managerOf(all['127.0.0.1_15002'])).toMatchObject({
    statPrefix: 'outbound_127.0.0.1_15002;',
    httpProtocolOptions: { allowAbsoluteUrl: true },
  });
  expect(Object.keys(listenersOf('', { proxy: { httpProxyPort: 0 } }))).toEqual([
    'virtualInbound',
    'virtualOutbound',
  ]);
});

test('buildHttpConnectionManager: outbound answers as envoy and trusts the caller’s addresses (C11.07, B6.09, T07)', () => {
  const manager = managerOf(listenersOf(app, {})['0.0.0.0_80']);
  expect(manager).toMatchObject({
    statPrefix: 'outbound_0.0.0.0_80;',
    useRemoteAddress: false,
    streamIdleTimeout: '0s',
    normalizePath: true,
    proxy100Continue: true,
    upgradeConfigs: [{ upgradeType: 'websocket' }],
    rds: {
      routeConfigName: '80',
      configSource: { ads: {}, initialFetchTimeout: '0s', resourceApiVersion: 'V3' },
    },
  });
  expect(manager['serverName']).toBeUndefined();
  const filters = (manager['httpFilters'] as { name: string }[]).map(({ name }) => name);
  expect(filters).toEqual([
    'envoy.filters.http.fault',
    'envoy.filters.http.cors',
    'envoy.filters.http.router',
  ]);
});

test('buildHttpConnectionManager: HTTP/1.0 is let in where the node asks for it (C11.07, T24)', () => {
  const all = listenersOf(app, { proxy: { ...asApp.proxy, http10: true } });
  expect(managerOf(all['0.0.0.0_80'])).toMatchObject({ httpProtocolOptions: { acceptHttp10: true } });
  expect(managerOf(all['virtualInbound'], 1)).toMatchObject({ httpProtocolOptions: { acceptHttp10: true } });
});

const gateways = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: gw }
spec:
  selector: { istio: ingressgateway }
  servers:
    - { port: { number: 8080, name: http, protocol: HTTP }, hosts: ['*'] }
    - { port: { number: 5000, name: tcp, protocol: TCP }, hosts: ['*'] }
    - { port: { number: 5001, name: tcp-none, protocol: TCP }, hosts: ['*'] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: vs }
spec:
  hosts: ['*']
  gateways: [gw]
  tcp:
    - match: [{ port: 5000, gateways: [mesh] }, { port: 4999 }]
      route: [{ destination: { host: never } }]
    - match: [{ port: 5000 }]
      route: [{ destination: { host: a }, weight: 1 }, { destination: { host: b, port: { number: 1 } }, weight: 3 }]
`;

test('gatewayListeners: one per port; TCP goes where a rule says, without one there is no listener (C7.10, partly C7.05, A6.02, T07)', () => {
  const all = listenersOf(gateways, { proxy: gatewayPod });
  expect(Object.keys(all)).toEqual(['0.0.0.0_5000', '0.0.0.0_8080']);
  expect(chainLines(all['0.0.0.0_8080'])).toEqual(['any -> routes http.8080']);
  expect(chainLines(all['0.0.0.0_5000'])).toEqual([
    'any -> outbound|5000||a.default.svc.cluster.local=1 outbound|1||b.default.svc.cluster.local=3',
  ]);
  expect(managerOf(all['0.0.0.0_8080'])).toMatchObject({
    statPrefix: 'outbound_0.0.0.0_8080;',
    serverName: 'istio-envoy',
    useRemoteAddress: true,
    forwardClientCertDetails: 'SANITIZE_SET',
    setCurrentClientCertDetails: { subject: true, cert: true, dns: true, uri: true },
  });
  expect(all['0.0.0.0_8080']).toMatchObject({ trafficDirection: 'OUTBOUND' });
});

test('gatewayListeners: as many proxies in front are believed as the mesh says (C7.10)', () => {
  const gatewayTopology = { ...defaultProxyConfig.gatewayTopology, trustedProxies: 2 };
  const trusted = { defaultConfig: { ...defaultProxyConfig, gatewayTopology } };
  const http = (mesh = {}) => listenersOf(gateways, { proxy: gatewayPod, mesh })['0.0.0.0_8080'];
  expect(managerOf(http(trusted))).toMatchObject({ useRemoteAddress: true, xffNumTrustedHops: 2 });
  expect(managerOf(http())['xffNumTrustedHops']).toBeUndefined();
  // Sidecars do not stand at the edge.
  expect(managerOf(listenersOf(app, { mesh: trusted })['0.0.0.0_80'])['xffNumTrustedHops']).toBeUndefined();
});

test('gatewayListeners: LOOPBACK binds the pod’s address and those of the machine that are told', () => {
  const all = listenersOf(gateways, {
    proxy: {
      ...gatewayPod,
      ipAddresses: ['127.66.0.9'],
      interceptionMode: 'LOOPBACK',
      gatewayBinds: [{ address: '127.0.0.1', port: 8888, targetPort: 8080 }],
    },
  });
  expect(all['0.0.0.0_8080']).toMatchObject({
    address: { socketAddress: { address: '127.66.0.9', portValue: 8080 } },
    additionalAddresses: [{ address: { socketAddress: { address: '127.0.0.1', portValue: 8888 } } }],
  });
  expect(all['0.0.0.0_5000']?.['additionalAddresses']).toBeUndefined();
});

const passthrough = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: gw }
spec:
  selector: { istio: ingressgateway }
  servers:
    - { port: { number: 8443, name: tls-a, protocol: TLS }, hosts: [a.com, '*.b.com'], tls: { mode: PASSTHROUGH } }
    - { port: { number: 8443, name: tls-c, protocol: HTTPS }, hosts: [c.com], tls: { mode: PASSTHROUGH } }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: vs }
spec:
  hosts: [a.com, x.b.com, c.com]
  gateways: [gw]
  tls:
    - match: [{ port: 1, sniHosts: [a.com] }]
      route: [{ destination: { host: never } }]
    - match: [{ sniHosts: [a.com, x.b.com] }, { port: 8443, sniHosts: [c.com] }]
      route: [{ destination: { host: first } }]
    - match: [{ sniHosts: [c.com] }]
      route: [{ destination: { host: never } }]
`;

test('gatewayListeners: TLS is passed through by server name, each name once (C6.02, partly C7.05)', () => {
  const all = listenersOf(passthrough, { proxy: gatewayPod });
  expect(Object.keys(all)).toEqual(['0.0.0.0_8443']);
  expect(chainLines(all['0.0.0.0_8443'])).toEqual([
    'a.com x.b.com -> outbound|8443||first.default.svc.cluster.local',
    'c.com -> outbound|8443||first.default.svc.cluster.local',
  ]);
  expect(all['0.0.0.0_8443']).toMatchObject({
    listenerFilters: [{ name: 'envoy.filters.listener.tls_inspector' }],
  });
});

test('buildAccessLog: Istio’s default line, on requests, connections and refused connections (C13.01)', () => {
  const all = listenersOf(app, { ...asApp, mesh: { accessLogFile: '/dev/stdout' } });
  const log = {
    name: 'envoy.access_loggers.file',
    typedConfig: {
      '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
      path: '/dev/stdout',
      logFormat: { textFormatSource: { inlineString: defaultTextFormat } },
    },
  };
  expect(managerOf(all['0.0.0.0_80'])['accessLog']).toEqual([log]);
  expect(managerOf(all['10.0.0.1_81'])['accessLog']).toEqual([log]);
  expect(all['virtualInbound']?.['accessLog']).toEqual([
    { ...log, filter: { responseFlagFilter: { flags: ['NR'] } } },
  ]);
  expect(defaultTextFormat).toBe(
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% ' +
      '%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% ' +
      '"%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% ' +
      '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" ' +
      '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% ' +
      '%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% ' +
      '%REQUESTED_SERVER_NAME% %ROUTE_NAME%\n',
  );
});

test('buildAccessLog: JSON, and formats of one’s own (C13.01, C13.02)', () => {
  const formatOf = (mesh: NonNullable<Surroundings['mesh']>): unknown => {
    const all = listenersOf(app, { mesh: { accessLogFile: '/tmp/log', ...mesh } });
    const [log] = managerOf(all['0.0.0.0_80'])['accessLog'] as { typedConfig: { logFormat: unknown } }[];
    return log?.typedConfig.logFormat;
  };
  expect(formatOf({ accessLogEncoding: 'JSON' })).toMatchObject({
    jsonFormat: { upstream_cluster: '%UPSTREAM_CLUSTER_RAW%', route_name: '%ROUTE_NAME%' },
  });
  expect(formatOf({ accessLogEncoding: 'JSON', accessLogFormat: '{"a": "%PROTOCOL%"}' })).toMatchObject({
    jsonFormat: { a: '%PROTOCOL%' },
  });
  expect(formatOf({ accessLogEncoding: 'JSON', accessLogFormat: '[' })).toMatchObject({
    jsonFormat: { method: '%REQ(:METHOD)%' },
  });
  expect(formatOf({ accessLogFormat: '%PROTOCOL%' })).toEqual({
    textFormatSource: { inlineString: '%PROTOCOL%\n' },
  });
});

test('listeners: every route that a listener names is among the routes; sources tell whose chains they are', () => {
  const { world, scope } = worldAndScope(gateways, { proxy: gatewayPod });
  expect(routes.names(world, scope)).toEqual(['http.8080']);
  const input = listeners.input(world, scope, '0.0.0.0_5000');
  expect(input === undefined ? [] : sourceLines(listeners.build(input).provenance)).toEqual([
    '<- Gateway default/gw spec.servers[1]',
    'filterChains[0] <- VirtualService default/vs spec.tcp[1]',
    'filterChains[0].filters[0].weightedClusters.clusters[0] <- VirtualService default/vs spec.tcp[1].route[0]',
    'filterChains[0].filters[0].weightedClusters.clusters[1] <- VirtualService default/vs spec.tcp[1].route[1]',
  ]);
  expect(listeners.input(world, scope, 'none')).toBeUndefined();
});
