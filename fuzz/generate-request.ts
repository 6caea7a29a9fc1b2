// Random requests that have a fair chance of meeting the rules of a random mesh, odd ones among them.
import type { Draw } from './random.ts';

export interface FuzzRequest {
  /** Whose routes decide: those of a sidecar's port 80, or the ingress gateway's. */
  readonly at: 'sidecar' | 'gateway';
  readonly method: string;
  readonly host: string;
  /** As it stands in the request line: `/a?b`, or `http://a/b` in absolute form. */
  readonly path: string;
  /** Names as they are sent; several values are several lines. */
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
}

/** What requests and rules draw their paths and values from. */
export const segments = [
  '',
  '/',
  '/a',
  '/a/',
  '/a/b',
  '/ab',
  '/A',
  '/a-b.c',
  '/v1/users/42',
  '/v1/users',
  '/x%20y',
];
export const words = ['jason', 'Jason', 'ja', 'jason,mary', '', 'v1', '42', 'a b'];
export const headerNames = ['x-user', 'end-user', 'X-Env', 'cookie'];
export const methods = ['GET', 'POST', 'PUT', 'OPTIONS', 'HEAD'];

const hosts = [
  'a',
  'a.default',
  'A.default.svc.cluster.local',
  'b.default.svc',
  'b:80',
  'a:81',
  'a.default.svc.cluster.local.',
  'c',
  'api.example.com',
  'deep.shop.example.com',
  'shop.example.com',
  'shop.example.com:80',
  'SHOP.example.com:443',
  'nobody.test',
  '10.96.0.1',
  '[2001:db8::1]:80',
];
/** Legal, and seldom seen. */
const oddPaths = [
  '//a',
  '/a//b',
  '/a/../b',
  '/a/./b',
  '/../a',
  '/a/..',
  '/%61',
  '/%2e%2e/a',
  '/a%2Fb',
  '/a%2fb',
  '/a%5Cb',
  '/a\\b',
  '/a%00b',
  '/?',
  '/a?',
  '/a?user=jason&user=mary',
  '/a?user',
  '/a?user=jas%6Fn',
  '/a?b?c=/../d',
  '/caf%C3%A9',
  '/a;b=c',
  '/a,b',
  '/a:b@c',
  '/%',
  '/%zz',
  `/${'long/'.repeat(400)}`,
  '/V1/USERS/42',
  '/v1/users/42/',
];

/** One request. */
export function request(draw: Draw): FuzzRequest {
  const host = draw.one(hosts);
  const plain = draw.chance(0.25)
    ? draw.one(oddPaths)
    : draw.one(segments.slice(1)) + (draw.chance(0.3) ? `?user=${draw.one(words)}&q=1` : '');
  const path = plain.replaceAll(' ', '+');
  return {
    at: draw.chance(0.5) ? 'sidecar' : 'gateway',
    method: draw.one(methods),
    host: draw.one([host, host, host, draw.one(hosts)]),
    path: draw.chance(0.05) ? `http://${host}${path}` : path,
    headers: Object.fromEntries([
      ...draw.list(0, 2, () => [cased(draw, draw.one(headerNames)), headerValue(draw)] as const),
      ...(draw.chance(0.2)
        ? [
            ['origin', draw.one(['http://good.example', 'http://bad.example'])] as const,
            ['access-control-request-method', 'GET'] as const,
          ]
        : []),
      ...(draw.chance(0.08)
        ? [['Content-Type', draw.one(['application/grpc', 'application/grpc+proto', 'text/plain'])] as const]
        : []),
    ]),
  };
}

function headerValue(draw: Draw): string | readonly string[] {
  return draw.chance(0.15) ? [draw.one(words), draw.one(words)] : draw.one(words);
}

function cased(draw: Draw, name: string): string {
  return draw.one([name.toLowerCase(), name.toLowerCase(), name, name.toUpperCase()]);
}
