import { expect, test } from 'vitest';
import type { Locality } from '../../model/service.ts';
import type { TrafficPolicy } from '../destination-rule.ts';
import { failoverOf, failoverPriorities, weighsLocalities } from './locality-failover.ts';

const at = (text: string): Locality => {
  const [region = '', zone = '', subzone = ''] = text.split('/');
  return { region, zone, subzone };
};
const layered = (policy: TrafficPolicy) => ({ policy, origins: {} });
const all = ['us/a/1', 'us/a/2', 'us/b', 'eu/a', 'asia/a'].map(at);

test('failoverPriorities: subzone, zone, region, then the rest, without gaps (partly C10.03)', () => {
  expect(failoverPriorities(all, { locality: at('us/a/1') })).toEqual([0, 1, 2, 3, 3]);
  expect(failoverPriorities(all, { locality: at('us/a/1'), nextRegion: 'eu' })).toEqual([0, 1, 2, 3, 4]);
  expect(failoverPriorities(all, { locality: at('eu/b') })).toEqual([1, 1, 1, 0, 1]);
  expect(failoverPriorities(all, { locality: at('mars') })).toEqual([0, 0, 0, 0, 0]);
  expect(failoverPriorities(all, undefined)).toEqual([0, 0, 0, 0, 0]);
});

test('failoverOf: only with outlier detection, and not where it is switched off (partly C10.03, T20)', () => {
  const from = at('us/a');
  const outlierDetection = {};
  expect(failoverOf(from, layered({}))).toBeUndefined();
  expect(failoverOf(from, layered({ outlierDetection }))).toEqual({ locality: from });
  const off = { outlierDetection, loadBalancer: { localityLbSetting: { enabled: false } } };
  expect(failoverOf(from, layered(off))).toBeUndefined();
  const failover = [
    { from: 'eu', to: 'us' },
    { from: 'us', to: 'asia' },
  ];
  const listed = { outlierDetection, loadBalancer: { localityLbSetting: { failover } } };
  expect(failoverOf(from, layered(listed))).toEqual({ locality: from, nextRegion: 'asia' });
  expect(weighsLocalities(layered(listed))).toBe(true);
  expect(weighsLocalities(layered({ outlierDetection }))).toBe(false);
});
