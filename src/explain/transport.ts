// TLS on both ends of a connection: what a cluster speaks to an endpoint, and what a filter chain asks for.
import type { JsonObject } from '@bufbuild/protobuf';
import { unpackAs } from '../api/any.ts';
import type { Cluster } from '../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import type { Metadata, TransportSocket } from '../api/gen/envoy/config/core/v3/base_pb.js';
import type { CommonTlsContext } from '../api/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import {
  DownstreamTlsContextSchema,
  UpstreamTlsContextSchema,
} from '../api/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';

/** What one side says in its ClientHello. */
export interface ClientTls {
  readonly sni: string;
  readonly alpn: readonly string[];
}

export interface Transport {
  /** `plain text`, `mutual TLS of the mesh (SNI ...)`. */
  readonly text: string;
  /** Undefined for plain text. */
  readonly tls: ClientTls | undefined;
}

export const plainText: Transport = { text: 'plain text', tls: undefined };

const matchNamespace = 'envoy.transport_socket_match';
/** Istio's name of the certificate that the mesh gives to each workload. */
const workloadSecret = 'default';

/** The first entry of transport_socket_matches that the endpoint's metadata satisfies, else the cluster's own socket. */
export function upstreamTransport(cluster: Cluster, metadata: Metadata | undefined): Transport {
  const labels = metadata?.filterMetadata[matchNamespace] ?? {};
  const chosen = cluster.transportSocketMatches.find((entry) => covers(entry.match ?? {}, labels));
  const socket = chosen === undefined ? cluster.transportSocket : chosen.transportSocket;
  const any = anyOf(socket);
  const context = unpackAs(any, UpstreamTlsContextSchema);
  if (context === undefined) {
    if (socket === undefined || isRaw(socket)) return plainText;
    return { text: `transport socket ${socket.name}`, tls: undefined };
  }
  const kind = certificateKind(context.commonTlsContext);
  const { sni } = context;
  const names = verifiedNames(context.commonTlsContext);
  const parts = [sni === '' ? '' : `SNI ${sni}`, names === '' ? '' : `peer must be ${names}`];
  const detail = parts.filter((part) => part !== '').join('; ');
  return {
    text: detail === '' ? kind : `${kind} (${detail})`,
    tls: { sni, alpn: context.commonTlsContext?.alpnProtocols ?? [] },
  };
}

/** What the chain does with TLS. `ends`: the request inside is seen. */
export function downstreamTransport(socket: TransportSocket | undefined): {
  readonly text: string;
  readonly ends: boolean;
} {
  const context = unpackAs(anyOf(socket), DownstreamTlsContextSchema);
  if (context === undefined) return { text: 'takes bytes as they are', ends: false };
  const asks = context.requireClientCertificate === true;
  const common = context.commonTlsContext;
  const names = secretNames(common);
  if (names.includes(workloadSecret))
    return { text: asks ? 'mutual TLS of the mesh' : 'TLS of the mesh', ends: true };
  const which = names.length === 0 ? '' : ` with certificate ${names.join(', ')}`;
  return { text: `${asks ? 'mutual TLS' : 'TLS'}${which}`, ends: true };
}

function certificateKind(common: CommonTlsContext | undefined): string {
  const names = secretNames(common);
  if (names.includes(workloadSecret)) return 'mutual TLS of the mesh';
  const own = names.length > 0 || (common?.tlsCertificates.length ?? 0) > 0;
  return own ? 'mutual TLS' : 'TLS';
}

function secretNames(common: CommonTlsContext | undefined): readonly string[] {
  return (common?.tlsCertificateSdsSecretConfigs ?? []).map(({ name }) => name);
}

/** The subject alternative names that the peer must show one of. */
function verifiedNames(common: CommonTlsContext | undefined): string {
  const type = common?.validationContextType;
  const context =
    type?.case === 'combinedValidationContext'
      ? type.value.defaultValidationContext
      : type?.case === 'validationContext'
        ? type.value
        : undefined;
  const matchers = [
    ...(context?.matchTypedSubjectAltNames ?? []).map(({ matcher }) => matcher),
    ...(context?.matchSubjectAltNames ?? []),
  ];
  const names = matchers.flatMap((matcher) =>
    matcher?.matchPattern.case === 'exact' ? [matcher.matchPattern.value] : [],
  );
  return [...new Set(names)].join(' or ');
}

function anyOf(socket: TransportSocket | undefined) {
  return socket?.configType.case === 'typedConfig' ? socket.configType.value : undefined;
}

function isRaw(socket: TransportSocket): boolean {
  return socket.name.endsWith('raw_buffer') || (anyOf(socket)?.typeUrl.endsWith('RawBuffer') ?? false);
}

/** Every key of the criteria stands in the metadata with an equal value. */
function covers(criteria: JsonObject, labels: JsonObject): boolean {
  return Object.entries(criteria).every(
    ([key, value]) => JSON.stringify(labels[key]) === JSON.stringify(value),
  );
}
