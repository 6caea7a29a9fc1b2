// The CORS filter: answers preflights and adds the allow headers (inventory D5.03).
import type { CorsSettings } from '../router/compiled.ts';
import type { HeaderBlock } from './header-block.ts';
import { nameIds } from './names.ts';
import type { HttpStream } from './stream.ts';

const H = nameIds;

/** Notes the policy for the response; true if the request was a preflight and has been answered. */
export function isPreflightAnswered(stream: HttpStream, cors: CorsSettings): boolean {
  const { headers } = stream;
  const origin = headers.known(H.origin);
  if (origin === undefined || origin === '') return false;
  if (cors.enabledShare < 1 && stream.random() >= cors.enabledShare) return false;
  const allowed = cors.allowOrigins.some((test) => test(origin));
  const preflight =
    stream.method === 'OPTIONS' && (headers.known(H['access-control-request-method']) ?? '') !== '';
  if (allowed) {
    stream.cors = cors;
    stream.corsOrigin = origin;
  }
  if (!preflight) return false;
  if (!allowed && cors.forwardNotMatchingPreflights) return false;
  stream.respondLocally(200, '', 'cors_response', 0, undefined, (response) => {
    if (!allowed) return;
    response.set('access-control-allow-origin', origin);
    if (cors.allowCredentials) response.set('access-control-allow-credentials', 'true');
    if (cors.allowMethods !== '') response.set('access-control-allow-methods', cors.allowMethods);
    if (cors.allowHeaders !== '') response.set('access-control-allow-headers', cors.allowHeaders);
    if (cors.maxAge !== '') response.set('access-control-max-age', cors.maxAge);
    if (cors.exposeHeaders !== '') response.set('access-control-expose-headers', cors.exposeHeaders);
    stream.cors = undefined;
  });
  return true;
}

/** Adds the headers of an allowed origin to a response. */
export function encodeCors(stream: HttpStream, cors: CorsSettings, headers: HeaderBlock): void {
  headers.set('access-control-allow-origin', stream.corsOrigin);
  if (cors.allowCredentials) headers.set('access-control-allow-credentials', 'true');
  if (cors.exposeHeaders !== '') headers.set('access-control-expose-headers', cors.exposeHeaders);
}
