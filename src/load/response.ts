// What a played proxy wants to know of a response, in both dialects, without decoding its resources.
import { Fields, textAt } from '../api/wire-format.ts';

/** One resource of a response; the bytes of its message lie between `start` and `end` of the response. */
export interface SeenResource {
  /** From the `Resource` around it; empty where there is none: the name stands in the resource. */
  readonly name: string;
  readonly version: string;
  readonly start: number;
  readonly end: number;
}

export interface SeenResponse {
  readonly typeUrl: string;
  readonly nonce: string;
  /** State of the world: `version_info`; delta: `system_version_info`. */
  readonly version: string;
  readonly bytes: Uint8Array;
  /** Places of the resources in `bytes`, start and end by turns: Anys in one dialect, Resources in the other. */
  readonly places: readonly number[];
  /** Delta alone. */
  readonly removed: readonly string[];
}

/** A DiscoveryResponse. Throws MalformedMessage. */
export function readSotwResponse(bytes: Uint8Array): SeenResponse {
  return readResponse(bytes, 0);
}

/** A DeltaDiscoveryResponse. Throws MalformedMessage. */
export function readDeltaResponse(bytes: Uint8Array): SeenResponse {
  return readResponse(bytes, 6);
}

/** Both messages number version, resources, type and nonce alike. `removedField` 0: there is none. */
function readResponse(bytes: Uint8Array, removedField: number): SeenResponse {
  let typeUrl = '';
  let nonce = '';
  let version = '';
  const places: number[] = [];
  const removed: string[] = [];
  const fields = new Fields(bytes);
  while (fields.next()) {
    const { number, start, end } = fields;
    if (number === 2) places.push(start, end);
    else if (number === 1) version = textAt(bytes, start, end);
    else if (number === 4) typeUrl = textAt(bytes, start, end);
    else if (number === 5) nonce = textAt(bytes, start, end);
    else if (number === removedField) removed.push(textAt(bytes, start, end));
  }
  return { typeUrl, nonce, version, bytes, places, removed };
}

const resourceUrl = Buffer.from('type.googleapis.com/envoy.service.discovery.v3.Resource');

/** The Any at a place; a `Resource` in it (servers may wrap) is looked into. */
export function resourceInAny(bytes: Uint8Array, start: number, end: number): SeenResource {
  let urlStart = 0;
  let urlEnd = 0;
  let valueStart = start;
  let valueEnd = start;
  const fields = new Fields(bytes, start, end);
  while (fields.next()) {
    if (fields.number === 1) [urlStart, urlEnd] = [fields.start, fields.end];
    else if (fields.number === 2) [valueStart, valueEnd] = [fields.start, fields.end];
  }
  if (urlEnd - urlStart === resourceUrl.length && resourceUrl.equals(bytes.subarray(urlStart, urlEnd)))
    return resourceInWrapper(bytes, valueStart, valueEnd);
  return { name: '', version: '', start: valueStart, end: valueEnd };
}

/** The `Resource` at a place. */
export function resourceInWrapper(bytes: Uint8Array, start: number, end: number): SeenResource {
  let name = '';
  let version = '';
  let valueStart = start;
  let valueEnd = start;
  const fields = new Fields(bytes, start, end);
  while (fields.next()) {
    if (fields.number === 1) version = textAt(bytes, fields.start, fields.end);
    else if (fields.number === 3) name = textAt(bytes, fields.start, fields.end);
    else if (fields.number === 2) {
      const inner = resourceInAny(bytes, fields.start, fields.end);
      [valueStart, valueEnd] = [inner.start, inner.end];
    }
  }
  return { name, version, start: valueStart, end: valueEnd };
}
