// The HTTP data path from socket to socket: what only shows with real connections.
import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import * as fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { RawBackend, RawClient, answerOk, eventually, pathOf } from '../../../test/support/raw-backend.ts';
import type { StaticProxy } from '../../../test/support/static-proxy.ts';
import { chooseWires } from '../io/listen.ts';
import { startStaticProxy } from '../../../test/support/static-proxy.ts';

const port = 21200;
const ports = {
  first: 21210,
  second: 21211,
  shadow: 21212,
  refused: 21213,
  limited: 21214,
  fragile: 21215,
} as const;

const yaml = `
static_resources:
  listeners:
  - name: main
    address: {socket_address: {address: 127.0.0.1, port_value: ${port}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: main
          proxy_100_continue: true
          http_protocol_options: {enable_trailers: true}
          stream_idle_timeout: 0.4s
          delayed_close_timeout: 0.2s
          upgrade_configs: [{upgrade_type: websocket}]
          http_filters:
          - {name: envoy.filters.http.fault, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault}}
          - {name: envoy.filters.http.router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - {match: {prefix: /mirror}, route: {cluster: first, request_mirror_policies: [{cluster: shadow}]}}
              - {match: {prefix: /both}, route: {cluster: both, retry_policy: {retry_on: "5xx,connect-failure", num_retries: 2, retry_host_predicate: [{name: envoy.retry_host_predicates.previous_hosts}], host_selection_retry_max_attempts: 5}}}
              - {match: {prefix: /limited}, route: {cluster: limited}}
              - {match: {prefix: /fragile}, route: {cluster: fragile}}
              - {match: {prefix: /wait}, route: {cluster: first, idle_timeout: 10s}}
              - {match: {prefix: /delay}, route: {cluster: first}, typed_per_filter_config: {envoy.filters.http.fault: {"@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault, delay: {fixed_delay: 0.05s, percentage: {numerator: 100}}}}}
              - {match: {prefix: /}, route: {cluster: first}}
  clusters:
  - ${cluster('first', [ports.first])}
  - ${cluster('both', [ports.refused, ports.first])}
  - ${cluster('shadow', [ports.shadow])}
  - ${cluster('limited', [ports.limited], 'circuit_breakers: {thresholds: [{max_requests: 1, max_pending_requests: 1, max_connections: 1}]}')}
  - ${cluster('fragile', [ports.fragile], 'common_lb_config: {healthy_panic_threshold: {value: 0}}, outlier_detection: {consecutive_5xx: 2, interval: 0.1s, base_ejection_time: 0.3s, max_ejection_percent: 100}')}
`;

function cluster(name: string, endpointPorts: readonly number[], more = ''): string {
  const endpoints = endpointPorts.map(
    (each) => `{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${each}}}}}`,
  );
  return `{name: ${name}, type: STATIC, connect_timeout: 1s, ${more === '' ? '' : `${more}, `}load_assignment: {cluster_name: ${name}, endpoints: [{lb_endpoints: [${endpoints.join(', ')}]}]}}`;
}

const get = (path: string, more = ''): string => `GET ${path} HTTP/1.1\r\nhost: a.example\r\n${more}\r\n`;
const countOf = (text: string, part: string): number => text.split(part).length - 1;

describe.each(['handles', 'sockets'] as const)('HTTP proxy over %s', (wires) => {
  const first = new RawBackend();
  const shadow = new RawBackend();
  const limited = new RawBackend();
  const fragile = new RawBackend();
  let proxy: StaticProxy;
  const clients: RawClient[] = [];
  const open = (): RawClient => {
    const client = new RawClient(port);
    clients.push(client);
    return client;
  };
  const stat = (name: string): number =>
    [...proxy.stats.counters(), ...proxy.stats.gauges()].find((each) => each.id.name === name)?.value ?? 0;

  beforeAll(async () => {
    expect(chooseWires(wires)).toBe(wires);
    await first.listen(ports.first);
    await shadow.listen(ports.shadow);
    await limited.listen(ports.limited);
    await fragile.listen(ports.fragile);
    proxy = await startStaticProxy(yaml);
  });

  afterAll(() => {
    chooseWires('handles');
    for (const client of clients) client.close();
    proxy.close();
    for (const backend of [first, shadow, limited, fragile]) backend.close();
  });

  beforeEach(() => {
    for (const client of clients.splice(0)) client.close();
    for (const backend of [first, shadow, limited, fragile]) {
      backend.seen.length = 0;
      backend.answer = answerOk;
    }
    proxy.log.length = 0;
  });

  test('keep-alive: one connection on each side serves many requests (partly D6.11)', async () => {
    const client = open();
    const before = first.accepted;
    for (let index = 1; index <= 5; index++) {
      client.write(get(`/${index}`));
      await client.until((text) => countOf(text, '\r\n\r\nok') === index);
    }
    expect(first.accepted - before).toBeLessThanOrEqual(1);
    expect(first.seen.map(pathOf)).toEqual(['/1', '/2', '/3', '/4', '/5']);
  });

  test('pipelining: answers come in order, whoever is slow (partly D4.01)', async () => {
    first.answer = (socket, request) => {
      const path = pathOf(request);
      const reply = (): void =>
        void socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${path.length}\r\n\r\n${path}`);
      if (path === '/slow') setTimeout(reply, 60);
      else reply();
    };
    const client = open().write(get('/slow') + get('/b') + get('/c').slice(0, 20));
    await client.until((text) => text.includes('/b'));
    client.write(get('/c').slice(20));
    const text = await client.until((seen) => seen.endsWith('/c'));
    expect(text.indexOf('/slow')).toBeLessThan(text.indexOf('/b'));
    expect(countOf(text, 'HTTP/1.1 200 OK')).toBe(3);
  });

  test('a request split at every byte is the same request (partly D4.01)', async () => {
    const request = 'POST /split HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc';
    for (let at = 1; at < request.length; at += 3) {
      const client = open();
      client.socket.setNoDelay(true);
      client.write(request.slice(0, at));
      await new Promise((resolve) => setTimeout(resolve, 2));
      client.write(request.slice(at));
      await client.until((text) => text.endsWith('ok'));
      client.close();
    }
    expect(new Set(first.seen.map((seen) => seen.replace(/x-request-id: .*/, ''))).size).toBe(1);
    expect(first.seen[0]).toMatch(/\r\n\r\nabc$/);
  });

  test('chunked bodies and trailers pass both ways (partly D4.01)', async () => {
    first.answer = (socket) =>
      void socket.write(
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nx-sum: 5\r\nset-cookie: a=b\r\n\r\n',
      );
    const client = open().write(
      'POST /t HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4;ext=1\r\nbody\r\n0\r\nHost: evil\r\nX-Trailer: yes\r\n\r\n',
    );
    const text = await client.until((seen) => seen.endsWith('x-sum: 5\r\n\r\n'));
    expect(text).toMatch(/\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nx-sum: 5\r\n\r\n$/);
    expect(first.seen[0]).toMatch(
      /transfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nx-trailer: yes\r\n\r\n$/,
    );
  });

  test('a large body for a slow client arrives whole and is not piled up here (D4.15)', async () => {
    const chunk = Buffer.alloc(64 * 1024, 'abcdefgh');
    const chunks = 400;
    let written = 0;
    first.answer = (socket: Socket) => {
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${chunk.length * chunks}\r\n\r\n`);
      const pump = (): void => {
        while (written < chunks) {
          written++;
          if (!socket.write(chunk)) {
            socket.once('drain', pump);
            return;
          }
        }
      };
      pump();
    };
    const client = new RawClient(port);
    clients.push(client);
    client.socket.removeAllListeners('data');
    client.socket.setEncoding('binary');
    client.socket.pause();
    client.write(get('/large'));
    await new Promise((resolve) => setTimeout(resolve, 250));
    expect(written).toBeLessThan(chunks);
    const hash = createHash('sha256');
    let length = 0;
    let head = '';
    client.socket.on('data', (data: string) => {
      let body = data;
      if (!head.includes('\r\n\r\n')) {
        head += data;
        const end = head.indexOf('\r\n\r\n');
        if (end < 0) return;
        body = head.slice(end + 4);
        head = head.slice(0, end + 4);
      }
      length += body.length;
      hash.update(body, 'latin1');
    });
    client.socket.resume();
    await eventually(
      () => length >= chunk.length * chunks,
      () => `${length} bytes`,
      15_000,
    );
    const expected = createHash('sha256');
    for (let index = 0; index < chunks; index++) expected.update(chunk);
    expect(hash.digest('hex')).toBe(expected.digest('hex'));
  });

  test('a large request for a slow upstream arrives whole (D4.15)', async () => {
    const body = 'x'.repeat(6 * 1024 * 1024);
    first.answer = (socket, request) =>
      void socket.write(
        `HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n${request.length - request.indexOf('\r\n\r\n') - 4}`,
      );
    const client = open().write(
      `POST /wait/up HTTP/1.1\r\nhost: a\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    await client.until((text) => text.endsWith(`\r\n\r\n${body.length}`), 15_000);
  });

  test('expect: 100-continue is the upstream’s to answer (partly D4.01)', async () => {
    first.answer = (socket, request) => {
      if (request.includes('expect')) socket.write('HTTP/1.1 100 Continue\r\n\r\n');
      else socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
    };
    const client = open().write(
      'POST /e HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n',
    );
    await client.until((text) => text.startsWith('HTTP/1.1 100 Continue\r\n\r\n'));
    client.write('abc\r\n\r\n'.slice(0, 3));
    await eventually(
      () => proxy.log.length >= 0,
      () => '',
    );
    client.close();
  });

  test('103 early hints pass (D4.14)', async () => {
    first.answer = (socket) =>
      void socket.write(
        'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok',
      );
    const text = await open()
      .write(get('/hints'))
      .until((seen) => seen.endsWith('ok'));
    expect(text).toMatch(/^HTTP\/1\.1 103 Early Hints\r\nlink: <\/a>\r\n\r\nHTTP\/1\.1 200 OK\r\n/);
  });

  test('websocket: bytes pass both ways until one side ends, without the idle timeout (D4.12)', async () => {
    first.answer = (socket) => {
      socket.removeAllListeners('data');
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
      socket.on('data', (data) => socket.write(`echo ${String(data)}`));
    };
    const client = open().write(get('/ws', 'Connection: Upgrade\r\nUpgrade: websocket\r\n'));
    await client.until((text) => text.includes('101 Switching Protocols'));
    await new Promise((resolve) => setTimeout(resolve, 600));
    client.write('one');
    await client.until((text) => text.endsWith('echo one'));
    client.write('two');
    await client.until((text) => text.endsWith('echo two'));
    client.close();
    await eventually(
      () => proxy.log.length === 1,
      () => 'no log',
    );
    expect(proxy.log[0]).toMatchObject({ code: 101, flags: 'DC' });
  });

  test('mirror: the copy has the shadow host and the body, its answer goes nowhere (D6.10)', async () => {
    shadow.answer = (socket) => void socket.write('HTTP/1.1 500 No\r\ncontent-length: 3\r\n\r\nbad');
    const client = open().write(
      'POST /mirror HTTP/1.1\r\nhost: a.example:80\r\ncontent-length: 4\r\n\r\nbody',
    );
    const text = await client.until((seen) => seen.endsWith('ok'));
    expect(text).toContain('HTTP/1.1 200 OK');
    await eventually(
      () => shadow.seen.length === 1,
      () => 'no copy',
    );
    expect(shadow.seen[0]).toMatch(/^POST \/mirror HTTP\/1\.1\r\nhost: a\.example-shadow:80\r\n/);
    expect(shadow.seen[0]).toMatch(/\r\n\r\nbody$/);
  });

  test('retry: another host, with the same body (D6.07)', async () => {
    for (let index = 0; index < 6; index++) {
      const client = open().write('POST /both HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody');
      await client.until((text) => text.endsWith('ok'));
      client.close();
    }
    expect(first.seen.length).toBe(6);
    for (const seen of first.seen) expect(seen).toMatch(/\r\n\r\nbody$/);
    expect(stat('cluster.both.upstream_rq_retry')).toBeGreaterThan(0);
  });

  test('retry: a response with a body that failed is not seen (D6.07)', async () => {
    let count = 0;
    first.answer = (socket) =>
      void socket.write(
        count++ === 0
          ? 'HTTP/1.1 503 No\r\ncontent-length: 4\r\n\r\nfail'
          : 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok',
      );
    const text = await open()
      .write(get('/both'))
      .until((seen) => seen.endsWith('ok'));
    expect(countOf(text, 'HTTP/1.1')).toBe(1);
    expect(text).not.toContain('fail');
  });

  test('circuit breaker: what is beyond the limits gets 503, UO and x-envoy-overloaded (D6.06)', async () => {
    limited.answer = () => {};
    const waiting = [open().write(get('/limited'))];
    await eventually(
      () => limited.seen.length === 1,
      () => 'nothing arrived',
    );
    waiting.push(open().write(get('/limited')));
    await eventually(
      () => stat('cluster.limited.upstream_rq_pending_active') === 1,
      () => 'nothing is pending',
    );
    const text = await open()
      .write(get('/limited'))
      .until((seen) => seen.endsWith('overflow'));
    expect(text).toContain('HTTP/1.1 503 Service Unavailable\r\nx-envoy-overloaded: true\r\n');
    expect(proxy.log[0]).toMatchObject({
      flags: 'UO',
      details: 'upstream_reset_before_response_started{overflow}',
    });
    for (const client of waiting) client.close();
    await eventually(
      () => stat('cluster.limited.upstream_rq_pending_active') === 0,
      () => 'pending is not given back',
    );
    await eventually(
      () => stat('cluster.limited.upstream_rq_active') === 0,
      () => 'active is not given back',
    );
    limited.answer = answerOk;
    await open()
      .write(get('/limited'))
      .until((seen) => seen.endsWith('ok'));
  });

  test('outlier: a failing host is ejected, and comes back (partly D6.04, A6.11)', async () => {
    fragile.answer = (socket) => void socket.write('HTTP/1.1 500 No\r\ncontent-length: 4\r\n\r\nfail');
    const client = open();
    client.write(get('/fragile'));
    await client.until((text) => countOf(text, 'fail') === 1);
    client.write(get('/fragile'));
    await client.until((text) => countOf(text, 'fail') === 2);
    client.write(get('/fragile'));
    await client.until((text) => text.endsWith('no healthy upstream'));
    expect(proxy.log.at(-1)).toMatchObject({ flags: 'UH' });
    fragile.answer = answerOk;
    await eventually(
      () => stat('cluster.fragile.outlier_detection.ejections_active') === 0,
      () => 'still ejected',
    );
    client.write(get('/fragile'));
    await client.until((text) => text.endsWith('ok'));
  });

  test('a client that goes away ends its upstream request: DC (D7.03)', async () => {
    first.answer = () => {};
    const client = open().write(get('/gone'));
    await eventually(
      () => first.seen.length === 1,
      () => 'nothing arrived',
    );
    client.close();
    await eventually(
      () => proxy.log.length === 1,
      () => 'no log',
    );
    expect(proxy.log[0]).toEqual({ code: 0, flags: 'DC', details: 'downstream_remote_disconnect' });
    await eventually(
      () => stat('cluster.first.upstream_rq_active') === 0,
      () => 'still active',
    );
  });

  test('an upstream that breaks off in a body breaks the connection off', async () => {
    first.answer = (socket) => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc', () =>
        setTimeout(() => socket.destroy(), 20),
      );
    };
    const client = open().write(get('/broken'));
    const text = await client.untilEnd();
    expect(text).toMatch(/abc$/);
    expect(proxy.log[0]).toMatchObject({ code: 200, flags: 'UC' });
  });

  test('bytes behind a response close that connection: nothing reaches the next request (traps row 21)', async () => {
    first.answer = (socket) =>
      void socket.write(
        'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil',
      );
    const client = open().write(get('/1'));
    await client.until((text) => text.endsWith('ok'));
    first.answer = answerOk;
    client.write(get('/2'));
    const text = await client.until((seen) => countOf(seen, 'HTTP/1.1 200') === 2);
    expect(text).not.toContain('evil');
  });

  test('an idle stream is given up: 504, SI (D4.09)', async () => {
    first.answer = () => {};
    const text = await open()
      .write(get('/idle'))
      .until((seen) => seen.includes('stream timeout'));
    expect(text).toContain('HTTP/1.1 504 Gateway Timeout');
    expect(proxy.log[0]).toMatchObject({ flags: 'SI', details: 'stream_idle_timeout' });
  });

  test('an upstream that answers before the request ends: its answer, then close (traps row 21)', async () => {
    first.answer = (socket) => void socket.write('HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig');
    const client = open().write(
      'POST /early HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 1000000\r\n\r\n',
    );
    const text = await client.untilEnd();
    expect(text).toContain('HTTP/1.1 413 Payload Too Large');
    expect(text).toContain('connection: close\r\n');
  });

  test('a delayed request keeps its body (partly D5.02)', async () => {
    const client = open().write('POST /delay HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody');
    await client.until((text) => text.endsWith('ok'));
    expect(first.seen[0]).toMatch(/\r\n\r\nbody$/);
    expect(proxy.log[0]).toMatchObject({ code: 200, flags: 'DI' });
  });

  test.each([
    ['duplicate host', get('/', 'Host: b.example\r\n')],
    ['obs-fold', get('/', 'x: a\r\n b\r\n')],
    ['bare LF', 'GET / HTTP/1.1\nhost: a\n\n'],
    ['user info in the authority', 'GET / HTTP/1.1\r\nhost: a@b\r\n\r\n'],
    ['protected header in Connection', get('/', 'connection: x-forwarded-for\r\n')],
  ])('400, and nothing reaches the upstream: %s (traps rows 3, 5, 7)', async (_name, request) => {
    const client = open().write(request + get('/next'));
    await client.until((text) => text.startsWith('HTTP/1.1 400 Bad Request'));
    if (!client.text.includes('connection: close')) return;
    await client.untilEnd();
    expect(first.seen).toEqual([]);
  });

  test('no bytes crash it or stop it (traps row 21)', async () => {
    const pieces = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 40 }),
      fc.constantFrom(
        get('/a'),
        'POST /b HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc',
        'POST /c HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n',
        '3\r\nabc\r\n',
        '0\r\n\r\n',
        'GET ',
        '\r\n',
      ),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(pieces, { maxLength: 8 }), async (parts) => {
        const client = new RawClient(port);
        for (const part of parts) {
          client.write(part);
          await new Promise((resolve) => setImmediate(resolve));
        }
        await new Promise((resolve) => setTimeout(resolve, 5));
        client.close();
      }),
      { numRuns: 150 },
    );
    await open()
      .write(get('/still-there'))
      .until((text) => text.endsWith('ok'));
    await eventually(
      () => stat('http.main.downstream_rq_active') === 0,
      () => 'requests leak',
    );
  });
});
