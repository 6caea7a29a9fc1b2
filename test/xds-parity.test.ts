// The client's side of xDS, side by side with stock Envoy: the same control plane says the same to both, and both must
// ask and answer the same, count the same and show the same in /config_dump.
import type { JsonObject } from '@bufbuild/protobuf';
import { afterEach, describe, expect, test } from 'vitest';
import { messageFromJson } from '../src/api/any.ts';
import { ClusterSchema } from '../src/api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '../src/api/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '../src/api/gen/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '../src/api/gen/envoy/config/route/v3/route_pb.js';
import type { ServedAnswers } from './support/answering-grpc.ts';
import { serveAnswers } from './support/answering-grpc.ts';
import type { HeardRequest } from './support/answering-transport.ts';
import { AnsweringServer } from './support/answering-transport.ts';
import { call } from './support/http.ts';
import type { DataPlane } from './support/mesh.ts';
import type { ProxyProcess } from './support/proxy-process.ts';
import { startProxyProcess } from './support/proxy-process.ts';
import { needs } from './support/tools.ts';
import { waitFor } from './support/wait.ts';

const address = '127.42.5.1';
const ports = { admin: 22761, web: 22762, xds: 22763 };

let proxy: ProxyProcess | undefined;
let served: ServedAnswers | undefined;
afterEach(async () => {
  await proxy?.stop();
  served?.stop();
  proxy = undefined;
  served = undefined;
});

type Sources = 'ads' | 'own streams';
type Dialect = 'GRPC' | 'DELTA_GRPC';

const grpc = (dialect: Dialect): JsonObject => ({
  api_type: dialect,
  transport_api_version: 'V3',
  // One try a second, the same for both.
  grpc_services: [{ envoy_grpc: { cluster_name: 'xds' } }],
});
const source = (sources: Sources, dialect: Dialect): JsonObject => ({
  resource_api_version: 'V3',
  initial_fetch_timeout: '10s',
  ...(sources === 'ads' ? { ads: {} } : { api_config_source: grpc(dialect) }),
});

const bootstrap = (sources: Sources, dialect: Dialect): JsonObject => ({
  node: { id: 'node', cluster: 'cluster' },
  admin: { address: { socket_address: { address: '127.0.0.1', port_value: ports.admin } } },
  dynamic_resources: {
    cds_config: source(sources, dialect),
    lds_config: source(sources, dialect),
    ...(sources === 'ads' ? { ads_config: { ...grpc(dialect), set_node_on_first_message_only: true } } : {}),
  },
  static_resources: {
    clusters: [
      {
        name: 'xds',
        type: 'STATIC',
        typed_extension_protocol_options: {
          'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
            '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
            explicit_http_config: { http2_protocol_options: {} },
          },
        },
        load_assignment: {
          cluster_name: 'xds',
          endpoints: [
            {
              lb_endpoints: [
                {
                  endpoint: {
                    address: { socket_address: { address: '127.0.0.1', port_value: ports.xds } },
                  },
                },
              ],
            },
          ],
        },
      },
    ],
  },
});

/** What one proxy did and showed. */
interface Seen {
  readonly requests: Readonly<Record<string, readonly object[]>>;
  readonly stats: Readonly<Record<string, string>>;
  readonly dump: unknown;
  /** While a cluster and a listener are refused. */
  readonly refused: unknown;
}

async function play(plane: DataPlane, sources: Sources, dialect: Dialect): Promise<Seen> {
  const server = new AnsweringServer();
  const from = source(sources, dialect);
  const cluster = (name: string, version: string, more: JsonObject = {}): void =>
    server.set(
      ClusterSchema,
      name,
      version,
      messageFromJson(ClusterSchema, {
        name,
        type: 'EDS',
        eds_cluster_config: { eds_config: from },
        ...more,
      }),
    );
  const assignment = (name: string, version: string, ip: string): void =>
    server.set(
      ClusterLoadAssignmentSchema,
      name,
      version,
      messageFromJson(ClusterLoadAssignmentSchema, {
        cluster_name: name,
        endpoints: [
          { lb_endpoints: [{ endpoint: { address: { socket_address: { address: ip, port_value: 1 } } } }] },
        ],
      }),
    );
  const routes = (version: string, status: number): void =>
    server.set(
      RouteConfigurationSchema,
      'routes',
      version,
      messageFromJson(RouteConfigurationSchema, {
        name: 'routes',
        virtual_hosts: [
          { name: 'v', domains: ['*'], routes: [{ match: { prefix: '/' }, direct_response: { status } }] },
        ],
      }),
    );
  cluster('a', 'c1');
  cluster('b', 'c1');
  assignment('a', 'e1', '10.0.0.1');
  assignment('b', 'e1', '10.0.0.1');
  server.set(ListenerSchema, 'web', 'l1', messageFromJson(ListenerSchema, listener(from)));
  routes('r1', 201);
  served = await serveAnswers(server, ports.xds);
  proxy = await startProxyProcess(plane, JSON.stringify(bootstrap(sources, dialect)), ports.admin);
  const counters = async (): Promise<ReadonlyMap<string, string>> => readStats(await proxy!.admin('/stats'));
  const until = (name: string, value: string): Promise<unknown> =>
    waitFor(`${name} ${value}`, async () => (await counters()).get(name) === value || undefined);
  const answers = (status: number): Promise<unknown> =>
    waitFor(`status ${status}`, async () => (await fetchStatus()) === status || undefined);

  await answers(201);
  assignment('a', 'e2', '10.0.0.2');
  await until('cluster.a.update_success', '2');
  routes('r2', 202);
  await answers(202);
  // Two that are refused: the proxies keep what they have.
  cluster('b', 'c2', {
    circuit_breakers: { thresholds: [{ priority: 'DEFAULT' }] },
    lb_policy: 'CLUSTER_PROVIDED',
  });
  await until('cluster_manager.cds.update_rejected', '1');
  server.set(
    ListenerSchema,
    'web',
    'l2',
    messageFromJson(ListenerSchema, {
      ...listener(from),
      address: { socket_address: { address: 'no-address', port_value: ports.web } },
    }),
  );
  await until('listener_manager.lds.update_rejected', '1');
  const refused = await configDump();
  server.set(ListenerSchema, 'web', 'l3', messageFromJson(ListenerSchema, listener(from)));
  await until('listener_manager.lds.update_success', '2');
  assignment('a', 'e3', 'no-address');
  await until('cluster.a.update_rejected', '1');
  cluster('b', 'c3');
  await until('cluster_manager.cds.update_success', '2');
  assignment('a', 'e4', '10.0.0.4');
  await until('cluster.a.update_success', '3');
  server.remove(ClusterSchema, 'b');
  await until('cluster_manager.cds.update_success', '3');
  await until('cluster_manager.cluster_removed', '1');
  const before = await counters();
  const dump = await configDump();
  const opened = server.opened.length;
  served.dropStreams();
  // They come back, each when its back-off lets it.
  await waitFor(
    'new streams',
    () => server.opened.length >= opened + (sources === 'ads' ? 1 : 4) || undefined,
  );
  await waitFor('every type again', () => typesAsked(server.requests, opened).size >= 4 || undefined);
  return {
    requests: describeRequests(server.requests, opened),
    stats: Object.fromEntries(
      [...before]
        .filter(([name]) => compared.test(name) && !excluded.test(name))
        // Hashes have 64 bits; ours are doubles, as Prometheus has them.
        .map(([name, value]) => [name, name.endsWith('.version') ? String(Number(value)) : value]),
    ),
    dump,
    refused,
  };
}

const compared =
  /(control_plane\.connected_state|\.update_(attempt|success|failure|rejected)|init_fetch_timeout|config_reload|\.version)$/;
/** A cluster that is gone: our proxy forgets its statistics at once, Envoy when it has swept. */
const excluded = /^(cluster\.(b|xds)|server)\./;

const listener = (from: JsonObject): JsonObject => ({
  name: 'web',
  address: { socket_address: { address, port_value: ports.web } },
  filter_chains: [
    {
      filters: [
        {
          name: 'hcm',
          typed_config: {
            '@type':
              'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
            stat_prefix: 'web',
            rds: { route_config_name: 'routes', config_source: from },
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

async function fetchStatus(): Promise<number | undefined> {
  try {
    return (await call({ url: `http://${address}:${ports.web}/` })).status;
  } catch {
    return undefined;
  }
}

function readStats({ body }: { readonly body: string }): ReadonlyMap<string, string> {
  return new Map(
    body.split('\n').flatMap((line) => {
      const at = line.indexOf(': ');
      return at < 0 ? [] : [[line.slice(0, at), line.slice(at + 2)] as const];
    }),
  );
}

/** In delta Envoy counts what it refuses as two attempts; we count one in both dialects. */
function withoutSecondAttempts(stats: Readonly<Record<string, string>>): Record<string, string> {
  const ending = 'update_attempt';
  return Object.fromEntries(
    Object.entries(stats).map(([name, value]) => {
      if (!name.endsWith(ending)) return [name, value];
      const rejected = Number(stats[`${name.slice(0, -ending.length)}update_rejected`] ?? 0);
      return [name, String(Number(value) - rejected)];
    }),
  );
}

const short = (typeUrl: string): string => typeUrl.slice(typeUrl.lastIndexOf('.') + 1);

function typesAsked(requests: readonly HeardRequest[], fromStream: number): Set<string> {
  return new Set(requests.filter(({ stream }) => stream >= fromStream).map(({ request }) => request.typeUrl));
}

/** By type: what was said until the streams were lost, and the first words after that. */
function describeRequests(requests: readonly HeardRequest[], lostFrom: number): Record<string, object[]> {
  const described: Record<string, object[]> = {};
  const again = new Set<string>();
  /** Streams of their own come in no fixed order: what each asked for first tells which it is. */
  const labels = new Map<number, string>();
  const types = new Map<number, Set<string>>();
  for (const { stream, request } of requests)
    types.set(stream, (types.get(stream) ?? new Set<string>()).add(request.typeUrl));
  for (const { stream, request } of requests) {
    if (labels.has(stream) || types.get(stream)?.size !== 1) continue;
    const names =
      request.$typeName === 'envoy.service.discovery.v3.DiscoveryRequest'
        ? request.resourceNames
        : request.resourceNamesSubscribe;
    labels.set(stream, names.length === 0 ? '' : ` ${names.join(' ')}`);
  }
  for (const { stream, request } of requests) {
    if (stream >= lostFrom) {
      const key = `${request.typeUrl} ${labels.get(stream) ?? ''}`;
      if (again.has(key)) continue;
      again.add(key);
    }
    const all = (described[`${short(request.typeUrl)}${labels.get(stream) ?? ''}`] ??= []);
    const common = {
      ...(stream >= lostFrom ? { again: true } : {}),
      answers: request.responseNonce !== '',
      refused: request.errorDetail !== undefined,
    };
    all.push(
      request.$typeName === 'envoy.service.discovery.v3.DiscoveryRequest'
        ? { ...common, version: request.versionInfo, names: [...request.resourceNames].toSorted(byText) }
        : {
            ...common,
            subscribe: [...request.resourceNamesSubscribe].toSorted(byText),
            unsubscribe: [...request.resourceNamesUnsubscribe].toSorted(byText),
            versions: request.initialResourceVersions,
          },
    );
  }
  return described;
}

const byText = (a: string, b: string): number => (a < b ? -1 : 1);

/** Names, versions and states of what is dynamic. */
async function configDump(): Promise<unknown> {
  const { body } = await proxy!.admin('/config_dump');
  const { configs } = JSON.parse(body) as { configs: Record<string, never>[] };
  const find = (type: string): Record<string, never> =>
    configs.find((config) => String(config['@type']).endsWith(`.${type}`)) ?? {};
  const list = (value: unknown): JsonObject[] => (value ?? []) as JsonObject[];
  const clusters = find('ClustersConfigDump');
  const listeners = find('ListenersConfigDump');
  return {
    clusters: list(clusters['dynamic_active_clusters']).map((entry) => [
      (entry['cluster'] as JsonObject)['name'],
      entry['version_info'],
    ]),
    warming: list(clusters['dynamic_warming_clusters']).length,
    clustersVersion: clusters['version_info'],
    // Envoy shows some refusals twice, the second time without a name.
    listeners: list(listeners['dynamic_listeners'])
      .filter((entry) => entry['name'] !== undefined)
      .map((entry) => [
        entry['name'],
        (entry['active_state'] as JsonObject | undefined)?.['version_info'],
        Object.keys(entry).toSorted(byText),
        errorOf(entry),
      ]),
    listenersVersion: listeners['version_info'],
    routes: list(find('RoutesConfigDump')['dynamic_route_configs']).map((entry) => [
      (entry['route_config'] as JsonObject)['name'],
      entry['version_info'],
    ]),
  };
}

/** Of what was refused; the words of the reason are each proxy's own. */
function errorOf(entry: JsonObject): unknown {
  const error = entry['error_state'] as JsonObject | undefined;
  if (error === undefined) return undefined;
  return {
    configuration: (error['failed_configuration'] as JsonObject | undefined)?.['name'],
    hasDetails: typeof error['details'] === 'string' && error['details'] !== '',
  };
}

describe.each([
  ['ads', 'GRPC'],
  ['ads', 'DELTA_GRPC'],
  ['own streams', 'GRPC'],
  ['own streams', 'DELTA_GRPC'],
] as const)('%s, %s', (sources, dialect) => {
  test.skipIf(needs('envoy'))(
    'our proxy says, counts and shows what stock Envoy does (D1.02, D1.03, D1.04, partly D1.07)',
    { timeout: 90_000 },
    async () => {
      const envoy = await play('envoy', sources, dialect);
      await proxy?.stop();
      served?.stop();
      const ours = await play('fairlead', sources, dialect);
      expect(ours.requests).toEqual(envoy.requests);
      expect(ours.stats).toEqual(dialect === 'GRPC' ? envoy.stats : withoutSecondAttempts(envoy.stats));
      expect(ours.dump).toEqual(envoy.dump);
      expect(ours.refused).toEqual(envoy.refused);
      expect(Object.keys(envoy.requests)).toHaveLength(sources === 'ads' ? 4 : 5);
      expect(Object.keys(envoy.stats).length).toBeGreaterThan(15);
    },
  );
});
