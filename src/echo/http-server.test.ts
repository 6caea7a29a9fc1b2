// The echo server over real sockets.
import { connect } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '../base/clock.ts';
import type { EchoReport } from './http-server.ts';
import type { RunningEcho } from './run.ts';
import { runEcho } from './run.ts';

const host = '127.0.0.1';
const lines: string[] = [];
let echo: RunningEcho;
let nginx: RunningEcho;

beforeAll(async () => {
  const options = {
    host,
    identity: { pod: 'web-1', namespace: 'shop', version: 'v2', hostname: 'here' },
    clock: systemClock,
    headers: [['x-served-by', 'echo']] as const,
    log: (line: string) => void lines.push(line),
    tcpPrefix: 'hello ',
    tcpGreeting: '',
  };
  echo = await runEcho({ ...options, manners: 'echo', httpPorts: [0], tcpPorts: [0] });
  nginx = await runEcho({ ...options, headers: [], manners: 'nginx', httpPorts: [0], tcpPorts: [] });
});

afterAll(async () => {
  await echo.stop(0);
  await nginx.stop(0);
});

test('createEchoServer: reports headers in order and case, body, peer and who it is', async () => {
  const answer = await raw(
    echo.ports[0],
    'POST /a?b=c HTTP/1.1\r\nHOST: a\r\nx-Two: 2\r\nX-ONE: 1\r\nx-two: 3\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc',
  );
  const report = JSON.parse(answer.slice(answer.indexOf('\r\n\r\n'))) as EchoReport;
  expect(report.headers).toEqual([
    ['HOST', 'a'],
    ['x-Two', '2'],
    ['X-ONE', '1'],
    ['x-two', '3'],
    ['Content-Length', '3'],
    ['Connection', 'close'],
  ]);
  expect(report).toMatchObject({
    method: 'POST',
    path: '/a?b=c',
    pod: 'web-1',
    namespace: 'shop',
    version: 'v2',
  });
  expect(report).toMatchObject({
    body: 'abc',
    bodyBytes: 3,
    source: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
  });
  expect(answer).toContain('\r\nx-served-by: echo\r\n');
});

test('createEchoServer: status, headers, size, chunks and the body on demand', async () => {
  const asked = await fetch(url('/?status=418&header=x-a:1&header=Content-Type:text/css&size=70000'));
  expect(asked.status).toBe(418);
  expect(asked.headers.get('x-a')).toBe('1');
  expect(asked.headers.get('content-type')).toBe('text/css');
  expect((await asked.arrayBuffer()).byteLength).toBe(70_000);
  const back = await fetch(url('/'), {
    method: 'PUT',
    body: 'ping',
    headers: { 'x-echo-body': 'echo', 'x-echo-chunked': 'true' },
  });
  expect(await back.text()).toBe('ping');
  expect(back.headers.get('content-length')).toBeNull();
});

test('createEchoServer: cuts the connection where asked', async () => {
  expect(await raw(echo.ports[0], 'GET /?close=before HTTP/1.1\r\nhost: a\r\n\r\n')).toBe('');
  const headersOnly = await raw(echo.ports[0], 'GET /?close=headers HTTP/1.1\r\nhost: a\r\n\r\n');
  expect(headersOnly).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\n$/);
  const half = await raw(echo.ports[0], 'GET /?close=body HTTP/1.1\r\nhost: a\r\n\r\n');
  const length = Number(/content-length: (\d+)/.exec(half)?.[1]);
  const got = half.length - half.indexOf('\r\n\r\n') - 4;
  expect(got).toBeGreaterThan(0);
  expect(got).toBeLessThan(length);
});

test('createEchoServer: the first answers fail, per request id', async () => {
  const ask = async (id: string): Promise<number> =>
    (await fetch(url('/?status=503&fail-first=2'), { headers: { 'x-request-id': id } })).status;
  expect([
    await ask('a'),
    await ask('b'),
    await ask('a'),
    await ask('a'),
    await ask('b'),
    await ask('b'),
  ]).toEqual([503, 503, 503, 200, 503, 200]);
});

test('createEchoServer: a wrong control is answered with what it takes, and /healthz is there', async () => {
  const wrong = await fetch(url('/?delay=soon'));
  expect(wrong.status).toBe(400);
  expect(await wrong.text()).toContain('delay: "soon" is not a time such as 300ms or 2s');
  expect((await fetch(url('/?header=a%0db:c'))).status).toBe(400);
  expect(await (await fetch(url('/healthz'))).text()).toBe('ok\n');
});

test('createEchoServer: as nginx, headers and log line are those of the walkthroughs (A6.03, A6.07)', async () => {
  const answer = await raw(
    nginx.ports[0],
    'HEAD / HTTP/1.1\r\nhost: a\r\nuser-agent: curl/7.29.0\r\n\r\n',
    300,
  );
  const names = answer
    .trim()
    .split('\r\n')
    .slice(1)
    .map((line) => line.replace(/: .*/, ''));
  expect(names).toEqual([
    'Server',
    'Date',
    'Content-Type',
    'Content-Length',
    'Last-Modified',
    'Connection',
    'ETag',
    'Accept-Ranges',
  ]);
  expect(answer).toContain('Content-Length: 615\r\n');
  expect(lines.at(-1)).toMatch(
    /^127\.0\.0\.1 - - \[\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d \+0000\] "HEAD \/ HTTP\/1\.1" 200 0 "-" "curl\/7\.29\.0" "-"$/,
  );
  const page = await fetch(`http://${host}:${nginx.ports[0]}/`);
  expect((await page.text()).length).toBe(615);
  expect((await fetch(`http://${host}:${nginx.ports[0]}/nginx`)).status).toBe(404);
});

test('createTcpEchoServer: sends back what it got, with its prefix', async () => {
  expect(await raw(echo.ports[1], 'abc', 300)).toBe('hello abc');
});

test('runEcho: a taken port is named, with what to give instead', async () => {
  const again = runEcho({
    host,
    identity: { pod: '', namespace: '', version: '', hostname: '' },
    clock: systemClock,
    headers: [],
    log: () => {},
    tcpPrefix: '',
    tcpGreeting: '',
    manners: 'echo',
    httpPorts: [echo.ports[0] ?? 0],
    tcpPorts: [],
  });
  await expect(again).rejects.toThrow(/cannot listen on 127\.0\.0\.1:\d+: another process has it/);
});

function url(path: string): string {
  return `http://${host}:${echo.ports[0]}${path}`;
}

/** Everything that comes back until the peer closes, or for `waitMs` after the connection was made. */
function raw(port: number | undefined, text: string, waitMs = 5_000): Promise<string> {
  return new Promise((resolve) => {
    let received = '';
    const socket = connect(port ?? 0, host, () => void socket.write(text));
    const timer = setTimeout(() => socket.destroy(), waitMs);
    socket.on('data', (part) => (received += part.toString('latin1')));
    socket.on('error', () => {});
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(received);
    });
  });
}
