// Bytes to frames: what one end of an HTTP/2 connection reads.
//
// Here stands what can be said of a frame without its stream: size, identifier, padding, order. Every way in which a
// peer could make it hold more ends in GOAWAY: kept are part of one frame, and of one header block.
import type { HeaderBlock } from '../http/header-block.ts';
import type { CodecStats } from './codec-stats.ts';
import { FloodGuard } from './flood-guard.ts';
import { errorCodes, frameFlags, frameHeaderBytes, framePayloadMax, frameTypes } from './frames.ts';
import { encodedBytesMax } from './hpack-decoder.ts';
import type { Http2Options } from './options.ts';
import type { Http2Stream } from './stream.ts';

const T = frameTypes;
const F = frameFlags;
const E = errorCodes;

/**
 * preface: bytes of the client's preface are awaited. settings: SETTINGS must be the first frame. open: frames.
 * closing: the last GOAWAY is out, what comes is discarded. closed: the wire is gone.
 */
type State = 'preface' | 'settings' | 'open' | 'closing' | 'closed';

export abstract class FrameReader {
  readonly options: Http2Options;
  readonly codec: CodecStats;
  protected readonly guard: FloodGuard;
  protected state: State;
  /** Part of a frame's header, or of a frame other than DATA. */
  #pending: Buffer | undefined;
  // The DATA frame that is being read.
  #dataStream: Http2Stream | undefined;
  #dataBytes = 0;
  #paddingBytes = 0;
  #dataEnds = false;
  #inData = false;
  // The header block that is being read.
  #headersId = 0;
  #headersEnd = false;
  #fragments: Buffer | undefined;
  #fragmentBytes = 0;

  constructor(options: Http2Options, codec: CodecStats, isServer: boolean) {
    this.options = options;
    this.codec = codec;
    this.guard = new FloodGuard(options, codec);
    this.state = isServer ? 'preface' : 'settings';
  }

  /** What comes is discarded. */
  protected get isOver(): boolean {
    return this.state === 'closing' || this.state === 'closed';
  }

  /** The first bytes of the connection; returns the offset behind them, -1: more are needed. */
  protected abstract takePreface(buffer: Buffer, at: number, limit: number): number;
  /**
   * A DATA frame has begun: `frameBytes` count against the windows, `payloadBytes` of them are the message's. Returns
   * the stream that they go to, undefined if nobody wants them.
   */
  protected abstract onDataFrame(
    id: number,
    frameBytes: number,
    payloadBytes: number,
  ): Http2Stream | undefined;
  /** `bytes` were consumed; the sender may send as many more. Without a stream for the connection alone. */
  abstract giveBack(stream: Http2Stream | undefined, bytes: number): void;
  /** The peer's END_STREAM. */
  protected abstract endRemote(stream: Http2Stream, trailers: HeaderBlock | undefined): void;
  /** HEADERS that open a stream here, or answer one; or trailers. The block stands in `bytes[start, end)`. */
  protected abstract onHeaderBlock(
    streamId: number,
    bytes: Buffer,
    start: number,
    end: number,
    endStream: boolean,
  ): void;
  /** A header block has begun and is not complete; or it is, after that. */
  protected abstract onHeadersPending(pending: boolean): void;
  protected abstract onRstStream(id: number, code: number): void;
  /** Whole entries of SETTINGS, six bytes each. */
  protected abstract onSettingsFrame(buffer: Buffer, start: number, end: number): void;
  /** Eight bytes that are to be sent back. */
  protected abstract onPing(buffer: Buffer, start: number, end: number): void;
  protected abstract onPingAck(): void;
  protected abstract onGoaway(lastStreamId: number, code: number): void;
  protected abstract onWindowUpdate(id: number, increment: number): void;
  /** A connection error (RFC 9113 section 5.4.1): nothing is read any more. */
  protected abstract fail(code: number, details: string): void;

  /** Reads all frames that are there. */
  protected read(buffer: Buffer, length: number): void {
    const pending = this.#pending;
    let data = buffer;
    let limit = length;
    if (pending !== undefined) {
      this.#pending = undefined;
      data = Buffer.concat([pending, buffer.subarray(0, length)]);
      limit = data.length;
    }
    const rest = this.#parse(data, limit);
    if (rest < limit && !this.isOver) this.#pending = Buffer.from(data.subarray(rest, limit));
  }

  /** Forgets what is incomplete. */
  protected dropPartial(): void {
    this.#pending = undefined;
    this.#fragments = undefined;
  }

  /** Returns the offset of what could not be consumed. */
  #parse(buffer: Buffer, limit: number): number {
    let at = 0;
    while (at < limit) {
      if (this.isOver) return limit;
      if (this.state === 'preface') {
        const next = this.takePreface(buffer, at, limit);
        if (next < 0) return at;
        at = next;
        continue;
      }
      if (this.#inData) {
        at = this.#dataPayload(buffer, at, limit);
        continue;
      }
      if (limit - at < frameHeaderBytes) return at;
      const length = (buffer[at]! << 16) | (buffer[at + 1]! << 8) | buffer[at + 2]!;
      const type = buffer[at + 3]!;
      const flags = buffer[at + 4]!;
      const id =
        ((buffer[at + 5]! & 0x7f) << 24) | (buffer[at + 6]! << 16) | (buffer[at + 7]! << 8) | buffer[at + 8]!;
      if (length > framePayloadMax) {
        this.fail(E.frameSizeError, 'frame too large');
        return limit;
      }
      if (this.#headersId !== 0 && (type !== T.continuation || id !== this.#headersId)) {
        this.fail(E.protocolError, 'header block interrupted');
        return limit;
      }
      if (this.state === 'settings' && (type !== T.settings || (flags & F.ack) !== 0)) {
        this.fail(E.protocolError, 'SETTINGS must come first');
        return limit;
      }
      if (type === T.data) {
        const padded = (flags & F.padded) !== 0 ? 1 : 0;
        if (limit - at < frameHeaderBytes + Math.min(padded, length)) return at;
        this.#dataHeader(buffer, at + frameHeaderBytes, length, flags, id);
        at += frameHeaderBytes + padded;
        continue;
      }
      const end = at + frameHeaderBytes + length;
      if (end > limit) return at;
      this.#frame(buffer, at + frameHeaderBytes, end, type, flags, id);
      at = end;
    }
    return at;
  }

  #frame(buffer: Buffer, start: number, end: number, type: number, flags: number, id: number): void {
    switch (type) {
      case T.headers:
        this.#headers(buffer, start, end, flags, id);
        return;
      case T.priority:
        this.#priority(buffer, start, end, id);
        return;
      case T.rstStream:
        if (id === 0) this.fail(E.protocolError, 'RST_STREAM without stream');
        else if (end - start !== 4) this.fail(E.frameSizeError, 'RST_STREAM of wrong size');
        else this.onRstStream(id, buffer.readUInt32BE(start));
        return;
      case T.settings:
        this.#settings(buffer, start, end, flags, id);
        return;
      case T.pushPromise:
        // A client may not push, and a server was told not to (SETTINGS_ENABLE_PUSH 0).
        this.fail(E.protocolError, 'PUSH_PROMISE');
        return;
      case T.ping:
        if (id !== 0) this.fail(E.protocolError, 'PING on a stream');
        else if (end - start !== 8) this.fail(E.frameSizeError, 'PING of wrong size');
        else if ((flags & F.ack) !== 0) this.onPingAck();
        else this.onPing(buffer, start, end);
        return;
      case T.goaway:
        if (id !== 0) this.fail(E.protocolError, 'GOAWAY on a stream');
        else if (end - start < 8) this.fail(E.frameSizeError, 'GOAWAY of wrong size');
        else this.onGoaway(buffer.readUInt32BE(start) & 0x7fffffff, buffer.readUInt32BE(start + 4));
        return;
      case T.windowUpdate:
        if (end - start !== 4) this.fail(E.frameSizeError, 'WINDOW_UPDATE of wrong size');
        else if (this.guard.onWindowUpdate()) this.fail(E.enhanceYourCalm, 'WINDOW_UPDATE flood');
        else this.onWindowUpdate(id, buffer.readUInt32BE(start) & 0x7fffffff);
        return;
      case T.continuation:
        this.#continuation(buffer, start, end, flags);
        return;
      default:
        // Unknown frames are ignored (RFC 9113 section 4.1).
        return;
    }
  }

  // DATA: handed on as it comes, not frame by frame.

  #dataHeader(buffer: Buffer, start: number, length: number, flags: number, id: number): void {
    const padded = (flags & F.padded) !== 0;
    let padding = 0;
    let payload = length;
    if (padded) {
      if (length === 0) return this.fail(E.frameSizeError, 'no pad length');
      padding = buffer[start]!;
      payload = length - 1 - padding;
      if (payload < 0) return this.fail(E.protocolError, 'more padding than frame');
    }
    if (id === 0) return this.fail(E.protocolError, 'DATA without stream');
    const endStream = (flags & F.endStream) !== 0;
    if (this.guard.onMessageFrame(payload === 0 && !endStream))
      return this.fail(E.enhanceYourCalm, 'empty frames');
    const stream = this.onDataFrame(id, length, payload);
    if (this.isOver) return;
    if (padded) this.giveBack(stream, 1);
    this.#dataStream = stream;
    this.#dataBytes = payload;
    this.#paddingBytes = padding;
    this.#dataEnds = endStream;
    this.#inData = true;
    if (payload === 0 && padding === 0) this.#dataDone();
  }

  #dataPayload(buffer: Buffer, at: number, limit: number): number {
    let next = at;
    const stream = this.#dataStream;
    if (this.#dataBytes > 0) {
      const end = Math.min(limit, at + this.#dataBytes);
      this.#dataBytes -= end - at;
      next = end;
      if (stream?.isOpen === true) stream.deliver(buffer, at, end);
      else this.giveBack(undefined, end - at);
      if (this.#dataBytes > 0) return next;
    }
    if (this.#paddingBytes > 0) {
      const skipped = Math.min(limit - next, this.#paddingBytes);
      this.#paddingBytes -= skipped;
      next += skipped;
      if (skipped > 0) this.giveBack(stream, skipped);
    }
    if (this.#paddingBytes === 0) this.#dataDone();
    return next;
  }

  #dataDone(): void {
    const stream = this.#dataStream;
    this.#inData = false;
    this.#dataStream = undefined;
    if (!this.#dataEnds || stream === undefined || !stream.isOpen) return;
    this.endRemote(stream, undefined);
  }

  // HEADERS and CONTINUATION: handed on as one block.

  #headers(buffer: Buffer, from: number, to: number, flags: number, id: number): void {
    let start = from;
    let end = to;
    if (id === 0) return this.fail(E.protocolError, 'HEADERS without stream');
    if ((flags & F.padded) !== 0) {
      if (start >= end) return this.fail(E.frameSizeError, 'no pad length');
      end -= buffer[start++]!;
    }
    let selfDependent = false;
    if ((flags & F.priority) !== 0) {
      if (end - start < 5) {
        this.fail(end < start ? E.protocolError : E.frameSizeError, 'no priority');
        return;
      }
      selfDependent = (buffer.readUInt32BE(start) & 0x7fffffff) === id;
      start += 5;
    }
    if (end < start) return this.fail(E.protocolError, 'more padding than frame');
    if (selfDependent) return this.fail(E.protocolError, 'a stream that depends on itself');
    const endStream = (flags & F.endStream) !== 0;
    if (this.guard.onMessageFrame(end === start && !endStream))
      return this.fail(E.enhanceYourCalm, 'empty frames');
    if ((flags & F.endHeaders) !== 0) {
      this.onHeaderBlock(id, buffer, start, end, endStream);
      return;
    }
    this.#headersId = id;
    this.#headersEnd = endStream;
    this.#fragments ??= Buffer.allocUnsafeSlow(framePayloadMax);
    this.#fragmentBytes = 0;
    this.onHeadersPending(true);
    this.#addFragment(buffer, start, end);
  }

  #continuation(buffer: Buffer, start: number, end: number, flags: number): void {
    if (this.#headersId === 0) return this.fail(E.protocolError, 'CONTINUATION without HEADERS');
    if (this.guard.onMessageFrame(end === start && (flags & F.endHeaders) === 0))
      return this.fail(E.enhanceYourCalm, 'empty frames');
    if (!this.#addFragment(buffer, start, end) || (flags & F.endHeaders) === 0) return;
    const id = this.#headersId;
    const fragments = this.#fragments!;
    this.#headersId = 0;
    this.#fragments = undefined;
    this.onHeadersPending(false);
    this.onHeaderBlock(id, fragments, 0, this.#fragmentBytes, this.#headersEnd);
  }

  /** CONTINUATION has no bound of its own (CVE-2024-30255): the whole encoded block has one here. */
  #addFragment(buffer: Buffer, start: number, end: number): boolean {
    const bytes = this.#fragmentBytes + end - start;
    if (bytes > encodedBytesMax) {
      this.codec.header_overflow.inc();
      this.fail(E.enhanceYourCalm, 'header block too large');
      return false;
    }
    let fragments = this.#fragments!;
    if (bytes > fragments.length) {
      const larger = Buffer.allocUnsafeSlow(Math.min(encodedBytesMax, Math.max(fragments.length * 2, bytes)));
      fragments.copy(larger, 0, 0, this.#fragmentBytes);
      fragments = larger;
      this.#fragments = larger;
    }
    buffer.copy(fragments, this.#fragmentBytes, start, end);
    this.#fragmentBytes = bytes;
    return true;
  }

  /** Read, counted and not followed. */
  #priority(buffer: Buffer, start: number, end: number, id: number): void {
    if (id === 0) return this.fail(E.protocolError, 'PRIORITY without stream');
    if (this.guard.onPriority()) return this.fail(E.enhanceYourCalm, 'PRIORITY flood');
    if (end - start !== 5) return this.fail(E.frameSizeError, 'PRIORITY of wrong size');
    if ((buffer.readUInt32BE(start) & 0x7fffffff) === id)
      return this.fail(E.protocolError, 'a stream that depends on itself');
  }

  #settings(buffer: Buffer, start: number, end: number, flags: number, id: number): void {
    if (id !== 0) return this.fail(E.protocolError, 'SETTINGS on a stream');
    if ((flags & F.ack) !== 0) {
      if (end !== start) this.fail(E.frameSizeError, 'SETTINGS acknowledgement with payload');
      return;
    }
    if ((end - start) % 6 !== 0) return this.fail(E.frameSizeError, 'SETTINGS of wrong size');
    this.onSettingsFrame(buffer, start, end);
  }
}
