// Messages merge as protobuf says, with Istio's exceptions.
import { expect, test } from 'vitest';
import { clone } from '@bufbuild/protobuf';
import { messageFromJson, messageToJson } from './any.ts';
import type { JsonValue } from '@bufbuild/protobuf';
import { ClusterSchema } from './gen/envoy/config/cluster/v3/cluster_pb.js';
import { RouteSchema } from './gen/envoy/config/route/v3/route_components_pb.js';
import { mergeMessage } from './merge.ts';

function merged(into: JsonValue, from: JsonValue, replaceLists = false): JsonValue {
  const target = messageFromJson(ClusterSchema, into);
  const source = messageFromJson(ClusterSchema, from);
  const before = clone(ClusterSchema, source);
  mergeMessage(ClusterSchema, target, source, { replaceLists });
  expect(source).toEqual(before);
  return messageToJson(ClusterSchema, target);
}

test('mergeMessage: scalars overwrite, messages merge, lists append, map entries replace (partly C13.06)', () => {
  expect(
    merged(
      {
        name: 'web',
        lb_policy: 'RING_HASH',
        circuit_breakers: { thresholds: [{ max_connections: 1 }] },
        common_http_protocol_options: { max_requests_per_connection: 5, idle_timeout: '5s' },
        metadata: { filter_metadata: { a: { x: 1, y: 2 }, b: { z: 3 } } },
      },
      {
        lb_policy: 'LEAST_REQUEST',
        circuit_breakers: { thresholds: [{ max_retries: 2 }] },
        common_http_protocol_options: { idle_timeout: '0.5s' },
        metadata: { filter_metadata: { a: { x: 9 } } },
      },
    ),
  ).toEqual({
    name: 'web',
    lbPolicy: 'LEAST_REQUEST',
    circuitBreakers: { thresholds: [{ maxConnections: 1 }, { maxRetries: 2 }] },
    // A duration is replaced, not added up: 5s and 0.5s would be 5.5s.
    commonHttpProtocolOptions: { maxRequestsPerConnection: 5, idleTimeout: '0.500s' },
    metadata: { filterMetadata: { a: { x: 9 }, b: { z: 3 } } },
  });
});

test('mergeMessage: lists are replaced where that is asked for', () => {
  const before = { circuit_breakers: { thresholds: [{ max_connections: 1 }] } };
  const after = { circuit_breakers: { thresholds: [{ max_retries: 2 }] } };
  expect(merged(before, after, true)).toEqual({ circuitBreakers: { thresholds: [{ maxRetries: 2 }] } });
});

test('mergeMessage: zero is not set, nor does a wrapped zero overwrite', () => {
  const before = { name: 'web', per_connection_buffer_limit_bytes: 7 };
  expect(merged(before, { name: '', per_connection_buffer_limit_bytes: 0 })).toEqual({
    name: 'web',
    perConnectionBufferLimitBytes: 7,
  });
  expect(merged({}, { per_connection_buffer_limit_bytes: 0 })).toEqual({ perConnectionBufferLimitBytes: 0 });
});

test('mergeMessage: a oneof of the same case merges, of another is replaced', () => {
  const route = messageFromJson(RouteSchema, {
    match: { prefix: '/' },
    route: { cluster: 'a', timeout: '1s' },
  });
  mergeMessage(RouteSchema, route, messageFromJson(RouteSchema, { route: { prefix_rewrite: '/v2' } }));
  expect(messageToJson(RouteSchema, route)).toEqual({
    match: { prefix: '/' },
    route: { cluster: 'a', timeout: '1s', prefixRewrite: '/v2' },
  });
  mergeMessage(RouteSchema, route, messageFromJson(RouteSchema, { redirect: { host_redirect: 'x' } }));
  expect(messageToJson(RouteSchema, route)).toEqual({
    match: { prefix: '/' },
    redirect: { hostRedirect: 'x' },
  });
});

test('mergeMessage: an Any is replaced whole', () => {
  const socket = (type: string, rest: object = {}): JsonValue => ({
    transport_socket: {
      name: 'x',
      typed_config: { '@type': `type.googleapis.com/envoy.extensions.transport_sockets.${type}`, ...rest },
    },
  });
  expect(
    merged(socket('tls.v3.UpstreamTlsContext', { sni: 'a' }), socket('raw_buffer.v3.RawBuffer')),
  ).toEqual({
    transportSocket: {
      name: 'x',
      typedConfig: {
        '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer',
      },
    },
  });
});
