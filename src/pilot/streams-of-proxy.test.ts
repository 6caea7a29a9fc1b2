// Tests of the index of a proxy's streams.
import { expect, test } from 'vitest';
import { StreamsOfProxy } from './streams-of-proxy.ts';

test('StreamsOfProxy: streams that name the same node know of each other, until they end', () => {
  const streams = new StreamsOfProxy<{ node: { id: string } }>();
  const [a, b, c] = [{ node: { id: 'x' } }, { node: { id: 'x' } }, { node: { id: 'y' } }];
  for (const each of [a, b, c]) streams.add(each);
  expect(streams.othersOf(a)).toEqual([b]);
  expect(streams.othersOf(a)[0]).toBe(b);
  expect(streams.othersOf(c)).toEqual([]);
  streams.remove(b);
  streams.remove(b);
  expect(streams.othersOf(a)).toEqual([]);
});
