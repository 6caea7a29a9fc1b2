// The packed descriptors mean what the protos mean.
import { expect, test } from 'vitest';
import { create, toBinary } from '@bufbuild/protobuf';
import { messageFromJson, messageToJson, packAny, registry, unpackAny } from './any.ts';
import { ClusterSchema } from './gen/envoy/config/cluster/v3/cluster_pb.js';

test('readDescriptors: fields keep name, number, oneof, map and presence (A2.08)', () => {
  const cluster = registry.getMessage('envoy.config.cluster.v3.Cluster');
  expect(cluster).toBe(ClusterSchema);
  const type = cluster?.field['type'];
  expect(type?.oneof?.localName).toBe('clusterDiscoveryType');
  expect(cluster?.field['typedExtensionProtocolOptions']?.fieldKind).toBe('map');
  expect(cluster?.fields.find((field) => field.name === 'lb_policy')?.jsonName).toBe('lbPolicy');
});

test('messageFromJson: JSON, binary and Any agree (A2.08)', () => {
  const cluster = messageFromJson(ClusterSchema, {
    name: 'web',
    type: 'STRICT_DNS',
    connect_timeout: '0.250s',
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        explicit_http_config: { http_protocol_options: {} },
      },
    },
  });
  expect(messageToJson(ClusterSchema, cluster)).toEqual({
    name: 'web',
    type: 'STRICT_DNS',
    connectTimeout: '0.250s',
    typedExtensionProtocolOptions: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        explicitHttpConfig: { httpProtocolOptions: {} },
      },
    },
  });
  expect(unpackAny(packAny(ClusterSchema, cluster))).toEqual(cluster);
  expect(toBinary(ClusterSchema, create(ClusterSchema)).length).toBe(0);
});
