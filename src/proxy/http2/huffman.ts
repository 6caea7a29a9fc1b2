// HPACK's Huffman code (RFC 7541 appendix B), both ways, by tables.
//
// The code is canonical: the lengths of the codes say all. Decoding goes by half bytes through a table of
// states, so that no input makes it slower than two look-ups for each byte.

/** Bits of the code of each byte, and of the end-of-string symbol. */
// prettier-ignore
const codeLengths: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
  6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
  30,
];
const endOfString = 256;

const codes = canonicalCodes();

function canonicalCodes(): Uint32Array {
  const symbols = codeLengths.map((_, symbol) => symbol);
  symbols.sort((a, b) => codeLengths[a]! - codeLengths[b]! || a - b);
  const result = new Uint32Array(codeLengths.length);
  let code = 0;
  let length = 0;
  for (const symbol of symbols) {
    code = (code << (codeLengths[symbol]! - length)) >>> 0;
    length = codeLengths[symbol]!;
    result[symbol] = code;
    code += 1;
  }
  return result;
}

// A cell of the table: bits 0-7 the byte that is complete, bit 8 whether there is one, from bit 16 on the next state.
const emits = 0x100;
const stateShift = 16;
/** Leads nowhere: the end-of-string symbol in the text. */
const deadState = 0xffff;
const { cells, accepting } = decodeTable();

interface Node {
  readonly children: [Node | undefined, Node | undefined];
  symbol: number;
  state: number;
  /** Only ones lead here from the root, at most seven: what may pad the last byte. */
  padding: boolean;
}

function newNode(): Node {
  return { children: [undefined, undefined], symbol: -1, state: -1, padding: false };
}

function decodeTable(): { cells: Uint32Array; accepting: Uint8Array } {
  const root = newNode();
  for (const [symbol, length] of codeLengths.entries()) {
    let node = root;
    for (let bit = length - 1; bit >= 0; bit--) {
      const way = (codes[symbol]! >>> bit) & 1;
      node = node.children[way] ??= newNode();
    }
    node.symbol = symbol;
  }
  const states: Node[] = [];
  const number = (node: Node): void => {
    if (node.symbol >= 0) return;
    node.state = states.length;
    states.push(node);
    for (const child of node.children) if (child !== undefined) number(child);
  };
  number(root);
  let ones: Node | undefined = root;
  for (let length = 0; length < 8 && ones !== undefined; length++) {
    ones.padding = true;
    ones = ones.children[1];
  }
  const table = new Uint32Array(states.length * 16);
  const ends = new Uint8Array(states.length);
  for (const start of states) {
    ends[start.state] = start.padding ? 1 : 0;
    for (let half = 0; half < 16; half++) table[start.state * 16 + half] = walk(root, start, half);
  }
  return { cells: table, accepting: ends };
}

function walk(root: Node, start: Node, half: number): number {
  let node = start;
  let emitted = 0;
  for (let bit = 3; bit >= 0; bit--) {
    node = node.children[(half >>> bit) & 1]!;
    if (node.symbol === endOfString) return (deadState << stateShift) >>> 0;
    if (node.symbol >= 0) {
      emitted = emits | node.symbol;
      node = root;
    }
  }
  return ((node.state << stateShift) | emitted) >>> 0;
}

/**
 * Decodes `from[start, end)` to `to[at...]`, which must have room for 8/5 of it. Returns the offset behind the
 * text; -1 if it is no Huffman text: the end-of-string symbol in it, or padding that is not up to seven ones.
 */
export function huffmanDecode(
  from: Uint8Array,
  start: number,
  end: number,
  to: Uint8Array,
  at: number,
): number {
  let state = 0;
  let out = at;
  for (let index = start; index < end; index++) {
    const byte = from[index]!;
    const high = cells[state * 16 + (byte >>> 4)]!;
    if ((high & emits) !== 0) to[out++] = high;
    state = high >>> stateShift;
    if (state === deadState) return -1;
    const low = cells[state * 16 + (byte & 15)]!;
    if ((low & emits) !== 0) to[out++] = low;
    state = low >>> stateShift;
    if (state === deadState) return -1;
  }
  return accepting[state] === 1 ? out : -1;
}

/** Bytes of the latin1 `text` when encoded. */
export function huffmanLength(text: string): number {
  let bits = 0;
  for (let index = 0; index < text.length; index++) bits += codeLengths[text.charCodeAt(index) & 0xff]!;
  return (bits + 7) >>> 3;
}

/** Writes the latin1 `text` encoded to `to[at...]`; returns the offset behind it. */
export function huffmanEncode(text: string, to: Uint8Array, at: number): number {
  let out = at;
  /** Bits that wait, fewer than eight, at the low end. */
  let waiting = 0;
  let count = 0;
  for (let index = 0; index < text.length; index++) {
    const symbol = text.charCodeAt(index) & 0xff;
    const code = codes[symbol]!;
    let left = codeLengths[symbol]!;
    while (left > 0) {
      const taken = Math.min(left, 8 - count);
      left -= taken;
      waiting = (waiting << taken) | ((code >>> left) & ((1 << taken) - 1));
      count += taken;
      if (count === 8) {
        to[out++] = waiting;
        waiting = 0;
        count = 0;
      }
    }
  }
  if (count > 0) to[out++] = (waiting << (8 - count)) | (0xff >>> count);
  return out;
}
