// What @grpc/grpc-js-xds says of a resource: its own decoder, which decides between ACK and NACK.
import { createRequire } from 'node:module';
import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import { toBinary } from '@bufbuild/protobuf';
import * as xds from '@grpc/grpc-js-xds';
import { typeUrlOf } from '../../src/api/any.ts';

xds.register();

interface Decoder {
  decode(
    context: unknown,
    resource: { type_url: string; value: Uint8Array },
  ): { readonly name: string; readonly error?: string };
}

const require = createRequire(import.meta.url);

function decoderOf(file: string, name: string): Decoder {
  const path = `@grpc/grpc-js-xds/build/src/xds-resource-type/${file}-resource-type.js`;
  const loaded = require(path) as Record<string, { get(): Decoder } | undefined>;
  const found = loaded[`${name}ResourceType`];
  if (found === undefined) throw new Error(`${path} has no ${name}ResourceType any more`);
  return found.get();
}

const decoders: Readonly<Record<string, Decoder>> = {
  Cluster: decoderOf('cluster', 'Cluster'),
  ClusterLoadAssignment: decoderOf('endpoint', 'Endpoint'),
  Listener: decoderOf('listener', 'Listener'),
  RouteConfiguration: decoderOf('route-config', 'RouteConfiguration'),
};

/** As with a bootstrap that has the certificate provider `default`. */
const context = { server: {}, bootstrap: { certificateProviders: { default: {} } } };

/** Why a client would refuse it; undefined: it would not. */
export function grpcVerdict<Desc extends DescMessage>(
  schema: Desc,
  message: MessageShape<Desc>,
): string | undefined {
  const decoder = decoders[schema.name];
  if (decoder === undefined) throw new Error(`gRPC knows no ${schema.typeName}`);
  return decoder.decode(context, {
    type_url: typeUrlOf(schema),
    value: Buffer.from(toBinary(schema, message)),
  }).error;
}
