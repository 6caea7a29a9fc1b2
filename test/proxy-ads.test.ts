// The data plane on ADS, and stock Envoy on the same: configuration arrives, changes, is refused, and survives
// the death of the management server.
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { messageFromJson } from '../src/api/any.ts';
import { systemClock } from '../src/base/clock.ts';
import { printEndpoints } from '../src/istioctl/proxy-config.ts';
import type { JsonObject } from '@bufbuild/protobuf';
import type { Cluster } from '../src/api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterSchema } from '../src/api/gen/envoy/config/cluster/v3/cluster_pb.js';
import type { ClusterLoadAssignment } from '../src/api/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { ClusterLoadAssignmentSchema } from '../src/api/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import type { Listener } from '../src/api/gen/envoy/config/listener/v3/listener_pb.js';
import { ListenerSchema } from '../src/api/gen/envoy/config/listener/v3/listener_pb.js';
import type { RouteConfiguration } from '../src/api/gen/envoy/config/route/v3/route_pb.js';
import { RouteConfigurationSchema } from '../src/api/gen/envoy/config/route/v3/route_pb.js';
import { AdsServer } from './support/ads-server.ts';
import { call } from './support/http.ts';
import type { ProxyProcess } from './support/proxy-process.ts';
import { startProxyProcess } from './support/proxy-process.ts';
import { needs } from './support/tools.ts';
import { waitFor } from './support/wait.ts';

const planes = [
  {
    plane: 'fairlead',
    adminPort: 22300,
    adsPort: 22301,
    listenPort: 22302,
    otherPort: 22303,
    backends: [22304, 22305],
  },
  {
    plane: 'envoy',
    adminPort: 22310,
    adsPort: 22311,
    listenPort: 22312,
    otherPort: 22313,
    backends: [22314, 22315],
  },
] as const;

describe.each(planes)('on ADS: $plane', ({ plane, adminPort, adsPort, listenPort, otherPort, backends }) => {
  const ads: AdsServer = new AdsServer();
  let proxy: ProxyProcess | undefined;
  let servers: Server[] = [];

  beforeEach(async () => {
    servers = await Promise.all(
      backends.map(
        (port) =>
          new Promise<Server>((resolve) => {
            const server = createServer((_, response) => response.end(`backend ${port}`));
            server.listen(port, '127.0.0.1', () => resolve(server));
          }),
      ),
    );
    ads.requests.length = 0;
    offer(ads, 'v1', { listeners: { web: httpListener('web', listenPort) }, hosts: [backends[0]] });
    await ads.start(adsPort);
  });

  afterEach(async () => {
    await proxy?.stop();
    proxy = undefined;
    ads.stop();
    for (const server of servers) {
      server.closeAllConnections();
      server.close();
    }
  });

  const start = async (): Promise<ProxyProcess> => {
    proxy = await startProxyProcess(plane, bootstrap(adminPort, adsPort), adminPort);
    return proxy;
  };
  const get = (port: number): Promise<{ status: number; body: string }> =>
    call({ url: `http://127.0.0.1:${port}/` });
  const bodyIs = (port: number, body: string): Promise<unknown> =>
    waitFor(`${body} on ${port}`, async () => (await get(port)).body === body || undefined);

  test.skipIf(plane === 'envoy' && needs('envoy'))(
    'the proxy serves what CDS, EDS, LDS and RDS say, in that order, and is ready only then (partly D1.03, partly D1.05, D1.06)',
    async () => {
      const running = await start();
      await bodyIs(listenPort, `backend ${backends[0]}`);
      expect((await running.admin('/ready')).body).toBe('LIVE\n');
      const order = ads.requests.filter((request) => request.responseNonce === '').map(shortType);
      expect([...new Set(order)]).toEqual([
        'Cluster',
        'ClusterLoadAssignment',
        'Listener',
        'RouteConfiguration',
      ]);
      expect(ads.requests.filter((request) => request.node !== undefined)).toHaveLength(1);
      for (const schema of [
        ClusterSchema,
        ClusterLoadAssignmentSchema,
        ListenerSchema,
        RouteConfigurationSchema,
      ]) {
        expect(ads.acknowledged(schema, 'v1')).toBe(true);
      }
      // New endpoints take over at once.
      ads.set(ClusterLoadAssignmentSchema, 'v2', { 'of-web': assignment([backends[1]]) });
      await bodyIs(listenPort, `backend ${backends[1]}`);
    },
  );

  test.skipIf(plane === 'envoy' && needs('envoy'))(
    'a bad resource is named in the NACK, the good ones of the same response are applied (partly D1.03, D1.07)',
    async () => {
      await start();
      await bodyIs(listenPort, `backend ${backends[0]}`);
      ads.set(ListenerSchema, 'v2', {
        web: httpListener('web', listenPort),
        broken: { ...httpListener('broken', otherPort), filterChains: [] },
        other: httpListener('other', otherPort),
      });
      await bodyIs(otherPort, `backend ${backends[0]}`);
      const nack = await waitFor('the NACK', () => ads.nacks(ListenerSchema)[0]);
      expect(nack.errorDetail?.message).toContain('broken');
      expect(nack.errorDetail?.message).toContain('no filter chains');
      expect(nack.versionInfo).toBe('v1');
      expect((await get(listenPort)).status).toBe(200);
    },
  );

  test.skipIf(plane === 'envoy' && needs('envoy'))(
    'the last good configuration stays while the management server is away, and it is found again (partly D1.03)',
    async () => {
      const running = await start();
      await bodyIs(listenPort, `backend ${backends[0]}`);
      ads.stop();
      await waitFor(
        'disconnected',
        async () =>
          (await running.admin('/stats?filter=control_plane.connected_state')).body.includes(': 0') ||
          undefined,
      );
      expect((await get(listenPort)).body).toBe(`backend ${backends[0]}`);
      ads.requests.length = 0;
      offer(ads, 'v2', { listeners: { web: httpListener('web', listenPort) }, hosts: [backends[1]] });
      await ads.start(adsPort);
      await bodyIs(listenPort, `backend ${backends[1]}`);
      const again = ads.requests.find(
        (request) => request.responseNonce === '' && shortType(request) === 'Cluster',
      );
      expect(again?.versionInfo).toBe('v1');
      expect(again?.node?.id).toBe('sidecar~127.0.0.1~test.default~local');
    },
  );

  test.skipIf(plane === 'envoy' && needs('envoy'))(
    'a listener that is gone from LDS accepts no more, a cluster that is gone from CDS makes 503 (D1.07, D1.09)',
    async () => {
      await start();
      await bodyIs(listenPort, `backend ${backends[0]}`);
      ads.set(ClusterSchema, 'v2', {});
      await waitFor('503', async () => (await get(listenPort)).status === 503 || undefined);
      ads.set(ListenerSchema, 'v2', {});
      await waitFor('no listener', async () => {
        try {
          await get(listenPort);
          return undefined;
        } catch {
          return true;
        }
      });
    },
  );

  test.skipIf(plane === 'envoy' && needs('envoy'))(
    '/config_dump tells versions and states of what came over ADS (A2.18, D9.01)',
    async () => {
      const running = await start();
      await bodyIs(listenPort, `backend ${backends[0]}`);
      const dump = JSON.parse((await running.admin('/config_dump?include_eds')).body) as {
        configs: JsonObject[];
      };
      const of = (name: string): JsonObject =>
        dump.configs.find((config) => config['@type'] === `type.googleapis.com/envoy.admin.v3.${name}`) ?? {};
      expect(of('ClustersConfigDump')).toMatchObject({
        version_info: 'v1',
        static_clusters: [{ cluster: { name: 'xds' } }],
        dynamic_active_clusters: [{ version_info: 'v1', cluster: { name: 'web', type: 'EDS' } }],
      });
      expect(of('ListenersConfigDump')).toMatchObject({
        version_info: 'v1',
        dynamic_listeners: [{ name: 'web', active_state: { version_info: 'v1', listener: { name: 'web' } } }],
      });
      expect(of('RoutesConfigDump')).toMatchObject({
        dynamic_route_configs: [{ version_info: 'v1', route_config: { name: 'routes' } }],
      });
      expect(JSON.stringify(of('EndpointsConfigDump'))).toContain(`"port_value":${backends[0]}`);
      const filtered = JSON.parse(
        (await running.admin('/config_dump?resource=dynamic_active_clusters&mask=cluster.name')).body,
      ) as JsonObject;
      expect(filtered['configs']).toMatchObject([{ cluster: { name: 'web' } }]);
      expect(JSON.stringify(filtered)).not.toContain('version_info');
    },
  );

  test.skipIf(plane === 'envoy' && needs('envoy'))(
    'proxy-config endpoint in JSON has what /clusters tells of hosts and limits (A2.15, T05)',
    async () => {
      await start();
      await bodyIs(listenPort, `backend ${backends[0]}`);
      const io = { clock: systemClock, readStdin: async () => '', directory: '/' };
      const place = { adminAddress: `127.0.0.1:${adminPort}`, adminPort, debugAddress: '' };
      const text = await printEndpoints(io, place, { cluster: 'web' }, 'json');
      const [web] = JSON.parse(text, (_, value: unknown) =>
        // Of later Envoys.
        Array.isArray(value) ? value.filter((each) => each?.name !== 'rq_pending_active') : value,
      ) as JsonObject[];
      const zero = (name: string): JsonObject => ({ name });
      expect(web).toMatchObject({
        name: 'web',
        addedViaApi: true,
        edsServiceName: 'of-web',
        observabilityName: 'web;',
        circuitBreakers: {
          thresholds: [
            {
              maxConnections: 4_294_967_295,
              maxPendingRequests: 4_294_967_295,
              maxRequests: 4_294_967_295,
              maxRetries: 4_294_967_295,
            },
            {
              priority: 'HIGH',
              maxConnections: 1024,
              maxPendingRequests: 1024,
              maxRequests: 1024,
              maxRetries: 3,
            },
          ],
        },
        hostStatuses: [
          {
            address: { socketAddress: { address: '127.0.0.1', portValue: backends[0] } },
            stats: [
              zero('cx_connect_fail'),
              { name: 'cx_total', value: expect.stringMatching(/^[1-9]/) },
              zero('rq_error'),
              { name: 'rq_success', value: expect.stringMatching(/^[1-9]/) },
              zero('rq_timeout'),
              { name: 'rq_total', value: expect.stringMatching(/^[1-9]/) },
              { type: 'GAUGE', name: 'cx_active', value: '1' },
              { type: 'GAUGE', name: 'rq_active' },
            ],
            healthStatus: { edsHealthStatus: 'HEALTHY' },
            weight: 1,
            locality: {},
          },
        ],
      });
    },
  );
});

function shortType(request: { readonly typeUrl: string }): string {
  return request.typeUrl.slice(request.typeUrl.lastIndexOf('.') + 1);
}

function offer(
  ads: AdsServer,
  version: string,
  { listeners, hosts }: { listeners: Record<string, Listener>; hosts: readonly number[] },
): void {
  ads.set(ClusterSchema, version, { web: edsCluster() });
  ads.set(ClusterLoadAssignmentSchema, version, { 'of-web': assignment(hosts) });
  ads.set(ListenerSchema, version, listeners);
  ads.set(RouteConfigurationSchema, version, { routes: routes() });
}

function edsCluster(): Cluster {
  return messageFromJson(ClusterSchema, {
    name: 'web',
    type: 'EDS',
    connect_timeout: '1s',
    alt_stat_name: 'web;',
    eds_cluster_config: {
      eds_config: { ads: {}, resource_api_version: 'V3', initial_fetch_timeout: '0s' },
      service_name: 'of-web',
    },
    // As pilot writes them.
    circuit_breakers: {
      thresholds: [
        {
          max_connections: 4_294_967_295,
          max_pending_requests: 4_294_967_295,
          max_requests: 4_294_967_295,
          max_retries: 4_294_967_295,
        },
      ],
    },
  });
}

function assignment(ports: readonly number[]): ClusterLoadAssignment {
  return messageFromJson(ClusterLoadAssignmentSchema, {
    cluster_name: 'of-web',
    endpoints: [
      {
        lb_endpoints: ports.map((port) => ({
          endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } },
        })),
      },
    ],
  });
}

function routes(): RouteConfiguration {
  return messageFromJson(RouteConfigurationSchema, {
    name: 'routes',
    validate_clusters: false,
    virtual_hosts: [
      { name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'web' } }] },
    ],
  });
}

function httpListener(name: string, port: number): Listener {
  return messageFromJson(ListenerSchema, {
    name,
    address: { socket_address: { address: '127.0.0.1', port_value: port } },
    filter_chains: [
      {
        filters: [
          {
            name: 'envoy.filters.network.http_connection_manager',
            typed_config: {
              '@type':
                'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
              stat_prefix: name,
              rds: { route_config_name: 'routes', config_source: { ads: {}, resource_api_version: 'V3' } },
              http_filters: [
                {
                  name: 'envoy.filters.http.router',
                  typed_config: {
                    '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router',
                  },
                },
              ],
            },
          },
        ],
      },
    ],
  });
}

function bootstrap(adminPort: number, adsPort: number): string {
  return `
node: { id: sidecar~127.0.0.1~test.default~local, cluster: test }
admin: { address: { socket_address: { address: 127.0.0.1, port_value: ${adminPort} } } }
dynamic_resources:
  cds_config: { ads: {}, resource_api_version: V3 }
  lds_config: { ads: {}, resource_api_version: V3 }
  ads_config:
    api_type: GRPC
    transport_api_version: V3
    set_node_on_first_message_only: true
    grpc_services: [{ envoy_grpc: { cluster_name: xds } }]
static_resources:
  clusters:
    - name: xds
      type: STATIC
      connect_timeout: 1s
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          '@type': type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config: { http2_protocol_options: {} }
      load_assignment:
        cluster_name: xds
        endpoints:
          - lb_endpoints:
              - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: ${adsPort} } } }
`;
}
