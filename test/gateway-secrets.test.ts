// Secrets of the configuration folder at work in stock Envoy and in our proxy: a gateway serves HTTPS from what the control plane
// sends it, follows its changes, and gets nothing that is not its own.
import { once } from 'node:events';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpsServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { connect } from 'node:tls';
import type { JsonObject } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { renderBootstrap } from '../src/agent/bootstrap.ts';
import { defaultNodeIdentity } from '../src/agent/node-identity.ts';
import { systemClock } from '../src/base/clock.ts';
import { LoggerRegistry } from '../src/base/logger.ts';
import { DirectorySource } from '../src/config/directory.ts';
import { ConfigStore } from '../src/config/store.ts';
import { IssuedTokens } from '../src/pilot/identity/token-authenticator.ts';
import type { Pilot } from '../src/pilot/pilot.ts';
import { startPilot } from '../src/pilot/pilot.ts';
import type { Authority, Certificate } from './support/certificates.ts';
import { createAuthority } from './support/certificates.ts';
import type { ProxyProcess } from './support/proxy-process.ts';
import { startProxyProcess } from './support/proxy-process.ts';
import { needs } from './support/tools.ts';
import { waitFor } from './support/wait.ts';

const ports = { shared: 24_601, own: 24_602, foreign: 24_603, backend: 24_604 };
const serverName = 'istiod.istio-system.svc';

const gateway = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: gw, namespace: edge }
spec:
  selector: { istio: ingressgateway }
  servers:
    - { port: { number: ${ports.shared}, name: a, protocol: HTTPS }, hosts: [a.test], tls: { mode: SIMPLE, credentialName: web } }
    - { port: { number: ${ports.shared}, name: m, protocol: HTTPS }, hosts: [m.test], tls: { mode: OPTIONAL_MUTUAL, credentialName: missing } }
    - { port: { number: ${ports.own}, name: c, protocol: HTTPS }, hosts: [c.test], tls: { mode: MUTUAL, credentialName: web } }
    - { port: { number: ${ports.foreign}, name: f, protocol: HTTPS }, hosts: [f.test], tls: { mode: SIMPLE, credentialName: 'kubernetes://bank/vault' } }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: web, namespace: edge }
spec:
  hosts: ['*']
  gateways: [gw]
  http:
    - match: [{ uri: { prefix: /backend } }]
      route: [{ destination: { host: backend.test, port: { number: 80 } } }]
    - directResponse: { status: 200, body: { string: served } }
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: backend, namespace: edge }
spec:
  hosts: [backend.test]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{ number: 80, name: http, protocol: HTTP, targetPort: ${ports.backend} }]
  endpoints: [{ address: 127.46.1.9 }]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: backend, namespace: edge }
spec:
  host: backend.test
  trafficPolicy: { tls: { mode: MUTUAL, credentialName: web, sni: backend.test } }
`;

function secret(namespace: string, name: string, { chain, key }: Certificate, ca?: string): string {
  const entries = { 'tls.crt': chain, 'tls.key': key, ...(ca === undefined ? {} : { 'ca.crt': ca }) };
  const data = Object.fromEntries(
    Object.entries(entries).map(([entry, text]) => [entry, Buffer.from(text).toString('base64')]),
  );
  return `
apiVersion: v1
kind: Secret
metadata: { name: ${name}, namespace: ${namespace} }
type: kubernetes.io/tls
data: ${JSON.stringify(data)}
`;
}

const withoutOpenssl = needs('openssl');
const withoutEnvoy = needs('envoy');

/** Through TLS with a client certificate, or in plaintext with a token: the same gateway, of either data plane. */
const ways = [
  {
    plane: 'envoy',
    way: 'through TLS, with a certificate',
    podIp: '127.46.1.1',
    adminPort: 24_650,
    delta: false,
  },
  { plane: 'envoy', way: 'in plaintext, with a token', podIp: '127.46.1.2', adminPort: 24_651, delta: true },
  {
    plane: 'fairlead',
    way: 'in plaintext, with a token',
    podIp: '127.46.1.3',
    adminPort: 24_652,
    delta: true,
  },
  { plane: 'fairlead', way: 'in plaintext, in SotW', podIp: '127.46.1.4', adminPort: 24_653, delta: false },
] as const;

describe.each(ways)('secrets for $plane $way', ({ plane, way, podIp, adminPort, delta }) => {
  describe.skipIf(withoutOpenssl || (plane === 'envoy' && withoutEnvoy))('of a gateway', () => {
    const directory = mkdtempSync(join(tmpdir(), 'fairlead-gateway-secrets-'));
    const config = mkdtempSync(join(tmpdir(), 'fairlead-gateway-secrets-config-'));
    const logs: string[] = [];
    const isSecure = way.includes('through TLS');
    const token = 'x'.repeat(43);
    let mesh: Authority;
    let web: Authority;
    let client: Certificate;
    let source: DirectorySource;
    let pilot: Pilot;
    let proxy: ProxyProcess;

    const write = (file: string, text: string): void => {
      writeFileSync(join(config, `${file}.tmp`), text);
      renameSync(join(config, `${file}.tmp`), join(config, file));
    };

    beforeAll(async () => {
      mesh = createAuthority(directory, 'mesh');
      web = createAuthority(directory, 'web');
      client = web.issue('client.test');
      write('gateway.yaml', gateway);
      write('web.yaml', secret('edge', 'web', web.issue('a.test', 'c.test'), web.chain));
      write('vault.yaml', secret('bank', 'vault', web.issue('f.test')));
      const files = {
        certificate: join(directory, 'tls.crt'),
        key: join(directory, 'tls.key'),
        ca: join(directory, 'ca.crt'),
      };
      const server = mesh.issue(serverName);
      writeFileSync(files.certificate, server.chain);
      writeFileSync(files.key, server.key);
      writeFileSync(files.ca, mesh.chain);
      const store = new ConfigStore();
      const loggers = new LoggerRegistry({ level: 'info', write: (line) => void logs.push(line) });
      source = new DirectorySource({
        path: config,
        store,
        clock: systemClock,
        logger: loggers.logger('config'),
      });
      source.start();
      const issuedTokens = new IssuedTokens();
      issuedTokens.add(token, { trustDomain: 'cluster.local', namespace: 'edge', serviceAccount: 'gateway' });
      pilot = await startPilot({
        store,
        loggers,
        grpcAddress: '127.0.0.1:0',
        httpAddress: '127.0.0.1:0',
        secure: { address: '127.0.0.1:0', files },
        issuedTokens,
      });
      const workload = mesh.issue('gateway', 'spiffe://cluster.local/ns/edge/sa/gateway');
      const bootstrap = renderBootstrap({
        node: {
          ...defaultNodeIdentity,
          type: 'router',
          ipAddresses: [podIp],
          podName: 'gateway-0',
          namespace: 'edge',
          serviceAccount: 'gateway',
          labels: { istio: 'ingressgateway' },
          workloadName: 'gateway',
          interception: { mode: 'loopback', httpProxyPort: 0, gatewayBinds: [] },
          proxyMetadata: { ISTIO_DELTA_XDS: String(delta) },
        },
        discovery: { address: '127.0.0.1', port: isSecure ? pilot.securePort : pilot.grpcPort },
        bindAddress: '127.0.0.1',
        adminPort,
        statusPort: adminPort + 10,
        prometheusPort: adminPort + 20,
        ...(isSecure ? {} : { token }),
      });
      proxy = await startProxyProcess(
        plane,
        JSON.stringify(isSecure ? withTls(bootstrap, workload, mesh.chain) : bootstrap),
        adminPort,
      );
    }, 60_000);
    afterAll(async () => {
      await proxy?.stop();
      await pilot?.close();
      source?.close();
      for (const each of [directory, config]) rmSync(each, { recursive: true, force: true });
    });

    const dial = (servername: string, port: number, shown?: Certificate): Promise<TLSSocket> =>
      new Promise((resolve, reject) => {
        const own = shown === undefined ? {} : { cert: shown.chain, key: shown.key };
        const socket = connect({ host: podIp, port, servername, ca: web.chain, ...own }, () => {
          socket.setTimeout(0);
          resolve(socket);
        });
        socket.setTimeout(2000, () => socket.destroy(new Error('no answer')));
        socket.once('error', reject);
        socket.once('close', () => reject(new Error('closed')));
      });
    /** The serial number of the certificate, and the body. */
    const get = async (servername: string, port: number, shown?: Certificate, path = '/') => {
      const socket = await dial(servername, port, shown);
      const { serialNumber } = socket.getPeerCertificate();
      socket.write(`GET ${path} HTTP/1.1\r\nHost: ${servername}\r\nConnection: close\r\n\r\n`);
      let text = '';
      socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
      await new Promise((resolve) => socket.once('close', resolve));
      // In TLS 1.3 a client is done before the server has judged its certificate.
      if (text === '') throw new Error('closed without an answer');
      return { serialNumber, body: text.slice(text.indexOf('\r\n\r\n') + 4) };
    };
    const eventually = <T>(what: string, look: () => Promise<T | undefined>, withinMs = 10_000): Promise<T> =>
      waitFor(what, () => look().catch(() => undefined), withinMs);

    test('HTTPS from a Secret, clients by its CA; a replaced one is served at once, without a lost connection (B5.02, B5.11)', async () => {
      // Envoy waits 15 s for a secret that does not come before it opens its first ports.
      const first = await eventually('HTTPS', () => get('c.test', ports.own, client), 25_000);
      expect(first.body).toBe('served');
      await expect(get('c.test', ports.own)).rejects.toThrow();
      const open = await dial('c.test', ports.own, client);
      write('web.yaml', secret('edge', 'web', web.issue('a.test', 'c.test', 'new.test'), web.chain));
      const second = await eventually('the new certificate', async () => {
        const found = await get('c.test', ports.own, client);
        return found.serialNumber === first.serialNumber ? undefined : found;
      });
      expect(second.body).toBe('served');
      // The connection from before is as it was.
      open.write('GET / HTTP/1.1\r\nHost: c.test\r\nConnection: close\r\n\r\n');
      const [data] = (await once(open, 'data')) as [Buffer];
      expect(data.toString()).toContain('200 OK');
    }, 60_000);

    test.skipIf(plane === 'fairlead')(
      'credentialName of a DestinationRule: the cluster’s certificate and CA are that Secret, too (B5.11)',
      async () => {
        const own = web.issue('backend.test');
        const backend = createHttpsServer(
          { cert: own.chain, key: own.key, ca: web.chain, requestCert: true, rejectUnauthorized: true },
          (request, response) => {
            const shown = (request.socket as TLSSocket).getPeerCertificate();
            response.end(`seen ${String(shown.subject.CN)}`);
          },
        );
        backend.listen(ports.backend, '127.46.1.9');
        await once(backend, 'listening');
        try {
          const { body } = await eventually('the backend', async () => {
            const found = await get('c.test', ports.own, client, '/backend');
            return found.body.includes('seen') ? found : undefined;
          });
          expect(body).toContain('seen a.test');
        } finally {
          backend.closeAllConnections();
          backend.close();
        }
      },
      30_000,
    );

    test('a pair that does not fit changes nothing, and is said with its place (B5.12)', async () => {
      const before = await get('c.test', ports.own, client);
      const [one, other] = [
        web.issue('a.test', 'c.test', 'one.test'),
        web.issue('a.test', 'c.test', 'two.test'),
      ];
      write('web.yaml', secret('edge', 'web', { chain: one.chain, key: other.key }, web.chain));
      await eventually(
        'the complaint',
        async () =>
          logs.some((line) => /web\.yaml:\d+:\d+: Secret edge\/web: data\["tls\.key"\]/.test(line)) ||
          undefined,
      );
      expect((await get('c.test', ports.own, client)).serialNumber).toBe(before.serialNumber);
      write('web.yaml', secret('edge', 'web', other, web.chain));
      await eventually('the good one', async () =>
        (await get('c.test', ports.own, client)).serialNumber === before.serialNumber ? undefined : true,
      );
    }, 30_000);

    test('a Secret that is missing leaves the other server of its port working; it is served once it comes (58146, 60618)', async () => {
      // Envoy waits 15 s for a secret before it goes on without.
      expect((await eventually('the other server', () => get('a.test', ports.shared), 25_000)).body).toBe(
        'served',
      );
      await expect(get('m.test', ports.shared)).rejects.toThrow();
      expect(logs.filter((line) => line.includes('"kubernetes://missing"'))).toEqual([
        expect.stringContaining('there is no Secret edge/missing that can be used for it') as string,
      ]);
      write('missing.yaml', secret('edge', 'missing', web.issue('m.test'), web.chain));
      expect((await eventually('the late one', () => get('m.test', ports.shared))).body).toBe('served');
      expect((await get('m.test', ports.shared, client)).body).toBe('served');
    }, 60_000);

    test('a Secret of another namespace is not served (B5.11, traps.md 16)', async () => {
      await expect(get('f.test', ports.foreign)).rejects.toThrow();
      expect(logs.filter((line) => line.includes('"kubernetes://bank/vault"'))).toEqual([
        expect.stringContaining('Secrets of others are not for it') as string,
      ]);
      const { body } = await proxy.admin('/config_dump');
      expect(body).toContain('kubernetes://bank/vault');
      // The cluster with TLS is refused by our proxy so far.
      expect(
        await rejections(proxy, plane === 'fairlead' ? '(lds|sds).*update_rejected' : 'update_rejected'),
      ).toBe(0);
    });
  });
});

async function rejections(proxy: ProxyProcess, filter: string): Promise<number> {
  const { body } = await proxy.admin(`/stats?filter=${filter}`);
  return [...body.matchAll(/: (\d+)/g)].reduce((sum, [, count]) => sum + Number(count), 0);
}

/** The control plane reached through TLS, as the workload. */
function withTls(bootstrap: JsonObject, { chain, key }: Certificate, ca: string): JsonObject {
  const { clusters, ...others } = bootstrap['static_resources'] as JsonObject;
  const inline = (text: string) => ({ inline_string: text });
  const socket = {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
      sni: serverName,
      common_tls_context: {
        alpn_protocols: ['h2'],
        tls_certificates: [{ certificate_chain: inline(chain), private_key: inline(key) }],
        validation_context: {
          trusted_ca: inline(ca),
          match_typed_subject_alt_names: [{ san_type: 'DNS', matcher: { exact: serverName } }],
        },
      },
    },
  };
  return {
    ...bootstrap,
    static_resources: {
      ...others,
      clusters: (clusters as JsonObject[]).map((cluster) =>
        cluster['name'] === 'xds-grpc' ? { ...cluster, transport_socket: socket } : cluster,
      ),
    },
  };
}
