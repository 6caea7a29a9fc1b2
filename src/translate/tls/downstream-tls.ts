// TLS towards downstreams: ServerTLSSettings of Gateways and Sidecars, and mesh mutual TLS of workloads.
import type { Message, MessageInitShape } from '@bufbuild/protobuf';
import {
  CertificateValidationContext_TrustChainVerification,
  TlsParameters_TlsProtocol,
} from '../../api/gen/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import { DownstreamTlsContextSchema } from '../../api/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import type { GatewaySpec } from '../../api/gen/istio-types.js';
import type { TlsDefaults } from '../../config/mesh-config.ts';
import { usableCipherSuites, workloadCipherSuites } from './cipher-suites.ts';
import { exactNames, namesOfTrustDomains } from './san-matchers.ts';
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
import { alpn, combinedValidation, revocationList, tlsSocket, tlsVersions } from './tls-context.ts';

export type ServerTls = NonNullable<NonNullable<GatewaySpec['servers']>[number]['tls']> & {
  /** In Istio's API since 1.27; older CRDs do not have it. */
  readonly insecureSkipVerify?: boolean | undefined;
  readonly ecdhCurves?: readonly string[] | undefined;
};

export interface ServerTlsOptions {
  /** What the listener carries within TLS: decides the ALPN list of ISTIO_MUTUAL. */
  readonly isTcp: boolean;
  /** MeshConfig.tlsDefaults. */
  readonly defaults?: TlsDefaults | undefined;
  /** HTTP/3: Envoy cannot require a client's certificate there yet. */
  readonly isQuic?: boolean;
}

export interface WorkloadTlsOptions {
  /** TCP chains also exchange who is there; HTTP chains agree on h2 or http/1.1. */
  readonly isTcp: boolean;
  /**
   * The mesh's trust domain and its aliases, where clients of those alone are let in. Empty: whoever the mesh's
   * root has signed.
   */
  readonly trustDomains: readonly string[];
  /** MeshConfig.meshMTLS. */
  readonly meshMtls?: TlsDefaults | undefined;
}

type Context = Exclude<MessageInitShape<typeof DownstreamTlsContextSchema>, Message>;

/**
 * TLS of a server of mode SIMPLE, MUTUAL, OPTIONAL_MUTUAL or ISTIO_MUTUAL; undefined for PASSTHROUGH and
 * AUTO_PASSTHROUGH, which terminate nothing. Source: Istio `BuildListenerTLSContext`.
 */
export function serverTlsSocket(tls: ServerTls, options: ServerTlsOptions): TransportSocketInit | undefined {
  const context = serverTlsContext(tls, options);
  return context === undefined ? undefined : tlsSocket(DownstreamTlsContextSchema, context);
}

/** The same without its socket: QUIC has one of its own. */
function serverTlsContext(tls: ServerTls, options: ServerTlsOptions): Context | undefined {
  const mode = tls.mode ?? 'PASSTHROUGH';
  if (mode === 'PASSTHROUGH' || mode === 'AUTO_PASSTHROUGH') return undefined;
  const isIstio = mode === 'ISTIO_MUTUAL';
  const isStrict = mode === 'MUTUAL' || isIstio;
  const asksClients = isStrict || mode === 'OPTIONAL_MUTUAL';
  const hasCredential = (tls.credentialName ?? '') !== '' || (tls.credentialNames ?? []).length > 0;
  const common = isIstio
    ? meshCertificates(tls)
    : hasCredential
      ? fromCredentials(tls, asksClients)
      : fromFiles(tls, asksClients);
  const tlsParams = isIstio ? undefined : serverParameters(tls, options.defaults);
  return {
    commonTlsContext: {
      ...common,
      alpnProtocols: [
        ...(options.isQuic === true ? alpn.http3 : isIstio && options.isTcp ? alpn.tcp : alpn.http),
      ],
      ...(tlsParams === undefined ? {} : { tlsParams }),
    },
    requireClientCertificate: isStrict && options.isQuic !== true,
  };
}

/** The sidecar's side of mesh mutual TLS: its certificate from SDS, the client's required. Source: Istio `BuildInboundTLS`. */
export function workloadTlsSocket(options: WorkloadTlsOptions): TransportSocketInit {
  const { cipherSuites = [], minProtocolVersion } = options.meshMtls ?? {};
  return tlsSocket(DownstreamTlsContextSchema, {
    commonTlsContext: {
      alpnProtocols: [...(options.isTcp ? alpn.tcp : alpn.http)],
      tlsParams: {
        cipherSuites: [...(cipherSuites.length === 0 ? workloadCipherSuites : cipherSuites)],
        tlsMinimumProtocolVersion:
          minProtocolVersion === 'TLSV1_3'
            ? TlsParameters_TlsProtocol.TLSv1_3
            : TlsParameters_TlsProtocol.TLSv1_2,
        tlsMaximumProtocolVersion: TlsParameters_TlsProtocol.TLSv1_3,
      },
      tlsCertificateSdsSecretConfigs: [agentSecret(workloadSecret)],
      validationContextType: combinedValidation(
        { matchSubjectAltNames: namesOfTrustDomains(options.trustDomains) },
        agentSecret(rootSecret),
      ),
    },
    requireClientCertificate: true,
  });
}

/** ISTIO_MUTUAL of a Gateway or Sidecar: the workload's own certificate. */
function meshCertificates(tls: ServerTls): CommonTls {
  return {
    tlsCertificateSdsSecretConfigs: [agentSecret(workloadSecret)],
    validationContextType: combinedValidation(fileValidation(tls), agentSecret(rootSecret)),
  };
}

/** One credential, or several (RSA and ECDSA) of which the first one's CA counts. */
function fromCredentials(tls: ServerTls, asksClients: boolean): CommonTls {
  const several = tls.credentialNames ?? [];
  const names = several.length > 0 ? several : [tls.credentialName ?? ''];
  const { caCertCredentialName = '', subjectAltNames = [] } = tls;
  const matchSubjectAltNames = exactNames(subjectAltNames);
  const certificates = { tlsCertificateSdsSecretConfigs: names.map(credentialSecret) };
  if (asksClients)
    return {
      ...certificates,
      validationContextType: combinedValidation(
        {
          matchSubjectAltNames,
          verifyCertificateSpki: [...(tls.verifyCertificateSpki ?? [])],
          verifyCertificateHash: [...(tls.verifyCertificateHash ?? [])],
          ...trustOf(tls),
        },
        caCertCredentialName === '' ? credentialRoot(names[0] ?? '') : credentialSecret(caCertCredentialName),
      ),
    };
  if (subjectAltNames.length === 0) return certificates;
  return {
    ...certificates,
    validationContextType: { case: 'validationContext', value: { matchSubjectAltNames } },
  };
}

/** Files of the pod; where none are named, the workload's own certificate. */
function fromFiles(tls: ServerTls, asksClients: boolean): CommonTls {
  const several = tls.tlsCertificates ?? [];
  const certificates = (several.length > 0 ? several : [tls]).map(
    ({ serverCertificate = '', privateKey = '' }) =>
      serverCertificate === '' || privateKey === ''
        ? agentSecret(workloadSecret)
        : fileCertificate(serverCertificate, privateKey),
  );
  const { caCertificates = '' } = tls;
  return {
    tlsCertificateSdsSecretConfigs: certificates,
    ...(asksClients
      ? {
          validationContextType: combinedValidation(
            fileValidation(tls),
            caCertificates === '' ? agentSecret(rootSecret) : fileRoot(caCertificates),
          ),
        }
      : {}),
  };
}

function fileValidation(tls: ServerTls) {
  return {
    matchSubjectAltNames: exactNames(tls.subjectAltNames ?? []),
    ...revocationList(tls.caCrl),
    ...trustOf(tls),
  };
}

function trustOf(tls: ServerTls) {
  return tls.insecureSkipVerify === true
    ? { trustChainVerification: CertificateValidationContext_TrustChainVerification.ACCEPT_UNTRUSTED }
    : {};
}

/** The mesh's defaults under what the server itself says; undefined where neither says anything. */
function serverParameters(tls: ServerTls, defaults: TlsDefaults | undefined): TlsParametersInit | undefined {
  const suites = usableCipherSuites(tls.cipherSuites ?? []);
  const cipherSuites = suites.length > 0 ? suites : (defaults?.cipherSuites ?? []);
  const curves = tls.ecdhCurves ?? [];
  const ecdhCurves = curves.length > 0 ? curves : (defaults?.ecdhCurves ?? []);
  const { minProtocolVersion: minimum = 'TLS_AUTO', maxProtocolVersion: maximum = 'TLS_AUTO' } = tls;
  const least = minimum === 'TLS_AUTO' ? leastVersion(defaults) : tlsVersions[minimum];
  const most = tlsVersions[maximum];
  const isAuto = [least, most].every((version) => version === TlsParameters_TlsProtocol.TLS_AUTO);
  if (cipherSuites.length === 0 && ecdhCurves.length === 0 && isAuto) return undefined;
  return {
    cipherSuites: [...cipherSuites],
    ecdhCurves: [...ecdhCurves],
    tlsMinimumProtocolVersion: least,
    tlsMaximumProtocolVersion: most,
  };
}

/** The mesh's least version is 1.2 unless it says 1.3. */
function leastVersion(defaults: TlsDefaults | undefined): TlsParameters_TlsProtocol {
  const version = defaults?.minProtocolVersion ?? 'TLS_AUTO';
  if (version === 'TLS_AUTO') return TlsParameters_TlsProtocol.TLS_AUTO;
  return version === 'TLSV1_3' ? TlsParameters_TlsProtocol.TLSv1_3 : TlsParameters_TlsProtocol.TLSv1_2;
}
