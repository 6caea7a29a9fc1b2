// What one side of a connection has to say in this turn, joined into as few writes as possible.
import type { Wire } from '../io/wire.ts';

/** Pieces up to this size are joined as text; larger ones go out at once behind what waits. */
const joinBytesMax = 1024;
/** Waiting text is written when it is longer than this. */
const textLengthMax = 32 * 1024;

export class MessageWriter {
  readonly #wire: Wire;
  #text = '';
  /** A write said that the wire's buffer is above its limit; until the wire's `onDrain`. */
  blocked = false;

  constructor(wire: Wire) {
    this.#wire = wire;
  }

  /** Adds latin1 text, to be written by `flush`. */
  text(text: string): void {
    this.#text += text;
  }

  bytes(buffer: Buffer, start: number, end: number): void {
    if (end - start <= joinBytesMax) {
      this.#text += buffer.toString('latin1', start, end);
      if (this.#text.length > textLengthMax) this.flush();
      return;
    }
    const text = this.#text;
    this.#text = '';
    if (!this.#wire.writeTextAndBytes(text, buffer.subarray(start, end))) this.blocked = true;
  }

  /** One chunk of the chunked coding. */
  chunk(buffer: Buffer, start: number, end: number): void {
    if (end === start) return;
    this.#text += `${(end - start).toString(16)}\r\n`;
    this.bytes(buffer, start, end);
    this.#text += '\r\n';
  }

  flush(): void {
    const text = this.#text;
    if (text === '') return;
    this.#text = '';
    if (!this.#wire.writeText(text)) this.blocked = true;
  }
}
