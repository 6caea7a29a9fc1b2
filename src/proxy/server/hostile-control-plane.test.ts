// Whatever bytes a control plane sends: an error text, never a throw, and the good configuration goes on.
import { toBinary } from '@bufbuild/protobuf';
import { array, assert, asyncProperty, constantFrom, nat, tuple } from 'fast-check';
import { expect, test } from 'vitest';
import { startInProcess } from '../../../test/support/in-process-proxy.ts';
import { messageFromJson } from '../../api/any.ts';
import { ClusterSchema } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '../../api/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '../../api/gen/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import type { ResourceConsumer, ResourceUpdate } from '../../xds/client/resource.ts';

const bootstrap = `
dynamic_resources: { ads_config: { api_type: GRPC, transport_api_version: V3, grpc_services: [{ envoy_grpc: { cluster_name: xds } }] } }
static_resources:
  clusters:
    - { name: xds, type: STATIC }
    - { name: eds, type: EDS, eds_cluster_config: { eds_config: { ads: {}, initial_fetch_timeout: 0.001s } } }
`;

const cluster = toBinary(
  ClusterSchema,
  messageFromJson(ClusterSchema, {
    name: 'a',
    type: 'STRICT_DNS',
    connect_timeout: '1s',
    circuit_breakers: { thresholds: [{ max_connections: 5, max_retries: 2 }] },
    outlier_detection: { consecutive_5xx: 3, interval: '1s' },
    load_assignment: {
      cluster_name: 'a',
      endpoints: [
        {
          lb_endpoints: [
            { endpoint: { address: { socket_address: { address: '10.0.0.1', port_value: 80 } } } },
          ],
        },
      ],
    },
  }),
);

const assignment = toBinary(
  ClusterLoadAssignmentSchema,
  messageFromJson(ClusterLoadAssignmentSchema, {
    cluster_name: 'eds',
    endpoints: [
      {
        locality: { region: 'r', zone: 'z' },
        priority: 1,
        load_balancing_weight: 3,
        lb_endpoints: [
          {
            health_status: 'HEALTHY',
            load_balancing_weight: 7,
            endpoint: { address: { socket_address: { address: '10.0.0.1', port_value: 80 } } },
          },
        ],
      },
    ],
  }),
);

const routes = toBinary(
  RouteConfigurationSchema,
  messageFromJson(RouteConfigurationSchema, {
    name: 'r',
    virtual_hosts: [
      {
        name: 'v',
        domains: ['a.test', '*.b.test', '*'],
        routes: [
          {
            match: {
              safe_regex: { regex: '/a(b|c)+' },
              headers: [{ name: 'x', string_match: { exact: 'y' } }],
            },
            route: {
              weighted_clusters: { clusters: [{ name: 'a', weight: 1 }] },
              timeout: '1s',
              retry_policy: { retry_on: '5xx' },
            },
          },
          { match: { prefix: '/' }, redirect: { host_redirect: 'h', response_code: 'FOUND' } },
        ],
      },
    ],
  }),
);

const listener = toBinary(
  ListenerSchema,
  messageFromJson(ListenerSchema, {
    name: 'l',
    address: { socket_address: { address: '127.0.0.1', port_value: 22551 } },
    bind_to_port: false,
    filter_chains: [
      {
        filter_chain_match: {
          destination_port: 80,
          prefix_ranges: [{ address_prefix: '10.0.0.0', prefix_len: 8 }],
          server_names: ['*.a'],
        },
        filters: [
          {
            name: 'tcp',
            typed_config: {
              '@type': 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
              stat_prefix: 't',
              cluster: 'a',
            },
          },
        ],
      },
    ],
  }),
);

const update = (bytes: Uint8Array, version: string): ResourceUpdate => ({
  resources: [{ name: undefined, version, typeUrl: '', bytes }],
  removed: undefined,
  versionInfo: version,
});

test('no bytes whatever make a consumer throw, and what was there stays (partly D1.03, traps row 17)', async () => {
  const proxy = await startInProcess(bootstrap);
  try {
    const { server } = proxy;
    const slot = server.routes.acquire({ kind: 'ads', key: 'ads', initialFetchTimeoutMs: 0 }, 'r', 'p');
    const consumers: readonly (readonly [ResourceConsumer, Uint8Array])[] = [
      [server.clusters, cluster],
      [server.eds.adsConsumer, assignment],
      [server.routes.adsConsumer, routes],
      [server.listeners, listener],
    ];
    for (const [consumer, bytes] of consumers) {
      expect(await consumer.onUpdate(update(bytes, 'v1'))).toEqual([]);
    }
    await assert(
      asyncProperty(
        constantFrom(...consumers),
        array(tuple(nat(), nat(255)), { minLength: 1, maxLength: 4 }),
        nat(),
        async ([consumer, good], changes, cut) => {
          const bytes = Uint8Array.from(good);
          // The listener's address is left alone: it would be bound.
          const first = good === listener ? 40 : 0;
          for (const [at, value] of changes) bytes[first + (at % (bytes.length - first))] = value;
          const sent = cut % 4 === 0 ? bytes.subarray(0, Math.max(first, cut % bytes.length)) : bytes;
          const errors = await consumer.onUpdate(update(sent, 'v2'));
          expect(errors.every((error) => typeof error === 'string' && error !== '')).toBe(true);
        },
      ),
      { numRuns: 1500 },
    );
    for (const [consumer, bytes] of consumers) {
      expect(await consumer.onUpdate(update(bytes, 'v3'))).toEqual([]);
    }
    expect(slot.current).toBeDefined();
    expect(server.clusters.get('eds')?.hosts).toHaveLength(1);
    expect(server.listeners.active().map(({ name }) => name)).toContain('l');
  } finally {
    proxy.close();
  }
});
