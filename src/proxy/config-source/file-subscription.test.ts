// Clusters and listeners from files that are replaced while the proxy runs.
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, watch, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, toBinary } from '@bufbuild/protobuf';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeClock } from '../../../test/support/fake-clock.ts';
import type { InProcessProxy } from '../../../test/support/in-process-proxy.ts';
import { startInProcess } from '../../../test/support/in-process-proxy.ts';
import { waitFor } from '../../../test/support/wait.ts';
import { DiscoveryResponseSchema } from '../../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import type { Clock } from '../../base/clock.ts';
import { systemClock } from '../../base/clock.ts';
import { silentLogger } from '../../base/logger.ts';
import { typeUrls } from '../../xds/types.ts';
import { FileSubscription } from './file-subscription.ts';

let directory = '';
let proxy: InProcessProxy | undefined;
let backend: Server;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'fairlead-files-'));
  backend = createServer((socket) => socket.end('hello'));
  await new Promise<void>((resolve) => backend.listen(22501, '127.0.0.1', resolve));
});
afterEach(() => {
  proxy?.close();
  backend.close();
  rmSync(directory, { recursive: true, force: true });
});

/** As tools do it: beside, then renamed. */
function place(file: string, text: string | Uint8Array): void {
  writeFileSync(join(directory, `.${file}`), text);
  renameSync(join(directory, `.${file}`), join(directory, file));
}

const clusters = (version: string, name: string): string => `
version_info: ${version}
resources:
  - '@type': type.googleapis.com/envoy.config.cluster.v3.Cluster
    name: ${name}
    type: STATIC
    connect_timeout: 0.5s
    per_connection_buffer_limit_bytes: 32768
    load_assignment: { cluster_name: ${name}, endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 22501 } } } }] }] }
`;
const listeners = (version: string, port: number): string => `
version_info: ${version}
resources:
  - '@type': type.googleapis.com/envoy.config.listener.v3.Listener
    name: web
    address: { socket_address: { address: 127.0.0.1, port_value: ${port} } }
    filter_chains:
      - filters:
          - name: tcp
            typed_config: { '@type': type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: web }
`;

test('FileSubscription: what is replaced is applied, what is broken is counted and changes nothing (partly D1.02)', async () => {
  place('cds.yaml', clusters('v1', 'web'));
  place('lds.yaml', listeners('v1', 22502));
  proxy = await startInProcess(`
dynamic_resources:
  cds_config: { path_config_source: { path: ${join(directory, 'cds.yaml')} } }
  lds_config: { path_config_source: { path: ${join(directory, 'lds.yaml')} } }
`);
  const running = proxy;
  const { server } = running;
  const stat = (name: string): number | undefined => running.stat(name);
  expect(server.listeners.active()[0]).toMatchObject({ name: 'web', versionInfo: 'v1' });
  expect(server.clusters.get('web')?.hosts).toHaveLength(1);

  place('lds.yaml', listeners('v2', 22503));
  await waitFor('v2', () => server.listeners.active()[0]?.versionInfo === 'v2' || undefined);
  expect(stat('listener_manager.lds.update_success')).toBe(2);

  place('lds.yaml', listeners('v3', 22503).replace('stat_prefix', 'stat_prefx'));
  await waitFor('the rejection', () => stat('listener_manager.lds.update_rejected') === 1 || undefined);
  place('cds.yaml', listeners('v3', 22503));
  await waitFor('the other rejection', () => stat('cluster_manager.cds.update_rejected') === 1 || undefined);
  expect(server.listeners.active()[0]?.versionInfo).toBe('v2');
  expect(server.clusters.get('web')).toBeDefined();

  place('cds.yaml', clusters('v4', 'other'));
  await waitFor('v4', () => server.clusters.get('other') !== undefined || undefined);
  expect(server.clusters.get('web')).toBeUndefined();
});

describe('FileSubscription', () => {
  let subscription: FileSubscription | undefined;
  afterEach(() => subscription?.stop());

  /** What is told of a file, in order: versions, `rejected: ...`, `unreadable: ...`. */
  function follow(path: string, watchedDirectory?: string, clock: Clock = systemClock): string[] {
    const told: string[] = [];
    subscription = new FileSubscription({
      source: { kind: 'path', key: '', initialFetchTimeoutMs: 0, path, watchedDirectory },
      typeUrl: typeUrls.cluster,
      name: undefined,
      consumer: {
        onUpdate: ({ versionInfo, removed }) => {
          told.push(removed === undefined ? versionInfo : 'not the whole');
          return [];
        },
        onRejected: (reason) => told.push(`rejected: ${reason}`),
        onUnreadable: (reason) => told.push(`unreadable: ${reason}`),
      },
      clock,
      logger: silentLogger,
    });
    subscription.start();
    return told;
  }
  const until = (told: readonly string[], count: number): Promise<unknown> =>
    waitFor(`${count} updates`, () => told.length >= count || undefined);

  test('what is written where it stands is not read before something is moved there (D1.02)', async () => {
    place('cds.yaml', clusters('v1', 'a'));
    const clock = new FakeClock();
    const told = follow(join(directory, 'cds.yaml'), undefined, clock);
    await until(told, 1);
    const seen = new Set<string | null>();
    const watcher = watch(directory, (_, file) => seen.add(file));
    writeFileSync(join(directory, 'cds.yaml'), clusters('half', 'a').slice(0, 40));
    place('neighbour.yaml', 'of no concern');
    await waitFor('both to be seen', () => (seen.has('cds.yaml') && seen.has('neighbour.yaml')) || undefined);
    watcher.close();
    clock.advance(1000);
    await new Promise((resolve) => setImmediate(resolve));
    expect(told).toEqual(['v1']);
    place('cds.yaml', clusters('v2', 'a'));
    await waitFor('v2', () => {
      clock.advance(1000);
      return told.length > 1 || undefined;
    });
    expect(told).toEqual(['v1', 'v2']);
  });

  test('what cannot be read and what is not meant are told apart, and a file that goes away is neither (D1.02)', async () => {
    place('cds.yaml', '');
    const told = follow(join(directory, 'cds.yaml'));
    await until(told, 1);
    place('cds.yaml', 'a: [');
    await until(told, 2);
    place('cds.yaml', 'version: v1');
    await until(told, 3);
    place('cds.yaml', listeners('v1', 1));
    await until(told, 4);
    rmSync(join(directory, 'cds.yaml'));
    place('cds.yaml', clusters('v1', 'a'));
    await until(told, 5);
    // The same once more is no update.
    place('cds.yaml', clusters('v1', 'a'));
    place('cds.yaml', clusters('v2', 'a'));
    await until(told, 6);
    expect(told).toEqual([
      'unreadable: the file is empty',
      expect.stringMatching(/^unreadable: line 1, column \d+: /),
      expect.stringMatching(/^rejected: version: is not a field of .*DiscoveryResponse/),
      `rejected: a resource has type ${typeUrls.listener}; only ${typeUrls.cluster} may stand here`,
      'v1',
      'v2',
    ]);
  });

  test('JSON, and binary by the ending .pb (D1.02)', async () => {
    const response = create(DiscoveryResponseSchema, { versionInfo: 'v1' });
    place('cds.pb', toBinary(DiscoveryResponseSchema, response));
    const binary = follow(join(directory, 'cds.pb'));
    await until(binary, 1);
    subscription?.stop();
    place('cds.json', '{"versionInfo":"v2"}');
    const json = follow(join(directory, 'cds.json'));
    await until(json, 1);
    expect([binary, json]).toEqual([['v1'], ['v2']]);
  });

  test('a watched_directory, as mounted volumes have it: the symlink in it is led elsewhere (D1.02)', async () => {
    for (const version of ['v1', 'v2']) {
      mkdirSync(join(directory, version));
      writeFileSync(join(directory, version, 'cds.yaml'), clusters(version, 'a'));
    }
    const lead = (version: string): void => {
      symlinkSync(version, join(directory, '..tmp'));
      renameSync(join(directory, '..tmp'), join(directory, '..data'));
    };
    lead('v1');
    const told = follow(join(directory, '..data', 'cds.yaml'), directory);
    await until(told, 1);
    lead('v2');
    await until(told, 2);
    expect(told).toEqual(['v1', 'v2']);
  });
});
