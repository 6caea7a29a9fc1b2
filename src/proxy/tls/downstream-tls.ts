// DownstreamTlsContext: compiled, with its secrets as they are now.
import { fromBinary } from '@bufbuild/protobuf';
import { typeUrlOf } from '../../api/any.ts';
import type { TransportSocket } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import type { CommonTlsContext } from '../../api/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import {
  CommonTlsContextSchema,
  DownstreamTlsContextSchema,
} from '../../api/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { ConfigError } from '../config-error.ts';
import { supportsTls } from '../io/tls.ts';
import { durationMs, refuseFields } from '../refuse-fields.ts';
import { compileKeyPair } from './key-pair.ts';
import { ServerContext } from './server-context.ts';
import { compileTlsParameters } from './tls-parameters.ts';
import type { Validation } from './validation.ts';
import { compileValidation } from './validation.ts';

/** A server's TLS; `current` is exchanged as a whole and counts for new connections. */
export interface DownstreamTls {
  readonly current: ServerContext | undefined;
}

/** Undefined if `socket` is not TLS. Throws ConfigError below `path`. */
export function compileDownstreamTls(
  socket: TransportSocket | undefined,
  path: string,
): DownstreamTls | undefined {
  if (socket?.configType.case !== 'typedConfig') return undefined;
  const { typeUrl, value } = socket.configType.value;
  if (typeUrl !== typeUrlOf(DownstreamTlsContextSchema)) return undefined;
  const typedPath = `${path}.typed_config`;
  if (!supportsTls()) throw new ConfigError(path, 'this Node offers no TLS over handles');
  const config = fromBinary(DownstreamTlsContextSchema, value);
  refuseFields(
    DownstreamTlsContextSchema,
    config,
    typedPath,
    new Set([
      'common_tls_context',
      'require_client_certificate',
      'require_sni',
      'disable_stateless_session_resumption',
      'disable_stateful_session_resumption',
      'session_timeout',
    ]),
  );
  const common = config.commonTlsContext;
  const commonPath = `${typedPath}.common_tls_context`;
  if (common === undefined) throw new ConfigError(commonPath, 'is required');
  const validation = commonValidation(common, commonPath);
  const requireClientCertificate = config.requireClientCertificate ?? false;
  if (common.tlsCertificates.length === 0)
    throw new ConfigError(`${commonPath}.tls_certificates`, 'No TLS certificates found for server context');
  const current = new ServerContext(
    {
      parameters: compileTlsParameters(common.tlsParams, `${commonPath}.tls_params`),
      keyPairs: common.tlsCertificates.map((certificate, index) =>
        compileKeyPair(certificate, `${commonPath}.tls_certificates[${index}]`),
      ),
      validation,
      protocols: protocolsOf(common, commonPath),
      requireClientCertificate,
      requireSni: config.requireSni ?? false,
      tickets: !(
        config.sessionTicketKeysType.case === 'disableStatelessSessionResumption' &&
        config.sessionTicketKeysType.value
      ),
      sessionTimeoutSeconds:
        config.sessionTimeout === undefined
          ? undefined
          : Math.floor(durationMs(config.sessionTimeout, 0) / 1000),
    },
    commonPath,
  );
  return { current };
}

function commonValidation(common: CommonTlsContext, path: string): Validation | undefined {
  refuseFields(
    CommonTlsContextSchema,
    common,
    path,
    new Set(['tls_params', 'tls_certificates', 'validation_context', 'alpn_protocols']),
  );
  const { case: kind, value } = common.validationContextType;
  return kind === 'validationContext' ? compileValidation(value, `${path}.validation_context`) : undefined;
}

function protocolsOf(common: CommonTlsContext, path: string): readonly string[] {
  const bad = common.alpnProtocols.find((name) => name === '' || Buffer.byteLength(name) > 255);
  if (bad !== undefined) throw new ConfigError(`${path}.alpn_protocols`, 'Invalid ALPN protocol string');
  return common.alpnProtocols;
}
