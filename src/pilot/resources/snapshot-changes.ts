// What a proxy lacks of what it should have: names whose content differs, and names that are gone.
import type { Encoded, Snapshot } from './snapshot.ts';
import { changedNames } from './snapshot.ts';

export interface SnapshotChanges {
  /** Names whose content is new or another. */
  readonly changed: readonly string[];
  /** Names that are gone, sorted. */
  readonly removed: readonly string[];
}

const none: SnapshotChanges = { changed: [], removed: [] };

/**
 * A thousand proxies hold the same snapshot, or one of the same parts, and are to have the same next one: what
 * they share is compared once (see changedNames), and each pays for what changed alone.
 */
export function changesBetween(before: Snapshot, after: Snapshot): SnapshotChanges {
  const names = changedNames(before, after);
  if (names.length === 0) return none;
  const changed: string[] = [];
  const removed: string[] = [];
  for (const name of names) {
    const encoded = after.get(name);
    if (encoded === undefined) removed.push(name);
    else if (!isSameContent(before.get(name), encoded)) changed.push(name);
  }
  return { changed, removed: removed.sort() };
}

/** Whether both say the same; undefined says nothing. */
export function isSameContent(a: Encoded | undefined, b: Encoded | undefined): boolean {
  return a === b || (a !== undefined && a.version === b?.version);
}
