// HTTPS of a gateway of `fairlead up`: its Secret comes over plaintext, for the pod's own token.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, expect, test } from 'vitest';
import { createAuthority } from './support/certificates.ts';
import type { Mesh } from './support/mesh.ts';
import { startMesh } from './support/mesh.ts';
import { call } from './support/http.ts';
import { needs } from './support/tools.ts';
import { waitFor } from './support/wait.ts';

const directory = mkdtempSync(join(tmpdir(), 'fairlead-up-https-'));
let mesh: Mesh | undefined;
afterAll(async () => {
  await mesh?.stop();
  rmSync(directory, { recursive: true, force: true });
});

test.skipIf(needs('envoy', 'openssl'))(
  'a gateway of up serves HTTPS from a Secret of the folder (B5.11)',
  async () => {
    const authority = createAuthority(directory, 'web');
    const secret = (...names: [string, ...string[]]): string => {
      const { chain, key } = authority.issue(...names);
      return `
apiVersion: v1
kind: Secret
metadata: { name: web, namespace: istio-system }
type: kubernetes.io/tls
stringData: ${JSON.stringify({ 'tls.crt': chain, 'tls.key': key })}
`;
    };
    const gateway = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: gw, namespace: istio-system }
spec:
  selector: { istio: ingressgateway }
  servers:
    - { port: { number: 80, name: http, protocol: HTTP }, hosts: ['*'] }
    - { port: { number: 443, name: https, protocol: HTTPS }, hosts: [a.test], tls: { mode: SIMPLE, credentialName: web } }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: web, namespace: istio-system }
spec:
  hosts: ['*']
  gateways: [gw]
  http: [{ directResponse: { status: 200, body: { string: served } } }]
`;
    mesh = await startMesh({
      files: { 'gateway.yaml': gateway, 'secret.yaml': secret('a.test') },
      dataPlane: 'envoy',
      network: 46,
    });
    const running = mesh;
    const host = await running.podIp('istio-system', 'istio-ingressgateway');
    const serial = (): Promise<string> =>
      new Promise((resolve, reject) => {
        const socket = connect({ host, port: 8443, servername: 'a.test', ca: authority.chain }, () => {
          resolve(socket.getPeerCertificate().serialNumber);
          socket.destroy();
        });
        socket.once('error', reject);
      });
    const first = await waitFor('HTTPS', () => serial().catch(() => undefined));
    running.write('secret.yaml', secret('a.test', 'new.test'));
    await waitFor('the new certificate', async () => ((await serial()) === first ? undefined : true));
    // Who has no token, or a wrong one, is nobody; what is shown of the Secret is redacted.
    const dump = await call({
      url: `http://${running.debug}/debug/config_dump?types=sds&proxyID=istio-system`,
    });
    expect(dump.body).toContain(Buffer.from('[redacted]').toString('base64'));
    expect(running.output()).not.toMatch(/error|internal/i);
  },
  90_000,
);
