// Tests of versions that say what a resource contains.
import { expect, test } from 'vitest';
import { contentVersion } from './content-version.ts';

test('contentVersion: of the bytes alone, the same in every process (B3.03)', () => {
  expect(contentVersion(Buffer.from('a cluster'))).toBe(
    contentVersion(new TextEncoder().encode('a cluster')),
  );
  // SHA-256 of nothing begins with e3b0c442 98fc1c14 9afbf4c8.
  expect(contentVersion(new Uint8Array())).toBe('47DEQpj8HBSa-_TI');
  const versions = new Set(
    Array.from({ length: 10_000 }, (_, index) => contentVersion(Buffer.from(`${index}`))),
  );
  expect(versions.size).toBe(10_000);
});
