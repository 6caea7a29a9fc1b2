// The page of a book, as HTML. Everything that came from another service or a person is escaped.

/** An answer of another service, or the sentence that stands in its place. */
export type Part<Value> =
  | { readonly ok: true; readonly status: number; readonly value: Value }
  | { readonly ok: false; readonly status: number; readonly error: string };

export type Details = Readonly<Record<string, string | number>>;

export interface Reviews {
  readonly podname?: string;
  readonly reviews?: readonly {
    readonly reviewer: string;
    readonly text: string;
    readonly rating?: { readonly stars?: number; readonly color?: string; readonly error?: string };
  }[];
}

export interface ProductPage {
  readonly product: { readonly title: string; readonly descriptionHtml: string };
  /** Empty: nobody is signed in. */
  readonly user: string;
  readonly details: Part<Details>;
  readonly reviews: Part<Reviews>;
}

const detailLabels: readonly (readonly [string, string])[] = [
  ['author', 'Author'],
  ['year', 'First performed'],
  ['type', 'Binding'],
  ['pages', 'Pages'],
  ['publisher', 'Publisher'],
  ['language', 'Language'],
  ['ISBN-10', 'ISBN-10'],
  ['ISBN-13', 'ISBN-13'],
];

export function productPage(page: ProductPage): string {
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(page.product.title)} · Bookinfo</title>
<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect width='16' height='16' rx='3' fill='%23174a5b'/%3E%3Cpath d='M4 3.5h5a3 3 0 0 1 3 3v6H7a3 3 0 0 1-3-3z' fill='%23f4c95d'/%3E%3C/svg%3E">
<link rel="stylesheet" href="/static/style.css">
</head>
<body>
<header class="bar"><div class="wide">
  <a class="brand" href="/productpage">Bookinfo</a>
  ${account(page.user)}
</div></header>
<main class="wide">
<section class="book">
  ${cover(page.product.title)}
  <div class="about">
    <h1>${escape(page.product.title)}</h1>
    <p class="summary">${page.product.descriptionHtml}</p>
    ${detailsBlock(page.details)}
  </div>
</section>
<section class="reviews" aria-labelledby="reviews-heading">
  <h2 id="reviews-heading">Reviews</h2>
  ${reviewsBlock(page.reviews)}
</section>
<section class="traffic" id="traffic" hidden aria-labelledby="traffic-heading">
  <div class="traffic-head">
    <h2 id="traffic-heading">Who answers?</h2>
    <button type="button" id="traffic-toggle">Start asking</button>
  </div>
  <p>Asks for the reviews four times a second. Change a VirtualService while it runs and watch traffic move.</p>
  <ol class="dots" id="traffic-dots" aria-hidden="true"></ol>
  <p class="tally" id="traffic-tally" role="status"></p>
</section>
</main>
<script src="/static/traffic.js" defer></script>
</body>
</html>
`;
}

function account(user: string): string {
  if (user !== '')
    return `<p class="account"><span>Signed in as <b id="user">${escape(user)}</b></span> <a class="button quiet" href="/logout">Sign out</a></p>`;
  return `<form class="account" method="post" action="/login">
    <label for="username">Name</label>
    <input id="username" name="username" placeholder="jason" autocomplete="username" maxlength="64" pattern="[A-Za-z0-9._@\\-]+" title="letters, digits and . _ - @" required>
    <button>Sign in</button>
  </form>`;
}

/** Two pairs of twins on a cover: drawn, so that the page needs no picture from anywhere. */
function cover(title: string): string {
  const figure = (x: number, color: string, scale: number): string =>
    `<g transform="translate(${x} 196) scale(${scale})" fill="${color}"><circle cy="-46" r="13"/><path d="M-20 0c0-22 8-32 20-32s20 10 20 32z"/></g>`;
  return `<svg class="cover" viewBox="0 0 200 290" role="img" aria-label="Cover: ${escape(title)}">
    <rect width="200" height="290" rx="4" fill="#174a5b"/>
    <rect width="12" height="290" rx="4" fill="#103642"/>
    <circle cx="106" cy="128" r="66" fill="#f4c95d"/>
    ${figure(62, '#103642', 1)}${figure(150, '#103642', 1)}${figure(88, '#e4572e', 0.8)}${figure(124, '#e4572e', 0.8)}
    <rect x="12" y="196" width="188" height="94" fill="#103642"/>
    <g fill="#fff" font-family="Georgia, 'Times New Roman', serif" text-anchor="middle">
      <text x="106" y="228" font-size="15">The Comedy</text><text x="106" y="247" font-size="15">of Errors</text>
      <text x="106" y="272" font-size="9" letter-spacing="1" fill="#c8dbe0">William Shakespeare</text>
    </g></svg>`;
}

function detailsBlock(details: Part<Details>): string {
  if (!details.ok) return notice('details-error', details.error);
  const rows = detailLabels
    .filter(([key]) => details.value[key] !== undefined)
    .map(([key, label]) => `<div><dt>${label}</dt><dd>${escape(String(details.value[key]))}</dd></div>`);
  return `<dl class="facts" id="details">${rows.join('')}</dl>`;
}

function reviewsBlock(reviews: Part<Reviews>): string {
  if (!reviews.ok) return notice('reviews-error', reviews.error);
  const cards = (reviews.value.reviews ?? []).map(
    (review) => `<figure class="review">
    ${ratingLine(review.rating)}
    <blockquote>${escape(review.text)}</blockquote>
    <figcaption>${escape(review.reviewer)}</figcaption>
  </figure>`,
  );
  const pod = reviews.value.podname ?? '';
  return `<div class="cards">${cards.join('')}</div>
  <p class="served">Reviews served by <code id="served-by">${escape(pod)}</code></p>`;
}

function ratingLine(
  rating: { readonly stars?: number; readonly color?: string; readonly error?: string } | undefined,
): string {
  if (rating === undefined) return '';
  if (rating.stars === undefined)
    return `<p class="rating-error">${escape(rating.error ?? 'Ratings are currently unavailable')}</p>`;
  const stars = Math.max(0, Math.min(5, Math.round(rating.stars)));
  const color = rating.color === 'red' ? 'red' : 'black';
  const drawn = Array.from({ length: 5 }, (_, index) => star(index < stars)).join('');
  return `<p class="stars ${color}" role="img" aria-label="${stars} of 5 stars" data-stars="${stars}" data-color="${color}">${drawn}</p>`;
}

function star(filled: boolean): string {
  return `<svg class="star${filled ? '' : ' empty'}" viewBox="0 0 24 24"><path d="M12 1.8l3.1 6.6 7.1.9-5.2 5 1.3 7.1L12 18l-6.3 3.4L7 14.3l-5.2-5 7.1-.9z"/></svg>`;
}

function notice(id: string, sentence: string): string {
  return `<p class="notice" id="${id}">${escape(sentence)}</p>`;
}

function escape(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}
