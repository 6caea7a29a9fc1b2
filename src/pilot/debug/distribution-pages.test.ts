import { afterEach, expect, test } from 'vitest';
import { create } from '@bufbuild/protobuf';
import { FollowingClient } from '../../../test/support/following-client.ts';
import type { Answer } from '../../../test/support/http.ts';
import { call } from '../../../test/support/http.ts';
import { waitFor } from '../../../test/support/wait.ts';
import { configsOfYaml } from '../../../test/support/world.ts';
import { NodeSchema } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import { LoggerRegistry } from '../../base/logger.ts';
import { defaultMeshConfig } from '../../config/mesh-config.ts';
import { ConfigStore } from '../../config/store.ts';
import type { Pilot } from '../pilot.ts';
import { startPilot } from '../pilot.ts';
import { debugPages } from './pages.ts';

const service = `
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: default}
spec: {clusterIP: 10.96.0.1, selector: {app: reviews}, ports: [{name: http, port: 9080}]}
`;
const virtualService = (timeout: string): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: default}
spec: {hosts: [reviews], http: [{timeout: ${timeout}, route: [{destination: {host: reviews}}]}]}
`;

let pilot: Pilot | undefined;
let client: FollowingClient | undefined;
afterEach(async () => {
  client?.close();
  await pilot?.close();
});

async function setUp() {
  const store = new ConfigStore();
  const apply = (source: string, text: string): void =>
    void store.applyBatch(source, configsOfYaml(text, `${source}.yaml`), []);
  apply('base', service);
  const started = await startPilot({
    store,
    loggers: new LoggerRegistry({ write: () => {} }),
    grpcAddress: '127.0.0.1:0',
    httpAddress: '127.0.0.1:0',
    configSources: [{ path: 'mesh', absolutePath: '/home/me/mesh' }],
  });
  pilot = started;
  const node = create(NodeSchema, {
    id: 'sidecar~10.1.0.1~a-0.default~default.svc.cluster.local',
    metadata: { NAMESPACE: 'default', LABELS: { app: 'a' }, ISTIO_VERSION: '1.32.0', CLUSTER_ID: 'c' },
  });
  client = await new FollowingClient(started.grpcPort, { node }).ready();
  const raw = (path: string): Promise<Answer> => call({ url: `http://127.0.0.1:${started.httpPort}${path}` });
  const get = async (path: string): Promise<Record<string, unknown>> =>
    JSON.parse((await raw(path)).body) as Record<string, unknown>;
  const until = (path: string, wanted: Record<string, unknown>): Promise<Record<string, unknown>> =>
    waitFor(path, async () => {
      const answer = await get(path);
      return Object.entries(wanted).every(([name, value]) => answer[name] === value) ? answer : undefined;
    });
  return { started, apply, raw, get, until };
}

test('/debug/revisions: the newest with counts, one, and the present form of an object', async () => {
  const { apply, get, until } = await setUp();
  apply('vs', virtualService('3s'));
  const one = await until('/debug/revisions?revision=2', { acked: 1 });
  expect(one).toMatchObject({
    latest: 2,
    oldest: 1,
    revision: 2,
    accepted: true,
    objects: [{ kind: 'VirtualService', namespace: 'default', name: 'reviews', change: 'created' }],
    objectCount: 1,
    connected: 1,
    affected: 1,
    lagging: 0,
    refused: 0,
    configurations: 1,
    present: 1,
    ackedBy: [{ proxy: 'a-0.default', types: 1, resources: 1 }],
    laggingBy: [],
    refusedBy: [],
  });
  const object = '/debug/revisions?kind=virtual-service&name=reviews';
  expect(await get(object)).toMatchObject({
    object: { inForce: true, revision: 2, generation: 1, file: 'vs.yaml', line: 2, diagnostics: [] },
    revision: 2,
    acked: 1,
  });
  expect(await get(`${object}&proxyID=a-0.default`)).toMatchObject({ connected: 1, acked: 1 });
  expect(await get(`${object}&namespace=other`)).toMatchObject({ latest: 2, object: { inForce: false } });
  expect(await get('/debug/revisions?revision=3')).toMatchObject({ latest: 2, accepted: false });
  const list = (await get('/debug/revisions?limit=1')) as { revisions: unknown[] };
  expect(list.revisions).toMatchObject([{ revision: 2, affected: 1, acked: 1 }]);
  expect(((await get('/debug/revisions')) as { revisions: unknown[] }).revisions).toHaveLength(2);
});

test('/debug/revisions: mesh config is a change like any other; a ConfigMap that nobody reads affects nobody', async () => {
  const { started, apply, get, until } = await setUp();
  apply('map', 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: any}\ndata: {a: b}\n');
  expect(await get('/debug/revisions?kind=ConfigMap&name=any')).toMatchObject({
    revision: 2,
    affected: 0,
    lagging: 0,
  });
  started.setMeshConfig({ ...defaultMeshConfig, connectTimeoutMs: 4321 });
  const changed = await until('/debug/revisions?kind=MeshConfig&name=mesh', { revision: 3, acked: 1 });
  expect(changed).toMatchObject({ objects: [{ kind: 'MeshConfig', change: 'configured' }], affected: 1 });
});

test('/debug/revisions, /debug/pushes: what makes no sense is 400 or 404 and says why', async () => {
  const { raw } = await setUp();
  const answers = await Promise.all(
    [
      '/debug/revisions?revision=x',
      '/debug/revisions?revision=0',
      '/debug/revisions?kind=Nothing&name=a',
      '/debug/revisions?kind=Service',
      '/debug/revisions?limit=-1',
      '/debug/revisions?revision=1&proxyID=nobody',
      '/debug/pushes?limit=all',
    ].map(raw),
  );
  expect(answers.map(({ status, body }) => [status, body.trim()])).toEqual([
    [400, 'revision "x" is not a whole number from 1'],
    [400, 'revision "0" is not a whole number from 1'],
    [400, 'kind "Nothing" is not one that is read'],
    [400, 'You must provide a name beside the kind in the query string'],
    [400, 'limit must be a whole number'],
    [404, expect.stringContaining('Proxy not connected')],
    [400, 'limit must be a whole number'],
  ]);
});

test('/debug/config_sources: where tools may write', async () => {
  const { get } = await setUp();
  expect(await get('/debug/config_sources')).toEqual({
    sources: [{ path: 'mesh', absolutePath: '/home/me/mesh' }],
  });
});

test('/debug: every page lists itself with a help text, by path', async () => {
  const { raw } = await setUp();
  const lines = (await raw('/debug')).body.trim().split('\n');
  expect(lines).toEqual(debugPages.map(({ path, help }) => `${path}\t${help}`));
  expect(debugPages.map(({ path }) => path)).toEqual(
    expect.arrayContaining(['/debug/config_sources', '/debug/pushes', '/debug/revisions']) as string[],
  );
  expect(debugPages.filter(({ help }) => help.length < 8)).toEqual([]);
});
