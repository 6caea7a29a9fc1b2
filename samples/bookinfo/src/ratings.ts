// ratings: stars per reviewer, kept in memory; a POST replaces those of one product.
import { json, serve } from './lib/server.ts';

interface ProductRatings {
  readonly id: number;
  readonly ratings: Readonly<Record<string, number>>;
}

/** Products whose ratings may be replaced: memory stays bounded. */
const replacedMax = 1000;
const replaced = new Map<number, ProductRatings>();

serve('ratings', (request, path, body) => {
  if (path === '/health') return json(200, { status: 'Ratings is healthy' });
  if (!path.startsWith('/ratings')) return json(404, { error: 'not found' });
  const digits = /^\/ratings\/(\d{1,9})$/.exec(path)?.[1];
  if (digits === undefined) return json(400, { error: 'please provide numeric product ID' });
  const id = Number(digits);
  if (request.method === 'POST') {
    const ratings = readRatings(body);
    if (ratings === undefined) return json(400, { error: 'please provide valid ratings JSON' });
    if (replaced.size >= replacedMax && !replaced.has(id))
      return json(507, { error: `ratings of ${replacedMax} products are kept, not more` });
    replaced.set(id, { id, ratings });
  }
  return json(200, replaced.get(id) ?? { id, ratings: { Reviewer1: 5, Reviewer2: 4 } });
});

function readRatings(body: string): Record<string, number> | undefined {
  try {
    const value: unknown = JSON.parse(body);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    const entries = Object.entries(value as Record<string, unknown>);
    return entries.every(([, stars]) => typeof stars === 'number')
      ? (Object.fromEntries(entries) as Record<string, number>)
      : undefined;
  } catch {
    return undefined;
  }
}
