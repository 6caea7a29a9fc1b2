// productpage: asks details and reviews, and shows a book.
import type { IncomingMessage } from 'node:http';
import { get, headersToForward } from './lib/client.ts';
import type { Details, Part, Reviews } from './lib/page.ts';
import { productPage } from './lib/page.ts';
import { styleSheet } from './lib/style.ts';
import { trafficScript } from './lib/traffic.ts';
import type { Reply } from './lib/server.ts';
import { json, serve } from './lib/server.ts';

const products = [
  {
    id: 0,
    title: 'The Comedy of Errors',
    descriptionHtml:
      'Two merchants’ sons, twins parted by a shipwreck, and their two servants, twins as well, are in one town on one day, and nobody knows it. Among <b>William Shakespeare</b>’s earliest plays, and the shortest of them. <a href="https://en.wikipedia.org/wiki/The_Comedy_of_Errors">More on Wikipedia</a>',
  },
];

const detailsUrl = serviceUrl('details', 'DETAILS');
const reviewsUrl = serviceUrl('reviews', 'REVIEWS');
const ratingsUrl = serviceUrl('ratings', 'RATINGS');
const timeoutMs = 3_000;
const userCookie = 'session';

serve('productpage', (request, path, body) => {
  switch (path) {
    case '/':
    case '/index.html':
      return redirect('/productpage');
    case '/health':
      return { status: 200, headers: { 'content-type': 'text/plain' }, body: 'Product page is healthy' };
    case '/productpage':
      return showProduct(request);
    case '/login':
      return request.method === 'POST' ? login(body) : redirect('/productpage');
    case '/logout':
      return redirect('/productpage', `${userCookie}=; Path=/; Max-Age=0`);
    case '/static/style.css':
      return asset('text/css', styleSheet);
    case '/static/traffic.js':
      return asset('text/javascript', trafficScript);
    default:
      return path.startsWith('/api/v1/products') ? api(request, path) : json(404, { error: 'not found' });
  }
});

async function showProduct(request: IncomingMessage): Promise<Reply> {
  const headers = upstreamHeaders(request);
  const [details, reviews] = await Promise.all([
    ask<Details>(`${detailsUrl}/details/0`, headers, 1, 'product details'),
    askReviews('0', headers),
  ]);
  const page = productPage({ product: products[0]!, user: userOf(request), details, reviews });
  return { status: 200, headers: { 'content-type': 'text/html; charset=utf-8' }, body: page };
}

async function api(request: IncomingMessage, path: string): Promise<Reply> {
  if (path === '/api/v1/products') return json(200, products);
  const match = /^\/api\/v1\/products\/(\d{1,9})(?:\/(reviews|ratings))?$/.exec(path);
  const id = match?.[1];
  if (id === undefined) return json(404, { error: 'not found' });
  const headers = upstreamHeaders(request);
  const part =
    match?.[2] === 'reviews'
      ? await askReviews(id, headers)
      : match?.[2] === 'ratings'
        ? await ask(`${ratingsUrl}/ratings/${id}`, headers, 1, 'product ratings')
        : await ask(`${detailsUrl}/details/${id}`, headers, 1, 'product details');
  return json(part.status, part.ok ? part.value : { error: part.error });
}

/** Reviews are asked for twice: the impatience that Istio's fault-injection task is about. */
function askReviews(id: string, headers: Readonly<Record<string, string>>): Promise<Part<Reviews>> {
  return ask<Reviews>(`${reviewsUrl}/reviews/${id}`, headers, 2, 'product reviews');
}

async function ask<Value>(
  url: string,
  headers: Readonly<Record<string, string>>,
  tries: number,
  what: string,
): Promise<Part<Value>> {
  let status = 500;
  for (let attempt = 1; attempt <= tries; attempt++) {
    try {
      // oxlint-disable-next-line no-await-in-loop -- one try after the other is the point
      const answer = await get(url, headers, timeoutMs);
      if (answer.status === 200) return { ok: true, status: 200, value: JSON.parse(answer.body) as Value };
      status = answer.status;
    } catch (error) {
      console.error(`${what}: ${String(error)}`);
      status = 500;
    }
  }
  return { ok: false, status, error: `Sorry, ${what} are currently unavailable for this book.` };
}

function upstreamHeaders(request: IncomingMessage): Record<string, string> {
  const headers = headersToForward(request.headers);
  const user = userOf(request);
  if (user !== '') headers['end-user'] = user;
  return headers;
}

/** The name becomes a header: letters, digits and `.`, `_`, `-`, `@` only. There is no password: this is a demo. */
function login(body: string): Reply {
  const name = (new URLSearchParams(body).get('username') ?? '').replaceAll(/[^\w.@-]/g, '').slice(0, 64);
  if (name === '') return redirect('/productpage');
  return redirect('/productpage', `${userCookie}=${name}; Path=/; HttpOnly; SameSite=Lax`);
}

function userOf(request: IncomingMessage): string {
  return (
    new RegExp(`(?:^|;\\s*)${userCookie}=([\\w.@-]{1,64})`).exec(request.headers.cookie ?? '')?.[1] ?? ''
  );
}

function redirect(location: string, cookie?: string): Reply {
  const headers = { location, ...(cookie === undefined ? {} : { 'set-cookie': cookie }) };
  return { status: 302, headers, body: '' };
}

function asset(type: string, body: string): Reply {
  return {
    status: 200,
    headers: { 'content-type': `${type}; charset=utf-8`, 'cache-control': 'max-age=60' },
    body,
  };
}

function serviceUrl(name: string, prefix: string): string {
  const domain = process.env['SERVICES_DOMAIN'];
  const host = process.env[`${prefix}_HOSTNAME`] ?? name;
  const port = process.env[`${prefix}_SERVICE_PORT`] ?? '9080';
  return `http://${host}${domain === undefined || domain === '' ? '' : `.${domain}`}:${port}`;
}
