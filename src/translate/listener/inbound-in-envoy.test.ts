// virtualInbound in stock Envoy, with certificates in the place of SDS: who gets in, and as what.
import { createServer as createHttpServer } from 'node:http';
import type { AddressInfo, Server, Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import type { DescMessage, JsonObject, JsonValue } from '@bufbuild/protobuf';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Authority, Certificate } from '../../../test/support/certificates.ts';
import { createAuthority } from '../../../test/support/certificates.ts';
import type { ProxyProcess } from '../../../test/support/proxy-process.ts';
import { startProxyProcess } from '../../../test/support/proxy-process.ts';
import { needs } from '../../../test/support/tools.ts';
import { waitFor } from '../../../test/support/wait.ts';
import { worldAndScope } from '../../../test/support/translated.ts';
import { messageToJson } from '../../api/any.ts';
import { clusters } from '../cluster/clusters.ts';
import { listeners } from '../listeners.ts';
import type { ResourceKind } from '../resource.ts';

const podIp = '127.102.1.1';
const appAddress = '127.102.2.1';
const adminPort = 21_910;
const inboundPort = 21_906;

let httpApp: Server;
let tcpApp: Server;
let authority: Authority;
let workload: Certificate;
let directory = '';
let envoy: ProxyProcess | undefined;

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

/** The first says what it was told of the client; the other shows the first byte that it gets. */
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'fairlead-inbound-'));
  httpApp = createHttpServer((request, response) => {
    response.end(`client ${String(request.headers['x-forwarded-client-cert'])}\n`);
  });
  tcpApp = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.once('data', (bytes) => socket.end(`first byte ${bytes[0] ?? 0}\n`));
  });
  for (const app of [httpApp, tcpApp])
    await new Promise<void>((resolve) => app.listen(0, appAddress, () => resolve()));
  if (needs('envoy')) return;
  authority = createAuthority(directory, 'mesh');
  workload = authority.issue('app', 'spiffe://cluster.local/ns/default/sa/app');
}, 60_000);

afterEach(async () => {
  await envoy?.stop();
  envoy = undefined;
});

afterAll(() => {
  httpApp.close();
  tcpApp.close();
  rmSync(directory, { recursive: true, force: true });
});

async function startInbound(mode: string): Promise<void> {
  const yaml = `
apiVersion: v1
kind: Service
metadata: { name: app }
spec:
  clusterIP: 10.0.0.1
  selector: { app: app }
  ports: [{ name: http, port: ${portOf(httpApp)} }, { name: tcp, port: ${portOf(tcpApp)} }]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: default }
spec: { mtls: { mode: ${mode} } }
`;
  const { world, scope } = worldAndScope(yaml, {
    proxy: { labels: { app: 'app' }, ipAddresses: [podIp], interceptionMode: 'LOOPBACK', appAddress },
    mesh: { proxyInboundListenPort: inboundPort },
  });
  const inbound = clusters.names(world, scope).filter((name) => !name.startsWith('outbound|'));
  const bootstrap = {
    admin: { address: { socketAddress: { address: '127.0.0.1', portValue: adminPort } } },
    staticResources: {
      listeners: [jsonOf(listeners, listeners.input(world, scope, 'virtualInbound'))],
      clusters: inbound.map((name) => jsonOf(clusters, clusters.input(world, scope, name))),
    },
  };
  envoy = await startProxyProcess('envoy', JSON.stringify(withCertificates(bootstrap)), adminPort);
  await waitFor('workers', async () => {
    const { body } = (await envoy?.admin('/ready')) ?? { body: '' };
    return body.startsWith('LIVE') ? true : undefined;
  });
}

function jsonOf<Input, Desc extends DescMessage>(
  { schema, build }: Pick<ResourceKind<Input, Desc>, 'schema' | 'build'>,
  input: Input | undefined,
): JsonValue {
  if (input === undefined) throw new Error('no such resource');
  return messageToJson(schema, build(input).message);
}

/** SDS would hand these out. */
function withCertificates(json: unknown): JsonValue {
  if (Array.isArray(json)) return json.map(withCertificates);
  if (typeof json !== 'object' || json === null) return json as JsonValue;
  const object: JsonObject = {};
  for (const [key, value] of Object.entries(json)) {
    if (key === 'tlsCertificateSdsSecretConfigs')
      object['tlsCertificates'] = [
        { certificateChain: { inlineString: workload.chain }, privateKey: { inlineString: workload.key } },
      ];
    else if (key === 'combinedValidationContext')
      object['validationContext'] = {
        ...(value as { defaultValidationContext: JsonObject }).defaultValidationContext,
        trustedCa: { inlineString: authority.chain },
      };
    else object[key] = withCertificates(value);
  }
  return object;
}

/** What comes back for these bytes before the connection ends; empty where nothing does. */
async function answerTo(socket: Socket, bytes: string | Buffer): Promise<string> {
  let answer = '';
  return new Promise((resolve) => {
    const timer = setTimeout(() => socket.destroy(), 3000);
    socket.on('data', (chunk: Buffer) => (answer += chunk.toString()));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(answer);
    });
    socket.write(bytes);
  });
}

const httpRequest = 'GET / HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n';

const inClear = (app: Server, bytes: string): Promise<string> => answerTo(connect(portOf(app), podIp), bytes);

const inTls = (app: Server, bytes: string, alpn: string, client?: Certificate): Promise<string> =>
  answerTo(
    connectTls({
      host: podIp,
      port: portOf(app),
      ALPNProtocols: [alpn],
      rejectUnauthorized: false,
      ...(client === undefined ? {} : { cert: client.chain, key: client.key }),
    }),
    bytes,
  );

describe.skipIf(needs('envoy'))('virtualInbound in stock Envoy', () => {
  const friend = 'spiffe://cluster.local/ns/default/sa/friend';

  test('PERMISSIVE: plain text and the mesh’s TLS get in, TLS of others is the application’s (C11.04, C11.08, T16)', async () => {
    await startInbound('PERMISSIVE');
    const client = authority.issue('friend', friend);
    expect(await inClear(httpApp, httpRequest)).toContain('client undefined');
    expect(await inTls(httpApp, httpRequest, 'istio', client)).toContain(`URI=${friend}`);
    // To a port that speaks HTTP nobody else's TLS can be meant.
    expect(await inTls(httpApp, httpRequest, 'http/1.1')).toBe('');
    expect(await inClear(tcpApp, 'hello')).toBe('first byte 104\n');
    expect(await inTls(tcpApp, 'hello', 'istio', client)).toBe('first byte 104\n');
    // 22: the application sees the hello of TLS itself, and its answer is none.
    expect(await helloSeenBy(tcpApp)).toBe('first byte 22\n');
  }, 60_000);

  test('STRICT: the mesh’s TLS alone gets in, with a certificate of its trust domain (C11.04, partly C12.02, T16)', async () => {
    await startInbound('STRICT');
    const client = authority.issue('friend', friend);
    const stranger = authority.issue('stranger', 'spiffe://other.domain/ns/default/sa/stranger');
    expect(await inClear(httpApp, httpRequest)).toBe('');
    expect(await inClear(tcpApp, 'hello')).toBe('');
    expect(await inTls(httpApp, httpRequest, 'istio')).toBe('');
    expect(await inTls(httpApp, httpRequest, 'istio', stranger)).toBe('');
    expect(await inTls(httpApp, httpRequest, 'istio', client)).toContain(`URI=${friend}`);
    expect(await inTls(tcpApp, 'hello', 'istio', client)).toBe('first byte 104\n');
  }, 60_000);
});

/** The beginning of a TLS hello without ALPN, sent as bytes, for the answer is none of TLS. */
async function helloSeenBy(app: Server): Promise<string> {
  const hello = await new Promise<Buffer>((resolve) => {
    const catcher = createServer((socket) => {
      socket.on('error', () => socket.destroy());
      socket.once('data', (bytes) => {
        socket.destroy();
        catcher.close();
        resolve(bytes);
      });
    });
    catcher.listen(0, '127.0.0.1', () => {
      connectTls({ port: portOf(catcher), host: '127.0.0.1', rejectUnauthorized: false }).on('error', () => {
        // The catcher never answers.
      });
    });
  });
  return answerTo(connect(portOf(app), podIp), hello);
}
