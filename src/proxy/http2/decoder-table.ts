// The tables that HPACK's decoder looks lines up in: the static one, and the dynamic one as a ring of bytes.
//
// An entry is kept as it will be copied, `name: value CRLF`. The ring has a fixed size, so that a peer can make
// a connection hold no more than the table size that it was offered.
import { hashStep, internName } from '../http/names.ts';
import { pseudoKind } from './field-rules.ts';
import { dynamicIndexFirst, entryOverheadBytes, staticTable } from './hpack-static.ts';

/** Entries by slot. `values` are kept for pseudo headers only. */
export interface LineTable {
  readonly kinds: Int32Array;
  readonly nameLengths: Int32Array;
  readonly valueLengths: Int32Array;
  readonly values: readonly (string | undefined)[];
  /** 1: the name or value holds what no field may. */
  readonly bad: Uint8Array;
  readonly badNames: Uint8Array;
  /** The slot of an HPACK index; -1: there is none. */
  slotOf(index: number): number;
  copyLine(slot: number, to: Uint8Array, at: number): void;
  copyName(slot: number, to: Uint8Array, at: number): void;
}

class StaticEntries implements LineTable {
  readonly kinds = new Int32Array(dynamicIndexFirst);
  readonly nameLengths = new Int32Array(dynamicIndexFirst);
  readonly valueLengths = new Int32Array(dynamicIndexFirst);
  readonly values: (string | undefined)[] = [];
  readonly bad = new Uint8Array(dynamicIndexFirst);
  readonly badNames = new Uint8Array(dynamicIndexFirst);
  readonly #lines: Uint8Array[] = [];

  constructor() {
    for (const [index, [name, value]] of [['', ''] as const, ...staticTable].entries()) {
      const bytes = Buffer.from(name, 'latin1');
      let hash = 0;
      for (const byte of bytes) hash = hashStep(hash, byte);
      const isPseudo = name.startsWith(':');
      this.kinds[index] = isPseudo ? pseudoKind(name) : internName(bytes, 0, bytes.length, hash);
      this.nameLengths[index] = name.length;
      this.valueLengths[index] = value.length;
      this.values.push(isPseudo ? value : undefined);
      this.#lines.push(Buffer.from(`${name}: ${value}\r\n`, 'latin1'));
    }
  }

  slotOf(index: number): number {
    return index > 0 && index < dynamicIndexFirst ? index : -1;
  }

  copyLine(slot: number, to: Uint8Array, at: number): void {
    const line = this.#lines[slot]!;
    for (let index = 0; index < line.length; index++) to[at + index] = line[index]!;
  }

  copyName(slot: number, to: Uint8Array, at: number): void {
    const line = this.#lines[slot]!;
    const length = this.nameLengths[slot]!;
    for (let index = 0; index < length; index++) to[at + index] = line[index]!;
  }
}

/** Slots are HPACK's indices. */
export const staticEntries: LineTable = new StaticEntries();

/** The dynamic table (RFC 7541 section 2.3.2), newest entry first. Memory is allocated with the first entry. */
export class DecoderTable implements LineTable {
  kinds = noNumbers;
  nameLengths = noNumbers;
  valueLengths = noNumbers;
  bad = noFlags;
  badNames = noFlags;
  readonly values: (string | undefined)[] = [];
  readonly #bytesMax: number;
  /** What the peer has set; at most `#bytesMax`. */
  #limit: number;
  #starts = noNumbers;
  #slotMask = 0;
  #ring = noFlags;
  #ringMask = 0;
  /** Entries ever inserted, and ever evicted. */
  #inserted = 0;
  #evicted = 0;
  /** Size as RFC 7541 section 4.1 counts it. */
  #size = 0;
  #ringEnd = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
    this.#limit = bytesMax;
  }

  get size(): number {
    return this.#size;
  }

  slotOf(index: number): number {
    const age = index - dynamicIndexFirst;
    if (age < 0 || age >= this.#inserted - this.#evicted) return -1;
    return (this.#inserted - 1 - age) & this.#slotMask;
  }

  /** A size update. False: above what was offered. */
  resize(limit: number): boolean {
    if (limit > this.#bytesMax) return false;
    this.#limit = limit;
    this.#evictTo(limit);
    return true;
  }

  /** Inserts the line `name: value CRLF` of `from[start...]`; one that is larger than the table empties it. */
  insert(
    kind: number,
    from: Uint8Array,
    start: number,
    nameLength: number,
    valueLength: number,
    badName: boolean,
    bad: boolean,
    value: string | undefined,
  ): void {
    const size = nameLength + valueLength + entryOverheadBytes;
    if (size > this.#limit) {
      this.#evictTo(0);
      return;
    }
    this.#evictTo(this.#limit - size);
    if (this.#ring.length === 0) this.#allocate();
    const slot = this.#inserted++ & this.#slotMask;
    this.#size += size;
    this.kinds[slot] = kind;
    this.nameLengths[slot] = nameLength;
    this.valueLengths[slot] = valueLength;
    this.bad[slot] = bad ? 1 : 0;
    this.badNames[slot] = badName ? 1 : 0;
    this.values[slot] = value;
    this.#starts[slot] = this.#ringEnd;
    const ring = this.#ring;
    const mask = this.#ringMask;
    const length = nameLength + valueLength + 4;
    const ringStart = this.#ringEnd;
    for (let index = 0; index < length; index++) ring[(ringStart + index) & mask] = from[start + index]!;
    this.#ringEnd = (ringStart + length) & mask;
  }

  copyLine(slot: number, to: Uint8Array, at: number): void {
    this.#copy(slot, this.nameLengths[slot]! + this.valueLengths[slot]! + 4, to, at);
  }

  copyName(slot: number, to: Uint8Array, at: number): void {
    this.#copy(slot, this.nameLengths[slot]!, to, at);
  }

  #copy(slot: number, length: number, to: Uint8Array, at: number): void {
    const ring = this.#ring;
    const mask = this.#ringMask;
    const start = this.#starts[slot]!;
    if (start + length <= ring.length) {
      // In one piece, as nearly all are.
      for (let index = 0; index < length; index++) to[at + index] = ring[start + index]!;
      return;
    }
    for (let index = 0; index < length; index++) to[at + index] = ring[(start + index) & mask]!;
  }

  #evictTo(size: number): void {
    while (this.#size > size) {
      const slot = this.#evicted++ & this.#slotMask;
      this.#size -= this.nameLengths[slot]! + this.valueLengths[slot]! + entryOverheadBytes;
      this.values[slot] = undefined;
    }
  }

  #allocate(): void {
    const slots = powerOfTwo(Math.ceil(this.#bytesMax / entryOverheadBytes));
    this.#slotMask = slots - 1;
    this.#inserted = 0;
    this.#evicted = 0;
    this.kinds = new Int32Array(slots);
    this.nameLengths = new Int32Array(slots);
    this.valueLengths = new Int32Array(slots);
    this.#starts = new Int32Array(slots);
    this.bad = new Uint8Array(slots);
    this.badNames = new Uint8Array(slots);
    const bytes = powerOfTwo(this.#bytesMax);
    this.#ring = new Uint8Array(bytes);
    this.#ringMask = bytes - 1;
  }
}

const noNumbers = new Int32Array(0);
const noFlags = new Uint8Array(0);

function powerOfTwo(least: number): number {
  let size = 16;
  while (size < least) size *= 2;
  return size;
}
