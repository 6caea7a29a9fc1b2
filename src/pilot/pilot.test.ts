import { afterEach, describe, expect, test } from 'vitest';
import { create } from '@bufbuild/protobuf';
import { BareAdsClient } from '../../test/support/ads-client.ts';
import { FollowingClient } from '../../test/support/following-client.ts';
import { call } from '../../test/support/http.ts';
import { waitFor } from '../../test/support/wait.ts';
import { putSource } from '../../test/support/world.ts';
import { NodeSchema } from '../api/gen/envoy/config/core/v3/base_pb.js';
import type { DiscoveryResponse } from '../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import { LoggerRegistry } from '../base/logger.ts';
import { ConfigStore } from '../config/store.ts';
import { typeUrls } from '../xds/types.ts';
import type { Pilot, PilotOptions } from './pilot.ts';
import { startPilot } from './pilot.ts';

const services = `
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: default}
spec: {clusterIP: 10.96.0.1, selector: {app: reviews}, ports: [{name: http, port: 9080}]}
---
apiVersion: v1
kind: Service
metadata: {name: ratings, namespace: default}
spec: {clusterIP: 10.96.0.2, selector: {app: ratings}, ports: [{name: http, port: 9080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: reviews-v1-0, namespace: default, labels: {app: reviews, version: v1}}
spec: {containers: [{name: app, image: reviews}]}
status: {podIP: 10.1.0.1, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: ratings-v1-0, namespace: default, labels: {app: ratings, version: v1}}
spec: {containers: [{name: app, image: ratings}]}
status: {podIP: 10.1.0.2, phase: Running, conditions: [{type: Ready, status: "True"}]}
`;
const rule = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: default}
spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}]}
`;
const virtualService = (timeout: string, subset = ''): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: default}
spec:
  hosts: [reviews]
  http:
  - timeout: ${timeout}
    route: [{destination: {host: reviews${subset === '' ? '' : `, subset: ${subset}`}}}]
`;

const pilots: Pilot[] = [];
const clients: { close(): void }[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await Promise.all(pilots.splice(0).map((pilot) => pilot.close()));
});

interface Setup {
  readonly pilot: Pilot;
  readonly store: ConfigStore;
  readonly logs: string[];
  /** Replaces what `source` holds. */
  readonly apply: (source: string, yaml: string) => void;
  readonly get: (path: string) => Promise<unknown>;
}

async function setUp(yaml = services, part: Partial<PilotOptions> = {}): Promise<Setup> {
  const logs: string[] = [];
  const store = new ConfigStore();
  const apply = (source: string, text: string): void => putSource(store, source, text);
  apply('base', yaml);
  const pilot = await startPilot({
    store,
    loggers: new LoggerRegistry({ write: (line) => void logs.push(line) }),
    grpcAddress: '127.0.0.1:0',
    httpAddress: '127.0.0.1:0',
    rate: 1000,
    ...part,
  });
  pilots.push(pilot);
  const get = async (path: string): Promise<unknown> =>
    JSON.parse((await call({ url: `http://127.0.0.1:${pilot.httpPort}${path}` })).body);
  return { pilot, store, logs, apply, get };
}

function nodeOf(pod: string, namespace = 'default') {
  return create(NodeSchema, {
    id: `sidecar~10.1.0.1~${pod}.${namespace}~${namespace}.svc.cluster.local`,
    metadata: {
      NAMESPACE: namespace,
      LABELS: { app: 'reviews', version: 'v1' },
      ISTIO_VERSION: '1.32.0',
      CLUSTER_ID: 'Kubernetes',
    },
  });
}

async function follow(
  pilot: Pilot,
  pod = 'reviews-v1-0',
  refuse?: (response: DiscoveryResponse) => string | undefined,
): Promise<FollowingClient> {
  const client = new FollowingClient(pilot.grpcPort, {
    node: nodeOf(pod),
    ...(refuse === undefined ? {} : { refuse }),
  });
  clients.push(client);
  return client.ready();
}

const reviews = 'outbound|9080||reviews.default.svc.cluster.local';

describe('startPilot', () => {
  test('startPilot: a sidecar gets clusters, endpoints, listeners and routes (A6.15, A6.16, B5.01, B6.01, B6.02)', async () => {
    const { pilot } = await setUp();
    const client = await follow(pilot);
    expect(client.clusters).toContain(reviews);
    expect(client.endpoints.get(reviews)?.endpoints).toHaveLength(1);
    expect(client.listeners).toContain('virtualOutbound');
    expect(client.routes.get('9080')?.virtualHosts.map(({ name }) => name)).toContain(
      'reviews.default.svc.cluster.local:9080',
    );
    expect(client.log.slice(0, 2)).toEqual(['CDS', expect.stringMatching(/^EDS /)]);
  });

  test('startPilot: a change sends only the type that it changes (B4.06, T19)', async () => {
    const { pilot, apply } = await setUp();
    const client = await follow(pilot);
    client.log.length = 0;
    apply('vs', virtualService('3s'));
    await waitFor('the route', () => client.log[0]);
    expect(client.log).toEqual(['RDS 9080']);
    client.log.length = 0;
    apply(
      'pod',
      services.split('---')[2]?.replaceAll('reviews-v1-0', 'reviews-v1-1').replace('10.1.0.1', '10.1.0.9') ??
        '',
    );
    await waitFor(
      'the endpoint',
      () => client.endpoints.get(reviews)?.endpoints[0]?.lbEndpoints.length === 2 || undefined,
    );
    expect(client.log).toEqual([`EDS ${reviews}`]);
  });

  test('startPilot: an edit that changes no resource sends nothing', async () => {
    const { pilot, apply } = await setUp();
    const client = await follow(pilot);
    client.log.length = 0;
    apply(
      'other',
      virtualService('3s')
        .replaceAll('reviews', 'nobody')
        .replace('hosts: [nobody]', 'hosts: [nobody.example.com]'),
    );
    apply('vs', virtualService('3s'));
    await waitFor('the route', () => client.log[0]);
    client.log.length = 0;
    apply('vs', `# moved down by a line\n${virtualService('3s')}`);
    apply(
      'vs2',
      services
        .split('---')[1]
        ?.replace('name: ratings,', 'name: ratings2,')
        .replace('10.96.0.2', '10.96.0.3') ?? '',
    );
    await waitFor('the new service', () => client.log[0]);
    expect(client.log[0]).toBe('CDS');
  });

  test('startPilot: what a proxy does not see is not sent to it (B4.07, B4.08)', async () => {
    const { pilot, apply } = await setUp(`${services}---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: default}
spec: {egress: [{hosts: ["./reviews.default.svc.cluster.local"]}]}
`);
    const client = await follow(pilot);
    client.log.length = 0;
    const gateway =
      'apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: gw, namespace: default}\n';
    apply(
      'gw',
      `${gateway}spec: {selector: {istio: x}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}\n`,
    );
    apply('ratings', virtualService('3s').replaceAll('reviews', 'ratings'));
    apply('ratings-rule', rule.replaceAll('reviews', 'ratings'));
    apply('reviews', virtualService('3s'));
    await waitFor('what it does see', () => client.log[0]);
    expect(client.log).toEqual(['RDS 9080']);
  });

  test('startPilot: a route to a new subset follows its cluster and endpoints (A6.16)', async () => {
    const { pilot, apply } = await setUp();
    const client = await follow(pilot);
    client.log.length = 0;
    apply('both', `${rule}---\n${virtualService('1s', 'v1')}`);
    await waitFor('the route', () => client.log.includes('RDS 9080') || undefined);
    // The rule is named in the metadata of the service's own cluster: that changes, and warms again.
    expect(client.log).toEqual([
      'CDS',
      `EDS ${reviews}`,
      'EDS outbound|9080|v1|reviews.default.svc.cluster.local',
      'RDS 9080',
    ]);
    client.log.length = 0;
    apply('both', virtualService('1s'));
    const subset = 'outbound|9080|v1|reviews.default.svc.cluster.local';
    await waitFor('the cluster to go', () => !client.clusters.has(subset) || undefined);
    // First the service's own cluster without the rule, then the route, and only then the subset goes.
    expect(client.log.slice(0, 4)).toEqual(['CDS', `EDS ${reviews}`, 'RDS 9080', 'CDS']);
  });

  test('startPilot: proxies of one scope share bytes: nothing is built twice (B4.09)', async () => {
    const { pilot } = await setUp();
    await follow(pilot, 'reviews-v1-0');
    const builds = (pilot as unknown as { resources: { builds: number } }).resources.builds;
    await follow(pilot, 'reviews-v1-1');
    // Other labels that a selector mentions make another scope: its inbound listener and cluster are its own.
    const ratings = new FollowingClient(pilot.grpcPort, {
      node: create(NodeSchema, {
        id: 'sidecar~10.1.0.2~ratings-v1-0.default~default.svc.cluster.local',
        metadata: { NAMESPACE: 'default', LABELS: { app: 'ratings' }, ISTIO_VERSION: '1.32.0' },
      }),
    });
    clients.push(ratings);
    await ratings.ready();
    expect((pilot as unknown as { resources: { builds: number } }).resources.builds).toBe(builds + 2);
  });

  test('startPilot: names that do not exist get empty answers (B2.11, B2.12, T18)', async () => {
    const { pilot } = await setUp();
    const client = new BareAdsClient(pilot.grpcPort);
    clients.push(client);
    client.send({ typeUrl: typeUrls.route, resourceNames: ['4711'], node: nodeOf('x') });
    const routes = await client.next();
    expect(routes.resources).toHaveLength(1);
    client.send({ typeUrl: typeUrls.endpoint, resourceNames: ['outbound|1||gone.example.com'] });
    const endpoints = await client.next();
    expect(endpoints.resources).toHaveLength(1);
    expect(Buffer.from(endpoints.resources[0]?.value ?? []).toString()).toContain('gone.example.com');
  });

  test('startPilot: one version for all types of a push (B2.10)', async () => {
    const { pilot } = await setUp();
    const client = await follow(pilot);
    const versions = new Set(client.bare.responses.map(({ versionInfo }) => versionInfo));
    expect(versions.size).toBe(1);
    expect([...versions][0]).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\/\d+$/);
  });

  test('startPilot: a malformed node is refused with what would be accepted (B1.06)', async () => {
    const { pilot } = await setUp();
    for (const id of ['nonsense', 'waypoint~10.1.0.1~a.b~c', 'sidecar~not-an-ip~a.b~c']) {
      const client = new BareAdsClient(pilot.grpcPort);
      clients.push(client);
      client.send({ typeUrl: typeUrls.cluster, node: { id } });
      expect((await client.failure()).details).toMatch(/^malformed .*accepted is/);
    }
  });

  test('startPilot: before the configuration is read proxies and /ready wait (B1.04)', async () => {
    let synced = false;
    const { pilot } = await setUp(services, { synced: () => synced });
    const early = new BareAdsClient(pilot.grpcPort);
    clients.push(early);
    early.send({ typeUrl: typeUrls.cluster, node: nodeOf('x') });
    expect((await early.failure()).code).toBe(14);
    expect((await call({ url: `http://127.0.0.1:${pilot.httpPort}/ready` })).status).toBe(503);
    synced = true;
    expect((await call({ url: `http://127.0.0.1:${pilot.httpPort}/ready` })).status).toBe(200);
    await follow(pilot);
  });

  test('startPilot: a port in use is named with its flag', async () => {
    const { pilot } = await setUp();
    await expect(
      setUp(services, {
        grpcAddress: `127.0.0.1:${pilot.grpcPort}`,
        flags: { grpc: '--grpc-addr', http: '--http-addr' },
      }),
    ).rejects.toThrow(/port is in use; give another address with --grpc-addr/);
    await expect(
      setUp(services, {
        httpAddress: `127.0.0.1:${pilot.httpPort}`,
        flags: { grpc: '--grpc-addr', http: '--http-addr' },
      }),
    ).rejects.toThrow(/port is in use; give another address with --http-addr/);
  });
});

describe('startPilot under fault', () => {
  test('startPilot: a refused route is blamed on its object, and the rest goes on (B2.02, B4.10)', async () => {
    const { pilot, apply, logs, get } = await setUp();
    const isBad = ({ typeUrl, resources }: DiscoveryResponse): boolean =>
      typeUrl === typeUrls.route && resources.some(({ value }) => Buffer.from(value).includes('poison'));
    const client = await follow(pilot, 'reviews-v1-0', (response) =>
      isBad(response) ? 'Proto constraint validation failed' : undefined,
    );
    client.log.length = 0;
    apply('vs', virtualService('3s').replace('route:', 'name: poison\n    route:'));
    await waitFor('the NACK', () => logs.find((line) => line.includes('refused 9080')));
    expect(logs.find((line) => line.includes('refused 9080'))).toMatch(
      /VirtualService default\/reviews spec\.\S+ at vs\.yaml:\d+:\d+.*Proto constraint validation failed/,
    );
    const [rejection] = (await get('/debug/rejectz')) as { type: string; name: string }[];
    expect(rejection).toMatchObject({ type: 'RDS', name: '9080' });
    const [status] = (await get('/debug/syncz')) as { resources: Record<string, { lastError?: string }> }[];
    expect(status?.resources[typeUrls.route]?.lastError).toContain('constraint');
    // A change elsewhere goes through, and does not bring the refused one again.
    apply('dr', rule);
    await waitFor('the cluster', () => client.log.includes('CDS') || undefined);
    expect(client.log.filter((line) => line === 'RDS refused')).toHaveLength(1);
    apply('vs', virtualService('4s'));
    await waitFor('the good route', () => client.log.includes('RDS 9080') || undefined);
    expect(await get('/debug/rejectz')).toEqual([]);
    expect((await call({ url: `http://127.0.0.1:${pilot.httpPort}/metrics` })).body).toMatch(
      /pilot_total_xds_rejects\{type="rds"\} 1/,
    );
  });

  test('startPilot: 200 proxies that come at once all get everything (chaos: reconnect storm)', async () => {
    const { pilot } = await setUp();
    const storm = Array.from(
      { length: 200 },
      (_, index) => new FollowingClient(pilot.grpcPort, { node: nodeOf(`reviews-v1-${index}`) }),
    );
    clients.push(...storm);
    await Promise.all(storm.map((client) => client.ready()));
    expect(pilot.connections.size).toBe(200);
    for (const client of storm.splice(0, 100)) client.close();
    await waitFor('the others', () => pilot.connections.size === 100 || undefined);
  });

  test('startPilot: a proxy that does not read costs one response; others go on (ADS hang, 34633)', async () => {
    const { pilot, apply } = await setUp();
    const slow = await follow(pilot, 'slow');
    const quick = await follow(pilot, 'quick');
    slow.bare.pause();
    const text = (seconds: number): string => virtualService(`${seconds}s`);
    for (let edit = 1; edit <= 30; edit++) {
      apply('vs', text(edit));
      // oxlint-disable-next-line no-await-in-loop -- one edit after the other
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await waitFor('the last edit', () => {
      const host = quick.routes.get('9080')?.virtualHosts.find(({ name }) => name.startsWith('reviews'));
      const action = host?.routes[0]?.action;
      return action?.case === 'route' && action.value.timeout?.seconds === 30n ? true : undefined;
    });
    slow.bare.resume();
    await waitFor('the last edit at the slow one', () => {
      const host = slow.routes.get('9080')?.virtualHosts.find(({ name }) => name.startsWith('reviews'));
      const action = host?.routes[0]?.action;
      return action?.case === 'route' && action.value.timeout?.seconds === 30n ? true : undefined;
    });
    expect(slow.log.filter((line) => line.startsWith('RDS')).length).toBeLessThan(30);
  });

  test('startPilot: a restart: proxies that come back with old nonces are answered everything (B2.04)', async () => {
    const { pilot, store } = await setUp();
    const first = await follow(pilot);
    await pilot.close();
    pilots.pop();
    await waitFor('the end', () => first.bare.error);
    expect(first.bare.error?.code).toBe(14);
    const again = await startPilot({
      store,
      loggers: new LoggerRegistry({ level: 'off' }),
      grpcAddress: `127.0.0.1:${pilot.grpcPort}`,
      httpAddress: '127.0.0.1:0',
    });
    pilots.push(again);
    const client = new BareAdsClient(again.grpcPort);
    clients.push(client);
    const old = { responseNonce: 'old', versionInfo: 'old' };
    client.send({ typeUrl: typeUrls.cluster, node: nodeOf('reviews-v1-0'), ...old });
    client.send({ typeUrl: typeUrls.endpoint, resourceNames: [reviews], ...old });
    client.send({ typeUrl: typeUrls.listener, ...old });
    client.send({ typeUrl: typeUrls.route, resourceNames: ['9080'], ...old });
    const answered: string[] = [];
    while (answered.length < 4) {
      // oxlint-disable-next-line no-await-in-loop -- one answer after the other
      const response = await client.next();
      answered.push(response.typeUrl);
      client.ack(
        response,
        response.typeUrl === typeUrls.endpoint
          ? [reviews]
          : response.typeUrl === typeUrls.route
            ? ['9080']
            : [],
      );
    }
    expect(answered.indexOf(typeUrls.cluster)).toBe(0);
    expect(new Set(answered).size).toBe(4);
  });
});

describe('debug pages', () => {
  test('/debug/syncz: what was sent and acknowledged, in the names that istioctl reads (A2.01, B4.10, F.01)', async () => {
    const { pilot, get } = await setUp();
    await follow(pilot);
    const [status] = (await get('/debug/syncz')) as Record<string, string>[];
    expect(status).toMatchObject({
      proxy: 'reviews-v1-0.default',
      proxy_type: 'sidecar',
      cluster_id: 'Kubernetes',
      istio_version: '1.32.0',
    });
    for (const type of ['cluster', 'listener', 'route', 'endpoint']) {
      expect(status?.[`${type}_sent`]).toMatch(/^20/);
      expect(status?.[`${type}_acked`]).toBe(status?.[`${type}_sent`]);
    }
  });

  test('/debug/edsz: services with their endpoints; with a proxy, load assignments (A2.17, F.01)', async () => {
    const { pilot, get } = await setUp();
    await follow(pilot);
    const all = (await get('/debug/edsz')) as { svc: string; ep: { endpoint: { address: string } }[] }[];
    expect(
      all.find(({ svc }) => svc === 'reviews.default.svc.cluster.local:http')?.ep[0]?.endpoint.address,
    ).toBe('10.1.0.1');
    const one = (await get('/debug/edsz?proxyID=reviews-v1-0')) as { configs: { clusterName: string }[] };
    expect(one.configs.map(({ clusterName }) => clusterName)).toContain(reviews);
  });

  test('/debug/config_dump: what the proxy should have, in the form of Envoy (F.01)', async () => {
    const { pilot, get } = await setUp();
    await follow(pilot);
    const { configs } = (await get('/debug/config_dump?proxyID=reviews-v1-0.default')) as {
      configs: Record<string, unknown>[];
    };
    expect(configs.map((config) => String(config['@type']).split('.').at(-1))).toEqual([
      'BootstrapConfigDump',
      'ClustersConfigDump',
      'ListenersConfigDump',
      'ScopedRoutesConfigDump',
      'RoutesConfigDump',
      'SecretsConfigDump',
      'EcdsConfigDump',
    ]);
    expect(JSON.stringify(configs[1])).toContain(reviews);
    const cds = (await get('/debug/config_dump?proxyID=reviews-v1-0&types=cds')) as {
      configs: { '@type': string }[];
    };
    expect(new Set(cds.configs.map((config) => config['@type']))).toEqual(new Set([typeUrls.cluster]));
    const url = `http://127.0.0.1:${pilot.httpPort}/debug/config_dump`;
    expect((await call({ url })).status).toBe(400);
    expect((await call({ url: `${url}?proxyID=nobody` })).status).toBe(404);
  });

  test('/debug/sourcez: file, line and field behind each resource', async () => {
    const { pilot, apply, get } = await setUp();
    apply('vs', virtualService('3s'));
    await follow(pilot);
    const rows = (await get('/debug/sourcez?proxyID=reviews-v1-0&type=RDS')) as Record<string, unknown>[];
    const row = rows.find(({ kind, at }) => kind === 'VirtualService' && String(at).includes('.routes['));
    expect(row).toMatchObject({
      type: 'RDS',
      resource: '9080',
      namespace: 'default',
      name: 'reviews',
      file: 'vs.yaml',
    });
    expect(String(row?.['field'])).toMatch(/^spec\.http\[0\]/);
    expect(row?.['line']).toBeGreaterThan(1);
  });

  test('/debug/configz: objects in force, and what is refused (F.01)', async () => {
    const { store, get } = await setUp();
    const position = { file: 'bad.yaml', line: 3, column: 5 };
    store.apply([
      {
        source: 'bad',
        upserts: [],
        deletes: [],
        diagnostics: [
          {
            severity: 'error',
            code: 'unknown-field',
            message: 'no field such',
            position,
            object: { kind: 'VirtualService', namespace: 'default', name: 'broken' },
            fieldPath: ['spec', 'such'],
          },
        ],
      },
    ]);
    const list = (await get('/debug/configz')) as Record<string, unknown>[];
    expect(list.find(({ kind }) => kind === 'Service')).toMatchObject({
      apiVersion: 'v1',
      metadata: { namespace: 'default' },
    });
    expect(list.at(-1)).toMatchObject({
      kind: 'VirtualService',
      inForce: false,
      diagnostics: [{ code: 'unknown-field', field: 'spec.such', file: 'bad.yaml', line: 3 }],
    });
  });

  test('/debug/registryz, /debug/adsz, /debug/list, /version and /metrics answer (F.01)', async () => {
    const { pilot, get } = await setUp();
    await follow(pilot);
    expect(await get('/debug/registryz')).toHaveLength(2);
    expect(await get('/debug/adsz')).toMatchObject({
      totalClients: 1,
      clients: [{ connectionId: expect.stringMatching(/-1$/), labels: { app: 'reviews' }, held: [] }],
    });
    expect(await get('/debug/list')).toContain('syncz');
    const base = `http://127.0.0.1:${pilot.httpPort}`;
    expect((await call({ url: `${base}/debug/adsz?push=true` })).body).toBe('Pushed to 1 servers\n');
    expect((await call({ url: `${base}/version` })).body).toMatch(/^\d+\.\d+/);
    expect((await call({ url: `${base}/nothing` })).status).toBe(404);
    const { body } = await call({ url: `${base}/metrics` });
    for (const name of [
      'pilot_services 2',
      'pilot_xds{version="1.32.0"} 1',
      'pilot_xds_pushes{type="cds"} 1',
      'pilot_xds_push_time_count{type="rds"}',
      'pilot_push_queue_size 0',
      '# TYPE pilot_proxy_convergence_time histogram',
      '# TYPE pilot_debounce_time histogram',
    ])
      expect(body).toContain(name);
  });

  test('debug pages: only for this machine, under its own name (partly F.03, traps 16)', async () => {
    const { pilot } = await setUp();
    const base = `http://127.0.0.1:${pilot.httpPort}`;
    const rebound = await call({ url: `${base}/debug/syncz`, headers: { host: 'evil.example.com' } });
    expect(rebound.status).toBe(401);
    expect((await call({ url: `${base}/metrics`, headers: { host: 'prometheus.example.com' } })).status).toBe(
      200,
    );
    const open = await setUp(services, { debugForAll: true });
    const answer = await call({
      url: `http://127.0.0.1:${open.pilot.httpPort}/debug/syncz`,
      headers: { host: 'pilot.example.com' },
    });
    expect(answer.status).toBe(200);
  });
});
