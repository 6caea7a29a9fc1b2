// The same requests through our data path and through stock Envoy with the same configuration: the client, the
// upstream and the access log must see the same.
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RawBackend } from '../../../test/support/raw-backend.ts';
import type { StaticProxy } from '../../../test/support/static-proxy.ts';
import { startStaticProxy } from '../../../test/support/static-proxy.ts';
import { needs } from '../../../test/support/tools.ts';
import { untilListening } from '../../../test/support/wait.ts';

const ports = { ours: 21100, envoy: 21110, backend: 21120, refused: 21121 } as const;
/** Listeners, by offset from the port of a proxy. */
const listeners = { sidecar: 0, gateway: 1, options: 2, internal: 3, old: 4 } as const;

interface Case {
  readonly name: string;
  readonly request: string;
  readonly listener?: keyof typeof listeners;
  /** What is known and meant to differ: applied to both sides before they are compared. */
  readonly forgive?: (seen: Seen) => Seen;
}

/** What one request led to. */
interface Seen {
  readonly response: string;
  readonly upstream: string;
  readonly log: string;
  readonly closed: boolean;
}

const get = (path: string, headers = '', host = 'test.example'): string =>
  `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${headers}\r\n`;
const oneHeader = (line: string): string => get('/ok', `${line}\r\n`);

/** Where Envoy's own details or flags are finer than ours, only the client's view is compared. */
const clientOnly = (seen: Seen): Seen => ({ ...seen, log: '', upstream: '' });

/** It is made of the connection's addresses, which differ; how the header is written does not. */
const withoutCookieValue = (seen: Seen): Seen => ({
  ...seen,
  response: seen.response.replace(/made="[0-9a-f]{16}"/, 'made="VALUE"'),
});

/** Our local replies say more than Envoy's empty ones do here. */
const clientHead = (seen: Seen): Seen => ({
  ...clientOnly(seen),
  response: /^.* \d+ /.exec(seen.response)?.[0] ?? '',
});

const cases: readonly Case[] = [
  { name: 'original destination without redirection (D6.01)', request: get('/original') },
  { name: 'plain GET (D4.04)', request: get('/ok') },
  { name: 'HEAD', request: 'HEAD /ok HTTP/1.1\r\nHost: test.example\r\n\r\n' },
  {
    name: 'POST with length',
    request: 'POST /ok HTTP/1.1\r\nhost: test.example\r\ncontent-length: 5\r\n\r\nhello',
  },
  { name: 'POST without body', request: 'POST /ok HTTP/1.1\r\nhost: test.example\r\n\r\n' },
  {
    name: 'POST chunked',
    request:
      'POST /ok HTTP/1.1\r\nhost: test.example\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  },
  {
    name: 'hop-by-hop headers (D4.04)',
    request: get('/ok', 'Connection: keep-alive\r\nKeep-Alive: 5\r\nTE: gzip\r\n'),
  },
  { name: 'connection: close', request: get('/ok', 'Connection: close\r\n') },
  { name: 'response chunked', request: get('/chunked') },
  { name: 'response until close', request: get('/until-close') },
  { name: 'response 204', request: get('/204') },
  { name: 'response 304', request: get('/304') },
  { name: 'HEAD of chunked', request: 'HEAD /head-chunked HTTP/1.1\r\nHost: test.example\r\n\r\n' },
  { name: 'unknown host (A6.01, partly D4.06)', request: get('/', '', 'nobody.example') },
  { name: 'unknown host, HEAD (A6.01)', request: 'HEAD / HTTP/1.1\r\nHost: nobody.example\r\n\r\n' },
  { name: 'unknown path', request: get('/', '', 'narrow.example') },
  { name: 'no cluster (D1.09)', request: get('/no-cluster') },
  { name: 'no healthy upstream (partly D4.10)', request: get('/no-hosts') },
  { name: 'connect refused (partly D4.10)', request: get('/refused') },
  { name: 'upstream closes before the response (A6.06)', request: get('/close') },
  { name: 'upstream reset before the response', request: get('/reset') },
  { name: 'upstream speaks no HTTP', request: get('/garbage') },
  { name: 'route timeout (D6.08)', request: get('/timeout/slow') },
  { name: 'per-try timeout', request: get('/try-timeout/slow') },
  { name: 'retries on 5xx (D6.07)', request: get('/retry/503') },
  { name: 'retries on connect failure (D6.07)', request: get('/retry-refused') },
  ...['ring', 'maglev'].flatMap((kind): Case[] => [
    ...['jason', 'mary', 'x', 'a much longer value, of more than thirty-two bytes'].map((user) => ({
      name: `${kind}: header ${user} (D6.03, partly D6.02)`,
      request: get(`/${kind}`, `x-user: ${user}\r\n`),
    })),
    { name: `${kind}: cookie (D6.03)`, request: get(`/${kind}`, 'cookie: a=b; user="jason"\r\n') },
    { name: `${kind}: header and query (D6.03)`, request: get(`/${kind}?user=mary`, 'x-user: jason\r\n') },
    { name: `${kind}: source address (D6.03)`, request: get(`/${kind}/source`) },
    {
      name: `${kind}: a cookie is made (D6.03)`,
      request: get(`/${kind}/cookie`),
      forgive: withoutCookieValue,
    },
  ]),
  { name: 'retries in other priorities (C5.10)', request: get('/tiers/others') },
  { name: 'retries in the same priority', request: get('/tiers/same') },
  { name: 'no retry on plain 500 (A6.09)', request: get('/retry-default/500') },
  { name: 'redirect (D4.07)', request: get('/redirect?x=1') },
  { name: 'redirect with path and port', request: get('/redirect-path/a?x=1') },
  { name: 'redirect of a prefix', request: get('/redirect-prefix/a?x=1') },
  { name: 'redirect to https', request: get('/x', '', 'tls.example') },
  { name: 'direct response', request: get('/direct') },
  { name: 'direct response, HEAD', request: 'HEAD /direct HTTP/1.1\r\nHost: test.example\r\n\r\n' },
  { name: 'direct response without body', request: get('/direct-empty') },
  { name: 'fault abort (A6.08, partly D5.02)', request: get('/abort') },
  { name: 'fault abort, gRPC client (D4.11)', request: get('/abort', 'content-type: application/grpc\r\n') },
  {
    name: 'no route, gRPC client (D4.11)',
    request: get('/', 'content-type: application/grpc\r\n', 'nobody.example'),
  },
  { name: 'fault delay (partly D5.02)', request: get('/delay/ok') },
  { name: 'prefix rewrite (A6.04, D4.08)', request: get('/nginx/a?q=1') },
  { name: 'prefix rewrite of a longer segment (T14)', request: get('/nginxfoo') },
  { name: 'regex rewrite', request: get('/regex/abc/def?q=1') },
  { name: 'host rewrite', request: get('/host-rewrite') },
  { name: 'header mutations (D4.07)', request: get('/mutate', 'x-gone: 1\r\nx-over: old\r\nx-app: a\r\n') },
  { name: 'weighted cluster headers', request: get('/weighted') },
  { name: 'query match', request: get('/query?user=jason') },
  { name: 'header match', request: get('/header', 'x-user: jason\r\n') },
  {
    name: 'cors preflight (D5.03)',
    request: `OPTIONS /cors HTTP/1.1\r\nHost: test.example\r\nOrigin: http://good.example\r\nAccess-Control-Request-Method: GET\r\n\r\n`,
  },
  { name: 'cors request', request: get('/cors', 'Origin: http://good.example\r\n') },
  { name: 'cors, other origin', request: get('/cors', 'Origin: http://bad.example\r\n') },
  {
    name: 'cors preflight, other origin',
    request: `OPTIONS /cors HTTP/1.1\r\nHost: test.example\r\nOrigin: http://bad.example\r\nAccess-Control-Request-Method: GET\r\n\r\n`,
  },
  { name: 'attempt count', request: get('/ok', '', 'count.example') },
  { name: 'decorator', request: get('/decorated') },
  { name: 'websocket', request: get('/ws', 'Connection: Upgrade\r\nUpgrade: websocket\r\n') },
  { name: 'unknown upgrade', request: get('/ok', 'Connection: Upgrade\r\nUpgrade: other\r\n') },
  {
    name: 'trusted headers are not for outsiders (D4.05b, D4.04, T21)',
    request: get(
      '/ok',
      'x-envoy-upstream-rq-timeout-ms: 1\r\nx-envoy-max-retries: 9\r\nx-envoy-retry-on: 5xx\r\nx-forwarded-for: 10.0.0.1\r\nx-request-id: mine\r\nx-forwarded-proto: https\r\n',
    ),
  },
  {
    name: 'identity and history of a request are not for outsiders (traps row 6)',
    request: get(
      '/ok',
      'x-forwarded-client-cert: By=spiffe://x\r\nx-envoy-original-host: h\r\nx-envoy-original-path: /p\r\nx-envoy-upstream-stream-duration-ms: 3\r\n',
    ),
  },
  {
    name: 'gateway: identity and history of a request are not for outsiders (traps row 6)',
    listener: 'gateway',
    request: get(
      '/ok',
      'x-forwarded-client-cert: By=spiffe://x\r\nx-envoy-original-host: h\r\nx-envoy-original-path: /p\r\nx-envoy-upstream-stream-duration-ms: 3\r\n',
    ),
  },
  {
    name: 'internal: history of a request (traps row 6)',
    listener: 'internal',
    request: get(
      '/ok',
      'x-forwarded-client-cert: By=spiffe://x\r\nx-envoy-original-host: h\r\nx-envoy-upstream-stream-duration-ms: 3\r\n',
    ),
  },
  {
    name: 'gateway: https in an absolute target over plain text',
    listener: 'gateway',
    request: get('https://test.example/ok'),
  },
  { name: 'https in an absolute target, inside the mesh', request: get('https://test.example/ok') },
  {
    name: 'gateway: characters that a path holds only escaped (traps row 1)',
    listener: 'gateway',
    request: get('/ok/"<>^`{|}[]\'()*,;=!$&@:?"<>^`{|}'),
  },
  { name: 'such characters, not normalized', request: get('/ok/"<>^`{|}?"<>^`{|}') },
  { name: 'connection nominates te', request: get('/ok', 'Connection: TE\r\nTE: trailers, deflate\r\n') },
  { name: 'connection nominates host', request: get('/ok', 'Connection: host\r\n'), forgive: clientHead },
  { name: 'gateway: plain GET (D4.05)', request: get('/ok'), listener: 'gateway' },
  {
    name: 'gateway: spoofed headers (D4.05b)',
    listener: 'gateway',
    request: get(
      '/ok',
      'x-envoy-max-retries: 9\r\nx-envoy-internal: true\r\nx-envoy-original-path: /x\r\nx-forwarded-for: 10.0.0.1\r\nx-request-id: mine\r\nx-forwarded-proto: https\r\n',
    ),
  },
  {
    name: 'gateway: path normalization (D4.08, traps row 1)',
    listener: 'gateway',
    request: get('/a/../ok/./%7euser?x=/../y'),
  },
  { name: 'gateway: dots above the root (D4.08)', listener: 'gateway', request: get('/../../ok') },
  { name: 'gateway: backslash', listener: 'gateway', request: get('/ok\\x') },
  { name: 'gateway: encoded slash (D4.08)', listener: 'gateway', request: get('/ok%2Fx%5cy') },
  { name: 'gateway: double slash (D4.08)', listener: 'gateway', request: get('//ok//x') },
  { name: 'gateway: double encoding', listener: 'gateway', request: get('/ok/%252e%252e/x') },
  { name: 'path with encoded dots, not normalized', request: get('/ok/%2e%2e/x') },
  { name: 'fragment (traps row 2)', request: get('/ok#frag') },
  { name: 'absolute form (traps row 3)', request: get('http://narrow.example/only?x=1') },
  { name: 'host with port and case (T24, traps row 3)', request: get('/ok', '', 'TEST.example:80') },
  { name: 'host with trailing dot (T24)', request: get('/ok', '', 'test.example.') },
  { name: 'HTTP/1.0 (D4.02, T24)', request: 'GET /ok HTTP/1.0\r\nHost: test.example\r\n\r\n' },
  { name: 'missing host', request: 'GET /ok HTTP/1.1\r\n\r\n' },
  { name: 'empty host', request: 'GET /ok HTTP/1.1\r\nHost:\r\n\r\n' },
  {
    name: 'duplicate content-length (traps row 7)',
    request: get('/ok', 'Content-Length: 0\r\nContent-Length: 0\r\n'),
    forgive: clientOnly,
  },
  {
    name: 'two lengths (traps row 7)',
    request: get('/ok', 'Content-Length: 5\r\nContent-Length: 6\r\n'),
    forgive: clientOnly,
  },
  {
    name: 'length and chunked (traps row 7)',
    request: get('/ok', 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n'),
    forgive: clientOnly,
  },
  {
    name: 'unknown coding (traps row 7)',
    request: get('/ok', 'Transfer-Encoding: gzip\r\n'),
    forgive: clientOnly,
  },
  { name: 'negative length', request: get('/ok', 'Content-Length: -1\r\n'), forgive: clientOnly },
  { name: 'space before colon (traps row 5)', request: oneHeader('X-A : 1'), forgive: clientOnly },
  { name: 'NUL in a value (traps row 5)', request: oneHeader('X-A: \0'), forgive: clientOnly },
  { name: 'control character in a value', request: oneHeader('X-A: \x01'), forgive: clientOnly },
  { name: 'bad header name', request: oneHeader('X(A): 1'), forgive: clientOnly },
  { name: 'underscore (traps row 5)', request: oneHeader('X_A: 1') },
  { name: 'bad method', request: 'get /ok HTTP/1.1\r\nHost: test.example\r\n\r\n', forgive: clientOnly },
  { name: 'garbage', request: 'hello there\r\n\r\n', forgive: clientOnly },
  { name: 'CONNECT', request: 'CONNECT test.example:80 HTTP/1.1\r\nHost: test.example:80\r\n\r\n' },
  { name: 'OPTIONS *', request: 'OPTIONS * HTTP/1.1\r\nHost: test.example\r\n\r\n' },
  {
    name: '101 headers',
    request: get('/ok', Array.from({ length: 100 }, (_, index) => `x-${index}: 1\r\n`).join('')),
    forgive: clientOnly,
  },
  { name: 'huge header', request: get('/ok', `x-a: ${'a'.repeat(62_000)}\r\n`), forgive: clientOnly },
  {
    name: 'bad chunk size (traps row 7)',
    request: 'POST /ok HTTP/1.1\r\nhost: test.example\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n',
    forgive: clientOnly,
  },
  { name: 'no healthy upstream, HEAD', request: 'HEAD /no-hosts HTTP/1.1\r\nHost: test.example\r\n\r\n' },
  {
    name: 'no healthy upstream, gRPC client',
    request: get('/no-hosts', 'content-type: application/grpc+proto\r\n'),
  },
  {
    name: 'no route, POST with a body',
    request: 'POST / HTTP/1.1\r\nHost: nobody.example\r\nContent-Length: 4\r\n\r\nbody',
  },
  { name: 'empty value', request: oneHeader('X-A:') },
  { name: 'no space behind the colon', request: oneHeader('X-A:1') },
  { name: 'white space around a value', request: oneHeader('X-A: \t 1 \t ') },
  { name: 'the same header twice (traps row 4)', request: get('/ok', 'X-Role: a\r\nX-Role: b\r\n') },
  {
    name: '99 headers',
    request: get('/ok', Array.from({ length: 98 }, (_, index) => `x-${index}: 1\r\n`).join('')),
  },
  {
    name: 'expect, answered by the proxy',
    request: 'POST /ok HTTP/1.1\r\nhost: test.example\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\nab',
  },
  { name: 'two requests at once', request: get('/ok') + get('/204') },
  {
    name: 'a request behind a refused one',
    request: get('/ok', 'X-A : 1\r\n') + get('/ok'),
    forgive: clientOnly,
  },
  { name: 'cluster header', request: get('/cluster-header', 'x-cluster: backend\r\n') },
  { name: 'cluster header, missing', request: get('/cluster-header') },
  { name: 'host rewrite by header', request: get('/host-header', 'x-host: by.header\r\n') },
  {
    name: 'retry on 5xx with a body',
    request: 'POST /retry/503 HTTP/1.1\r\nhost: test.example\r\ncontent-length: 2\r\n\r\nab',
  },
  {
    name: 'upgrade that the upstream declines',
    request: get('/ok', 'Connection: Upgrade\r\nUpgrade: websocket\r\n'),
  },
  {
    name: 'connection nominates headers (traps row 7)',
    request: get('/ok', 'Connection: x-mine, close\r\nX-Mine: 1\r\n'),
  },
  {
    name: 'request trailers, which are not enabled',
    request:
      'POST /ok HTTP/1.1\r\nhost: test.example\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-trailer: yes\r\n\r\n',
  },
  { name: 'te: trailers', request: get('/ok', 'TE: trailers\r\n') },
  {
    name: 'gateway: forwarded for',
    listener: 'gateway',
    request: get('/ok', 'x-forwarded-for: 1.2.3.4, 5.6.7.8\r\n'),
  },
  { name: 'gateway: redirect to https', listener: 'gateway', request: get('/x', '', 'tls.example') },
  {
    name: 'gateway: redirect to https, claimed',
    listener: 'gateway',
    request: get('/x', 'x-forwarded-proto: https\r\n', 'tls.example'),
  },
  { name: 'gateway: unknown host', listener: 'gateway', request: get('/', '', 'nobody.example') },
  { name: 'options: plain GET', listener: 'options', request: get('/ok') },
  { name: 'options: local reply', listener: 'options', request: get('/direct') },
  { name: 'options: host with port', listener: 'options', request: get('/ok', '', 'test.example:1234') },
  {
    name: 'options: host with trailing dot and port',
    listener: 'options',
    request: get('/ok', '', 'test.example.:1234'),
  },
  { name: 'options: double slashes', listener: 'options', request: get('//ok///x') },
  { name: 'options: escaped slash redirects', listener: 'options', request: get('/a%2Fok?x=%2F') },
  { name: 'options: underscore is dropped', listener: 'options', request: oneHeader('X_A: 1') },
  {
    name: 'options: trusted hop',
    listener: 'options',
    request: get('/ok', 'x-forwarded-for: 1.2.3.4, 5.6.7.8\r\nx-forwarded-proto: https\r\n'),
  },
  {
    name: 'options: request id of a client',
    listener: 'options',
    request: get('/ok', 'x-request-id: 11111111-2222-4333-8444-555555555555\r\n'),
  },
  {
    name: 'internal: timeout by header (D6.08)',
    listener: 'internal',
    request: get('/slow', 'x-envoy-upstream-rq-timeout-ms: 100\r\n'),
  },
  {
    name: 'internal: retries by header (D6.07)',
    listener: 'internal',
    request: get('/503', 'x-envoy-retry-on: gateway-error\r\nx-envoy-max-retries: 2\r\n'),
  },
  { name: 'internal: plain GET', listener: 'internal', request: get('/ok') },
  {
    name: 'old: HTTP/1.0 (D4.02)',
    listener: 'old',
    request: 'GET /ok HTTP/1.0\r\nHost: test.example\r\n\r\n',
  },
  { name: 'old: HTTP/1.0 without host', listener: 'old', request: 'GET /ok HTTP/1.0\r\n\r\n' },
  {
    name: 'old: HTTP/1.0 keep-alive',
    listener: 'old',
    request: 'GET /ok HTTP/1.0\r\nHost: test.example\r\nConnection: keep-alive\r\n\r\n',
  },
  {
    name: 'old: HTTP/1.0, response chunked',
    listener: 'old',
    request: 'GET /chunked HTTP/1.0\r\nHost: test.example\r\n\r\n',
  },
  { name: 'old: underscore is refused', listener: 'old', request: oneHeader('X_A: 1') },
  { name: 'old: escaped slash is refused', listener: 'old', request: get('/a%5Cok') },
];

describe.skipIf(needs('envoy'))('HTTP connection manager: as stock Envoy (partly D3.02, D7.03)', () => {
  const backend = new RawBackend(answer);
  let proxy: StaticProxy;
  let envoy: ChildProcess;
  let folder: string;

  beforeAll(async () => {
    await backend.listen(ports.backend, '0.0.0.0');
    proxy = await startStaticProxy(bootstrap(ports.ours, '/dev/null'), { random: () => 0.3 });
    folder = mkdtempSync(join(tmpdir(), 'parity-'));
    writeFileSync(join(folder, 'envoy.yaml'), bootstrap(ports.envoy, join(folder, 'access.log')));
    envoy = spawn(
      'envoy',
      [
        '-c',
        join(folder, 'envoy.yaml'),
        '--disable-hot-restart',
        '--concurrency',
        '1',
        '--file-flush-interval-msec',
        '10',
        '-l',
        'critical',
      ],
      {
        stdio: 'inherit',
      },
    );
    await untilListening('127.0.0.1', ports.envoy, 10_000);
  });

  afterAll(() => {
    proxy.close();
    envoy.kill('SIGKILL');
    backend.close();
    rmSync(folder, { recursive: true });
  });

  for (const { name, request, listener, forgive } of cases) {
    test(name, async () => {
      const offset = listeners[listener ?? 'sidecar'];
      const view = forgive ?? ((seen: Seen): Seen => seen);
      const sides = async (quietMs: number): Promise<readonly [Seen, Seen]> => {
        const own = await observe(ports.ours + offset, { request, quietMs }, backend, () => ownLog(proxy));
        const others = await observe(ports.envoy + offset, { request, quietMs }, backend, () =>
          envoyLog(join(folder, 'access.log')),
        );
        return [view(own), view(others)];
      };
      let [own, others] = await sides(60);
      // On a busy machine an end of the connection may come later than that.
      if (!isDeepStrictEqual(own, others)) [own, others] = await sides(600);
      expect(own).toEqual(others);
    });
  }
});

function ownLog(proxy: StaticProxy): string {
  return proxy.log
    .splice(0)
    .map(({ code, flags, details }) => `${code} ${flags} ${details ?? '-'}`)
    .join('\n');
}

function envoyLog(file: string): string {
  const text = readFileSync(file, 'utf8');
  writeFileSync(file, '');
  return text.replaceAll('\0', '').trim();
}

async function observe(
  port: number,
  asked: { readonly request: string; readonly quietMs: number },
  backend: RawBackend,
  readLog: () => string,
): Promise<Seen> {
  backend.seen.length = 0;
  const { text, closed } = await exchange(port, asked.request, asked.quietMs);
  let log = readLog();
  for (let wait = 0; wait < 40 && log === ''; wait++) {
    await pause(10);
    log = readLog();
  }
  return {
    response: normalize(text),
    upstream: backend.seen.map(normalize).join('\n---\n'),
    log,
    // Envoy waits for the client to close, for a second; we send FIN at once. Both say so in the header.
    closed: closed || text.includes('\r\nconnection: close\r\n'),
  };
}

/** Sends bytes; resolves when nothing more has come for `quietMs`, or with the end of the connection. */
function exchange(
  port: number,
  request: string,
  quietMs: number,
): Promise<{ text: string; closed: boolean }> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1' });
    let text = '';
    let timer: NodeJS.Timeout;
    const finish = (closed: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ text, closed });
    };
    const wait = (ms: number): void => {
      clearTimeout(timer);
      timer = setTimeout(() => finish(false), ms);
    };
    wait(1500);
    socket.setEncoding('latin1');
    socket.on('connect', () => socket.write(request, 'latin1'));
    socket.on('data', (chunk: string) => {
      text += chunk;
      wait(quietMs);
    });
    socket.on('end', () => finish(true));
    socket.on('error', (error) => (text === '' ? reject(error) : finish(true)));
  });
}

function normalize(text: string): string {
  return text
    .replaceAll(/^date: .*$/gm, 'date: D')
    .replaceAll(/^(x-envoy-upstream-service-time): \d+/gm, '$1: N')
    .replaceAll(/^(x-envoy-expected-rq-timeout-ms): 14\d\d\d/gm, '$1: 15000')
    .replaceAll(/^(x-forwarded-port): 21\d\d\d$/gm, '$1: P')
    .replaceAll(/^x-request-id: [0-9a-f]{8}-[0-9a-f-]{27}/gm, 'x-request-id: UUID');
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function answer(socket: Socket, request: string): void {
  const path = request.split(' ')[1] ?? '';
  const kind = path.split('?')[0]!.split('/').at(-1);
  switch (kind) {
    case 'chunked':
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n');
      return;
    case 'head-chunked':
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
      return;
    case 'until-close':
      socket.end('HTTP/1.1 200 OK\r\nx-a: b\r\n\r\nall of it');
      return;
    case '204':
      socket.write('HTTP/1.1 204 No Content\r\nx-a: b\r\n\r\n');
      return;
    case '304':
      socket.write('HTTP/1.1 304 Not Modified\r\netag: "x"\r\n\r\n');
      return;
    case '500':
    case '503':
      socket.write(`HTTP/1.1 ${kind} Whatever\r\ncontent-length: 4\r\n\r\nfail`);
      return;
    case 'close':
      socket.end();
      return;
    case 'reset':
      socket.resetAndDestroy();
      return;
    case 'garbage':
      socket.write('SSH-2.0-nothing to see\r\n\r\n');
      return;
    case 'slow':
      return;
    case 'ws':
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello',
      );
      return;
    case undefined:
    default:
      socket.write(
        'HTTP/1.1 200 Fine\r\nServer: backend\r\nX-Up: 1\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok',
      );
  }
}

function bootstrap(port: number, accessLog: string): string {
  const route = (prefix: string, rest: string): string => `{match: {prefix: ${prefix}}, ${rest}}`;
  const to = (cluster: string, more = ''): string =>
    `route: {cluster: ${cluster}${more === '' ? '' : `, ${more}`}}`;
  const fault = (config: string): string =>
    `typed_per_filter_config: {envoy.filters.http.fault: {"@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault, ${config}}}`;
  const upstreamHost = 'response_headers_to_add: [{header: {key: x-host, value: "%UPSTREAM_HOST%"}}]';
  const hashed = ['ring', 'maglev'].map(
    (kind) =>
      `  - {name: ${kind}, type: STATIC, connect_timeout: 1s, ${kind === 'ring' ? 'lb_policy: RING_HASH, ring_hash_lb_config: {minimum_ring_size: 100}' : 'lb_policy: MAGLEV, maglev_lb_config: {table_size: 251}'}, load_assignment: {cluster_name: ${kind}, endpoints: [{lb_endpoints: [${[
        2, 3, 4, 5,
      ]
        .map(
          (host) =>
            `{load_balancing_weight: ${host}, endpoint: {address: {socket_address: {address: 127.0.0.${host}, port_value: ${ports.backend}}}}}`,
        )
        .join(', ')}]}]}}`,
  );
  const routes = [
    route('/no-cluster', to('missing')),
    route('/no-hosts', to('empty')),
    route('/original', to('original')),
    route('/refused', to('refused')),
    route('/timeout', to('backend', 'timeout: 0.2s')),
    route(
      '/try-timeout',
      to('backend', 'timeout: 3s, retry_policy: {retry_on: 5xx, num_retries: 1, per_try_timeout: 0.1s}'),
    ),
    route('/retry/', to('backend', 'retry_policy: {retry_on: 5xx, num_retries: 2}')),
    route('/retry-refused', to('refused', 'retry_policy: {retry_on: connect-failure, num_retries: 2}')),
    ...['ring', 'maglev'].flatMap((kind) => [
      route(
        `/${kind}/source`,
        `${to(kind, 'hash_policy: [{connection_properties: {source_ip: true}}]')}, ${upstreamHost}`,
      ),
      route(
        `/${kind}/cookie`,
        to(
          kind,
          'hash_policy: [{cookie: {name: made, ttl: 60s, path: /a, attributes: [{name: SameSite, value: Strict}]}}]',
        ),
      ),
      route(
        `/${kind}`,
        `${to(kind, 'hash_policy: [{header: {header_name: x-user}}, {query_parameter: {name: user}}, {cookie: {name: user}, terminal: true}]')}, ${upstreamHost}`,
      ),
    ]),
    route(
      '/tiers/others',
      to(
        'tiers',
        'retry_policy: {retry_on: connect-failure, num_retries: 2, retry_priority: {name: envoy.retry_priorities.previous_priorities, typed_config: {"@type": type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig, update_frequency: 2}}}',
      ),
    ),
    route('/tiers/same', to('tiers', 'retry_policy: {retry_on: connect-failure, num_retries: 2}')),
    route(
      '/retry-default',
      to(
        'backend',
        'timeout: 0s, retry_policy: {retry_on: "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes", num_retries: 2, host_selection_retry_max_attempts: 5, retry_host_predicate: [{name: envoy.retry_host_predicates.previous_hosts, typed_config: {"@type": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}}]}',
      ),
    ),
    route(
      '/redirect-path',
      'redirect: {path_redirect: /elsewhere, port_redirect: 8443, response_code: FOUND}',
    ),
    route(
      '/redirect-prefix',
      'redirect: {prefix_rewrite: /other, scheme_redirect: https, strip_query: true}',
    ),
    route('/redirect', 'redirect: {host_redirect: other.example}'),
    route('/direct-empty', 'direct_response: {status: 502}'),
    route(
      '/direct',
      'direct_response: {status: 418, body: {inline_string: "a teapot"}}, response_headers_to_add: [{header: {key: x-direct, value: "1"}}]',
    ),
    route('/abort', `${to('backend')}, ${fault('abort: {http_status: 555, percentage: {numerator: 100}}')}`),
    route(
      '/delay',
      `${to('backend')}, ${fault('delay: {fixed_delay: 0.05s, percentage: {numerator: 100}}')}`,
    ),
    route('/nginx', to('backend', 'prefix_rewrite: /')),
    route(
      '/regex',
      to(
        'backend',
        'regex_rewrite: {pattern: {regex: "^/regex/([^/]+)/(.*)$"}, substitution: "/\\\\2/\\\\1"}',
      ),
    ),
    route('/host-rewrite', to('backend', 'host_rewrite_literal: new.example')),
    route(
      '/mutate',
      `${to('backend')}, request_headers_to_remove: [x-gone], request_headers_to_add: [{header: {key: X-Over, value: new}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}, {header: {key: x-app, value: b}}, {header: {key: x-absent, value: c}, append_action: ADD_IF_ABSENT}, {header: {key: x-proto, value: "%PROTOCOL% 100%%"}}], response_headers_to_remove: [x-up], response_headers_to_add: [{header: {key: x-code, value: "%RESPONSE_CODE%"}}, {header: {key: x-host, value: "%UPSTREAM_HOST%"}}]`,
    ),
    route(
      '/weighted',
      'route: {weighted_clusters: {clusters: [{name: backend, weight: 100, request_headers_to_add: [{header: {key: x-sub, value: v1}}], response_headers_to_add: [{header: {key: x-sub, value: v1}}]}, {name: missing, weight: 0}]}}',
    ),
    `{match: {prefix: /query, query_parameters: [{name: user, string_match: {exact: jason}}]}, ${to('backend', 'prefix_rewrite: /jason')}}`,
    `{match: {prefix: /header, headers: [{name: x-user, string_match: {safe_regex: {regex: "^ja.*"}}}]}, ${to('backend', 'prefix_rewrite: /jason')}}`,
    route(
      '/cors',
      `${to('backend')}, typed_per_filter_config: {envoy.filters.http.cors: {"@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy, allow_origin_string_match: [{exact: "http://good.example"}], allow_methods: "GET,POST", allow_headers: "x-a", expose_headers: "x-b", max_age: "60", allow_credentials: true}}`,
    ),
    route('/decorated', `${to('backend')}, decorator: {operation: "svc:80/*"}`),
    route('/cluster-header', 'route: {cluster_header: x-cluster}'),
    route('/host-header', to('backend', 'host_rewrite_header: x-host')),
    route('/', to('backend')),
  ];
  const listener = (name: keyof typeof listeners, options: object): string => `
  - name: ${name}
    address: {socket_address: {address: 127.0.0.1, port_value: ${port + listeners[name]}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ${name}
          ${Object.entries(options)
            .map(([key, value]) => `${key}: ${JSON.stringify(value)}`)
            .join('\n          ')}
          upgrade_configs: [{upgrade_type: websocket}]

          access_log:
          - name: envoy.access_loggers.file
            typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: ${accessLog}, log_format: {text_format_source: {inline_string: "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\\n"}}}
          http_filters:
          - {name: envoy.filters.http.fault, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault}}
          - {name: envoy.filters.http.cors, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors}}
          - {name: envoy.filters.http.router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
          route_config:
            name: main
            validate_clusters: false
            virtual_hosts:
            - {name: narrow, domains: [narrow.example], routes: [{match: {path: /only}, ${to('backend')}}]}
            - {name: tls, domains: [tls.example], require_tls: ALL, routes: [${route('/', to('backend'))}]}
            - {name: count, domains: [count.example], include_request_attempt_count: true, include_attempt_count_in_response: true, routes: [${route('/', to('backend'))}]}
            - name: test
              domains: [test.example, "test.example:80"]
              routes:
${routes.map((each) => `              - ${each}`).join('\n')}`;
  return `
static_resources:
  listeners:${listener('sidecar', { use_remote_address: false })}${listener('gateway', { use_remote_address: true, normalize_path: true, server_name: 'istio-envoy', proxy_100_continue: true })}${listener('options', { use_remote_address: true, xff_num_trusted_hops: 1, via: 'fair', always_set_request_id_in_response: true, preserve_external_request_id: true, server_header_transformation: 'APPEND_IF_ABSENT', strip_any_host_port: true, strip_trailing_host_dot: true, merge_slashes: true, path_with_escaped_slashes_action: 'UNESCAPE_AND_REDIRECT', append_x_forwarded_port: true, common_http_protocol_options: { headers_with_underscores_action: 'DROP_HEADER' } })}${listener('internal', { use_remote_address: true, internal_address_config: { cidr_ranges: [{ address_prefix: '127.0.0.0', prefix_len: 8 }] } })}${listener('old', { http_protocol_options: { accept_http_10: true, default_host_for_http_10: 'test.example' }, path_with_escaped_slashes_action: 'REJECT_REQUEST', common_http_protocol_options: { headers_with_underscores_action: 'REJECT_REQUEST' } })}
  clusters:
  - {name: original, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED, connect_timeout: 1s}
${hashed.join('\n')}
  - name: tiers
    type: STATIC
    connect_timeout: 1s
    load_assignment:
      cluster_name: tiers
      endpoints:
      - {lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${ports.refused}}}}}]}
      - {priority: 1, lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${ports.backend}}}}}]}
  - {name: empty, type: STATIC, load_assignment: {cluster_name: empty}}
  - {name: backend, type: STATIC, connect_timeout: 1s, load_assignment: {cluster_name: backend, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${ports.backend}}}}}]}]}}
  - {name: refused, type: STATIC, connect_timeout: 1s, load_assignment: {cluster_name: refused, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${ports.refused}}}}}]}]}}
`;
}
