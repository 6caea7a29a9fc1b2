// What an HTTP/2 connection sends of its streams: header blocks at once, data as the windows allow, the rest queued
// and sent a frame of each stream in turn.
import type { HeaderBlock } from '../http/header-block.ts';
import { HeaderBlock as Block } from '../http/header-block.ts';
import type { FloodGuard } from './flood-guard.ts';
import type { FrameWriter } from './frame-writer.ts';
import { frameFlags, framePayloadMax, frameTypes, windowSizeInitial, windowSizeMax } from './frames.ts';
import type { HpackEncoder } from './hpack-encoder.ts';
import type { Http2Stream } from './stream.ts';

/** What it needs of its connection. */
export interface SenderOwner {
  /** The wire is gone. */
  readonly isGone: boolean;
  /** Something was written that a peer who does not read could make us gather. */
  checkOutbound(): void;
  /** END_STREAM is out. */
  onEndSent(stream: Http2Stream): void;
}

export class StreamSender {
  readonly #owner: SenderOwner;
  readonly #writer: FrameWriter;
  readonly #encoder: HpackEncoder;
  readonly #guard: FloodGuard;
  /** Of the connection, in bytes. */
  #window = windowSizeInitial;
  readonly #waiting: Http2Stream[] = [];
  #pumping = false;

  constructor(owner: SenderOwner, writer: FrameWriter, encoder: HpackEncoder, guard: FloodGuard) {
    this.#owner = owner;
    this.#writer = writer;
    this.#encoder = encoder;
    this.#guard = guard;
  }

  /** The peer takes `bytes` more on this connection. False: more than a window can be. */
  widen(bytes: number): boolean {
    this.#window += bytes;
    if (this.#window > windowSizeMax) return false;
    this.pump();
    return true;
  }

  /** The block that the encoder has just finished. */
  headers(stream: Http2Stream, block: Buffer, endStream: boolean): void {
    const writer = this.#writer;
    stream.flagsAt = writer.headerBlock(stream.id, block, endStream, framePayloadMax);
    stream.epoch = writer.epoch;
    this.#owner.checkOutbound();
    if (endStream) this.#ended(stream);
  }

  /** Sends what the windows allow and queues a copy of the rest. */
  data(stream: Http2Stream, buffer: Buffer, start: number, end: number): void {
    if (stream.localEnded || stream.endQueued || !stream.isOpen) return;
    let at = start;
    if (stream.queuedBytes === 0) at = this.#writeData(stream, buffer, start, end);
    if (at >= end) return;
    stream.queue.push(Buffer.from(buffer.subarray(at, end)));
    stream.queuedBytes += end - at;
    this.wait(stream);
  }

  /** The message is complete, behind what is queued. */
  end(stream: Http2Stream, trailers: HeaderBlock | undefined): void {
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

  /** What it has queued is sent when `pump` comes to it. */
  wait(stream: Http2Stream): void {
    if (stream.isWaiting || stream.sendWindow <= 0) return;
    stream.isWaiting = true;
    this.#waiting.push(stream);
  }

  /** The stream is closed. */
  forget(stream: Http2Stream): void {
    if (!stream.isWaiting) return;
    stream.isWaiting = false;
    const at = this.#waiting.indexOf(stream);
    if (at >= 0) this.#waiting.splice(at, 1);
  }

  /** All streams are closed. */
  forgetAll(): void {
    this.#waiting.length = 0;
  }

  /** Sends what is queued, a frame of each stream in turn. */
  pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    const waiting = this.#waiting;
    while (waiting.length > 0 && this.#window > 0 && !this.#writer.blocked) {
      const stream = waiting.shift()!;
      stream.isWaiting = false;
      const chunk = stream.queue[0];
      if (chunk === undefined) continue;
      const sent = this.#writeData(stream, chunk, 0, Math.min(chunk.length, framePayloadMax));
      stream.queuedBytes -= sent;
      if (sent === chunk.length) stream.queue.shift();
      else stream.queue[0] = chunk.subarray(sent);
      if (stream.queuedBytes > 0) {
        this.wait(stream);
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

  #writeData(stream: Http2Stream, buffer: Buffer, start: number, end: number): number {
    const writer = this.#writer;
    let at = start;
    while (at < end && !writer.blocked && !this.#owner.isGone) {
      const bytes = Math.min(end - at, framePayloadMax, stream.sendWindow, this.#window);
      if (bytes <= 0) break;
      stream.flagsAt = writer.header(bytes, frameTypes.data, 0, stream.id);
      stream.epoch = writer.epoch;
      writer.payload(buffer, at, at + bytes);
      stream.sendWindow -= bytes;
      this.#window -= bytes;
      this.#guard.onDataSent();
      at += bytes;
    }
    return at;
  }

  #writeEnd(stream: Http2Stream, trailers: HeaderBlock | undefined): void {
    if (trailers !== undefined && trailers.hasLines) {
      const encoder = this.#encoder;
      encoder.start();
      encoder.headers(trailers, true);
      this.headers(stream, encoder.finish(), true);
      return;
    }
    const writer = this.#writer;
    // Mostly the stream's last frame still waits here: it says that it is the last.
    if (stream.flagsAt >= 0 && stream.epoch === writer.epoch) writer.patchEndStream(stream.flagsAt);
    else writer.header(0, frameTypes.data, frameFlags.endStream, stream.id);
    this.#ended(stream);
  }

  #ended(stream: Http2Stream): void {
    stream.localEnded = true;
    this.#owner.onEndSent(stream);
  }
}
