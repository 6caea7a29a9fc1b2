// One HTTP/1.1 connection from a client: reads requests one after the other and writes their responses.
import type { DownstreamConnection } from '../network/filter.ts';
import { restoredDestination } from '../network/filter.ts';
import type { SocketAddress } from '../io/socket-address.ts';
import type { Deadline } from '../io/deadlines.ts';
import type { WireHandler } from '../io/wire.ts';
import { clientPreface } from '../http2/frames.ts';
import { ChunkDecoder } from './chunk-decoder.ts';
import type { HttpManager, ManagedConnection } from './manager.ts';
import { HeaderBlock } from './header-block.ts';
import type { HeadError } from './message-parser.ts';
import { HeadParser } from './message-parser.ts';
import { MessageWriter } from './message-writer.ts';
import { nameIds } from './names.ts';
import { reasonPhrase } from './reason-phrase.ts';
import { HttpStream } from './stream.ts';
import type { StreamConnection } from './stream-connection.ts';

/**
 * idle: between requests. head: part of a head came. length, chunked, trailers: in a body.
 * waiting: the request is complete, its response is not. tunnel: bytes pass both ways after 101.
 * closing: the last response is out; what still comes is discarded until the client closes.
 */
type ReadState =
  | 'idle'
  | 'head'
  | 'length'
  | 'chunked'
  | 'trailers'
  | 'waiting'
  | 'tunnel'
  | 'closing'
  | 'closed';

/** How the body of the current response is framed. */
type WriteFraming = 'none' | 'raw' | 'chunked';

const H = nameIds;

/** As much of HTTP/2's preface as tells it from a request: `PRI * HTTP/2`, as Envoy's codec AUTO. */
const prefaceBytes = 12;

export class ServerConnection implements ManagedConnection, StreamConnection, WireHandler, Deadline {
  dueMs = 0;
  armedIndex = -1;
  readonly protocol = 'http1';
  readonly downstream: DownstreamConnection;
  /** For ORIGINAL_DST clusters. */
  readonly destination: SocketAddress | undefined;
  readonly manager: HttpManager;
  readonly writer: MessageWriter;
  readonly requestHeaders: HeaderBlock;
  readonly #stream: HttpStream;
  readonly #parser: HeadParser;
  readonly #chunks = new ChunkDecoder();
  #trailers: HeadParser | undefined;
  #state: ReadState = 'idle';
  #remaining = 0;
  /** Bytes that wait: part of a head, pipelined requests, or what came while the stream held the request. */
  #pending: Buffer | undefined;
  /** Bits of `HoldReason`; the request is read only while there is none. */
  #held = 0;
  #readPaused = false;
  #consuming = false;
  #framing: WriteFraming = 'none';
  /** The connection closes after the current response. */
  #closeAfter = false;
  #draining = false;
  #requests = 0;
  #since = 0;
  /** The first bytes may still turn out to be HTTP/2's. */
  #mayBeHttp2: boolean;
  /** Bytes that waited at the last look while closing. */
  #closingBytes = Infinity;

  constructor(manager: HttpManager, downstream: DownstreamConnection) {
    this.manager = manager;
    this.downstream = downstream;
    this.destination = restoredDestination(downstream);
    this.writer = new MessageWriter(downstream.wire);
    this.requestHeaders = new HeaderBlock();
    this.#parser = new HeadParser(this.requestHeaders);
    this.#stream = new HttpStream(this);
    this.#since = manager.nowMs();
    this.#mayBeHttp2 = manager.settings.codec === 'auto';
  }

  /** Takes the wire over. */
  start(): void {
    const { wire, peeked } = this.downstream;
    wire.setHandler(this);
    this.#armIdle(this.#since);
    if (peeked !== undefined && peeked.length > 0) this.onBytes(Buffer.from(peeked), peeked.length);
    if (!this.#readPaused && this.#state !== 'closed') wire.resume();
  }

  /** No further request after the current one. */
  drain(): void {
    this.#draining = true;
    if (this.#state === 'idle') this.#beginClose();
  }

  /** Closes now. */
  destroy(): void {
    this.downstream.wire.destroy();
  }

  get closeAfterResponse(): boolean {
    return this.#closeAfter;
  }

  set closeAfterResponse(close: boolean) {
    this.#closeAfter = close;
  }

  get draining(): boolean {
    return this.#draining;
  }

  get writeBlocked(): boolean {
    return this.writer.blocked;
  }

  flush(): void {
    this.writer.flush();
  }

  /** All of the current request has been read. */
  get requestComplete(): boolean {
    return this.#state === 'waiting' || this.#state === 'idle';
  }

  onBytes(buffer: Buffer, length: number): void {
    if (this.#state === 'closing' || this.#state === 'closed') return;
    this.manager.stats.downstream_cx_rx_bytes_total.add(length);
    const pending = this.#pending;
    if (pending === undefined) {
      if (this.#mayBeHttp2 && this.#isHttp2(buffer, length)) return;
      this.#consume(buffer, length);
      return;
    }
    this.#pending = undefined;
    const joined = Buffer.concat([pending, buffer.subarray(0, length)]);
    if (this.#mayBeHttp2 && this.#isHttp2(joined, joined.length)) return;
    this.#consume(joined, joined.length);
  }

  /** HTTP/2's preface hands the connection over; a part of it waits for the rest. */
  #isHttp2(buffer: Buffer, length: number): boolean {
    const compared = Math.min(length, prefaceBytes);
    if (buffer.compare(clientPreface, 0, compared, 0, compared) !== 0) {
      this.#mayBeHttp2 = false;
      return false;
    }
    if (compared < prefaceBytes) {
      this.#pending = Buffer.from(buffer.subarray(0, length));
      this.#waitForHead();
      return true;
    }
    const { manager } = this;
    manager.deadlines.disarm(this);
    // Counted again by whoever takes over.
    manager.stats.downstream_cx_rx_bytes_total.add(-length);
    this.#state = 'closed';
    manager.becomeHttp2(this, Buffer.from(buffer.subarray(0, length)));
    return true;
  }

  /** As Envoy, a client that closes its side gives its requests up. */
  onEnd(): void {
    this.downstream.wire.destroy();
  }

  onDrain(): void {
    this.writer.blocked = false;
    this.#stream.onDownstreamDrain();
  }

  onClose(): void {
    const state = this.#state;
    this.#state = 'closed';
    const { manager } = this;
    manager.deadlines.disarm(this);
    manager.stats.downstream_cx_destroy.inc();
    if (this.#stream.active) {
      if (state !== 'closing') manager.stats.downstream_cx_destroy_active_rq.inc();
      this.#stream.onDownstreamGone();
    }
    manager.stats.downstream_cx_length_ms.record(Math.round(manager.nowMs() - this.#since));
    manager.forget(this);
  }

  /** Idle timeout, request header timeout, maximal duration, and the end of a delayed close. */
  onDue(nowMs: number): void {
    const { settings, stats } = this.manager;
    switch (this.#state) {
      case 'closing':
        this.#onCloseDelayed(nowMs);
        return;
      case 'idle':
        if (settings.connectionDurationMaxMs > 0 && nowMs >= this.#since + settings.connectionDurationMaxMs)
          stats.downstream_cx_max_duration_reached.inc();
        else stats.downstream_cx_idle_timeout.inc();
        this.#beginClose();
        return;
      case 'head':
        stats.downstream_rq_header_timeout.inc();
        this.#failHead(408, 'request header timeout', 'request_header_timeout', 0);
        return;
      case 'length':
      case 'chunked':
      case 'trailers':
      case 'waiting':
      case 'tunnel':
      case 'closed':
        return;
    }
  }

  /** The stream takes no more of the request for now. */
  hold(reason: number): void {
    this.#held |= reason;
    if (!this.#readPaused) {
      this.#readPaused = true;
      this.downstream.wire.pause();
    }
  }

  /** The stream takes the rest of the request. */
  release(reason: number): void {
    if ((this.#held & reason) === 0) return;
    this.#held &= ~reason;
    if (this.#held !== 0 || this.#consuming) return;
    this.#continue();
  }

  // Writing, called by the stream.

  /** An interim response (1xx but 101). */
  writeInterim(status: number, headers: HeaderBlock): void {
    this.writer.text(`HTTP/1.1 ${status} ${reasonPhrase(status)}\r\n${headers.serialize()}\r\n`);
  }

  writeContinue(): void {
    this.writer.text('HTTP/1.1 100 Continue\r\n\r\n');
  }

  writeText(text: string): void {
    this.writer.text(text);
  }

  /**
   * The head of the final response. `headers` hold neither transfer-encoding nor connection. The framing follows
   * Envoy's codec: what has no length and a body is chunked; an empty body gets a length of 0, save for HEAD.
   */
  writeHead(status: number, headers: HeaderBlock, endStream: boolean, headRequest: boolean): void {
    const old = this.#parser.minorVersion === 0 && this.manager.settings.acceptHttp10;
    let head = `HTTP/1.${old ? 0 : 1} ${status} ${reasonPhrase(status)}\r\n${headers.serialize()}`;
    this.#framing = 'raw';
    const lengthKnown = headers.has(H['content-length']);
    if (this.#draining || !this.requestComplete || (old && !lengthKnown && !endStream))
      this.#closeAfter = true;
    if (this.#closeAfter) head += 'connection: close\r\n';
    else if (old) head += 'connection: keep-alive\r\n';
    if (!lengthKnown) {
      if (endStream && !headRequest) {
        if (status !== 204 && status !== 304 && status >= 200) head += 'content-length: 0\r\n';
      } else if (!old && status !== 204 && status !== 304) {
        head += 'transfer-encoding: chunked\r\n';
        if (!endStream) this.#framing = 'chunked';
      }
    }
    if (headRequest) this.#framing = 'none';
    this.writer.text(`${head}\r\n`);
  }

  /** The 101 that makes a tunnel; `headers` keep connection and upgrade. */
  writeUpgrade(headers: HeaderBlock): void {
    this.writer.text(`HTTP/1.1 101 Switching Protocols\r\n${headers.serialize()}\r\n`);
    this.#framing = 'raw';
    this.#state = 'tunnel';
    this.release(~0);
    if (!this.#consuming) this.#continue();
  }

  writeData(buffer: Buffer, start: number, end: number): void {
    if (this.#framing === 'raw') this.writer.bytes(buffer, start, end);
    else if (this.#framing === 'chunked') this.writer.chunk(buffer, start, end);
  }

  /** The response is complete: the connection goes on with the next request, or closes. */
  finish(received: HeaderBlock | undefined): void {
    const trailers = this.manager.settings.enableTrailers ? received : undefined;
    if (this.#framing === 'chunked') {
      this.writer.text(trailers === undefined ? '0\r\n\r\n' : `0\r\n${trailers.serialize()}\r\n`);
    }
    this.writer.flush();
    if (this.#state === 'closed') return;
    if (this.#closeAfter || this.#state !== 'waiting') {
      this.#beginClose();
      return;
    }
    const nowMs = this.manager.nowMs();
    this.#state = 'idle';
    this.#held = 0;
    this.#armIdle(nowMs);
    if (!this.#consuming && (this.#pending !== undefined || this.#readPaused)) this.#continue();
  }

  /** Breaks the connection off: a response that was begun cannot be completed. */
  abort(): void {
    this.writer.flush();
    this.#state = 'closing';
    this.downstream.wire.end();
    this.downstream.wire.destroy();
  }

  #continue(): void {
    const pending = this.#pending;
    if (pending !== undefined) {
      this.#pending = undefined;
      this.#consume(pending, pending.length);
    }
    if (this.#held !== 0 || (this.#pending !== undefined && this.#state === 'waiting')) return;
    if (this.#readPaused && this.#state !== 'closed') {
      this.#readPaused = false;
      this.downstream.wire.resume();
    }
  }

  #consume(buffer: Buffer, limit: number): void {
    this.#consuming = true;
    const rest = this.#parse(buffer, limit);
    this.#consuming = false;
    if (rest < limit && this.#state !== 'closing' && this.#state !== 'closed') {
      this.#pending = Buffer.from(buffer.subarray(rest, limit));
      // Part of a head must be completed by reading; everything else waits for the stream.
      const needsMore = this.#state === 'head' || this.#state === 'trailers';
      if ((!needsMore || this.#held !== 0) && !this.#readPaused) {
        this.#readPaused = true;
        this.downstream.wire.pause();
      }
    }
    this.#stream.onTurnEnd();
    this.writer.flush();
  }

  /** Returns the offset of what could not be consumed now. */
  #parse(buffer: Buffer, limit: number): number {
    let at = 0;
    const stream = this.#stream;
    while (at < limit) {
      if (this.#held !== 0) return at;
      switch (this.#state) {
        case 'idle':
        case 'head': {
          const result = this.#parser.request(buffer, at, limit);
          if (result === 'partial') {
            this.#waitForHead();
            return at;
          }
          if (result === 'error') {
            this.#onHeadError(this.#parser.error);
            return limit;
          }
          at = this.#parser.end;
          this.#begin();
          break;
        }
        case 'length': {
          const end = Math.min(limit, at + this.#remaining);
          this.#remaining -= end - at;
          const start = at;
          at = end;
          if (this.#remaining === 0) this.#state = 'waiting';
          stream.onData(buffer, start, end);
          if (this.#remaining === 0) stream.onRequestEnd(undefined);
          break;
        }
        case 'chunked': {
          const chunks = this.#chunks;
          chunks.position = at;
          const event = chunks.next(buffer, limit);
          at = chunks.position;
          if (event === 'data') stream.onData(buffer, chunks.dataStart, chunks.dataEnd);
          else if (event === 'trailers') this.#state = 'trailers';
          else if (event === 'error') {
            this.manager.stats.downstream_cx_protocol_error.inc();
            stream.onProtocolError();
            return limit;
          }
          break;
        }
        case 'trailers': {
          this.#trailers ??= new HeadParser(new HeaderBlock());
          const result = this.#trailers.trailers(buffer, at, limit);
          if (result === 'partial') return at;
          if (result === 'error') {
            stream.onProtocolError();
            return limit;
          }
          at = this.#trailers.end;
          this.#state = 'waiting';
          const { block } = this.#trailers;
          const passed = this.manager.settings.enableTrailers && block.count > 0;
          stream.onRequestEnd(passed ? block : undefined);
          break;
        }
        case 'waiting':
          return at;
        case 'tunnel': {
          const start = at;
          at = limit;
          stream.onData(buffer, start, limit);
          break;
        }
        case 'closing':
        case 'closed':
          return limit;
      }
    }
    return at;
  }

  #begin(): void {
    const { manager } = this;
    const parser = this.#parser;
    this.#requests++;
    manager.deadlines.disarm(this);
    const { requestsPerConnectionMax } = manager.settings;
    const { chunked, contentLength } = parser;
    this.#closeAfter =
      parser.minorVersion === 0 ||
      (requestsPerConnectionMax > 0 && this.#requests >= requestsPerConnectionMax);
    const connection = this.requestHeaders.known(H.connection);
    if (connection !== undefined) {
      if (/(?:^|,)\s*close\s*(?:,|$)/i.test(connection)) this.#closeAfter = true;
      else if (parser.minorVersion === 0 && /keep-alive/i.test(connection)) this.#closeAfter = false;
    }
    let endStream = false;
    if (chunked) {
      this.#state = 'chunked';
      this.#chunks.reset();
    } else if (contentLength > 0) {
      this.#state = 'length';
      this.#remaining = contentLength;
    } else {
      this.#state = 'waiting';
      endStream = true;
    }
    this.#stream.begin(parser, endStream);
  }

  #waitForHead(): void {
    if (this.#state === 'head') return;
    this.#state = 'head';
    const { requestHeadersTimeoutMs } = this.manager.settings;
    if (requestHeadersTimeoutMs === 0) return;
    this.manager.deadlines.arm(this, this.manager.nowMs() + requestHeadersTimeoutMs);
  }

  #onHeadError(error: HeadError): void {
    const { stats } = this.manager;
    stats.downstream_cx_protocol_error.inc();
    if (error === 'headers_too_large' || error === 'too_many_headers') {
      stats.downstream_rq_too_large.inc();
      this.#failHead(431, 'Request Header Fields Too Large', `http1.${error}`);
      return;
    }
    if (error === 'invalid_transfer_encoding') {
      this.#failHead(501, 'Not Implemented', `http1.${error}`);
      return;
    }
    this.#failHead(400, 'Bad Request', `http1.${error}`);
  }

  /** Answers a request that never became one, and closes. */
  #failHead(status: number, body: string, details: string, flags?: number): void {
    this.#state = 'length';
    this.#closeAfter = true;
    this.#stream.refuse(status, body, details, flags);
  }

  /** A client that still takes what it was sent gets more time; one that does not, or has all, is cut off. */
  #onCloseDelayed(nowMs: number): void {
    const { bufferedBytes } = this.downstream.wire;
    const progress = bufferedBytes > 0 && bufferedBytes < this.#closingBytes;
    this.#closingBytes = bufferedBytes;
    if (progress) {
      this.manager.deadlines.arm(this, nowMs + this.manager.settings.delayedCloseMs);
      return;
    }
    this.manager.stats.downstream_cx_delayed_close_timeout.inc();
    this.destroy();
  }

  #armIdle(nowMs: number): void {
    const { connectionIdleTimeoutMs, connectionDurationMaxMs } = this.manager.settings;
    if (this.#draining) {
      this.#beginClose();
      return;
    }
    let dueMs = connectionIdleTimeoutMs > 0 ? nowMs + connectionIdleTimeoutMs : Infinity;
    if (connectionDurationMaxMs > 0) dueMs = Math.min(dueMs, this.#since + connectionDurationMaxMs);
    if (dueMs !== Infinity) this.manager.deadlines.arm(this, dueMs);
  }

  /** FIN now; then what the client still sends is discarded for a while, so that it can read the response. */
  #beginClose(): void {
    if (this.#state === 'closed' || this.#state === 'closing') return;
    this.#state = 'closing';
    this.#pending = undefined;
    const { wire } = this.downstream;
    const { delayedCloseMs } = this.manager.settings;
    wire.end();
    if (delayedCloseMs === 0) {
      if (wire.bufferedBytes === 0) wire.destroy();
      return;
    }
    this.manager.deadlines.arm(this, this.manager.nowMs() + delayedCloseMs);
    if (this.#readPaused) {
      this.#readPaused = false;
      wire.resume();
    }
  }
}
