// details: the facts of a book.
import { json, serve } from './lib/server.ts';

serve('details', (_request, path) => {
  if (path === '/health') return json(200, { status: 'Details is healthy' });
  const id = /^\/details\/(\d{1,9})$/.exec(path)?.[1];
  if (id === undefined) {
    if (path.startsWith('/details')) return json(400, { error: 'please provide numeric product id' });
    return json(404, { error: 'not found' });
  }
  return json(200, {
    id: Number(id),
    author: 'William Shakespeare',
    year: 1595,
    type: 'paperback',
    pages: 200,
    publisher: 'PublisherA',
    language: 'English',
    'ISBN-10': '1234567890',
    'ISBN-13': '123-1234567890',
  });
});
