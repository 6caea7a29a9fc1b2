// Sets of names that subscriptions ask for, one object for equal sets: proxies that ask for the same share a snapshot.

/** Names asked for; the same object for equal sets. */
export interface NameSet {
  readonly id: number;
  /** Sorted, each once. */
  readonly names: readonly string[];
}

interface Known {
  readonly set: NameSet;
  readonly lookup: ReadonlySet<string>;
}

/** Keeps no set alive: what nobody asks for any more is forgotten. */
export class NameSets {
  /** By number and length of the names, which few different sets have in common: no set is sorted to be found. */
  readonly #known = new Map<string, WeakRef<NameSet>[]>();
  readonly #lookups = new WeakMap<NameSet, ReadonlySet<string>>();
  #ids = 0;

  /** How many sets are remembered. */
  get size(): number {
    let size = 0;
    for (const known of this.#known.values()) size += known.length;
    return size;
  }

  /** The one set of these names. */
  of(names: Iterable<string>): NameSet {
    const asked = names instanceof Set ? (names as ReadonlySet<string>) : new Set(names);
    let length = 0;
    for (const name of asked) length += name.length;
    const key = `${asked.size}/${length}`;
    const known = this.#alive(key);
    const same = known.find(({ lookup }) => {
      for (const name of asked) if (!lookup.has(name)) return false;
      return true;
    });
    if (same !== undefined) return same.set;
    const set: NameSet = { id: ++this.#ids, names: [...asked].sort() };
    this.#lookups.set(set, new Set(set.names));
    this.#known.set(key, [...known.map((each) => new WeakRef(each.set)), new WeakRef(set)]);
    return set;
  }

  /** Forgets what nobody has any more. */
  sweep(): void {
    for (const [key, known] of this.#known) {
      const alive = known.filter((each) => each.deref() !== undefined);
      if (alive.length === 0) this.#known.delete(key);
      else this.#known.set(key, alive);
    }
  }

  #alive(key: string): Known[] {
    return (this.#known.get(key) ?? []).flatMap((each) => {
      const set = each.deref();
      const lookup = set === undefined ? undefined : this.#lookups.get(set);
      return set === undefined || lookup === undefined ? [] : [{ set, lookup }];
    });
  }
}
