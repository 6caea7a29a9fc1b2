// TLS towards upstreams: DestinationRule's ClientTLSSettings, and mesh mutual TLS.
import type { MessageInitShape } from '@bufbuild/protobuf';
import { TlsParameters_TlsProtocol } from '../../api/gen/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import { UpstreamTlsContextSchema } from '../../api/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import type { TlsDefaults } from '../../config/mesh-config.ts';
import type { TrafficPolicy } from '../destination-rule.ts';
import { exactNames } from './san-matchers.ts';
import {
  agentSecret,
  credentialRoot,
  credentialSecret,
  fileCertificate,
  fileRoot,
  rootSecret,
  workloadSecret,
} from './sds.ts';
import type { CommonTls, TlsParametersInit, TransportSocketInit } from './tls-context.ts';
import { alpn, combinedValidation, revocationList, tlsSocket } from './tls-context.ts';

export type ClientTls = NonNullable<TrafficPolicy['tls']>;

/** Mesh mutual TLS to one cluster. */
export interface MutualTls {
  /** Empty: none is sent. */
  readonly sni: string;
  /** The names that the upstream may have; empty: any that the mesh's root has signed. */
  readonly subjectAltNames: readonly string[];
  readonly speaksHttp2: boolean;
}

export interface ClientTlsOptions {
  readonly speaksHttp2: boolean;
  /** MeshConfig.tlsDefaults. */
  readonly defaults?: TlsDefaults | undefined;
}

/** The workload's own certificate, checked against the mesh's root. Source: Istio `buildUpstreamClusterTLSContext`. */
export function mutualTlsSocket(input: MutualTls): TransportSocketInit {
  return tlsSocket(UpstreamTlsContextSchema, {
    commonTlsContext: {
      tlsParams: clientParameters(undefined),
      tlsCertificateSdsSecretConfigs: [agentSecret(workloadSecret)],
      validationContextType: combinedValidation(
        { matchSubjectAltNames: exactNames(input.subjectAltNames) },
        agentSecret(rootSecret),
      ),
      alpnProtocols: [...(input.speaksHttp2 ? alpn.meshHttp2 : alpn.mesh)],
    },
    ...(input.sni === '' ? {} : { sni: input.sni }),
  });
}

/**
 * TLS of mode SIMPLE or MUTUAL; undefined for MUTUAL without certificate. `tls.subjectAltNames` are taken as they
 * stand. Source: Istio `constructUpstreamTLS`.
 */
export function clientTlsSocket(tls: ClientTls, options: ClientTlsOptions): TransportSocketInit | undefined {
  const common = (tls.credentialName ?? '') === '' ? fromFiles(tls) : fromCredential(tls);
  if (common === undefined) return undefined;
  const context: MessageInitShape<typeof UpstreamTlsContextSchema> = {
    commonTlsContext: {
      ...common,
      tlsParams: clientParameters(options.defaults),
      ...(options.speaksHttp2 ? { alpnProtocols: [...alpn.http2Only] } : {}),
    },
    ...((tls.sni ?? '') === '' ? {} : { sni: tls.sni ?? '' }),
  };
  return tlsSocket(UpstreamTlsContextSchema, context);
}

/** Envoy's own maximum for clients is 1.2. */
function clientParameters(defaults: TlsDefaults | undefined): TlsParametersInit {
  return {
    tlsMinimumProtocolVersion: TlsParameters_TlsProtocol.TLSv1_2,
    tlsMaximumProtocolVersion: TlsParameters_TlsProtocol.TLSv1_3,
    cipherSuites: [...(defaults?.cipherSuites ?? [])],
    ecdhCurves: [...(defaults?.ecdhCurves ?? [])],
  };
}

function fromCredential(tls: ClientTls): CommonTls {
  const name = tls.credentialName ?? '';
  return {
    ...(tls.mode === 'MUTUAL' ? { tlsCertificateSdsSecretConfigs: [credentialSecret(name)] } : {}),
    ...(tls.insecureSkipVerify === true
      ? {}
      : {
          validationContextType: combinedValidation(
            { matchSubjectAltNames: exactNames(tls.subjectAltNames ?? []) },
            credentialRoot(name),
          ),
        }),
  };
}

function fromFiles(tls: ClientTls): CommonTls | undefined {
  const { clientCertificate = '', privateKey = '', caCertificates = '' } = tls;
  const isMutual = tls.mode === 'MUTUAL';
  if (isMutual && (clientCertificate === '' || privateKey === '')) return undefined;
  return {
    ...(isMutual ? { tlsCertificateSdsSecretConfigs: [fileCertificate(clientCertificate, privateKey)] } : {}),
    validationContextType:
      tls.insecureSkipVerify === true
        ? { case: 'validationContext', value: {} }
        : combinedValidation(
            {
              matchSubjectAltNames: exactNames(tls.subjectAltNames ?? []),
              ...revocationList(tls.caCrl),
            },
            // Without a CA of its own the upstream is checked as a browser would.
            fileRoot(caCertificates === '' ? 'system' : caCertificates),
          ),
  };
}
