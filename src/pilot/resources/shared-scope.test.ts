// Two proxies of one scope share every snapshot: what one of them has read must still be pushed to the other.
import { afterEach, expect, test } from 'vitest';
import { BareAdsClient } from '../../../test/support/ads-client.ts';
import { configsOfYaml } from '../../../test/support/world.ts';
import { LoggerRegistry } from '../../base/logger.ts';
import { ConfigStore } from '../../config/store.ts';
import { typeUrls } from '../../xds/types.ts';
import { startPilot } from '../pilot.ts';

const opened: { close(): unknown }[] = [];
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close();
});

const service = (name: string): string => `
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: shop }
spec: { clusterIP: 10.96.0.9, ports: [{ name: http, port: 80 }] }
`;

test('a change reaches each replica of a Deployment', async () => {
  const store = new ConfigStore();
  const pilot = await startPilot({
    store,
    loggers: new LoggerRegistry({ level: 'off' }),
    grpcAddress: '127.0.0.1:0',
    httpAddress: '127.0.0.1:0',
  });
  opened.push(pilot);
  const clients = [1, 2, 3].map((number) => {
    const client = new BareAdsClient(pilot.grpcPort);
    opened.push(client);
    const id = `sidecar~10.1.0.${number}~web-${number}.shop~shop.svc.cluster.local`;
    client.send({ node: { id, metadata: { NAMESPACE: 'shop' } }, typeUrl: typeUrls.cluster });
    return client;
  });
  for (const client of clients) client.ack(await client.next());
  store.applyBatch('test', configsOfYaml(service('late')), []);
  for (const client of clients)
    expect((await client.next()).resources.length, `client ${clients.indexOf(client)}`).toBeGreaterThan(2);
});

const pod = (name: string, address: string): string => `
---
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: shop, labels: { app: late } }
spec: { containers: [{ name: app, image: late }] }
status: { podIP: ${address}, phase: Running, conditions: [{ type: Ready, status: 'True' }] }
`;

test('an endpoint reaches each replica of a Deployment', async () => {
  const store = new ConfigStore();
  const selecting = service('late').replace('clusterIP', 'selector: { app: late }, clusterIP');
  store.applyBatch('test', configsOfYaml(selecting + pod('a', '10.2.0.1')), []);
  const pilot = await startPilot({
    store,
    loggers: new LoggerRegistry({ level: 'off' }),
    grpcAddress: '127.0.0.1:0',
    httpAddress: '127.0.0.1:0',
  });
  opened.push(pilot);
  const cluster = 'outbound|80||late.shop.svc.cluster.local';
  const clients = [1, 2, 3].map((number) => {
    const client = new BareAdsClient(pilot.grpcPort);
    opened.push(client);
    const id = `sidecar~10.1.0.${number}~web-${number}.shop~shop.svc.cluster.local`;
    client.send({
      node: { id, metadata: { NAMESPACE: 'shop' } },
      typeUrl: typeUrls.endpoint,
      resourceNames: [cluster],
    });
    return client;
  });
  for (const client of clients) client.ack(await client.next(), [cluster]);
  for (let round = 2; round < 12; round++) {
    store.applyBatch('test', configsOfYaml(pod(`p${round}`, `10.2.0.${round}`)), []);
    for (const client of clients) {
      const response = await client.next();
      expect(response.typeUrl, `client ${clients.indexOf(client)} in round ${round}`).toBe(typeUrls.endpoint);
      client.ack(response, [cluster]);
    }
  }
}, 20_000);
