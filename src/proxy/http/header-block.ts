// The headers of one message: a flat latin1 text with a table of offsets, and the changes made to it.
//
// Headers that stay are copied to the other side as runs of that text; nothing is split into arrays of
// names and values (docs/decisions/0009). One block serves one connection side, again and again.
import { headersMax } from './header-limits.ts';
import type { MessageHeaders } from '../stream-info.ts';
import { nameIdEnd, nameIdOf, nameIds, namesById } from './names.ts';

/** Of a parsed header line. */
const asIs = 0;
const dropped = 1;
/** Not written as `name: value`: serialized anew. */
const irregular = 2;
const replaced = 3;

const forbiddenInTrailers: readonly number[] = (
  [
    'host',
    'connection',
    'content-length',
    'transfer-encoding',
    'upgrade',
    'keep-alive',
    'proxy-connection',
    'te',
    'trailer',
    'expect',
    'content-type',
    'authorization',
    'cookie',
    'set-cookie',
    'x-forwarded-for',
    'x-forwarded-proto',
    'x-forwarded-host',
  ] as const
).map((name) => nameIds[name]);

const noSlots: readonly number[] = Array.from({ length: nameIdEnd }, () => 0);

/** Takes the lines of a block, one after the other: the encoder of HTTP/2. */
export interface LineSink {
  /** A line that stands in `text`. `sensitive`: it must not enter a compression table. */
  line(
    id: number,
    text: string,
    nameStart: number,
    nameEnd: number,
    valueStart: number,
    valueEnd: number,
    sensitive: boolean,
  ): void;
  /** A line that was replaced or added here. */
  pair(id: number, name: string, value: string, sensitive: boolean): void;
}

export class HeaderBlock implements MessageHeaders {
  /** The head as it came, names in lower case. */
  text = '';
  /** Parsed header lines. */
  count = 0;
  // Plain arrays of small integers: they live on the JavaScript heap, where a short connection's blocks cost
  // less than typed arrays, whose memory is allocated outside.
  /** Four numbers for each line: name start, name end, value start, value end, into `text`. */
  readonly offsets: number[] = [];
  readonly ids: number[] = [];
  readonly #states: number[] = [];
  readonly #values: (string | undefined)[] = [];
  /** Known name -> one more than the index of its first line; 0 = absent. */
  readonly #slots: number[] = noSlots.slice();
  /** Name, value, name, value: lines that were added, in order, up to `#addedEnd`. A removed one has an empty name. */
  readonly #added: string[] = [];
  /** The array itself never shrinks: cutting it would free its memory with each message. */
  #addedEnd = 0;
  /** Indices of lines that the peer keeps out of compression tables: the next one must, too (RFC 7541 section 7.1.3). */
  readonly #sensitive: number[] = [];

  /** Forgets everything. */
  clear(): void {
    for (let index = 0; index < this.count; index++) this.#slots[this.ids[index]!] = 0;
    this.text = '';
    this.count = 0;
    this.#addedEnd = 0;
    if (this.#sensitive.length > 0) this.#sensitive.length = 0;
  }

  /** For the parser: the line that is pushed next is HPACK's never-indexed. */
  markSensitive(): void {
    this.#sensitive.push(this.count);
  }

  /** For the parser: a line whose offsets are relative to the start of `text`. False: too many lines. */
  push(
    id: number,
    nameStart: number,
    nameEnd: number,
    valueStart: number,
    valueEnd: number,
    regular: boolean,
  ): boolean {
    const index = this.count;
    if (index >= headersMax) return false;
    const at = index * 4;
    const offsets = this.offsets;
    offsets[at] = nameStart;
    offsets[at + 1] = nameEnd;
    offsets[at + 2] = valueStart;
    offsets[at + 3] = valueEnd;
    this.ids[index] = id;
    this.#states[index] = regular ? asIs : irregular;
    if (id !== 0 && this.#slots[id] === 0) this.#slots[id] = index + 1;
    this.count = index + 1;
    return true;
  }

  /** Whether the line of a known name came at all: for the parser's duplicate checks. */
  seen(id: number): boolean {
    return this.#slots[id] !== 0;
  }

  get(name: string): string | undefined {
    const id = nameIdOf(name);
    if (id !== 0) return this.known(id);
    let value: string | undefined;
    for (let index = 0; index < this.count; index++) {
      if (this.ids[index] !== 0 || this.#states[index] === dropped || !this.#nameIs(index, name)) continue;
      const own = this.valueAt(index);
      value = value === undefined ? own : `${value},${own}`;
    }
    return this.#joinAdded(name, value);
  }

  /** Known names are those that Envoy keeps in one line: theirs are joined all the same. */
  first(name: string): string | undefined {
    let first: string | undefined;
    this.some(name, (value) => {
      first = value;
      return true;
    });
    return first;
  }

  /** Known names are those that Envoy keeps in one line: theirs are tested joined. */
  some(name: string, test: (value: string) => boolean): boolean | undefined {
    const id = nameIdOf(name);
    if (id !== 0) {
      const value = this.known(id);
      return value === undefined ? undefined : test(value);
    }
    let result: boolean | undefined;
    for (let index = 0; index < this.count; index++) {
      if (this.ids[index] !== 0 || this.#states[index] === dropped || !this.#nameIs(index, name)) continue;
      if (test(this.valueAt(index))) return true;
      result = false;
    }
    const added = this.#added;
    for (let at = 0; at < this.#addedEnd; at += 2) {
      if (added[at] !== name) continue;
      if (test(added[at + 1]!)) return true;
      result = false;
    }
    return result;
  }

  /** The value of a known name; several are joined by a comma. */
  known(id: number): string | undefined {
    const slot = this.#slots[id]!;
    let value: string | undefined;
    if (slot !== 0) {
      for (let index = slot - 1; index < this.count; index++) {
        if (this.ids[index] !== id || this.#states[index] === dropped) continue;
        const own = this.valueAt(index);
        value = value === undefined ? own : `${value},${own}`;
      }
    }
    return this.#addedEnd === 0 ? value : this.#joinAdded(namesById[id]!, value);
  }

  /** Whether a known name has a line. */
  has(id: number): boolean {
    const slot = this.#slots[id]!;
    if (slot !== 0) {
      for (let index = slot - 1; index < this.count; index++) {
        if (this.ids[index] === id && this.#states[index] !== dropped) return true;
      }
    }
    return this.#addedEnd !== 0 && this.#hasAdded(namesById[id]!);
  }

  removeKnown(id: number): void {
    const slot = this.#slots[id]!;
    if (slot !== 0) {
      for (let index = slot - 1; index < this.count; index++) {
        if (this.ids[index] === id) this.#states[index] = dropped;
      }
      this.#slots[id] = 0;
    }
    if (this.#addedEnd !== 0) this.#removeAdded(namesById[id]!);
  }

  remove(name: string): void {
    const id = nameIdOf(name);
    if (id !== 0) return this.removeKnown(id);
    for (let index = 0; index < this.count; index++) {
      if (this.ids[index] === 0 && this.#nameIs(index, name)) this.#states[index] = dropped;
    }
    this.#removeAdded(name);
  }

  /** Sets the only value of a known name, in place of the first line if there is one. */
  setKnown(id: number, value: string): void {
    const slot = this.#slots[id]!;
    if (slot === 0) {
      if (this.#addedEnd !== 0 && this.#replaceAdded(namesById[id]!, value)) return;
      this.#push(namesById[id]!, value);
      return;
    }
    this.#replaceLine(slot - 1, value);
    for (let index = slot; index < this.count; index++) {
      if (this.ids[index] === id) this.#states[index] = dropped;
    }
    if (this.#addedEnd !== 0) this.#removeAdded(namesById[id]!);
  }

  /** Sets the only value of any name in lower case. Names that are not known move to the end, as in Envoy. */
  set(name: string, value: string): void {
    const id = nameIdOf(name);
    if (id !== 0) return this.setKnown(id, value);
    this.remove(name);
    this.#push(name, value);
  }

  /** Adds a line at the end, whether or not the name has others. `name` is in lower case. */
  add(name: string, value: string): void {
    this.#push(name, value);
  }

  /** Drops what trailers must not hold: they would change the message after the fact (RFC 9110 section 6.5.1). */
  dropForbiddenTrailers(): void {
    for (const id of forbiddenInTrailers) this.removeKnown(id);
  }

  valueAt(index: number): string {
    if (this.#states[index] === replaced) return this.#values[index]!;
    return this.text.substring(this.offsets[index * 4 + 2]!, this.offsets[index * 4 + 3]);
  }

  nameAt(index: number): string {
    const id = this.ids[index]!;
    if (id !== 0) return namesById[id]!;
    return this.text.substring(this.offsets[index * 4]!, this.offsets[index * 4 + 1]);
  }

  /** Calls `visit` for each header, in order. For logs and tests, not for the hot path. */
  forEach(visit: (name: string, value: string) => void): void {
    for (let index = 0; index < this.count; index++) {
      if (this.#states[index] !== dropped) visit(this.nameAt(index), this.valueAt(index));
    }
    for (let at = 0; at < this.#addedEnd; at += 2) {
      if (this.#added[at] !== '') visit(this.#added[at]!, this.#added[at + 1]!);
    }
  }

  /** All lines as `name: value CRLF`. */
  serialize(): string {
    const { text, offsets, count } = this;
    const states = this.#states;
    let out = '';
    let runStart = -1;
    let runEnd = 0;
    for (let index = 0; index < count; index++) {
      const at = index * 4;
      const state = states[index]!;
      if (state === asIs) {
        if (runStart < 0) runStart = offsets[at]!;
        runEnd = offsets[at + 3]! + 2;
        continue;
      }
      if (runStart >= 0) {
        out += text.substring(runStart, runEnd);
        runStart = -1;
      }
      if (state !== dropped) out += `${this.nameAt(index)}: ${this.valueAt(index)}\r\n`;
    }
    if (runStart >= 0) out += text.substring(runStart, runEnd);
    const added = this.#added;
    for (let at = 0; at < this.#addedEnd; at += 2) {
      const name = added[at]!;
      if (name !== '') out += `${name}: ${added[at + 1]!}\r\n`;
    }
    return out;
  }

  /** Whether anything is left. */
  get hasLines(): boolean {
    for (let index = 0; index < this.count; index++) if (this.#states[index] !== dropped) return true;
    for (let at = 0; at < this.#addedEnd; at += 2) if (this.#added[at] !== '') return true;
    return false;
  }

  /** Hands all lines to `sink`, in order. */
  visitLines(sink: LineSink): void {
    const { text, offsets, count, ids } = this;
    const states = this.#states;
    const marked = this.#sensitive.length > 0;
    for (let index = 0; index < count; index++) {
      const state = states[index];
      if (state === dropped) continue;
      const sensitive = marked && this.#sensitive.includes(index);
      if (state === replaced) {
        sink.pair(ids[index]!, this.nameAt(index), this.#values[index]!, sensitive);
        continue;
      }
      const at = index * 4;
      sink.line(
        ids[index]!,
        text,
        offsets[at]!,
        offsets[at + 1]!,
        offsets[at + 2]!,
        offsets[at + 3]!,
        sensitive,
      );
    }
    const added = this.#added;
    for (let at = 0; at < this.#addedEnd; at += 2) {
      const name = added[at]!;
      if (name !== '') sink.pair(nameIdOf(name), name, added[at + 1]!, false);
    }
  }

  /** Makes this block hold the same headers as `other`, for a second request made from it. */
  copyFrom(other: HeaderBlock): void {
    this.clear();
    this.text = other.text;
    this.count = other.count;
    for (let at = 0; at < other.count * 4; at++) this.offsets[at] = other.offsets[at]!;
    for (let index = 0; index < other.count; index++) {
      this.ids[index] = other.ids[index]!;
      this.#states[index] = other.#states[index]!;
      this.#values[index] = other.#values[index];
    }
    for (let id = 0; id < nameIdEnd; id++) this.#slots[id] = other.#slots[id]!;
    for (let at = 0; at < other.#addedEnd; at++) this.#added[at] = other.#added[at]!;
    this.#addedEnd = other.#addedEnd;
    this.#sensitive.push(...other.#sensitive);
  }

  #replaceLine(index: number, value: string): void {
    this.#states[index] = replaced;
    this.#values[index] = value;
  }

  #nameIs(index: number, name: string): boolean {
    const start = this.offsets[index * 4]!;
    return this.offsets[index * 4 + 1]! - start === name.length && this.text.startsWith(name, start);
  }

  #push(name: string, value: string): void {
    this.#added[this.#addedEnd++] = name;
    this.#added[this.#addedEnd++] = value;
  }

  #hasAdded(name: string): boolean {
    for (let at = 0; at < this.#addedEnd; at += 2) if (this.#added[at] === name) return true;
    return false;
  }

  #joinAdded(name: string, value: string | undefined): string | undefined {
    const added = this.#added;
    let joined = value;
    for (let at = 0; at < this.#addedEnd; at += 2) {
      if (added[at] === name) joined = joined === undefined ? added[at + 1]! : `${joined},${added[at + 1]!}`;
    }
    return joined;
  }

  #removeAdded(name: string): void {
    const added = this.#added;
    for (let at = 0; at < this.#addedEnd; at += 2) if (added[at] === name) added[at] = '';
  }

  #replaceAdded(name: string, value: string): boolean {
    const added = this.#added;
    let found = false;
    for (let at = 0; at < this.#addedEnd; at += 2) {
      if (added[at] !== name) continue;
      if (found) added[at] = '';
      else added[at + 1] = value;
      found = true;
    }
    return found;
  }
}
