// The headers of replies that are made here, for plain and for gRPC clients (inventory D4.10, D4.11).
import type { HeaderBlock } from './header-block.ts';
import { nameIds } from './names.ts';

/** Whether the content type is application/grpc, alone or with a suffix. */
export function isGrpcRequest(headers: HeaderBlock): boolean {
  const type = headers.known(nameIds['content-type']);
  if (type === undefined || !type.startsWith('application/grpc')) return false;
  return type.length === 16 || type.charCodeAt(16) === 43;
}

/** Length and type of a text body; headers that are set already win. */
export function describeBody(headers: HeaderBlock, body: string): void {
  if (body === '') return;
  headers.add('content-length', String(body.length));
  if (!headers.has(nameIds['content-type'])) headers.add('content-type', 'text/plain');
}

/** A gRPC client gets status 200, and what happened in grpc-status and grpc-message. */
export function describeForGrpc(headers: HeaderBlock, status: number, body: string): void {
  if (!headers.has(nameIds['content-type'])) headers.add('content-type', 'application/grpc');
  if (!headers.has(nameIds['grpc-status'])) headers.add('grpc-status', String(grpcStatusOf(status)));
  if (body !== '') headers.add('grpc-message', grpcMessage(body));
}

/**
 * HTTP status -> gRPC status, as Envoy's Grpc::Utility::httpToGrpcStatus
 * (https://github.com/grpc/grpc/blob/v1.66.0/doc/http-grpc-status-mapping.md).
 */
function grpcStatusOf(status: number): number {
  switch (status) {
    case 400:
      return 13;
    case 401:
      return 16;
    case 403:
      return 7;
    case 404:
      return 12;
    case 429:
    case 502:
    case 503:
    case 504:
      return 14;
    default:
      return 2;
  }
}

/** Percent-encoded as grpc-message requires. */
function grpcMessage(text: string): string {
  return text.replaceAll(
    /[^ -$&-~]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  );
}
