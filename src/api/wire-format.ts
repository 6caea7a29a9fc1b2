// Protobuf as fields and offsets, for who wants a few texts of a message, or puts one together of parts that are
// encoded already: to decode or copy a megabyte for that would cost more than all the rest.

/** Bytes that are no protobuf message. */
export class MalformedMessage extends Error {
  constructor(at: number) {
    super(`byte ${at} is no protobuf field`);
    this.name = 'MalformedMessage';
  }
}

const varintType = 0;
const fixed64Type = 1;
const bytesType = 2;
const fixed32Type = 5;

/**
 * The fields of one message, one after the other: `while (fields.next()) switch (fields.number) ...`. Nothing is
 * allocated for a field. Throws MalformedMessage where a field would reach beyond the message.
 */
export class Fields {
  /** Number of the present field. */
  number = 0;
  /** Of a length-delimited field (text, bytes, message): where its content begins and ends. Otherwise 0. */
  start = 0;
  end = 0;
  /** Of a varint field: its value; exact up to 2^53. Otherwise 0. */
  value = 0;
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #at: number;

  constructor(bytes: Uint8Array, start = 0, end: number = bytes.length) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  /** Moves on to the next field; false at the end of the message. */
  next(): boolean {
    if (this.#at >= this.#end) return false;
    const tag = this.#varint();
    this.number = Math.floor(tag / 8);
    if (this.number === 0) throw new MalformedMessage(this.#at);
    this.start = 0;
    this.end = 0;
    this.value = 0;
    switch (tag % 8) {
      case varintType:
        this.value = this.#varint();
        break;
      case bytesType: {
        const length = this.#varint();
        this.start = this.#at;
        this.#skip(length);
        this.end = this.#at;
        break;
      }
      case fixed64Type:
        this.#skip(8);
        break;
      case fixed32Type:
        this.#skip(4);
        break;
      default:
        // Groups: nothing that we read has them.
        throw new MalformedMessage(this.#at);
    }
    return true;
  }

  #skip(length: number): void {
    const end = this.#at + length;
    if (end > this.#end) throw new MalformedMessage(this.#at);
    this.#at = end;
  }

  #varint(): number {
    let value = 0;
    let scale = 1;
    // Ten bytes hold 64 bits.
    for (let count = 0; count < 10; count++) {
      if (this.#at >= this.#end) break;
      const byte = this.#bytes[this.#at++] ?? 0;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
    throw new MalformedMessage(this.#at);
  }
}

/** The text between two offsets. */
export function textAt(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8');
}

/** Bytes of a value as a varint. Whole numbers from 0 on. */
export function varintBytes(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size++;
  return size;
}

/** Returns the offset behind it. */
export function writeVarint(bytes: Uint8Array, start: number, value: number): number {
  let at = start;
  let rest = value;
  while (rest >= 0x80) {
    bytes[at++] = (rest % 0x80) + 0x80;
    rest = Math.floor(rest / 0x80);
  }
  bytes[at++] = rest;
  return at;
}

// Length-delimited fields with numbers up to 15, whose tag is one byte.

/** Bytes of a field with so many bytes of content. */
export function bytesFieldSize(contentBytes: number): number {
  return 1 + varintBytes(contentBytes) + contentBytes;
}

/** Tag and length; the content is to follow at the offset that is returned. */
export function writeBytesHead(bytes: Uint8Array, at: number, number: number, contentBytes: number): number {
  bytes[at] = number * 8 + bytesType;
  return writeVarint(bytes, at + 1, contentBytes);
}

/** Returns the offset behind it. */
export function writeBytesField(bytes: Uint8Array, at: number, number: number, content: Uint8Array): number {
  const contentAt = writeBytesHead(bytes, at, number, content.length);
  bytes.set(content, contentAt);
  return contentAt + content.length;
}

export function encodeBytesField(number: number, content: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(bytesFieldSize(content.length));
  writeBytesField(bytes, 0, number, content);
  return bytes;
}

/** Writes a message, field by field, into bytes that grow. */
export class MessageWriter {
  readonly #chunks: Uint8Array[] = [];

  /** Text is left out where it is empty, as proto3 does. */
  text(number: number, text: string): this {
    return text === '' ? this : this.bytes(number, Buffer.from(text, 'utf8'));
  }

  /** A length-delimited field, written even where it is empty. Field numbers up to 15. */
  bytes(number: number, content: Uint8Array): this {
    const head = Buffer.allocUnsafe(1 + varintBytes(content.length));
    writeBytesHead(head, 0, number, content.length);
    this.#chunks.push(head, content);
    return this;
  }

  varint(number: number, value: number): this {
    const field = Buffer.allocUnsafe(1 + varintBytes(value));
    field[0] = number * 8 + varintType;
    writeVarint(field, 1, value);
    this.#chunks.push(field);
    return this;
  }

  /** Fields that were encoded before; shared, never copied before `finish`. */
  encoded(fields: Uint8Array): this {
    this.#chunks.push(fields);
    return this;
  }

  finish(): Buffer {
    return Buffer.concat(this.#chunks);
  }
}
