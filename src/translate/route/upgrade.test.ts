import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { gatewayPod, listenersOf, routesOf } from '../../../test/support/translated.ts';

const config = `
apiVersion: v1
kind: Service
metadata: { name: chat }
spec: { clusterIP: 10.0.0.1, selector: { app: chat }, ports: [{ name: http, port: 80 }, { name: any, port: 9000 }] }
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: gateway, namespace: default }
spec:
  selector: { istio: ingressgateway }
  servers: [{ port: { number: 80, name: http, protocol: HTTP }, hosts: ['*'] }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: chat }
spec:
  hosts: [chat.default.svc.cluster.local]
  gateways: [gateway, mesh]
  http: [{ route: [{ destination: { host: chat } }] }]
`;

/** Every value of this field, however deep. */
function all(value: JsonValue, field: string): JsonValue[] {
  if (typeof value !== 'object' || value === null) return [];
  if (Array.isArray(value)) return value.flatMap((item) => all(item, field));
  return Object.entries(value).flatMap(([name, item]) => [
    ...(name === field ? [item] : []),
    ...all(item, field),
  ]);
}

test.each([
  ['a sidecar', { labels: { app: 'chat' } }],
  ['a gateway', gatewayPod],
])(
  'listeners, routes: %s passes WebSockets on, and no route says anything of it (partly C5.19)',
  (_what, proxy) => {
    const listeners = Object.values(listenersOf(config, { proxy }));
    const managers = listeners.flatMap((listener: JsonObject) =>
      all(listener, 'typedConfig').filter(
        (any) =>
          JSON.stringify(any).includes('"statPrefix"') && JSON.stringify(any).includes('"httpFilters"'),
      ),
    );
    expect(managers.length).toBeGreaterThan(0);
    for (const manager of managers)
      expect((manager as JsonObject)['upgradeConfigs']).toEqual([{ upgradeType: 'websocket' }]);
    const name = proxy === gatewayPod ? 'http.80' : '80';
    expect(all(routesOf(config, name, { proxy }), 'upgradeConfigs')).toEqual([]);
  },
);
