// Asking a proxy's admin page: ours or Envoy's, the pages are the same.
import type { Agent } from 'node:http';
import { request } from 'node:http';

export interface AdminAddress {
  readonly address: string;
  readonly port: number;
}

export interface AdminAnswer {
  readonly status: number;
  readonly body: string;
}

/** No page that we read is longer. */
const bodyBytesMax = 16 * 1024 * 1024;

/** Rejects where nobody answers within `timeoutMs`. */
export function askAdmin(
  admin: AdminAddress,
  method: 'GET' | 'POST',
  path: string,
  timeoutMs: number,
  agent?: Agent,
): Promise<AdminAnswer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { host: admin.address, port: admin.port, method, path, timeout: timeoutMs, agent: agent ?? false },
      (incoming) => {
        let body = '';
        incoming.setEncoding('utf8');
        incoming.on('data', (chunk: string) => {
          body += chunk;
          if (body.length > bodyBytesMax) incoming.destroy(new Error(`${path}: longer than ${bodyBytesMax}`));
        });
        incoming.on('error', reject);
        incoming.on('end', () => resolve({ status: incoming.statusCode ?? 0, body }));
      },
    );
    outgoing.on('timeout', () => outgoing.destroy(new Error(`no answer within ${timeoutMs} ms`)));
    outgoing.on('error', reject);
    outgoing.end();
  });
}

/** Whether the proxy has all its configuration: admin `/ready` says LIVE. */
export async function isLive(admin: AdminAddress, timeoutMs: number, agent?: Agent): Promise<boolean> {
  try {
    const { status, body } = await askAdmin(admin, 'GET', '/ready', timeoutMs, agent);
    return status === 200 && body.trim() === 'LIVE';
  } catch {
    return false;
  }
}

/** Requests that the proxy handles now, its own pages left out; undefined if it does not answer. */
export async function activeRequests(admin: AdminAddress, timeoutMs: number): Promise<number | undefined> {
  try {
    const path = '/stats?filter=downstream_rq_active';
    const { status, body } = await askAdmin(admin, 'GET', path, timeoutMs);
    return status === 200 ? sumActiveRequests(body) : undefined;
  } catch {
    return undefined;
  }
}

/** Reads lines such as `http.inbound_0.0.0.0_80;.downstream_rq_active: 2`. */
export function sumActiveRequests(stats: string): number {
  const pattern = /^http\.(?!admin\.|agent[;.]|stats[;.]).*downstream_rq_active: (\d+)$/gm;
  let sum = 0;
  for (const [, count] of stats.matchAll(pattern)) sum += Number(count);
  return sum;
}
