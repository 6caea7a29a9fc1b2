// HTTP/2 through our data path, with real peers on both sides, and with peers that do everything wrong.
import { Client, Metadata, Server, ServerCredentials, credentials, status } from '@grpc/grpc-js';
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { createServer as createHttp1 } from 'node:http';
import type { Server as Http1Server } from 'node:http';
import http2 from 'node:http2';
import type { ClientHttp2Session, Http2Server, IncomingHttpHeaders } from 'node:http2';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { RawHttp2, frame, headers, literals, request, settings } from '../../../test/support/raw-http2.ts';
import type { StaticProxy } from '../../../test/support/static-proxy.ts';
import { startStaticProxy } from '../../../test/support/static-proxy.ts';
import { needs } from '../../../test/support/tools.ts';

const host = '127.48.0.1';
const ports = { proxy: 25520, http2: 25521, http1: 25530, backend1: 25531, backend2: 25532, grpc: 25533 };

const hcm = (port: number, more = ''): string => `
  - address: {socket_address: {address: ${host}, port_value: ${port}}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
${more}
          drain_timeout: 0.1s
          route_config:
            virtual_hosts:
            - name: v
              domains: ["*"]
              routes:
              - {match: {path: /direct}, direct_response: {status: 200, body: {inline_string: direct}}}
              - {match: {prefix: /1/}, route: {cluster: one, timeout: 0s}}
              - {match: {prefix: /same/}, route: {cluster: same}}
              - {match: {prefix: /absent}, route: {cluster: absent}}
              - match: {prefix: /retried}
                route: {cluster: two, retry_policy: {retry_on: "refused-stream", num_retries: 2}}
              - {match: {prefix: /test.Echo}, route: {cluster: grpc, timeout: 0s, max_stream_duration: {grpc_timeout_header_max: 0s}}}
              - {match: {prefix: /once}, route: {cluster: once}}
              - {match: {prefix: /}, route: {cluster: two, timeout: 0s}}
          http_filters:
          - name: router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}`;

const cluster = (name: string, port: number, options = ''): string => `
  - name: ${name}
    connect_timeout: 1s
    type: STATIC
    load_assignment: {cluster_name: ${name}, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: ${host}, port_value: ${port}}}}}]}]}
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        ${options === '' ? 'explicit_http_config: {http2_protocol_options: {}}' : options}`;

const bootstrap = `
static_resources:
  listeners: ${hcm(ports.proxy)}${hcm(ports.http2, '          codec_type: HTTP2\n          http2_protocol_options: {max_concurrent_streams: 100}')}
  clusters: ${cluster('one', ports.backend1, 'explicit_http_config: {http_protocol_options: {}}')}${cluster('two', ports.backend2)}${cluster('same', ports.backend2, 'use_downstream_protocol_config: {http_protocol_options: {}, http2_protocol_options: {}}')}${cluster('absent', 25539)}${cluster('grpc', ports.grpc)}${cluster('once', ports.backend2, 'common_http_protocol_options: {max_requests_per_connection: 2}\n        explicit_http_config: {http2_protocol_options: {}}')}`;

let proxy: StaticProxy;
let backend1: Http1Server;
let backend2: Http2Server;
/** What the HTTP/2 backend does with a stream, unless it answers. */
let play: ((stream: http2.ServerHttp2Stream, head: IncomingHttpHeaders) => boolean) | undefined;
const sessions = new Set<http2.ServerHttp2Session>();
const http1Seen: string[] = [];

beforeAll(async () => {
  backend1 = createHttp1((incoming, outgoing) => {
    http1Seen.push(`${incoming.method} ${incoming.url} ${JSON.stringify(incoming.rawHeaders)}`);
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('end', () => {
      outgoing.setHeader('x-version', incoming.httpVersion);
      if (incoming.url === '/1/big') outgoing.end(Buffer.alloc(2_000_000, 'a'));
      else if (incoming.url === '/1/hello') outgoing.end('hello');
      else outgoing.end(Buffer.concat(chunks));
    });
  });
  backend2 = http2.createServer();
  backend2.on('session', (session) => {
    sessions.add(session);
    session.on('error', () => {});
    session.on('close', () => sessions.delete(session));
  });
  backend2.on('stream', (stream, head) => {
    stream.on('error', () => {});
    if (play?.(stream, head) === true) return;
    const path = head[':path'] ?? '';
    stream.respond(
      { ':status': 200, 'x-version': '2.0', 'x-seen': JSON.stringify(head) },
      { waitForTrailers: path.includes('trailers') },
    );
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-trailer': 'after' }));
    if (path.includes('big')) stream.end(Buffer.alloc(2_000_000, 'a'));
    else stream.pipe(stream);
  });
  await new Promise<void>((resolve) => backend1.listen(ports.backend1, host, resolve));
  await new Promise<void>((resolve) => backend2.listen(ports.backend2, host, resolve));
  proxy = await startStaticProxy(bootstrap);
});

afterAll(() => {
  proxy.close();
  backend1.closeAllConnections();
  backend1.close();
  for (const session of sessions) session.destroy();
  backend2.close();
});

beforeEach(() => {
  play = undefined;
  proxy.log.length = 0;
});

const stat = (name: string): number =>
  [...proxy.stats.counters(), ...proxy.stats.gauges()].find(({ id }) => id.name === name)?.value ?? 0;

interface Reply {
  status: number;
  head: IncomingHttpHeaders;
  body: string;
  trailers: IncomingHttpHeaders | undefined;
  reset: number;
}

async function withSession<Result>(use: (session: ClientHttp2Session) => Promise<Result>): Promise<Result> {
  const session = http2.connect(`http://${host}:${ports.proxy}`);
  session.on('error', () => {});
  try {
    return await use(session);
  } finally {
    session.destroy();
  }
}

function ask(
  session: ClientHttp2Session,
  path: string,
  options: {
    body?: string | Buffer;
    headers?: Record<string, string>;
    trailers?: Record<string, string>;
  } = {},
): Promise<Reply> {
  return new Promise((resolve) => {
    const { body, trailers } = options;
    const stream = session.request(
      { ':path': path, ':method': body === undefined ? 'GET' : 'POST', ...options.headers },
      { endStream: body === undefined && trailers === undefined, waitForTrailers: trailers !== undefined },
    );
    const reply: Reply = { status: 0, head: {}, body: '', trailers: undefined, reset: 0 };
    stream.on('wantTrailers', () => stream.sendTrailers(trailers ?? {}));
    stream.on('response', (head) => {
      reply.status = head[':status'] ?? 0;
      reply.head = head;
    });
    stream.on('trailers', (received) => (reply.trailers = received));
    stream.on('data', (chunk: Buffer) => (reply.body += chunk.toString('latin1')));
    stream.on('error', () => {});
    stream.on('close', () => {
      reply.reset = stream.rstCode;
      resolve(reply);
    });
    if (body !== undefined || trailers !== undefined) stream.end(body ?? '');
  });
}

const fetchHttp1 = async (
  path: string,
  init?: RequestInit,
): Promise<{ body: string; version: string | null }> => {
  const response = await fetch(`http://${host}:${ports.proxy}${path}`, init);
  return { body: await response.text(), version: response.headers.get('x-version') };
};

describe('both protocols on both sides (partly D4.01)', () => {
  const large = Buffer.alloc(700_000, 'body ');

  test('HTTP/2 to HTTP/1.1: bodies with and without length, many streams at once', () =>
    withSession(async (session) => {
      const replies = await Promise.all(
        Array.from({ length: 50 }, (_, index) => ask(session, `/1/${index}`, { body: `body ${index}` })),
      );
      expect(replies.map(({ status: code, body }) => [code, body])).toEqual(
        Array.from({ length: 50 }, (_, index) => [200, `body ${index}`]),
      );
      const reply = await ask(session, '/1/x', { body: large });
      expect(reply.body.length).toBe(large.length);
      expect(reply.head['x-version']).toBe('1.1');
      expect((await ask(session, '/1/big')).body.length).toBe(2_000_000);
    }));

  test('HTTP/2 to HTTP/2: bodies and trailers both ways, HEAD, 1 MB uploads', () =>
    withSession(async (session) => {
      let received: IncomingHttpHeaders | undefined;
      play = (stream) => {
        stream.on('trailers', (fields) => (received = fields));
        return false;
      };
      const reply = await ask(session, '/trailers', { body: 'hello', trailers: { 'x-end': '1' } });
      expect([reply.status, reply.body, reply.trailers?.['x-trailer']]).toEqual([200, 'hello', 'after']);
      expect(received?.['x-end']).toBe('1');
      const uploaded = await ask(session, '/echo', { body: large });
      expect(uploaded.body).toBe(large.toString());
      const headReply = await ask(session, '/big', { headers: { ':method': 'HEAD' } });
      expect([headReply.status, headReply.body, headReply.reset]).toEqual([200, '', 0]);
    }));

  test('HTTP/1.1 to HTTP/2', async () => {
    expect(await fetchHttp1('/echo', { method: 'POST', body: 'hello' })).toEqual({
      body: 'hello',
      version: '2.0',
    });
    expect((await fetchHttp1('/big')).body.length).toBe(2_000_000);
  });

  test('use_downstream_protocol_config: as the client speaks (partly D6.11)', async () => {
    const viaHttp2 = await withSession((session) => ask(session, '/same/x', { body: 'a' }));
    expect(viaHttp2.head['x-version']).toBe('2.0');
    // The backend speaks no HTTP/1.1: node answers such a request with 403.
    expect((await fetchHttp1('/same/x')).version).toBeNull();
    expect(stat('cluster.same.upstream_cx_http1_total')).toBe(1);
    expect(stat('cluster.same.upstream_cx_http2_total')).toBe(1);
  });

  test('an upstream that cannot be reached: 503, UF', async () => {
    const reply = await withSession((session) => ask(session, '/absent'));
    expect([reply.status, reply.body]).toEqual([
      503,
      'upstream connect error or disconnect/reset before headers. reset reason: remote connection failure',
    ]);
    expect(proxy.log.at(-1)).toMatchObject({ code: 503, flags: 'UF' });
  });
});

describe('upstream', () => {
  test('RST_STREAM before the response: 503, UR', async () => {
    play = (stream) => {
      stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
      return true;
    };
    const reply = await withSession((session) => ask(session, '/x'));
    expect(reply.status).toBe(503);
    expect(proxy.log.at(-1)).toEqual({
      code: 503,
      flags: 'UR',
      details: 'upstream_reset_before_response_started{remote_reset}',
    });
  });

  test('RST_STREAM in the response: the stream is reset', async () => {
    play = (stream) => {
      stream.respond({ ':status': 200 });
      stream.write('part');
      setTimeout(() => stream.destroy(new Error('broken')), 20);
      return true;
    };
    const reply = await withSession((session) => ask(session, '/x'));
    expect([reply.status, reply.reset]).toEqual([200, http2.constants.NGHTTP2_INTERNAL_ERROR]);
    expect(proxy.log.at(-1)?.flags).toBe('UR');
  });

  test('the connection ends: 503, UC', async () => {
    play = (stream) => {
      stream.session?.destroy();
      return true;
    };
    const reply = await withSession((session) => ask(session, '/x'));
    expect(reply.status).toBe(503);
    expect(proxy.log.at(-1)?.flags).toMatch(/^U[CR]$/);
  });

  test('REFUSED_STREAM is retried where retry_on says so (D6.07)', async () => {
    let count = 0;
    play = (stream) => {
      if (++count > 2) return false;
      stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
      return true;
    };
    const replies = await withSession(async (session) => [
      await ask(session, '/retried'),
      ((count = 1), await ask(session, '/x')),
    ]);
    expect(replies.map((reply) => reply.status)).toEqual([200, 503]);
  });

  test('GOAWAY: what is under way ends well, the next request takes a new connection (partly D4.01)', () =>
    withSession(async (session) => {
      const before = stat('cluster.two.upstream_cx_http2_total');
      let first: http2.ServerHttp2Session | undefined;
      let letEnd = (): void => {};
      play = (stream, head) => {
        if (head[':path'] !== '/goaway') return false;
        first = stream.session as http2.ServerHttp2Session;
        first.goaway(0, stream.id ?? 0);
        stream.respond({ ':status': 200 });
        letEnd = () => stream.end('late');
        return true;
      };
      const noticesBefore = stat('cluster.two.upstream_cx_close_notify');
      const slowReply = ask(session, '/goaway');
      for (
        let wait = 0;
        wait < 300 && stat('cluster.two.upstream_cx_close_notify') === noticesBefore;
        wait += 1
      )
        await new Promise((resolve) => setTimeout(resolve, 10));
      const next = await ask(session, '/next', { body: 'n' });
      letEnd();
      const slow = await slowReply;
      expect([slow.body, next.body]).toEqual(['late', 'n']);
      expect(stat('cluster.two.upstream_cx_http2_total') - before).toBeGreaterThanOrEqual(1);
      expect(stat('cluster.two.upstream_cx_close_notify')).toBeGreaterThanOrEqual(1);
    }));

  test('max_requests_per_connection: a connection serves so many requests (partly D6.11)', () =>
    withSession(async (session) => {
      for (let index = 0; index < 5; index += 1) expect((await ask(session, '/once')).status).toBe(200);
      expect(stat('cluster.once.upstream_cx_http2_total')).toBe(3);
    }));

  test('GOAWAY and no streams allowed, at once (CVE-2021-32780, traps row 8)', async () => {
    let connections = 0;
    const refusing = createServer((socket) => {
      connections += 1;
      socket.on('error', () => {});
      socket.write(Buffer.concat([settings([3, 0]), frame(7, 0, 0, Buffer.alloc(8))]));
    });
    await new Promise<void>((resolve) => refusing.listen(25536, host, resolve));
    const shut = await startStaticProxy(`
static_resources:
  listeners: ${hcm(25527)}
  clusters: ${cluster('one', ports.backend1)}${cluster('two', 25536)}`);
    const client = new RawHttp2(host, 25527);
    for (let id = 1; id < 20; id += 2) client.send(headers(id, request('/x')));
    for (let id = 1; id < 20; id += 2) expect(await client.outcome(id)).toBe('503');
    expect(connections).toBeLessThanOrEqual(10);
    client.close();
    shut.close();
    refusing.close();
  });

  test('connection_keepalive: a peer that answers no PING is given up (partly D6.11)', async () => {
    const deaf = createServer((socket) => {
      socket.on('error', () => {});
      socket.write(settings());
    });
    await new Promise<void>((resolve) => deaf.listen(25535, host, resolve));
    const kept = await startStaticProxy(`
static_resources:
  listeners: ${hcm(25526)}
  clusters: ${cluster('one', ports.backend1)}${cluster('two', 25535, 'explicit_http_config: {http2_protocol_options: {connection_keepalive: {interval: 0.05s, timeout: 0.05s}}}')}`);
    const client = new RawHttp2(host, 25526);
    client.send(headers(1, request('/x')));
    expect(await client.outcome(1)).toBe('503');
    const timeouts = [...kept.stats.counters()].find(({ id }) =>
      id.name.endsWith('two.http2.keepalive_timeout'),
    );
    expect(timeouts?.value).toBe(1);
    client.close();
    kept.close();
    deaf.close();
  });

  test('a slow client holds the upstream back (D4.15)', () =>
    withSession(async (session) => {
      let written = 0;
      play = (stream) => {
        stream.respond({ ':status': 200 });
        const chunk = Buffer.alloc(64 * 1024, 'x');
        const more = (): void => {
          while (written < 100_000_000) {
            written += chunk.length;
            if (!stream.write(chunk)) {
              stream.once('drain', more);
              return;
            }
          }
          stream.end();
        };
        more();
        return true;
      };
      const stream = session.request({ ':path': '/slow' });
      stream.on('error', () => {});
      await new Promise((resolve) => stream.once('response', resolve));
      stream.pause();
      await new Promise((resolve) => setTimeout(resolve, 500));
      // The windows of the upstream's stream and what the sockets hold, not the whole of it.
      expect(written).toBeLessThan(30_000_000);
      stream.destroy();
    }));
});

describe('gRPC', () => {
  const same = (bytes: Buffer): Buffer => bytes;
  let server: Server;
  let client: Client;

  beforeAll(async () => {
    server = new Server();
    const method = (name: string, requestStream: boolean, responseStream: boolean) => ({
      path: `/test.Echo/${name}`,
      requestStream,
      responseStream,
      requestSerialize: same,
      requestDeserialize: same,
      responseSerialize: same,
      responseDeserialize: same,
    });
    server.addService(
      {
        Unary: method('Unary', false, false),
        Chat: method('Chat', true, true),
        Fail: method('Fail', false, false),
      },
      {
        Unary: (call: { request: Buffer }, done: (error: null, value: Buffer) => void) =>
          done(null, call.request),
        Chat: (call: {
          on(event: string, then: (data: Buffer) => void): void;
          write(data: Buffer): void;
          end(): void;
        }) => {
          call.on('data', (data) => call.write(data));
          call.on('end', () => call.end());
        },
        Fail: (_call: unknown, done: (error: object) => void) =>
          done({ code: status.RESOURCE_EXHAUSTED, details: 'so much' }),
      },
    );
    await new Promise<void>((resolve, reject) => {
      server.bindAsync(`${host}:${ports.grpc}`, ServerCredentials.createInsecure(), (error) =>
        error === null ? resolve() : reject(error),
      );
    });
    client = new Client(`${host}:${ports.proxy}`, credentials.createInsecure());
  });
  afterAll(() => {
    client.close();
    server.forceShutdown();
  });

  const unary = (
    name: string,
    message: Buffer,
    deadlineMs = 5000,
  ): Promise<Buffer | { code: number; details: string }> =>
    new Promise((resolve) => {
      client.makeUnaryRequest(
        name,
        same,
        same,
        message,
        new Metadata(),
        { deadline: Date.now() + deadlineMs },
        (error, value) => resolve(error === null ? value! : { code: error.code, details: error.details }),
      );
    });

  test('unary calls, large ones, and errors in trailers (D4.11)', async () => {
    for (const length of [0, 10, 100_000, 3_000_000])
      expect(((await unary('/test.Echo/Unary', Buffer.alloc(length, 'm'))) as Buffer).length).toBe(length);
    expect(await unary('/test.Echo/Fail', Buffer.alloc(1))).toEqual({
      code: status.RESOURCE_EXHAUSTED,
      details: 'so much',
    });
  });

  test('a local reply is a gRPC status (D4.11)', async () => {
    expect(await unary('/absent.Service/Call', Buffer.alloc(1))).toEqual({
      code: status.UNAVAILABLE,
      details:
        'upstream connect error or disconnect/reset before headers. reset reason: remote connection failure',
    });
  });

  test('streams both ways, message by message', async () => {
    const call = client.makeBidiStreamRequest('/test.Echo/Chat', same, same, new Metadata());
    const replies: string[] = [];
    const done = new Promise<void>((resolve, reject) => {
      call.on('end', resolve);
      call.on('error', reject);
    });
    for (let index = 0; index < 100; index += 1) {
      const reply = new Promise((resolve) => call.once('data', resolve));
      call.write(Buffer.from(`message ${index}`));
      replies.push(String(await reply));
    }
    call.end();
    call.resume();
    await done;
    expect(replies).toEqual(Array.from({ length: 100 }, (_, index) => `message ${index}`));
  });
});

describe('what a client may not do', () => {
  const flood = async (...bytes: readonly Buffer[]): Promise<RawHttp2> => {
    const client = new RawHttp2(host, ports.http2);
    client.send(...bytes);
    await client.until(() => client.closed || client.goaway !== undefined);
    return client;
  };
  const windowUpdate = (id: number, increment: number): Buffer => {
    const payload = Buffer.alloc(4);
    payload.writeUInt32BE(increment, 0);
    return frame(8, 0, id, payload);
  };
  const reset = frame(3, 0, 1, Buffer.from([0, 0, 0, 8]));
  const ping = frame(6, 0, 0, '12345678');

  test.each([
    [
      'empty DATA frames',
      'inbound_empty_frames_flood',
      [headers(1, request('/x', [], 'POST'), { open: true }), frame(0, 0, 1), frame(0, 0, 1)],
    ],
    [
      'empty CONTINUATION frames',
      'inbound_empty_frames_flood',
      [frame(1, 0, 1, literals(request())), frame(9, 0, 1), frame(9, 0, 1)],
    ],
    [
      'PRIORITY frames',
      'inbound_priority_frames_flood',
      Array.from({ length: 101 }, () => frame(2, 0, 1, Buffer.from([0, 0, 0, 0, 16]))),
    ],
    [
      'WINDOW_UPDATE frames',
      'inbound_window_update_frames_flood',
      Array.from({ length: 6 }, () => windowUpdate(0, 1)),
    ],
    [
      'CONTINUATION frames without end (CVE-2024-30255)',
      'header_overflow',
      [
        frame(1, 0, 1, literals(request())),
        ...Array.from({ length: 10 }, () => frame(9, 0, 1, Buffer.alloc(16_000, 0x82))),
      ],
    ],
  ])('%s end the connection (traps row 8)', async (_name, counter, bytes) => {
    const before = stat(`http2.${counter}`);
    const client = await flood(...bytes);
    expect(client.goaway?.code).toBe(11);
    expect(stat(`http2.${counter}`)).toBe(before + 1);
    client.close();
  });

  test.each([
    ['PING', ping],
    ['SETTINGS', settings()],
  ])('%s frames from a client that reads no answers (traps row 8)', async (_name, each) => {
    const before = stat('http2.outbound_control_flood');
    const client = new RawHttp2(host, ports.http2);
    await client.until(() => client.frames.length > 0);
    client.pause();
    const burst = Buffer.concat(Array.from({ length: 4000 }, () => each));
    for (let round = 0; round < 1000 && !client.closed; round += 1) {
      client.send(burst);
      await new Promise((resolve) => setImmediate(resolve));
      if (stat('http2.outbound_control_flood') > before) break;
    }
    client.resume();
    await client.until(() => client.closed || stat('http2.outbound_control_flood') > before, 10_000);
    expect(stat('http2.outbound_control_flood')).toBe(before + 1);
    client.close();
  });

  test('rapid reset (CVE-2023-44487, traps row 8)', async () => {
    const before = stat('http.in.downstream_rq_too_many_premature_resets');
    const client = new RawHttp2(host, ports.http2);
    play = () => true;
    for (let id = 1; id < 1200 && !client.closed; id += 2) {
      client.send(headers(id, request('/x')), frame(3, 0, id, Buffer.from([0, 0, 0, 8])));
      if (id % 100 === 1) await new Promise((resolve) => setImmediate(resolve));
    }
    await client.until(() => client.goaway !== undefined || client.closed);
    expect(stat('http.in.downstream_rq_too_many_premature_resets')).toBe(before + 1);
    await client.until(() => stat('http.in.downstream_rq_active') === 0);
    client.close();
  });

  test('more streams than max_concurrent_streams are refused, the others live', async () => {
    play = () => true;
    const client = new RawHttp2(host, ports.http2);
    for (let index = 0; index < 101; index += 1) client.send(headers(index * 2 + 1, request('/x')));
    expect(await client.outcome(201)).toBe('reset 7');
    expect(client.goaway).toBeUndefined();
    client.close();
  });

  test.each<[string, readonly (readonly [string, string])[]]>([
    ['CR in a value', request('/1/x', [['x-a', 'b\rGET / HTTP/1.1']])],
    ['LF in a value', request('/1/x', [['x-a', 'b\nx-c: d']])],
    ['NUL in a value', request('/1/x', [['x-a', 'b\0']])],
    ['CR LF in a name', request('/1/x', [['x-a\r\nx-b', 'c']])],
    ['upper case in a name', request('/1/x', [['X-a', 'c']])],
    ['a space in the method', request('/1/x', [], 'GET /evil HTTP/1.1')],
    ['a space in the path', request('/1/x HTTP/1.1')],
    ['CR LF in the path', request('/1/x\r\nx-evil: 1')],
    ['a path without slash', request('1/x')],
    ['connection', request('/1/x', [['connection', 'x-a']])],
    ['transfer-encoding', request('/1/x', [['transfer-encoding', 'chunked']])],
    ['upgrade', request('/1/x', [['upgrade', 'h2c']])],
    ['te that is not trailers', request('/1/x', [['te', 'chunked']])],
    [
      'two content-lengths',
      request('/1/x', [
        ['content-length', '0'],
        ['content-length', '1'],
      ]),
    ],
    ['a content-length without body', request('/1/x', [['content-length', '5']])],
    ['host beside another authority', request('/1/x', [['host', 'other.example']])],
    ['a pseudo header twice', request('/1/x', [[':path', '/1/y']])],
    ['extended CONNECT', [[':protocol', 'websocket'], ...request('/1/x', [], 'CONNECT')]],
  ])('never reaches HTTP/1.1: %s (traps row 7)', async (_name, fields) => {
    http1Seen.length = 0;
    const client = new RawHttp2(host, ports.http2);
    client.send(headers(1, fields));
    expect(await client.outcome(1)).toBe('goaway 1');
    expect(http1Seen).toEqual([]);
    client.close();
  });

  test('a body that is longer or shorter than its content-length is not passed on as one (traps row 7)', async () => {
    for (const data of ['abc', 'abcdefgh']) {
      const client = new RawHttp2(host, ports.http2);
      client.send(
        headers(1, request('/1/x', [['content-length', '5']], 'POST'), { open: true }),
        frame(0, 1, 1, data),
      );
      expect(await client.outcome(1)).toBe('goaway 1');
      client.close();
    }
  });

  test('headers above the limit: 431, and the connection goes on', async () => {
    const client = new RawHttp2(host, ports.http2);
    const block = literals(request('/direct', [['x-a', 'b'.repeat(70_000)]]));
    client.send(frame(1, 1, 1, block.subarray(0, 16_000)));
    for (let at = 16_000; at < block.length; at += 16_000)
      client.send(frame(9, at + 16_000 >= block.length ? 4 : 0, 1, block.subarray(at, at + 16_000)));
    client.send(headers(3, request('/direct')));
    expect([await client.outcome(1), await client.outcome(3)]).toEqual(['431', '200']);
    client.close();
  });

  test('a window that grows beyond 2^31 - 1, or data beyond the window', async () => {
    const grown = await flood(windowUpdate(0, 0x7fffffff));
    expect(grown.goaway?.code).toBe(3);
    grown.close();
  });

  test('cookie crumbs reach HTTP/1.1 as one line', async () => {
    http1Seen.length = 0;
    const client = new RawHttp2(host, ports.http2);
    client.send(
      headers(
        1,
        request('/1/x', [
          ['cookie', 'a=b'],
          ['cookie', 'c=d'],
        ]),
      ),
    );
    await client.outcome(1);
    expect(http1Seen[0]).toContain('"cookie","a=b; c=d"');
    client.close();
  });

  test('a stream that the client resets ends its request upstream, too', async () => {
    let closed: Promise<unknown> = Promise.resolve();
    play = (stream) => {
      closed = new Promise((resolve) => stream.once('close', resolve));
      return true;
    };
    const client = new RawHttp2(host, ports.http2);
    const seen = proxy.log.length;
    client.send(headers(1, request('/x')));
    await client.until(() => stat('cluster.two.upstream_rq_active') > 0).catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 50));
    client.send(reset);
    await closed;
    expect(proxy.log.slice(seen).at(-1)).toMatchObject({
      code: 0,
      flags: 'DR',
      details: 'http2.remote_reset',
    });
    client.close();
  });

  test('a drain says so twice, and closes when the last stream is over (partly D1.12)', async () => {
    const drained = await startStaticProxy(`
static_resources:
  listeners: ${hcm(25525)}
  clusters: ${cluster('two', ports.backend2)}${cluster('one', ports.backend1)}`);
    const client = new RawHttp2(host, 25525);
    client.send(headers(1, request('/direct')));
    await client.outcome(1);
    drained.drain();
    await client.until(() => client.closed);
    const goaways = client.frames
      .filter(({ type }) => type === 7)
      .map(({ payload }) => payload.readUInt32BE(0));
    expect(goaways).toEqual([0x7fffffff, 1]);
    drained.close();
  });
});

test.skipIf(needs('h2spec'))(
  'h2spec: all of it',
  async () => {
    const child = spawn('h2spec', ['-h', host, '-p', String(ports.http2), '-P', '/1/hello', '-o', '3'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    await new Promise((resolve) => child.once('exit', resolve));
    expect(output.slice(output.lastIndexOf('Finished'))).toMatch(/ 0 failed/);
  },
  60_000,
);
