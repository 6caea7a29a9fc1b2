// The incremental engine: inputs, derivations that record what they read, and nothing computed twice.
import type { Drained, Equal, Host } from './host.ts';
import { Input } from './collection.ts';
import { structurallyEqual } from './equal.ts';
import { Node, Tracker, isUnread, isUnsettled, markReaders, sourceChanged } from './node.ts';
import type { Readers, Source } from './node.ts';

/** Why a derivation has no value. */
export class DerivationError extends Error {
  /** `name(key)` of the derivation that threw. */
  readonly label: string;

  constructor(label: string, cause: unknown) {
    super(`${label}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    this.name = 'DerivationError';
    this.label = label;
  }
}

export type Outcome<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: DerivationError };

export interface GraphOptions {
  /** Told once of each exception inside a derivation, whoever reads it. */
  readonly failed?: (error: DerivationError) => void;
}

export interface DerivedOptions<Argument, T> {
  readonly name: string;
  /** Equal keys must mean the same computation. Default: the argument itself, which then must be a string. */
  readonly key?: (argument: Argument) => string;
  /**
   * Must be a function of what it reads through the graph, and have no effect. `previous` is the last
   * value, where there was one: for giving back parts that are still right, never for meaning.
   */
  readonly compute: (argument: Argument, previous: T | undefined) => T;
  /** Early cut-off: who read the old value is left alone if the new one is equal. Default: by structure. */
  readonly equal?: Equal;
}

/** What is kept of a derivation that something outside the graph needs. */
export interface Hold {
  /** Lets go; calling it again does nothing. */
  release(): void;
}

/** One value of a derivation, found by its key once: for whoever asks for the same one again and again. */
export interface Handle<T> {
  /** See Derived.attempt. */
  attempt(): Outcome<T>;
  /** See Derived.isFresh. */
  readonly isFresh: boolean;
}

/** Values computed on demand, kept by key until something that they read changes. */
export interface Derived<Argument, T> {
  /** Recorded. Throws DerivationError where the computation threw, CycleError where it needs itself. */
  get(argument: Argument): T;
  /** As get, with the exception as a value: one bad resource must not take others with it. */
  attempt(argument: Argument): Outcome<T>;
  /** Whether `get` would answer without computing: nothing that the value depends on was touched. */
  isFresh(argument: Argument): boolean;
  /** The value itself; it keeps nothing from eviction, and finds the value again that took the place of an evicted one. */
  handle(argument: Argument): Handle<T>;
  /** Keeps it (and what it reads) from eviction. */
  hold(argument: Argument): Hold;
  /** Labels of what it read when it was last computed. For people. */
  readsOf(argument: Argument): readonly string[];
  /** How many values are kept. */
  readonly size: number;
}

interface Named {
  readonly key: string;
  readonly compute: () => unknown;
}

/** One engine. Not to be shared between threads; everything is synchronous. */
export class Graph {
  readonly #tracker = new Tracker();
  readonly #options: GraphOptions;
  readonly #families: Family<unknown, unknown>[] = [];
  readonly #keyed: Family<Named, unknown>;
  readonly #pending = new Set<Drained>();
  readonly #again = new Set<Drained>();
  readonly #listeners = new Set<() => void>();
  readonly #host: Host;
  #orders = 0;
  #batchDepth = 0;
  #wrote = false;
  #revision = 0;

  constructor(options: GraphOptions = {}) {
    this.#options = options;
    this.#host = {
      tracker: this.#tracker,
      nextOrder: () => ++this.#orders,
      pending: (collection) => void this.#pending.add(collection),
      again: (collection) => void this.#again.add(collection),
      write: (write) => this.batch(write),
      failed: (label, error) => this.#report(label, error),
    };
    this.#keyed = this.#family<Named, unknown>({
      name: 'derive',
      key: (named) => named.key,
      compute: (named) => named.compute(),
    });
  }

  /** Grows by one with each batch that wrote something. */
  get revision(): number {
    return this.#revision;
  }

  /** How many derivations and rows were computed so far. */
  get computations(): number {
    return this.#tracker.runs;
  }

  input<V>(name: string, equal: Equal = structurallyEqual): Input<V> {
    return new Input<V>(this.#host, name, equal);
  }

  derived<Argument, T>(options: DerivedOptions<Argument, T>): Derived<Argument, T> {
    return this.#family(options);
  }

  /** A derivation named on the spot. Equal keys must mean the same computation; the first closure stays. */
  derive<T>(key: string, compute: () => T): T {
    return this.#keyed.get({ key, compute }) as T;
  }

  /**
   * Runs `write`; derived collections follow, and listeners are told, once at the end. Batches nest.
   * If `write` throws, what it wrote before stands (and is followed). Inside a batch derived collections
   * show the state before it.
   */
  batch(write: () => void): void {
    if (this.#tracker.current !== undefined) {
      throw new Error(`${this.#tracker.current.label} writes to a collection: derivations only read`);
    }
    this.#batchDepth++;
    this.#wrote = true;
    try {
      write();
    } finally {
      if (this.#batchDepth === 1) this.#drain();
      this.#batchDepth--;
      if (this.#batchDepth === 0 && this.#wrote) {
        this.#wrote = false;
        this.#revision++;
        for (const listener of this.#listeners) listener();
      }
    }
  }

  /** Calls `listener` after each batch (also one that changed nothing). Returns what removes it. */
  onBatch(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Reads inside `compute` are not recorded. */
  untracked<T>(compute: () => T): T {
    return this.#tracker.untracked(compute);
  }

  /**
   * Drops derivations that nothing holds, that no derivation reads and that were not asked for since
   * the last call. Returns how many.
   */
  evict(): number {
    let evicted = 0;
    for (const family of this.#families) evicted += family.evict();
    return evicted;
  }

  /** Derivation name -> how many values are kept. */
  sizes(): ReadonlyMap<string, number> {
    return new Map(this.#families.map((family) => [family.name, family.size]));
  }

  #family<Argument, T>(options: DerivedOptions<Argument, T>): Family<Argument, T> {
    const family = new Family(this.#tracker, options, (label, error) => this.#report(label, error));
    this.#families.push(family as unknown as Family<unknown, unknown>);
    return family;
  }

  #drain(): void {
    for (const collection of this.#again) this.#pending.add(collection);
    this.#again.clear();
    while (this.#pending.size > 0) {
      let next: Drained | undefined;
      for (const each of this.#pending) if (next === undefined || each.level < next.level) next = each;
      if (next === undefined) return;
      this.#pending.delete(next);
      next.drain();
    }
  }

  /** Who reads a failed derivation fails with the same error, which is not news. */
  #report(label: string, error: unknown): DerivationError {
    if (error instanceof DerivationError) return error;
    const wrapped = new DerivationError(label, error);
    this.#options.failed?.(wrapped);
    return wrapped;
  }
}

/** All values of one derivation. */
class Family<Argument, T> implements Derived<Argument, T> {
  readonly name: string;
  readonly tracker: Tracker;
  readonly compute: (argument: Argument, previous: T | undefined) => T;
  readonly equal: Equal;
  readonly report: (label: string, error: unknown) => DerivationError;
  readonly #keyOf: (argument: Argument) => string;
  readonly #memos = new Map<string, Memo<Argument, T>>();

  constructor(
    tracker: Tracker,
    options: DerivedOptions<Argument, T>,
    report: (label: string, error: unknown) => DerivationError,
  ) {
    this.name = options.name;
    this.tracker = tracker;
    this.compute = options.compute;
    this.equal = options.equal ?? structurallyEqual;
    this.report = report;
    this.#keyOf = options.key ?? String;
  }

  get size(): number {
    return this.#memos.size;
  }

  get(argument: Argument): T {
    const outcome = this.attempt(argument);
    if (!outcome.ok) throw outcome.error;
    return outcome.value;
  }

  attempt(argument: Argument): Outcome<T> {
    return this.memo(argument).read();
  }

  handle(argument: Argument): Handle<T> {
    return this.memo(argument);
  }

  isFresh(argument: Argument): boolean {
    return this.#memos.get(this.#keyOf(argument))?.freshness === 'clean';
  }

  hold(argument: Argument): Hold {
    const memo = this.memo(argument);
    memo.holds++;
    let held = true;
    return {
      release: () => {
        if (held) memo.holds--;
        held = false;
      },
    };
  }

  readsOf(argument: Argument): readonly string[] {
    return (this.#memos.get(this.#keyOf(argument))?.reads ?? []).map((source) => source.label);
  }

  evict(): number {
    const size = this.#memos.size;
    for (const memo of this.#memos.values()) {
      if (memo.asked) memo.asked = false;
      else memo.dropIfUnread();
    }
    return size - this.#memos.size;
  }

  forget(memo: Memo<Argument, T>): void {
    this.#memos.delete(memo.key);
  }

  memo(argument: Argument): Memo<Argument, T> {
    const key = this.#keyOf(argument);
    let memo = this.#memos.get(key);
    if (memo === undefined) {
      memo = new Memo(this, key, argument);
      this.#memos.set(key, memo);
    }
    return memo;
  }
}

/** One value of a derivation. */
class Memo<Argument, T> extends Node implements Source, Handle<T> {
  readonly key: string;
  readers: Readers = undefined;
  readBy = 0;
  level = 0;
  override unsettled = false;
  outcome: Outcome<T> | undefined = undefined;
  holds = 0;
  /** Whether it was read from outside since the last eviction. */
  asked = true;
  readonly #family: Family<Argument, T>;
  readonly #argument: Argument;
  #isEvicted = false;

  constructor(family: Family<Argument, T>, key: string, argument: Argument) {
    super(family.tracker);
    this.#family = family;
    this.key = key;
    this.#argument = argument;
  }

  override get label(): string {
    return `${this.#family.name}(${this.key})`;
  }

  get isFresh(): boolean {
    return this.#isEvicted ? this.#family.isFresh(this.#argument) : this.freshness === 'clean';
  }

  attempt(): Outcome<T> {
    return (this.#isEvicted ? this.#family.memo(this.#argument) : this).read();
  }

  read(): Outcome<T> {
    this.refresh();
    const { tracker } = this;
    if (tracker.current === undefined) this.asked = true;
    else tracker.record(this);
    // refresh has computed it.
    return this.outcome as Outcome<T>;
  }

  /** Drops this, and then what only this has read. */
  dropIfUnread(): void {
    if (this.holds > 0 || this.asked || !isUnread(this)) return;
    const { reads } = this;
    this.detach();
    // Whoever still has a handle to it is told of no change any more.
    this.freshness = 'dirty';
    this.#isEvicted = true;
    this.#family.forget(this);
    for (const source of reads) if (source instanceof Memo) source.dropIfUnread();
  }

  protected override recompute(): void {
    const before = this.outcome;
    const after = this.#compute();
    let level = 0;
    for (const source of this.reads) if (source.level > level) level = source.level;
    this.level = level;
    this.unsettled = isUnsettled(this.reads, after.ok ? undefined : after.error);
    if (before !== undefined && this.#same(before, after)) return;
    this.outcome = after;
    sourceChanged(this);
  }

  protected override invalidated(): void {
    markReaders(this, 'check');
  }

  #compute(): Outcome<T> {
    const previous = this.outcome?.ok === true ? this.outcome.value : undefined;
    try {
      return {
        ok: true,
        value: this.tracker.run(this, () => this.#family.compute(this.#argument, previous)),
      };
    } catch (error) {
      return { ok: false, error: this.#family.report(this.label, error) };
    }
  }

  #same(before: Outcome<T>, after: Outcome<T>): boolean {
    if (before.ok && after.ok) return this.#family.equal(before.value, after.value);
    return !before.ok && !after.ok && before.error.message === after.error.message;
  }
}
