// One HTTP/2 connection from a client: its streams, its timeouts, its graceful end.
import type { HeaderBlock } from '../http/header-block.ts';
import { HeaderBlock as Block } from '../http/header-block.ts';
import { headBytesMax, headersMax } from '../http/header-limits.ts';
import type { HttpManager, ManagedConnection } from '../http/manager.ts';
import { StreamDeadline } from '../http/stream.ts';
import type { RequestHead } from '../http/stream-connection.ts';
import type { SocketAddress } from '../io/socket-address.ts';
import type { DownstreamConnection } from '../network/filter.ts';
import { restoredDestination } from '../network/filter.ts';
import type { StreamInfo } from '../stream-info.ts';
import { Http2Connection } from './connection.ts';
import { clientPreface, errorCodes, settingIds, streamIdMax } from './frames.ts';

import { PrematureResets } from './premature-resets.ts';
import { Http2ServerStream } from './server-stream.ts';
import type { Http2Stream } from './stream.ts';

const E = errorCodes;

/** Objects for streams that a connection keeps; more are made when more are open at once. */
const spareStreamsMax = 64;
/** Of an idle connection. */
const idleStreamsMax = 8;

class Head implements RequestHead {
  readonly protocol = 'HTTP/2';
  method = '';
  target = '';
}

export class Http2ServerConnection extends Http2Connection implements ManagedConnection {
  readonly protocol = 'http2';
  readonly manager: HttpManager;
  readonly downstream: DownstreamConnection;
  readonly destination: SocketAddress | undefined;
  readonly #since: number;
  readonly #spare: Http2ServerStream[] = [];
  readonly #head = new Head();
  readonly #resets = new PrematureResets();
  readonly #refused = new Block();
  /** Responses that are complete and not yet sent, with what was left of them at the last look. */
  readonly #flushing = new Map<Http2Stream, number>();
  readonly #idle = new StreamDeadline(() => this.#onIdle());
  readonly #headersDue = new StreamDeadline(() => this.#onHeadersLate());
  readonly #drainDue = new StreamDeadline(() => this.#finishDrain());
  readonly #flushDue = new StreamDeadline(() => this.#onFlushLate());
  readonly #keepaliveDue = new StreamDeadline((nowMs) => this.#onKeepalive(nowMs));
  readonly #closeDue = new StreamDeadline(() => this.destroy());
  #requests = 0;
  /** none; notice: no new streams are wanted (first GOAWAY); final: none are taken (second GOAWAY). */
  #draining: 'none' | 'notice' | 'final' = 'none';

  constructor(manager: HttpManager, downstream: DownstreamConnection) {
    const { settings } = manager;
    const limits = {
      bytesMax: Math.min(settings.headBytesMax, headBytesMax),
      linesMax: Math.min(settings.headersMax, headersMax),
    };
    super(downstream.wire, settings.http2, manager.http2Stats, limits, true);
    this.manager = manager;
    this.downstream = downstream;
    this.destination = restoredDestination(downstream);
    this.#since = manager.nowMs();
  }

  /** Takes the wire over; `first` are bytes that were read from it before. */
  start(first: Buffer | undefined): void {
    const { wire } = this.downstream;
    wire.setHandler(this);
    const { options } = this;
    const settings: (readonly [number, number])[] = [
      [settingIds.maxConcurrentStreams, options.concurrentStreamsMax],
      [settingIds.initialWindowSize, options.streamWindowBytes],
    ];
    if (options.tableBytesMax !== 4096) settings.unshift([settingIds.headerTableSize, options.tableBytesMax]);
    this.sendSettings(settings);
    this.#armIdle();
    this.#armKeepalive();
    if (first !== undefined && first.length > 0) this.onBytes(first, first.length);
    if (!this.isOver) wire.resume();
  }

  override onBytes(buffer: Buffer, length: number): void {
    this.manager.stats.downstream_cx_rx_bytes_total.add(length);
    super.onBytes(buffer, length);
  }

  /** No new streams after a while: a first GOAWAY says so, a second one, later, which were taken (RFC 9113 section 6.8). */
  drain(): void {
    if (this.#draining !== 'none' || this.isOver) return;
    this.#draining = 'notice';
    this.sendGoaway(streamIdMax, E.noError, '');
    const { manager } = this;
    manager.stats.downstream_cx_drain_close.inc();
    manager.deadlines.arm(this.#drainDue, manager.nowMs() + manager.settings.drainTimeoutMs);
  }

  destroy(): void {
    this.wire.destroy();
  }

  // For its streams.

  writeResponse(
    stream: Http2ServerStream,
    status: number,
    headers: HeaderBlock | undefined,
    endStream: boolean,
  ): void {
    if (!stream.isOpen || stream.localEnded) return;
    const { encoder } = this;
    encoder.start();
    encoder.status(status);
    if (headers !== undefined) encoder.headers(headers, false);
    this.sender.headers(stream, encoder.finish(), endStream);
  }

  /** The response is complete, but not all of it is sent: a client that takes nothing more is not waited for. */
  watchFlush(stream: Http2Stream): void {
    const timeoutMs = this.manager.settings.streamIdleTimeoutMs;
    if (timeoutMs === 0) return;
    this.#flushing.set(stream, stream.queuedBytes);
    if (this.#flushDue.armedIndex < 0)
      this.manager.deadlines.arm(this.#flushDue, this.manager.nowMs() + timeoutMs);
  }

  /** The object may serve another stream. */
  keepSpare(stream: Http2ServerStream): void {
    if (stream.isSpare || stream.isOpen || stream.request.active) return;
    stream.isSpare = true;
    if (this.#spare.length < spareStreamsMax) this.#spare.push(stream);
  }

  /** A stream was reset by the client. */
  countReset(info: StreamInfo): void {
    if (info.responseCode === 0) this.#resets.onReset(this.manager.nowMs() - info.startMonotonicMs);
  }

  // From the connection.

  protected takePreface(buffer: Buffer, at: number, limit: number): number {
    const compared = Math.min(limit - at, clientPreface.length);
    if (buffer.compare(clientPreface, 0, compared, at, at + compared) !== 0) {
      this.fail(E.protocolError, 'no HTTP/2 preface');
      return limit;
    }
    if (compared < clientPreface.length) return -1;
    this.state = 'settings';
    return at + compared;
  }

  protected onHeaderBlock(
    streamId: number,
    bytes: Buffer,
    start: number,
    end: number,
    endStream: boolean,
  ): void {
    const existing = this.streams.get(streamId);
    if (existing !== undefined) {
      this.onTrailers(existing, bytes, start, end, endStream);
      return;
    }
    if ((streamId & 1) === 0) return this.fail(E.protocolError, 'a client opens odd streams');
    if (streamId <= this.peerStreamIdLast) return this.onLateHeaders(streamId, bytes, start, end);
    if (this.#draining === 'final' || this.streams.size >= this.options.concurrentStreamsMax) {
      // The block is decoded all the same: the table must stay in step.
      this.peerStreamIdLast = streamId;
      if (this.decode(bytes, start, end, this.#refused, 'request') === 'compression-error') return;
      this.codec.stream_refused_errors.inc();
      this.refuseStream(streamId, E.refusedStream);
      return;
    }
    this.peerStreamIdLast = streamId;
    const stream = this.#spare.pop() ?? new Http2ServerStream(this);
    stream.renew();
    const result = this.decode(bytes, start, end, stream.requestHeaders, 'request');
    if (result === 'compression-error') return;
    this.openStream(stream, streamId);
    if (this.streams.size === 1) this.manager.deadlines.disarm(this.#idle);
    stream.remoteEnded = endStream;
    if (result === 'too-large') {
      this.touch(stream);
      this.manager.stats.downstream_rq_too_large.inc();
      stream.request.refuse(
        431,
        'Request Header Fields Too Large',
        'http2.headers_too_large',
        undefined,
        'HTTP/2',
      );
      return;
    }
    const { decoder } = this;
    const { contentLength } = decoder;
    if (result === 'malformed' || !this.#takeHead() || (endStream && contentLength > 0)) {
      this.invalidMessage(stream);
      return;
    }
    stream.expectedBytes = contentLength;
    this.touch(stream);
    stream.request.begin(this.#head, endStream);
    const { requestsPerConnectionMax } = this.manager.settings;
    if (++this.#requests === requestsPerConnectionMax) this.drain();
  }

  /** What neither HTTP/1.1 nor a route could take, since it would read it as something else. */
  #takeHead(): boolean {
    const { method = '', path = '', scheme, authority = '', protocol } = this.decoder;
    if (protocol !== undefined) return false;
    if (method !== 'GET' && method !== 'POST' && !/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(method)) return false;
    const head = this.#head;
    head.method = method;
    if (method === 'CONNECT') {
      head.target = authority;
      return true;
    }
    head.target = path;
    // It decides nothing here; x-forwarded-proto does.
    if (scheme === undefined || !/^[A-Za-z][A-Za-z0-9+.-]*$/.test(scheme)) return false;
    if (this.decoder.authority === '') return false;
    if (!/^[!-~]+$/.test(path)) return false;
    return path.startsWith('/') || (path === '*' && method === 'OPTIONS');
  }

  protected onStreamClosed(stream: Http2Stream): void {
    const { manager } = this;
    if (this.#flushing.size > 0) this.#flushing.delete(stream);
    this.#resets.onClosed();
    this.keepSpare(stream as Http2ServerStream);
    if (this.isOver) return;
    if (this.#resets.tooMany) {
      manager.stats.downstream_rq_too_many_premature_resets.inc();
      this.fail(E.enhanceYourCalm, 'too many resets');
      return;
    }
    if (this.streams.size > 0) return;
    if (this.#spare.length > idleStreamsMax) this.#spare.length = idleStreamsMax;
    if (this.#draining === 'final') this.#close();
    else this.#armIdle();
  }

  protected onLocalEnd(stream: Http2Stream): void {
    // The response is complete before the request: the rest of that is of no use (RFC 9113 section 8.1).
    this.resetStream(stream, E.noError);
  }

  protected onGoaway(): void {
    // The client opens no more streams; it closes when it is done.
  }

  protected onHeadersPending(pending: boolean): void {
    const { deadlines, settings } = this.manager;
    if (!pending) deadlines.disarm(this.#headersDue);
    else if (settings.requestHeadersTimeoutMs > 0)
      deadlines.arm(this.#headersDue, this.manager.nowMs() + settings.requestHeadersTimeoutMs);
  }

  protected onBroken(code: number): void {
    if (code !== E.noError) this.manager.stats.downstream_cx_protocol_error.inc();
    this.#closeDelayed();
  }

  /** As Envoy, a client that closes its side gives its requests up. */
  protected onPeerEnd(): void {
    this.wire.destroy();
  }

  protected isIdleOfOurs(): boolean {
    // A server that pushes nothing opens no streams.
    return true;
  }

  protected onGone(): void {
    const { manager } = this;
    const { deadlines, stats } = manager;
    for (const each of [
      this.#idle,
      this.#headersDue,
      this.#drainDue,
      this.#flushDue,
      this.#keepaliveDue,
      this.#closeDue,
    ])
      deadlines.disarm(each);
    this.#flushing.clear();
    stats.downstream_cx_destroy.inc();
    stats.downstream_cx_length_ms.record(Math.round(manager.nowMs() - this.#since));
    manager.forget(this);
  }

  // Timeouts.

  #armIdle(): void {
    const { settings, deadlines } = this.manager;
    const { connectionIdleTimeoutMs, connectionDurationMaxMs } = settings;
    let dueMs = connectionIdleTimeoutMs > 0 ? this.manager.nowMs() + connectionIdleTimeoutMs : Infinity;
    if (connectionDurationMaxMs > 0) dueMs = Math.min(dueMs, this.#since + connectionDurationMaxMs);
    if (dueMs !== Infinity) deadlines.arm(this.#idle, dueMs);
  }

  #onIdle(): void {
    const { settings, stats } = this.manager;
    const { connectionDurationMaxMs } = settings;
    if (connectionDurationMaxMs > 0 && this.manager.nowMs() >= this.#since + connectionDurationMaxMs)
      stats.downstream_cx_max_duration_reached.inc();
    else stats.downstream_cx_idle_timeout.inc();
    this.#finishDrain();
  }

  #onHeadersLate(): void {
    this.manager.stats.downstream_rq_header_timeout.inc();
    this.fail(E.enhanceYourCalm, 'request header timeout');
  }

  #finishDrain(): void {
    if (this.isOver) return;
    this.#draining = 'final';
    this.sendGoaway(this.peerStreamIdLast, E.noError, '');
    if (this.streams.size === 0) this.#close();
  }

  #onFlushLate(): void {
    for (const [stream, before] of this.#flushing) {
      if (stream.queuedBytes < before) {
        this.#flushing.set(stream, stream.queuedBytes);
        continue;
      }
      this.codec.tx_flush_timeout.inc();
      this.#flushing.delete(stream);
      this.resetStream(stream, E.internalError);
    }
    if (this.#flushing.size === 0) return;
    const { deadlines, settings } = this.manager;
    deadlines.arm(this.#flushDue, this.manager.nowMs() + settings.streamIdleTimeoutMs);
  }

  #armKeepalive(): void {
    const { keepaliveIntervalMs } = this.options;
    if (keepaliveIntervalMs > 0)
      this.manager.deadlines.arm(this.#keepaliveDue, this.manager.nowMs() + keepaliveIntervalMs);
  }

  #onKeepalive(nowMs: number): void {
    if (this.state !== 'open') return;
    if (this.pingUnanswered) {
      this.codec.keepalive_timeout.inc();
      this.fail(E.noError, 'keepalive timeout');
      return;
    }
    this.sendPing();
    this.manager.deadlines.arm(this.#keepaliveDue, nowMs + this.options.keepaliveTimeoutMs);
  }

  /** An answer to our PING: the next one is due after the interval again. */
  protected override onPingAnswered(): void {
    this.#armKeepalive();
  }

  /** Closes when all is written. */
  #close(): void {
    if (this.isOver) return;
    this.state = 'closing';
    this.writer.flush();
    this.#closeDelayed();
  }

  /** FIN, then what the client still sends is discarded for a while, so that it can read what it was told. */
  #closeDelayed(): void {
    const { wire } = this;
    const { settings, deadlines } = this.manager;
    wire.end();
    if (settings.delayedCloseMs === 0) {
      if (wire.bufferedBytes === 0) wire.destroy();
      return;
    }
    deadlines.arm(this.#closeDue, this.manager.nowMs() + settings.delayedCloseMs);
  }
}
