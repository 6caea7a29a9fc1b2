// The parts of the dependency graph: what can be read (Source) and what reads (Node), and who is reading now.

export type Readers = undefined | Node | Set<Node>;

/** Something whose reading is recorded. Readers are told when it changes. */
export interface Source {
  /** `name(key)`, for people. */
  readonly label: string;
  /** The order of the newest collection that stands behind it; 0 for inputs (see Collection). */
  readonly level: number;
  /** Most have one reader, and a set costs two hundred bytes: see addReader. */
  readers: Readers;
  /** The run that read this last: keeps a source from being recorded twice by one run. */
  readBy: number;
  /** See Node.unsettled. */
  readonly unsettled?: boolean;
  /** Brings the value up to date; cells of collections always are. */
  refresh(): void;
}

/**
 * What is known of a node's value.
 * clean: right. check: something that it read may have changed. dirty: something that it read has changed.
 */
export type Freshness = 'clean' | 'check' | 'dirty';

/** A node reads sources and is computed again when one of them has changed. */
export abstract class Node {
  freshness: Freshness = 'dirty';
  running = false;
  /**
   * The last computation met a cycle, so what it read is not the whole of what it depends on: it stays
   * dirty, and is computed again whenever it is asked for, until the cycle is gone.
   */
  unsettled = false;
  /** In the order of reading. */
  reads: Source[] = [];
  readonly tracker: Tracker;

  constructor(tracker: Tracker) {
    this.tracker = tracker;
  }

  abstract readonly label: string;
  /** Computes anew, inside tracker.run. */
  protected abstract recompute(): void;
  /** Called once when the node goes from clean to check or dirty. */
  protected abstract invalidated(): void;

  /** Tells the node that something it read has changed (or may have), and so on upwards. */
  mark(freshness: 'check' | 'dirty'): void {
    if (this.freshness === 'clean') {
      this.freshness = freshness;
      this.invalidated();
    } else if (freshness === 'dirty') {
      this.freshness = 'dirty';
    }
  }

  /** Makes the node clean: by looking at what it read, and by computing anew only if that did change. */
  refresh(): void {
    if (this.freshness === 'clean') return;
    if (this.running) throw new CycleError(this.tracker.pathTo(this));
    if (this.freshness === 'check') {
      this.running = true;
      try {
        for (const source of this.reads) {
          source.refresh();
          // A source that did change has marked its readers, so this one too.
          if (this.isDirty()) break;
        }
      } finally {
        this.running = false;
      }
    }
    if (this.isDirty()) this.recompute();
    this.freshness = this.unsettled ? 'dirty' : 'clean';
  }

  /** Forgets every recorded read. */
  detach(): void {
    for (const source of this.reads) removeReader(source, this);
    this.reads = [];
  }

  // A method, so that the compiler does not believe that the field still is what it was before a call.
  private isDirty(): boolean {
    return this.freshness === 'dirty';
  }
}

/** Which node is being computed, and what it has read so far. */
export class Tracker {
  #current: Node | undefined;
  #run = 0;
  #runs = 0;
  /** The first so many reads were the same as last time. */
  #same = 0;
  #others: Source[] | undefined;
  readonly #stack: Node[] = [];

  get current(): Node | undefined {
    return this.#current;
  }

  /** How many computations there have been: for tests and benchmarks. */
  get runs(): number {
    return this.#runs;
  }

  /** Records that the current node (if any) reads `source`. */
  record(source: Source): void {
    if (this.#current === undefined || source.readBy === this.#run) return;
    source.readBy = this.#run;
    if (this.#others === undefined && this.#current.reads[this.#same] === source) this.#same++;
    else (this.#others ??= []).push(source);
  }

  /** Runs `compute` and makes what it reads the node's reads, also where it throws. */
  run<T>(node: Node, compute: () => T): T {
    const outer = { current: this.#current, run: this.#run, same: this.#same, others: this.#others };
    this.#current = node;
    this.#run = ++this.#runs;
    this.#same = 0;
    this.#others = undefined;
    this.#stack.push(node);
    node.running = true;
    try {
      return compute();
    } finally {
      node.running = false;
      this.#stack.pop();
      this.#adopt(node);
      this.#current = outer.current;
      this.#run = outer.run;
      this.#same = outer.same;
      this.#others = outer.others;
    }
  }

  /** Runs `compute` without recording anything. */
  untracked<T>(compute: () => T): T {
    const outer = this.#current;
    this.#current = undefined;
    try {
      return compute();
    } finally {
      this.#current = outer;
    }
  }

  /** The labels from `node`'s first appearance among the running ones back to `node`. */
  pathTo(node: Node): readonly string[] {
    const start = Math.max(0, this.#stack.indexOf(node));
    return [...this.#stack.slice(start), node].map((each) => each.label);
  }

  #adopt(node: Node): void {
    const { reads } = node;
    if (this.#others === undefined && this.#same === reads.length) return;
    for (let i = this.#same; i < reads.length; i++) {
      const source = reads[i];
      if (source !== undefined) removeReader(source, node);
    }
    const kept = this.#same === reads.length ? reads : reads.slice(0, this.#same);
    node.reads = this.#others === undefined ? kept : [...kept, ...this.#others];
    // Over all of them: a source may stand twice where an inner run read it in between, and the loop
    // above has then removed the one that stays.
    for (const source of node.reads) addReader(source, node);
  }
}

/** A derivation that needs itself. `path` names the derivations from one to itself. */
export class CycleError extends Error {
  readonly path: readonly string[];

  constructor(path: readonly string[]) {
    super(`a derivation cannot read itself: ${path.join(' -> ')}`);
    this.name = 'CycleError';
    this.path = path;
  }
}

/** Marks the direct readers of `source` dirty; what depends on them is marked check. */
export function sourceChanged(source: Source): void {
  markReaders(source, 'dirty');
}

export function markReaders({ readers }: Source, freshness: 'check' | 'dirty'): void {
  if (readers === undefined) return;
  if (readers instanceof Node) readers.mark(freshness);
  else for (const reader of readers) reader.mark(freshness);
}

/** Whether nobody reads it now. */
export function isUnread({ readers }: Source): boolean {
  return readers === undefined || (readers instanceof Set && readers.size === 0);
}

function addReader(source: Source, node: Node): void {
  const { readers } = source;
  if (readers === undefined) source.readers = node;
  else if (readers instanceof Set) readers.add(node);
  else if (readers !== node) source.readers = new Set([readers, node]);
}

function removeReader(source: Source, node: Node): void {
  const { readers } = source;
  if (readers instanceof Set) readers.delete(node);
  else if (readers === node) source.readers = undefined;
}

/** Whether a computation met a cycle, itself or in what it read. */
export function isUnsettled(reads: readonly Source[], failure: unknown): boolean {
  for (let cause = failure; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof CycleError) return true;
  }
  return reads.some((source) => source.unsettled === true);
}
