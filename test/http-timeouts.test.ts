// The time and room that an HTTP connection manager gives to requests: each limit by itself, on ours and on stock
// Envoy, answer for answer.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ProxyProcess } from './support/proxy-process.ts';
import { startProxyProcess } from './support/proxy-process.ts';
import { needs } from './support/tools.ts';
import { waitFor } from './support/wait.ts';

const backendPort = 27_200;

interface Case {
  readonly name: string;
  /** Fields of the connection manager. */
  readonly manager: string;
  readonly send: string;
  /** The status line and the body; empty: closed without a word. */
  readonly answer: string;
  /** Of the access log. */
  readonly log: string;
}

const head = 'host: a\r\n';
const cases: readonly Case[] = [
  {
    name: 'request_timeout: the whole request must be there in time',
    manager: 'request_timeout: 0.3s',
    send: `POST /slow HTTP/1.1\r\n${head}content-length: 10\r\n\r\nabc`,
    answer: '408 Request Timeout: request timeout',
    log: '408 - request_overall_timeout',
  },
  {
    name: 'request_headers_timeout: so must its head',
    manager: 'request_headers_timeout: 0.3s',
    send: `GET / HTTP/1.1\r\n${head}`,
    answer: '408 Request Timeout: request header timeout',
    log: '408 - request_header_timeout',
  },
  {
    name: 'idle_timeout: a connection without a request is closed',
    manager: 'common_http_protocol_options: { idle_timeout: 0.3s }',
    send: '',
    answer: '',
    log: '',
  },
  {
    name: 'stream_idle_timeout: nothing moves',
    manager: 'stream_idle_timeout: 0.3s',
    send: `GET /slow HTTP/1.1\r\n${head}\r\n`,
    answer: '504 Gateway Timeout: stream timeout',
    log: '504 SI stream_idle_timeout',
  },
  {
    name: 'max_stream_duration: whatever moves',
    manager: 'common_http_protocol_options: { max_stream_duration: 0.3s }',
    send: `GET /slow HTTP/1.1\r\n${head}\r\n`,
    answer: '504 Gateway Timeout: downstream duration timeout',
    log: '504 - max_duration_timeout',
  },
  {
    name: 'max_request_headers_kb: the size of the head',
    manager: 'max_request_headers_kb: 1',
    send: `GET / HTTP/1.1\r\n${head}x: ${'x'.repeat(1100)}\r\n\r\n`,
    answer: '431 Request Header Fields Too Large: Request Header Fields Too Large',
    log: '431 DPE http1.headers_too_large',
  },
  {
    name: 'max_headers_count: the number of its lines',
    manager: 'common_http_protocol_options: { max_headers_count: 3 }',
    send: `GET / HTTP/1.1\r\n${head}a: 1\r\nb: 1\r\nc: 1\r\n\r\n`,
    answer: '431 Request Header Fields Too Large: Request Header Fields Too Large',
    log: '431 DPE http1.too_many_headers',
  },
];

const directory = mkdtempSync(join(tmpdir(), 'fairlead-limits-'));
let backend: Server;
beforeAll(async () => {
  backend = createServer((request, response) => {
    if (request.url !== '/slow') response.end('ok');
  });
  await new Promise<void>((resolve) => backend.listen(backendPort, '127.83.0.1', resolve));
});
afterAll(() => {
  backend.closeAllConnections();
  backend.close();
  rmSync(directory, { recursive: true });
});

describe.each([
  { plane: 'fairlead', firstPort: 27_210 },
  { plane: 'envoy', firstPort: 27_230 },
] as const)('limits: $plane', ({ plane, firstPort }) => {
  const absent = plane === 'envoy' && needs('envoy');
  let proxy: ProxyProcess | undefined;
  const logFile = join(directory, `${plane}.log`);
  beforeAll(async () => {
    if (absent) return;
    proxy = await startProxyProcess(plane, bootstrap(firstPort, logFile), firstPort);
    const running = proxy;
    await waitFor('LIVE', async () => (await running.admin('/ready')).body === 'LIVE\n' || undefined);
  });
  afterAll(() => proxy?.stop());

  for (const [index, { name, send, answer, log }] of cases.entries()) {
    test.skipIf(absent)(`${name} (D4.09)`, async () => {
      expect(await exchange(firstPort + 1 + index, send)).toBe(answer);
      if (log !== '')
        await waitFor(
          `the line ${log}`,
          () => readFileSync(logFile, 'utf8').includes(`case ${index}: ${log}\n`) || undefined,
        );
    });
  }
});

/** `<status line>: <body>` of what comes until the other side closes. */
function exchange(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.83.0.2', port });
    let received = '';
    socket.setEncoding('latin1');
    socket.on('connect', () => socket.write(text));
    socket.on('data', (part: string) => {
      received += part;
      const [before = '', body = ''] = received.split('\r\n\r\n');
      const length = Number(/^content-length: (\d+)/m.exec(before)?.[1] ?? Number.NaN);
      if (body.length === length) socket.end();
    });
    socket.on('error', reject);
    socket.on('close', () => {
      const [before = '', body = ''] = received.split('\r\n\r\n');
      const status = /^HTTP\/1\.1 (.*)/.exec(before)?.[1]?.trim();
      resolve(status === undefined ? '' : `${status}: ${body}`);
    });
  });
}

function bootstrap(adminPort: number, log: string): string {
  return `
node: { id: test, cluster: test }
admin: { address: { socket_address: { address: 127.0.0.1, port_value: ${adminPort} } } }
static_resources:
  listeners:${cases.map(({ manager }, index) => listener(index, adminPort + 1 + index, manager, log)).join('')}
  clusters:
    - name: backend
      type: STATIC
      load_assignment: { cluster_name: backend, endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.83.0.1, port_value: ${backendPort} } } } }] }] }
`;
}

function listener(index: number, port: number, manager: string, log: string): string {
  return `
    - name: case-${index}
      address: { socket_address: { address: 127.83.0.2, port_value: ${port} } }
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: case-${index}
                ${manager}
                route_config:
                  virtual_hosts: [{ name: all, domains: ['*'], routes: [{ match: { prefix: / }, route: { cluster: backend, timeout: 0s } }] }]
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: { '@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
                access_log:
                  - name: file
                    typed_config:
                      '@type': type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
                      path: ${log}
                      log_format: { text_format_source: { inline_string: "case ${index}: %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\\n" } }`;
}
