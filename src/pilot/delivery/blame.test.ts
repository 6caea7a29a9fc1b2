import { expect, test } from 'vitest';
import { namesIn, originsIn } from './blame.ts';

test('namesIn: names of an Envoy error, not names that they are the beginning of (B2.02)', () => {
  const names = ['outbound|80||a.b', 'outbound|80||a.b.c', 'outbound|80|v1|a.b', '0.0.0.0_80', '80'];
  const message =
    'Error adding/updating cluster(s) outbound|80||a.b.c: unknown policy, outbound|80|v1|a.b: bad port 80';
  expect(namesIn(message, names)).toEqual(['outbound|80||a.b.c', 'outbound|80|v1|a.b']);
  expect(namesIn("listener '0.0.0.0_80' failed.", names)).toEqual(['0.0.0.0_80']);
  expect(namesIn('cannot add outbound|80||a.b.', names)).toEqual(['outbound|80||a.b']);
  expect(namesIn('Proto constraint validation failed', names)).toEqual([]);
});

test('originsIn: the smallest part that the text names by its path, else the first few (B2.02)', () => {
  const from = (name: string) => ({ kind: 'Gateway', namespace: 'default', name, fieldPath: [] });
  const provenance = [
    { at: '', origin: from('listener') },
    { at: 'filterChains[0]', origin: from('rule') },
    { at: 'filterChains[0].transportSocket', origin: from('tls') },
    { at: 'filterChains[1]', origin: from('other') },
  ];
  const blamed = (message: string): readonly string[] =>
    originsIn(message, provenance).map(({ name }) => name);
  expect(blamed('Listener a: filter_chains[0].transport_socket: tls is not supported')).toEqual(['tls']);
  expect(blamed('Listener a: filter_chains[0].filters[2]: is not supported')).toEqual(['rule']);
  expect(blamed('Listener a: filter_chains[12]: is not supported')).toEqual(['listener', 'rule', 'tls']);
});
