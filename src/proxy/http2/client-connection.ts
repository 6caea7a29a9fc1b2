// One HTTP/2 connection to an upstream host: its requests, and how it ends.
import { headBytesMax, headersMax } from '../http/header-limits.ts';
import type { Deadline, Deadlines } from '../io/deadlines.ts';
import type { Wire } from '../io/wire.ts';
import type { Host } from '../upstream/host.ts';
import type { RequestToSend, ResetReason } from '../upstream/upstream-request.ts';
import { nameIds } from '../http/names.ts';
import { Http2ClientStream } from './client-stream.ts';
import type { CodecStats } from './codec-stats.ts';
import { Http2Connection } from './connection.ts';
import { clientPreface, errorCodes, settingIds, streamIdMax } from './frames.ts';
import type { Http2Options } from './options.ts';
import type { Http2Stream } from './stream.ts';

const E = errorCodes;

/** Objects for streams that a connection keeps; more are made when more are open at once. */
const spareStreamsMax = 64;

/** Told about the life of the connection: its pool. */
export interface Http2ConnectionOwner {
  /** A request is over. */
  onRequestDone(connection: Http2ClientConnection): void;
  /** The peer allows more or fewer streams, or none at all any more. */
  onCapacity(connection: Http2ClientConnection): void;
  onGone(connection: Http2ClientConnection): void;
}

/** The clock and the timeouts of the cluster. */
export interface Timing {
  readonly deadlines: Deadlines;
  readonly nowMs: () => number;
}

class KeepaliveDue implements Deadline {
  dueMs = 0;
  armedIndex = -1;
  readonly onDue: (nowMs: number) => void;

  constructor(onDue: (nowMs: number) => void) {
    this.onDue = onDue;
  }
}

export class Http2ClientConnection extends Http2Connection {
  readonly host: Host;
  /** Requests started on it. */
  requests = 0;
  /** Clock.monotonicMs since when it is idle; kept by the pool. */
  idleSinceMs = 0;
  /** Why requests end with the connection. */
  endReason: ResetReason = 'connection termination';
  /** No new requests: it closes when the last one is over. */
  draining = false;
  readonly #owner: Http2ConnectionOwner;
  readonly #spare: Http2ClientStream[] = [];
  readonly #timing: Timing;
  readonly #keepaliveDue = new KeepaliveDue((nowMs) => this.#onKeepalive(nowMs));
  #nextId = 1;

  constructor(
    wire: Wire,
    host: Host,
    options: Http2Options,
    codec: CodecStats,
    owner: Http2ConnectionOwner,
    timing: Timing,
  ) {
    super(wire, options, codec, { bytesMax: headBytesMax, linesMax: headersMax }, false);
    this.host = host;
    this.#owner = owner;
    this.#timing = timing;
  }

  /** Takes the connected wire over. */
  start(): void {
    const { wire, options } = this;
    wire.setHandler(this);
    this.writer.payload(clientPreface, 0, clientPreface.length);
    const settings: (readonly [number, number])[] = [
      [settingIds.enablePush, 0],
      [settingIds.maxConcurrentStreams, options.concurrentStreamsMax],
      [settingIds.initialWindowSize, options.streamWindowBytes],
    ];
    if (options.tableBytesMax !== 4096) settings.unshift([settingIds.headerTableSize, options.tableBytesMax]);
    this.sendSettings(settings);
    this.onPingAnswered();
    wire.resume();
  }

  get activeRequests(): number {
    return this.streams.size;
  }

  /** Requests that may be started now. */
  get capacity(): number {
    if (this.draining || this.isOver) return 0;
    if (this.#nextId > streamIdMax) return 0;
    return Math.min(this.options.concurrentStreamsMax, this.peerConcurrentStreamsMax) - this.streams.size;
  }

  /** The peer allows no streams at all (CVE-2021-32780): other connections to it would be no better. */
  get isShut(): boolean {
    return this.peerConcurrentStreamsMax === 0 && this.state === 'open' && !this.draining;
  }

  /** A place for a request; `capacity` must be above 0. */
  newRequest(): Http2ClientStream {
    const stream = this.#spare.pop() ?? new Http2ClientStream(this);
    stream.renew();
    this.openStream(stream, this.#nextId);
    this.#nextId += 2;
    this.requests++;
    return stream;
  }

  writeRequest(stream: Http2ClientStream, request: RequestToSend): void {
    if (!stream.isOpen) return;
    const { encoder } = this;
    const { headers } = request;
    encoder.start();
    encoder.request(request.method, request.scheme, headers.known(nameIds.host) ?? '', request.path);
    encoder.headers(headers, true);
    this.sender.headers(stream, encoder.finish(), false);
  }

  /** No new requests; closes once there is none. */
  drain(): void {
    this.draining = true;
    this.#closeIfIdle();
  }

  /** Closes now. */
  destroy(): void {
    this.draining = true;
    this.wire.destroy();
  }

  /** The object may serve another request; not before all has been handed over in this turn. */
  keepSpare(stream: Http2ClientStream): void {
    if (stream.isSpare || stream.isOpen || stream.isTouched) return;
    stream.renew();
    stream.isSpare = true;
    if (this.#spare.length < spareStreamsMax) this.#spare.push(stream);
  }

  protected takePreface(_buffer: Buffer, _at: number, limit: number): number {
    return limit;
  }

  protected onHeaderBlock(
    streamId: number,
    bytes: Buffer,
    start: number,
    end: number,
    endStream: boolean,
  ): void {
    const stream = this.streams.get(streamId) as Http2ClientStream | undefined;
    if (stream === undefined) {
      if ((streamId & 1) === 0 || this.isIdleOfOurs(streamId))
        return this.fail(E.protocolError, 'HEADERS on an idle stream');
      return this.onLateHeaders(streamId, bytes, start, end);
    }
    if (stream.hasHead) return this.onTrailers(stream, bytes, start, end, endStream);
    const result = this.decode(bytes, start, end, stream.headers, 'response');
    if (result === 'compression-error') return;
    if (result === 'too-large') {
      this.streamError(stream, E.internalError);
      return;
    }
    const { status, contentLength } = this.decoder;
    // 101 has no place in HTTP/2 (RFC 9113 section 8.6), and an interim response ends nothing.
    if (result === 'malformed' || status === 101 || (status < 200 && endStream)) {
      this.invalidMessage(stream);
      return;
    }
    if (status < 200) {
      stream.deliverHead(status, false);
      return;
    }
    const bodiless = stream.headRequest || status === 204 || status === 304;
    if (endStream && contentLength > 0 && !bodiless) {
      this.invalidMessage(stream);
      return;
    }
    stream.hasHead = true;
    stream.expectedBytes = bodiless ? -1 : contentLength;
    stream.remoteEnded = endStream;
    stream.deliverHead(status, endStream);
    this.closeIfDone(stream);
  }

  /** The next PING is due after the interval (connection_keepalive). */
  protected override onPingAnswered(): void {
    const { keepaliveIntervalMs } = this.options;
    const { deadlines, nowMs } = this.#timing;
    if (keepaliveIntervalMs > 0) deadlines.arm(this.#keepaliveDue, nowMs() + keepaliveIntervalMs);
  }

  #onKeepalive(nowMs: number): void {
    if (this.pingUnanswered) {
      this.codec.keepalive_timeout.inc();
      this.wire.destroy();
      return;
    }
    this.sendPing();
    this.#timing.deadlines.arm(this.#keepaliveDue, nowMs + this.options.keepaliveTimeoutMs);
  }

  protected override onSettings(): void {
    this.#owner.onCapacity(this);
  }

  protected onStreamClosed(stream: Http2Stream): void {
    this.keepSpare(stream as Http2ClientStream);
    this.#owner.onRequestDone(this);
    if (this.draining) this.#closeIfIdle();
  }

  protected onLocalEnd(): void {}

  /** Requests that the peer will not look at are given back as refused: they may be tried elsewhere. */
  protected onGoaway(lastStreamId: number): void {
    this.draining = true;
    for (const stream of this.streams.values()) {
      if (stream.id <= lastStreamId || stream.remoteEnded) continue;
      this.giveUp(stream, E.refusedStream);
    }
    this.#owner.onCapacity(this);
    this.#closeIfIdle();
  }

  protected onHeadersPending(): void {}

  protected onBroken(): void {
    this.endReason = 'protocol error';
    this.draining = true;
    this.wire.destroy();
  }

  protected onPeerEnd(): void {
    this.wire.destroy();
  }

  protected isIdleOfOurs(id: number): boolean {
    return id >= this.#nextId;
  }

  protected onGone(): void {
    this.#timing.deadlines.disarm(this.#keepaliveDue);
    this.#owner.onGone(this);
  }

  #closeIfIdle(): void {
    if (this.streams.size > 0 || this.isOver) return;
    this.sendGoaway(0, E.noError, '');
    this.writer.flush();
    this.wire.destroy();
  }
}
