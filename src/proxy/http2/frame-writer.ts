// What one HTTP/2 connection has to say in this turn of the event loop, written at its end in one piece.
import type { Wire } from '../io/wire.ts';
import { frameFlags, frameHeaderBytes, frameTypes } from './frames.ts';

const bufferBytes = 64 * 1024;
const poolMax = 32;
/** Buffers between two turns: an idle connection holds none. */
const pool: Buffer[] = [];

let waiting: FrameWriter[] = [];

function flushAll(): void {
  const writers = waiting;
  waiting = [];
  for (const writer of writers) writer.flush();
}

/** Where in the wire's bytes a number of frames ends: frames count as outbound until the wire has let go of them. */
interface Mark {
  readonly endByte: number;
  readonly frames: number;
  readonly controlFrames: number;
}

export class FrameWriter {
  readonly #wire: Wire;
  #buffer: Buffer | undefined;
  #length = 0;
  #queued = false;
  /** The wire's buffer is above its limit; until `onDrain`. */
  blocked = false;
  /** Grows with each write: offsets of `patch` are good within one. */
  epoch = 0;
  /** Frames that have not left the process. Exact only while the wire holds bytes back. */
  outboundFrames = 0;
  outboundControlFrames = 0;
  #sentBytes = 0;
  #framesSinceMark = 0;
  #controlSinceMark = 0;
  readonly #marks: Mark[] = [];

  constructor(wire: Wire) {
    this.#wire = wire;
  }

  /** Writes a frame's header; returns the offset of its flags, for `patchEndStream`. */
  header(length: number, type: number, flags: number, streamId: number): number {
    const buffer = this.#room(frameHeaderBytes);
    const at = this.#length;
    buffer[at] = length >>> 16;
    buffer[at + 1] = length >>> 8;
    buffer[at + 2] = length;
    buffer[at + 3] = type;
    buffer[at + 4] = flags;
    buffer[at + 5] = streamId >>> 24;
    buffer[at + 6] = streamId >>> 16;
    buffer[at + 7] = streamId >>> 8;
    buffer[at + 8] = streamId;
    this.#length = at + frameHeaderBytes;
    this.outboundFrames++;
    this.#framesSinceMark++;
    return at + 4;
  }

  payload(from: Uint8Array, start: number, end: number): void {
    let at = start;
    while (at < end) {
      const buffer = this.#room(1);
      const taken = Math.min(end - at, buffer.length - this.#length);
      const target = this.#length;
      if (taken <= 64) for (let index = 0; index < taken; index++) buffer[target + index] = from[at + index]!;
      else buffer.set(from.subarray(at, at + taken), target);
      this.#length = target + taken;
      at += taken;
    }
  }

  uint32(value: number): void {
    const buffer = this.#room(4);
    const at = this.#length;
    buffer[at] = value >>> 24;
    buffer[at + 1] = value >>> 16;
    buffer[at + 2] = value >>> 8;
    buffer[at + 3] = value;
    this.#length = at + 4;
  }

  /** Sets END_STREAM on a frame that has not been written yet. */
  patchEndStream(flagsAt: number): void {
    this.#buffer![flagsAt]! |= frameFlags.endStream;
  }

  /** A header block as HEADERS and as many CONTINUATION frames as it takes; returns the offset of HEADERS' flags. */
  headerBlock(streamId: number, block: Buffer, endStream: boolean, payloadMax: number): number {
    const end = endStream ? frameFlags.endStream : 0;
    const { length } = block;
    if (length <= payloadMax) {
      this.#room(Math.min(bufferBytes, frameHeaderBytes + length));
      const flagsAt = this.header(length, frameTypes.headers, end | frameFlags.endHeaders, streamId);
      const { epoch } = this;
      this.payload(block, 0, length);
      return epoch === this.epoch ? flagsAt : -1;
    }
    this.header(payloadMax, frameTypes.headers, end, streamId);
    this.payload(block, 0, payloadMax);
    for (let at = payloadMax; at < length; at += payloadMax) {
      const next = Math.min(length, at + payloadMax);
      const flags = next === length ? frameFlags.endHeaders : 0;
      this.header(next - at, frameTypes.continuation, flags, streamId);
      this.payload(block, at, next);
    }
    return -1;
  }

  settings(entries: readonly (readonly [id: number, value: number])[]): void {
    this.header(entries.length * 6, frameTypes.settings, 0, 0);
    const payload = Buffer.alloc(entries.length * 6);
    for (const [index, [setting, value]] of entries.entries()) {
      payload.writeUInt16BE(setting, index * 6);
      payload.writeUInt32BE(value, index * 6 + 2);
    }
    this.payload(payload, 0, payload.length);
  }

  /** `id` 0: of the connection. */
  windowUpdate(id: number, bytes: number): void {
    this.header(4, frameTypes.windowUpdate, 0, id);
    this.uint32(bytes);
  }

  /** A PING of ours; what its answer carries is not looked at. */
  ping(): void {
    this.header(8, frameTypes.ping, 0, 0);
    this.uint32(0);
    this.uint32(0);
  }

  goaway(lastStreamId: number, code: number, details: string): void {
    const text = Buffer.from(details, 'latin1');
    this.header(8 + text.length, frameTypes.goaway, 0, 0);
    this.uint32(lastStreamId);
    this.uint32(code);
    this.payload(text, 0, text.length);
  }

  // Answers, which count as control frames.

  settingsAck(): void {
    this.header(0, frameTypes.settings, frameFlags.ack, 0);
    this.#countControl();
  }

  /** Sends the eight bytes of a PING back. */
  pingAck(from: Uint8Array, start: number, end: number): void {
    this.header(8, frameTypes.ping, frameFlags.ack, 0);
    this.payload(from, start, end);
    this.#countControl();
  }

  rstStream(id: number, code: number): void {
    this.header(4, frameTypes.rstStream, 0, id);
    this.uint32(code);
    this.#countControl();
  }

  /** Hands over what has gathered. */
  flush(): void {
    this.#queued = false;
    this.#write();
    if (this.#buffer === undefined) return;
    if (pool.length < poolMax) pool.push(this.#buffer);
    this.#buffer = undefined;
  }

  /** Hands over what has gathered so far in this turn, and counts what the wire could not get rid of. */
  push(): void {
    this.#write();
    this.settle();
  }

  /** Drops what has gathered: the connection is gone. */
  drop(): void {
    this.#length = 0;
    this.#marks.length = 0;
  }

  /** Recounts the frames that have not left. */
  settle(): void {
    const buffered = this.#wire.bufferedBytes;
    if (buffered === 0) {
      if (this.#marks.length > 0) this.#marks.length = 0;
      this.outboundFrames = this.#framesSinceMark;
      this.outboundControlFrames = this.#controlSinceMark;
      return;
    }
    const gone = this.#sentBytes - buffered;
    const marks = this.#marks;
    let count = 0;
    while (count < marks.length && marks[count]!.endByte <= gone) {
      this.outboundFrames -= marks[count]!.frames;
      this.outboundControlFrames -= marks[count]!.controlFrames;
      count++;
    }
    if (count > 0) marks.splice(0, count);
  }

  #countControl(): void {
    this.outboundControlFrames++;
    this.#controlSinceMark++;
  }

  #room(bytes: number): Buffer {
    if (!this.#queued) {
      this.#queued = true;
      if (waiting.length === 0) setImmediate(flushAll);
      waiting.push(this);
    }
    if (this.#buffer === undefined) this.#buffer = pool.pop() ?? Buffer.allocUnsafeSlow(bufferBytes);
    else if (this.#length + bytes > bufferBytes) {
      this.#write();
      this.#buffer ??= pool.pop() ?? Buffer.allocUnsafeSlow(bufferBytes);
    }
    return this.#buffer;
  }

  #write(): void {
    const buffer = this.#buffer;
    const length = this.#length;
    if (buffer === undefined || length === 0) return;
    this.#length = 0;
    this.epoch++;
    const wire = this.#wire;
    const before = wire.bufferedBytes;
    this.#sentBytes += length;
    if (before > 0) {
      // It will wait behind what already does: a copy, or many small writes would each hold a whole buffer.
      if (!wire.writeAtOnce(Buffer.from(buffer.subarray(0, length)))) this.blocked = true;
    } else {
      if (!wire.writeAtOnce(buffer.subarray(0, length))) this.blocked = true;
      // What has not left is still read from this memory: it stays with the wire.
      if (wire.bufferedBytes > 0) this.#buffer = undefined;
    }
    if (wire.bufferedBytes > 0)
      this.#marks.push({
        endByte: this.#sentBytes,
        frames: this.#framesSinceMark,
        controlFrames: this.#controlSinceMark,
      });
    this.#framesSinceMark = 0;
    this.#controlSinceMark = 0;
    this.settle();
  }
}
