// DownstreamTlsContext: compiled, with its secrets as they are now.
import { fromBinary } from '@bufbuild/protobuf';
import { typeUrlOf } from '../../api/any.ts';
import type { TransportSocket } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import type { CommonTlsContext } from '../../api/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { DownstreamTlsContextSchema } from '../../api/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { ConfigError } from '../config-error.ts';
import { supportsTls } from '../io/tls.ts';
import { durationMs, refuseFields } from '../refuse-fields.ts';
import { compileCredentials } from './credentials.ts';
import type { HeldSecret, SecretManager } from './secret-manager.ts';
import { ServerContext } from './server-context.ts';
import { compileTlsParameters } from './tls-parameters.ts';
import type { SslStats } from './stats.ts';

/** A server's TLS; `current` is exchanged as a whole and counts for new connections. */
export interface DownstreamTls {
  /** Undefined until all its secrets have come. */
  readonly current: ServerContext | undefined;
  /** What its listener waits for before it serves. */
  readonly secrets: readonly HeldSecret[];
  /** Gives its secrets up. */
  dispose(): void;
}

/** Undefined if `socket` is not TLS. Throws ConfigError below `path`. */
export function compileDownstreamTls(
  socket: TransportSocket | undefined,
  path: string,
  secrets: SecretManager,
  stats: SslStats,
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
  const held: HeldSecret[] = [];
  const releaseAll = (): void => {
    for (const secret of held) secret.release();
  };
  try {
    const credentials = compileCredentials(common, commonPath, (reference, at) => {
      const secret = secrets.acquire(reference, at, () => {
        rebuild();
        stats.updateBySds.inc();
      });
      held.push(secret);
      return secret;
    });
    const fixed = {
      parameters: compileTlsParameters(common.tlsParams, `${commonPath}.tls_params`),
      protocols: protocolsOf(common, commonPath),
      requireClientCertificate: config.requireClientCertificate ?? false,
      requireSni: config.requireSni ?? false,
      tickets: !(
        config.sessionTicketKeysType.case === 'disableStatelessSessionResumption' &&
        config.sessionTicketKeysType.value
      ),
      sessionTimeoutSeconds:
        config.sessionTimeout === undefined
          ? undefined
          : Math.floor(durationMs(config.sessionTimeout, 0) / 1000),
    };
    const tls = {
      current: undefined as ServerContext | undefined,
      secrets: held,
      dispose: releaseAll,
    };
    const rebuild = (): void => {
      const now = credentials();
      if (now === undefined) return;
      if (now.keyPairs.length === 0)
        throw new ConfigError(
          `${commonPath}.tls_certificates`,
          'No TLS certificates found for server context',
        );
      tls.current = new ServerContext({ ...fixed, ...now }, commonPath);
    };
    rebuild();
    return tls;
  } catch (error) {
    releaseAll();
    throw error;
  }
}

function protocolsOf(common: CommonTlsContext, path: string): readonly string[] {
  const bad = common.alpnProtocols.find((name) => name === '' || Buffer.byteLength(name) > 255);
  if (bad !== undefined) throw new ConfigError(`${path}.alpn_protocols`, 'Invalid ALPN protocol string');
  return common.alpnProtocols;
}
