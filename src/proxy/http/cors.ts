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
  const requestedMethod = headers.known(H['access-control-request-method']) ?? '';
  const preflight = stream.method === 'OPTIONS' && requestedMethod !== '';
  if (allowed) {
    stream.cors = cors;
    stream.corsOrigin = origin;
  }
  if (!preflight) return false;
  if (!allowed && cors.forwardNotMatchingPreflights) return false;
  stream.respondLocally(
    200,
    '',
    'cors_response',
    0,
    undefined,
    (response) => {
      if (allowed) response.set('access-control-allow-origin', origin);
      // To an origin that is not allowed, too: only its own name is withheld (observed on Envoy 1.40).
      if (cors.allowCredentials) response.set('access-control-allow-credentials', 'true');
      setOrEcho(response, 'access-control-allow-methods', cors.allowMethods, requestedMethod);
      setOrEcho(
        response,
        'access-control-allow-headers',
        cors.allowHeaders,
        headers.get('access-control-request-headers') ?? '',
      );
      if (cors.maxAge !== '') response.set('access-control-max-age', cors.maxAge);
      if (allowed && cors.exposeHeaders !== '')
        response.set('access-control-expose-headers', cors.exposeHeaders);
      // All of it is there: the way out has nothing to add.
      stream.cors = undefined;
    },
    { untouchedByRoute: true },
  );
  return true;
}

/** Adds the headers of an allowed origin to a response. */
export function encodeCors(stream: HttpStream, cors: CorsSettings, headers: HeaderBlock): void {
  headers.set('access-control-allow-origin', stream.corsOrigin);
  if (cors.allowCredentials) headers.set('access-control-allow-credentials', 'true');
  if (cors.exposeHeaders !== '') headers.set('access-control-expose-headers', cors.exposeHeaders);
}

/** `*` stands for whatever was asked for. */
function setOrEcho(response: HeaderBlock, name: string, value: string, asked: string): void {
  if (value !== '') response.set(name, value === '*' ? asked : value);
}
