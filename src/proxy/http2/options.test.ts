import { create } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import type { KeepaliveSettingsSchema } from '../../api/gen/envoy/config/core/v3/protocol_pb.js';
import { Http2ProtocolOptionsSchema } from '../../api/gen/envoy/config/core/v3/protocol_pb.js';
import { readHttp2Options } from './options.ts';

const read = (connectionKeepalive: MessageInitShape<typeof KeepaliveSettingsSchema>) =>
  readHttp2Options(create(Http2ProtocolOptionsSchema, { connectionKeepalive }), 'options');
const timeout = { seconds: 2n };

test('readHttp2Options: keepalive by interval and timeout', () => {
  expect(read({ interval: { seconds: 30n }, timeout })).toMatchObject({
    keepaliveIntervalMs: 30_000,
    keepaliveTimeoutMs: 2000,
  });
  expect(read({ timeout }).keepaliveIntervalMs).toBe(0);
});

test.each([
  ['connection_idle_interval', { timeout, connectionIdleInterval: { seconds: 1n } }],
  ['interval_jitter', { timeout, interval: { seconds: 1n }, intervalJitter: { value: 10 } }],
  ['timeout', { interval: { seconds: 1n } }],
] as const)('readHttp2Options: keepalive: %s is refused by its name', (field, settings) => {
  expect(() => read(settings)).toThrow(`options.connection_keepalive.${field}`);
});
