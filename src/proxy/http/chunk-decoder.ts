// The chunked transfer coding (RFC 9112 section 7.1), decoded over any splitting of the bytes.

/** What `next` found; data is `buffer[dataStart, dataEnd)`. */
export type ChunkEvent = 'data' | 'need-more' | 'trailers' | 'error';

/** Extensions are skipped, but not without end (CVE-2024-22019). */
const extensionBytesMax = 4096;
/** Hex digits: 2^52 bytes in one chunk are enough. */
const sizeDigitsMax = 13;

type State = 'size' | 'extension' | 'size-lf' | 'data' | 'data-cr' | 'data-lf' | 'trailers';

/**
 * Call `next` until it says 'need-more'. After 'trailers' the trailer section (perhaps just CRLF) starts at
 * `position`, and the decoder is at its end.
 */
export class ChunkDecoder {
  /** Where the next call goes on. */
  position = 0;
  dataStart = 0;
  dataEnd = 0;
  #state: State = 'size';
  #size = 0;
  #digits = 0;
  /** Bytes of extensions in this body. */
  #extensionBytes = 0;

  reset(): void {
    this.#state = 'size';
    this.#size = 0;
    this.#digits = 0;
    this.#extensionBytes = 0;
  }

  next(buffer: Uint8Array, limit: number): ChunkEvent {
    while (this.position < limit) {
      const byte = buffer[this.position]!;
      switch (this.#state) {
        case 'size': {
          const digit = hexValue(byte);
          if (digit >= 0) {
            if (++this.#digits > sizeDigitsMax) return 'error';
            this.#size = this.#size * 16 + digit;
          } else if (this.#digits === 0) return 'error';
          else if (byte === 13) this.#state = 'size-lf';
          else if (byte === 59) this.#state = 'extension';
          else return 'error';
          this.position++;
          break;
        }
        case 'extension':
          if (byte === 13) this.#state = 'size-lf';
          else if (byte === 10 || byte === 0 || ++this.#extensionBytes > extensionBytesMax) return 'error';
          this.position++;
          break;
        case 'size-lf':
          if (byte !== 10) return 'error';
          this.position++;
          this.#digits = 0;
          if (this.#size === 0) {
            this.#state = 'trailers';
            return 'trailers';
          }
          this.#state = 'data';
          break;
        case 'data': {
          const available = Math.min(limit - this.position, this.#size);
          this.dataStart = this.position;
          this.dataEnd = this.position + available;
          this.position = this.dataEnd;
          this.#size -= available;
          if (this.#size === 0) this.#state = 'data-cr';
          return 'data';
        }
        case 'data-cr':
          if (byte !== 13) return 'error';
          this.position++;
          this.#state = 'data-lf';
          break;
        case 'data-lf':
          if (byte !== 10) return 'error';
          this.position++;
          this.#state = 'size';
          break;
        case 'trailers':
          return 'trailers';
      }
    }
    return 'need-more';
  }
}

function hexValue(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 0x20;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}
