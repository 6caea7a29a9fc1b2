// What the listener filters read out of the first bytes.
import { connect } from 'node:tls';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { array, assert, nat, property, tuple } from 'fast-check';
import { expect, test } from 'vitest';
import { readClientHello } from './client-hello.ts';
import { readHttpPreface } from './http-preface.ts';

/** The first flight of a real TLS client. */
function clientHello(servername: string | undefined, protocols: readonly string[]): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      socket.once('data', (bytes) => {
        resolve(bytes);
        socket.destroy();
        server.close();
      });
    });
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      const client = connect({
        host: '127.0.0.1',
        port,
        ...(servername === undefined ? {} : { servername }),
        ALPNProtocols: [...protocols],
        rejectUnauthorized: false,
      });
      client.on('error', () => {});
    });
    server.on('error', reject);
  });
}

test('readClientHello: SNI and ALPN of a real client, byte by byte (D2.03)', async () => {
  const hello = await clientHello('Www.Example.com', ['h2', 'http/1.1']);
  expect(readClientHello(hello)).toEqual({
    kind: 'hello',
    serverName: 'www.example.com',
    applicationProtocols: ['h2', 'http/1.1'],
  });
  for (let length = 1; length < hello.length; length++) {
    expect(readClientHello(hello.subarray(0, length)).kind).toBe('more');
  }
});

test('readClientHello: without SNI and ALPN, and split over records (D2.03)', async () => {
  const hello = await clientHello(undefined, []);
  expect(readClientHello(hello)).toMatchObject({
    kind: 'hello',
    serverName: undefined,
    applicationProtocols: [],
  });
  const body = hello.subarray(5);
  const record = (part: Buffer): Buffer =>
    Buffer.concat([Buffer.from([22, 3, 1, part.length >> 8, part.length & 255]), part]);
  const split = Buffer.concat([record(body.subarray(0, 10)), record(body.subarray(10))]);
  expect(readClientHello(split).kind).toBe('hello');
});

test('readClientHello: what is no TLS is said at once (D2.03)', () => {
  expect(readClientHello(Buffer.from('GET / HTTP/1.1')).kind).toBe('not-tls');
  expect(readClientHello(Buffer.from([22, 9])).kind).toBe('not-tls');
  expect(readClientHello(Buffer.from([22, 3, 1, 0, 0])).kind).toBe('not-tls');
});

test('readClientHello: a server name with control characters or NUL is none (traps row 15, 20)', async () => {
  const hello = await clientHello('aaaa.example.com', []);
  const at = hello.indexOf('aaaa.example.com');
  hello[at + 1] = 0;
  expect(readClientHello(hello)).toMatchObject({ kind: 'hello', serverName: undefined });
});

test('readClientHello: no bytes whatever make it throw or loop (traps row 17)', async () => {
  const hello = await clientHello('www.example.com', ['h2']);
  assert(
    property(array(tuple(nat(hello.length - 1), nat(255)), { maxLength: 8 }), (changes) => {
      const mutated = Buffer.from(hello);
      for (const [at, value] of changes) mutated[at] = value;
      expect(['more', 'not-tls', 'hello']).toContain(readClientHello(mutated).kind);
    }),
    { numRuns: 10_000 },
  );
});

test('readHttpPreface: HTTP/1.0, HTTP/1.1, HTTP/2 and what is none of them (D2.04)', () => {
  const preface = (text: string): string => readHttpPreface(Buffer.from(text, 'latin1'));
  expect(preface('GET / HTTP/1.1\r\n')).toBe('http/1.1');
  expect(preface('GET /a?b=c HTTP/1.0\n')).toBe('http/1.0');
  expect(preface('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')).toBe('h2c');
  expect(preface('PRI * HTT')).toBe('more');
  expect(preface('GET /ab')).toBe('more');
  expect(preface('GET / HTTP/1.1\r')).toBe('more');
  expect(preface('\x16\x03\x01')).toBe('not-http');
  expect(preface('*3\r\n$3\r\nSET\r\n')).toBe('not-http');
  expect(preface('SELECT 1;\n')).toBe('not-http');
  expect(preface('GET / HTTP/3.0\r\n')).toBe('not-http');
});

test('readHttpPreface: request lines that Envoy still takes for HTTP, and such that it does not (D2.04)', () => {
  const preface = (text: string): string => readHttpPreface(Buffer.from(text, 'latin1'));
  for (const line of [
    'FOO / HTTP/1.1',
    'GET  / HTTP/1.1',
    'GET\t/ HTTP/1.1',
    'GET / HTTP/1.1 ',
    'GET / HTTP/1.1\r',
    'GET /\u0001 HTTP/1.1',
    'GET /HTTP/1.1',
    'GET http://a?b HTTP/1.1',
    'GET h1://[::1]:80 HTTP/1.1',
    'CONNECT a:80 HTTP/1.1',
    'OPTIONS * HTTP/1.1',
  ])
    expect(preface(`${line}\r\n`), line).toBe('http/1.1');
  for (const line of [
    ' GET / HTTP/1.1',
    'GET\u0001/ HTTP/1.1',
    'GET a HTTP/1.1',
    'GET ?a HTTP/1.1',
    'GET /\u00e9 HTTP/1.1',
    'GET /\u007f HTTP/1.1',
    'GET /a b HTTP/1.1',
    'GET / http/1.1',
    'GET / HTTP/1.12',
    'GET http://a"b/ HTTP/1.1',
    'CONNECT a@@b HTTP/1.1',
    'G,T / HTTP/1.1',
  ])
    expect(preface(`${line}\r\n`), line).toBe('not-http');
});
