// HPACK (RFC 7541) decoded straight into a HeaderBlock: one flat latin1 text with a table of offsets, as the
// HTTP/1.1 parser leaves it, so that routing, mutation and logging are the same for both
// (docs/decisions/0016). `:authority` becomes the `host` line; the other pseudo headers stand in fields.
//
// All limits count what was decoded, cookie crumbs included (CVE-2026-47774), and are checked while decoding.
import type { HeaderBlock } from '../http/header-block.ts';
import { headBytesMax } from '../http/header-limits.ts';
import { hashStep, internName, nameIds } from '../http/names.ts';
import { DecoderTable, staticEntries } from './decoder-table.ts';
import { pseudo, pseudoKind, regularNameByte, valueByte } from './field-rules.ts';
import { dynamicIndexFirst } from './hpack-static.ts';
import { huffmanDecode } from './huffman.ts';

/**
 * malformed: the block was decoded, but is no HTTP message (RFC 9113 section 8.1.1). too-large: above a limit; the
 * dynamic table is in step all the same. compression-error: the connection cannot go on.
 */
export type HpackResult = 'ok' | 'malformed' | 'too-large' | 'compression-error';

/** What a header block is for: pseudo headers are checked accordingly. */
export type BlockKind = 'request' | 'response' | 'trailers';

/** The bounds of one decoded header block. */
export interface HeaderLimits {
  /** Bytes of names and values. At most `headBytesMax`. */
  readonly bytesMax: number;
  /** Fields, pseudo headers among them. At most `headersMax`. */
  readonly linesMax: number;
}

/** Header blocks that are larger than this before they are decoded are not looked at. */
export const encodedBytesMax = 2 * headBytesMax;

/** The largest dynamic table that can be configured. */
export const tableBytesLimit = 64 * 1024;

const H = nameIds;
const CR = 13;
const LF = 10;
const COLON = 58;
const SP = 32;
const HTAB = 9;

// What is decoded, and behind it one literal that may be too large: all of an encoded block at most, which grows by 8/5.
const scratchBytes = headBytesMax + Math.ceil(encodedBytesMax * 1.6) + tableBytesLimit + 1024;
const scratch = Buffer.allocUnsafeSlow(scratchBytes);
/** Cookie crumbs, joined: bounded by the same limit. */
const cookieScratch = Buffer.allocUnsafeSlow(headBytesMax + 1024);

export class HpackDecoder {
  // The pseudo headers of the last block; undefined: not there.
  method: string | undefined = undefined;
  path: string | undefined = undefined;
  authority: string | undefined = undefined;
  scheme: string | undefined = undefined;
  protocol: string | undefined = undefined;
  /** 0: not there. */
  status = 0;
  /** -1: not there. */
  contentLength = -1;
  readonly #table: DecoderTable;
  #block!: HeaderBlock;
  #limits!: HeaderLimits;
  /** Offset in the encoded bytes. */
  #at = 0;
  /** Offset in `scratch` behind the last line. */
  #out = 0;
  #cookieEnd = 0;
  #listBytes = 0;
  #malformed = false;
  #tooLarge = false;
  #regularSeen = false;
  /** Fields, pseudo headers among them, as Envoy counts them: crumbs are one cookie. */
  #fieldCount = 0;
  #badText = false;

  /** `tableBytesMax`: what SETTINGS_HEADER_TABLE_SIZE told the peer. */
  constructor(tableBytesMax: number) {
    this.#table = new DecoderTable(tableBytesMax);
  }

  /** Decodes `bytes[start, end)`, at most `encodedBytesMax`, into `block`. */
  decode(
    bytes: Uint8Array,
    start: number,
    end: number,
    block: HeaderBlock,
    kind: BlockKind,
    limits: HeaderLimits,
  ): HpackResult {
    block.clear();
    this.#block = block;
    this.#limits = limits;
    this.method = undefined;
    this.path = undefined;
    this.authority = undefined;
    this.scheme = undefined;
    this.protocol = undefined;
    this.status = 0;
    this.contentLength = -1;
    this.#at = start;
    this.#out = 0;
    this.#cookieEnd = 0;
    this.#listBytes = 0;
    this.#malformed = false;
    this.#tooLarge = false;
    this.#regularSeen = kind === 'trailers';
    this.#fieldCount = 0;
    if (!this.#fields(bytes, end)) return 'compression-error';
    if (this.#tooLarge) return 'too-large';
    if (this.#cookieEnd > 0) this.#pushCookie();
    block.text = scratch.toString('latin1', 0, this.#out);
    if (this.#malformed || !this.#isComplete(kind)) return 'malformed';
    return 'ok';
  }

  #fields(bytes: Uint8Array, end: number): boolean {
    let updatesAllowed = true;
    while (this.#at < end) {
      const byte = bytes[this.#at]!;
      if ((byte & 0x80) !== 0) {
        const index = this.#integer(bytes, end, 7);
        if (index <= 0 || !this.#indexed(index)) return false;
        updatesAllowed = false;
      } else if ((byte & 0xe0) === 0x20) {
        // Only before the first field (RFC 7541 section 4.2).
        const size = this.#integer(bytes, end, 5);
        if (!updatesAllowed || size < 0 || !this.#table.resize(size)) return false;
      } else {
        const indexing = (byte & 0x40) !== 0;
        if (!this.#literal(bytes, end, indexing, !indexing && (byte & 0x10) !== 0)) return false;
        updatesAllowed = false;
      }
    }
    return true;
  }

  #indexed(index: number): boolean {
    const table = index < dynamicIndexFirst ? staticEntries : this.#table;
    const slot = table.slotOf(index);
    if (slot < 0) return false;
    const kind = table.kinds[slot]!;
    const nameLength = table.nameLengths[slot]!;
    const valueLength = table.valueLengths[slot]!;
    if (!this.#counts(kind, nameLength + valueLength)) return true;
    if (table.bad[slot] === 1) this.#malformed = true;
    else if (kind < 0) this.#pseudo(kind, table.values[slot]!);
    else {
      table.copyLine(slot, scratch, this.#out);
      this.#regular(kind, nameLength, valueLength, false);
    }
    return true;
  }

  #literal(bytes: Uint8Array, end: number, indexing: boolean, sensitive: boolean): boolean {
    const start = this.#out;
    const nameIndex = this.#integer(bytes, end, indexing ? 6 : 4);
    if (nameIndex < 0) return false;
    let kind: number;
    let bad = false;
    let nameEnd: number;
    if (nameIndex > 0) {
      const table = nameIndex < dynamicIndexFirst ? staticEntries : this.#table;
      const slot = table.slotOf(nameIndex);
      if (slot < 0) return false;
      kind = table.kinds[slot]!;
      nameEnd = start + table.nameLengths[slot]!;
      table.copyName(slot, scratch, start);
      bad = table.badNames[slot] === 1;
    } else {
      nameEnd = this.#text(bytes, end, start, regularNameByte);
      if (nameEnd < 0) return false;
      kind = this.#kindOf(start, nameEnd);
      // A pseudo header's colon is no byte of a name.
      bad = kind >= 0 ? this.#badText || nameEnd === start : kind === pseudo.unknown;
    }
    const badName = bad;
    scratch[nameEnd] = COLON;
    scratch[nameEnd + 1] = SP;
    const valueStart = nameEnd + 2;
    const valueEnd = this.#text(bytes, end, valueStart, valueByte);
    if (valueEnd < 0) return false;
    if (this.#badText) bad = true;
    scratch[valueEnd] = CR;
    scratch[valueEnd + 1] = LF;
    const nameLength = nameEnd - start;
    const valueLength = valueEnd - valueStart;
    const value = kind < 0 ? scratch.toString('latin1', valueStart, valueEnd) : undefined;
    if (indexing) this.#table.insert(kind, scratch, start, nameLength, valueLength, badName, bad, value);
    if (!this.#counts(kind, nameLength + valueLength)) return true;
    if (bad) this.#malformed = true;
    else if (value !== undefined) this.#pseudo(kind, value);
    else this.#regular(kind, nameLength, valueLength, sensitive);
    return true;
  }

  /** Whether a field still fits the limits. */
  #counts(kind: number, bytes: number): boolean {
    this.#listBytes += bytes;
    if (kind !== H.cookie || this.#cookieEnd === 0) this.#fieldCount++;
    if (this.#listBytes > this.#limits.bytesMax || this.#fieldCount > this.#limits.linesMax)
      this.#tooLarge = true;
    return !this.#tooLarge;
  }

  /** An integer with a prefix of `bits` (RFC 7541 section 5.1); -1: it does not end, or is above 2^28. */
  #integer(bytes: Uint8Array, end: number, bits: number): number {
    const mask = (1 << bits) - 1;
    let value = bytes[this.#at++]! & mask;
    if (value < mask) return value;
    for (let shift = 0; shift <= 21; shift += 7) {
      if (this.#at >= end) return -1;
      const byte = bytes[this.#at++]!;
      value += (byte & 0x7f) << shift;
      if ((byte & 0x80) === 0) return value;
    }
    return -1;
  }

  /** A string to `scratch[out...]`; returns the offset behind it, -1 on error. Bytes that `allowed` lacks set #badText. */
  #text(bytes: Uint8Array, end: number, out: number, allowed: Uint8Array): number {
    this.#badText = false;
    if (this.#at >= end) return -1;
    const huffman = (bytes[this.#at]! & 0x80) !== 0;
    const length = this.#integer(bytes, end, 7);
    const from = this.#at;
    if (length < 0 || length > end - from) return -1;
    const to = from + length;
    this.#at = to;
    let good = 1;
    if (!huffman) {
      let target = out;
      for (let index = from; index < to; index++) {
        const byte = bytes[index]!;
        good &= allowed[byte]!;
        scratch[target++] = byte;
      }
      this.#badText = good === 0;
      return target;
    }
    const textEnd = huffmanDecode(bytes, from, to, scratch, out);
    for (let index = out; index < textEnd; index++) good &= allowed[scratch[index]!]!;
    this.#badText = good === 0;
    return textEnd;
  }

  #kindOf(start: number, end: number): number {
    if (scratch[start] === COLON) return pseudoKind(scratch.toString('latin1', start, end));
    let hash = 0;
    for (let at = start; at < end; at++) hash = hashStep(hash, scratch[at]!);
    return internName(scratch, start, end, hash);
  }

  #pseudo(kind: number, value: string): void {
    // Behind a regular field, or in trailers.
    if (this.#regularSeen) {
      this.#malformed = true;
      return;
    }
    switch (kind) {
      case pseudo.method:
        if (this.method !== undefined) this.#malformed = true;
        this.method = value;
        return;
      case pseudo.path:
        if (this.path !== undefined) this.#malformed = true;
        this.path = value;
        return;
      case pseudo.scheme:
        if (this.scheme !== undefined) this.#malformed = true;
        this.scheme = value;
        return;
      case pseudo.authority:
        if (this.authority !== undefined) this.#malformed = true;
        this.authority = value;
        this.#pushHost(value);
        return;
      case pseudo.protocol:
        if (this.protocol !== undefined) this.#malformed = true;
        this.protocol = value;
        return;
      case pseudo.status:
        if (this.status !== 0 || !/^[1-9]\d\d$/.test(value)) this.#malformed = true;
        this.status = Number(value) || 0;
        return;
      default:
        this.#malformed = true;
    }
  }

  #pushHost(value: string): void {
    const start = this.#out;
    const end = start + 6 + value.length;
    scratch.write('host: ', start, 'latin1');
    scratch.write(value, start + 6, 'latin1');
    scratch[end] = CR;
    scratch[end + 1] = LF;
    this.#push(H.host, start, start + 4, start + 6, end, true);
    this.#out = end + 2;
  }

  /** A line that stands at `scratch[#out...]`. */
  #regular(kind: number, nameLength: number, valueLength: number, sensitive: boolean): void {
    this.#regularSeen = true;
    const start = this.#out;
    const nameEnd = start + nameLength;
    let valueStart = nameEnd + 2;
    let valueEnd = valueStart + valueLength;
    const lineEnd = valueEnd + 2;
    // As for HTTP/1.1, blanks around a value are no part of it.
    while (valueEnd > valueStart && isBlank(scratch[valueEnd - 1]!)) valueEnd--;
    while (valueStart < valueEnd && isBlank(scratch[valueStart]!)) valueStart++;
    if (kind !== 0 && !this.#knownField(kind, valueStart, valueEnd)) return;
    if (sensitive) this.#block.markSensitive();
    this.#push(kind, start, nameEnd, valueStart, valueEnd, valueEnd - valueStart === valueLength);
    this.#out = lineEnd;
  }

  #push(
    kind: number,
    nameStart: number,
    nameEnd: number,
    valueStart: number,
    valueEnd: number,
    regular: boolean,
  ): void {
    if (!this.#block.push(kind, nameStart, nameEnd, valueStart, valueEnd, regular)) this.#tooLarge = true;
  }

  /** Names that mean something to the framing. False: no line of its own, or malformed. */
  #knownField(id: number, valueStart: number, valueEnd: number): boolean {
    switch (id) {
      case H.connection:
      case H['keep-alive']:
      case H['proxy-connection']:
      case H['transfer-encoding']:
      case H.upgrade:
        // Connection-specific (RFC 9113 section 8.2.2): a way to smuggle into HTTP/1.1.
        this.#malformed = true;
        return false;
      case H.te:
        if (scratch.toString('latin1', valueStart, valueEnd).toLowerCase() === 'trailers') return true;
        this.#malformed = true;
        return false;
      case H.host: {
        const host = scratch.toString('latin1', valueStart, valueEnd);
        if (this.authority === undefined && !this.#block.seen(id)) {
          this.authority = host;
          return true;
        }
        // Said twice: harmless if it is the same; two hosts are two readings of one request (traps row 3).
        if (host !== this.authority) this.#malformed = true;
        return false;
      }
      case H['content-length']: {
        const length = decimal(valueStart, valueEnd);
        if (length < 0 || this.contentLength >= 0) this.#malformed = true;
        this.contentLength = length;
        return !this.#malformed;
      }
      case H.cookie:
        this.#crumb(valueStart, valueEnd);
        return false;
      default:
        return true;
    }
  }

  /** Crumbs become one cookie line (RFC 9113 section 8.2.3), within the limit that holds for all lines. */
  #crumb(valueStart: number, valueEnd: number): void {
    let at = this.#cookieEnd;
    if (at > 0) {
      if (!this.#counts(H.cookie, 2)) return;
      cookieScratch[at++] = 59;
      cookieScratch[at++] = SP;
    } else at = cookieLineStart;
    for (let index = valueStart; index < valueEnd; index++) cookieScratch[at++] = scratch[index]!;
    this.#cookieEnd = at;
  }

  #pushCookie(): void {
    const start = this.#out;
    const end = start + this.#cookieEnd;
    scratch.set(cookieScratch.subarray(0, this.#cookieEnd), start);
    scratch[end] = CR;
    scratch[end + 1] = LF;
    this.#push(H.cookie, start, start + 6, start + cookieLineStart, end, true);
    this.#out = end + 2;
  }

  #isComplete(kind: BlockKind): boolean {
    if (kind === 'trailers') return true;
    const { method, path, scheme, authority, status } = this;
    if (kind === 'response')
      return (
        status !== 0 &&
        method === undefined &&
        path === undefined &&
        scheme === undefined &&
        authority === undefined
      );
    if (status !== 0 || method === undefined) return false;
    // CONNECT has neither scheme nor path, unless it is extended (RFC 8441).
    if (method === 'CONNECT' && this.protocol === undefined)
      return authority !== undefined && path === undefined && scheme === undefined;
    return path !== undefined && path !== '' && scheme !== undefined;
  }
}

cookieScratch.write('cookie: ', 0, 'latin1');
const cookieLineStart = 8;

function isBlank(byte: number): boolean {
  return byte === SP || byte === HTAB;
}

/** The decimal number in `scratch[start, end)`; -1 if it is none, or above 2^53. */
function decimal(start: number, end: number): number {
  if (end === start || end - start > 15) return -1;
  let value = 0;
  for (let at = start; at < end; at++) {
    const digit = scratch[at]! - 48;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}
