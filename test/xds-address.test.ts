// The tools' questions over xDS: the same pages as on the debug port, also where only the xDS port can be reached.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { LoggerRegistry } from '../src/base/logger.ts';
import { systemClock } from '../src/base/clock.ts';
import { ConfigStore } from '../src/config/store.ts';
import { ControlPlane } from '../src/istioctl/control-plane.ts';
import { connectedProxies } from '../src/istioctl/proxies.ts';
import type { Pilot, PilotOptions } from '../src/pilot/pilot.ts';
import { startPilot } from '../src/pilot/pilot.ts';
import { typeUrls } from '../src/xds/types.ts';
import { BareAdsClient } from './support/ads-client.ts';
import { createAuthority } from './support/certificates.ts';
import { needs } from './support/tools.ts';

const closing: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function start(part: Partial<PilotOptions> = {}): Promise<Pilot> {
  const pilot = await startPilot({
    store: new ConfigStore(),
    loggers: new LoggerRegistry({ level: 'off' }),
    grpcAddress: '127.0.0.1:0',
    httpAddress: '127.0.0.1:0',
    ...part,
  });
  closing.push(() => pilot.close());
  const proxy = new BareAdsClient(pilot.grpcPort);
  closing.push(() => proxy.close());
  proxy.send({
    typeUrl: typeUrls.cluster,
    node: { id: 'sidecar~10.1.0.1~a-0.default~default.svc.cluster.local' },
  });
  await proxy.next();
  return pilot;
}

test('ControlPlane.overXds: proxies and config dumps as from the debug port (B5.07)', async () => {
  const pilot = await start();
  const overHttp = new ControlPlane(systemClock, `127.0.0.1:${pilot.httpPort}`);
  const overXds = ControlPlane.overXds(systemClock, { address: `127.0.0.1:${pilot.grpcPort}` });
  const [proxy] = await connectedProxies(overXds);
  expect(proxy?.id).toBe('a-0.default');
  expect(await connectedProxies(overXds)).toEqual(await connectedProxies(overHttp));
  const path = '/debug/config_dump?proxyID=a-0.default';
  expect(await overXds.getJson(path)).toEqual(await overHttp.getJson(path));
  await expect(overXds.get('/debug/nothing')).rejects.toThrow('status 404');
});

test('ControlPlane.overXds: what cannot be reached, or is no address, is said in words', async () => {
  const nobody = ControlPlane.overXds(systemClock, { address: '127.0.0.1:1' });
  await expect(nobody.get('/debug/syncz')).rejects.toThrow(
    'cannot reach the control plane at 127.0.0.1:1: nobody listens there (connection refused); start',
  );
  expect(() => ControlPlane.overXds(systemClock, { address: 'somewhere' })).toThrow('--xds-address');
  expect(() =>
    ControlPlane.overXds(systemClock, { address: '127.0.0.1:1', certDirectory: '/nowhere' }),
  ).toThrow('--cert-dir: cannot read');
});

test.skipIf(needs('openssl'))(
  'ControlPlane.overXds: through TLS, as whoever the certificate says (B5.07, partly B1.07)',
  async () => {
    const directory = mkdtempSync(join(tmpdir(), 'fairlead-xds-address-'));
    closing.push(() => rmSync(directory, { recursive: true }));
    const authority = createAuthority(directory, 'mesh');
    const write = (file: string, text: string): string => {
      writeFileSync(join(directory, file), text);
      return join(directory, file);
    };
    const server = authority.issue('istiod.istio-system.svc');
    const pilot = await start({
      secure: {
        address: '127.0.0.1:0',
        files: {
          certificate: write('tls.crt', server.chain),
          key: write('tls.key', server.key),
          ca: write('ca.crt', authority.chain),
        },
      },
    });
    write('root-cert.pem', authority.chain);
    // Each side speaks TLS, the other does not.
    const closed = ControlPlane.overXds(systemClock, { address: `127.0.0.1:${pilot.securePort}` });
    await expect(closed.get('/debug/syncz')).rejects.toThrow('if TLS is spoken there, give --cert-dir');
    const ask = async (namespace: string): Promise<readonly string[]> => {
      const own = authority.issue(`reader.${namespace}`, `spiffe://cluster.local/ns/${namespace}/sa/reader`);
      write('cert-chain.pem', own.chain);
      write('key.pem', own.key);
      const controlPlane = ControlPlane.overXds(systemClock, {
        address: `127.0.0.1:${pilot.securePort}`,
        certDirectory: directory,
        authority: 'istiod.istio-system.svc',
        namespace,
      });
      return (await connectedProxies(controlPlane)).map(({ id }) => id);
    };
    expect(await ask('istio-system')).toEqual(['a-0.default']);
    await expect(ask('default')).rejects.toThrow('not available');
  },
);
