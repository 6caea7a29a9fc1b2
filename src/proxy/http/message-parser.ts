// The head of an HTTP/1.1 message: one strict pass over its bytes (RFC 9112), lower-casing names in place.
//
// Refused: bare LF, obs-fold, space before the colon, control characters and NUL, empty names, more than
// 100 headers, a second Host, Content-Length or Transfer-Encoding, Content-Length beside
// Transfer-Encoding, any transfer coding but a single `chunked` (traps rows 3, 5, 7).
import type { HeaderBlock } from './header-block.ts';
import { headBytesMax } from './header-limits.ts';
import { internName, nameIds } from './names.ts';

/** What is wrong with a message; the text is the end of Envoy's `http1.*` response code detail. */
export type HeadError =
  | 'codec_error'
  | 'invalid_characters'
  | 'invalid_url'
  | 'headers_too_large'
  | 'too_many_headers'
  | 'content_length_and_chunked_not_allowed'
  | 'invalid_transfer_encoding'
  | 'duplicate_header'
  | 'invalid_content_length'
  | 'unexpected_underscore';

/** The head is complete and ends before the byte `end`; 'partial': more bytes are needed. */
export type HeadResult = 'complete' | 'partial' | 'error';

/** How the body that follows is framed. */
export type BodyFraming = 'none' | 'length' | 'chunked' | 'until-close';

/** Lower-cased byte of a header name (RFC 9110 token), 0 for bytes that a name cannot hold. */
const nameByte = new Uint8Array(256);
for (const byte of Buffer.from("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz", 'latin1'))
  nameByte[byte] = byte;
for (let byte = 65; byte <= 90; byte++) nameByte[byte] = byte + 32;

/** 1 for bytes that a header value may hold: HTAB, SP to ~, and obs-text. */
const valueByte = new Uint8Array(256);
for (let byte = 0x20; byte < 256; byte++) valueByte[byte] = 1;
valueByte[0x7f] = 0;
valueByte[9] = 1;

/** 1 for the bytes of a request target: visible ASCII. */
const targetByte = new Uint8Array(256);
for (let byte = 0x21; byte < 0x7f; byte++) targetByte[byte] = 1;

const CR = 13;
const LF = 10;
const SP = 32;
const HTAB = 9;
const COLON = 58;

const H = nameIds;

/** Parses heads into a HeaderBlock; one for each connection side. The results stand in its fields. */
export class HeadParser {
  readonly block: HeaderBlock;
  error: HeadError = 'codec_error';
  /** After 'complete': the offset behind the head. */
  end = 0;
  /** 0 or 1 of HTTP/1.x. */
  minorVersion = 1;
  /** Requests only. */
  method = '';
  /** Requests only: the target as it was sent. */
  target = '';
  /** Responses only. */
  status = 0;
  chunked = false;
  /** -1: no Content-Length. */
  contentLength = -1;

  constructor(block: HeaderBlock) {
    this.block = block;
  }

  /** Of requests. */
  get protocol(): 'HTTP/1.0' | 'HTTP/1.1' {
    return this.minorVersion === 0 ? 'HTTP/1.0' : 'HTTP/1.1';
  }

  /** Parses the request head that starts at `buffer[start]`; bytes from `limit` on are not looked at. */
  request(buffer: Buffer, start: number, limit: number): HeadResult {
    let at = start;
    // Up to some empty lines may precede a request (RFC 9112 section 2.2).
    while (at < limit && buffer[at] === CR) {
      if (at + 1 >= limit) return 'partial';
      if (buffer[at + 1] !== LF || at - start > 8) return this.#fail('codec_error');
      at += 2;
    }
    const methodStart = at;
    while (at < limit && nameByte[buffer[at]!] !== 0) at++;
    if (at >= limit) return at - methodStart > 32 ? this.#fail('codec_error') : 'partial';
    if (buffer[at] !== SP || at === methodStart) return this.#fail('codec_error');
    const methodEnd = at++;
    const targetStart = at;
    while (at < limit && targetByte[buffer[at]!] === 1) at++;
    if (at >= limit) return this.#partial(start, limit);
    if (buffer[at] !== SP || at === targetStart) return this.#fail('invalid_url');
    const targetEnd = at++;
    if (limit - at < 10) return this.#checkPartialVersion(buffer, at, limit);
    if (!this.#version(buffer, at)) return this.#fail('codec_error');
    if (buffer[at + 8] !== CR || buffer[at + 9] !== LF) return this.#fail('codec_error');
    const result = this.#headers(buffer, start, at + 10, limit);
    if (result !== 'complete') return result;
    const { text } = this.block;
    const method = methodOf(buffer, methodStart, methodEnd);
    if (method === undefined) return this.#fail('codec_error');
    this.method = method;
    this.target = text.substring(targetStart - start, targetEnd - start);
    return 'complete';
  }

  /** Parses the response head that starts at `buffer[start]`. */
  response(buffer: Buffer, start: number, limit: number): HeadResult {
    if (limit - start < 13) return 'partial';
    if (!this.#version(buffer, start) || buffer[start + 8] !== SP) return this.#fail('codec_error');
    const hundreds = buffer[start + 9]! - 48;
    const tens = buffer[start + 10]! - 48;
    const ones = buffer[start + 11]! - 48;
    if (hundreds < 1 || hundreds > 9 || tens < 0 || tens > 9 || ones < 0 || ones > 9)
      return this.#fail('codec_error');
    this.status = hundreds * 100 + tens * 10 + ones;
    let at = start + 12;
    if (buffer[at] !== SP && buffer[at] !== CR) return this.#fail('codec_error');
    while (at < limit && valueByte[buffer[at]!] === 1) at++;
    if (at + 1 >= limit) return this.#partial(start, limit);
    if (buffer[at] !== CR || buffer[at + 1] !== LF) return this.#fail('codec_error');
    return this.#headers(buffer, start, at + 2, limit);
  }

  /** Parses trailers (header lines and the empty line) that start at `buffer[start]`. */
  trailers(buffer: Buffer, start: number, limit: number): HeadResult {
    return this.#headers(buffer, start, start, limit);
  }

  #headers(buffer: Buffer, start: number, first: number, limit: number): HeadResult {
    const { block } = this;
    block.clear();
    this.chunked = false;
    this.contentLength = -1;
    let at = first;
    for (;;) {
      if (at >= limit) return this.#partial(start, limit);
      if (buffer[at] === CR) {
        if (at + 1 >= limit) return this.#partial(start, limit);
        if (buffer[at + 1] !== LF) return this.#fail('codec_error');
        at += 2;
        break;
      }
      const nameStart = at;
      let hash = 0;
      for (;;) {
        if (at >= limit) return this.#partial(start, limit);
        const byte = buffer[at]!;
        const lower = nameByte[byte]!;
        if (lower === 0) break;
        if (lower !== byte) buffer[at] = lower;
        // hashStep, written out: this is the innermost loop of the proxy.
        hash = (Math.imul(hash, 31) + lower) | 0;
        at++;
      }
      // Anything but a colon here is obs-fold, a space before the colon, or a byte that no name holds.
      if (buffer[at] !== COLON || at === nameStart) return this.#fail('invalid_characters');
      const nameEnd = at++;
      while (at < limit && (buffer[at] === SP || buffer[at] === HTAB)) at++;
      const valueStart = at;
      while (at < limit && valueByte[buffer[at]!] === 1) at++;
      if (at + 1 >= limit) return this.#partial(start, limit);
      if (buffer[at] !== CR || buffer[at + 1] !== LF) return this.#fail('invalid_characters');
      let valueEnd = at;
      while (valueEnd > valueStart && (buffer[valueEnd - 1] === SP || buffer[valueEnd - 1] === HTAB))
        valueEnd--;
      const id = internName(buffer, nameStart, nameEnd, hash);
      const regular = valueEnd === at && valueStart === nameEnd + 2 && buffer[nameEnd + 1] === SP;
      if (id !== 0 && id <= H['transfer-encoding'] && !this.#framing(buffer, id, valueStart, valueEnd))
        return 'error';
      if (!block.push(id, nameStart - start, nameEnd - start, valueStart - start, valueEnd - start, regular))
        return this.#fail('too_many_headers');
      at += 2;
    }
    if (at - start > headBytesMax) return this.#fail('headers_too_large');
    block.text = buffer.toString('latin1', start, at);
    this.end = at;
    return 'complete';
  }

  /** The names that decide where a message ends: host, connection, content-length, transfer-encoding. */
  #framing(buffer: Buffer, id: number, valueStart: number, valueEnd: number): boolean {
    if (id === H.connection) return true;
    if (this.block.seen(id)) {
      this.#fail('duplicate_header');
      return false;
    }
    if (id === H['content-length']) {
      const length = decimal(buffer, valueStart, valueEnd);
      if (length < 0) {
        this.#fail('invalid_content_length');
        return false;
      }
      this.contentLength = length;
    } else if (id === H['transfer-encoding']) {
      if (!isChunked(buffer, valueStart, valueEnd)) {
        this.#fail('invalid_transfer_encoding');
        return false;
      }
      this.chunked = true;
    }
    if (this.chunked && this.contentLength >= 0) {
      this.#fail('content_length_and_chunked_not_allowed');
      return false;
    }
    return true;
  }

  #version(buffer: Buffer, at: number): boolean {
    // "HTTP/1."
    if (
      buffer[at] !== 72 ||
      buffer[at + 1] !== 84 ||
      buffer[at + 2] !== 84 ||
      buffer[at + 3] !== 80 ||
      buffer[at + 4] !== 47 ||
      buffer[at + 5] !== 49 ||
      buffer[at + 6] !== 46
    )
      return false;
    const minor = buffer[at + 7]! - 48;
    if (minor !== 0 && minor !== 1) return false;
    this.minorVersion = minor;
    return true;
  }

  #checkPartialVersion(buffer: Buffer, at: number, limit: number): HeadResult {
    const expected = 'HTTP/1.';
    for (let index = 0; index < expected.length && at + index < limit; index++) {
      if (buffer[at + index] !== expected.charCodeAt(index)) return this.#fail('codec_error');
    }
    return 'partial';
  }

  #partial(start: number, limit: number): HeadResult {
    return limit - start > headBytesMax ? this.#fail('headers_too_large') : 'partial';
  }

  #fail(error: HeadError): 'error' {
    this.error = error;
    return 'error';
  }
}

const methods: readonly string[] = (
  'GET POST PUT HEAD DELETE OPTIONS PATCH CONNECT TRACE COPY LOCK MKCOL MOVE PROPFIND PROPPATCH SEARCH ' +
  'UNLOCK BIND REBIND UNBIND ACL REPORT MKACTIVITY CHECKOUT MERGE M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE ' +
  'PURGE MKCALENDAR LINK UNLINK SOURCE'
).split(' ');

/** Envoy's HTTP/1 codec accepts these methods and no others, in upper case. */
function methodOf(buffer: Buffer, start: number, end: number): string | undefined {
  const length = end - start;
  for (const method of methods) {
    if (method.length !== length) continue;
    let at = 0;
    while (at < length && buffer[start + at] === method.charCodeAt(at)) at++;
    if (at === length) return method;
  }
  return undefined;
}

/** The decimal number in `buffer[start, end)`; -1 if it is none, or above 2^53. */
function decimal(buffer: Buffer, start: number, end: number): number {
  if (end === start || end - start > 15) return -1;
  let value = 0;
  for (let at = start; at < end; at++) {
    const digit = buffer[at]! - 48;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}

function isChunked(buffer: Buffer, start: number, end: number): boolean {
  const expected = 'chunked';
  if (end - start !== expected.length) return false;
  for (let at = 0; at < expected.length; at++) {
    if ((buffer[start + at]! | 0x20) !== expected.charCodeAt(at)) return false;
  }
  return true;
}
