// Counters, gauges and histograms under Envoy's names. A handle is made once, when configuration
// arrives; the hot path then only adds to a slot of a typed array.
//
// A scope is one segment of the name, such as `cluster` or the cluster's own name. A segment that is
// a value rather than a word is given a tag: it stays in the plain name (`cluster.web.upstream_rq_total`)
// and becomes a label for Prometheus (`envoy_cluster_upstream_rq_total{envoy_cluster_name="web"}`).
import { Histogram } from './histogram.ts';

export { Histogram } from './histogram.ts';

/** A label that a part of a name stands for, as Envoy's tag extraction finds it. */
export interface StatTag {
  /** Such as `envoy_cluster_name`. */
  readonly name: string;
  readonly value: string;
}

/** What every stat says of itself. */
export interface StatName {
  /** Full name, such as `cluster.web.upstream_rq_total`. */
  readonly name: string;
  /** The name without the segments that are tags: `cluster.upstream_rq_total`. */
  readonly tagExtractedName: string;
  readonly tags: readonly StatTag[];
}

/** A count that only grows (until an operator resets it). */
export class Counter {
  readonly id: StatName;
  readonly #values: Float64Array;
  readonly #slot: number;
  #baseline = 0;

  /** Use `StatsScope.counter`. */
  constructor(id: StatName, values: Float64Array, slot: number) {
    this.id = id;
    this.#values = values;
    this.#slot = slot;
  }

  inc(): void {
    this.#values[this.#slot]!++;
  }

  add(amount: number): void {
    this.#values[this.#slot]! += amount;
  }

  get value(): number {
    return this.#values[this.#slot]! - this.#baseline;
  }

  /** Whether it ever counted anything; a reset does not change that. */
  get used(): boolean {
    return this.#values[this.#slot]! !== 0;
  }

  /** Back to 0 for readers (`/reset_counters`). */
  reset(): void {
    this.#baseline = this.#values[this.#slot]!;
  }
}

/** A level that goes up and down. */
export class Gauge {
  readonly id: StatName;
  readonly #values: Float64Array;
  readonly #slot: number;
  /** Whether it was ever set. */
  used = false;

  /** Use `StatsScope.gauge`. */
  constructor(id: StatName, values: Float64Array, slot: number) {
    this.id = id;
    this.#values = values;
    this.#slot = slot;
  }

  inc(): void {
    this.#values[this.#slot]!++;
    this.used = true;
  }

  dec(): void {
    this.#values[this.#slot]!--;
  }

  add(amount: number): void {
    this.#values[this.#slot]! += amount;
    this.used = true;
  }

  set(value: number): void {
    this.#values[this.#slot] = value;
    this.used = true;
  }

  get value(): number {
    return this.#values[this.#slot]!;
  }
}

/** A short text, such as the control plane's identifier. */
export class TextReadout {
  readonly id: StatName;
  value = '';

  constructor(id: StatName) {
    this.id = id;
  }
}

/** Names below one prefix. Scopes with the same full prefix share their stats. */
export class StatsScope {
  readonly #store: StatsStore;
  readonly #prefix: string;
  readonly #extractedPrefix: string;
  readonly #tags: readonly StatTag[];

  /** Use `StatsStore.root` and `scope`. */
  constructor(store: StatsStore, prefix: string, extractedPrefix: string, tags: readonly StatTag[]) {
    this.#store = store;
    this.#prefix = prefix;
    this.#extractedPrefix = extractedPrefix;
    this.#tags = tags;
  }

  /** Full prefix with its final dot; empty for the root. */
  get prefix(): string {
    return this.#prefix;
  }

  /**
   * The names below `segment` (which may hold dots). With `tagName` the segment is a value: it becomes
   * that label. Colons become `_`, as in Envoy, so that plain text lines stay `name: value`.
   */
  scope(segment: string, tagName?: string): StatsScope {
    const clean = sanitizeSegment(segment);
    if (tagName === undefined) {
      return new StatsScope(
        this.#store,
        `${this.#prefix}${clean}.`,
        `${this.#extractedPrefix}${clean}.`,
        this.#tags,
      );
    }
    return new StatsScope(this.#store, `${this.#prefix}${clean}.`, this.#extractedPrefix, [
      ...this.#tags,
      { name: tagName, value: clean },
    ]);
  }

  /** The counter of that name; the same handle for the same full name. */
  counter(leaf: string): Counter {
    return this.#store.intern('counter', this.#id(leaf));
  }

  gauge(leaf: string): Gauge {
    return this.#store.intern('gauge', this.#id(leaf));
  }

  /** `recorded` values are whole numbers: milliseconds, unless the name says otherwise. */
  histogram(leaf: string): Histogram {
    return this.#store.intern('histogram', this.#id(leaf));
  }

  textReadout(leaf: string): TextReadout {
    return this.#store.intern('text', this.#id(leaf));
  }

  /** Forgets every stat of this scope, which must have a tag, such as a cluster that is gone. Handles stay usable, unseen. */
  remove(): void {
    this.#store.removeScope(this.#prefix, this.#tags);
  }

  #id(leaf: string): StatName {
    const clean = sanitizeSegment(leaf);
    return {
      name: this.#prefix + clean,
      tagExtractedName: this.#extractedPrefix + clean,
      tags: this.#tags,
    };
  }
}

interface StatKinds {
  readonly counter: Counter;
  readonly gauge: Gauge;
  readonly histogram: Histogram;
  readonly text: TextReadout;
}

type StatMaps = { readonly [K in keyof StatKinds]: Map<string, StatKinds[K]> };

const chunkSlots = 1024;

/** All stats of one process. */
export class StatsStore {
  readonly root: StatsScope;
  readonly #maps: StatMaps = {
    counter: new Map(),
    gauge: new Map(),
    histogram: new Map(),
    text: new Map(),
  };
  readonly #make: { readonly [K in keyof StatKinds]: (id: StatName) => StatKinds[K] } = {
    counter: (id) => new Counter(id, ...this.#newSlot()),
    gauge: (id) => new Gauge(id, ...this.#newSlot()),
    histogram: (id) => new Histogram(id),
    text: (id) => new TextReadout(id),
  };
  /** What stands in scopes with a tag, by the first tag. */
  readonly #byFirstTag = new Map<string, { readonly kind: keyof StatKinds; readonly id: StatName }[]>();
  #chunk = new Float64Array(chunkSlots);
  #nextSlot = 0;

  constructor() {
    this.root = new StatsScope(this, '', '', []);
  }

  scope(segment: string, tagName?: string): StatsScope {
    return this.root.scope(segment, tagName);
  }

  counters(): Iterable<Counter> {
    return this.#maps.counter.values();
  }

  gauges(): Iterable<Gauge> {
    return this.#maps.gauge.values();
  }

  histograms(): Iterable<Histogram> {
    return this.#maps.histogram.values();
  }

  textReadouts(): Iterable<TextReadout> {
    return this.#maps.text.values();
  }

  resetCounters(): void {
    for (const counter of this.counters()) counter.reset();
  }

  /** The stat of that kind and name, made if it is new. Scopes call this. */
  intern<Kind extends keyof StatKinds>(kind: Kind, id: StatName): StatKinds[Kind] {
    const map: Map<string, StatKinds[Kind]> = this.#maps[kind];
    let stat = map.get(id.name);
    if (stat === undefined) {
      stat = this.#make[kind](id);
      map.set(id.name, stat);
      this.#remember(kind, id);
    }
    return stat;
  }

  /** Forgets what stands below `prefix` with these tags. The tags count: `a.` is also a prefix of cluster `a.b`. */
  removeScope(prefix: string, tags: readonly StatTag[]): void {
    const key = firstTag(tags);
    const members = key === undefined ? undefined : this.#byFirstTag.get(key);
    if (key === undefined || members === undefined) return;
    const kept = members.filter(({ kind, id }) => {
      const gone = id.name.startsWith(prefix) && startsWithTags(id.tags, tags);
      if (gone) this.#maps[kind].delete(id.name);
      return !gone;
    });
    if (kept.length === 0) this.#byFirstTag.delete(key);
    else this.#byFirstTag.set(key, kept);
  }

  /** So that a scope can be removed without a search through everything. */
  #remember(kind: keyof StatKinds, id: StatName): void {
    const key = firstTag(id.tags);
    if (key === undefined) return;
    const members = this.#byFirstTag.get(key);
    if (members === undefined) this.#byFirstTag.set(key, [{ kind, id }]);
    else members.push({ kind, id });
  }

  /** Chunks are never moved, so that handles may hold on to them. */
  #newSlot(): [Float64Array, number] {
    if (this.#nextSlot === chunkSlots) {
      this.#chunk = new Float64Array(chunkSlots);
      this.#nextSlot = 0;
    }
    return [this.#chunk, this.#nextSlot++];
  }
}

function startsWithTags(tags: readonly StatTag[], start: readonly StatTag[]): boolean {
  return start.every((tag, index) => tags[index]?.name === tag.name && tags[index].value === tag.value);
}

function firstTag(tags: readonly StatTag[]): string | undefined {
  const tag = tags[0];
  return tag === undefined ? undefined : `${tag.name}=${tag.value}`;
}

function sanitizeSegment(segment: string): string {
  if (!segment.includes(':') && !segment.includes('\0')) return segment;
  return segment.replaceAll(/[:\0]/g, '_');
}
