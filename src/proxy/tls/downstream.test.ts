// A server's TLS: the same clients at our proxy and at stock Envoy with the same configuration, from files and inline.
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import type { Server, Socket } from 'node:net';
import { connect as connectTcp, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { connect } from 'node:tls';
import type { JsonObject } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Authority, Certificate } from '../../../test/support/certificates.ts';
import { createAuthority } from '../../../test/support/certificates.ts';
import { startInProcess } from '../../../test/support/in-process-proxy.ts';
import { startProxyProcess } from '../../../test/support/proxy-process.ts';
import { needs } from '../../../test/support/tools.ts';

const ports = {
  main: 27_501,
  mutual: 27_502,
  tcp: 27_503,
  pass: 27_504,
  web: 27_510,
  echo: 27_511,
  admin: 27_520,
};
const backends = '127.52.0.9';
const type = 'type.googleapis.com/envoy.extensions';
const uri = 'spiffe://cluster.local/ns/a/sa/client';

interface Plane {
  stat(name: string): Promise<number>;
  stop(): Promise<void> | void;
}

for (const plane of ['fairlead', 'envoy'] as const) {
  describe.skipIf(needs('openssl') || (plane === 'envoy' && needs('envoy')))(
    `downstream TLS of ${plane}`,
    () => {
      const address = plane === 'fairlead' ? '127.52.0.1' : '127.52.0.2';
      const directory = mkdtempSync(join(tmpdir(), 'fairlead-tls-'));
      const servers: Server[] = [];
      let authority: Authority;
      let clients: Authority;
      let client: Certificate;
      let proxy: Plane;

      beforeAll(async () => {
        authority = createAuthority(directory, 'servers');
        clients = createAuthority(directory, 'clients');
        client = clients.issue('client.test', uri, 'spiffe://other');
        const web = createHttpServer((request, response) => {
          request.resume();
          request.once('end', () => response.end(JSON.stringify(request.headers)));
        });
        const echo = createTcpServer((socket) => {
          socket.pipe(socket);
          socket.on('error', () => {});
        });
        await listening(web, ports.web);
        await listening(echo, ports.echo);
        servers.push(web, echo);
        const bootstrap = JSON.stringify(bootstrapOf(address, directory, authority, clients));
        proxy = plane === 'fairlead' ? await ours(bootstrap) : await envoy(bootstrap);
      }, 60_000);
      afterAll(async () => {
        await proxy?.stop();
        for (const server of servers) server.close();
        rmSync(directory, { recursive: true, force: true });
      });

      const dial = (
        servername: string,
        options: ConnectionOptions = {},
        port = ports.main,
      ): Promise<TLSSocket> =>
        secured(connect({ host: address, port, servername, ca: authority.chain, ...options }));
      const get = async (options: ConnectionOptions, headers = '', port = ports.mutual): Promise<Answer> =>
        request(await dial('m.test', options, port), headers);
      const own = (): ConnectionOptions => ({ cert: client.chain, key: client.key });

      test('a request: TLS 1.3, https in x-forwarded-proto, no client certificate of the client’s own telling (D4.04, partly D6.12)', async () => {
        const socket = await dial('a.test');
        expect([socket.getProtocol(), socket.getPeerCertificate().subject.CN]).toEqual(['TLSv1.3', 'a.test']);
        const { status, seen } = await request(socket, 'x-forwarded-client-cert: Hash=1\r\n');
        expect(status).toBe(200);
        expect(seen['x-forwarded-proto']).toBe('https');
        expect(seen['x-forwarded-client-cert']).toBeUndefined();
      });

      test('the chain of the name: exact before wildcard, case is none, nobody’s is closed (partly D2.05, D2.03)', async () => {
        const names = {
          'a.test': 'a.test',
          'A.TEST': 'a.test',
          'x.b.test': '*.b.test',
          'one.b.test': 'one.b.test',
        };
        for (const [name, subject] of Object.entries(names)) {
          const socket = await dial(name, { checkServerIdentity: () => undefined });
          expect([name, socket.getPeerCertificate().subject.CN]).toEqual([name, subject]);
          socket.destroy();
        }
        await expect(dial('nobody.test')).rejects.toThrow(/ECONNRESET|closed|disconnected/);
        expect(await proxy.stat(`listener.${address}_${ports.main}.no_filter_chain_match`)).toBeGreaterThan(
          0,
        );
      });

      test('ALPN: the server’s order counts; nothing in common is nothing agreed (partly D6.12)', async () => {
        const agreed = async (ALPNProtocols: string[] | undefined): Promise<string | false | null> => {
          const socket = await dial('a.test', ALPNProtocols === undefined ? {} : { ALPNProtocols });
          const { alpnProtocol } = socket;
          socket.destroy();
          return alpnProtocol;
        };
        expect(await agreed(['http/1.1', 'h2'])).toBe('h2');
        expect(await agreed(['http/1.1'])).toBe('http/1.1');
        expect(await agreed(['something'])).toBe(false);
        expect(await agreed(undefined)).toBe(false);
      });

      test('versions and ciphers: what is not allowed is refused (partly D6.12)', async () => {
        const old = await dial('a.test', { maxVersion: 'TLSv1.2' });
        expect(old.getProtocol()).toBe('TLSv1.2');
        expect(old.getCipher().name).toBe('ECDHE-ECDSA-AES128-GCM-SHA256');
        old.destroy();
        await expect(dial('x.b.test', { maxVersion: 'TLSv1.2' })).rejects.toThrow(/protocol version/);
        await expect(
          dial('a.test', { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }),
        ).rejects.toThrow(/protocol version/);
        await expect(
          dial('a.test', { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES256-SHA384' }),
        ).rejects.toThrow(/handshake failure/);
      });

      test('a client’s certificate: must be there, of the authority, with the name (partly D6.12, partly D4.13)', async () => {
        await expect(get({})).rejects.toThrow(/certificate required|closed|ECONNRESET/);
        const stranger = authority.issue('client.test', uri);
        await expect(get({ cert: stranger.chain, key: stranger.key })).rejects.toThrow(
          /unknown ca|closed|ECONNRESET/,
        );
        const nameless = clients.issue('nameless.test');
        await expect(get({ cert: nameless.chain, key: nameless.key })).rejects.toThrow(
          /closed|ECONNRESET|unknown/,
        );
        const { seen } = await get(own(), 'x-forwarded-client-cert: Hash=1\r\n');
        const hash = /Hash=([0-9a-f]{64})/.exec(seen['x-forwarded-client-cert'] ?? '')?.[1];
        expect(seen['x-forwarded-client-cert']).toBe(
          `Hash=1,By=spiffe://cluster.local/ns/a/sa/server;Hash=${hash};Subject="CN=client.test";URI=${uri};URI=spiffe://other;DNS=client.test`,
        );
        const ssl = `listener.${address}_${ports.mutual}.ssl`;
        expect(await proxy.stat(`${ssl}.handshake`)).toBe(1);
        expect(await proxy.stat(`${ssl}.fail_verify_error`)).toBe(1);
        expect(await proxy.stat(`${ssl}.fail_verify_san`)).toBe(1);
        expect(await proxy.stat(`${ssl}.versions.TLSv1.3`)).toBe(1);
      });

      test('a session is resumed; its certificate counts as before (partly D6.12)', async () => {
        for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
          const first = await dial('m.test', { ...own(), maxVersion }, ports.mutual);
          let session = first.getSession();
          first.on('session', (ticket) => (session = ticket));
          await request(first);
          const again = await dial('m.test', { ...own(), maxVersion, session }, ports.mutual);
          expect([maxVersion, again.isSessionReused()]).toEqual([maxVersion, true]);
          const { seen } = await request(again);
          expect(seen['x-forwarded-client-cert']).toContain(uri);
        }
      });

      test('bytes: a megabyte each way, and ends in order (partly D6.12)', async () => {
        const socket = await dial('t.test', { allowHalfOpen: true } as ConnectionOptions, ports.tcp);
        const sent = Buffer.alloc(1_000_000, 'fairlead');
        const received: Buffer[] = [];
        socket.on('data', (chunk: Buffer) => received.push(chunk));
        socket.end(sent);
        await once(socket, 'close');
        expect(Buffer.concat(received).equals(sent)).toBe(true);
      });

      test('passthrough by name: the upstream’s own TLS (D2.03)', async () => {
        const socket = connectTcp(ports.pass, address);
        await once(socket, 'connect');
        // The echo server gives the ClientHello back: it came as it was sent.
        const hello = await clientHello('pass.test');
        socket.write(hello);
        const [echoed] = (await once(socket, 'data')) as [Buffer];
        expect(echoed.subarray(0, 64).equals(hello.subarray(0, 64))).toBe(true);
        socket.destroy();
      });

      test('what is no TLS, or ends in the middle, is closed and counted', async () => {
        const before = await proxy.stat(`listener.${address}_${ports.mutual}.ssl.connection_error`);
        const socket = connectTcp(ports.mutual, address);
        socket.on('error', () => {});
        socket.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
        socket.resume();
        await once(socket, 'close');
        expect(await proxy.stat(`listener.${address}_${ports.mutual}.ssl.connection_error`)).toBe(before + 1);
      });
    },
  );
}

async function ours(bootstrap: string): Promise<Plane> {
  const proxy = await startInProcess(bootstrap);
  return { stat: async (name) => proxy.stat(name) ?? NaN, stop: () => proxy.close() };
}

async function envoy(bootstrap: string): Promise<Plane> {
  const process = await startProxyProcess('envoy', bootstrap, ports.admin);
  return {
    stat: async (name) => {
      const { body } = await process.admin(`/stats?filter=^${name}$`);
      return Number(/: (\d+)/.exec(body)?.[1]);
    },
    stop: () => process.stop(),
  };
}

function bootstrapOf(
  address: string,
  directory: string,
  authority: Authority,
  clients: Authority,
): JsonObject {
  const inline = ({ chain, key }: Certificate): JsonObject => ({
    certificateChain: { inlineString: chain },
    privateKey: { inlineString: key },
  });
  const inFiles = ({ chain, key }: Certificate): JsonObject => {
    writeFileSync(join(directory, 'file.pem'), chain);
    writeFileSync(join(directory, 'file.key'), key);
    return {
      certificateChain: { filename: join(directory, 'file.pem') },
      privateKey: { filename: join(directory, 'file.key') },
    };
  };
  const tls = (certificate: JsonObject, common: JsonObject = {}, more: JsonObject = {}): JsonObject => ({
    name: 'envoy.transport_sockets.tls',
    typedConfig: {
      '@type': `${type}.transport_sockets.tls.v3.DownstreamTlsContext`,
      commonTlsContext: { alpnProtocols: ['h2', 'http/1.1'], tlsCertificates: [certificate], ...common },
      ...more,
    },
  });
  const validationContext = {
    trustedCa: { inlineString: clients.chain },
    matchTypedSubjectAltNames: [{ sanType: 'URI', matcher: { prefix: 'spiffe://cluster.local/' } }],
  };
  const inspector = {
    name: 'tls_inspector',
    typedConfig: { '@type': `${type}.filters.listener.tls_inspector.v3.TlsInspector` },
  };
  const serve = (name: string, socket: JsonObject): JsonObject => ({
    filterChainMatch: { serverNames: [name], transportProtocol: 'tls' },
    filters: [manager({})],
    transportSocket: socket,
  });
  return {
    admin: { address: at('127.0.0.1', ports.admin) },
    staticResources: {
      listeners: [
        {
          name: 'main',
          address: at(address, ports.main),
          listenerFilters: [inspector],
          filterChains: [
            serve('a.test', tls(inline(authority.issue('a.test')))),
            serve(
              '*.b.test',
              tls(inline(authority.issue('*.b.test')), {
                tlsParams: { tlsMinimumProtocolVersion: 'TLSv1_3' },
              }),
            ),
            serve('one.b.test', tls(inFiles(authority.issue('one.b.test')))),
          ],
        },
        {
          name: 'mutual',
          address: at(address, ports.mutual),
          filterChains: [
            {
              filters: [
                manager({
                  forwardClientCertDetails: 'APPEND_FORWARD',
                  setCurrentClientCertDetails: { subject: true, dns: true, uri: true },
                }),
              ],
              transportSocket: tls(
                inline(authority.issue('m.test', 'spiffe://cluster.local/ns/a/sa/server')),
                { validationContext },
                { requireClientCertificate: true },
              ),
            },
          ],
        },
        {
          name: 'tcp',
          address: at(address, ports.tcp),
          filterChains: [{ filters: [tcp()], transportSocket: tls(inline(authority.issue('t.test'))) }],
        },
        {
          name: 'pass',
          address: at(address, ports.pass),
          listenerFilters: [inspector],
          filterChains: [{ filterChainMatch: { serverNames: ['pass.test'] }, filters: [tcp()] }],
        },
      ],
      clusters: [
        ['web', ports.web],
        ['echo', ports.echo],
      ].map(([name, port]) => ({
        name: name!,
        type: 'STATIC',
        loadAssignment: {
          clusterName: name!,
          endpoints: [{ lbEndpoints: [{ endpoint: { address: at(backends, port as number) } }] }],
        },
      })),
    },
  };
}

function at(host: string, portValue: number): JsonObject {
  return { socketAddress: { address: host, portValue } };
}

function tcp(): JsonObject {
  const config = {
    '@type': `${type}.filters.network.tcp_proxy.v3.TcpProxy`,
    statPrefix: 'tcp',
    cluster: 'echo',
  };
  return { name: 'envoy.filters.network.tcp_proxy', typedConfig: config };
}

function manager(more: JsonObject): JsonObject {
  return {
    name: 'envoy.filters.network.http_connection_manager',
    typedConfig: {
      '@type': `${type}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
      statPrefix: 'http',
      httpFilters: [
        {
          name: 'envoy.filters.http.router',
          typedConfig: { '@type': `${type}.filters.http.router.v3.Router` },
        },
      ],
      routeConfig: {
        virtualHosts: [
          { name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'web' } }] },
        ],
      },
      ...more,
    },
  };
}

interface Answer {
  readonly status: number;
  readonly seen: Readonly<Record<string, string | undefined>>;
}

async function request(socket: Socket, headers = ''): Promise<Answer> {
  socket.write(`GET / HTTP/1.1\r\nHost: x.test\r\nConnection: close\r\n${headers}\r\n`);
  let text = '';
  await new Promise<void>((resolve, reject) => {
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    socket.once('error', reject);
    socket.once('close', () => resolve());
  });
  if (text === '') throw new Error('closed without an answer');
  const body = /\{.*\}/s.exec(text.slice(text.indexOf('\r\n\r\n')))?.[0] ?? '{}';
  return { status: Number(text.split(' ')[1]), seen: JSON.parse(body) as Answer['seen'] };
}

function secured(socket: TLSSocket): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    socket.once('secureConnect', () => resolve(socket));
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed')));
  });
}

/** What a client sends first. */
async function clientHello(servername: string): Promise<Buffer> {
  const server = createTcpServer();
  server.listen(0, backends);
  await once(server, 'listening');
  const bound = server.address();
  const socket = connect({
    host: backends,
    port: typeof bound === 'object' ? (bound?.port ?? 0) : 0,
    servername,
  });
  socket.on('error', () => {});
  const [accepted] = (await once(server, 'connection')) as [Socket];
  const [bytes] = (await once(accepted, 'data')) as [Buffer];
  socket.destroy();
  accepted.destroy();
  server.close();
  return bytes;
}

async function listening(server: Server, port: number): Promise<void> {
  server.listen(port, backends);
  await once(server, 'listening');
}
