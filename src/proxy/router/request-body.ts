// What of a request's body is kept: for a connection that is not there yet, for retries, for mirrors.
import { defaultBufferBytesMax } from '../io/wire.ts';

export class RequestBody {
  readonly chunks: Buffer[] = [];
  /** The whole body is wanted again. */
  keeps = false;
  #bytes = 0;
  #bytesMax = defaultBufferBytesMax;

  /** A new request. */
  start(keeps: boolean, bytesMax: number | undefined): void {
    this.clear();
    this.keeps = keeps;
    this.#bytesMax = bytesMax ?? defaultBufferBytesMax;
  }

  /** More is held than the limit: the client must wait. */
  get full(): boolean {
    return this.#bytes > this.#bytesMax;
  }

  /**
   * Copies the bytes if they are wanted again or `unsent`. True: the body has just become too large to be
   * kept for a repetition.
   */
  add(buffer: Buffer, start: number, end: number, unsent: boolean): boolean {
    if (!this.keeps && !unsent) return false;
    this.#bytes += end - start;
    const tooLarge = this.keeps && this.full;
    if (tooLarge) {
      this.keeps = false;
      if (!unsent) this.clear();
    }
    if (this.keeps || unsent) this.chunks.push(Buffer.from(buffer.subarray(start, end)));
    return tooLarge;
  }

  clear(): void {
    if (this.chunks.length > 0) this.chunks.length = 0;
    this.#bytes = 0;
  }
}
