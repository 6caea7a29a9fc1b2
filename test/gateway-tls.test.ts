// Generated gateway listeners at work in our proxy and in stock Envoy: TLS ended, asked for, passed through and redirected to.
// Certificates come from secrets of the bootstrap instead of SDS; all else is what a gateway would be sent.
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import type { AddressInfo, Server, Socket } from 'node:net';
import { connect as connectTcp, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, createServer as createTlsServer } from 'node:tls';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { messageToJson } from '../src/api/any.ts';
import { listeners, routes } from '../src/translate/index.ts';
import { proxyScope } from '../src/translate/scope.ts';
import type { Authority, Certificate } from './support/certificates.ts';
import { createAuthority } from './support/certificates.ts';
import type { ProxyProcess } from './support/proxy-process.ts';
import { startProxyProcess } from './support/proxy-process.ts';
import { needs } from './support/tools.ts';
import { gatewayPod } from './support/translated.ts';
import { proxyNode, worldOfYaml } from './support/world.ts';

const address = '127.84.0.1';
const adminPort = 27_200;
const ports = { http: 27_280, https: 27_243, tls: 27_244 };

const config = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: gw }
spec:
  selector: { istio: ingressgateway }
  servers:
    - { port: { number: ${ports.http}, name: http, protocol: HTTP }, hosts: [a.test], tls: { httpsRedirect: true } }
    - { port: { number: ${ports.https}, name: a, protocol: HTTPS }, hosts: [a.test], tls: { mode: SIMPLE, credentialName: a } }
    - { port: { number: ${ports.https}, name: any-b, protocol: HTTPS }, hosts: ['*.b.test'], tls: { mode: SIMPLE, credentialName: b, minProtocolVersion: TLSV1_3 } }
    - { port: { number: ${ports.https}, name: m, protocol: HTTPS }, hosts: [m.test], tls: { mode: MUTUAL, credentialName: m } }
    - { port: { number: ${ports.https}, name: o, protocol: HTTPS }, hosts: [o.test], tls: { mode: OPTIONAL_MUTUAL, credentialName: m } }
    - { port: { number: ${ports.https}, name: pass, protocol: TLS }, hosts: [pass.test], tls: { mode: PASSTHROUGH } }
    - { port: { number: ${ports.tls}, name: tls, protocol: TLS }, hosts: [bytes.test], tls: { mode: SIMPLE, credentialName: a } }
    - { port: { number: ${ports.tls}, name: tcp, protocol: TCP }, hosts: ['*'] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: web }
spec:
  hosts: ['*']
  gateways: [gw]
  http: [{ route: [{ destination: { host: web.test, port: { number: 80 } } }] }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: pass }
spec:
  hosts: [pass.test]
  gateways: [gw]
  tls: [{ match: [{ sniHosts: [pass.test] }], route: [{ destination: { host: pass.test, port: { number: 443 } } }] }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: bytes }
spec:
  hosts: [bytes.test]
  gateways: [gw]
  tcp: [{ match: [{ port: ${ports.tls} }], route: [{ destination: { host: bytes.test, port: { number: 9000 } } }] }]
`;

describe.each(['fairlead', 'envoy'] as const)('gateway listeners in %s', (plane) => {
  describe.skipIf(plane === 'envoy' ? needs('envoy', 'openssl') : needs('openssl'))('with TLS', () => {
    const directory = mkdtempSync(join(tmpdir(), 'fairlead-gateway-tls-'));
    const servers: Server[] = [];
    let authority: Authority;
    let clients: Authority;
    let client: Certificate;
    let proxy: ProxyProcess;

    beforeAll(async () => {
      authority = createAuthority(directory, 'servers');
      clients = createAuthority(directory, 'clients');
      client = clients.issue('client.test');
      const own = authority.issue('pass.test');
      const web = createHttpServer((request, response) => {
        const { host, 'x-forwarded-proto': scheme, 'x-forwarded-client-cert': xfcc } = request.headers;
        response.end(JSON.stringify({ host, scheme, xfcc }));
      });
      const pass = createTlsServer({ cert: own.chain, key: own.key }, (socket) => socket.end('passed'));
      const bytes = createTcpServer((socket) => socket.pipe(socket));
      servers.push(web, pass, bytes);
      const targets = [
        ['outbound|80||web.test', await portOf(web)],
        ['outbound|443||pass.test', await portOf(pass)],
        ['outbound|9000||bytes.test', await portOf(bytes)],
      ] as const;
      const certificates: [string, Certificate][] = [
        ['kubernetes://a', authority.issue('a.test', 'bytes.test')],
        ['kubernetes://b', authority.issue('*.b.test')],
        ['kubernetes://m', authority.issue('m.test', 'o.test')],
      ];
      const bootstrap = bootstrapOf(targets, certificates, { 'kubernetes://m-cacert': clients.chain });
      proxy = await startProxyProcess(plane, JSON.stringify(bootstrap), adminPort);
    }, 60_000);
    afterAll(async () => {
      await proxy?.stop();
      for (const server of servers) server.close();
      rmSync(directory, { recursive: true, force: true });
    });

    const dial = (
      servername: string,
      options: ConnectionOptions = {},
      port = ports.https,
    ): Promise<TLSSocket> =>
      secured(connect({ host: address, port, servername, ca: authority.chain, ...options }));
    const get = async (host: string, options: ConnectionOptions = {}): Promise<Answer> =>
      request(await dial(host, options), host);

    test('SIMPLE: TLS 1.3, h2, the certificate of the name that is asked for (C7.04, T15, partly A5.07, partly A6.05)', async () => {
      const a = await dial('a.test', { ALPNProtocols: ['h2', 'http/1.1'] });
      expect([a.getProtocol(), a.alpnProtocol, a.getPeerCertificate().subject.CN]).toEqual([
        'TLSv1.3',
        'h2',
        'a.test',
      ]);
      a.destroy();
      const b = await dial('x.b.test');
      expect(b.getPeerCertificate().subject.CN).toBe('*.b.test');
      b.destroy();
      expect(await get('a.test')).toMatchObject({
        status: 200,
        server: 'istio-envoy',
        seen: { host: 'a.test', scheme: 'https' },
      });
    });

    test('a server name of nobody: the connection is closed (T15, partly A6.05)', async () => {
      await expect(dial('nobody.test')).rejects.toThrow(/ECONNRESET|closed|hang up|disconnected/);
    });

    test('a name and a Host that belong to different servers: no virtual host, 404', async () => {
      expect(await request(await dial('a.test'), 'm.test')).toMatchObject({ status: 404 });
    });

    test('minProtocolVersion: older clients are refused (C7.08)', async () => {
      await expect(dial('x.b.test', { maxVersion: 'TLSv1.2' })).rejects.toThrow(/protocol version/);
      const old = await dial('a.test', { maxVersion: 'TLSv1.2' });
      expect(old.getProtocol()).toBe('TLSv1.2');
      old.destroy();
    });

    test('MUTUAL: clients must show a certificate of the credential’s CA, and its details go on (C7.04, C7.10)', async () => {
      await expect(get('m.test')).rejects.toThrow(/certificate required|ECONNRESET|closed/);
      const stranger = authority.issue('stranger.test');
      await expect(get('m.test', { cert: stranger.chain, key: stranger.key })).rejects.toThrow(
        /unknown ca|ECONNRESET|closed/,
      );
      const { status, seen } = await get('m.test', { cert: client.chain, key: client.key });
      expect(status).toBe(200);
      expect(seen?.xfcc).toMatch(/Subject="CN=client.test"/);
      expect(seen?.xfcc).toContain('DNS=client.test');
    });

    test('OPTIONAL_MUTUAL: none will do, a strange one will not (C7.04)', async () => {
      expect(await get('o.test')).toMatchObject({ status: 200, seen: { host: 'o.test' } });
      expect((await get('o.test', { cert: client.chain, key: client.key })).seen?.xfcc).toContain(
        'client.test',
      );
      const stranger = authority.issue('stranger.test');
      await expect(get('o.test', { cert: stranger.chain, key: stranger.key })).rejects.toThrow(
        /unknown ca|ECONNRESET|closed/,
      );
    });

    test('PASSTHROUGH beside them: the server’s own certificate (C7.05, C6.02)', async () => {
      const socket = await dial('pass.test');
      expect(socket.getPeerCertificate().subject.CN).toBe('pass.test');
      const [data] = (await once(socket, 'data')) as [Buffer];
      expect(data.toString()).toBe('passed');
      socket.destroy();
    });

    test('TLS ended before TCP, and TCP in clear on the same port (C7.03, C7.05)', async () => {
      const socket = await dial('bytes.test', {}, ports.tls);
      expect(await echoed(socket, 'secret')).toBe('secret');
      const plain = connectTcp(ports.tls, address);
      await once(plain, 'connect');
      expect(await echoed(plain, 'in clear')).toBe('in clear');
    });

    test('httpsRedirect: 301 to the same host and path (C7.06)', async () => {
      const socket = connectTcp(ports.http, address);
      await once(socket, 'connect');
      expect(await request(socket, 'a.test', '/x?y=1')).toMatchObject({
        status: 301,
        location: 'https://a.test/x?y=1',
      });
    });
  });
});

interface Answer {
  readonly status: number;
  readonly server: string | undefined;
  readonly location: string | undefined;
  readonly seen: { readonly host?: string; readonly scheme?: string; readonly xfcc?: string } | undefined;
}

type Connection = Socket;

/** One HTTP/1.1 request; the connection ends with it. */
async function request(socket: Connection, host: string, path = '/'): Promise<Answer> {
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
  const text = await everything(socket);
  if (text === '') throw new Error('closed without an answer');
  const end = text.indexOf('\r\n\r\n');
  const head = text.slice(0, end);
  const header = (name: string): string | undefined => new RegExp(`^${name}: (.*)$`, 'im').exec(head)?.[1];
  const body = /\{.*\}/s.exec(text.slice(end))?.[0];
  return {
    status: Number(head.split(' ')[1]),
    server: header('server'),
    location: header('location'),
    seen: body === undefined ? undefined : (JSON.parse(body) as Answer['seen']),
  };
}

function everything(socket: Connection): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    socket.once('error', reject);
    socket.once('close', () => resolve(text));
  });
}

async function echoed(socket: Connection, text: string): Promise<string> {
  const answer = new Promise<string>((resolve, reject) => {
    socket.once('data', (chunk: Buffer) => resolve(chunk.toString()));
    socket.once('error', reject);
  });
  socket.write(text);
  try {
    return await answer;
  } finally {
    socket.destroy();
  }
}

function secured(socket: TLSSocket): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    socket.once('secureConnect', () => resolve(socket));
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed')));
  });
}

async function portOf(server: Server): Promise<number> {
  server.listen(0, address);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** What pilot makes for the gateway, its routes inline and its secrets static. */
function bootstrapOf(
  targets: readonly (readonly [cluster: string, port: number])[],
  certificates: readonly (readonly [name: string, certificate: Certificate])[],
  authorities: Readonly<Record<string, string>>,
): JsonObject {
  const world = worldOfYaml(config);
  const node = proxyNode({ ...gatewayPod, interceptionMode: 'LOOPBACK', ipAddresses: [address] });
  const scope = proxyScope(world, node);
  const routesOf = (name: string): JsonValue => {
    const input = routes.input(world, scope, name);
    if (input === undefined) throw new Error(`no routes ${name}`);
    return messageToJson(routes.schema, routes.build(input).message);
  };
  const made = listeners.names(world, scope).flatMap((name): JsonValue[] => {
    const input = listeners.input(world, scope, name);
    return input === undefined
      ? []
      : [inBootstrap(messageToJson(listeners.schema, listeners.build(input).message), routesOf)];
  });
  return {
    admin: { address: socketAddress('127.0.0.1', adminPort) },
    staticResources: {
      listeners: made,
      clusters: targets.map(([name, port]) => ({
        name,
        type: 'STATIC',
        loadAssignment: {
          clusterName: name,
          endpoints: [{ lbEndpoints: [{ endpoint: { address: socketAddress(address, port) } }] }],
        },
      })),
      secrets: [
        ...certificates.map(([name, { chain, key }]) => ({
          name,
          tlsCertificate: { certificateChain: { inlineString: chain }, privateKey: { inlineString: key } },
        })),
        ...Object.entries(authorities).map(([name, ca]) => ({
          name,
          validationContext: { trustedCa: { inlineString: ca } },
        })),
      ],
    },
  };
}

function socketAddress(host: string, portValue: number): JsonObject {
  return { socketAddress: { address: host, portValue } };
}

/** A secret without a server to ask is one of the bootstrap. */
function inBootstrap(json: JsonValue, routesOf: (name: string) => JsonValue): JsonValue {
  if (Array.isArray(json)) return json.map((part) => inBootstrap(part, routesOf));
  if (typeof json !== 'object' || json === null) return json;
  const object: JsonObject = {};
  for (const [key, value] of Object.entries(json)) {
    if (key === 'rds')
      object['routeConfig'] = routesOf((value as { routeConfigName: string }).routeConfigName);
    else if (key !== 'sdsConfig') object[key] = inBootstrap(value, routesOf);
  }
  return object;
}
