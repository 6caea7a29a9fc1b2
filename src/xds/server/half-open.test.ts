// Peers that are gone without having said so, and a server that stands still for a while.
import { afterEach, expect, test } from 'vitest';
import { BareAdsClient } from '../../../test/support/ads-client.ts';
import { Network } from '../../../test/support/network.ts';
import { waitFor } from '../../../test/support/wait.ts';
import { systemClock } from '../../base/clock.ts';
import { silentLogger } from '../../base/logger.ts';
import { typeUrls } from '../types.ts';
import { keepaliveMs, keepaliveTimeoutMs } from './limits.ts';
import { XdsServer } from './server.ts';

const node = { id: 'sidecar~10.0.0.1~pod.default~default.svc.cluster.local' };
const servers: XdsServer[] = [];
const clients: BareAdsClient[] = [];
const networks: Network[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  for (const network of networks.splice(0)) network.close();
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

interface Served {
  readonly port: number;
  /** Streams that have ended. */
  closed: number;
  opened: number;
}

async function serve(everyMs: number, timeoutMs: number): Promise<Served> {
  const served = { port: 0, opened: 0, closed: 0 };
  const server = new XdsServer({
    clock: systemClock,
    logger: silentLogger,
    controlPlane: '',
    ready: () => true,
    serves: () => true,
    streamsPerSecond: 1000,
    keepalive: { everyMs, timeoutMs },
    connect: () => {
      served.opened++;
      return { received: () => {}, drained: () => {}, closed: () => void served.closed++ };
    },
  });
  servers.push(server);
  served.port = await server.listen('127.0.0.1:0');
  return served;
}

function ask(port: number): BareAdsClient {
  const client = new BareAdsClient(port);
  clients.push(client);
  client.send({ typeUrl: typeUrls.cluster, node });
  return client;
}

test('fault: a peer that vanishes without a word (half-open) is noticed by keepalive, and its stream ends; others stay', async () => {
  const served = await serve(200, 200);
  const network = await new Network(served.port).listen();
  networks.push(network);
  ask(network.port);
  const present = ask(served.port);
  await waitFor('both', () => served.opened === 2 || undefined);
  network.cut();
  const startMs = performance.now();
  await waitFor('the end', () => served.closed === 1 || undefined, 5000, 5);
  expect(performance.now() - startMs).toBeLessThan(2000);
  await new Promise((resolve) => setTimeout(resolve, 600));
  expect(served.closed).toBe(1);
  expect(present.error).toBeUndefined();
  // Istio's figures: a peer that is gone is noticed within 40 s.
  expect([keepaliveMs, keepaliveTimeoutMs]).toEqual([30_000, 10_000]);
});

test('fault: the event loop stands still for half of the time that a keepalive may take: no stream is lost', async () => {
  const served = await serve(100, 1000);
  const client = ask(served.port);
  await waitFor('it', () => served.opened === 1 || undefined);
  for (let round = 0; round < 3; round++) {
    // oxlint-disable-next-line no-await-in-loop -- one stall after the other, at different points of a keepalive's life
    await new Promise((resolve) => setTimeout(resolve, 60 + 40 * round));
    const untilMs = performance.now() + 500;
    while (performance.now() < untilMs);
  }
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(served.closed).toBe(0);
  expect(client.error).toBeUndefined();
});
