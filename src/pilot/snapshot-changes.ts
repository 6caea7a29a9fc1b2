// What differs between two snapshots, computed once for all proxies that go from the one to the other.
import type { Encoded, Snapshot } from './resources.ts';

export interface SnapshotChanges {
  /** Names whose content is new or another, in the order of the later snapshot. */
  readonly changed: readonly string[];
  /** Names that are gone, sorted. */
  readonly removed: readonly string[];
}

const none: SnapshotChanges = { changed: [], removed: [] };

/** Entries live as long as both snapshots do. */
const known = new WeakMap<Snapshot, WeakMap<Snapshot, SnapshotChanges>>();

/**
 * A thousand proxies of one scope hold the same snapshot and are to have the same next one: a push walks the
 * two once, not once a proxy.
 */
export function changesBetween(before: Snapshot, after: Snapshot): SnapshotChanges {
  if (before === after) return none;
  let afters = known.get(before);
  if (afters === undefined) {
    afters = new WeakMap();
    known.set(before, afters);
  }
  let changes = afters.get(after);
  if (changes === undefined) {
    changes = compare(before, after);
    afters.set(after, changes);
  }
  return changes;
}

/** Whether both say the same; undefined says nothing. */
export function isSameContent(a: Encoded | undefined, b: Encoded | undefined): boolean {
  return a === b || (a !== undefined && a.version === b?.version);
}

function compare(before: Snapshot, after: Snapshot): SnapshotChanges {
  const changed: string[] = [];
  let kept = 0;
  for (const [name, encoded] of after) {
    const old = before.get(name);
    if (old !== undefined) kept++;
    if (!isSameContent(old, encoded)) changed.push(name);
  }
  const removed = kept === before.size ? [] : [...before.keys()].filter((name) => !after.has(name)).sort();
  return changed.length === 0 && removed.length === 0 ? none : { changed, removed };
}
