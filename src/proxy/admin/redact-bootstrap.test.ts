import { expect, test } from 'vitest';
import { messageFromJson } from '../../api/any.ts';
import { BootstrapSchema } from '../../api/gen/envoy/config/bootstrap/v3/bootstrap_pb.js';
import { withoutTokens } from './redact-bootstrap.ts';

test('withoutTokens: the token is not shown, nor taken from the proxy itself', () => {
  const of = (headers: readonly { key: string; value: string }[]) =>
    messageFromJson(BootstrapSchema, {
      dynamic_resources: {
        ads_config: {
          api_type: 'GRPC',
          grpc_services: [{ envoy_grpc: { cluster_name: 'x' }, initial_metadata: [...headers] }],
        },
      },
    });
  const headersIn = (bootstrap: ReturnType<typeof of>) =>
    bootstrap.dynamicResources?.adsConfig?.grpcServices[0]?.initialMetadata.map(({ value }) => value);
  const own = of([
    { key: 'Authorization', value: 'Bearer abc' },
    { key: 'x-other', value: 'abc' },
  ]);
  expect(headersIn(withoutTokens(own))).toEqual(['[redacted]', 'abc']);
  expect(headersIn(own)).toEqual(['Bearer abc', 'abc']);
  const none = of([]);
  expect(withoutTokens(none)).toBe(none);
});
