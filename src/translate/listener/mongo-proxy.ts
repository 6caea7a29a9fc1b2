// The mongo_proxy filter: reads what passes by as MongoDB's protocol, for statistics alone.
import type { Any } from '@bufbuild/protobuf/wkt';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import { messageFromJson } from '../../api/any.ts';

export const mongoProxyName = 'envoy.filters.network.mongo_proxy';

/** Source: Istio `buildMongoFilter`, on by default. */
export function buildMongoProxy(statPrefix: string): Any {
  return messageFromJson(AnySchema, {
    '@type': 'type.googleapis.com/envoy.extensions.filters.network.mongo_proxy.v3.MongoProxy',
    statPrefix,
  });
}
