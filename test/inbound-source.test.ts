// How a sidecar calls its app: from 127.0.0.6, with the caller's headers and none of its own addresses; on ours
// and on stock Envoy.
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { call } from './support/http.ts';
import type { ProxyProcess } from './support/proxy-process.ts';
import { startProxyProcess } from './support/proxy-process.ts';
import { needs } from './support/tools.ts';
import { waitFor } from './support/wait.ts';

const appPort = 27_100;
let app: Server;

beforeAll(async () => {
  app = createServer((request, response) => {
    response.setHeader('server', 'the-app');
    response.end(JSON.stringify({ from: request.socket.remoteAddress, headers: request.headers }));
  });
  await new Promise<void>((resolve) => app.listen(appPort, '127.83.0.1', resolve));
});
afterAll(() => {
  app.closeAllConnections();
  app.close();
});

/** Listener and cluster as pilot makes them for an inbound port, but for the address that is bound. */
const bootstrap = (admin: number, port: number): string => `
node: { id: test, cluster: test }
admin: { address: { socket_address: { address: 127.0.0.1, port_value: ${admin} } } }
static_resources:
  listeners:
    - name: inbound
      address: { socket_address: { address: 127.83.0.2, port_value: ${port} } }
      traffic_direction: INBOUND
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: inbound
                server_name: istio-envoy
                route_config:
                  virtual_hosts: [{ name: 'inbound|http|80', domains: ['*'], routes: [{ match: { prefix: / }, route: { cluster: inbound } }] }]
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: { '@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
  clusters:
    - name: inbound
      type: STATIC
      upstream_bind_config: { source_address: { address: 127.0.0.6, port_value: 0 } }
      load_assignment: { cluster_name: inbound, endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.83.0.1, port_value: ${appPort} } } } }] }] }
`;

describe.each([
  { plane: 'fairlead', admin: 27_110, port: 27_111 },
  { plane: 'envoy', admin: 27_120, port: 27_121 },
] as const)('inbound: $plane', ({ plane, admin, port }) => {
  let proxy: ProxyProcess | undefined;
  afterEach(() => proxy?.stop());

  test.skipIf(plane === 'envoy' && needs('envoy'))(
    'the app is called from 127.0.0.6, and x-forwarded-for is not appended (A6.07, partly D2.07, T07, T08)',
    async () => {
      proxy = await startProxyProcess(plane, bootstrap(admin, port), admin);
      const running = proxy;
      await waitFor('LIVE', async () => (await running.admin('/ready')).body === 'LIVE\n' || undefined);
      const url = `http://127.83.0.2:${port}/`;
      const plain = await call({ url });
      expect(plain.headers['server']).toBe('istio-envoy');
      expect(JSON.parse(plain.body)).toMatchObject({ from: '127.0.0.6' });
      expect(JSON.parse(plain.body).headers).not.toHaveProperty('x-forwarded-for');
      const forwarded = await call({ url, headers: { 'x-forwarded-for': '192.0.2.7' } });
      expect(JSON.parse(forwarded.body).headers).toMatchObject({ 'x-forwarded-for': '192.0.2.7' });
    },
  );
});
