// What is asked for next, read from what our own encoder writes.
import type { MessageInitShape } from '@bufbuild/protobuf';
import { create, toBinary } from '@bufbuild/protobuf';
import { AnySchema, anyPack } from '@bufbuild/protobuf/wkt';
import { expect, test } from 'vitest';
import { ClusterSchema, Cluster_DiscoveryType } from '../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { ListenerSchema } from '../api/gen/envoy/config/listener/v3/listener_pb.js';
import { HttpConnectionManagerSchema } from '../api/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { TcpProxySchema } from '../api/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js';
import {
  DeltaDiscoveryResponseSchema,
  DiscoveryResponseSchema,
  ResourceSchema,
} from '../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import { readCluster, readListener, readName } from './follow.ts';
import { readDeltaResponse, readSotwResponse, resourceInAny, resourceInWrapper } from './response.ts';

function clusterBytes(init: MessageInitShape<typeof ClusterSchema>): Uint8Array {
  return toBinary(ClusterSchema, create(ClusterSchema, init));
}

test('readCluster: endpoints are asked for by service_name or name, and of EDS clusters alone', () => {
  const edsType = { case: 'type', value: Cluster_DiscoveryType.EDS } as const;
  const read = (bytes: Uint8Array): unknown => readCluster(bytes, 0, bytes.length);
  expect(read(clusterBytes({ name: 'a', clusterDiscoveryType: edsType }))).toEqual({
    name: 'a',
    endpointsName: 'a',
  });
  expect(
    read(
      clusterBytes({
        name: 'a',
        altStatName: 'long after',
        clusterDiscoveryType: edsType,
        edsClusterConfig: { serviceName: 's' },
      }),
    ),
  ).toEqual({ name: 'a', endpointsName: 's' });
  const staticType = { case: 'type', value: Cluster_DiscoveryType.STATIC } as const;
  expect(read(clusterBytes({ name: 'b', clusterDiscoveryType: staticType }))).toEqual({
    name: 'b',
    endpointsName: undefined,
  });
});

test('readListener: routes of every HTTP connection manager, in all chains; inline routes and others are none', () => {
  const manager = (routeConfigName: string): MessageInitShape<typeof AnySchema> =>
    anyPack(
      HttpConnectionManagerSchema,
      create(HttpConnectionManagerSchema, {
        statPrefix: 'x',
        routeSpecifier: { case: 'rds', value: { routeConfigName } },
      }),
    );
  const filter = (value: MessageInitShape<typeof AnySchema>) =>
    ({ name: 'f', configType: { case: 'typedConfig', value: create(AnySchema, value) } }) as const;
  const inline = anyPack(
    HttpConnectionManagerSchema,
    create(HttpConnectionManagerSchema, {
      routeSpecifier: { case: 'routeConfig', value: { name: 'inline' } },
    }),
  );
  const tcp = anyPack(TcpProxySchema, create(TcpProxySchema, { statPrefix: 'rds' }));
  const bytes = toBinary(
    ListenerSchema,
    create(ListenerSchema, {
      name: '0.0.0.0_80',
      filterChains: [
        { filters: [filter(tcp), filter(manager('80'))] },
        { filters: [filter(manager('90')), filter(inline)] },
        { filters: [filter(manager('80'))] },
      ],
      defaultFilterChain: { filters: [filter(manager('last'))] },
      apiListener: { apiListener: create(AnySchema, manager('api')) },
    }),
  );
  const { name, routeNames } = readListener(bytes, 0, bytes.length);
  expect(name).toBe('0.0.0.0_80');
  expect(routeNames.toSorted()).toEqual(['80', '90', 'api', 'last']);
});

test('responses: heads, resources, wrapped resources and removals, in both dialects', () => {
  const cluster = clusterBytes({ name: 'a' });
  const resource = anyPack(ClusterSchema, create(ClusterSchema, { name: 'a' }));
  const wrapper = create(ResourceSchema, { name: 'a', version: '7', resource });
  const sotw = readSotwResponse(
    toBinary(
      DiscoveryResponseSchema,
      create(DiscoveryResponseSchema, {
        versionInfo: 'v',
        typeUrl: 't',
        nonce: 'n',
        resources: [resource, anyPack(ResourceSchema, wrapper)],
      }),
    ),
  );
  expect(sotw).toMatchObject({ version: 'v', typeUrl: 't', nonce: 'n', removed: [] });
  const plain = resourceInAny(sotw.bytes, sotw.places[0] ?? 0, sotw.places[1] ?? 0);
  expect(plain.name).toBe('');
  expect(sotw.bytes.slice(plain.start, plain.end)).toEqual(cluster);
  expect(readName(sotw.bytes, plain.start, plain.end)).toBe('a');
  const wrapped = resourceInAny(sotw.bytes, sotw.places[2] ?? 0, sotw.places[3] ?? 0);
  expect(wrapped).toMatchObject({ name: 'a', version: '7' });
  expect(sotw.bytes.slice(wrapped.start, wrapped.end)).toEqual(cluster);

  const delta = readDeltaResponse(
    toBinary(
      DeltaDiscoveryResponseSchema,
      create(DeltaDiscoveryResponseSchema, {
        systemVersionInfo: 's',
        typeUrl: 't',
        nonce: 'n',
        resources: [wrapper],
        removedResources: ['x', 'y'],
      }),
    ),
  );
  expect(delta).toMatchObject({ version: 's', typeUrl: 't', nonce: 'n', removed: ['x', 'y'] });
  const [start = 0, end = 0] = delta.places;
  expect(resourceInWrapper(delta.bytes, start, end)).toMatchObject({ name: 'a', version: '7' });
});
