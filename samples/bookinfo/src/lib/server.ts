// What the four services have in common: an HTTP server on HOST:PORT that stops politely.
import { createServer } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { hostname } from 'node:os';

export interface Reply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string;
}

export type Handler = (request: IncomingMessage, path: string, body: string) => Reply | Promise<Reply>;

const bodyBytesMax = 64 * 1024;

/** Name of this pod, as the mesh tells it; else the machine's. */
export const podName = process.env['POD_NAME'] ?? process.env['HOSTNAME'] ?? hostname();

export function json(status: number, value: unknown): Reply {
  return { status, headers: { 'content-type': 'application/json' }, body: JSON.stringify(value) };
}

/** Serves until SIGTERM or SIGINT; then running requests may end. HOST and PORT (9080) say where. */
export function serve(service: string, handler: Handler): void {
  const host = process.env['HOST'] ?? '127.0.0.1';
  const port = Number(process.env['PORT'] ?? process.argv[2] ?? 9080);
  const server = createServer((request, response) => {
    const path = (request.url ?? '/').split('?')[0] ?? '/';
    response.on('error', () => response.destroy());
    response.on('finish', () => {
      if (path !== '/health') console.log(`${request.method} ${path} ${response.statusCode}`);
    });
    readBody(request)
      .then((body) => handler(request, path, body))
      .catch((error: unknown) => {
        console.error(`${request.method} ${path}: ${String(error)}`);
        return error === tooLarge
          ? json(413, { error: `a body may have ${bodyBytesMax} bytes` })
          : json(500, { error: 'internal error' });
      })
      .then((reply) => {
        response.writeHead(reply.status, {
          ...reply.headers,
          'content-length': Buffer.byteLength(reply.body),
        });
        response.end(request.method === 'HEAD' ? undefined : reply.body);
      })
      .catch(() => response.destroy());
  });
  // A proxy in front keeps idle connections for long; it must not meet one that is being closed.
  server.keepAliveTimeout = 3_600_000;
  server.on('error', (error) => {
    console.error(`${service}: cannot listen on ${host}:${port}: ${error.message}`);
    process.exitCode = 1;
  });
  server.listen(port, host, () => console.log(`${service} on http://${host}:${port}`));
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      server.close(() => process.exit(0));
      server.closeIdleConnections();
      setTimeout(() => process.exit(0), 5_000).unref();
    });
  }
}

const tooLarge = new Error('the body is too large');

function readBody(request: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    let body = '';
    request.setEncoding('utf8');
    request.on('data', (part: string) => {
      body += part;
      if (body.length > bodyBytesMax) {
        request.pause();
        reject(tooLarge);
      }
    });
    request.on('end', () => resolve(body));
    request.on('error', reject);
  });
}
