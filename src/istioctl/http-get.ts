// One HTTP request to a debug or admin port, with a deadline.
import { request } from 'node:http';
import type { Clock } from '../base/clock.ts';

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}

/** Bytes of an answer that are read at most: config dumps of big meshes are large, but not endless. */
const bodyBytesMax = 512 * 1024 * 1024;

/** Rejects with a plain Error (`connect ECONNREFUSED ...`) where no whole answer came within `timeoutMs`. */
export function httpRequest(
  clock: Clock,
  method: 'GET' | 'POST',
  url: string,
  timeoutMs: number,
): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { method, agent: false }, (response) => {
      const parts: Buffer[] = [];
      let bytes = 0;
      response.on('data', (part: Buffer) => {
        bytes += part.length;
        parts.push(part);
        if (bytes > bodyBytesMax) outgoing.destroy(new Error(`more than ${bodyBytesMax} bytes`));
      });
      response.on('end', () => {
        timer.cancel();
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(parts).toString('utf8') });
      });
      response.on('error', reject);
    });
    const timer = clock.after(timeoutMs, () =>
      outgoing.destroy(new Error(`no answer within ${timeoutMs} ms`)),
    );
    outgoing.on('error', (error) => {
      timer.cancel();
      reject(error);
    });
    outgoing.end();
  });
}
