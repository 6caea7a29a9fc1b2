// What both ends of an HTTP/2 stream have in common: windows, the queue of what may not be sent yet, and what
// came while nobody wanted it.
import { HeaderBlock } from '../http/header-block.ts';
import type { Http2Connection } from './connection.ts';

/** A sender should pause when more than this waits for windows. */
export const queuedBytesHigh = 16 * 1024;

/** One object serves one stream after the other where its owner keeps it. */
export abstract class Http2Stream {
  abstract readonly http2: Http2Connection;
  id = 0;
  /** In the connection's table: neither closed nor reset. */
  isOpen = false;
  /** Reset from here: the peer was at fault, or it was given up. */
  resetByUs = false;
  sendWindow = 0;
  receiveWindow = 0;
  /** Consumed, but not given back to the sender. */
  unreturnedBytes = 0;
  /** END_STREAM is out. */
  localEnded = false;
  /** END_STREAM came. */
  remoteEnded = false;
  /** Of a content-length; -1: any. */
  expectedBytes = -1;
  receivedBytes = 0;
  // What waits to be sent.
  readonly queue: Buffer[] = [];
  queuedBytes = 0;
  /** The stream ends behind the queue, with trailers if there are any. */
  endQueued = false;
  queuedTrailers: HeaderBlock | undefined = undefined;
  /** In the connection's list of streams that can send. */
  isWaiting = false;
  /** Where the flags of the last frame stand, and in which of the writer's epochs. */
  flagsAt = -1;
  epoch = -1;
  /** In the connection's list of streams to which something was delivered in this turn. */
  isTouched = false;
  #holding = false;
  #delivering = false;
  readonly #inbound: Buffer[] = [];
  #inboundBytes = 0;
  #inboundEnd = false;
  #inboundTrailers: HeaderBlock | undefined = undefined;

  /** For a new stream. */
  open(id: number, sendWindow: number, receiveWindow: number): void {
    this.id = id;
    this.isOpen = true;
    this.resetByUs = false;
    this.sendWindow = sendWindow;
    this.receiveWindow = receiveWindow;
    this.unreturnedBytes = 0;
    this.localEnded = false;
    this.remoteEnded = false;
    this.expectedBytes = -1;
    this.receivedBytes = 0;
    this.flagsAt = -1;
    this.#holding = false;
  }

  /** All of the message has been handed over. */
  get delivered(): boolean {
    return this.remoteEnded && !this.#inboundEnd && this.#inbound.length === 0;
  }

  get sendBlocked(): boolean {
    return this.queuedBytes > queuedBytesHigh;
  }

  protected abstract onData(buffer: Buffer, start: number, end: number): void;
  protected abstract onEnd(trailers: HeaderBlock | undefined): void;
  /** All that was delivered in this turn has been handed over. */
  abstract onTurnEnd(): void;
  /** The peer reset the stream, or the connection is gone (`code` undefined). It is closed by then. */
  abstract onReset(code: number | undefined): void;
  /** What was queued has been sent. */
  abstract onWritable(): void;

  /** Nothing more is handed over until `letFlow`; windows bound what gathers. */
  holdInbound(): void {
    this.#holding = true;
  }

  letFlow(): void {
    this.#holding = false;
    if (this.#delivering) return;
    this.#delivering = true;
    while (!this.#holding && this.isOpen) {
      const chunk = this.#inbound.shift();
      if (chunk === undefined) break;
      this.#inboundBytes -= chunk.length;
      this.http2.touch(this);
      this.onData(chunk, 0, chunk.length);
      this.http2.giveBack(this, chunk.length);
    }
    this.#delivering = false;
    if (this.#inboundEnd && !this.#holding && this.#inbound.length === 0 && this.isOpen) {
      this.#inboundEnd = false;
      const trailers = this.#inboundTrailers;
      this.#inboundTrailers = undefined;
      this.http2.touch(this);
      this.onEnd(trailers);
      this.http2.closeIfDone(this);
    }
    this.http2.endTurnOutside();
  }

  /** Payload of a DATA frame. */
  deliver(buffer: Buffer, start: number, end: number): void {
    if (this.#holding || this.#inbound.length > 0 || this.#delivering) {
      this.#inbound.push(Buffer.from(buffer.subarray(start, end)));
      this.#inboundBytes += end - start;
      return;
    }
    this.http2.touch(this);
    this.onData(buffer, start, end);
    this.http2.giveBack(this, end - start);
  }

  /** END_STREAM came. */
  deliverEnd(trailers: HeaderBlock | undefined): void {
    if (this.#holding || this.#inbound.length > 0 || this.#delivering) {
      this.#inboundEnd = true;
      if (trailers !== undefined) {
        this.#inboundTrailers = new HeaderBlock();
        this.#inboundTrailers.copyFrom(trailers);
      }
      return;
    }
    this.http2.touch(this);
    this.onEnd(trailers);
  }

  /** Forgets what waits to be sent. */
  dropQueue(): void {
    this.queue.length = 0;
    this.queuedBytes = 0;
    this.endQueued = false;
    this.queuedTrailers = undefined;
  }

  /** Forgets what waits, in both directions; returns the bytes that were received and not consumed. */
  discard(): number {
    const bytes = this.#inboundBytes;
    this.#inbound.length = 0;
    this.#inboundBytes = 0;
    this.#inboundEnd = false;
    this.#inboundTrailers = undefined;
    this.dropQueue();
    return bytes;
  }
}
