// Mutual TLS of gRPC applications: certificates come from the `default` provider of their own bootstrap.
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { CommonTlsContextSchema } from '../../api/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import {
  DownstreamTlsContextSchema,
  UpstreamTlsContextSchema,
} from '../../api/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { pack } from '../proto-values.ts';
import { exactNames } from '../tls/san-matchers.ts';
import type { TransportSocketInit } from '../tls/tls-context.ts';

/** gRPC asks for exactly this name (gRFC A29). */
const socketName = 'envoy.transport_sockets.tls';
/** Istio's agent writes one provider, of this name, into the bootstrap. */
const provider = 'default';

/** The peer must have one of these names; any name of the mesh where there are none. */
export function clientSocket(subjectAltNames: readonly string[]): TransportSocketInit {
  const config = pack(UpstreamTlsContextSchema, { commonTlsContext: commonTlsContext(subjectAltNames) });
  return { name: socketName, configType: { case: 'typedConfig', value: config } };
}

/** Clients must show a certificate. */
export function serverSocket(): TransportSocketInit {
  const config = pack(DownstreamTlsContextSchema, {
    commonTlsContext: commonTlsContext([]),
    requireClientCertificate: true,
  });
  return { name: socketName, configType: { case: 'typedConfig', value: config } };
}

function commonTlsContext(
  subjectAltNames: readonly string[],
): MessageInitShape<typeof CommonTlsContextSchema> {
  return {
    tlsCertificateProviderInstance: { instanceName: provider, certificateName: 'default' },
    validationContextType: {
      case: 'validationContext',
      value: {
        caCertificateProviderInstance: { instanceName: provider, certificateName: 'ROOTCA' },
        // gRPC does not know the field that took this one's place.
        matchSubjectAltNames: exactNames(subjectAltNames),
      },
    },
  };
}
