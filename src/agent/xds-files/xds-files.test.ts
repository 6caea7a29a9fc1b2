// A proxy's configuration as files: what is written in which order, from a control plane that the test plays.
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JsonObject } from '@bufbuild/protobuf';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FakeClock } from '../../../test/support/fake-clock.ts';
import { playDelta, playSotw } from '../../../test/support/played-transport.ts';
import { messageFromJson, packAny, typeUrlOf } from '../../api/any.ts';
import { ClusterSchema } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '../../api/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '../../api/gen/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import { silentLogger } from '../../base/logger.ts';
import { fileName } from './file-set.ts';
import { XdsFiles } from './run.ts';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'fairlead-xds-files-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const read = (path: string): { version_info: string; resources: JsonObject[] } =>
  JSON.parse(readFileSync(join(directory, path), 'utf8')) as {
    version_info: string;
    resources: JsonObject[];
  };
const names = (path: string): unknown[] => read(path).resources.map(({ name }) => name);

const cluster = (name: string, more: JsonObject = {}) => ({
  schema: ClusterSchema,
  name,
  any: packAny(
    ClusterSchema,
    messageFromJson(ClusterSchema, {
      name,
      ...(more['type'] === undefined
        ? { type: 'EDS', eds_cluster_config: { eds_config: { ads: {} }, service_name: `${name}-service` } }
        : more),
    }),
  ),
});
const assignment = (name: string) => ({
  schema: ClusterLoadAssignmentSchema,
  name,
  any: packAny(
    ClusterLoadAssignmentSchema,
    messageFromJson(ClusterLoadAssignmentSchema, { cluster_name: name }),
  ),
});
const listener = (name: string, ...routes: readonly string[]) => ({
  schema: ListenerSchema,
  name,
  any: packAny(
    ListenerSchema,
    messageFromJson(ListenerSchema, {
      name,
      filter_chains: routes.map((route) => ({
        filters: [
          {
            name: 'hcm',
            typed_config: {
              '@type':
                'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
              stat_prefix: 'p',
              rds: { route_config_name: route, config_source: { ads: {} } },
            },
          },
        ],
      })),
    }),
  ),
});
const routeConfiguration = (name: string) => ({
  schema: RouteConfigurationSchema,
  name,
  any: packAny(RouteConfigurationSchema, messageFromJson(RouteConfigurationSchema, { name })),
});
type Resource = ReturnType<typeof cluster | typeof assignment | typeof listener | typeof routeConfiguration>;

function setUp() {
  const { transport, streams } = playDelta();
  const clock = new FakeClock();
  const lines: string[] = [];
  const files = new XdsFiles({
    node: { id: 'sidecar~10.0.0.1~a.default~default.svc.cluster.local', metadata: { NAMESPACE: 'default' } },
    bootstrap: { admin: {}, dynamic_resources: { ads_config: {} } },
    output: directory,
    seenAt: '/mnt/xds',
    dialect: 'delta',
    transport,
    clock,
    random: () => 1,
    logger: silentLogger,
    write: (line) => lines.push(line),
  });
  let nonce = 0;
  const send = (
    resources: readonly Resource[],
    schema = resources[0]!.schema,
    removed: readonly string[] = [],
  ) =>
    streams[0]!.respond({
      typeUrl: typeUrlOf(schema),
      nonce: String(++nonce),
      resources: resources.map(({ name, any }) => ({ name, version: '1', resource: any })),
      removedResources: [...removed],
    });
  const asked = (schema: Resource['schema']): string[] =>
    streams[0]!.sent
      .filter(({ typeUrl }) => typeUrl === typeUrlOf(schema))
      .flatMap(({ resourceNamesSubscribe }) => resourceNamesSubscribe);
  return { files, streams, clock, lines, send, asked };
}

test('XdsFiles: a cluster is there when its endpoints are, a listener when its routes are (D1.02)', () => {
  const { files, clock, lines, send, asked } = setUp();
  files.follow();
  expect(JSON.parse(readFileSync(join(directory, 'bootstrap.json'), 'utf8'))).toEqual({
    admin: {},
    node: { id: 'sidecar~10.0.0.1~a.default~default.svc.cluster.local', metadata: { NAMESPACE: 'default' } },
    dynamic_resources: {
      cds_config: { resource_api_version: 'V3', path_config_source: { path: '/mnt/xds/cds.json' } },
      lds_config: { resource_api_version: 'V3', path_config_source: { path: '/mnt/xds/lds.json' } },
    },
  });
  expect(names('cds.json')).toEqual([]);
  send([cluster('a'), cluster('b')]);
  expect(asked(ClusterLoadAssignmentSchema)).toEqual(['a-service', 'b-service']);
  send([assignment('a-service')]);
  send([listener('l', 'r1', 'r2'), listener('plain')]);
  expect(asked(RouteConfigurationSchema)).toEqual(['r1', 'r2']);
  send([routeConfiguration('r1')]);
  clock.advance(50);
  expect(names('cds.json')).toEqual(['a']);
  expect(names('lds.json')).toEqual(['plain']);
  expect(lines).toEqual([
    `${directory}: 1 clusters, 1 assignments, 1 listeners, 1 route configurations`,
    'left out: Cluster b: its endpoints (b-service) have not come',
    'left out: Listener l: its routes (r2) have not come',
  ]);
  send([assignment('b-service')]);
  send([routeConfiguration('r2')]);
  clock.advance(50);
  const path = `/mnt/xds/eds/${fileName('a-service')}`;
  expect(read('cds.json').resources[0]).toMatchObject({
    name: 'a',
    eds_cluster_config: { eds_config: { path_config_source: { path } }, service_name: 'a-service' },
  });
  expect(read(`eds/${fileName('b-service')}`).resources).toEqual([
    { '@type': typeUrlOf(ClusterLoadAssignmentSchema), cluster_name: 'b-service' },
  ]);
  expect(JSON.stringify(read('lds.json'))).toContain(`/mnt/xds/rds/${fileName('r2')}`);
  expect(JSON.stringify(read('lds.json'))).not.toContain('"ads"');
  files.stop();
});

test('XdsFiles: what is gone goes a second after what replaced it, and what is the same is not written again (D1.02)', () => {
  const { files, clock, send } = setUp();
  files.follow();
  send([cluster('a'), cluster('b')]);
  send([assignment('a-service'), assignment('b-service')]);
  send([listener('l', 'r')]);
  send([routeConfiguration('r')]);
  clock.advance(50);
  const before = statSync(join(directory, 'lds.json')).ino;
  const version = read('cds.json').version_info;
  send([cluster('c', { type: 'STATIC' })], ClusterSchema, ['b']);
  clock.advance(50);
  expect(names('cds.json')).toEqual(['a', 'c', 'b']);
  expect(readdirSync(join(directory, 'eds'))).toHaveLength(2);
  clock.advance(1000);
  expect(names('cds.json')).toEqual(['a', 'c']);
  expect(readdirSync(join(directory, 'eds'))).toEqual([fileName('a-service')]);
  expect(read('cds.json').version_info).not.toBe(version);
  expect(statSync(join(directory, 'lds.json')).ino).toBe(before);
  // The same once more.
  const same = statSync(join(directory, 'cds.json')).ino;
  send([cluster('c', { type: 'STATIC' })], ClusterSchema);
  clock.advance(2000);
  expect(statSync(join(directory, 'cds.json')).ino).toBe(same);
  send([], ClusterSchema, ['c']);
  clock.advance(2000);
  expect(names('cds.json')).toEqual(['a']);
  files.stop();
});

test('XdsFiles: a lost control plane, or one that sends garbage, leaves the files as they are (partly D1.03)', () => {
  const { files, streams, clock, send } = setUp();
  files.follow();
  send([cluster('a', { type: 'STATIC' })]);
  send([], ListenerSchema);
  clock.advance(50);
  send([
    { ...cluster('x'), any: { ...cluster('x').any, value: new Uint8Array([255]) } },
    cluster('d', { type: 'STATIC' }),
  ]);
  expect(streams[0]!.sent.at(-1)?.errorDetail?.message).toMatch(/^x: /);
  clock.advance(50);
  expect(names('cds.json')).toEqual(['a', 'd']);
  streams[0]!.end('gone');
  clock.advance(500);
  expect(names('cds.json')).toEqual(['a', 'd']);
  // The new stream says nothing yet, and then that all is as it was.
  clock.advance(5000);
  expect(names('cds.json')).toEqual(['a', 'd']);
  expect(
    Object.keys(
      streams[1]!.sent.find(({ typeUrl }) => typeUrl === typeUrlOf(ClusterSchema))!.initialResourceVersions,
    ),
  ).toEqual(['a']);
  files.stop();
});

test('XdsFiles: what needs ADS for anything else is left out by name', () => {
  const { files, clock, lines, send } = setUp();
  files.follow();
  send([
    cluster('tls', {
      type: 'STATIC',
      transport_socket: {
        name: 'tls',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
          common_tls_context: {
            tls_certificate_sds_secret_configs: [{ name: 's', sds_config: { ads: {} } }],
          },
        },
      },
    }),
    cluster('good', { type: 'STATIC' }),
  ]);
  send([], ListenerSchema);
  clock.advance(50);
  expect(names('cds.json')).toEqual(['good']);
  expect(lines.at(-1)).toBe(
    'left out: Cluster tls: transport_socket.typed_config.common_tls_context.tls_certificate_sds_secret_configs[0].sds_config needs ADS, and files cannot hold it',
  );
  files.stop();
});

test('XdsFiles: --once writes when all is there, and says what is missing when it never is', async () => {
  const whole = setUp();
  const done = whole.files.once(1000);
  whole.send([cluster('a')]);
  whole.send([listener('l')]);
  expect(readdirSync(join(directory, 'eds'))).toEqual([]);
  whole.send([assignment('a-service')]);
  await done;
  expect(names('cds.json')).toEqual(['a']);
  expect(whole.streams[0]!.closed).toBe(true);

  const partial = setUp();
  const late = partial.files.once(1000);
  partial.send([cluster('a')]);
  partial.clock.advance(1000);
  await expect(late).rejects.toThrow(
    'after 1 s the control plane has not sent: listeners, endpoints a-service; nothing was written',
  );
});

test('XdsFiles: in state of the world what a response does not name is gone', () => {
  const { transport, streams } = playSotw();
  const clock = new FakeClock();
  const files = new XdsFiles({
    node: { id: 'n' },
    bootstrap: {},
    output: directory,
    seenAt: undefined,
    dialect: 'sotw',
    transport,
    clock,
    random: () => 1,
    logger: silentLogger,
    write: () => {},
  });
  files.follow();
  const send = (schema: Resource['schema'], ...resources: readonly Resource[]): void =>
    streams[0]!.respond({
      typeUrl: typeUrlOf(schema),
      versionInfo: 'v',
      nonce: 'n',
      resources: resources.map(({ any }) => any),
    });
  send(ClusterSchema, cluster('a'), cluster('b'));
  send(ClusterLoadAssignmentSchema, assignment('a-service'));
  // Of what is asked for by name, a response says only what it says.
  send(ClusterLoadAssignmentSchema, assignment('b-service'));
  send(ListenerSchema, listener('l'));
  clock.advance(50);
  expect(names('cds.json')).toEqual(['a', 'b']);
  send(ClusterSchema, cluster('b'));
  clock.advance(2000);
  expect(names('cds.json')).toEqual(['b']);
  send(ClusterSchema);
  clock.advance(2000);
  expect(names('cds.json')).toEqual([]);
  files.stop();
});

test('fileName: readable, unique and short', () => {
  const long = `outbound|80||${'x'.repeat(300)}.svc`;
  expect(fileName('outbound|9080|v1|reviews.default.svc.cluster.local')).toMatch(
    /^outbound_9080_v1_reviews\.default\.svc\.cluster\.local-[0-9a-f]{10}\.json$/,
  );
  expect(fileName('a|b')).not.toBe(fileName('a/b'));
  expect(Buffer.byteLength(fileName(long))).toBeLessThan(200);
  expect(fileName('../../etc/passwd')).not.toContain('/');
});
