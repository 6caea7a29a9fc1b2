// State of the world: DiscoveryRequest and DiscoveryResponse.
import { fromBinary } from '@bufbuild/protobuf';
import { DiscoveryRequestSchema } from '../../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import type { Dialect } from './dialect.ts';
import { decoded, toldError } from './dialect.ts';
import { encodeResponse } from './response.ts';
import { receive } from './subscription.ts';

export const sotw: Dialect = {
  name: 'sotw',
  decode(bytes) {
    const request = decoded('DiscoveryRequest', () => fromBinary(DiscoveryRequestSchema, bytes));
    const { node, typeUrl, resourceNames, responseNonce, versionInfo, errorDetail } = request;
    return {
      node,
      typeUrl,
      names: [resourceNames],
      receive: (before, wildcardType) =>
        receive(
          before,
          {
            names: resourceNames,
            nonce: responseNonce,
            version: versionInfo,
            ...toldError(errorDetail),
          },
          wildcardType,
        ),
    };
  },
  encode: (head, { resources }) =>
    encodeResponse(
      head,
      resources.map(({ field }) => field),
    ),
};
