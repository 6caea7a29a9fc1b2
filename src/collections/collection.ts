// Keyed collections: inputs, and collections derived row by row from another one.
import { Cell, Cells, Index } from './collection-index.ts';
import { structurallyEqual } from './equal.ts';
import type { Equal, Host } from './host.ts';
import type { Freshness } from './node.ts';
import { Node, isUnsettled, sourceChanged } from './node.ts';

/**
 * The reading side. Every method records what it read when called inside a derivation: `get` that one
 * key (present or not), `keys` which keys there are, `values`, `entries` and `size` all of it.
 */
export abstract class Collection<V> {
  readonly name: string;
  /** 0 for inputs; a derived collection has a higher one than all that it may read. */
  readonly level: number;
  protected readonly host: Host;
  readonly #equal: Equal;
  readonly #rows = new Map<string, V>();
  readonly #cells: Cells;
  readonly #all: Cell;
  readonly #keySet: Cell;
  #keys: readonly string[] | undefined;
  #values: readonly V[] | undefined;
  readonly #followers: ((key: string, before: V | undefined, after: V | undefined) => void)[] = [];

  constructor(host: Host, name: string, level: number, equal: Equal) {
    this.host = host;
    this.name = name;
    this.level = level;
    this.#equal = equal;
    this.#cells = new Cells(name, level);
    this.#all = new Cell(`${name}.values`, level);
    this.#keySet = new Cell(`${name}.keys`, level);
  }

  get(key: string): V | undefined {
    this.#cells.record(this.host.tracker, key);
    return this.#rows.get(key);
  }

  has(key: string): boolean {
    return this.get(key) !== undefined;
  }

  /** In order of insertion; the same array until it changes. */
  keys(): readonly string[] {
    this.host.tracker.record(this.#keySet);
    return (this.#keys ??= [...this.#rows.keys()]);
  }

  /** In order of insertion; the same array until it changes. */
  values(): readonly V[] {
    this.host.tracker.record(this.#all);
    return (this.#values ??= [...this.#rows.values()]);
  }

  entries(): ReadonlyMap<string, V> {
    this.host.tracker.record(this.#all);
    return this.#rows;
  }

  get size(): number {
    this.host.tracker.record(this.#keySet);
    return this.#rows.size;
  }

  /**
   * A collection with the same keys and `transform`'s values; undefined leaves the row out. `transform`
   * may read other collections and derivations made before this one; it runs again for a row when
   * the row or what it read changes. What it throws is reported, and leaves that row out.
   */
  map<R extends object>(
    name: string,
    transform: (value: V, key: string) => R | undefined,
    equal: Equal = structurallyEqual,
  ): Collection<R> {
    const rowsOf = (value: V, key: string): readonly (readonly [string, R])[] => {
      const row = transform(value, key);
      return row === undefined ? [] : [[key, row]];
    };
    return new DerivedCollection(this.host, name, this, rowsOf, equal);
  }

  /** As map, with any number of rows each: the keys are `<key>#<position>`. */
  flatMap<R extends object>(
    name: string,
    transform: (value: V, key: string) => readonly R[],
    equal: Equal = structurallyEqual,
  ): Collection<R> {
    const rowsOf = (value: V, key: string): readonly (readonly [string, R])[] =>
      transform(value, key).map((row, position) => [`${key}#${position}`, row]);
    return new DerivedCollection(this.host, name, this, rowsOf, equal);
  }

  /**
   * The rows by the words that `wordsOf` gives for each: a pure function of value and key. Reading one
   * word of the index is changed only by rows that have or had that word.
   */
  index(name: string, wordsOf: (value: V, key: string) => Iterable<string>): Index<V> {
    const index = new Index(this.host, name, this.level, wordsOf);
    this.follow((key, before, after) => index.apply(key, before, after));
    return index;
  }

  /** Calls `follower` with every row as it is now, then with each change. */
  protected follow(follower: (key: string, before: V | undefined, after: V | undefined) => void): void {
    this.#followers.push(follower);
    for (const [key, value] of this.#rows) follower(key, undefined, value);
  }

  /** For DerivedCollection, which follows a collection of another type parameter. */
  static follow<V>(
    source: Collection<V>,
    follower: (key: string, before: V | undefined, after: V | undefined) => void,
  ): void {
    source.follow(follower);
  }

  /** Changes one row; an equal value changes nothing (the old one stays). Returns whether it changed. */
  protected apply(key: string, after: V | undefined): boolean {
    const before = this.#rows.get(key);
    if (before === after || (before !== undefined && after !== undefined && this.#equal(before, after))) {
      return false;
    }
    if (after === undefined) this.#rows.delete(key);
    else this.#rows.set(key, after);
    this.#values = undefined;
    this.#cells.changed(key);
    sourceChanged(this.#all);
    if (before === undefined || after === undefined) {
      this.#keys = undefined;
      sourceChanged(this.#keySet);
    }
    for (const follower of this.#followers) follower(key, before, after);
    return true;
  }
}

/** A collection that is written from outside. */
export class Input<V> extends Collection<V> {
  constructor(host: Host, name: string, equal: Equal) {
    super(host, name, 0, equal);
  }

  /** Adds or replaces. An equal value changes nothing. */
  set(key: string, value: V): void {
    this.host.write(() => this.apply(key, value));
  }

  delete(key: string): void {
    this.host.write(() => this.apply(key, undefined));
  }

  /** Makes the collection hold exactly these rows, touching only what differs. */
  replaceAll(rows: ReadonlyMap<string, V>): void {
    this.host.write(() => {
      for (const key of this.host.tracker.untracked(() => this.keys())) {
        if (!rows.has(key)) this.apply(key, undefined);
      }
      for (const [key, value] of rows) this.apply(key, value);
    });
  }
}

/** Kept right eagerly: when a batch ends, the rows that it touched are computed again. */
class DerivedCollection<S, R extends object> extends Collection<R> {
  readonly #rows = new Map<string, Row<R>>();
  readonly #rowsOf: (value: S, key: string) => readonly (readonly [string, R])[];
  readonly #dirty = new Set<Row<R>>();

  constructor(
    host: Host,
    name: string,
    source: Collection<S>,
    rowsOf: (value: S, key: string) => readonly (readonly [string, R])[],
    equal: Equal,
  ) {
    super(host, name, host.nextOrder(), equal);
    this.#rowsOf = rowsOf;
    host.write(() => {
      Collection.follow(source, (key, _before, after) => this.#sourceChanged(key, after));
    });
  }

  drain(): void {
    const rows = [...this.#dirty];
    this.#dirty.clear();
    for (const row of rows) {
      row.refresh();
      if (row.unsettled) {
        this.#dirty.add(row);
        this.host.again(this);
      }
    }
  }

  #sourceChanged(key: string, value: S | undefined): void {
    let row = this.#rows.get(key);
    if (value === undefined) {
      if (row === undefined) return;
      row.detach();
      this.#rows.delete(key);
      this.#dirty.delete(row);
      for (const [rowKey] of row.output) this.apply(rowKey, undefined);
      return;
    }
    if (row === undefined) {
      row = new Row<R>(this.host, `${this.name}(${key})`, this.level, {
        invalidated: (each) => this.#enqueue(each),
        produced: (before, after) => this.#produced(before, after),
      });
      this.#rows.set(key, row);
    }
    row.compute = () => this.#rowsOf(value, key);
    row.freshness = 'dirty';
    this.#enqueue(row);
  }

  #enqueue(row: Row<R>): void {
    this.#dirty.add(row);
    this.host.pending(this);
  }

  #produced(before: RowsOf<R>, after: RowsOf<R>): void {
    const now = new Set(after.map(([key]) => key));
    for (const [key] of before) if (!now.has(key)) this.apply(key, undefined);
    for (const [key, value] of after) this.apply(key, value);
  }
}

type RowsOf<R> = readonly (readonly [string, R])[];

interface RowOwner<R> {
  readonly invalidated: (row: Row<R>) => void;
  readonly produced: (before: RowsOf<R>, after: RowsOf<R>) => void;
}

/** The derivation of one source row. */
class Row<R> extends Node {
  readonly label: string;
  readonly #host: Host;
  readonly #level: number;
  readonly #owner: RowOwner<R>;
  output: RowsOf<R> = [];
  compute: () => RowsOf<R> = () => [];
  override freshness: Freshness = 'dirty';

  constructor(host: Host, label: string, level: number, owner: RowOwner<R>) {
    super(host.tracker);
    this.label = label;
    this.#host = host;
    this.#level = level;
    this.#owner = owner;
  }

  protected override recompute(): void {
    let after: RowsOf<R> = [];
    let failure: unknown;
    try {
      after = this.tracker.run(this, this.compute);
      const late = this.reads.find((source) => source.level >= this.#level);
      if (late !== undefined) {
        after = [];
        throw new Error(
          `${this.label} reads ${late.label}, which is derived later: read only collections made before it`,
        );
      }
    } catch (error) {
      failure = error;
      this.#host.failed(this.label, error);
    }
    this.unsettled = isUnsettled(this.reads, failure);
    const before = this.output;
    this.output = after;
    this.#owner.produced(before, after);
  }

  protected override invalidated(): void {
    this.#owner.invalidated(this);
  }
}
