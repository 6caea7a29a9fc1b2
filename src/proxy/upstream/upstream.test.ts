import { fromJson } from '@bufbuild/protobuf';
import type { JsonValue } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { FakeClock } from '../../../test/support/fake-clock.ts';
import { ClusterSchema } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { registry } from '../../api/any.ts';
import { silentLogger } from '../../base/logger.ts';
import { seededRandom } from '../../base/random.ts';
import { socketAddress } from '../io/socket-address.ts';
import { StatsStore } from '../stats/stats.ts';
import type { UpstreamCluster } from './cluster.ts';
import { createCluster } from './cluster.ts';
import type { EndpointUpdate } from './host.ts';
import { noLocality } from './host.ts';

const clock = new FakeClock();

function clusterOf(config: Record<string, JsonValue> = {}): UpstreamCluster {
  const message = fromJson(ClusterSchema, { name: 'test', type: 'EDS', ...config }, { registry });
  const stats = new StatsStore().scope('cluster').scope('test');
  return createCluster(message, { clock, random: seededRandom(7), stats, logger: silentLogger });
}

function endpoint(name: string, more: Partial<EndpointUpdate> = {}): EndpointUpdate {
  return {
    address: socketAddress(`10.0.0.${name}`, 80),
    hostname: '',
    weight: 1,
    health: 'HEALTHY',
    priority: 0,
    locality: noLocality,
    localityWeight: undefined,
    metadata: undefined,
    ...more,
  };
}

function picks(cluster: UpstreamCluster, count: number): Record<string, number> {
  const counts: Record<string, number> = {};
  for (let index = 0; index < count; index++) {
    const name = cluster.pickHost({ destination: undefined })?.address.address.split('.').at(-1) ?? 'none';
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

describe('pickHost', () => {
  test('ROUND_ROBIN: in turn; by weight where weights differ (partly D6.02)', () => {
    const cluster = clusterOf();
    cluster.setHosts([endpoint('1'), endpoint('2'), endpoint('3')]);
    expect(picks(cluster, 300)).toEqual({ 1: 100, 2: 100, 3: 100 });
    cluster.setHosts([endpoint('1', { weight: 3 }), endpoint('2', { weight: 1 })]);
    const counts = picks(cluster, 400);
    expect(counts[1]).toBeGreaterThanOrEqual(299);
    expect(counts[1]).toBeLessThanOrEqual(301);
  });

  test('RANDOM: all hosts, about evenly (partly D6.02)', () => {
    const cluster = clusterOf({ lbPolicy: 'RANDOM' });
    cluster.setHosts([endpoint('1'), endpoint('2')]);
    expect(picks(cluster, 1000)[1]).toBeGreaterThan(450);
  });

  test('LEAST_REQUEST: the less busy of two (partly D6.02)', () => {
    const cluster = clusterOf({ lbPolicy: 'LEAST_REQUEST' });
    cluster.setHosts([endpoint('1'), endpoint('2')]);
    cluster.hosts[0]!.stats.rqActive = 10;
    const counts = picks(cluster, 1000);
    // Both choices fall on the busy one in a quarter of the cases.
    expect(counts[1]).toBeLessThan(320);
    expect(counts[1]).toBeGreaterThan(180);
  });

  test('LEAST_REQUEST with weights: weight over active requests (partly D6.02)', () => {
    const cluster = clusterOf({ lbPolicy: 'LEAST_REQUEST' });
    cluster.setHosts([endpoint('1', { weight: 2 }), endpoint('2')]);
    expect(picks(cluster, 300)[1]).toBeGreaterThan(190);
    cluster.hosts[0]!.stats.rqActive = 9;
    picks(cluster, 20);
    expect(picks(cluster, 300)[1]).toBeLessThan(80);
  });

  test('unhealthy hosts are left out; below the panic threshold all serve (partly D6.02)', () => {
    const cluster = clusterOf();
    cluster.setHosts([endpoint('1'), endpoint('2'), endpoint('3', { health: 'UNHEALTHY' })]);
    expect(picks(cluster, 100)).toEqual({ 1: 50, 2: 50 });
    cluster.setHosts(['1', '2', '3'].map((name) => endpoint(name, { health: 'UNHEALTHY' })));
    expect(Object.keys(picks(cluster, 100))).toEqual(['1', '2', '3']);
    const strict = clusterOf({ commonLbConfig: { healthyPanicThreshold: { value: 0 } } });
    strict.setHosts([endpoint('1', { health: 'UNHEALTHY' })]);
    expect(picks(strict, 3)).toEqual({ none: 3 });
  });

  test('priorities: the next one takes what the first cannot, at 140 % (partly D6.02, partly C10.03)', () => {
    const cluster = clusterOf();
    const first = ['1', '2', '3', '4'].map((name, index) =>
      endpoint(name, { health: index < 2 ? 'HEALTHY' : 'UNHEALTHY' }),
    );
    cluster.setHosts([...first, endpoint('9', { priority: 1 })]);
    // Half of the first priority is healthy: 50 % x 1.4 = 70 % of the load.
    const counts = picks(cluster, 10_000);
    expect(counts[9]).toBeGreaterThan(2800);
    expect(counts[9]).toBeLessThan(3200);
    cluster.setHosts([endpoint('1'), endpoint('9', { priority: 1 })]);
    expect(picks(cluster, 10)).toEqual({ 1: 10 });
    cluster.setHosts([endpoint('1', { health: 'UNHEALTHY' }), endpoint('9', { priority: 1 })]);
    expect(picks(cluster, 10)).toEqual({ 9: 10 });
  });

  test('locality weights (partly D6.02, partly C10.03)', () => {
    const cluster = clusterOf({ commonLbConfig: { localityWeightedLbConfig: {} } });
    const zone = (name: string): EndpointUpdate['locality'] => ({ region: 'r', zone: name, subZone: '' });
    cluster.setHosts([
      endpoint('1', { locality: zone('a'), localityWeight: 80 }),
      endpoint('2', { locality: zone('b'), localityWeight: 20 }),
      endpoint('3', { locality: zone('b'), localityWeight: 20 }),
    ]);
    const counts = picks(cluster, 1000);
    expect(counts[1]).toBeGreaterThanOrEqual(798);
    expect(counts[1]).toBeLessThanOrEqual(802);
  });

  test('retries avoid hosts that were tried (D6.07)', () => {
    const cluster = clusterOf();
    cluster.setHosts([endpoint('1'), endpoint('2')]);
    const [tried] = cluster.hosts;
    for (let index = 0; index < 20; index++) {
      const host = cluster.pickHost({ destination: undefined, triedHosts: [tried!], avoidAttempts: 5 });
      expect(host).toBe(cluster.hosts[1]);
    }
  });

  test('ORIGINAL_DST: the destination itself, for as long as it is used (partly D6.01)', () => {
    const cluster = clusterOf({ type: 'ORIGINAL_DST', lbPolicy: 'CLUSTER_PROVIDED' });
    const destination = socketAddress('10.9.9.9', 1234);
    const host = cluster.pickHost({ destination });
    expect(host?.address.text).toBe('10.9.9.9:1234');
    expect(cluster.pickHost({ destination })).toBe(host);
    host!.stats.cxActive = 1;
    clock.advance(6000);
    expect(cluster.pickHost({ destination })).toBe(host);
    host!.stats.cxActive = 0;
    clock.advance(6000);
    expect(cluster.hosts).toEqual([]);
    expect(cluster.pickHost({ destination: undefined })).toBeUndefined();
    cluster.close();
  });
});

describe('setHosts', () => {
  test('keeps hosts by address, with their counts (D1.08)', () => {
    const cluster = clusterOf();
    cluster.setHosts([endpoint('1'), endpoint('2')]);
    const [one, two] = cluster.hosts;
    one!.stats.rqTotal = 5;
    cluster.setHosts([endpoint('1', { weight: 2 }), endpoint('3')]);
    expect(cluster.hosts[0]).toBe(one);
    expect([one!.stats.rqTotal, one!.weight, two!.removed]).toEqual([5, 2, true]);
    cluster.setHosts([]);
    expect(picks(cluster, 2)).toEqual({ none: 2 });
  });
});

describe('OutlierDetector', () => {
  const outlier = (settings: Record<string, JsonValue>): UpstreamCluster =>
    clusterOf({ outlierDetection: settings, commonLbConfig: { healthyPanicThreshold: { value: 0 } } });

  test('consecutive 5xx eject, longer each time; a success starts the count anew (partly D6.04)', () => {
    const cluster = outlier({
      consecutive5xx: 2,
      interval: '1s',
      baseEjectionTime: '10s',
      maxEjectionPercent: 100,
    });
    cluster.setHosts([endpoint('1'), endpoint('2')]);
    const [host] = cluster.hosts;
    for (const status of [500, 200, 500]) cluster.outlier!.onResponse(host!, status);
    expect(host!.ejected).toBe(false);
    cluster.outlier!.onResponse(host!, 503);
    expect(host!.ejected).toBe(true);
    expect(picks(cluster, 4)).toEqual({ 2: 4 });
    clock.advance(9000);
    expect(host!.ejected).toBe(true);
    clock.advance(2000);
    expect(host!.ejected).toBe(false);
    cluster.close();
  });

  test('max_ejection_percent: 10 % of fewer than 10 hosts is none (partly D6.04, T06)', () => {
    const cluster = outlier({ consecutive5xx: 1 });
    cluster.setHosts([endpoint('1'), endpoint('2')]);
    cluster.outlier!.onResponse(cluster.hosts[0]!, 500);
    expect(cluster.hosts[0]!.ejected).toBe(false);
    cluster.close();
  });

  test('gateway failures count 502, 503, 504 when they are enforced (A6.11, partly D6.04)', () => {
    const cluster = outlier({
      consecutive5xx: 100,
      consecutiveGatewayFailure: 1,
      enforcingConsecutiveGatewayFailure: 100,
      maxEjectionPercent: 100,
    });
    cluster.setHosts([endpoint('1'), endpoint('2')]);
    cluster.outlier!.onResponse(cluster.hosts[0]!, 500);
    cluster.outlier!.onResponse(cluster.hosts[1]!, 503);
    expect(cluster.hosts.map((host) => host.ejected)).toEqual([false, true]);
    cluster.close();
  });
});

describe('createCluster', () => {
  const refused: readonly (readonly [string, Record<string, JsonValue>, RegExp])[] = [
    [
      'a table whose size is no prime',
      { lbPolicy: 'MAGLEV', maglevLbConfig: { tableSize: '100' } },
      /^maglev_lb_config.table_size: 100 is not a prime/,
    ],
    [
      'another hash function',
      { lbPolicy: 'RING_HASH', ringHashLbConfig: { hashFunction: 'MURMUR_HASH_2' } },
      /^ring_hash_lb_config.hash_function/,
    ],
    ['no time to connect in', { connectTimeout: '0s' }, /^connect_timeout: must be greater than 0s/],
    ['less than no time', { connectTimeout: '-5s' }, /^connect_timeout: must be greater than 0s/],
    [
      'health checks',
      {
        healthChecks: [
          { timeout: '1s', interval: '1s', unhealthyThreshold: 1, healthyThreshold: 1, tcpHealthCheck: {} },
        ],
      },
      /^health_checks: is not supported/,
    ],
    ['subsets', { lbSubsetConfig: { fallbackPolicy: 'ANY_ENDPOINT' } }, /^lb_subset_config: /],
    [
      'success rate',
      { outlierDetection: { successRateMinimumHosts: 3 } },
      /^outlier_detection\.success_rate_minimum_hosts: /,
    ],
    [
      'TLS',
      { transportSocket: { name: 'envoy.transport_sockets.tls' } },
      /^transport_socket: envoy\.transport_sockets\.tls is not supported/,
    ],
    [
      'HTTP/3',
      {
        typedExtensionProtocolOptions: {
          'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
            '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
            explicitHttpConfig: { http3ProtocolOptions: {} },
          },
        },
      },
      /explicit_http_config: HTTP\/3 to upstreams is not supported/,
    ],
  ];
  test.each(refused)('refuses %s and names the field', (_name, config, message) => {
    expect(() => clusterOf(config)).toThrow(message);
  });
});
