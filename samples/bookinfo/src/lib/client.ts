// A small HTTP client that takes its way through HTTP_PROXY, where the sidecar listens, and that
// carries on the headers by which requests belong together.
import { Agent, request as httpRequest } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';

/**
 * What a service passes on from the request that it serves to the requests that it makes: without
 * these the spans of one request are many traces, and routes by user cannot work.
 */
const forwardedHeaders = [
  'x-request-id',
  'x-b3-traceid',
  'x-b3-spanid',
  'x-b3-parentspanid',
  'x-b3-sampled',
  'x-b3-flags',
  'b3',
  'traceparent',
  'tracestate',
  'x-ot-span-context',
  'x-datadog-trace-id',
  'x-datadog-parent-id',
  'x-datadog-sampling-priority',
  'x-cloud-trace-context',
  'grpc-trace-bin',
  'sw8',
  'end-user',
  'user-agent',
  'cookie',
  'authorization',
  'jwt',
];

export interface ServiceAnswer {
  readonly status: number;
  readonly body: string;
}

const agent = new Agent({ keepAlive: true });
const proxy = proxyAddress(process.env['HTTP_PROXY'] ?? process.env['http_proxy']);
const direct = new Set(
  (process.env['NO_PROXY'] ?? process.env['no_proxy'] ?? '')
    .split(',')
    .map((name) => name.trim().toLowerCase()),
);

export function headersToForward(incoming: IncomingHttpHeaders): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const name of forwardedHeaders) {
    const value = incoming[name];
    if (typeof value === 'string') headers[name] = value;
  }
  return headers;
}

/** GET; rejects where no answer came within `timeoutMs`. */
export async function get(
  url: string,
  headers: Readonly<Record<string, string>>,
  timeoutMs: number,
): Promise<ServiceAnswer> {
  try {
    return await getOnce(url, headers, timeoutMs);
  } catch (error) {
    // The peer may close an idle connection just as we take it from the pool: that one case is tried again.
    if (!(error instanceof StaleConnectionError)) throw error;
    return getOnce(url, headers, timeoutMs);
  }
}

class StaleConnectionError extends Error {}

function getOnce(
  url: string,
  headers: Readonly<Record<string, string>>,
  timeoutMs: number,
): Promise<ServiceAnswer> {
  const target = new URL(url);
  const way =
    proxy === undefined || direct.has(target.hostname)
      ? { host: target.hostname, port: target.port || 80, path: target.pathname + target.search }
      : { host: proxy.hostname, port: proxy.port || 80, path: target.href };
  return new Promise((resolve, reject) => {
    const request = httpRequest({ ...way, agent, headers: { ...headers, host: target.host } }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => (body += part));
      response.on('end', () => {
        clearTimeout(timer);
        resolve({ status: response.statusCode ?? 0, body });
      });
      response.on('error', reject);
    });
    const timer = setTimeout(
      () => request.destroy(new Error(`${url} did not answer within ${timeoutMs} ms`)),
      timeoutMs,
    );
    request.on('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      reject(
        request.reusedSocket && error.code === 'ECONNRESET' ? new StaleConnectionError(error.message) : error,
      );
    });
    request.end();
  });
}

function proxyAddress(text: string | undefined): URL | undefined {
  if (text === undefined || text === '') return undefined;
  return new URL(text.includes('://') ? text : `http://${text}`);
}
