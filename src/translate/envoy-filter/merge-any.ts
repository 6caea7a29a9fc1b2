// Merging inside an Any: the settings of filters and transport sockets.
import type { DescMessage } from '@bufbuild/protobuf';
import { fromBinary } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { packAny, registry } from '../../api/any.ts';
import type { TransportSocket } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import { mergeMessage } from '../../api/merge.ts';

/**
 * Both messages merged. Undefined where they are of two types, or of one that cannot be read: then there is
 * nothing that could be merged, and what was there stays.
 */
export function mergeAny(into: Any, from: Any): Any | undefined {
  if (into.typeUrl !== from.typeUrl) return undefined;
  const desc = descOf(into);
  if (desc === undefined) return undefined;
  const message = fromBinary(desc, into.value);
  mergeMessage(desc, message, fromBinary(desc, from.value));
  return packAny(desc, message);
}

/** As mergeAny, into a transport socket of the same name; what cannot be merged stays. */
export function mergeSocket({ configType }: TransportSocket, from: TransportSocket): void {
  if (configType.case === 'typedConfig' && from.configType.case === 'typedConfig')
    configType.value = mergeAny(configType.value, from.configType.value) ?? configType.value;
}

function descOf({ typeUrl }: Any): DescMessage | undefined {
  return registry.getMessage(typeUrl.slice(typeUrl.lastIndexOf('/') + 1));
}
