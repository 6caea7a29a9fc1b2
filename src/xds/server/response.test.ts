import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { unpackAs } from '../../api/any.ts';
import { RouteConfigurationSchema } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import {
  DeltaDiscoveryResponseSchema,
  DiscoveryResponseSchema,
} from '../../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import { typeUrls } from '../types.ts';
import { encodeDeltaResponse, encodeResourceField, encodeResponse, resourceValue } from './response.ts';

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

test('encodeDeltaResponse: the same shared bytes, each under its name and version (B3.03, B3.08)', () => {
  for (const size of [0, 1, 100, 127, 128, 16_383, 16_384, 2_097_152]) {
    const name = 'x'.repeat(size);
    const value = toBinary(RouteConfigurationSchema, create(RouteConfigurationSchema, { name }));
    const field = encodeResourceField(typeUrls.route, value);
    const head = { versionInfo: 'v/1', typeUrl: typeUrls.route, nonce: 'n', controlPlane: '{}' };
    const resources = [
      { name: 'a', version: '1', field },
      { name: 'b'.repeat(200), version: '2', field },
    ];
    const bytes = encodeDeltaResponse(head, { ...head, resources, removed: ['gone', 'too'] });
    const response = fromBinary(DeltaDiscoveryResponseSchema, bytes);
    expect(response).toMatchObject({ systemVersionInfo: 'v/1', typeUrl: typeUrls.route, nonce: 'n' });
    expect(response.controlPlane?.identifier).toBe('{}');
    expect(response.removedResources).toEqual(['gone', 'too']);
    expect(response.resources.map((each) => [each.name, each.version])).toEqual([
      ['a', '1'],
      ['b'.repeat(200), '2'],
    ]);
    for (const { resource } of response.resources) {
      const route = resource === undefined ? undefined : unpackAs(resource, RouteConfigurationSchema);
      expect(route?.name === name).toBe(true);
    }
  }
});
