import { expect, test } from 'vitest';
import type { Endpoint, Locality, Service } from '../../model/service.ts';
import type { TrafficPolicy } from '../destination-rule.ts';
import type { LocalityLb } from './locality-lb.ts';
import { groupsOf, localityLbOf, weighsLocalities } from './locality-lb.ts';

const at = (text: string): Locality => {
  const [region = '', zone = '', subzone = ''] = text.split('/');
  return { region, zone, subzone };
};

const endpoint = (place: string, labels: Readonly<Record<string, string>> = {}, weight = 1): Endpoint => ({
  address: '10.0.0.1',
  endpointPort: 80,
  servicePortName: '',
  servicePort: 80,
  labels,
  namespace: '',
  workloadName: '',
  serviceAccount: '',
  network: '',
  clusterId: '',
  locality: at(place),
  nodeName: '',
  tlsMode: 'disabled',
  health: 'HEALTHY',
  weight,
});

/** `place` -> its priority and weight. */
function groups(endpoints: readonly Endpoint[], lb: Partial<LocalityLb> | undefined) {
  const whole =
    lb === undefined ? undefined : { locality: at(''), setting: {}, failsOver: true, labels: {}, ...lb };
  return groupsOf(endpoints, whole).map(({ locality, priority, weight }) => {
    const place = [locality.region, locality.zone, locality.subzone].filter((part) => part !== '').join('/');
    return `${place} ${priority} ${weight}`;
  });
}

const places = ['us/a/1', 'us/a/2', 'us/b', 'eu/a', 'asia/a'].map((place) => endpoint(place));

test('groupsOf: subzone, zone, region, then the rest, without gaps (partly C10.03)', () => {
  expect(groups(places, { locality: at('us/a/1') })).toEqual([
    'asia/a 3 1',
    'eu/a 3 1',
    'us/a/1 0 1',
    'us/a/2 1 1',
    'us/b 2 1',
  ]);
  const setting = { failover: [{ from: 'us', to: 'eu' }] };
  expect(groups(places, { locality: at('us/a/1'), setting }).slice(0, 2)).toEqual(['asia/a 4 1', 'eu/a 3 1']);
  expect(groups(places, { locality: at('mars') }).map((line) => line.split(' ')[1])).toEqual(
    Array(5).fill('0'),
  );
  expect(groups(places, undefined).map((line) => line.split(' ')[1])).toEqual(Array(5).fill('0'));
});

test('groupsOf: distribute gives shares, by weight within one; others get nothing (partly C10.03)', () => {
  const setting = {
    distribute: [
      { from: 'eu/*', to: { eu: 100 } },
      { from: 'us/a/*', to: { 'us/a/*': 70, eu: 30 } },
    ],
  };
  const weighted = [endpoint('us/a/1', {}, 3), endpoint('us/a/2'), endpoint('eu/a'), endpoint('asia/a')];
  expect(groups(weighted, { locality: at('us/a/1'), setting })).toEqual([
    'eu/a 0 30',
    'us/a/1 0 53',
    'us/a/2 0 18',
  ]);
  expect(groups(weighted, { locality: at('mars'), setting }).length).toBe(4);
});

test('groupsOf: failoverPriority compares labels in their order, a value may be written (partly C10.03)', () => {
  const endpoints = [
    endpoint('us/a', { version: 'v1', tier: 'x' }),
    endpoint('us/a', { version: 'v1' }),
    endpoint('us/b', { version: 'v2', tier: 'x' }, 2),
  ];
  const lb = {
    locality: at('us/a'),
    setting: { failoverPriority: ['version', 'tier=x'] },
    labels: { version: 'v1', tier: 'y' },
  };
  expect(groups(endpoints, lb)).toEqual(['us/a 0 1', 'us/a 1 1', 'us/b 2 2']);
  const both = { ...lb, setting: { failoverPriority: ['version'], failover: [{ from: 'us', to: 'eu' }] } };
  expect(groups([...endpoints, endpoint('eu', { version: 'v1' })], both)).toEqual([
    'eu 1 1',
    'us/a 0 2',
    'us/b 2 2',
  ]);
});

test('groupsOf: another network comes after all of one’s own (C10.04)', () => {
  const lb: Partial<LocalityLb> = {
    setting: { failoverPriority: ['topology.istio.io/network', 'topology.kubernetes.io/zone'] },
    labels: { 'topology.istio.io/network': 'here', 'topology.kubernetes.io/zone': 'a' },
  };
  const of = (network: string, zone: string) =>
    endpoint(`r/${network}${zone}`, {
      'topology.istio.io/network': network,
      'topology.kubernetes.io/zone': zone,
    });
  expect(groups([of('here', 'a'), of('here', 'b'), of('there', 'a'), of('there', 'b')], lb)).toEqual([
    'r/herea 0 1',
    'r/hereb 1 1',
    'r/therea 2 1',
    'r/thereb 3 1',
  ]);
});

test('localityLbOf: the rule’s word, the service’s, the mesh’s; failover only with outlier detection (partly C10.03, C10.04, T20)', () => {
  const node = { locality: at('us/a'), labels: { app: 'x' } };
  const service = (trafficDistribution?: Service['trafficDistribution']) =>
    ({ trafficDistribution }) as Service;
  const of = (policy: TrafficPolicy, distribution?: Service['trafficDistribution'], mesh = {}) =>
    localityLbOf(
      node,
      service(distribution),
      { policy, origins: {} },
      { localityLbSetting: { enabled: true, ...mesh } },
    );
  const outlierDetection = {};
  expect(of({})).toBeUndefined();
  expect(of({ outlierDetection })).toMatchObject({ failsOver: true, setting: { enabled: true } });
  expect(weighsLocalities(of({ outlierDetection }))).toBe(false);
  expect(of({ outlierDetection }, undefined, { enabled: false })).toBeUndefined();
  const off = { outlierDetection, loadBalancer: { localityLbSetting: { enabled: false } } };
  expect(of(off, 'PreferSameZone')).toBeUndefined();
  expect(of({}, 'PreferSameNode')).toMatchObject({ failsOver: true });
  const listed = { loadBalancer: { localityLbSetting: { failoverPriority: ['app'] } } };
  expect(of(listed)).toBeUndefined();
  expect(of({ ...listed, outlierDetection })).toMatchObject({ labels: { app: 'x' } });
  expect(weighsLocalities(of({ ...listed, outlierDetection }))).toBe(true);
  const shares = { distribute: [{ from: 'us', to: { us: 100 } }] };
  expect(of({}, undefined, shares)).toMatchObject({ failsOver: false });
  expect(weighsLocalities(of({}, undefined, shares))).toBe(true);
});

test('groupsOf: zone-aware: the proxy’s region as one, then the named region, then the rest', () => {
  const of = (zoneAwareLbSetting: object) =>
    localityLbOf(
      { locality: at('us/a'), labels: {} },
      {} as Service,
      { policy: {}, origins: {} },
      { localityLbSetting: { enabled: true }, zoneAwareLbSetting },
    );
  const lb = of({ failover: [{ from: 'us', to: 'eu' }], minClusterSize: 3 });
  expect(lb).toMatchObject({ zoneAware: { isEnabled: true, minClusterSize: 3 } });
  expect(groups(places, lb).map((line) => line.slice(0, -2))).toEqual([
    'asia/a 2',
    'eu/a 1',
    'us/a/1 0',
    'us/a/2 0',
    'us/b 0',
  ]);
  expect(groups(places, of({ enabled: false })).every((line) => line.endsWith(' 0 1'))).toBe(true);
});
