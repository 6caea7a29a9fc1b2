// Rows by word, and the readable places of a table.
import type { Host } from './host.ts';
import type { Readers, Source, Tracker } from './node.ts';
import { isUnread, sourceChanged } from './node.ts';

/** See Collection.index. */
export class Index<V> {
  readonly name: string;
  readonly #host: Host;
  readonly #wordsOf: (value: V, key: string) => Iterable<string>;
  readonly #buckets = new Map<string, Map<string, V>>();
  readonly #arrays = new Map<string, readonly V[]>();
  readonly #cells: Cells;
  readonly #wordSet: Cell;

  constructor(host: Host, name: string, level: number, wordsOf: (value: V, key: string) => Iterable<string>) {
    this.name = name;
    this.#host = host;
    this.#wordsOf = wordsOf;
    this.#cells = new Cells(name, level);
    this.#wordSet = new Cell(`${name}.words`, level);
  }

  /** The rows with that word, in order of insertion; the same array until it changes. Recorded. */
  get(word: string): readonly V[] {
    this.#cells.record(this.#host.tracker, word);
    const bucket = this.#buckets.get(word);
    if (bucket === undefined) return nothing;
    let array = this.#arrays.get(word);
    if (array === undefined) {
      array = [...bucket.values()];
      this.#arrays.set(word, array);
    }
    return array;
  }

  /** Which words there are. Recorded. */
  words(): readonly string[] {
    this.#host.tracker.record(this.#wordSet);
    return [...this.#buckets.keys()];
  }

  /** For Collection alone: takes a change in. */
  apply(key: string, before: V | undefined, after: V | undefined): void {
    const old = this.#words(before, key);
    const now = this.#words(after, key);
    for (const word of old) if (!now.has(word)) this.#remove(word, key);
    if (after !== undefined) for (const word of now) this.#put(word, key, after);
  }

  /** A row whose words cannot be told has none. */
  #words(value: V | undefined, key: string): ReadonlySet<string> {
    if (value === undefined) return noWords;
    try {
      return new Set(this.#wordsOf(value, key));
    } catch (error) {
      this.#host.failed(`${this.name}(${key})`, error);
      return noWords;
    }
  }

  #remove(word: string, key: string): void {
    const bucket = this.#buckets.get(word);
    if (bucket?.delete(key) !== true) return;
    if (bucket.size === 0) {
      this.#buckets.delete(word);
      sourceChanged(this.#wordSet);
    }
    this.#changed(word);
  }

  #put(word: string, key: string, value: V): void {
    let bucket = this.#buckets.get(word);
    if (bucket === undefined) {
      bucket = new Map();
      this.#buckets.set(word, bucket);
      sourceChanged(this.#wordSet);
    }
    bucket.set(key, value);
    this.#changed(word);
  }

  #changed(word: string): void {
    this.#arrays.delete(word);
    this.#cells.changed(word);
  }
}

const noWords: ReadonlySet<string> = new Set();

/** One readable place of a collection. */
export class Cell implements Source {
  readonly label: string;
  readonly level: number;
  readers: Readers = undefined;
  readBy = 0;

  constructor(label: string, level: number) {
    this.label = label;
    this.level = level;
  }

  refresh(): void {}
}

const nothing: readonly never[] = [];

/** The cells of one table. They exist only where something has read: a million unread rows cost none. */
export class Cells {
  readonly #byKey = new Map<string, Cell>();
  readonly #name: string;
  readonly #level: number;
  #sweepAt = cellSweepMin;

  constructor(name: string, level: number) {
    this.#name = name;
    this.#level = level;
  }

  record(tracker: Tracker, key: string): void {
    if (tracker.current === undefined) return;
    let cell = this.#byKey.get(key);
    if (cell === undefined) {
      cell = new Cell(`${this.#name}(${key})`, this.#level);
      this.#byKey.set(key, cell);
    }
    tracker.record(cell);
  }

  changed(key: string): void {
    const cell = this.#byKey.get(key);
    if (cell !== undefined) sourceChanged(cell);
    if (this.#byKey.size >= this.#sweepAt) this.#sweep();
  }

  /**
   * Forgets what nobody reads any more. Only on a change: then no derivation is running, and so none has
   * read a cell without being its reader yet.
   */
  #sweep(): void {
    for (const [key, cell] of this.#byKey) if (isUnread(cell)) this.#byKey.delete(key);
    this.#sweepAt = Math.max(cellSweepMin, this.#byKey.size * 2);
  }
}

const cellSweepMin = 1024;
