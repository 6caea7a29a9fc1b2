import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { unpackAs } from '../../api/any.ts';
import { RouteConfigurationSchema } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import { DiscoveryResponseSchema } from '../../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import { typeUrls } from '../types.ts';
import { encodeResourceField, encodeResponse, resourceValue } from './response.ts';

test('encodeResponse: any protobuf library reads what was put together from shared bytes (B5.01, B2.10)', () => {
  // Sizes around those at which lengths take one, two, three and four bytes.
  for (const size of [0, 1, 100, 127, 128, 16_383, 16_384, 2_097_152]) {
    const name = 'x'.repeat(size);
    const value = toBinary(RouteConfigurationSchema, create(RouteConfigurationSchema, { name }));
    const field = encodeResourceField(typeUrls.route, value);
    expect(Buffer.from(resourceValue(field)).equals(value)).toBe(true);
    const head = { versionInfo: 'v/1', typeUrl: typeUrls.route, nonce: 'n', controlPlane: '{}' };
    const response = fromBinary(DiscoveryResponseSchema, encodeResponse(head, [field, field]));
    expect(response).toMatchObject({ versionInfo: 'v/1', typeUrl: typeUrls.route, nonce: 'n' });
    expect(response.controlPlane?.identifier).toBe('{}');
    expect(response.resources).toHaveLength(2);
    for (const any of response.resources)
      expect(unpackAs(any, RouteConfigurationSchema)?.name === name).toBe(true);
  }
});
