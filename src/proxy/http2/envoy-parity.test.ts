// The same frames to our data path and to stock Envoy: what Envoy refuses, ours must refuse, and the statuses agree.
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RawHttp2, frame, headers, literals, request, settings } from '../../../test/support/raw-http2.ts';
import type { StaticProxy } from '../../../test/support/static-proxy.ts';
import { startStaticProxy } from '../../../test/support/static-proxy.ts';
import { needs } from '../../../test/support/tools.ts';
import { untilListening } from '../../../test/support/wait.ts';

const hosts = { ours: '127.48.0.2', envoy: '127.48.0.3' } as const;
const port = 25540;

const bootstrap = (host: string): string => `
static_resources:
  listeners:
  - name: http2
    address: {socket_address: {address: ${host}, port_value: ${port}}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          route_config:
            name: routes
            virtual_hosts:
            - name: v
              domains: ["*"]
              routes:
              - {match: {path: /direct}, direct_response: {status: 200, body: {inline_string: direct}}}
          http_filters:
          - name: router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
`;

type Fields = readonly (readonly [string, string])[];

interface Case {
  readonly name: string;
  readonly bytes: readonly Buffer[];
  /** What is meant to differ: ours, and why. */
  readonly ours?: readonly [outcome: string, reason: string];
}

const get = (name: string, more: Fields, ours?: Case['ours']): Case => ({
  name,
  bytes: [headers(1, request('/direct', more))],
  ...(ours === undefined ? {} : { ours }),
});
const fields = (name: string, all: Fields, ours?: Case['ours']): Case => ({
  name,
  bytes: [headers(1, all)],
  ...(ours === undefined ? {} : { ours }),
});
const head = (...more: Fields): Fields => [[':method', 'GET'], [':scheme', 'http'], ...more];
const path = [':path', '/direct'] as const;
const many = (count: number): Fields =>
  Array.from({ length: count }, (_, index) => [`x-${index}`, 'b'] as const);
const body = (name: string, more: Fields, data: string): Case => ({
  name,
  bytes: [headers(1, request('/absent', more, 'POST'), { open: true }), frame(0, 1, 1, data)],
});
const windowUpdate = frame(8, 0, 0, Buffer.from([0, 0, 0, 1]));
const priority = frame(2, 0, 1, Buffer.from([0, 0, 0, 0, 16]));
const repeated = (bytes: Buffer, count: number): Buffer[] => Array.from({ length: count }, () => bytes);
const plain = headers(1, request('/direct'));

const cases: readonly Case[] = [
  get('plain', []),
  get('upper case in a name', [['X-A', 'b']]),
  get('NUL in a value', [['x-a', 'b\0c']]),
  get('CR in a value', [['x-a', 'b\rc']]),
  get('LF in a value', [['x-a', 'b\nc']]),
  get('DEL in a value', [['x-a', 'b\x7fc']]),
  get('a control character in a value', [['x-a', 'b\x01c']]),
  get('obs-text in a value', [['x-a', 'b\xe9c']]),
  get('a space in a name', [['x a', 'b']]),
  get('a colon in a name', [['x:a', 'b']]),
  get('an empty name', [['', 'b']]),
  get('blanks before a value', [['x-a', ' b']]),
  get('blanks behind a value', [['x-a', 'b ']]),
  get('connection', [['connection', 'close']]),
  get('transfer-encoding', [['transfer-encoding', 'chunked']]),
  get('upgrade', [['upgrade', 'websocket']]),
  get('te: gzip', [['te', 'gzip']]),
  get('te: trailers', [['te', 'trailers']]),
  get('host as :authority', [['host', 'test.example']]),
  get('host beside another :authority', [['host', 'b.example']], ['refused', 'two hosts are two readings']),
  get('two cookies', [
    ['cookie', 'a=b'],
    ['cookie', 'c=d'],
  ]),
  get('an underscore', [['x_a', 'b']]),
  get('96 headers beside the pseudo headers', many(96)),
  get('97 headers beside the pseudo headers', many(97), ['431', 'an answer says more than a reset']),
  get('a pseudo header twice', [path]),
  get('an unknown pseudo header', [[':foo', 'x']]),
  fields('host alone', head(path, ['host', 'b.example'])),
  fields('two hosts alone', head(path, ['host', 'b.example'], ['host', 'c.example'])),
  fields('no authority', head(path), ['400', 'as a request of HTTP/1.1 without host']),
  fields('an empty authority', head([':authority', ''], path)),
  fields('userinfo in the authority', head([':authority', 'u@a'], path), ['400', 'as HTTP/1.1']),
  fields('a space in the authority', head([':authority', 'a b'], path), ['400', 'as HTTP/1.1']),
  fields('a slash in the authority', head([':authority', 'a/b'], path), ['400', 'as HTTP/1.1']),
  fields('no scheme', [[':method', 'GET'], [':authority', 'a'], path]),
  fields('scheme https', [[':method', 'GET'], [':scheme', 'https'], [':authority', 'a'], path]),
  fields('scheme ftp', [[':method', 'GET'], [':scheme', 'ftp'], [':authority', 'a'], path]),
  fields('no method', [[':scheme', 'http'], [':authority', 'a'], path]),
  fields('no path', head([':authority', 'a'])),
  fields('a regular field before a pseudo header', head(['x-a', 'b'], path, [':authority', 'a'])),
  fields('an empty path', request('')),
  fields('a path without slash', request('direct')),
  fields('path *', request('*')),
  fields('OPTIONS *', request('*', [], 'OPTIONS')),
  fields('an absolute path', request('http://a/direct')),
  fields('a space in the path', request('/di rect')),
  fields('obs-text in the path', request('/direct\xe9'), ['refused', 'HTTP/1.1 takes visible ASCII only']),
  fields('a fragment in the path', request('/direct#a')),
  fields('a space in the method', request('/direct', [], 'GE T')),
  fields('a method in lower case', request('/direct', [], 'get')),
  fields('an odd method', request('/direct', [], 'FOO')),
  fields('an empty method', request('/direct', [], '')),
  fields('CONNECT', [
    [':method', 'CONNECT'],
    [':authority', 'a:80'],
  ]),
  fields('CONNECT with path', [[':method', 'CONNECT'], [':scheme', 'http'], path, [':authority', 'a:80']]),
  get('a content-length that ends before its body', [['content-length', '3']]),
  body(
    'content-length twice',
    [
      ['content-length', '3'],
      ['content-length', '3'],
    ],
    'abc',
  ),
  body('content-length that is no number', [['content-length', '+3']], 'abc'),
  { name: 'PING of wrong size', bytes: [frame(6, 0, 0, '123')] },
  { name: 'RST_STREAM on an idle stream', bytes: [frame(3, 0, 1, Buffer.from([0, 0, 0, 8]))] },
  { name: 'PUSH_PROMISE', bytes: [frame(5, 4, 1, Buffer.from([0, 0, 0, 2]))] },
  { name: 'an unknown frame', bytes: [frame(20, 0, 0, 'abc'), plain] },
  {
    name: '2000 PING frames from a client that reads',
    bytes: [...repeated(frame(6, 0, 0, '12345678'), 2000), plain],
  },
  { name: '2000 SETTINGS frames from a client that reads', bytes: [...repeated(settings(), 2000), plain] },
  { name: '50 WINDOW_UPDATE frames', bytes: [...repeated(windowUpdate, 50), plain] },
  { name: '5 WINDOW_UPDATE frames', bytes: [...repeated(windowUpdate, 5), plain] },
  { name: '101 PRIORITY frames', bytes: [...repeated(priority, 101), plain] },
  { name: '100 PRIORITY frames', bytes: [...repeated(priority, 100), plain] },
  {
    name: 'trailers',
    bytes: [
      headers(1, request('/direct', [], 'POST'), { open: true }),
      frame(1, 5, 1, literals([['x-t', '1']])),
    ],
  },
];

/** How a connection is broken off is the codec's own business: that it is, is not. */
async function outcomeOf(host: string, bytes: readonly Buffer[]): Promise<string> {
  const client = new RawHttp2(host, port);
  client.send(...bytes);
  try {
    const outcome = await client.outcome(1, 5000);
    return /^\d+$/.test(outcome) ? outcome : 'refused';
  } finally {
    client.close();
  }
}

describe.skipIf(needs('envoy'))('frames as to stock Envoy (traps rows 7 and 8)', () => {
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-http2-parity-'));
  let proxy: StaticProxy | undefined;
  let envoy: ChildProcess | undefined;
  beforeAll(async () => {
    proxy = await startStaticProxy(bootstrap(hosts.ours));
    const file = join(folder, 'envoy.yaml');
    writeFileSync(file, bootstrap(hosts.envoy));
    envoy = spawn(
      'envoy',
      ['-c', file, '--disable-hot-restart', '--concurrency', '1', '--log-level', 'off'],
      {
        stdio: 'ignore',
      },
    );
    await untilListening(hosts.envoy, port);
  });
  afterAll(() => {
    proxy?.close();
    envoy?.kill();
    rmSync(folder, { recursive: true, force: true });
  });

  test.each(cases)('$name', async ({ bytes, ours }) => {
    const [seen, expected] = await Promise.all([outcomeOf(hosts.ours, bytes), outcomeOf(hosts.envoy, bytes)]);
    if (ours === undefined) expect(seen).toBe(expected);
    else {
      expect(seen).toBe(ours[0]);
      expect(seen, 'no longer a difference').not.toBe(expected);
    }
  });
});
