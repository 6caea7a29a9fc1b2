// gRPC's own xDS client and server (@grpc/grpc-js-xds) under our control plane, without any proxy.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JsonObject } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import { afterEach, describe, expect, test } from 'vitest';
import { createAuthority } from '../../test/support/certificates.ts';
import type { EchoOptions, GrpcNode } from '../../test/support/grpc-apps.ts';
import {
  EchoClient,
  EchoServer,
  grpcBootstrap,
  xdsChannelCredentials,
  xdsEchoServer,
  xdsServerCredentials,
} from '../../test/support/grpc-apps.ts';
import { ReportClient } from '../../test/support/report-client.ts';
import { waitFor } from '../../test/support/wait.ts';
import { putSource } from '../../test/support/world.ts';
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
} from '../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import { LoggerRegistry } from '../base/logger.ts';
import { ConfigStore } from '../config/store.ts';
import { typeUrls } from '../xds/types.ts';
import type { Pilot } from './pilot.ts';
import { startPilot } from './pilot.ts';

const closing: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

const port = 25_100;
const addresses = { v1: '127.47.1.1', v2: '127.47.1.2' } as const;

const service = (name: string, spec: string): string => `
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: default }
spec: { selector: { app: echo }, ports: [{ name: grpc, port: 7070, targetPort: ${port} }], ${spec} }
---`;
const pod = (version: keyof typeof addresses): string => `
apiVersion: v1
kind: Pod
metadata: { name: echo-${version}, namespace: default, labels: { app: echo, version: ${version} } }
spec: { containers: [{ name: app }] }
status: { phase: Running, podIP: ${addresses[version]}, conditions: [{ type: Ready, status: 'True' }] }
---`;
const rule = (spec = ''): string => `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: echo, namespace: default }
spec: { host: echo, subsets: [{ name: v1, labels: { version: v1 } }, { name: v2, labels: { version: v2 } }] ${spec} }
---`;
const virtualService = (http: string): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: echo, namespace: default }
spec: { hosts: [echo], http: [${http}] }
---`;
const to = (subset: string, rest = ''): string =>
  `{ destination: { host: echo, subset: ${subset} } ${rest} }`;
const echo = service('echo', 'clusterIP: 10.0.0.1');
const both = echo + pod('v1') + pod('v2');

interface Mesh {
  readonly pilot: Pilot;
  put(yaml: string): void;
  client(target?: string, node?: GrpcNode): EchoClient;
  /** What of the node's resources was refused: nothing should be. */
  refusals(): readonly string[];
}

async function start(yaml: string, grpcPort = 0): Promise<Mesh> {
  const store = new ConfigStore();
  const put = (text: string): void => putSource(store, 'test', text);
  put(yaml);
  const pilot = await startPilot({
    store,
    loggers: new LoggerRegistry({ level: 'off' }),
    grpcAddress: `127.0.0.1:${grpcPort}`,
    httpAddress: '127.0.0.1:0',
  });
  closing.push(() => pilot.close());
  return {
    pilot,
    put,
    client: (target = 'echo.default.svc.cluster.local:7070', node = {}) => {
      const isSecure = node.certificates !== undefined;
      const bootstrap = grpcBootstrap(pilot.grpcPort, node);
      const client = new EchoClient(
        `xds:///${target}`,
        bootstrap,
        isSecure ? xdsChannelCredentials() : undefined,
      );
      closing.push(() => client.close());
      return client;
    },
    refusals: () =>
      [...pilot.connections].flatMap((connection) => connection.refusals().map(({ message }) => message)),
  };
}

async function serve(version: keyof typeof addresses, options?: EchoOptions): Promise<EchoServer> {
  const server = new EchoServer(version, options);
  closing.push(() => server.close());
  await server.listen(`${addresses[version]}:${port}`);
  return server;
}

describe('proxyless gRPC', () => {
  test('a client reaches every endpoint, by each name that DNS would know; endpoints come and go (partly B5.08, B5.09)', async () => {
    await serve('v1');
    await serve('v2');
    const mesh = await start(echo + pod('v1'));
    const client = mesh.client();
    expect(await client.tally(4)).toEqual({ v1: 4 });
    mesh.put(both);
    await waitFor('the second endpoint', async () => (await client.say()) === 'v2' || undefined);
    expect(await client.tally(10)).toEqual({ v1: 5, v2: 5 });
    mesh.put(echo + pod('v2'));
    await waitFor('the end of the first', async () => (await client.tally(4))['v2'] === 4 || undefined);
    for (const name of ['echo', 'echo.default', 'echo.default.svc'])
      expect(await mesh.client(`${name}:7070`).say()).toBe('v2');
    const elsewhere = mesh.client('echo.default:7070', { namespace: 'other' });
    expect(await elsewhere.say()).toBe('v2');
    expect(mesh.refusals()).toEqual([]);
  });

  test('a control plane that goes takes nothing away; one that comes back is followed (B5.09)', async () => {
    await serve('v1');
    await serve('v2');
    const first = await start(both + rule() + virtualService(`{ route: [${to('v1')}] }`));
    const { grpcPort } = first.pilot;
    const client = first.client();
    expect(await client.tally(3)).toEqual({ v1: 3 });
    await first.pilot.close();
    expect(await client.tally(3)).toEqual({ v1: 3 });
    const second = await start(both + rule() + virtualService(`{ route: [${to('v2')}] }`), grpcPort);
    await waitFor('the other routes', async () => (await client.say()) === 'v2' || undefined);
    expect(second.refusals()).toEqual([]);
  });

  test('in delta listeners come by the names that were asked for, and what is no service is said to be gone (partly B5.08)', async () => {
    const mesh = await start(both);
    const client = new ReportClient(
      mesh.pilot.grpcPort,
      '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources',
      DeltaDiscoveryRequestSchema,
      DeltaDiscoveryResponseSchema,
    );
    closing.push(() => client.close());
    const { node } = JSON.parse(grpcBootstrap(0)) as { node: { id: string; metadata: JsonObject } };
    client.send({
      node: { id: node.id, metadata: node.metadata },
      typeUrl: typeUrls.listener,
      resourceNamesSubscribe: ['echo:7070', 'echo.default:7070', 'nobody:7070'],
    });
    const { resources, removedResources } = await client.response(0);
    expect(resources.map(({ name }) => name).sort()).toEqual(['echo.default:7070', 'echo:7070']);
    expect(removedResources).toEqual(['nobody:7070']);
  });

  test('a headless service is balanced over its Pods (B5.09)', async () => {
    await serve('v1');
    await serve('v2');
    const mesh = await start(service('echo', 'clusterIP: None') + pod('v1') + pod('v2'));
    const client = mesh.client();
    // Calls go to the first connection that is ready, until there are two.
    await waitFor('both Pods', async () => (await client.tally(10))['v1'] === 5 || undefined);
    expect(await client.tally(10)).toEqual({ v1: 5, v2: 5 });
    expect(mesh.refusals()).toEqual([]);
  });

  test('weighted routes, and header matches before them, from one edit to the next (B5.09)', async () => {
    await serve('v1');
    await serve('v2');
    const weighted = virtualService(`{ route: [${to('v1', ', weight: 75')}, ${to('v2', ', weight: 25')}] }`);
    const mesh = await start(both + rule() + weighted);
    const client = mesh.client();
    const { v2 = 0, ...others } = await client.tally(400);
    expect(Object.keys(others)).toEqual(['v1']);
    // 5 standard deviations of a share of 25 % in 400.
    expect(v2).toBeGreaterThan(56);
    expect(v2).toBeLessThan(144);
    const match = `match: [{ headers: { end-user: { exact: jason } }, uri: { prefix: /test.Echo } }]`;
    mesh.put(both + rule() + virtualService(`{ ${match}, route: [${to('v2')}] }, { route: [${to('v1')}] }`));
    await waitFor('the new routes', async () => (await client.tally(20))['v1'] === 20 || undefined);
    expect(await client.tally(20, { 'end-user': 'jason' })).toEqual({ v2: 20 });
    expect(await client.tally(5, { 'end-user': 'other' })).toEqual({ v1: 5 });
    const absent = `{ withoutHeaders: { end-user: {} } }`;
    mesh.put(
      both +
        rule() +
        virtualService(`{ match: [${absent}], route: [${to('v2')}] }, { route: [${to('v1')}] }`),
    );
    await waitFor('the new routes', async () => (await client.say()) === 'v2' || undefined);
    expect(await client.tally(5, { 'end-user': 'jason' })).toEqual({ v1: 5 });
    expect(mesh.refusals()).toEqual([]);
  });

  test('faults, time-outs and retries (B5.09)', async () => {
    let failures = 0;
    const unavailable = { code: status.UNAVAILABLE, details: 'try again' };
    await serve('v1', { failure: () => (failures-- > 0 ? unavailable : undefined) });
    const mesh = await start(
      echo +
        pod('v1') +
        rule() +
        virtualService(
          `{ fault: { abort: { percentage: { value: 100 }, httpStatus: 503 } }, route: [${to('v1')}] }`,
        ),
    );
    const client = mesh.client();
    expect(await client.tally(3)).toEqual({ [`code ${status.UNAVAILABLE}`]: 3 });
    const change = (http: string): void => mesh.put(echo + pod('v1') + rule() + virtualService(http));
    const abort = `fault: { abort: { percentage: { value: 100 }, grpcStatus: PERMISSION_DENIED } }`;
    change(`{ ${abort}, route: [${to('v1')}] }`);
    const denied = `code ${status.PERMISSION_DENIED}`;
    await waitFor('the other fault', async () => (await client.tally(1))[denied] === 1 || undefined);
    change(
      `{ timeout: 0.1s, fault: { delay: { percentage: { value: 100 }, fixedDelay: 2s } }, route: [${to('v1')}] }`,
    );
    const late = `code ${status.DEADLINE_EXCEEDED}`;
    await waitFor('the delay', async () => (await client.tally(1))[late] === 1 || undefined);
    change(`{ retries: { attempts: 3, retryOn: unavailable }, route: [${to('v1')}] }`);
    await waitFor('no fault', async () => (await client.tally(1))['v1'] === 1 || undefined);
    failures = 2;
    expect(await client.say()).toBe('v1');
    expect(failures).toBeLessThan(0);
    expect(mesh.refusals()).toEqual([]);
  });

  test('an endpoint that fails every call of an interval is ejected (B5.09)', async () => {
    const unavailable = { code: status.UNAVAILABLE, details: 'broken' };
    await serve('v1');
    const broken = await serve('v2', { failure: () => unavailable });
    const outlier =
      'outlierDetection: { consecutive5xxErrors: 3, interval: 0.3s, baseEjectionTime: 60s, maxEjectionPercent: 100 }';
    const mesh = await start(
      both +
        rule(`, trafficPolicy: { ${outlier} }`) +
        virtualService(`{ retries: { attempts: 0 }, route: [{ destination: { host: echo } }] }`),
    );
    const client = mesh.client();
    const failed = `code ${status.UNAVAILABLE}`;
    await waitFor('a failure', async () => (await client.tally(4))[failed] === 2 || undefined);
    await waitFor('the ejection', async () => (await client.tally(10))['v1'] === 10 || undefined);
    const seen = broken.calls;
    expect(await client.tally(20)).toEqual({ v1: 20 });
    expect(broken.calls).toBe(seen);
    expect(mesh.refusals()).toEqual([]);
  });

  test('a consistent hash keeps a user with one server; least request is taken too (B5.09)', async () => {
    await serve('v1');
    await serve('v2');
    const hash = ', trafficPolicy: { loadBalancer: { consistentHash: { httpHeaderName: user } } }';
    const mesh = await start(both + rule(hash));
    const client = mesh.client();
    const servers = new Set<string>();
    for (let user = 0; user < 20; user++) {
      const found = Object.keys(await client.tally(3, { user: `u${user}` }));
      expect(found).toHaveLength(1);
      for (const name of found) servers.add(name);
    }
    expect([...servers].sort()).toEqual(['v1', 'v2']);
    mesh.put(both + rule(', trafficPolicy: { loadBalancer: { simple: LEAST_REQUEST } }'));
    await waitFor('an even share', async () => (await client.tally(10))['v1'] === 5 || undefined);
    expect(mesh.refusals()).toEqual([]);
  });

  test('what gRPC cannot do spoils nothing else: such routes are never met, or fail their calls (B5.09)', async () => {
    await serve('v1');
    const headers = (name: string): string => `headers: { case: { exact: ${name} } }`;
    const mesh = await start(
      echo +
        pod('v1') +
        rule() +
        virtualService(
          [
            `{ match: [{ queryParams: { a: { exact: b } } }], route: [${to('v2')}] }`,
            `{ match: [{ ${headers('redirect')} }], redirect: { uri: /elsewhere } }`,
            `{ match: [{ ${headers('direct')} }], directResponse: { status: 418 } }`,
            `{ match: [{ ${headers('unknown')} }], route: [{ destination: { host: echo, subset: none } }] }`,
            `{ match: [{ ${headers('nowhere')} }], route: [{ destination: { host: nobody.example.com } }] }`,
            `{ corsPolicy: { allowOrigins: [{ exact: x }] }, mirror: { host: echo }, rewrite: { uri: / }, route: [${to('v1')}] }`,
          ].join(', '),
        ),
    );
    const client = mesh.client();
    const startMs = performance.now();
    expect(await client.tally(3)).toEqual({ v1: 3 });
    // Nothing waits for a cluster that does not exist.
    expect(performance.now() - startMs).toBeLessThan(5000);
    for (const name of ['redirect', 'direct', 'unknown', 'nowhere'])
      expect(await client.tally(1, { case: name })).toEqual({ [`code ${status.UNAVAILABLE}`]: 1 });
    expect(mesh.refusals()).toEqual([]);
  });

  test('a service known by a DNS name is resolved by the client (B5.09)', async () => {
    const server = new EchoServer('local');
    closing.push(() => server.close());
    await server.listen(`127.0.0.1:${port}`);
    const mesh = await start(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: ext, namespace: default }
spec:
  hosts: [echo.example.com]
  resolution: DNS
  ports: [{ number: 7070, name: grpc, protocol: GRPC, targetPort: ${port} }]
  endpoints: [{ address: localhost }]
---`);
    expect(await mesh.client('echo.example.com:7070').say()).toBe('local');
    expect(mesh.refusals()).toEqual([]);
  });

  test('a server gets its listener by where it listens; one that no Service names waits (B5.09)', async () => {
    const mesh = await start(both);
    const node: GrpcNode = { ip: addresses.v1, pod: 'echo-v1', labels: { app: 'echo', version: 'v1' } };
    const server = xdsEchoServer('xds', grpcBootstrap(mesh.pilot.grpcPort, node));
    closing.push(() => server.close());
    expect(await server.listen(`0.0.0.0:${port}`, xdsServerCredentials())).toBe(port);
    expect(await mesh.client().say()).toBe('xds');
    expect(mesh.refusals()).toEqual([]);
  });

  test('mutual TLS of both ends from their own certificates, as the policies say (B5.09)', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'fairlead-grpc-'));
    closing.push(() => rmSync(directory, { recursive: true }));
    const authority = createAuthority(directory, 'mesh');
    const { chain, key } = authority.issue('workload', 'spiffe://cluster.local/ns/default/sa/default');
    writeFileSync(join(directory, 'cert.pem'), chain);
    writeFileSync(join(directory, 'key.pem'), key);
    writeFileSync(join(directory, 'ca.pem'), authority.chain);
    const policies = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: default, namespace: default }
spec: { mtls: { mode: STRICT } }
---`;
    const mutual = rule(', trafficPolicy: { tls: { mode: ISTIO_MUTUAL } }');
    const mesh = await start(echo + pod('v1') + policies + mutual);
    const labels = { app: 'echo', version: 'v1' };
    const node: GrpcNode = { ip: addresses.v1, pod: 'echo-v1', labels, certificates: directory };
    const server = xdsEchoServer('secure', grpcBootstrap(mesh.pilot.grpcPort, node));
    closing.push(() => server.close());
    await server.listen(`0.0.0.0:${port}`, xdsServerCredentials());
    expect(await mesh.client(undefined, { certificates: directory }).say()).toBe('secure');
    // In clear nobody is let in.
    const plain = new EchoClient(`${addresses.v1}:${port}`);
    closing.push(() => plain.close());
    expect(await plain.tally(1)).toEqual({ [`code ${status.UNAVAILABLE}`]: 1 });
    expect(mesh.refusals()).toEqual([]);
  });
});
