// What never comes, is refused or is taken back must not keep the rest of the proxy from serving (inventory D1.05).
import type { JsonObject } from '@bufbuild/protobuf';
import { afterEach, expect, test } from 'vitest';
import { AnsweringServer } from '../../../test/support/answering-transport.ts';
import { call } from '../../../test/support/http.ts';
import type { InProcessProxy } from '../../../test/support/in-process-proxy.ts';
import { startInProcess } from '../../../test/support/in-process-proxy.ts';
import { playDelta, playSotw } from '../../../test/support/played-transport.ts';
import { waitFor } from '../../../test/support/wait.ts';
import { messageFromJson, packAny, typeUrlOf } from '../../api/any.ts';
import { ClusterSchema } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '../../api/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '../../api/gen/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '../../api/gen/envoy/config/route/v3/route_pb.js';

const address = '127.42.7.1';
let proxy: InProcessProxy | undefined;
afterEach(() => {
  proxy?.close();
  proxy = undefined;
});

const bootstrap = (apiType: string): string => `
dynamic_resources:
  cds_config: { ads: {} }
  lds_config: { ads: {} }
  ads_config: { api_type: ${apiType}, transport_api_version: V3, grpc_services: [{ envoy_grpc: { cluster_name: xds } }] }
static_resources: { clusters: [{ name: xds, type: STATIC }] }
`;
const cluster = (name: string, timeout: string) =>
  messageFromJson(ClusterSchema, {
    name,
    type: 'EDS',
    eds_cluster_config: { eds_config: { ads: {}, initial_fetch_timeout: timeout } },
  });
const assignment = (name: string, port: number) =>
  messageFromJson(ClusterLoadAssignmentSchema, {
    cluster_name: name,
    endpoints: [
      { lb_endpoints: [{ endpoint: { address: { socket_address: { address, port_value: port } } } }] },
    ],
  });
const router: JsonObject = {
  name: 'router',
  typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
};
const listener = (
  name: string,
  port: number,
  filters: readonly JsonObject[] = [router],
  chain: JsonObject = {},
) =>
  messageFromJson(ListenerSchema, {
    name,
    address: { socket_address: { address, port_value: port } },
    filter_chains: [
      {
        ...chain,
        filters: [
          {
            name: 'hcm',
            typed_config: {
              '@type':
                'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
              stat_prefix: name,
              rds: {
                route_config_name: `${name}-routes`,
                config_source: { ads: {}, initial_fetch_timeout: '0.1s' },
              },
              http_filters: [...filters],
            },
          },
        ],
      },
    ],
  });
const routes = (name: string) =>
  messageFromJson(RouteConfigurationSchema, {
    name,
    virtual_hosts: [
      { name: 'v', domains: ['*'], routes: [{ match: { prefix: '/' }, direct_response: { status: 201 } }] },
    ],
  });
const status = async (port: number): Promise<number> =>
  (await call({ url: `http://${address}:${port}/` })).status;

test.each(['GRPC', 'DELTA_GRPC'])(
  '%s: endpoints and routes that never come are waited for no longer than initial_fetch_timeout (D1.05, D1.06)',
  async (apiType) => {
    const server = new AnsweringServer();
    server.set(ClusterSchema, 'a', '1', cluster('a', '0.1s'));
    server.set(ListenerSchema, 'web', '1', listener('web', 22791));
    proxy = await startInProcess(bootstrap(apiType), server);
    expect(proxy.stat('cluster.a.init_fetch_timeout')).toBe(1);
    expect(proxy.stat('http.web.rds.web-routes.init_fetch_timeout')).toBe(1);
    expect(await status(22791)).toBe(404);
    // They are still wanted.
    server.set(ClusterLoadAssignmentSchema, 'a', '1', assignment('a', 1));
    server.set(RouteConfigurationSchema, 'web-routes', '1', routes('web-routes'));
    await waitFor('the routes', async () => (await status(22791)) === 201 || undefined);
    expect(proxy.server.clusters.get('a')?.hosts).toHaveLength(1);
  },
);

test('extension configs, which this proxy does not fetch, are refused by name; a secret is waited for as long as its source says (partly D1.05)', async () => {
  const server = new AnsweringServer();
  const discovered: JsonObject = {
    name: 'found',
    config_discovery: {
      config_source: { ads: {} },
      type_urls: ['type.googleapis.com/envoy.extensions.filters.http.router.v3.Router'],
    },
  };
  const tls: JsonObject = {
    transport_socket: {
      name: 'tls',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
        common_tls_context: {
          tls_certificate_sds_secret_configs: [
            { name: 'secret', sds_config: { ads: {}, initial_fetch_timeout: '0.3s' } },
          ],
        },
      },
    },
  };
  server.set(ListenerSchema, 'ecds', '1', listener('ecds', 22792, [discovered, router]));
  server.set(ListenerSchema, 'sds', '1', listener('sds', 22793, [router], tls));
  server.set(ListenerSchema, 'web', '1', listener('web', 22794));
  server.set(RouteConfigurationSchema, 'web-routes', '1', routes('web-routes'));
  proxy = await startInProcess(bootstrap('DELTA_GRPC').replace('cds_config', '# cds'), server);
  expect(await status(22794)).toBe(201);
  await waitFor('the NACK', () => server.errors.length > 0 || undefined);
  expect(server.errors[0]).toMatch(/Listener ecds: .*http_filters/);
  expect(proxy.server.listeners.warming()).toEqual([]);
  expect(proxy.server.listeners.failed().map(({ name }) => name)).toEqual(['ecds']);
  expect(proxy.stat('sds.secret.init_fetch_timeout')).toBe(1);
  // It serves without: as Envoy, every connection is closed.
  await expect(status(22793)).rejects.toThrow();
  const factory = [...proxy.server.stats.counters()].filter(({ id }) =>
    id.name.endsWith('downstream_context_secrets_not_ready'),
  );
  expect(factory.map(({ value }) => value)).toContain(1);
});

test('delta: endpoints of which the server says that there are none are waited for no more, though that would be for ever (partly D1.05)', async () => {
  const { transport, streams } = playDelta();
  const starting = startInProcess(bootstrap('DELTA_GRPC').replace('lds_config', '# lds'), {
    createTransport: () => transport,
  });
  await waitFor('the stream', () => streams[0]?.sent[0]);
  streams[0]!.respond({
    typeUrl: typeUrlOf(ClusterSchema),
    nonce: '1',
    resources: [{ name: 'a', version: '1', resource: packAny(ClusterSchema, cluster('a', '0s')) }],
  });
  streams[0]!.respond({
    typeUrl: typeUrlOf(ClusterLoadAssignmentSchema),
    nonce: '2',
    removedResources: ['a', 'never-known'],
  });
  proxy = await starting;
  expect(proxy.stat('cluster.a.update_empty')).toBe(1);
  expect(proxy.server.clusters.get('a')?.hosts).toEqual([]);
});

test('SotW: of two assignments with one name the first counts, as in Envoy (partly D1.03)', async () => {
  const { transport, streams } = playSotw();
  const starting = startInProcess(bootstrap('GRPC').replace('lds_config', '# lds'), {
    createTransport: () => transport,
  });
  await waitFor('the stream', () => streams[0]?.sent[0]);
  const respond = (
    schema: typeof ClusterSchema | typeof ClusterLoadAssignmentSchema,
    ...anys: ReturnType<typeof packAny>[]
  ): void =>
    streams[0]!.respond({
      typeUrl: typeUrlOf(schema),
      versionInfo: '1',
      nonce: '1',
      resources: anys,
    });
  respond(ClusterSchema, packAny(ClusterSchema, cluster('a', '0s')));
  respond(
    ClusterLoadAssignmentSchema,
    packAny(ClusterLoadAssignmentSchema, assignment('a', 1)),
    packAny(ClusterLoadAssignmentSchema, assignment('a', 2)),
  );
  proxy = await starting;
  expect(proxy.server.clusters.get('a')?.hosts.map((host) => host.address.text)).toEqual([`${address}:1`]);
  expect(streams[0]!.sent.at(-1)?.errorDetail).toBeUndefined();
});

test('what is kept of a response is its own memory, not that of the response', async () => {
  proxy = await startInProcess(bootstrap('GRPC').replace(/(cds|lds)_config/g, '# $1'));
  const { server } = proxy;
  const response = new Uint8Array(8 * 1024 * 1024);
  const bytes = packAny(ClusterSchema, messageFromJson(ClusterSchema, { name: 'a', type: 'STATIC' })).value;
  response.set(bytes, 4096);
  const errors = server.clusters.onUpdate({
    resources: [
      {
        name: 'a',
        version: '1',
        typeUrl: typeUrlOf(ClusterSchema),
        bytes: response.subarray(4096, 4096 + bytes.length),
      },
    ],
    removed: [],
    versionInfo: '1',
  });
  expect(errors).toEqual([]);
  const kept = server.clusters.active().find(({ name }) => name === 'a')?.resource.value;
  expect(kept?.buffer.byteLength).toBe(bytes.length);
});
