// reviews: v1 knows no stars; v2 asks ratings and colours them black, v3 red. SERVICE_VERSION says which.
import type { IncomingMessage } from 'node:http';
import { get, headersToForward } from './lib/client.ts';
import type { Reply } from './lib/server.ts';
import { json, podName, serve } from './lib/server.ts';

type Rating = { readonly stars: number; readonly color: string } | { readonly error: string };

interface Review {
  readonly reviewer: string;
  readonly text: string;
  readonly rating?: Rating;
}

const version = process.env['SERVICE_VERSION'] ?? 'v1';
const starColor = version === 'v1' ? undefined : version === 'v3' ? 'red' : 'black';
const ratingsUrl = `http://${process.env['RATINGS_HOSTNAME'] ?? 'ratings'}:${process.env['RATINGS_SERVICE_PORT'] ?? '9080'}`;
/** The older client is the more patient one, as in Istio's Bookinfo: its fault-injection task is about that. */
const ratingsTimeoutMs = starColor === 'black' ? 10_000 : 2_500;

const quotes: readonly Review[] = [
  {
    reviewer: 'Reviewer1',
    text: 'Two pairs of twins, one very long day, and not a dull minute in it. I laughed out loud on the train.',
  },
  {
    reviewer: 'Reviewer2',
    text: 'Light on depth, heavy on mistaken identity: a quick and thoroughly enjoyable read for one evening.',
  },
];

serve(`reviews ${version}`, async (request, path) => {
  if (path === '/health') return json(200, { status: 'Reviews is healthy' });
  const id = /^\/reviews\/(\d{1,9})$/.exec(path)?.[1];
  if (id === undefined) return json(404, { error: 'not found' });
  return reviewsOf(id, request);
});

async function reviewsOf(id: string, request: IncomingMessage): Promise<Reply> {
  const ratings = starColor === undefined ? {} : await ratingsOf(id, request);
  const reviews = quotes.map((quote): Review => {
    if (starColor === undefined) return quote;
    const stars = ratings?.[quote.reviewer];
    const rating: Rating =
      stars === undefined
        ? { error: 'Ratings service is currently unavailable' }
        : { stars, color: starColor };
    return { ...quote, rating };
  });
  return json(200, { id, podname: podName, clustername: process.env['CLUSTER_NAME'] ?? 'null', reviews });
}

async function ratingsOf(
  id: string,
  request: IncomingMessage,
): Promise<Readonly<Record<string, number>> | undefined> {
  try {
    const answer = await get(
      `${ratingsUrl}/ratings/${id}`,
      headersToForward(request.headers),
      ratingsTimeoutMs,
    );
    if (answer.status !== 200) return undefined;
    return (JSON.parse(answer.body) as { ratings?: Record<string, number> }).ratings;
  } catch (error) {
    console.error(`ratings: ${String(error)}`);
    return undefined;
  }
}
