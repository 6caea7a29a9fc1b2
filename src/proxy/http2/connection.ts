// One HTTP/2 connection, either end: the table of streams, settings, windows, its end.
//
// `FrameReader` reads its frames, `FrameWriter` writes them, `StreamSender` sends what streams have to say within
// their windows. Whatever a peer does beyond the options ends in GOAWAY, and nothing is kept for a stream that is not
// in the table.
import type { HeaderBlock } from '../http/header-block.ts';
import { HeaderBlock as Block } from '../http/header-block.ts';
import type { Wire, WireHandler } from '../io/wire.ts';
import type { CodecStats } from './codec-stats.ts';
import { FrameReader } from './frame-reader.ts';
import { FrameWriter } from './frame-writer.ts';
import { errorCodes, framePayloadMax, settingIds, windowSizeInitial, windowSizeMax } from './frames.ts';
import type { BlockKind, HeaderLimits, HpackResult } from './hpack-decoder.ts';
import { HpackDecoder } from './hpack-decoder.ts';
import { HpackEncoder } from './hpack-encoder.ts';
import type { Http2Options } from './options.ts';
import type { Http2Stream } from './stream.ts';
import type { SenderOwner } from './stream-sender.ts';
import { StreamSender } from './stream-sender.ts';

const E = errorCodes;

/** Streams that were reset here are remembered, since the peer may have sent frames before it knew. */
const resetIdsMax = 512;

export abstract class Http2Connection extends FrameReader implements WireHandler, SenderOwner {
  readonly wire: Wire;
  protected readonly writer: FrameWriter;
  protected readonly streams = new Map<number, Http2Stream>();
  protected readonly decoder: HpackDecoder;
  protected readonly encoder: HpackEncoder;
  protected readonly sender: StreamSender;
  protected readonly limits: HeaderLimits;
  /** The largest stream identifier that the peer has opened. */
  protected peerStreamIdLast = 0;
  /** SETTINGS_MAX_CONCURRENT_STREAMS of the peer; without a word unlimited. */
  protected peerConcurrentStreamsMax = Infinity;
  /** A PING of ours has not been answered. */
  protected pingUnanswered = false;
  readonly #isServer: boolean;
  #receiveWindow: number;
  /** Consumed, but not given back to the sender. */
  #unreturnedBytes = 0;
  /** What a new stream may send: SETTINGS_INITIAL_WINDOW_SIZE of the peer. */
  #peerStreamWindow = windowSizeInitial;
  readonly #touched: Http2Stream[] = [];
  #touchedCount = 0;
  /** Bytes are being parsed: the end of the turn comes by itself. */
  #inTurn = false;
  readonly #resetIds = new Set<number>();
  readonly #trailers = new Block();

  constructor(wire: Wire, options: Http2Options, codec: CodecStats, limits: HeaderLimits, isServer: boolean) {
    super(options, codec, isServer);
    this.wire = wire;
    this.limits = limits;
    this.writer = new FrameWriter(wire);
    this.decoder = new HpackDecoder(options.tableBytesMax);
    this.encoder = new HpackEncoder(options.tableBytesMax);
    this.sender = new StreamSender(this, this.writer, this.encoder, this.guard);
    this.#isServer = isServer;
    this.#receiveWindow = options.connectionWindowBytes;
  }

  // For the two ends.

  protected abstract onStreamClosed(stream: Http2Stream, resetCode: number | undefined): void;
  /** END_STREAM is out while the peer still sends. */
  protected abstract onLocalEnd(stream: Http2Stream): void;
  protected abstract onGone(errorCode: string | undefined): void;
  /** A connection error was sent: the wire is to be closed. */
  protected abstract onBroken(code: number, details: string): void;
  protected abstract onPeerEnd(): void;
  /** A stream of this side's identifiers that nobody has opened. */
  protected abstract isIdleOfOurs(id: number): boolean;
  protected onSettings(): void {}
  protected onPingAnswered(): void {}

  // The wire.

  onBytes(buffer: Buffer, length: number): void {
    if (this.isOver) return;
    this.#inTurn = true;
    this.read(buffer, length);
    this.#endTurn();
  }

  onEnd(): void {
    this.onPeerEnd();
  }

  onDrain(): void {
    this.writer.blocked = false;
    this.writer.settle();
    this.sender.pump();
  }

  onClose(errorCode: string | undefined): void {
    this.state = 'closed';
    this.writer.drop();
    this.#dropStreams();
    this.onGone(errorCode);
    this.endTurnOutside();
  }

  get isGone(): boolean {
    return this.state === 'closed';
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

  // What the peer sends of a message.

  protected onDataFrame(id: number, frameBytes: number, payloadBytes: number): Http2Stream | undefined {
    this.#receiveWindow -= frameBytes;
    if (this.#receiveWindow < 0) {
      this.fail(E.flowControlError, 'connection window exceeded');
      return undefined;
    }
    const stream = this.streams.get(id);
    if (stream === undefined) {
      if (this.#isIdle(id)) this.fail(E.protocolError, 'DATA on an idle stream');
      else if (!this.#resetIds.has(id)) this.#answerReset(id, E.streamClosed);
      return undefined;
    }
    if (stream.remoteEnded) {
      this.streamError(stream, E.streamClosed);
      return undefined;
    }
    stream.receiveWindow -= frameBytes;
    stream.receivedBytes += payloadBytes;
    if (stream.receiveWindow < 0) {
      this.streamError(stream, E.flowControlError);
      return undefined;
    }
    if (stream.expectedBytes >= 0 && stream.receivedBytes > stream.expectedBytes) {
      this.invalidMessage(stream);
      return undefined;
    }
    return stream;
  }

  giveBack(stream: Http2Stream | undefined, bytes: number): void {
    const { options, writer } = this;
    this.#unreturnedBytes += bytes;
    if (this.#unreturnedBytes * 2 >= options.connectionWindowBytes) {
      this.#receiveWindow += this.#unreturnedBytes;
      writer.windowUpdate(0, this.#unreturnedBytes);
      this.#unreturnedBytes = 0;
    }
    if (stream === undefined || stream.remoteEnded || !stream.isOpen) return;
    stream.unreturnedBytes += bytes;
    if (stream.unreturnedBytes * 2 < options.streamWindowBytes) return;
    stream.receiveWindow += stream.unreturnedBytes;
    writer.windowUpdate(stream.id, stream.unreturnedBytes);
    stream.unreturnedBytes = 0;
  }

  protected endRemote(stream: Http2Stream, trailers: HeaderBlock | undefined): void {
    if (stream.expectedBytes >= 0 && stream.receivedBytes !== stream.expectedBytes) {
      this.invalidMessage(stream);
      return;
    }
    stream.remoteEnded = true;
    stream.deliverEnd(trailers);
    this.closeIfDone(stream);
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

  // What the peer says of streams and of the connection.

  protected onRstStream(id: number, code: number): void {
    const stream = this.streams.get(id);
    if (stream === undefined) {
      if (this.#isIdle(id)) this.fail(E.protocolError, 'RST_STREAM on an idle stream');
      return;
    }
    this.codec.rx_reset.inc();
    if (!this.#isServer && stream.remoteEnded) {
      // The whole response came before: it only says that the rest of the request is not wanted.
      stream.dropQueue();
      stream.localEnded = true;
      this.closeIfDone(stream);
      return;
    }
    this.giveUp(stream, code);
  }

  protected onSettingsFrame(buffer: Buffer, start: number, end: number): void {
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
    this.writer.settingsAck();
    this.checkOutbound();
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
      if (stream.queuedBytes > 0) this.sender.wait(stream);
    }
    this.sender.pump();
    return true;
  }

  protected onPing(buffer: Buffer, start: number, end: number): void {
    this.writer.pingAck(buffer, start, end);
    this.checkOutbound();
  }

  protected onPingAck(): void {
    if (!this.pingUnanswered) return;
    this.pingUnanswered = false;
    this.onPingAnswered();
  }

  protected onWindowUpdate(id: number, increment: number): void {
    if (id === 0) {
      if (increment === 0) this.fail(E.protocolError, 'WINDOW_UPDATE of 0');
      else if (!this.sender.widen(increment)) this.fail(E.flowControlError, 'connection window too large');
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
      this.sender.wait(stream);
      this.sender.pump();
    }
  }

  // Sending.

  /** SETTINGS, and the connection's window where it is not HTTP/2's initial one. */
  protected sendSettings(settings: readonly (readonly [id: number, value: number])[]): void {
    this.writer.settings(settings);
    const more = this.options.connectionWindowBytes - windowSizeInitial;
    if (more > 0) this.writer.windowUpdate(0, more);
  }

  sendData(stream: Http2Stream, buffer: Buffer, start: number, end: number): void {
    this.sender.data(stream, buffer, start, end);
  }

  sendEnd(stream: Http2Stream, trailers: HeaderBlock | undefined): void {
    this.sender.end(stream, trailers);
  }

  protected sendPing(): void {
    this.pingUnanswered = true;
    this.writer.ping();
  }

  protected sendGoaway(lastStreamId: number, code: number, details: string): void {
    this.codec.goaway_sent.inc();
    this.writer.goaway(lastStreamId, code, details);
  }

  /** A peer that makes us answer and does not read the answers. */
  checkOutbound(): void {
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

  onEndSent(stream: Http2Stream): void {
    if (stream.remoteEnded) this.closeIfDone(stream);
    else this.onLocalEnd(stream);
  }

  // The table of streams.

  protected openStream(stream: Http2Stream, id: number): void {
    stream.open(id, this.#peerStreamWindow, this.options.streamWindowBytes);
    this.streams.set(id, stream);
    this.guard.onStream();
    this.codec.streams_active.inc();
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

  /** No HTTP message (RFC 9113 section 8.1.1). As Envoy: the connection ends, unless only the stream shall. */
  protected invalidMessage(stream: Http2Stream): void {
    this.codec.rx_messaging_error.inc();
    if (!this.options.streamErrorOnInvalidMessage) {
      this.fail(E.protocolError, 'invalid HTTP message');
      return;
    }
    this.streamError(stream, E.protocolError);
  }

  #answerReset(id: number, code: number): void {
    if (this.#resetIds.size >= resetIdsMax) {
      const [oldest] = this.#resetIds;
      this.#resetIds.delete(oldest!);
    }
    this.#resetIds.add(id);
    this.writer.rstStream(id, code);
    this.checkOutbound();
  }

  #remove(stream: Http2Stream): void {
    if (!stream.isOpen) return;
    stream.isOpen = false;
    this.streams.delete(stream.id);
    this.codec.streams_active.dec();
    this.sender.forget(stream);
    const unconsumed = stream.discard();
    if (unconsumed > 0) this.giveBack(undefined, unconsumed);
  }

  #dropStreams(): void {
    const streams = [...this.streams.values()];
    this.streams.clear();
    this.sender.forgetAll();
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

  /** GOAWAY, every stream is given up, and the wire is closed. */
  protected fail(code: number, details: string): void {
    if (this.isOver) return;
    this.state = 'closing';
    this.dropPartial();
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
}
