// Header names of HTTP/1.1 as they came, where Envoy would write them in lower case.
import type { Message, MessageInitShape } from '@bufbuild/protobuf';
import { create } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import type { Http1ProtocolOptionsSchema } from '../api/gen/envoy/config/core/v3/protocol_pb.js';

type Http1Options = Exclude<MessageInitShape<typeof Http1ProtocolOptionsSchema>, Message>;

/** Part of `http_protocol_options`, of what comes in as of what goes on. Source: Istio `preserveCaseFormatterConfig`. */
export function keptCase(): Http1Options {
  return {
    headerKeyFormat: {
      headerFormat: {
        case: 'statefulFormatter',
        value: { name: 'preserve_case', typedConfig: create(AnySchema, { typeUrl: formatterType }) },
      },
    },
  };
}

const formatterType =
  'type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig';
