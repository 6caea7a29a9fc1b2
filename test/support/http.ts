// A small HTTP client for tests: what was answered, exactly, through a proxy where asked.
import { Agent, request } from 'node:http';

export interface Answer {
  readonly status: number;
  /** Names in lower case; several values of one name joined by `, `. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly durationMs: number;
}

export interface Call {
  readonly method?: string;
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** `host:port` to connect to, whatever the URL says. */
  readonly connectTo?: string;
  /** `host:port` of an HTTP proxy: the request line then carries the whole URL. */
  readonly httpProxy?: string;
  /** Default 10,000. */
  readonly timeoutMs?: number;
  readonly agent?: Agent;
}

/** Sends one request. Rejects on connection errors and after the timeout. */
export function call({
  method = 'GET',
  url,
  headers = {},
  body,
  connectTo,
  httpProxy,
  timeoutMs = 10_000,
  agent,
}: Call): Promise<Answer> {
  const target = new URL(url);
  const [host = '', port = '80'] = (httpProxy ?? connectTo ?? target.host).split(':');
  const startMs = performance.now();
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        host,
        port: Number(port),
        method,
        path: httpProxy === undefined ? `${target.pathname}${target.search}` : url,
        headers: {
          host: target.host,
          ...headers,
          ...(body !== undefined && { 'content-length': String(Buffer.byteLength(body)) }),
        },
        ...(agent !== undefined ? { agent } : { agent: false }),
      },
      (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
        incoming.on('error', reject);
        incoming.on('end', () => {
          const joined = Object.entries(incoming.headersDistinct).map(([name, values]) => [
            name,
            (values ?? []).join(', '),
          ]);
          resolve({
            status: incoming.statusCode ?? 0,
            headers: Object.fromEntries(joined) as Record<string, string>,
            body: Buffer.concat(chunks).toString(),
            durationMs: performance.now() - startMs,
          });
        });
      },
    );
    outgoing.setTimeout(timeoutMs, () =>
      outgoing.destroy(new Error(`no answer from ${url} within ${timeoutMs} ms`)),
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}
