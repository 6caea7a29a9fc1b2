// What differs between two snapshots. Proxies that share both share the answer.
import { bytesEqual } from '../../collections/index.ts';
import type { Encoded, Snapshot } from '../resources.ts';

/** Names whose content differs, or that one of both lacks. */
export type ChangedNames = readonly string[];

const known = new WeakMap<Snapshot, WeakMap<Snapshot, ChangedNames>>();

/** Names that were added, changed or removed; the same array for the same two snapshots. */
export function changedNames(before: Snapshot, after: Snapshot): ChangedNames {
  if (before === after) return none;
  let answers = known.get(before);
  if (answers === undefined) known.set(before, (answers = new WeakMap()));
  let names = answers.get(after);
  if (names === undefined) answers.set(after, (names = compare(before, after)));
  return names;
}

/** Whether both say the same; two that are absent do. */
export function isSameContent(a: Encoded | undefined, b: Encoded | undefined): boolean {
  if (a === b || a?.field === b?.field) return true;
  return a !== undefined && b !== undefined && bytesEqual(a.field, b.field);
}

const none: ChangedNames = [];

function compare(before: Snapshot, after: Snapshot): ChangedNames {
  const names: string[] = [];
  for (const [name, encoded] of after) {
    if (!isSameContent(before.get(name), encoded)) names.push(name);
  }
  for (const name of before.keys()) if (!after.has(name)) names.push(name);
  return names.length === 0 ? none : names;
}
