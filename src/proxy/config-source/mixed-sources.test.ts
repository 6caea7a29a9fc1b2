// Resources of one proxy from several sources: ADS, streams of their own in either dialect, and files.
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JsonObject } from '@bufbuild/protobuf';
import { parse } from 'yaml';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { AnsweringServer } from '../../../test/support/answering-transport.ts';
import { call } from '../../../test/support/http.ts';
import type { InProcessProxy } from '../../../test/support/in-process-proxy.ts';
import { startInProcess } from '../../../test/support/in-process-proxy.ts';
import { waitFor } from '../../../test/support/wait.ts';
import { messageFromJson, typeUrlOf } from '../../api/any.ts';
import { ClusterSchema } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '../../api/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '../../api/gen/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '../../api/gen/envoy/config/route/v3/route_pb.js';

const address = '127.42.3.1';
let directory = '';
let proxy: InProcessProxy | undefined;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'fairlead-sources-'));
});
afterEach(() => {
  proxy?.close();
  proxy = undefined;
  rmSync(directory, { recursive: true, force: true });
});

/** As tools do it: beside, then renamed. */
function place(file: string, text: string | Uint8Array): string {
  writeFileSync(join(directory, `.${file}`), text);
  renameSync(join(directory, `.${file}`), join(directory, file));
  return join(directory, file);
}

const grpc = (apiType: string): string =>
  `{ resource_api_version: V3, initial_fetch_timeout: 5s, api_config_source: { api_type: ${apiType}, transport_api_version: V3, grpc_services: [{ envoy_grpc: { cluster_name: xds } }] } }`;
const ads = '{ resource_api_version: V3, initial_fetch_timeout: 5s, ads: {} }';
const file = (path: string): string => `{ path_config_source: { path: ${path} } }`;

const bootstrap = (cds: string, lds: string, adsType?: string): string => `
node: { id: sidecar~1 }
dynamic_resources:
  cds_config: ${cds}
  lds_config: ${lds}
  ${adsType === undefined ? '' : `ads_config: { api_type: ${adsType}, transport_api_version: V3, grpc_services: [{ envoy_grpc: { cluster_name: xds } }] }`}
static_resources: { clusters: [{ name: xds, type: STATIC }] }
`;

const edsCluster = (name: string, source: string): ReturnType<typeof messageFromJson<typeof ClusterSchema>> =>
  messageFromJson(ClusterSchema, {
    name,
    type: 'EDS',
    eds_cluster_config: { eds_config: parse(source) as JsonObject },
  });

const assignment = (
  name: string,
  port: number,
): ReturnType<typeof messageFromJson<typeof ClusterLoadAssignmentSchema>> =>
  messageFromJson(ClusterLoadAssignmentSchema, {
    cluster_name: name,
    endpoints: [
      { lb_endpoints: [{ endpoint: { address: { socket_address: { address, port_value: port } } } }] },
    ],
  });

const routes = (
  name: string,
  status: number,
): ReturnType<typeof messageFromJson<typeof RouteConfigurationSchema>> =>
  messageFromJson(RouteConfigurationSchema, {
    name,
    virtual_hosts: [
      { name: 'v', domains: ['*'], routes: [{ match: { prefix: '/' }, direct_response: { status } }] },
    ],
  });

const listener = (
  name: string,
  port: number,
  source: string,
): ReturnType<typeof messageFromJson<typeof ListenerSchema>> =>
  messageFromJson(ListenerSchema, {
    name,
    address: { socket_address: { address, port_value: port } },
    filter_chains: [
      {
        filters: [
          {
            name: 'hcm',
            typed_config: {
              '@type':
                'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
              stat_prefix: name,
              rds: { route_config_name: `${name}-routes`, config_source: parse(source) as JsonObject },
              http_filters: [
                {
                  name: 'router',
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

const edsFile = (version: string, name: string, port: number): string => `
version_info: ${version}
resources:
  - '@type': ${typeUrlOf(ClusterLoadAssignmentSchema)}
    cluster_name: ${name}
    endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: ${address}, port_value: ${port} } } } }] }]
`;
const rdsFile = (version: string, name: string, status: number): string => `
version_info: ${version}
resources:
  - '@type': ${typeUrlOf(RouteConfigurationSchema)}
    name: ${name}
    virtual_hosts: [{ name: v, domains: ['*'], routes: [{ match: { prefix: / }, direct_response: { status: ${status} } }] }]
`;

const status = async (port: number): Promise<number> =>
  (await call({ url: `http://${address}:${port}/` })).status;
const portsOf = (name: string): string[] | undefined =>
  proxy?.server.clusters.get(name)?.hosts.map(({ address: { text } }) => text);

describe.each([
  ['GRPC', 'sotw'],
  ['DELTA_GRPC', 'delta'],
] as const)('%s', (apiType, dialect) => {
  test('each type over a stream of its own, each name of EDS and RDS, too (D1.02)', async () => {
    const server = new AnsweringServer();
    server.set(ClusterSchema, 'a', 'c1', edsCluster('a', grpc(apiType)));
    server.set(ClusterLoadAssignmentSchema, 'a', 'e1', assignment('a', 1001));
    server.set(ListenerSchema, 'web', 'l1', listener('web', 22720, grpc(apiType)));
    server.set(RouteConfigurationSchema, 'web-routes', 'r1', routes('web-routes', 201));
    proxy = await startInProcess(bootstrap(grpc(apiType), grpc(apiType)), server);
    expect(server.opened).toEqual(
      ['Cluster', 'ClusterLoadAssignment', 'Listener', 'RouteConfiguration'].map(
        (type) => `${dialect} ${type}`,
      ),
    );
    expect(portsOf('a')).toEqual([`${address}:1001`]);
    expect(await status(22720)).toBe(201);
    server.set(ClusterLoadAssignmentSchema, 'a', 'e2', assignment('a', 1002));
    server.set(RouteConfigurationSchema, 'web-routes', 'r2', routes('web-routes', 202));
    expect(portsOf('a')).toEqual([`${address}:1002`]);
    expect(await status(22720)).toBe(202);
    expect(server.errors).toEqual([]);
    // Envoy's names: the stream's statistics stand under those of whoever has it to itself.
    for (const owner of [
      'cluster_manager.cds',
      'listener_manager.lds',
      'cluster.a',
      'http.web.rds.web-routes',
    ])
      expect(proxy.stat(`${owner}.control_plane.connected_state`)).toBe(1);
    expect(proxy.stat('control_plane.connected_state')).toBeUndefined();
    expect(proxy.stat('cluster.a.update_success')).toBe(2);
    expect(proxy.stat('cluster.a.update_attempt')).toBe(3);
    expect(proxy.stat('http.web.rds.web-routes.config_reload')).toBe(2);
  });

  test('over ADS, beside it a cluster and a listener whose parts come from files and from other streams (D1.02)', async () => {
    const server = new AnsweringServer();
    const eds = place('eds.yaml', edsFile('f1', 'filed', 1003));
    const rds = place('rds.yaml', rdsFile('f1', 'filed-routes', 203));
    server.set(ClusterSchema, 'shared', 'c1', edsCluster('shared', ads));
    server.set(ClusterSchema, 'filed', 'c1', edsCluster('filed', file(eds)));
    server.set(ClusterSchema, 'own', 'c1', edsCluster('own', grpc('DELTA_GRPC')));
    for (const name of ['shared', 'own'])
      server.set(ClusterLoadAssignmentSchema, name, 'e1', assignment(name, 1001));
    server.set(ListenerSchema, 'filed', 'l1', listener('filed', 22721, file(rds)));
    server.set(ListenerSchema, 'own', 'l1', listener('own', 22722, grpc('GRPC')));
    server.set(ListenerSchema, 'shared', 'l1', listener('shared', 22723, ads));
    for (const name of ['shared-routes', 'own-routes'])
      server.set(RouteConfigurationSchema, name, 'r1', routes(name, 201));
    proxy = await startInProcess(bootstrap(ads, ads, apiType), server);
    expect(server.opened).toEqual([
      `${dialect} ads`,
      'delta ClusterLoadAssignment',
      'sotw RouteConfiguration',
    ]);
    expect(server.errors).toEqual([]);
    expect(portsOf('filed')).toEqual([`${address}:1003`]);
    expect([await status(22721), await status(22722), await status(22723)]).toEqual([203, 201, 201]);
    place('eds.yaml', edsFile('f2', 'filed', 1004));
    place('rds.yaml', rdsFile('f2', 'filed-routes', 204));
    await waitFor('endpoints', () => portsOf('filed')?.[0] === `${address}:1004` || undefined);
    await waitFor('routes', async () => (await status(22721)) === 204 || undefined);
    expect(proxy.server.routes.entries().map(({ name, versionInfo }) => [name, versionInfo])).toEqual(
      expect.arrayContaining([
        ['filed-routes', 'f2'],
        ['own-routes', 'r1'],
      ]),
    );
    // What is not needed any more is not asked for any more.
    server.set(ClusterSchema, 'own', 'c2', edsCluster('own', ads));
    await waitFor(
      'the cluster',
      () =>
        proxy?.server.clusters.active().some(({ versionInfo }) => versionInfo?.includes('c2')) || undefined,
    );
  });
});

test('a file that holds another name or two is rejected, a missing one refuses the cluster (D1.02)', async () => {
  const server = new AnsweringServer();
  const other = place('other.yaml', edsFile('f1', 'another', 1001));
  const two = place('two.yaml', edsFile('f1', 'two', 1001) + edsFile('f1', 'b', 1).split('resources:\n')[1]);
  const broken = place('broken.yaml', '{');
  server.set(ClusterSchema, 'other', 'c1', edsCluster('other', file(other)));
  server.set(ClusterSchema, 'two', 'c1', edsCluster('two', file(two)));
  server.set(ClusterSchema, 'broken', 'c1', edsCluster('broken', file(broken)));
  server.set(ClusterSchema, 'absent', 'c1', edsCluster('absent', file('/no/such/file.yaml')));
  // None of them keeps the proxy from starting.
  proxy = await startInProcess(bootstrap(ads, ads, 'DELTA_GRPC').replace('lds_config', '#'), server);
  await waitFor('the NACK', () => server.errors.length > 0 || undefined);
  expect(server.errors).toEqual([
    'Cluster absent: eds_cluster_config.eds_config.path_config_source.path: /no/such/file.yaml does not exist',
  ]);
  expect(proxy.stat('cluster.other.update_rejected')).toBe(1);
  expect(proxy.stat('cluster.two.update_rejected')).toBe(1);
  expect(proxy.stat('cluster.broken.update_failure')).toBe(1);
  expect(proxy.stat('cluster_manager.active_clusters')).toBe(4);
  place('other.yaml', edsFile('f2', 'other', 1005));
  await waitFor('the right name', () => portsOf('other')?.[0] === `${address}:1005` || undefined);
});
