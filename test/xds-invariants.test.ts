// The invariants of a stream can fail: each breach is found, and nothing else is.
import { expect, test } from 'vitest';
import { typeUrls } from '../src/xds/types.ts';
import { XdsInvariants } from './support/xds-invariants.ts';

const { cluster, route } = typeUrls;

function stream(dialect: 'sotw' | 'delta'): XdsInvariants {
  return new XdsInvariants({ dialect, wildcardTypes: [cluster], repeatable: [] });
}

const resource = (name: string, version = '1') => ({ name, version });

test.each<readonly [title: string, breach: string, run: (checked: XdsInvariants) => void]>([
  [
    'a type that was not asked for',
    'never asked for',
    (checked) => checked.response({ typeUrl: route, nonce: 'x', resources: [] }),
  ],
  [
    'two responses under way',
    'two responses under way at a time',
    (checked) => {
      checked.response({ typeUrl: cluster, nonce: '1', resources: [resource('a')] });
      checked.response({ typeUrl: cluster, nonce: '2', resources: [resource('b')] });
    },
  ],
  [
    'a nonce used again',
    'a second time',
    (checked) => {
      checked.response({ typeUrl: cluster, nonce: '1', resources: [resource('a')] });
      checked.request({ typeUrl: cluster, nonce: '1' });
      checked.response({ typeUrl: cluster, nonce: '1', resources: [resource('b')] });
    },
  ],
  [
    'what is not subscribed',
    'b, which is not subscribed',
    (checked) => {
      checked.request({ typeUrl: route, subscribe: ['a'] });
      checked.response({ typeUrl: route, nonce: '1', resources: [resource('a'), resource('b')] });
    },
  ],
  [
    'what is unchanged',
    'a again, unchanged, and nobody asked',
    (checked) => {
      checked.response({ typeUrl: cluster, nonce: '1', resources: [resource('a')] });
      checked.request({ typeUrl: cluster, nonce: '1' });
      checked.response({ typeUrl: cluster, nonce: '2', resources: [resource('a')] });
    },
  ],
  [
    'a removal of what was never there',
    'the removal of z, which was neither sent nor asked for',
    (checked) => checked.response({ typeUrl: cluster, nonce: '1', resources: [], removed: ['z'] }),
  ],
  [
    'a version that goes back',
    'after 7',
    (checked) => {
      checked.response({ typeUrl: cluster, nonce: '1', version: 't/7', resources: [resource('a')] });
      checked.request({ typeUrl: cluster, nonce: '1' });
      checked.response({ typeUrl: cluster, nonce: '2', version: 't/6', resources: [resource('b')] });
    },
  ],
])('XdsInvariants: delta: %s', (_, breach, run) => {
  const checked = stream('delta');
  checked.request({ typeUrl: cluster });
  run(checked);
  expect(checked.violations).toEqual([expect.stringContaining(breach)]);
});

test('XdsInvariants: a whole session without a breach, in each dialect', () => {
  const delta = stream('delta');
  delta.request({ typeUrl: cluster });
  delta.response({ typeUrl: cluster, nonce: '1', version: 't/1', resources: [resource('a')] });
  delta.request({ typeUrl: cluster, nonce: '1', error: 'bad' });
  delta.response({ typeUrl: cluster, nonce: '2', version: 't/1', resources: [resource('a')] });
  delta.request({ typeUrl: cluster, nonce: '2' });
  delta.response({ typeUrl: cluster, nonce: '3', version: 't/2', resources: [], removed: ['a'] });
  expect(delta.violations).toEqual([]);
  const sotw = stream('sotw');
  sotw.request({ typeUrl: route, names: ['a'] });
  sotw.response({ typeUrl: route, nonce: '1', version: 't/1', resources: [{ name: 'a' }] });
  sotw.request({ typeUrl: route, nonce: '1', names: ['a', 'b'] });
  sotw.response({ typeUrl: route, nonce: '2', version: 't/1', resources: [{ name: 'b' }] });
  expect(sotw.violations).toEqual([]);
});

test('XdsInvariants: state of the world has no removals', () => {
  const checked = stream('sotw');
  checked.request({ typeUrl: cluster });
  checked.response({ typeUrl: cluster, nonce: '1', resources: [resource('a')] });
  checked.request({ typeUrl: cluster, nonce: '1' });
  checked.response({ typeUrl: cluster, nonce: '2', resources: [], removed: ['a'] });
  expect(checked.violations).toEqual([expect.stringContaining('removals, which SotW has not')]);
});
