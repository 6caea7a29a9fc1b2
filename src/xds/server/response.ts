// Responses as bytes: put together from resources that were encoded once and are shared by all streams.
import {
  Fields,
  bytesFieldSize,
  encodeBytesField,
  writeBytesField,
  writeBytesHead,
} from '../../api/wire-format.ts';
import type { ResponseHead, StreamResponse } from './dialect.ts';

const text = new TextEncoder();

/**
 * A resource as field 2 (`resources`) of DiscoveryResponse: tag, length, and the Any. Responses are
 * concatenations of these (protobuf encoding, "Repeated Elements"). `parts` are the message's bytes, one after the
 * other.
 */
export function encodeResourceField(typeUrl: string, ...parts: readonly Uint8Array[]): Uint8Array {
  const url = text.encode(typeUrl);
  const valueBytes = parts.reduce((sum, part) => sum + part.length, 0);
  const anyBytes = bytesFieldSize(url.length) + bytesFieldSize(valueBytes);
  const bytes = new Uint8Array(bytesFieldSize(anyBytes));
  let at = writeBytesHead(bytes, 0, 2, anyBytes);
  at = writeBytesField(bytes, at, 1, url);
  at = writeBytesHead(bytes, at, 2, valueBytes);
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** The `value` of the Any in what encodeResourceField made: the message's own bytes, not copied. */
export function resourceValue(field: Uint8Array): Uint8Array {
  const any = new Fields(field);
  any.next();
  const within = new Fields(field, any.start, any.end);
  while (within.next()) if (within.number === 2) return field.subarray(within.start, within.end);
  return field.subarray(0, 0);
}

/** One DiscoveryResponse. The resources' bytes are copied once, into the buffer that goes to the socket. */
export function encodeResponse(head: ResponseHead, resources: readonly Uint8Array[]): Buffer {
  return encodeFields([...headFields(head), [6, controlPlaneBytes(head)]], resources);
}

/**
 * One DeltaDiscoveryResponse. `Resource.resource` has the number that `DiscoveryResponse.resources` has, so the
 * shared bytes stand in it as they are, after name and version, and are copied once here too.
 */
export function encodeDeltaResponse(head: ResponseHead, response: StreamResponse): Buffer {
  const parts: Uint8Array[] = [];
  for (const { name, version, field } of response.resources) {
    parts.push(encodeResourceHead(text.encode(version), text.encode(name), field.length), field);
  }
  const removed = response.removed.map((name): Field => [6, text.encode(name)]);
  return encodeFields([...headFields(head), ...removed, [7, controlPlaneBytes(head)]], parts);
}

type Field = readonly [number: number, bytes: Uint8Array];

/** Both responses have these under the same numbers. */
function headFields({ versionInfo, typeUrl, nonce }: ResponseHead): readonly Field[] {
  return [
    [1, text.encode(versionInfo)],
    [4, text.encode(typeUrl)],
    [5, text.encode(nonce)],
  ];
}

function controlPlaneBytes({ controlPlane }: ResponseHead): Uint8Array {
  return encodeBytesField(1, text.encode(controlPlane));
}

/** Tag and length of a Resource, its version (1) and name (3); its `resource` (2) is to follow. */
function encodeResourceHead(version: Uint8Array, name: Uint8Array, fieldBytes: number): Uint8Array {
  const inner = bytesFieldSize(version.length) + bytesFieldSize(name.length);
  const bytes = new Uint8Array(bytesFieldSize(inner + fieldBytes) - fieldBytes);
  let at = writeBytesHead(bytes, 0, 2, inner + fieldBytes);
  at = writeBytesField(bytes, at, 1, version);
  writeBytesField(bytes, at, 3, name);
  return bytes;
}

function encodeFields(fields: readonly Field[], resources: readonly Uint8Array[]): Buffer {
  let size = 0;
  for (const [, value] of fields) size += bytesFieldSize(value.length);
  for (const resource of resources) size += resource.length;
  const bytes = Buffer.allocUnsafe(size);
  let at = 0;
  for (const [number, value] of fields) at = writeBytesField(bytes, at, number, value);
  for (const resource of resources) {
    bytes.set(resource, at);
    at += resource.length;
  }
  return bytes;
}
