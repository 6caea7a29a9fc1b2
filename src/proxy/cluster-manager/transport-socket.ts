// Which transport socket an endpoint gets. Only raw_buffer is built: what needs TLS is refused by name,
// but a cluster whose matches lead an endpoint to raw_buffer works.
import type { JsonObject } from '@bufbuild/protobuf';
import type { Cluster } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import type { Metadata, TransportSocket } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import { ConfigError } from '../config-error.ts';

const rawBufferType = 'type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer';
const matchNamespace = 'envoy.transport_socket_match';

/** Throws ConfigError, naming the field, when endpoints with this metadata would need more than raw_buffer. */
export type TransportSocketCheck = (metadata: Metadata | undefined, path: string) => void;

/** Throws ConfigError when no endpoint at all could be reached without TLS. */
export function compileTransportSockets(cluster: Cluster): TransportSocketCheck {
  const matches = cluster.transportSocketMatches.map((match, index) => ({
    criteria: match.match ?? {},
    raw: isRawBuffer(match.transportSocket),
    path: `transport_socket_matches[${index}] (${match.name})`,
  }));
  const defaultIsRaw = isRawBuffer(cluster.transportSocket);
  const first = matches[0];
  if (!defaultIsRaw && !matches.some((match) => match.raw)) {
    throw new ConfigError(
      'transport_socket',
      `${typeOf(cluster.transportSocket)} is not supported; use raw_buffer`,
    );
  }
  if (first !== undefined && !matches.some((match) => match.raw) && isEmpty(first.criteria)) {
    throw new ConfigError(
      'transport_socket_matches[0]',
      'only raw_buffer is supported, and this entry takes every endpoint',
    );
  }
  return (metadata, path) => {
    const labels = metadata?.filterMetadata[matchNamespace] ?? {};
    const chosen = matches.find((match) => covers(match.criteria, labels));
    if (chosen?.raw ?? defaultIsRaw) return;
    throw new ConfigError(
      `${path}.metadata`,
      `selects ${chosen?.path ?? 'transport_socket'}, which is not raw_buffer: not supported by this proxy`,
    );
  };
}

/** Whether `socket` is raw_buffer, said or by default. */
export function isRawBuffer(socket: TransportSocket | undefined): boolean {
  if (socket === undefined) return true;
  if (socket.configType.case === 'typedConfig') return socket.configType.value.typeUrl === rawBufferType;
  return socket.name === 'envoy.transport_sockets.raw_buffer';
}

function typeOf(socket: TransportSocket | undefined): string {
  if (socket?.configType.case === 'typedConfig') return socket.configType.value.typeUrl;
  return socket?.name ?? '';
}

function isEmpty(criteria: JsonObject): boolean {
  return Object.keys(criteria).length === 0;
}

/** Envoy matches when every key of the criteria stands in the metadata with an equal value. */
function covers(criteria: JsonObject, labels: JsonObject): boolean {
  return Object.entries(criteria).every(
    ([key, value]) => JSON.stringify(labels[key]) === JSON.stringify(value),
  );
}
