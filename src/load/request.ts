// Requests of both dialects as bytes.
import { MessageWriter } from '../api/wire-format.ts';
import type { NameList } from './names.ts';

export interface SotwRequest {
  readonly typeUrl: string;
  readonly version: string;
  readonly nonce: string;
  readonly names: NameList;
  /** An encoded Node, in the first request of a stream. */
  readonly node?: Uint8Array | undefined;
  /** Of a NACK. */
  readonly error?: string | undefined;
}

/** google.rpc.Code.INTERNAL: what Envoy sends in every NACK. */
const nackCode = 13;

export function sotwRequest({ typeUrl, version, nonce, names, node, error }: SotwRequest): Buffer {
  const writer = new MessageWriter().text(1, version);
  if (node !== undefined) writer.bytes(2, node);
  writer.encoded(names.encoded).text(4, typeUrl).text(5, nonce);
  if (error !== undefined) writer.bytes(6, status(error));
  return writer.finish();
}

export interface DeltaRequest {
  readonly typeUrl: string;
  readonly nonce: string;
  readonly subscribe?: Iterable<string>;
  readonly unsubscribe?: Iterable<string>;
  /** What it has from an earlier stream: name -> version. */
  readonly initialVersions?: ReadonlyMap<string, string> | undefined;
  readonly node?: Uint8Array | undefined;
  readonly error?: string | undefined;
}

export function deltaRequest(request: DeltaRequest): Buffer {
  const writer = new MessageWriter();
  if (request.node !== undefined) writer.bytes(1, request.node);
  writer.text(2, request.typeUrl);
  for (const name of request.subscribe ?? []) writer.bytes(3, Buffer.from(name));
  for (const name of request.unsubscribe ?? []) writer.bytes(4, Buffer.from(name));
  for (const [name, version] of request.initialVersions ?? [])
    writer.bytes(5, new MessageWriter().text(1, name).text(2, version).finish());
  writer.text(6, request.nonce);
  if (request.error !== undefined) writer.bytes(7, status(request.error));
  return writer.finish();
}

function status(message: string): Uint8Array {
  return new MessageWriter().varint(1, nackCode).text(2, message).finish();
}
