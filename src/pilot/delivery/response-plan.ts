// What the next response of one type holds, given what the proxy has and what it should have. In state of the
// world a response of clusters or listeners is the whole set, in delta it is what changed (B2.09, B3.03, B3.09).
import type { Dialect } from '../../xds/server/dialect.ts';
import type { Subscription } from '../../xds/server/subscription.ts';
import { isWildcardType, typeUrls } from '../../xds/types.ts';
import type { Track } from './track.ts';
import { isDue, isRefused } from './track.ts';
import type { Encoded, Snapshot } from '../resources/snapshot.ts';
import { isUnknown } from './resumed.ts';
import { changesBetween } from '../resources/snapshot-changes.ts';

export interface ResponsePlan {
  readonly resources: readonly Encoded[];
  /** Delta says so; a whole set leaves them out. */
  readonly removed: readonly string[];
  /** What the proxy has once it has accepted. */
  readonly after: Snapshot;
  /** Names whose content is new to it. */
  readonly changed: readonly string[];
  /** What is to be answered and cannot be yet. */
  readonly remaining: ReadonlySet<string>;
}

export interface PlanInput {
  readonly dialect: Dialect['name'];
  readonly track: Track;
  readonly subscription: Subscription;
  readonly target: Snapshot;
  /** Whether this content may go out now; `old` is what the proxy has of that name. */
  readonly mayGo: (encoded: Encoded, old: Encoded | undefined) => boolean;
  /** Of names that are gone, those that must stay a while. */
  readonly lingering: (removed: readonly string[]) => ReadonlySet<string>;
}

/** Types whose responses are the whole set in state of the world: what is absent is deleted (B2.09). */
export function isFullSet(dialect: Dialect['name'], typeUrl: string): boolean {
  return dialect === 'sotw' && isWildcardType(typeUrl);
}

/** Undefined: nothing is to be sent. `track.due` and `track.inUse` may be moved on all the same. */
export function planResponse(input: PlanInput): ResponsePlan | undefined {
  const { dialect, track, target, mayGo } = input;
  const { changed: candidates, removed: gone } = changesBetween(track.inUse, target);
  const changed: string[] = [];
  const withheld = new Set<string>();
  for (const name of candidates) {
    const encoded = target.get(name);
    if (encoded === undefined) continue;
    if (mayGo(encoded, track.inUse.get(name))) changed.push(name);
    else withheld.add(name);
  }
  const lingering = input.lingering(gone);
  const removed = lingering.size === 0 ? gone : gone.filter((name) => !lingering.has(name));
  const choice: Choice = {
    changed,
    removed,
    withheld,
    isComplete: withheld.size === 0 && lingering.size === 0,
  };
  return isFullSet(dialect, track.typeUrl) ? fullSet(input, choice) : part(input, choice);
}

interface Choice {
  readonly changed: readonly string[];
  readonly removed: readonly string[];
  /** Changed, and not to be sent now. */
  readonly withheld: ReadonlySet<string>;
  /** The proxy then has exactly what it should. */
  readonly isComplete: boolean;
}

const nothing: ReadonlySet<string> = new Set();

function fullSet({ track, target }: PlanInput, choice: Choice): ResponsePlan | undefined {
  const { changed, removed, withheld, isComplete } = choice;
  if (!isDue(track) && changed.length === 0 && removed.length === 0) {
    if (isComplete) track.inUse = target;
    return undefined;
  }
  // The first set of a stream must be whole: what it lacks the proxy would delete.
  if (!track.accepted && [...withheld].some((name) => track.held.has(name))) return undefined;
  if (isComplete) {
    return { resources: [...target.values()], removed, after: target, changed, remaining: nothing };
  }
  return { ...incompleteSet(track, target, choice), removed, changed, remaining: nothing };
}

/** With what is withheld in the form that the proxy has, and what lingers. */
function incompleteSet(
  track: Track,
  target: Snapshot,
  { withheld, removed }: Choice,
): Pick<ResponsePlan, 'resources' | 'after'> {
  const resources: Encoded[] = [];
  const after = new Map<string, Encoded>();
  for (const [name, encoded] of target) {
    const use = withheld.has(name) ? track.inUse.get(name) : encoded;
    if (use !== undefined) after.set(name, use);
    if (use !== undefined && !isUnknown(use)) resources.push(use);
    // Left out, what was refused would be deleted; as it is, the proxy refuses it again and keeps its own.
    else if (track.resumed && isRefused(track, encoded)) resources.push(encoded);
  }
  const gone = new Set(removed);
  for (const [name, old] of track.inUse) {
    if (target.has(name) || gone.has(name)) continue;
    after.set(name, old);
    if (!isUnknown(old)) resources.push(old);
  }
  return { resources, after };
}

function part(input: PlanInput, choice: Choice): ResponsePlan | undefined {
  const { dialect, track, subscription, target } = input;
  const isDelta = dialect === 'delta';
  // Istio never says that an extension config is gone: a filter that still names it would be stopped (B3.07).
  const mayRemove = isDelta && track.typeUrl !== typeUrls.extensionConfig;
  const due = dueNames(track, subscription, target);
  const resources = new Map<string, Encoded>();
  const remaining = new Set<string>();
  const removed = new Set(mayRemove ? choice.removed : []);
  for (const name of choice.changed) resources.set(name, target.get(name) as Encoded);
  for (const name of due) {
    const encoded = target.get(name);
    if (encoded === undefined) {
      // Asked for, and there is no such thing (B3.04). Where it still lingers it is not gone yet.
      if (mayRemove && !track.inUse.has(name)) removed.add(name);
    } else if (!choice.withheld.has(name)) resources.set(name, encoded);
    else if (track.held.has(name) || track.isolating.has(name)) remaining.add(name);
    else {
      const old = track.inUse.get(name);
      if (old !== undefined && !isUnknown(old)) resources.set(name, old);
    }
  }
  // A first answer may be that there is nothing; a client that starts waits for it.
  const isFirst = isDelta && track.due === 'all' && subscription.wildcard && remaining.size === 0;
  if (resources.size === 0 && removed.size === 0 && !isFirst) {
    track.due = remaining;
    if (choice.isComplete) track.inUse = target;
    return undefined;
  }
  return {
    resources: [...resources.values()],
    removed: [...removed].sort(),
    after: choice.isComplete ? target : afterPart(track, target, choice, mayRemove),
    changed: choice.changed,
    remaining,
  };
}

function dueNames(track: Track, subscription: Subscription, target: Snapshot): Iterable<string> {
  if (track.due !== 'all') return track.due;
  if (subscription.wildcard && subscription.names.size === 0) return target.keys();
  return new Set([...(subscription.wildcard ? target.keys() : []), ...subscription.names]);
}

function afterPart(track: Track, target: Snapshot, choice: Choice, mayRemove: boolean): Snapshot {
  const after = new Map(track.inUse);
  for (const name of choice.changed) after.set(name, target.get(name) as Encoded);
  if (mayRemove) for (const name of choice.removed) after.delete(name);
  return after;
}
