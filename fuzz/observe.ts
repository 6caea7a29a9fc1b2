// One request through one proxy: what the client saw, and what the upstream did.
import type { Server } from 'node:http';
import { Agent, createServer, request as httpRequest } from 'node:http';
import type { FuzzRequest } from './generate-request.ts';

/** What one request led to. Header names are lower case; what must differ from run to run is left out. */
export interface Seen {
  readonly status: number;
  readonly headers: readonly string[];
  /** Of local replies. */
  readonly body: string;
  /** Undefined: answered by the proxy. */
  readonly upstream: Upstream | undefined;
}

export interface Upstream {
  /** The address that was dialled: which cluster it was. */
  readonly address: string;
  readonly method: string;
  readonly path: string;
  readonly headers: readonly string[];
}

/** Differ from proxy to proxy or from time to time, and say nothing of the decision. */
const passing = new Set([
  'connection',
  'content-length',
  'date',
  'keep-alive',
  'transfer-encoding',
  'x-envoy-expected-rq-timeout-ms',
  'x-envoy-upstream-service-time',
  'x-request-id',
  'x-seen',
]);

/** Where the upstream tells what it saw: a HEAD has no body to tell it in. */
const seenHeader = 'x-seen';

/** Answers every request with what it saw of it, as JSON. Listens on all loopback addresses. */
export function startBackend(port: number): Promise<Server> {
  const server = createServer((incoming, answer) => {
    incoming.resume();
    const upstream: Upstream = {
      address: incoming.socket.localAddress ?? '',
      method: incoming.method ?? '',
      path: incoming.url ?? '',
      headers: headerLines(incoming.rawHeaders),
    };
    const seen = Buffer.from(JSON.stringify(upstream)).toString('base64');
    answer.writeHead(200, { [seenHeader]: seen, 'x-added': 'upstream' });
    answer.end();
  });
  return new Promise((resolve, reject) => {
    server.on('error', reject);
    server.listen(port, '0.0.0.0', () => resolve(server));
  });
}

const agent = new Agent({ keepAlive: true });

export function send(port: number, { method, host, path, headers }: FuzzRequest): Promise<Seen> {
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(
      { host: '127.0.0.1', port, method, path, agent, headers: linesOf(host, headers) },
      (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('error', reject);
        answer.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          const seen = answer.headers[seenHeader];
          resolve({
            status: answer.statusCode ?? 0,
            headers: headerLines(answer.rawHeaders),
            body: text,
            upstream:
              typeof seen === 'string'
                ? (JSON.parse(Buffer.from(seen, 'base64').toString()) as Upstream)
                : undefined,
          });
        });
      },
    );
    outgoing.on('error', reject);
    outgoing.end();
  });
}

/** Names and values in turn, as they are to stand in the request. */
function linesOf(host: string, headers: FuzzRequest['headers']): readonly string[] {
  return [
    'Host',
    host,
    ...Object.entries(headers).flatMap(([name, value]) =>
      (typeof value === 'string' ? [value] : value).flatMap((each) => [name, each]),
    ),
  ];
}

export function closeClients(): void {
  agent.destroy();
}

function headerLines(raw: readonly string[]): readonly string[] {
  const lines: string[] = [];
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = raw[index]?.toLowerCase() ?? '';
    if (!passing.has(name)) lines.push(`${name}: ${raw[index + 1]}`);
  }
  return lines.sort();
}
