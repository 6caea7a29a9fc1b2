// Names that differ between two snapshots, as one list. Proxies that share both snapshots share the list.
import type { Snapshot } from '../resources/resources.ts';
import type { SnapshotChanges } from '../resources/snapshot-changes.ts';
import { changesBetween } from '../resources/snapshot-changes.ts';

/** Names whose content differs, or that one of both lacks. */
export type ChangedNames = readonly string[];

const known = new WeakMap<SnapshotChanges, ChangedNames>();

/** Names that were added, changed or removed; the same array for the same two snapshots. */
export function changedNames(before: Snapshot, after: Snapshot): ChangedNames {
  const changes = changesBetween(before, after);
  if (changes.removed.length === 0) return changes.changed;
  let names = known.get(changes);
  if (names === undefined) known.set(changes, (names = [...changes.changed, ...changes.removed]));
  return names;
}
