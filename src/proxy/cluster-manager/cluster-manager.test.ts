// Clusters: warming, updates, removal, DNS, and what is refused.
import { create, toBinary } from '@bufbuild/protobuf';
import type { JsonObject } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import { describe, expect, test } from 'vitest';
import { FakeClock } from '../../../test/support/fake-clock.ts';
import { playSotw } from '../../../test/support/played-transport.ts';
import { messageFromJson, typeUrlOf } from '../../api/any.ts';
import { ClusterSchema } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '../../api/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { silentLogger } from '../../base/logger.ts';
import { defaultBackOff } from '../../xds/client/xds-client.ts';
import { SubscriptionFactory } from '../config-source/subscription-factory.ts';
import { StatsStore } from '../stats/stats.ts';
import { createCluster } from '../upstream/cluster.ts';
import { ClusterManager } from './cluster-manager.ts';
import type { DnsAnswer } from './dns.ts';
import { chooseFamily } from './dns.ts';
import { EdsSubscriptions } from './eds.ts';

const cds = typeUrlOf(ClusterSchema);
const eds = typeUrlOf(ClusterLoadAssignmentSchema);

function setUp() {
  const clock = new FakeClock();
  const stats = new StatsStore();
  const answers = new Map<string, DnsAnswer | Error>();
  const asked: string[] = [];
  const subscriptions = new EdsSubscriptions(clock);
  const clusters = new ClusterManager({
    clock,
    random: () => 0.5,
    logger: silentLogger,
    stats,
    resolver: {
      resolve: (hostname) => {
        asked.push(hostname);
        const answer = answers.get(hostname) ?? new Error('ENOTFOUND');
        return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
      },
    },
    eds: subscriptions,
    sources: { hasAds: true, primaryClusters: new Set(), grpcClusters: new Set(['xds']) },
    createCluster,
  });
  const { transport, streams } = playSotw();
  const factory = new SubscriptionFactory({
    ads: { dialect: 'sotw', cluster: 'xds', metadata: [], authority: undefined, backOff: defaultBackOff },
    node: undefined,
    clock,
    random: () => 0.5,
    logger: silentLogger,
    stats: stats.root,
    createTransport: () => transport,
    pickAddress: () => undefined,
  });
  factory.subscribeAds(cds, true, clusters);
  subscriptions.start(factory);
  factory.start();
  const stream = streams[0]!;
  const { sent } = stream;
  let nonce = 0;
  const push = (typeUrl: string, version: string, values: readonly Uint8Array[]): void =>
    stream.respond({
      typeUrl,
      versionInfo: version,
      nonce: String(++nonce),
      resources: values.map((value) => create(AnySchema, { typeUrl, value })),
    });
  return {
    clock,
    stats,
    clusters,
    answers,
    asked,
    sent,
    pushClusters: (version: string, ...jsons: readonly JsonObject[]) =>
      push(
        cds,
        version,
        jsons.map((json) => toBinary(ClusterSchema, messageFromJson(ClusterSchema, json))),
      ),
    pushEndpoints: (version: string, ...jsons: readonly JsonObject[]) =>
      push(
        eds,
        version,
        jsons.map((json) =>
          toBinary(ClusterLoadAssignmentSchema, messageFromJson(ClusterLoadAssignmentSchema, json)),
        ),
      ),
    hosts: (name: string) => clusters.get(name)?.hosts.map(({ address }) => address.text),
    counter: (name: string) => [...stats.counters()].find(({ id }) => id.name === name)?.value,
  };
}

const edsCluster = (name: string, more: JsonObject = {}): JsonObject => ({
  name,
  type: 'EDS',
  eds_cluster_config: { eds_config: { ads: {}, initial_fetch_timeout: '0s' } },
  ...more,
});

const assignment = (name: string, ...addresses: readonly string[]): JsonObject => ({
  cluster_name: name,
  endpoints: [{ lb_endpoints: addresses.map((address) => endpoint(address, 80)) }],
});

const endpoint = (address: string, port: number): JsonObject => ({
  endpoint: { address: { socket_address: { address, port_value: port } } },
});

const dnsCluster = (
  name: string,
  type: string,
  hosts: readonly string[],
  more: JsonObject = {},
): JsonObject => ({
  name,
  type,
  load_assignment: {
    cluster_name: name,
    endpoints: [{ lb_endpoints: hosts.map((host) => endpoint(host, 80)) }],
  },
  dns_refresh_rate: '60s',
  ...more,
});

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('ClusterManager: EDS', () => {
  test('a new cluster is not found until its endpoints are there (partly D1.05)', () => {
    const { clusters, pushClusters, pushEndpoints, hosts, sent } = setUp();
    pushClusters('v1', edsCluster('a'), edsCluster('b'));
    expect(clusters.get('a')).toBeUndefined();
    expect(clusters.warming().map(({ name }) => name)).toEqual(['a', 'b']);
    // One request names both: EDS is paused while CDS is applied.
    expect(sent.filter(({ typeUrl }) => typeUrl === eds).map(({ resourceNames }) => resourceNames)).toEqual([
      ['a', 'b'],
    ]);
    pushEndpoints('e1', assignment('a', '10.0.0.1'));
    expect(hosts('a')).toEqual(['10.0.0.1:80']);
    expect(clusters.get('b')).toBeUndefined();
    pushEndpoints('e2', assignment('b'));
    expect(hosts('b')).toEqual([]);
  });

  test('initial_fetch_timeout 0 waits for ever, another one ends the wait with no hosts (partly D1.05)', () => {
    const { clock, clusters, pushClusters, counter } = setUp();
    pushClusters('v1', edsCluster('ever'), {
      ...edsCluster('soon'),
      eds_cluster_config: { eds_config: { ads: {}, initial_fetch_timeout: '2s' } },
    });
    clock.advance(2000);
    expect(clusters.get('soon')).toBeDefined();
    expect(counter('cluster.soon.init_fetch_timeout')).toBe(1);
    clock.advance(3_600_000);
    expect(clusters.get('ever')).toBeUndefined();
  });

  test('a changed cluster is warm at once from the endpoints that are known; the same bytes change nothing (D1.07)', () => {
    const { clusters, pushClusters, pushEndpoints, hosts, counter } = setUp();
    pushClusters('v1', edsCluster('a'));
    pushEndpoints('e1', assignment('a', '10.0.0.1'));
    const first = clusters.get('a');
    pushClusters('v2', edsCluster('a'));
    expect(clusters.get('a')).toBe(first);
    expect(clusters.active()[0]?.versionInfo).toBe('v1');
    pushClusters('v3', edsCluster('a', { connect_timeout: '3s' }));
    expect(clusters.get('a')).not.toBe(first);
    expect(hosts('a')).toEqual(['10.0.0.1:80']);
    expect(counter('cluster_manager.cluster_added')).toBe(1);
    expect(counter('cluster_manager.cluster_modified')).toBe(1);
  });

  test('the old version serves while the new one waits for other endpoints (partly D1.05)', () => {
    const { clusters, pushClusters, pushEndpoints, hosts } = setUp();
    pushClusters('v1', edsCluster('a'));
    pushEndpoints('e1', assignment('a', '10.0.0.1'));
    const old = clusters.get('a');
    const renamed = edsCluster('a', {
      eds_cluster_config: { service_name: 'other', eds_config: { ads: {}, initial_fetch_timeout: '0s' } },
    });
    pushClusters('v2', renamed);
    expect(clusters.get('a')).toBe(old);
    expect(clusters.warming()).toHaveLength(1);
    pushEndpoints('e2', assignment('other', '10.0.0.2'));
    expect(clusters.get('a')).not.toBe(old);
    expect(hosts('a')).toEqual(['10.0.0.2:80']);
    expect(clusters.warming()).toEqual([]);
    // Going back while a newer version warms ends the warming.
    pushClusters(
      'v3',
      edsCluster('a', { eds_cluster_config: { service_name: 'third', eds_config: { ads: {} } } }),
    );
    pushClusters('v4', renamed);
    expect(clusters.warming()).toEqual([]);
    expect(hosts('a')).toEqual(['10.0.0.2:80']);
  });

  test('hosts keep their objects by address over updates (D1.08)', () => {
    const { clusters, pushClusters, pushEndpoints } = setUp();
    pushClusters('v1', edsCluster('a'));
    pushEndpoints('e1', assignment('a', '10.0.0.1', '10.0.0.2'));
    const kept = clusters.get('a')?.hosts.find(({ address }) => address.address === '10.0.0.2');
    pushEndpoints('e2', assignment('a', '10.0.0.2', '10.0.0.3'));
    expect(clusters.get('a')?.hosts).toContain(kept);
  });

  test('a cluster that is gone from the response is gone, with its subscription and stats (D1.07)', () => {
    const { clusters, pushClusters, pushEndpoints, sent, stats, counter } = setUp();
    pushClusters('v1', edsCluster('a'), edsCluster('a.b'));
    pushEndpoints('e1', assignment('a', '10.0.0.1'), assignment('a.b', '10.0.0.2'));
    pushClusters('v2', edsCluster('a.b'));
    expect(clusters.get('a')).toBeUndefined();
    expect(sent.findLast(({ typeUrl }) => typeUrl === eds)?.resourceNames).toEqual(['a.b']);
    expect(counter('cluster_manager.cluster_removed')).toBe(1);
    const names = [...stats.counters()].map(({ id }) => id.name);
    expect(names.some((name) => name.startsWith('cluster.a.update'))).toBe(false);
    expect(names.some((name) => name.startsWith('cluster.a.b.update'))).toBe(true);
  });

  test('one bad cluster is named with its field, the good ones are applied, and what it replaced stays (partly D1.03)', () => {
    const { clusters, pushClusters, pushEndpoints, sent } = setUp();
    pushClusters('v1', edsCluster('a'), edsCluster('b'));
    pushEndpoints('e1', assignment('a', '10.0.0.1'), assignment('b', '10.0.0.1'));
    const before = clusters.get('a');
    pushClusters(
      'v2',
      { ...edsCluster('a'), eds_cluster_config: {} },
      edsCluster('b', { connect_timeout: '9s' }),
    );
    const nack = sent.findLast(({ typeUrl }) => typeUrl === cds);
    expect(nack?.errorDetail?.message).toBe(
      'Cluster a: eds_cluster_config.eds_config: is required in a cluster of type EDS',
    );
    expect(nack?.versionInfo).toBe('v1');
    expect(clusters.get('a')).toBe(before);
    expect(clusters.active().find(({ name }) => name === 'b')?.config.connectTimeout?.seconds).toBe(9n);
    expect(clusters.failed().map(({ name }) => name)).toEqual(['a']);
    pushClusters('v3', edsCluster('a'), edsCluster('b'));
    expect(clusters.failed()).toEqual([]);
  });

  test('bad endpoints are a NACK and the last good ones stay (partly D1.03)', () => {
    const { pushClusters, pushEndpoints, hosts, sent, counter } = setUp();
    pushClusters('v1', edsCluster('a'), edsCluster('b'));
    pushEndpoints('e1', assignment('a', '10.0.0.1'), assignment('b', '10.0.0.1'));
    pushEndpoints('e2', assignment('a', 'not-an-ip'), assignment('b', '10.0.0.2'));
    expect(sent.at(-1)?.errorDetail?.message).toMatch(
      /ClusterLoadAssignment a: .*malformed IP address: not-an-ip/,
    );
    expect(hosts('a')).toEqual(['10.0.0.1:80']);
    expect(hosts('b')).toEqual(['10.0.0.2:80']);
    expect(counter('cluster.a.update_rejected')).toBe(1);
  });
});

describe('ClusterManager: DNS', () => {
  test('STRICT_DNS warms at the first answer and takes every address of every name (partly D1.05, partly D6.01)', async () => {
    const { clusters, answers, pushClusters, hosts } = setUp();
    answers.set('one.test', { addresses: ['10.0.0.2', '10.0.0.1'], ttlMs: undefined });
    pushClusters('v1', dnsCluster('a', 'STRICT_DNS', ['one.test', '10.9.9.9']));
    expect(clusters.get('a')).toBeUndefined();
    await turn();
    expect(hosts('a')).toEqual(['10.0.0.1:80', '10.0.0.2:80', '10.9.9.9:80']);
    expect(clusters.get('a')?.hosts[0]?.hostname).toBe('one.test');
  });

  test('LOGICAL_DNS takes the first address only, and exactly one name (partly D6.01)', async () => {
    const { answers, pushClusters, hosts, sent } = setUp();
    answers.set('one.test', { addresses: ['10.0.0.2', '10.0.0.1'], ttlMs: undefined });
    pushClusters(
      'v1',
      dnsCluster('a', 'LOGICAL_DNS', ['one.test']),
      dnsCluster('b', 'LOGICAL_DNS', ['x.test', 'y.test']),
    );
    await turn();
    expect(hosts('a')).toEqual(['10.0.0.2:80']);
    expect(sent.at(-1)?.errorDetail?.message).toMatch(/Cluster b: load_assignment: .*exactly one endpoint/);
  });

  test('answers are renewed at dns_refresh_rate; a failure keeps the last hosts (partly D6.01)', async () => {
    const { clock, answers, pushClusters, hosts, counter } = setUp();
    answers.set('one.test', { addresses: ['10.0.0.1'], ttlMs: undefined });
    pushClusters('v1', dnsCluster('a', 'STRICT_DNS', ['one.test']));
    await turn();
    answers.set('one.test', { addresses: ['10.0.0.5'], ttlMs: undefined });
    clock.advance(59_000);
    await turn();
    expect(hosts('a')).toEqual(['10.0.0.1:80']);
    clock.advance(1000);
    await turn();
    expect(hosts('a')).toEqual(['10.0.0.5:80']);
    answers.delete('one.test');
    clock.advance(60_000);
    await turn();
    expect(hosts('a')).toEqual(['10.0.0.5:80']);
    expect(counter('cluster.a.update_failure')).toBe(1);
  });

  test('a name that cannot be resolved warms with no hosts, and is asked again with back-off (partly D6.01)', async () => {
    const { clock, asked, pushClusters, hosts } = setUp();
    pushClusters(
      'v1',
      dnsCluster('a', 'STRICT_DNS', ['no.test'], {
        dns_failure_refresh_rate: { base_interval: '2s', max_interval: '10s' },
      }),
    );
    await turn();
    expect(hosts('a')).toEqual([]);
    clock.advance(2000);
    await turn();
    expect(asked).toHaveLength(2);
  });

  test('respect_dns_ttl makes the record say when (partly D6.01)', async () => {
    const { clock, answers, asked, pushClusters } = setUp();
    answers.set('one.test', { addresses: ['10.0.0.1'], ttlMs: 5000 });
    pushClusters('v1', dnsCluster('a', 'STRICT_DNS', ['one.test'], { respect_dns_ttl: true }));
    await turn();
    clock.advance(5000);
    await turn();
    expect(asked).toHaveLength(2);
  });

  test('nothing is asked for a cluster that is gone (partly D6.01)', async () => {
    const { clock, answers, asked, pushClusters } = setUp();
    answers.set('one.test', { addresses: ['10.0.0.1'], ttlMs: undefined });
    pushClusters('v1', dnsCluster('a', 'STRICT_DNS', ['one.test']));
    await turn();
    pushClusters('v2');
    clock.advance(600_000);
    await turn();
    expect(asked).toHaveLength(1);
  });

  test('chooseFamily: what dns_lookup_family means (partly D6.01)', () => {
    const both = [
      { address: '10.0.0.1', family: 4 },
      { address: '::1', family: 6 },
    ];
    expect(chooseFamily(both, 'AUTO')).toEqual(['::1']);
    expect(chooseFamily(both.slice(0, 1), 'AUTO')).toEqual(['10.0.0.1']);
    expect(chooseFamily(both, 'V4_PREFERRED')).toEqual(['10.0.0.1']);
    expect(chooseFamily(both, 'V4_ONLY')).toEqual(['10.0.0.1']);
    expect(chooseFamily(both, 'V6_ONLY')).toEqual(['::1']);
    expect(chooseFamily(both, 'ALL')).toEqual(['10.0.0.1', '::1']);
  });
});

describe('ClusterManager: what is refused', () => {
  const error = (json: JsonObject): string => {
    const { pushClusters, sent } = setUp();
    pushClusters('v1', json);
    return sent.at(-1)?.errorDetail?.message ?? 'accepted';
  };
  const tls = {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
    },
  };
  const raw = {
    name: 'raw',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer',
    },
  };

  test('TLS to the upstream, unless endpoints can do without it (D1.07)', () => {
    expect(error({ ...edsCluster('a'), transport_socket: tls })).toMatch(
      /Cluster a: transport_socket: .*UpstreamTlsContext is not supported/,
    );
    const matches = [
      { name: 'tlsMode-istio', match: { tlsMode: 'istio' }, transport_socket: tls },
      { name: 'tlsMode-disabled', match: {}, transport_socket: raw },
    ];
    const { pushClusters, pushEndpoints, hosts, sent } = setUp();
    pushClusters('v1', edsCluster('a', { transport_socket_matches: matches }));
    pushEndpoints('e1', assignment('a', '10.0.0.1'));
    expect(hosts('a')).toEqual(['10.0.0.1:80']);
    pushEndpoints('e2', {
      cluster_name: 'a',
      endpoints: [
        {
          lb_endpoints: [
            {
              ...endpoint('10.0.0.2', 80),
              metadata: { filter_metadata: { 'envoy.transport_socket_match': { tlsMode: 'istio' } } },
            },
          ],
        },
      ],
    });
    expect(sent.at(-1)?.errorDetail?.message).toMatch(
      /endpoints\[0\]\.lb_endpoints\[0\]\.metadata: selects transport_socket_matches\[0\] \(tlsMode-istio\), which is not raw_buffer/,
    );
  });

  test('pipes, named endpoints, names in STATIC, custom types, duplicates, odd addresses (traps row 19, D1.01)', () => {
    const fixed = (lbEndpoint: JsonObject): JsonObject => ({
      name: 'a',
      type: 'STATIC',
      load_assignment: { cluster_name: 'a', endpoints: [{ lb_endpoints: [lbEndpoint] }] },
    });
    expect(error(fixed({ endpoint: { address: { pipe: { path: '/x' } } } }))).toMatch(
      /address: pipe is not supported; use socket_address/,
    );
    expect(error(fixed(endpoint('', 80)))).toMatch(/socket_address\.address: is required/);
    expect(error(dnsCluster('a', 'STRICT_DNS', ['x'.repeat(256)]))).toMatch(
      /has 256 characters, 255 are allowed/,
    );
    expect(error(fixed(endpoint('10.0.0.1', 65_536)))).toMatch(/port_value: 65536 is above 65535/);
    expect(error(fixed(endpoint('a.test', 80)))).toMatch(/malformed IP address: a\.test/);
    expect(error({ name: 'a', cluster_type: { name: 'envoy.clusters.aggregate' } })).toMatch(
      /cluster_type: envoy\.clusters\.aggregate is not supported/,
    );
    expect(
      error({
        name: 'a',
        type: 'ORIGINAL_DST',
        lb_policy: 'CLUSTER_PROVIDED',
        load_assignment: { cluster_name: 'a' },
      }),
    ).toMatch(/load_assignment: is not allowed/);
    const { pushClusters, sent } = setUp();
    pushClusters('v1', edsCluster('a'), edsCluster('a'));
    expect(sent.at(-1)?.errorDetail?.message).toMatch(/duplicate cluster a found/);
  });

  test('garbage instead of a Cluster is a NACK, not a crash (traps row 17)', () => {
    const { clusters } = setUp();
    const errors = clusters.onUpdate({
      resources: [{ name: 'x', version: 'v1', typeUrl: cds, bytes: new Uint8Array([255, 255, 255]) }],
      removed: undefined,
      versionInfo: 'v1',
    });
    expect(errors).toHaveLength(1);
    expect(errors[0]).toMatch(/^Cluster x: /);
  });
});
