// What `proxy-config` shows of the sidecar of a toolbox beside nginx: our own translation and bootstrap, asked for
// over an admin port.
import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { renderBootstrap } from '../src/agent/bootstrap.ts';
import { defaultNodeIdentity } from '../src/agent/node-identity.ts';
import { messageToJson } from '../src/api/any.ts';
import { systemClock } from '../src/base/clock.ts';
import { printClusters, printListeners, printRoutes } from '../src/istioctl/proxy-config.ts';
import { clusters, listeners, routes } from '../src/translate/index.ts';
import type { AnyResourceKind } from './support/golden.ts';
import { worldAndScope } from './support/translated.ts';

const yaml = `
apiVersion: v1
kind: Service
metadata: { name: nginx, namespace: sidecar }
spec: { clusterIP: 10.96.0.20, selector: { app: nginx }, ports: [{ name: http, port: 80 }] }
---
apiVersion: v1
kind: Service
metadata: { name: toolbox, namespace: sidecar }
spec: { clusterIP: 10.96.0.21, selector: { app: toolbox }, ports: [{ name: http, port: 80, targetPort: 8080 }] }
---
apiVersion: v1
kind: Service
metadata: { name: kube-dns, namespace: kube-system }
spec: { clusterIP: 10.96.0.10, selector: { k8s-app: kube-dns }, ports: [{ name: dns-tcp, port: 53 }, { name: metrics, port: 9153 }] }
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: nginx, namespace: sidecar }
spec: { host: nginx, subsets: [{ name: v1, labels: { version: v1 } }] }
`;
const proxy = {
  namespace: 'sidecar',
  podName: 'toolbox',
  labels: { app: 'toolbox' },
  ipAddresses: ['10.244.0.7'] as [string],
};
const port = 27_010;
const io = { clock: systemClock, readStdin: async () => '', directory: '/' };
const place = { adminAddress: `127.83.0.1:${port}`, adminPort: 15_000, debugAddress: '' };
const short = { output: 'short', compat: '1.32', source: false, verbose: true } as const;
let admin: Server;

beforeAll(async () => {
  const dump = JSON.stringify(configDump());
  admin = createServer((request, response) => {
    response.writeHead(request.url === '/config_dump' ? 200 : 404).end(dump);
  });
  await new Promise<void>((resolve) => admin.listen(port, '127.83.0.1', resolve));
});
afterAll(() => {
  admin.closeAllConnections();
  admin.close();
});

test('printListeners: the rows of a sidecar (partly A2.07, E.02)', async () => {
  expect(await printListeners(io, place, {}, short)).toMatchInlineSnapshot(`
    "ADDRESSES  PORT  MATCH                                                                                           DESTINATION
    10.96.0.10 53    ALL                                                                                             Cluster: outbound|53||kube-dns.kube-system.svc.cluster.local
    0.0.0.0    80    Trans: raw_buffer; App: http/1.1,h2c                                                            Route: 80
    0.0.0.0    80    ALL                                                                                             PassthroughCluster
    10.96.0.10 9153  Trans: raw_buffer; App: http/1.1,h2c                                                            Route: kube-dns.kube-system.svc.cluster.local:9153
    10.96.0.10 9153  ALL                                                                                             Cluster: outbound|9153||kube-dns.kube-system.svc.cluster.local
    0.0.0.0    15001 ALL                                                                                             PassthroughCluster
    0.0.0.0    15001 Addr: *:15001                                                                                   Non-HTTP/Non-TCP
    0.0.0.0    15006 Addr: *:15006                                                                                   Non-HTTP/Non-TCP
    0.0.0.0    15006 Trans: tls; App: istio-http/1.0,istio-http/1.1,istio-h2                                         InboundPassthroughCluster
    0.0.0.0    15006 Trans: raw_buffer; App: http/1.1,h2c                                                            InboundPassthroughCluster
    0.0.0.0    15006 Trans: tls; App: TCP TLS                                                                        InboundPassthroughCluster
    0.0.0.0    15006 Trans: raw_buffer                                                                               InboundPassthroughCluster
    0.0.0.0    15006 Trans: tls                                                                                      InboundPassthroughCluster
    0.0.0.0    15006 Trans: tls; App: istio,istio-peer-exchange,istio-http/1.0,istio-http/1.1,istio-h2; Addr: *:8080 Cluster: inbound|8080||
    0.0.0.0    15006 Trans: raw_buffer; Addr: *:8080                                                                 Cluster: inbound|8080||
    0.0.0.0    15021 ALL                                                                                             Inline Route: /healthz/ready*
    0.0.0.0    15090 ALL                                                                                             Inline Route: /stats/prometheus*
    "
  `);
});

test('printRoutes: the rows of a sidecar, and one route in JSON (A2.10, A2.11, E.02)', async () => {
  expect(await printRoutes(io, place, { name: '80' }, short)).toMatchInlineSnapshot(`
    "NAME     VHOST NAME                               DOMAINS                                  MATCH     VIRTUAL SERVICE
    80       nginx.sidecar.svc.cluster.local:80       nginx, nginx.sidecar + 1 more...         /*        
    80       toolbox.sidecar.svc.cluster.local:80     toolbox, toolbox.sidecar + 1 more...     /*        
    "
  `);
  const json = await printRoutes(io, place, { name: '80' }, { ...short, output: 'json' });
  const [configuration] = JSON.parse(json) as [{ virtualHosts: { name: string }[] }];
  const { virtualHosts, ...rest } = configuration;
  expect(rest).toMatchInlineSnapshot(`
    {
      "ignorePortInHostMatching": true,
      "maxDirectResponseBodySizeBytes": 1048576,
      "name": "80",
      "validateClusters": false,
    }
  `);
  expect(virtualHosts.find(({ name }) => name.startsWith('nginx'))).toMatchInlineSnapshot(`
    {
      "domains": [
        "nginx.sidecar.svc.cluster.local",
        "nginx.sidecar.svc.cluster.local.",
        "nginx",
        "nginx.sidecar.svc",
        "nginx.sidecar",
        "10.96.0.20",
      ],
      "includeRequestAttemptCount": true,
      "name": "nginx.sidecar.svc.cluster.local:80",
      "routes": [
        {
          "decorator": {
            "operation": "nginx.sidecar.svc.cluster.local:80/*",
          },
          "match": {
            "prefix": "/",
          },
          "name": "default",
          "route": {
            "cluster": "outbound|80||nginx.sidecar.svc.cluster.local",
            "maxGrpcTimeout": "0s",
            "retryPolicy": {
              "hostSelectionRetryMaxAttempts": "5",
              "numRetries": 2,
              "retryHostPredicate": [
                {
                  "name": "envoy.retry_host_predicates.previous_hosts",
                  "typedConfig": {
                    "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
                  },
                },
              ],
              "retryOn": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
            },
            "timeout": "0s",
          },
        },
      ],
    }
  `);
});

test('printClusters: the rows of a sidecar (partly A2.12, E.02)', async () => {
  expect(await printClusters(io, place, {}, short)).toMatchInlineSnapshot(`
    "SERVICE FQDN                               PORT     SUBSET     DIRECTION     TYPE             DESTINATION RULE
                                               8080     -          inbound       ORIGINAL_DST     
    BlackHoleCluster                           -        -          -             STATIC           
    InboundPassthroughCluster                  -        -          -             ORIGINAL_DST     
    PassthroughCluster                         -        -          -             ORIGINAL_DST     
    agent                                      -        -          -             STATIC           
    kube-dns.kube-system.svc.cluster.local     53       -          outbound      EDS              
    kube-dns.kube-system.svc.cluster.local     9153     -          outbound      EDS              
    nginx.sidecar.svc.cluster.local            80       -          outbound      EDS              nginx.sidecar
    nginx.sidecar.svc.cluster.local            80       v1         outbound      EDS              nginx.sidecar
    prometheus_stats                           -        -          -             STATIC           
    toolbox.sidecar.svc.cluster.local          80       -          outbound      EDS              
    xds-grpc                                   -        -          -             STATIC           
    "
  `);
});

/** As the proxy's admin port would answer. */
function configDump(): JsonObject {
  const bootstrap = renderBootstrap({
    node: {
      ...defaultNodeIdentity,
      ...proxy,
      type: 'sidecar',
      workloadName: 'toolbox',
      owner: '',
      podPorts: [],
      appContainers: ['toolbox'],
      interception: { mode: 'redirect' },
    },
    bindAddress: '0.0.0.0',
    discovery: { address: '127.0.0.1', port: 15_010 },
  });
  const fixed = bootstrap['static_resources'] as Readonly<Record<string, JsonObject[]>>;
  const staticOf = (name: string): readonly JsonObject[] => fixed[name] ?? [];
  const type = (name: string): string => `type.googleapis.com/envoy.admin.v3.${name}`;
  return {
    configs: [
      { '@type': type('BootstrapConfigDump'), bootstrap },
      {
        '@type': type('ClustersConfigDump'),
        static_clusters: staticOf('clusters').map((cluster) => ({ cluster })),
        dynamic_active_clusters: built(clusters).map((cluster) => ({ cluster })),
      },
      {
        '@type': type('ListenersConfigDump'),
        static_listeners: staticOf('listeners').map((listener) => ({ listener })),
        dynamic_listeners: built(listeners).map((listener) => ({ active_state: { listener } })),
      },
      {
        '@type': type('RoutesConfigDump'),
        dynamic_route_configs: built(routes).map((configuration) => ({ route_config: configuration })),
      },
    ],
  };
}

function built(kind: unknown): JsonValue[] {
  const { world, scope } = worldAndScope(yaml, { proxy });
  const any = kind as AnyResourceKind;
  return any.names(world, scope).flatMap((name) => {
    const input = any.input(world, scope, name);
    return input === undefined ? [] : [messageToJson(any.schema, any.build(input).message)];
  });
}
