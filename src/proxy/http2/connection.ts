// One HTTP/2 connection, either end: frames in and out, settings, windows, the table of streams, its end.
//
// Every way in which a peer could make it hold or do more than the options allow ends in GOAWAY: all frames go
// through the same few checks, and nothing is kept for a stream that is not in the table.
import type { HeaderBlock } from '../http/header-block.ts';
import { HeaderBlock as Block } from '../http/header-block.ts';
import type { Wire, WireHandler } from '../io/wire.ts';
import type { CodecStats } from './codec-stats.ts';
import { FloodGuard } from './flood-guard.ts';
import { FrameWriter } from './frame-writer.ts';
import {
  errorCodes,
  frameFlags,
  frameHeaderBytes,
  framePayloadMax,
  frameTypes,
  settingIds,
  windowSizeInitial,
  windowSizeMax,
} from './frames.ts';
import type { BlockKind, HeaderLimits, HpackResult } from './hpack-decoder.ts';
import { HpackDecoder, encodedBytesMax } from './hpack-decoder.ts';
import { HpackEncoder } from './hpack-encoder.ts';
import type { Http2Options } from './options.ts';
import type { Http2Stream } from './stream.ts';

const T = frameTypes;
const F = frameFlags;
const E = errorCodes;

/** Streams that were reset here are remembered, since the peer may have sent frames before it knew. */
const resetIdsMax = 512;

/**
 * preface: bytes of the client's preface are awaited. settings: SETTINGS must be the first frame. open: frames.
 * closing: the last GOAWAY is out, what comes is discarded. closed: the wire is gone.
 */
type State = 'preface' | 'settings' | 'open' | 'closing' | 'closed';

export abstract class Http2Connection implements WireHandler {
  readonly wire: Wire;
  readonly options: Http2Options;
  readonly writer: FrameWriter;
  readonly codec: CodecStats;
  protected readonly streams = new Map<number, Http2Stream>();
  protected readonly decoder: HpackDecoder;
  protected readonly encoder: HpackEncoder;
  protected readonly guard: FloodGuard;
  protected readonly limits: HeaderLimits;
  protected state: State;
  /** The largest stream identifier that the peer has opened. */
  protected peerStreamIdLast = 0;
  /** SETTINGS_MAX_CONCURRENT_STREAMS of the peer; without a word unlimited. */
  protected peerConcurrentStreamsMax = Infinity;
  /** A PING of ours has not been answered. */
  protected pingUnanswered = false;
  readonly #isServer: boolean;
  #sendWindow = windowSizeInitial;
  #receiveWindow: number;
  #unreturnedBytes = 0;
  #peerStreamWindow = windowSizeInitial;
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
  #waiting: Http2Stream[] = [];
  #pumping = false;
  readonly #touched: Http2Stream[] = [];
  #touchedCount = 0;
  /** Bytes are being parsed: the end of the turn comes by itself. */
  #inTurn = false;
  readonly #resetIds = new Set<number>();
  readonly #trailers = new Block();

  constructor(wire: Wire, options: Http2Options, codec: CodecStats, limits: HeaderLimits, isServer: boolean) {
    this.wire = wire;
    this.options = options;
    this.codec = codec;
    this.limits = limits;
    this.writer = new FrameWriter(wire);
    this.decoder = new HpackDecoder(options.tableBytesMax);
    this.encoder = new HpackEncoder(options.tableBytesMax);
    this.guard = new FloodGuard(options, codec);
    this.state = isServer ? 'preface' : 'settings';
    this.#isServer = isServer;
    this.#receiveWindow = options.connectionWindowBytes;
  }

  // For the two ends.

  /** The first bytes of the connection; the client's go before it. */
  protected abstract takePreface(buffer: Buffer, at: number, limit: number): number;
  /** HEADERS that open a stream here, or answer one; or trailers. The block stands in `bytes[start, end)`. */
  protected abstract onHeaderBlock(
    streamId: number,
    bytes: Buffer,
    start: number,
    end: number,
    endStream: boolean,
  ): void;
  protected abstract onStreamClosed(stream: Http2Stream, resetCode: number | undefined): void;
  /** END_STREAM is out while the peer still sends. */
  protected abstract onLocalEnd(stream: Http2Stream): void;
  protected abstract onGoaway(lastStreamId: number, code: number): void;
  /** A header block has begun and is not complete; or it is, after that. */
  protected abstract onHeadersPending(pending: boolean): void;
  protected abstract onGone(errorCode: string | undefined): void;
  /** A connection error was sent: the wire is to be closed. */
  protected abstract onBroken(code: number, details: string): void;
  protected abstract onPeerEnd(): void;
  protected onSettings(): void {}
  protected onPingAnswered(): void {}
  protected onFrame(): void {}

  // Bytes.

  onBytes(buffer: Buffer, length: number): void {
    if (this.state === 'closing' || this.state === 'closed') return;
    const pending = this.#pending;
    let data = buffer;
    let limit = length;
    if (pending !== undefined) {
      this.#pending = undefined;
      data = Buffer.concat([pending, buffer.subarray(0, length)]);
      limit = data.length;
    }
    this.#inTurn = true;
    const rest = this.#parse(data, limit);
    if (rest < limit && (this.state as State) !== 'closing' && (this.state as State) !== 'closed')
      this.#pending = Buffer.from(data.subarray(rest, limit));
    this.#endTurn();
  }

  onEnd(): void {
    this.onPeerEnd();
  }

  onDrain(): void {
    this.writer.blocked = false;
    this.writer.settle();
    this.#pump();
  }

  onClose(errorCode: string | undefined): void {
    this.state = 'closed';
    this.writer.drop();
    this.#dropStreams();
    this.onGone(errorCode);
    this.endTurnOutside();
  }

  #dropStreams(): void {
    const streams = [...this.streams.values()];
    this.streams.clear();
    this.#waiting.length = 0;
    for (const stream of streams) {
      // A response that is here as a whole is still handed over.
      if (!this.#isServer && stream.remoteEnded && !stream.delivered) {
        stream.localEnded = true;
        continue;
      }
      this.codec.streams_active.dec();
      stream.isOpen = false;
      stream.isWaiting = false;
      stream.discard();
      this.touch(stream);
      stream.onReset(undefined);
      this.onStreamClosed(stream, undefined);
    }
  }

  /** The stream is told at the end of this turn that all was handed over. */
  touch(stream: Http2Stream): void {
    if (stream.isTouched) return;
    stream.isTouched = true;
    this.#touched[this.#touchedCount++] = stream;
  }

  /** Something was delivered without bytes having come. */
  endTurnOutside(): void {
    if (!this.#inTurn) this.#endTurn();
  }

  #endTurn(): void {
    this.#inTurn = true;
    const touched = this.#touched;
    for (let index = 0; index < this.#touchedCount; index++) {
      const stream = touched[index]!;
      stream.isTouched = false;
      stream.onTurnEnd();
    }
    this.#touchedCount = 0;
    this.#inTurn = false;
  }

  /** Returns the offset of what could not be consumed. */
  #parse(buffer: Buffer, limit: number): number {
    let at = 0;
    while (at < limit) {
      if (this.state === 'closing' || this.state === 'closed') return limit;
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
      this.onFrame();
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
        this.#rstStream(buffer, start, end, id);
        return;
      case T.settings:
        this.#settings(buffer, start, end, flags, id);
        return;
      case T.pushPromise:
        // A client may not push, and a server was told not to (SETTINGS_ENABLE_PUSH 0).
        this.fail(E.protocolError, 'PUSH_PROMISE');
        return;
      case T.ping:
        this.#ping(buffer, start, end, flags, id);
        return;
      case T.goaway:
        if (id !== 0) this.fail(E.protocolError, 'GOAWAY on a stream');
        else if (end - start < 8) this.fail(E.frameSizeError, 'GOAWAY of wrong size');
        else this.onGoaway(buffer.readUInt32BE(start) & 0x7fffffff, buffer.readUInt32BE(start + 4));
        return;
      case T.windowUpdate:
        this.#windowUpdate(buffer, start, end, id);
        return;
      case T.continuation:
        this.#continuation(buffer, start, end, flags);
        return;
      default:
        // Unknown frames are ignored (RFC 9113 section 4.1).
        return;
    }
  }

  // DATA.

  #dataHeader(buffer: Buffer, start: number, length: number, flags: number, id: number): void {
    this.onFrame();
    let padding = 0;
    let payload = length;
    if ((flags & F.padded) !== 0) {
      if (length === 0) return this.fail(E.frameSizeError, 'no pad length');
      padding = buffer[start]!;
      payload = length - 1 - padding;
      if (payload < 0) return this.fail(E.protocolError, 'more padding than frame');
    }
    if (id === 0) return this.fail(E.protocolError, 'DATA without stream');
    const endStream = (flags & F.endStream) !== 0;
    if (this.guard.onMessageFrame(payload === 0 && !endStream))
      return this.fail(E.enhanceYourCalm, 'empty frames');
    this.#receiveWindow -= length;
    if (this.#receiveWindow < 0) return this.fail(E.flowControlError, 'connection window exceeded');
    let stream = this.streams.get(id);
    if (stream === undefined) {
      if (this.#isIdle(id)) return this.fail(E.protocolError, 'DATA on an idle stream');
      if (!this.#resetIds.has(id)) this.#answerReset(id, E.streamClosed);
    } else if (stream.remoteEnded) {
      this.streamError(stream, E.streamClosed);
      stream = undefined;
    } else {
      stream.receiveWindow -= length;
      stream.receivedBytes += payload;
      if (stream.receiveWindow < 0) {
        this.streamError(stream, E.flowControlError);
        stream = undefined;
      } else if (stream.expectedBytes >= 0 && stream.receivedBytes > stream.expectedBytes) {
        this.invalidMessage(stream);
        stream = undefined;
      }
    }
    if (this.state === 'closing') return;
    const framing = (flags & F.padded) !== 0 ? 1 : 0;
    if (framing > 0) this.giveBack(stream, framing);
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

  /** The peer's END_STREAM. */
  protected endRemote(stream: Http2Stream, trailers: HeaderBlock | undefined): void {
    if (stream.expectedBytes >= 0 && stream.receivedBytes !== stream.expectedBytes) {
      this.invalidMessage(stream);
      return;
    }
    stream.remoteEnded = true;
    stream.deliverEnd(trailers);
    this.closeIfDone(stream);
  }

  // HEADERS and CONTINUATION.

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

  /** Decodes; a compression error ends the connection. */
  protected decode(
    bytes: Buffer,
    start: number,
    end: number,
    block: HeaderBlock,
    kind: BlockKind,
  ): HpackResult {
    const result = this.decoder.decode(bytes, start, end, block, kind, this.limits);
    if (result === 'compression-error') this.fail(E.compressionError, 'HPACK');
    else if (result === 'too-large') this.codec.header_overflow.inc();
    return result;
  }

  /** Trailers of a stream that is open. */
  protected onTrailers(
    stream: Http2Stream,
    bytes: Buffer,
    start: number,
    end: number,
    endStream: boolean,
  ): void {
    const result = this.decode(bytes, start, end, this.#trailers, 'trailers');
    if (result === 'compression-error') return;
    if (stream.remoteEnded) {
      this.streamError(stream, E.streamClosed);
      return;
    }
    if (result === 'too-large') this.streamError(stream, E.internalError);
    else if (result === 'malformed' || !endStream) this.invalidMessage(stream);
    else {
      this.codec.trailers.inc();
      this.endRemote(stream, this.#trailers.count === 0 ? undefined : this.#trailers);
    }
  }

  /** HEADERS for a stream that is closed: the table stays in step, and the frame is answered as it deserves. */
  protected onLateHeaders(id: number, bytes: Buffer, start: number, end: number): void {
    if (this.decode(bytes, start, end, this.#trailers, 'trailers') === 'compression-error') return;
    this.codec.headers_cb_no_stream.inc();
    // The peer did not know of the reset when it sent this.
    if (this.#resetIds.has(id)) return;
    this.fail(E.streamClosed, 'HEADERS on a closed stream');
  }

  /** No HTTP message (RFC 9113 section 8.1.1). As Envoy: the connection ends, unless only the stream shall. */
  protected invalidMessage(stream: Http2Stream): void {
    this.codec.rx_messaging_error.inc();
    if (!this.options.streamErrorOnInvalidMessage) {
      this.fail(E.protocolError, 'invalid HTTP message');
      return;
    }
    this.streamError(stream, E.protocolError);
  }

  // The other frames.

  #priority(buffer: Buffer, start: number, end: number, id: number): void {
    if (id === 0) return this.fail(E.protocolError, 'PRIORITY without stream');
    if (this.guard.onPriority()) return this.fail(E.enhanceYourCalm, 'PRIORITY flood');
    if (end - start !== 5) return this.fail(E.frameSizeError, 'PRIORITY of wrong size');
    if ((buffer.readUInt32BE(start) & 0x7fffffff) === id)
      return this.fail(E.protocolError, 'a stream that depends on itself');
  }

  #rstStream(buffer: Buffer, start: number, end: number, id: number): void {
    if (id === 0) return this.fail(E.protocolError, 'RST_STREAM without stream');
    if (end - start !== 4) return this.fail(E.frameSizeError, 'RST_STREAM of wrong size');
    const stream = this.streams.get(id);
    if (stream === undefined) {
      if (this.#isIdle(id)) this.fail(E.protocolError, 'RST_STREAM on an idle stream');
      return;
    }
    this.codec.rx_reset.inc();
    const code = buffer.readUInt32BE(start);
    if (!this.#isServer && stream.remoteEnded) {
      // The whole response came before: it only says that the rest of the request is not wanted.
      stream.dropQueue();
      stream.localEnded = true;
      this.closeIfDone(stream);
      return;
    }
    this.giveUp(stream, code);
  }

  #settings(buffer: Buffer, start: number, end: number, flags: number, id: number): void {
    if (id !== 0) return this.fail(E.protocolError, 'SETTINGS on a stream');
    if ((flags & F.ack) !== 0) {
      if (end !== start) this.fail(E.frameSizeError, 'SETTINGS acknowledgement with payload');
      return;
    }
    if ((end - start) % 6 !== 0) return this.fail(E.frameSizeError, 'SETTINGS of wrong size');
    let streamWindow = this.#peerStreamWindow;
    let tableBytes = -1;
    for (let at = start; at < end; at += 6) {
      const setting = buffer.readUInt16BE(at);
      const value = buffer.readUInt32BE(at + 2);
      switch (setting) {
        case settingIds.headerTableSize:
          tableBytes = value;
          break;
        case settingIds.enablePush:
          if (value > 1 || (value === 1 && !this.#isServer))
            return this.fail(E.protocolError, 'SETTINGS_ENABLE_PUSH');
          break;
        case settingIds.maxConcurrentStreams:
          this.peerConcurrentStreamsMax = value;
          break;
        case settingIds.initialWindowSize:
          if (value > windowSizeMax) return this.fail(E.flowControlError, 'SETTINGS_INITIAL_WINDOW_SIZE');
          streamWindow = value;
          break;
        case settingIds.maxFrameSize:
          if (value < framePayloadMax || value > 0xffffff)
            return this.fail(E.protocolError, 'SETTINGS_MAX_FRAME_SIZE');
          // Frames stay at the least that every peer takes: larger ones would only hold up other streams.
          break;
        default:
      }
    }
    if (tableBytes >= 0) this.encoder.setPeerLimit(tableBytes);
    if (this.state === 'settings') this.state = 'open';
    this.writer.header(0, T.settings, F.ack, 0);
    this.#countControl();
    // The last value alone takes effect: one pass over the streams for a frame, not one for each of its entries.
    if (!this.#setPeerStreamWindow(streamWindow)) return;
    this.onSettings();
  }

  #setPeerStreamWindow(bytes: number): boolean {
    const change = bytes - this.#peerStreamWindow;
    if (change === 0) return true;
    this.#peerStreamWindow = bytes;
    for (const stream of this.streams.values()) {
      stream.sendWindow += change;
      if (stream.sendWindow > windowSizeMax) {
        this.fail(E.flowControlError, 'stream window too large');
        return false;
      }
      if (stream.queuedBytes > 0) this.#wait(stream);
    }
    this.#pump();
    return true;
  }

  #ping(buffer: Buffer, start: number, end: number, flags: number, id: number): void {
    if (id !== 0) return this.fail(E.protocolError, 'PING on a stream');
    if (end - start !== 8) return this.fail(E.frameSizeError, 'PING of wrong size');
    if ((flags & F.ack) !== 0) {
      if (this.pingUnanswered) {
        this.pingUnanswered = false;
        this.onPingAnswered();
      }
      return;
    }
    this.writer.header(8, T.ping, F.ack, 0);
    this.writer.payload(buffer, start, end);
    this.#countControl();
  }

  #windowUpdate(buffer: Buffer, start: number, end: number, id: number): void {
    if (end - start !== 4) return this.fail(E.frameSizeError, 'WINDOW_UPDATE of wrong size');
    if (this.guard.onWindowUpdate()) return this.fail(E.enhanceYourCalm, 'WINDOW_UPDATE flood');
    const increment = buffer.readUInt32BE(start) & 0x7fffffff;
    if (id === 0) {
      if (increment === 0) return this.fail(E.protocolError, 'WINDOW_UPDATE of 0');
      this.#sendWindow += increment;
      if (this.#sendWindow > windowSizeMax)
        return this.fail(E.flowControlError, 'connection window too large');
      this.#pump();
      return;
    }
    const stream = this.streams.get(id);
    if (stream === undefined) {
      if (this.#isIdle(id)) this.fail(E.protocolError, 'WINDOW_UPDATE on an idle stream');
      return;
    }
    stream.sendWindow += increment;
    if (increment === 0) this.streamError(stream, E.protocolError);
    else if (stream.sendWindow > windowSizeMax) this.streamError(stream, E.flowControlError);
    else if (stream.queuedBytes > 0) {
      this.#wait(stream);
      this.#pump();
    }
  }

  // Windows of what is received.

  /** `bytes` were consumed; the sender may send as many more. Without a stream for the connection alone. */
  giveBack(stream: Http2Stream | undefined, bytes: number): void {
    const { options } = this;
    this.#unreturnedBytes += bytes;
    if (this.#unreturnedBytes * 2 >= options.connectionWindowBytes) {
      this.#receiveWindow += this.#unreturnedBytes;
      this.#writeWindowUpdate(0, this.#unreturnedBytes);
      this.#unreturnedBytes = 0;
    }
    if (stream === undefined || stream.remoteEnded || !stream.isOpen) return;
    stream.unreturnedBytes += bytes;
    if (stream.unreturnedBytes * 2 < options.streamWindowBytes) return;
    stream.receiveWindow += stream.unreturnedBytes;
    this.#writeWindowUpdate(stream.id, stream.unreturnedBytes);
    stream.unreturnedBytes = 0;
  }

  // Sending.

  /** SETTINGS, and the connection's window where it is not HTTP/2's initial one. */
  protected sendSettings(settings: readonly (readonly [id: number, value: number])[]): void {
    const { writer, options } = this;
    writer.header(settings.length * 6, T.settings, 0, 0);
    const payload = Buffer.alloc(settings.length * 6);
    for (const [index, [setting, value]] of settings.entries()) {
      payload.writeUInt16BE(setting, index * 6);
      payload.writeUInt32BE(value, index * 6 + 2);
    }
    writer.payload(payload, 0, payload.length);
    const more = options.connectionWindowBytes - windowSizeInitial;
    if (more > 0) this.#writeWindowUpdate(0, more);
  }

  /** Puts a stream into the table. */
  protected openStream(stream: Http2Stream, id: number): void {
    stream.open(id, this.#peerStreamWindow, this.options.streamWindowBytes);
    this.streams.set(id, stream);
    this.guard.onStream();
    this.codec.streams_active.inc();
  }

  /** The block that the encoder has just finished. */
  protected writeHeaders(stream: Http2Stream, block: Buffer, endStream: boolean): void {
    const { writer } = this;
    stream.flagsAt = writer.headerBlock(stream.id, block, endStream, framePayloadMax);
    stream.epoch = writer.epoch;
    this.#checkOutbound();
    if (endStream) this.#localEnd(stream);
  }

  /** Sends what the windows allow and queues a copy of the rest. */
  sendData(stream: Http2Stream, buffer: Buffer, start: number, end: number): void {
    if (stream.localEnded || stream.endQueued || !stream.isOpen) return;
    let at = start;
    if (stream.queuedBytes === 0) at = this.#writeData(stream, buffer, start, end);
    if (at >= end) return;
    stream.queue.push(Buffer.from(buffer.subarray(at, end)));
    stream.queuedBytes += end - at;
    this.#wait(stream);
  }

  /** The message is complete, behind what is queued. */
  sendEnd(stream: Http2Stream, trailers: HeaderBlock | undefined): void {
    if (stream.localEnded || stream.endQueued || !stream.isOpen) return;
    if (stream.queuedBytes > 0) {
      stream.endQueued = true;
      if (trailers !== undefined) {
        stream.queuedTrailers = new Block();
        stream.queuedTrailers.copyFrom(trailers);
      }
      return;
    }
    this.#writeEnd(stream, trailers);
  }

  #writeEnd(stream: Http2Stream, trailers: HeaderBlock | undefined): void {
    const { writer } = this;
    if (trailers !== undefined && trailers.hasLines) {
      const { encoder } = this;
      encoder.start();
      encoder.headers(trailers, true);
      this.writeHeaders(stream, encoder.finish(), true);
      return;
    }
    // Mostly the stream's last frame still waits here: it says that it is the last.
    if (stream.flagsAt >= 0 && stream.epoch === writer.epoch) writer.patchEndStream(stream.flagsAt);
    else writer.header(0, T.data, F.endStream, stream.id);
    this.#localEnd(stream);
  }

  #localEnd(stream: Http2Stream): void {
    stream.localEnded = true;
    if (stream.remoteEnded) this.closeIfDone(stream);
    else this.onLocalEnd(stream);
  }

  /** Takes a stream that both sides have ended out of the table. */
  closeIfDone(stream: Http2Stream): void {
    if (!stream.isOpen || !stream.localEnded || !stream.remoteEnded) return;
    // What of a response is held back still has to be handed over; the rest of a request, once it is answered, not.
    if (!this.#isServer && !stream.delivered) return;
    this.#remove(stream);
    this.onStreamClosed(stream, undefined);
  }

  /** RST_STREAM; the stream hears nothing more. */
  resetStream(stream: Http2Stream, code: number): void {
    if (!stream.isOpen) return;
    this.codec.tx_reset.inc();
    stream.resetByUs = true;
    this.#remove(stream);
    this.#answerReset(stream.id, code);
    this.onStreamClosed(stream, code);
  }

  /** The peer has taken its hands off a stream: nothing is sent, and its owner is told `code`. */
  protected giveUp(stream: Http2Stream, code: number): void {
    this.touch(stream);
    this.#remove(stream);
    stream.onReset(code);
    this.onStreamClosed(stream, code);
  }

  /** RST_STREAM for a stream that is not in the table. */
  protected refuseStream(id: number, code: number): void {
    this.codec.tx_reset.inc();
    this.#answerReset(id, code);
  }

  /** A fault of the peer on one stream: RST_STREAM, and its owner is told. */
  protected streamError(stream: Http2Stream, code: number): void {
    this.touch(stream);
    this.codec.tx_reset.inc();
    stream.resetByUs = true;
    this.#remove(stream);
    this.#answerReset(stream.id, code);
    stream.onReset(code);
    this.onStreamClosed(stream, code);
  }

  #answerReset(id: number, code: number): void {
    if (this.#resetIds.size >= resetIdsMax) {
      const [oldest] = this.#resetIds;
      this.#resetIds.delete(oldest!);
    }
    this.#resetIds.add(id);
    this.writer.header(4, T.rstStream, 0, id);
    this.writer.uint32(code);
    this.#countControl();
  }

  #remove(stream: Http2Stream): void {
    if (!stream.isOpen) return;
    stream.isOpen = false;
    this.streams.delete(stream.id);
    this.codec.streams_active.dec();
    if (stream.isWaiting) {
      stream.isWaiting = false;
      const at = this.#waiting.indexOf(stream);
      if (at >= 0) this.#waiting.splice(at, 1);
    }
    const unconsumed = stream.discard();
    if (unconsumed > 0) this.giveBack(undefined, unconsumed);
  }

  #writeData(stream: Http2Stream, buffer: Buffer, start: number, end: number): number {
    const { writer } = this;
    let at = start;
    while (at < end && !writer.blocked && this.state !== 'closed') {
      const bytes = Math.min(end - at, framePayloadMax, stream.sendWindow, this.#sendWindow);
      if (bytes <= 0) break;
      stream.flagsAt = writer.header(bytes, T.data, 0, stream.id);
      stream.epoch = writer.epoch;
      writer.payload(buffer, at, at + bytes);
      stream.sendWindow -= bytes;
      this.#sendWindow -= bytes;
      this.guard.onDataSent();
      at += bytes;
    }
    return at;
  }

  #wait(stream: Http2Stream): void {
    if (stream.isWaiting || stream.sendWindow <= 0) return;
    stream.isWaiting = true;
    this.#waiting.push(stream);
  }

  /** Sends what is queued, a frame of each stream in turn. */
  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    const waiting = this.#waiting;
    while (waiting.length > 0 && this.#sendWindow > 0 && !this.writer.blocked) {
      const stream = waiting.shift()!;
      stream.isWaiting = false;
      const chunk = stream.queue[0];
      if (chunk === undefined) continue;
      const sent = this.#writeData(stream, chunk, 0, Math.min(chunk.length, framePayloadMax));
      stream.queuedBytes -= sent;
      if (sent === chunk.length) stream.queue.shift();
      else stream.queue[0] = chunk.subarray(sent);
      if (stream.queuedBytes > 0) {
        this.#wait(stream);
        continue;
      }
      if (stream.endQueued) {
        const trailers = stream.queuedTrailers;
        stream.endQueued = false;
        stream.queuedTrailers = undefined;
        this.#writeEnd(stream, trailers);
      } else stream.onWritable();
    }
    this.#pumping = false;
  }

  #writeWindowUpdate(id: number, bytes: number): void {
    this.writer.header(4, T.windowUpdate, 0, id);
    this.writer.uint32(bytes);
  }

  protected sendPing(): void {
    this.pingUnanswered = true;
    this.writer.header(8, T.ping, 0, 0);
    this.writer.uint32(0);
    this.writer.uint32(0);
  }

  #countControl(): void {
    this.writer.countControl();
    this.#checkOutbound();
  }

  /** A peer that makes us answer and does not read the answers. */
  #checkOutbound(): void {
    const { writer, options } = this;
    if (
      writer.outboundFrames <= options.outboundFramesMax &&
      writer.outboundControlFrames <= options.outboundControlFramesMax
    )
      return;
    // A burst within one turn is none if the peer takes it: only what stays behind counts.
    writer.push();
    if (writer.outboundControlFrames > options.outboundControlFramesMax) {
      this.codec.outbound_control_flood.inc();
      this.fail(E.enhanceYourCalm, 'control frames flood');
    } else if (writer.outboundFrames > options.outboundFramesMax) {
      this.codec.outbound_flood.inc();
      this.fail(E.enhanceYourCalm, 'frames flood');
    }
  }

  sendGoaway(lastStreamId: number, code: number, details: string): void {
    this.codec.goaway_sent.inc();
    const text = Buffer.from(details, 'latin1');
    this.writer.header(8 + text.length, T.goaway, 0, 0);
    this.writer.uint32(lastStreamId);
    this.writer.uint32(code);
    this.writer.payload(text, 0, text.length);
  }

  /** A connection error (RFC 9113 section 5.4.1): GOAWAY, every stream is given up, and the wire is closed. */
  protected fail(code: number, details: string): void {
    if (this.state === 'closing' || this.state === 'closed') return;
    this.state = 'closing';
    this.#pending = undefined;
    this.#fragments = undefined;
    this.sendGoaway(this.#isServer ? this.peerStreamIdLast : 0, code, details);
    this.writer.flush();
    this.onBroken(code, details);
    this.#dropStreams();
    this.endTurnOutside();
  }

  /** A stream that nobody has opened. */
  #isIdle(id: number): boolean {
    return (id & 1) === (this.#isServer ? 1 : 0) ? id > this.peerStreamIdLast : this.isIdleOfOurs(id);
  }

  /** The same for the identifiers that this side gives. */
  protected abstract isIdleOfOurs(id: number): boolean;
}
