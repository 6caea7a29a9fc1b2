// Streams that are made to cost: names that add up, requests that take long to work off, texts that cannot be sent back.
import { afterEach, expect, test } from 'vitest';
import { create, toBinary } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import { BareDeltaClient, callUnary } from '../../../test/support/delta-client.ts';
import { DiscoveryRequestSchema } from '../../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import { systemClock } from '../../base/clock.ts';
import { silentLogger } from '../../base/logger.ts';
import { typeUrls } from '../types.ts';
import { namesLengthMax } from './limits.ts';
import { XdsServer } from './server.ts';
import { StreamError, grpcStatus, sentDetails } from './stream-error.ts';
import type { XdsStream } from './stream.ts';

const opened: { close(): unknown }[] = [];
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close();
});

const node = { id: 'sidecar~10.0.0.1~pod.default~default.svc.cluster.local' };

function keep<Client extends { close(): unknown }>(client: Client): Client {
  opened.push(client);
  return client;
}

/** `work` is done for each request. */
async function serve(work: (stream: XdsStream) => void = () => {}): Promise<number> {
  const server = new XdsServer({
    clock: systemClock,
    logger: silentLogger,
    controlPlane: '{}',
    ready: () => true,
    serves: () => true,
    streamsPerSecond: 1000,
    connect: (stream) => ({
      received: (typeUrl, event) => {
        work(stream);
        if (event.kind === 'subscribe')
          stream.send({ typeUrl, versionInfo: 't/1', resources: [], removed: [] });
      },
      drained: () => {},
      closed: () => {},
    }),
  });
  opened.push(server);
  return server.listen('127.0.0.1:0');
}

test('XdsServer: a refusal that quotes half a character is told, and ends the stream (traps 17)', async () => {
  const port = await serve();
  // The quoted part ends between the two units of the sign.
  const typeUrl = `${'x'.repeat(2047)}\u{1F600}\u{1F600}`;
  const client = keep(new BareDeltaClient(port, '/envoy.service.route.v3.RouteDiscoveryService/DeltaRoutes'));
  client.send({ typeUrl, node });
  expect(await client.failure()).toMatchObject({ code: status.INVALID_ARGUMENT });
  const request = toBinary(DiscoveryRequestSchema, create(DiscoveryRequestSchema, { typeUrl, node }));
  await expect(
    callUnary(port, '/envoy.service.route.v3.RouteDiscoveryService/FetchRoutes', request),
  ).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
});

test('XdsServer: a refusal without end is told in its beginning', async () => {
  const port = await serve(() => {
    throw new StreamError(grpcStatus.PERMISSION_DENIED, `you are not ${'\u00e9'.repeat(1_000_000)}`);
  });
  const client = keep(new BareDeltaClient(port));
  client.send({ typeUrl: typeUrls.route, resourceNamesSubscribe: ['80'], node });
  const { code, details } = await client.failure();
  expect(code).toBe(status.PERMISSION_DENIED);
  expect(details).toHaveLength(1024);
});

test('sentDetails: whole characters stay, halves are replaced', () => {
  expect(sentDetails('a\u{1F600}b')).toBe('a\u{1F600}b');
  expect(sentDetails('a\ud83d')).toBe('a\uFFFD');
  expect(sentDetails('\ude00a\ud83db')).toBe('\uFFFDa\uFFFDb');
});

test('XdsServer: long names do not add up over requests beyond their sum (traps 17)', async () => {
  const port = await serve();
  const client = keep(new BareDeltaClient(port));
  const perRequest = 1500;
  for (let part = 0; part * perRequest * 2000 <= namesLengthMax; part++)
    client.send({
      typeUrl: typeUrls.route,
      resourceNamesSubscribe: Array.from({ length: perRequest }, (_, index) =>
        `${part}-${index}`.padEnd(2000, 'x'),
      ),
      ...(part === 0 ? { node } : {}),
    });
  const { code, details } = await client.failure();
  expect(code).toBe(status.INVALID_ARGUMENT);
  expect(details).toMatch(/resource names of \d+ characters in a subscription: accepted are 8388608/);
});

test('XdsServer: one stream with much to do does not keep others waiting (traps 17)', async () => {
  const busyId = `${node.id}-busy`;
  let worked = 0;
  const port = await serve((stream) => {
    if (!stream.id.startsWith(busyId)) return;
    worked++;
    for (const endMs = performance.now() + 10; performance.now() < endMs;);
  });
  const busy = keep(new BareDeltaClient(port));
  // 20 s of work.
  for (let index = 0; index < 2000; index++)
    busy.send({
      typeUrl: typeUrls.route,
      resourceNamesSubscribe: [`${index}`],
      ...(index === 0 ? { node: { id: busyId } } : {}),
    });
  await busy.next();
  const beginMs = performance.now();
  const other = keep(new BareDeltaClient(port));
  other.send({ typeUrl: typeUrls.route, resourceNamesSubscribe: ['80'], node });
  await other.next();
  expect(performance.now() - beginMs).toBeLessThan(4000);
  await new Promise((resolve) => setTimeout(resolve, 5000));
  // A second, and a quarter of the rest; without a budget it is as much as there is time for.
  expect(worked * 10).toBeLessThan(1000 + (performance.now() - beginMs) * 0.25 + 800);
  expect(busy.error).toBeUndefined();
}, 20_000);
