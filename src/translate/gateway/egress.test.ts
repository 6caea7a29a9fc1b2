// The pattern of an egress gateway: one VirtualService sends the mesh to the gateway, and the gateway to the world.
import { expect, test } from 'vitest';
import { messageToJson } from '../../api/any.ts';
import {
  chainLines,
  listenersOf,
  routeLines,
  routesOf,
  worldAndScope,
} from '../../../test/support/translated.ts';
import type { ProxyNode } from '../../model/proxy-node.ts';
import { clusters } from '../index.ts';

const egressPod: Partial<ProxyNode> = {
  type: 'router',
  namespace: 'istio-system',
  labels: { istio: 'egressgateway' },
  ipAddresses: ['10.1.0.9'],
};

const egress = (server: string): string => `
apiVersion: v1
kind: Service
metadata: { name: istio-egressgateway, namespace: istio-system }
spec:
  clusterIP: 10.0.0.9
  selector: { istio: egressgateway }
  ports: [{ name: http2, port: 80, targetPort: 8080 }, { name: tls, port: 443, targetPort: 8443 }]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: egress }
spec: { selector: { istio: egressgateway }, servers: [${server}] }
`;

test('egress: HTTP leaves the mesh by the gateway, which ends mutual TLS and begins TLS (C7.11)', () => {
  const yaml = `${egress('{ port: { number: 80, name: https, protocol: HTTPS }, hosts: [api.test], tls: { mode: ISTIO_MUTUAL } }')}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: api }
spec:
  hosts: [api.test]
  resolution: DNS
  ports: [{ number: 80, name: http, protocol: HTTP }, { number: 443, name: https, protocol: HTTPS }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: api }
spec:
  hosts: [api.test]
  gateways: [mesh, egress]
  http:
    - match: [{ gateways: [mesh], port: 80 }]
      route: [{ destination: { host: istio-egressgateway.istio-system.svc.cluster.local, subset: api, port: { number: 80 } } }]
    - match: [{ gateways: [egress], port: 80 }]
      route: [{ destination: { host: api.test, port: { number: 443 } } }]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: to-egress }
spec:
  host: istio-egressgateway.istio-system.svc.cluster.local
  subsets: [{ name: api, trafficPolicy: { tls: { mode: ISTIO_MUTUAL, sni: api.test } } }]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: to-api }
spec:
  host: api.test
  trafficPolicy: { portLevelSettings: [{ port: { number: 443 }, tls: { mode: SIMPLE } }] }
`;
  expect(routeLines(routesOf(yaml, '80'))['api.test:80']).toEqual([
    '/* outbound|80|api|istio-egressgateway.istio-system.svc.cluster.local',
  ]);
  const gateway = { proxy: egressPod };
  expect(chainLines(listenersOf(yaml, gateway)['0.0.0.0_8080'])).toEqual([
    'api.test -> routes https.80.https.egress.default',
  ]);
  expect(routeLines(routesOf(yaml, 'https.80.https.egress.default', gateway))).toEqual({
    'api.test:80': ['/* outbound|443||api.test'],
  });
  const cluster = clusterOf(yaml, 'outbound|443||api.test', gateway);
  expect(cluster).toMatchObject({ transportSocket: { name: 'envoy.transport_sockets.tls' } });
  // The server name is that of each request.
  expect(JSON.stringify(cluster)).toContain('"autoSni":true');
});

test('egress: TLS leaves the mesh by the gateway as it is, by server name (C7.11, C6.02)', () => {
  const yaml = `${egress('{ port: { number: 443, name: tls, protocol: TLS }, hosts: [api.test], tls: { mode: PASSTHROUGH } }')}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: api }
spec: { hosts: [api.test], resolution: DNS, ports: [{ number: 443, name: tls, protocol: TLS }] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: api }
spec:
  hosts: [api.test]
  gateways: [mesh, egress]
  tls:
    - match: [{ gateways: [mesh], port: 443, sniHosts: [api.test] }]
      route: [{ destination: { host: istio-egressgateway.istio-system.svc.cluster.local, port: { number: 443 } } }]
    - match: [{ gateways: [egress], port: 443, sniHosts: [api.test] }]
      route: [{ destination: { host: api.test, port: { number: 443 } } }]
`;
  expect(chainLines(listenersOf(yaml)['0.0.0.0_443'])[0]).toBe(
    'api.test -> outbound|443||istio-egressgateway.istio-system.svc.cluster.local',
  );
  expect(chainLines(listenersOf(yaml, { proxy: egressPod })['0.0.0.0_8443'])).toEqual([
    'api.test -> outbound|443||api.test',
  ]);
});

function clusterOf(yaml: string, name: string, surroundings: { readonly proxy: Partial<ProxyNode> }) {
  const { world, scope } = worldAndScope(yaml, surroundings);
  const input = clusters.input(world, scope, name);
  return input === undefined ? undefined : messageToJson(clusters.schema, clusters.build(input).message);
}
