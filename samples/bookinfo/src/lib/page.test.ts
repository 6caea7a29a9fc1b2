// The page, from what the other services answered.
import { expect, test } from 'vitest';
import { headersToForward } from './client.ts';
import type { Part, Reviews } from './page.ts';
import { productPage } from './page.ts';

const product = { title: 'A <b> & "c"', descriptionHtml: 'Some <i>words</i>' };
const details = {
  ok: true,
  status: 200,
  value: { author: 'Somebody <script>', pages: 200, unknown: 1 },
} as const;
const noReviews: Part<Reviews> = { ok: true, status: 200, value: { podname: '<pod>', reviews: [] } };

test('productPage: what came from others is escaped, unknown details are left out', () => {
  const html = productPage({ product, user: '', details, reviews: noReviews });
  expect(html).toContain('<h1>A &lt;b&gt; &amp; &quot;c&quot;</h1>');
  expect(html).toContain('Somebody &lt;script&gt;');
  expect(html).toContain('<code id="served-by">&lt;pod&gt;</code>');
  expect(html).not.toContain('unknown');
  expect(html).toContain('action="/login"');
  expect(productPage({ product, user: 'jason', details, reviews: noReviews })).toContain(
    '<b id="user">jason</b>',
  );
});

test('productPage: stars in the colour of the version, a sentence where ratings or a service are away', () => {
  const review = { reviewer: 'R', text: 'T' };
  const reviews = {
    ok: true,
    status: 200,
    value: {
      reviews: [
        { ...review, rating: { stars: 4, color: 'red' } },
        { ...review, rating: { stars: 99, color: 'onclick=x' } },
        { ...review, rating: { error: 'Ratings are away' } },
        review,
      ],
    },
  } as const;
  const html = productPage({ product, user: '', details, reviews });
  expect(html).toContain('aria-label="4 of 5 stars" data-stars="4" data-color="red"');
  expect(html).toContain('data-stars="5" data-color="black"');
  expect(html.match(/class="star empty"/g)).toHaveLength(1);
  expect(html).toContain('Ratings are away');
  const sorry = { ok: false, status: 503, error: 'Sorry, they are away.' } as const;
  const away = productPage({ product, user: '', details: sorry, reviews: sorry });
  expect(away).toContain('<p class="notice" id="reviews-error">Sorry, they are away.</p>');
  expect(away).toContain('id="details-error"');
});

test('headersToForward: tracing headers and end-user, and nothing else (A6.14)', () => {
  const tracing = [
    'x-request-id',
    'x-b3-traceid',
    'x-b3-spanid',
    'x-b3-parentspanid',
    'x-b3-sampled',
    'x-b3-flags',
    'x-ot-span-context',
    'b3',
    'traceparent',
    'end-user',
  ];
  const incoming = Object.fromEntries(
    [...tracing, 'host', 'content-length', 'connection'].map((name) => [name, name]),
  );
  expect(Object.keys(headersToForward(incoming)).sort()).toEqual([...tracing].sort());
});
