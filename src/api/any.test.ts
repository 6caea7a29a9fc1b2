// Any over the messages that we speak, and over the extensions beside them.
import { expect, test } from 'vitest';
import { create, isMessage } from '@bufbuild/protobuf';
import { anyPack } from '@bufbuild/protobuf/wkt';
import { messageFromJson, messageToJson, registry, unpackAny } from './any.ts';
import { HttpFilterSchema } from './gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { RouterSchema } from './gen/envoy/extensions/filters/http/router/v3/router_pb.js';

const luaUrl = 'type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua';

test('registry: the extensions that people write into EnvoyFilters resolve (C13.06)', () => {
  const names = [
    'adaptive_concurrency.v3.AdaptiveConcurrency',
    'buffer.v3.Buffer',
    'compressor.v3.Compressor',
    'ext_authz.v3.ExtAuthz',
    'ext_proc.v3.ExternalProcessor',
    'grpc_web.v3.GrpcWeb',
    'header_mutation.v3.HeaderMutation',
    'jwt_authn.v3.JwtAuthentication',
    'local_ratelimit.v3.LocalRateLimit',
    'lua.v3.Lua',
    'original_src.v3.OriginalSrc',
    'ratelimit.v3.RateLimit',
    'rbac.v3.RBAC',
    'wasm.v3.Wasm',
  ].map((name) => `envoy.extensions.filters.http.${name}`);
  const others = [
    'envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol',
    'envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit',
    'envoy.extensions.filters.network.redis_proxy.v3.RedisProxy',
    'envoy.extensions.compression.gzip.compressor.v3.Gzip',
    'envoy.config.trace.v3.ZipkinConfig',
    'udpa.type.v1.TypedStruct',
    'xds.type.v3.TypedStruct',
  ];
  const missing = [...names, ...others].filter((name) => registry.getMessage(name) === undefined);
  expect(missing).toEqual([]);
  expect(registry.getMessage('envoy.extensions.filters.http.luaa.v3.Lua')).toBeUndefined();
});

test('unpackAny: an extension is read and written like a message of ours', () => {
  const json = {
    name: 'lua',
    typedConfig: { '@type': luaUrl, defaultSourceCode: { inlineString: 'function envoy_on_request() end' } },
  };
  const filter = messageFromJson(HttpFilterSchema, json);
  expect(messageToJson(HttpFilterSchema, filter)).toEqual(json);
  const config = filter.configType.case === 'typedConfig' ? unpackAny(filter.configType.value) : undefined;
  expect(config?.$typeName).toBe('envoy.extensions.filters.http.lua.v3.Lua');
});

test('registry: what both tables need is one descriptor', () => {
  const router = unpackAny(anyPack(RouterSchema, create(RouterSchema)));
  expect(isMessage(router, RouterSchema)).toBe(true);
  const lua = registry.getMessage('envoy.extensions.filters.http.lua.v3.Lua');
  const source = lua?.field['defaultSourceCode'];
  expect(source?.fieldKind === 'message' && source.message).toBe(
    registry.getMessage('envoy.config.core.v3.DataSource'),
  );
});
