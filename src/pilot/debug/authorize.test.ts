// Debug pages for clients that are not on this machine: here, those that come by another name in Host.
import { afterEach, expect, test } from 'vitest';
import { BareAdsClient } from '../../../test/support/ads-client.ts';
import { call } from '../../../test/support/http.ts';
import { LoggerRegistry } from '../../base/logger.ts';
import { ConfigStore } from '../../config/store.ts';
import { typeUrls } from '../../xds/types.ts';
import { IssuedTokens } from '../identity/token-authenticator.ts';
import { startPilot } from '../pilot.ts';

const opened: { close(): unknown }[] = [];
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close();
});

test('pages want an identity: of its own namespace’s proxies alone, all for the root namespace (F.03, traps.md 16)', async () => {
  const issuedTokens = new IssuedTokens();
  for (const namespace of ['shop', 'bank', 'istio-system'])
    issuedTokens.add(`token-of-${namespace}`, {
      trustDomain: 'cluster.local',
      namespace,
      serviceAccount: 'a',
    });
  const pilot = await startPilot({
    store: new ConfigStore(),
    loggers: new LoggerRegistry({ level: 'off' }),
    grpcAddress: '127.0.0.1:0',
    httpAddress: '127.0.0.1:0',
    issuedTokens,
  });
  opened.push(pilot);
  for (const namespace of ['shop', 'bank']) {
    const client = new BareAdsClient(pilot.grpcPort);
    opened.push(client);
    const id = `sidecar~10.1.0.1~web.${namespace}~${namespace}.svc.cluster.local`;
    client.send({ node: { id, metadata: { NAMESPACE: namespace } }, typeUrl: typeUrls.cluster });
    await client.next();
  }
  const get = async (path: string, namespace?: string) => {
    const { status } = await call({
      url: `http://127.0.0.1:${pilot.httpPort}${path}`,
      headers: {
        host: 'pilot.test',
        ...(namespace === undefined ? {} : { authorization: `Bearer token-of-${namespace}` }),
      },
    });
    return status;
  };
  expect(await get('/debug/config_dump?proxyID=web.shop')).toBe(401);
  expect(await get('/debug/config_dump?proxyID=web.shop', 'nobody')).toBe(401);
  expect(await get('/debug/config_dump?proxyID=web.shop', 'shop')).toBe(200);
  expect(await get('/debug/edsz?proxyID=web.shop', 'shop')).toBe(200);
  expect(await get('/debug/ndsz?proxyID=web.shop', 'shop')).toBe(200);
  // Of others it is as if they were not connected.
  expect(await get('/debug/config_dump?proxyID=web.bank', 'shop')).toBe(404);
  expect(await get('/debug/config_dump?proxyID=web.nowhere', 'shop')).toBe(404);
  expect(await get('/debug/edsz', 'shop')).toBe(400);
  for (const page of [
    'adsz',
    'syncz',
    'configz',
    'registryz',
    'list',
    'connections',
    'sourcez?proxyID=web.shop',
    'adsz?push=true',
    '',
  ])
    expect(await get(`/debug/${page}`.replace(/\/$/, ''), 'shop'), page).toBe(403);
  for (const page of ['adsz', 'configz', 'config_dump?proxyID=web.shop', 'config_dump?proxyID=web.bank'])
    expect(await get(`/debug/${page}`, 'istio-system'), page).toBe(200);
  // By its own name it is this machine that asks: always.
  const local = await call({ url: `http://127.0.0.1:${pilot.httpPort}/debug/adsz` });
  expect(local.status).toBe(200);
  // What says nothing of anybody answers everybody.
  expect(await get('/ready')).toBe(200);
});
