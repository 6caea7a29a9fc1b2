// HPACK (RFC 7541) encoded straight from a HeaderBlock.
//
// A line goes into the dynamic table when it is seen for the second time: what differs with every message
// (request ids, dates, lengths) never pushes out what repeats. Entries of the table are Huffman-coded, since they
// are paid for once; single literals are not, which is cheaper for both ends. Credentials are never
// indexed: an upstream connection is shared by many clients, and its table could be probed (RFC 7541 section 7.1).
import type { HeaderBlock, LineSink } from '../http/header-block.ts';
import { nameIdEnd, nameIds, namesById } from '../http/names.ts';
import { dynamicIndexFirst, entryOverheadBytes, staticTable } from './hpack-static.ts';
import { huffmanEncode, huffmanLength } from './huffman.ts';

/** Lines with more bytes are not worth a place in the table. */
const indexedBytesMax = 512;
const bucketCount = 256;
const bucketMask = bucketCount - 1;

/** All encoders share it: a block is encoded within one call. */
let scratch = Buffer.allocUnsafeSlow(64 * 1024);

const H = nameIds;
const staticNames: ReadonlyMap<string, number> = new Map(
  [...staticTable.entries()].toReversed().map(([index, [name]]) => [name, index + 1]),
);
const staticNameById: readonly number[] = namesById.map((name) => staticNames.get(name) ?? 0);
const staticStatus: ReadonlyMap<number, number> = new Map(
  [...staticTable.entries()]
    .filter(([, [name]]) => name === ':status')
    .map(([index, [, value]]) => [Number(value), index + 1]),
);

/** Names whose values are secrets. */
const secret = new Uint8Array(nameIdEnd);
for (const id of [H.authorization, H.cookie, H['set-cookie']]) secret[id] = 1;

export class HpackEncoder implements LineSink {
  /** Offset behind what was encoded since `start`. */
  #at = 0;
  #limit: number;
  readonly #limitMax: number;
  /** The smallest and the last limit since the last block; -1: nothing to tell. */
  #toldLeast = -1;
  #toldLast = -1;
  // Entries by sequence number, masked.
  readonly #slotMask: number;
  readonly #names: string[] = [];
  readonly #values: string[] = [];
  readonly #lines: string[] = [];
  #inserted = 0;
  #evicted = 0;
  #size = 0;
  /** Sequence number + 1 of the entry that a hash leads to; made with the first block. */
  #buckets: Int32Array | undefined;
  /** Hash of the last line that missed in a bucket. */
  #seen: Int32Array = noHashes;
  readonly #namePlaces = new Map<string, number>();
  #skipsHost = false;

  /** `tableBytesMax`: how much of the table that the peer offers is used; before its SETTINGS at most 4096. */
  constructor(tableBytesMax: number) {
    this.#limitMax = tableBytesMax;
    this.#limit = Math.min(tableBytesMax, 4096);
    if (this.#limit < 4096) this.#tell(this.#limit);
    let slots = 16;
    while (slots * entryOverheadBytes < tableBytesMax) slots *= 2;
    this.#slotMask = slots - 1;
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. */
  setPeerLimit(bytes: number): void {
    const limit = Math.min(bytes, this.#limitMax);
    if (limit === this.#limit) return;
    this.#limit = limit;
    this.#evictTo(limit);
    this.#tell(limit);
  }

  /** Begins a block. */
  start(): void {
    this.#at = 0;
    this.#buckets ??= new Int32Array(bucketCount);
    if (this.#seen === noHashes) this.#seen = new Int32Array(bucketCount);
    if (this.#toldLast < 0) return;
    if (this.#toldLeast < this.#toldLast) this.#integer(0x20, 5, this.#toldLeast);
    this.#integer(0x20, 5, this.#toldLast);
    this.#toldLeast = -1;
    this.#toldLast = -1;
  }

  status(status: number): void {
    const index = staticStatus.get(status);
    if (index !== undefined) this.#integer(0x80, 7, index);
    else this.pair(0, ':status', String(status), false);
  }

  request(method: string, scheme: string, authority: string, path: string): void {
    if (method === 'GET') this.#integer(0x80, 7, 2);
    else if (method === 'POST') this.#integer(0x80, 7, 3);
    else this.pair(0, ':method', method, false);
    this.#integer(0x80, 7, scheme === 'https' ? 7 : 6);
    this.pair(0, ':authority', authority, false);
    if (path === '/') this.#integer(0x80, 7, 4);
    else this.pair(0, ':path', path, false);
  }

  /** The lines of `headers`; without `host` where `:authority` has said it. */
  headers(headers: HeaderBlock, skipsHost: boolean): void {
    this.#skipsHost = skipsHost;
    headers.visitLines(this);
  }

  /** What was encoded since `start`: memory that all encoders share. */
  finish(): Buffer {
    return scratch.subarray(0, this.#at);
  }

  line(
    id: number,
    text: string,
    nameStart: number,
    nameEnd: number,
    valueStart: number,
    valueEnd: number,
    sensitive: boolean,
  ): void {
    if (id === H.host && this.#skipsHost) return;
    if (!sensitive && secret[id] === 0 && valueStart === nameEnd + 2) {
      const bucket = bucketOf(text, nameStart, nameEnd, valueStart, valueEnd);
      const place = this.#buckets![bucket]! - 1;
      if (place >= this.#evicted && place >= 0) {
        const line = this.#lines[place & this.#slotMask]!;
        if (line.length === valueEnd - nameStart && text.startsWith(line, nameStart)) {
          this.#integer(0x80, 7, dynamicIndexFirst + (this.#inserted - 1 - place));
          return;
        }
      }
    }
    const name = id === 0 ? text.substring(nameStart, nameEnd) : namesById[id]!;
    this.#miss(id, name, text.substring(valueStart, valueEnd), sensitive);
  }

  pair(id: number, name: string, value: string, sensitive: boolean): void {
    if (id === H.host && this.#skipsHost) return;
    if (!sensitive && secret[id] === 0) {
      const place = this.#buckets![bucketOfPair(name, value)]! - 1;
      if (place >= this.#evicted && place >= 0) {
        const slot = place & this.#slotMask;
        if (this.#values[slot] === value && this.#names[slot] === name) {
          this.#integer(0x80, 7, dynamicIndexFirst + (this.#inserted - 1 - place));
          return;
        }
      }
    }
    this.#miss(id, name, value, sensitive);
  }

  /** A line that is not in the table. */
  #miss(id: number, name: string, value: string, sensitive: boolean): void {
    this.#reserve(name.length + value.length + 32);
    const nameIndex = this.#nameIndex(id, name);
    const never = sensitive || secret[id] === 1;
    if (!never && name.length + value.length <= indexedBytesMax) {
      const bucket = bucketOfPair(name, value);
      const hash = hashOf(name, value);
      const again = this.#seen[bucket] === hash;
      this.#seen[bucket] = hash;
      const size = name.length + value.length + entryOverheadBytes;
      if ((again || nameIndex === 0) && size <= this.#limit) {
        this.#integer(0x40, 6, nameIndex);
        if (nameIndex === 0) this.#huffman(name);
        this.#huffman(value);
        this.#insert(name, value, size, bucket);
        return;
      }
    }
    this.#integer(never ? 0x10 : 0, 4, nameIndex);
    if (nameIndex === 0) this.#raw(name);
    this.#raw(value);
  }

  #nameIndex(id: number, name: string): number {
    const fixed = id === 0 ? staticNames.get(name) : staticNameById[id]!;
    if (fixed !== undefined && fixed !== 0) return fixed;
    const place = this.#namePlaces.get(name);
    return place === undefined ? 0 : dynamicIndexFirst + (this.#inserted - 1 - place);
  }

  #insert(name: string, value: string, size: number, bucket: number): void {
    this.#evictTo(this.#limit - size);
    const place = this.#inserted++;
    const slot = place & this.#slotMask;
    // Copies: a part of a text would keep the whole text alive.
    const line = ownText(`${name}: ${value}`);
    this.#names[slot] = line.substring(0, name.length);
    this.#values[slot] = line.substring(name.length + 2);
    this.#lines[slot] = line;
    this.#namePlaces.set(this.#names[slot], place);
    this.#size += size;
    this.#buckets![bucket] = place + 1;
  }

  #evictTo(size: number): void {
    while (this.#size > size && this.#evicted < this.#inserted) {
      const place = this.#evicted++;
      const slot = place & this.#slotMask;
      const name = this.#names[slot]!;
      this.#size -= this.#lines[slot]!.length - 2 + entryOverheadBytes;
      if (this.#namePlaces.get(name) === place) this.#namePlaces.delete(name);
      this.#names[slot] = '';
      this.#values[slot] = '';
      this.#lines[slot] = '';
    }
  }

  #tell(limit: number): void {
    this.#toldLeast = this.#toldLast < 0 ? limit : Math.min(this.#toldLeast, limit);
    this.#toldLast = limit;
  }

  #integer(first: number, bits: number, value: number): void {
    if (this.#at + 8 > scratch.length) this.#reserve(8);
    const mask = (1 << bits) - 1;
    if (value < mask) {
      scratch[this.#at++] = first | value;
      return;
    }
    scratch[this.#at++] = first | mask;
    let rest = value - mask;
    while (rest >= 128) {
      scratch[this.#at++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    scratch[this.#at++] = rest;
  }

  #raw(text: string): void {
    const { length } = text;
    this.#integer(0, 7, length);
    this.#at += scratch.write(text, this.#at, 'latin1');
  }

  #huffman(text: string): void {
    const length = huffmanLength(text);
    if (length >= text.length) {
      this.#raw(text);
      return;
    }
    this.#integer(0x80, 7, length);
    this.#at = huffmanEncode(text, scratch, this.#at);
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= scratch.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(scratch.length * 2, this.#at + bytes));
    larger.set(scratch.subarray(0, this.#at));
    scratch = larger;
  }
}

const noHashes = new Int32Array(0);

function ownText(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1');
}

/** As `bucketOfPair`, of a line in a text. */
function bucketOf(
  text: string,
  nameStart: number,
  nameEnd: number,
  valueStart: number,
  valueEnd: number,
): number {
  const nameLength = nameEnd - nameStart;
  const valueLength = valueEnd - valueStart;
  const last = valueLength === 0 ? 0 : text.charCodeAt(valueEnd - 1);
  return mix(nameLength, valueLength, text.charCodeAt(nameEnd - 1), last, text.charCodeAt(nameStart));
}

function bucketOfPair(name: string, value: string): number {
  const last = value.length === 0 ? 0 : value.charCodeAt(value.length - 1);
  return mix(name.length, value.length, name.charCodeAt(name.length - 1), last, name.charCodeAt(0));
}

function mix(nameLength: number, valueLength: number, a: number, b: number, c: number): number {
  const hash = nameLength * 7 + valueLength * 131 + a * 31 + b * 17 + c * 61;
  return (hash ^ (hash >>> 8)) & bucketMask;
}

function hashOf(name: string, value: string): number {
  let hash = name.length | 1;
  for (let at = 0; at < name.length; at++) hash = (Math.imul(hash, 31) + name.charCodeAt(at)) | 0;
  for (let at = 0; at < value.length; at++) hash = (Math.imul(hash, 31) + value.charCodeAt(at)) | 0;
  return hash;
}
