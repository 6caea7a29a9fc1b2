// Responses as bytes: put together from resources that were encoded once and are shared by all streams.
import type { ResponseHead, StreamResponse } from './dialect.ts';

/**
 * A resource as field 2 (`resources`) of DiscoveryResponse: tag, length, and the Any. Responses are
 * concatenations of these (protobuf encoding, "Repeated Elements").
 */
export function encodeResourceField(typeUrl: string, value: Uint8Array): Uint8Array {
  const url = text.encode(typeUrl);
  const anyBytes = fieldSize(1, url.length) + fieldSize(2, value.length);
  const bytes = new Uint8Array(1 + varintSize(anyBytes) + anyBytes);
  let at = writeTag(bytes, 0, 2);
  at = writeVarint(bytes, at, anyBytes);
  at = writeField(bytes, at, 1, url);
  writeField(bytes, at, 2, value);
  return bytes;
}

/** The `value` of the Any in what encodeResourceField made: the message's own bytes, not copied. */
export function resourceValue(field: Uint8Array): Uint8Array {
  const [, anyAt] = readVarint(field, 1);
  const [urlBytes, urlAt] = readVarint(field, anyAt + 1);
  const [valueBytes, valueAt] = readVarint(field, urlAt + urlBytes + 1);
  return field.subarray(valueAt, valueAt + valueBytes);
}

/** One length-delimited field of any message: tag, length, bytes. Field numbers up to 15. */
export function encodeBytesField(number: number, value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(fieldSize(number, value.length));
  writeField(bytes, 0, number, value);
  return bytes;
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
  const inner = fieldSize(1, version.length) + fieldSize(3, name.length);
  const bytes = new Uint8Array(1 + varintSize(inner + fieldBytes) + inner);
  let at = writeVarint(bytes, writeTag(bytes, 0, 2), inner + fieldBytes);
  at = writeField(bytes, at, 1, version);
  writeField(bytes, at, 3, name);
  return bytes;
}

function encodeFields(fields: readonly Field[], resources: readonly Uint8Array[]): Buffer {
  let size = 0;
  for (const [number, value] of fields) size += fieldSize(number, value.length);
  for (const resource of resources) size += resource.length;
  const bytes = Buffer.allocUnsafe(size);
  let at = 0;
  for (const [number, value] of fields) at = writeField(bytes, at, number, value);
  for (const resource of resources) {
    bytes.set(resource, at);
    at += resource.length;
  }
  return bytes;
}

const text = new TextEncoder();
const lengthDelimited = 2;

/** Field numbers up to 15: their tag is one byte. */
function fieldSize(_number: number, valueBytes: number): number {
  return 1 + varintSize(valueBytes) + valueBytes;
}

function writeField(bytes: Uint8Array, at: number, number: number, value: Uint8Array): number {
  const valueAt = writeVarint(bytes, writeTag(bytes, at, number), value.length);
  bytes.set(value, valueAt);
  return valueAt + value.length;
}

function writeTag(bytes: Uint8Array, at: number, number: number): number {
  bytes[at] = number * 8 + lengthDelimited;
  return at + 1;
}

function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size++;
  return size;
}

function writeVarint(bytes: Uint8Array, start: number, value: number): number {
  let at = start;
  let rest = value;
  while (rest >= 0x80) {
    bytes[at++] = (rest % 0x80) + 0x80;
    rest = Math.floor(rest / 0x80);
  }
  bytes[at++] = rest;
  return at;
}

/** The value and where it ends. */
function readVarint(bytes: Uint8Array, start: number): readonly [number, number] {
  let value = 0;
  let scale = 1;
  for (let at = start; ; at++) {
    const byte = bytes[at] ?? 0;
    value += (byte % 0x80) * scale;
    if (byte < 0x80) return [value, at + 1];
    scale *= 0x80;
  }
}
