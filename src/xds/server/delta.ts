// Delta: DeltaDiscoveryRequest and DeltaDiscoveryResponse.
import { fromBinary } from '@bufbuild/protobuf';
import { DeltaDiscoveryRequestSchema } from '../../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import { receiveDelta } from './delta-subscription.ts';
import type { Dialect } from './dialect.ts';
import { decoded, toldError } from './dialect.ts';
import { encodeDeltaResponse } from './response.ts';

export const delta: Dialect = {
  name: 'delta',
  decode(bytes) {
    const request = decoded('DeltaDiscoveryRequest', () => fromBinary(DeltaDiscoveryRequestSchema, bytes));
    const { node, typeUrl, responseNonce, errorDetail } = request;
    const { resourceNamesSubscribe: subscribe, resourceNamesUnsubscribe: unsubscribe } = request;
    const versions = new Map(Object.entries(request.initialResourceVersions));
    return {
      node,
      typeUrl,
      names: [subscribe, unsubscribe, [...versions.keys()]],
      receive: (before, wildcardType) =>
        receiveDelta(
          before,
          {
            subscribe,
            unsubscribe,
            versions,
            nonce: responseNonce,
            ...toldError(errorDetail),
          },
          wildcardType,
        ),
    };
  },
  encode: encodeDeltaResponse,
};
