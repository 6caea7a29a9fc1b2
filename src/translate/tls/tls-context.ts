// What upstream and downstream TLS contexts share: versions, ciphers, ALPN lists, validation, the socket's name.
import type { DescMessage, Message, MessageInitShape } from '@bufbuild/protobuf';
import type { TransportSocketSchema } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import type {
  CertificateValidationContextSchema,
  TlsParametersSchema,
} from '../../api/gen/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import { TlsParameters_TlsProtocol } from '../../api/gen/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import type { SdsSecretConfigSchema } from '../../api/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import type { CommonTlsContextSchema } from '../../api/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { RawBufferSchema } from '../../api/gen/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer_pb.js';
import { pack } from '../proto-values.ts';

/** Plain data, to be spread or created. */
export type CommonTls = Exclude<MessageInitShape<typeof CommonTlsContextSchema>, Message>;
export type TransportSocketInit = Exclude<MessageInitShape<typeof TransportSocketSchema>, Message>;
export type TlsParametersInit = Exclude<MessageInitShape<typeof TlsParametersSchema>, Message>;

/**
 * ALPN lists. `istio` tells a mesh client's connection from others; with `istio-peer-exchange` both sides
 * also say who they are on a TCP connection. Source: Istio `pilot/pkg/networking/util`.
 */
export const alpn = {
  /** Clients within the mesh, and those whose cluster is HTTP/2. */
  mesh: ['istio-peer-exchange', 'istio'],
  meshHttp2: ['istio-peer-exchange', 'istio', 'h2'],
  /** Servers: `istio` is absent, so that the protocol within is agreed on. */
  http: ['h2', 'http/1.1'],
  tcp: ['istio-peer-exchange', 'h2', 'http/1.1'],
  http2Only: ['h2'],
  http3: ['h3'],
} as const;

/** The names of TLS versions in Istio's API. */
export type TlsVersion = 'TLS_AUTO' | 'TLSV1_0' | 'TLSV1_1' | 'TLSV1_2' | 'TLSV1_3';

export const tlsVersions: Readonly<Record<TlsVersion, TlsParameters_TlsProtocol>> = {
  TLS_AUTO: TlsParameters_TlsProtocol.TLS_AUTO,
  TLSV1_0: TlsParameters_TlsProtocol.TLSv1_0,
  TLSV1_1: TlsParameters_TlsProtocol.TLSv1_1,
  TLSV1_2: TlsParameters_TlsProtocol.TLSv1_2,
  TLSV1_3: TlsParameters_TlsProtocol.TLSv1_3,
};

/** Certificates are checked against a secret, and by what is written here. */
export function combinedValidation(
  defaultValidationContext: MessageInitShape<typeof CertificateValidationContextSchema>,
  validationContextSdsSecretConfig: MessageInitShape<typeof SdsSecretConfigSchema>,
): NonNullable<CommonTls['validationContextType']> {
  return {
    case: 'combinedValidationContext',
    value: { defaultValidationContext, validationContextSdsSecretConfig },
  };
}

/** Revoked certificates, in a file of the pod; nothing where no file is named. */
export function revocationList(
  path: string | undefined,
): MessageInitShape<typeof CertificateValidationContextSchema> {
  if (path === undefined || path === '') return {};
  return { crl: { specifier: { case: 'filename', value: path } } };
}

export function tlsSocket<Desc extends DescMessage>(
  schema: Desc,
  context: MessageInitShape<Desc>,
): TransportSocketInit {
  return {
    name: 'envoy.transport_sockets.tls',
    configType: { case: 'typedConfig', value: pack(schema, context) },
  };
}

/** No TLS at all, said in so many words. */
export function rawBufferSocket(): TransportSocketInit {
  return {
    name: 'envoy.transport_sockets.raw_buffer',
    configType: { case: 'typedConfig', value: pack(RawBufferSchema, {}) },
  };
}
