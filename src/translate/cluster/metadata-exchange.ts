// Istio's filter istio.metadata_exchange: both ends of a TCP connection in mutual TLS tell each other who they are.
import type { MessageInitShape } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import { messageFromJson } from '../../api/any.ts';
import type { FilterSchema } from '../../api/gen/envoy/config/cluster/v3/filter_pb.js';
import type { ProxyScope } from '../resource.ts';

const filterName = 'istio.metadata_exchange';

/** Istio's build of Envoy has it and says so when it connects; stock Envoy would refuse the whole cluster. */
export function exchangesMetadata(scope: ProxyScope): boolean {
  return scope.node.istioExtensions?.includes(filterName) === true;
}

/** As a filter of an outbound cluster (C3.19). Source: Istio `TCPClusterMx`. */
export function metadataExchangeFilter(): MessageInitShape<typeof FilterSchema> {
  return {
    name: filterName,
    typedConfig: messageFromJson(AnySchema, {
      '@type': 'type.googleapis.com/udpa.type.v1.TypedStruct',
      typeUrl: 'type.googleapis.com/envoy.tcp.metadataexchange.config.MetadataExchange',
      value: { enable_discovery: true, protocol: 'istio-peer-exchange' },
    }),
  };
}
