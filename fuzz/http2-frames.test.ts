import * as fc from 'fast-check';
import { test } from 'vitest';
import { connection, play } from './http2-frames.ts';

test('no HTTP/2 frames crash the data path, or leave anything behind (traps row 8)', async () => {
  await fc.assert(fc.asyncProperty(connection, play), { numRuns: 10_000 });
}, 120_000);
