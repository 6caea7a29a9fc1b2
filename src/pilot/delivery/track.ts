// How far one subscription of a proxy is: what it has, what is on its way, what it refused, what waits.
import { isSameContent } from '../resources/snapshot-changes.ts';
import type { Encoded, Snapshot } from '../resources/snapshot.ts';

/** A response that is not answered yet. */
export interface Flight {
  readonly nonce: string;
  /** What the proxy has once it has accepted. */
  readonly after: Snapshot;
  /** Names whose content is new in this response. */
  readonly changed: readonly string[];
  /** Names that it tells to forget, or leaves out of a whole set. */
  readonly removed: readonly string[];
  readonly names: readonly string[];
  /** The names of the subscription when it was sent: `after` holds no others. Undefined: it was to all. */
  readonly asked: ReadonlySet<string> | undefined;
  readonly atMs: number;
}

/** A response that nobody answered in time, and what the proxy had before it. */
export interface Assumed {
  readonly flight: Flight;
  readonly inUse: Snapshot;
  readonly accepted: boolean;
}

/** What a proxy said no to, and why. */
export interface Refused {
  readonly version: string;
  readonly message: string;
  readonly atMs: number;
}

/** How far one subscription is. */
export interface Track {
  readonly typeUrl: string;
  /** The client had resources from an earlier stream: what a full set leaves out, it deletes. */
  readonly resumed: boolean;
  /** Accepted on this stream, or held from an earlier one. Never changed in place: it is often a snapshot that others have, too. */
  inUse: Snapshot;
  accepted: boolean;
  /** Among what is in use there may be content that is not known (see resumed.ts). */
  mayHoldUnknown: boolean;
  flight: Flight | undefined;
  /** Responses that nobody answered in time since the last answer, oldest first (see late-answers.ts). */
  assumed: readonly Assumed[];
  /** Must be sent even if it is unchanged. */
  due: 'all' | Set<string>;
  /** By name: the content that the proxy refused. */
  readonly refused: Map<string, Refused>;
  /** After a refusal that names nothing: what is sent one by one, the first now. */
  readonly isolating: Set<string>;
  /** Name -> since when it waits. */
  readonly held: Map<string, { readonly version: string; readonly sinceMs: number }>;
  /** The names that `inUse` was pruned to. */
  names: ReadonlySet<string> | undefined;
  /** Nothing is to be done while the target is this one. */
  settled: Snapshot | undefined;
  /** What the client says that it holds, by name, until it has been compared with what it should have. */
  versions: ReadonlyMap<string, string> | undefined;
  readonly subscribedAtMs: number;
}

/** Nothing. */
export const emptySnapshot: Snapshot = new Map();

export interface NewTrack {
  readonly typeUrl: string;
  readonly resumed: boolean;
  readonly versions: ReadonlyMap<string, string> | undefined;
  readonly before: Track | undefined;
  readonly nowMs: number;
}

/** A subscription that begins; what was refused before on this stream stays refused. */
export function newTrack({ typeUrl, resumed, versions, before, nowMs }: NewTrack): Track {
  return {
    typeUrl,
    resumed,
    inUse: emptySnapshot,
    accepted: false,
    mayHoldUnknown: false,
    flight: undefined,
    assumed: [],
    due: 'all',
    refused: before?.refused ?? new Map(),
    isolating: new Set(),
    held: new Map(),
    names: undefined,
    settled: undefined,
    versions: resumed ? versions : undefined,
    subscribedAtMs: nowMs,
  };
}

/** Whether something must be sent even if nothing changed. */
export function isDue(track: Track): boolean {
  return track.due === 'all' || track.due.size > 0 || track.versions !== undefined;
}

/** Marks names as to be sent. */
export function addDue(track: Track, names: Iterable<string>): void {
  if (track.due !== 'all') for (const name of names) track.due.add(name);
}

/** What is tried now of those that are sent one by one. */
export function isolated(track: Track): string | undefined {
  const [head] = track.isolating;
  return head;
}

/** Drops from the head of `isolating` what there is nothing to try with any more. */
export function skipSettledIsolation(track: Track, target: Snapshot): void {
  for (const name of track.isolating) {
    const encoded = target.get(name);
    const isOpen =
      encoded !== undefined &&
      !isSameContent(encoded, track.inUse.get(name)) &&
      encoded.version !== track.refused.get(name)?.version;
    if (isOpen) return;
    track.isolating.delete(name);
  }
}

/** Forgets that something waits which has changed meanwhile, or has arrived; of what nobody named nobody is told that it is gone. */
export function skipSettledHolds(track: Track, target: Snapshot, named: ReadonlySet<string>): void {
  for (const [name, { version }] of track.held) {
    const encoded = target.get(name);
    if (encoded?.version === version && !isSameContent(encoded, track.inUse.get(name))) continue;
    track.held.delete(name);
    if (encoded === undefined && track.due !== 'all' && !named.has(name)) track.due.delete(name);
  }
}

/** Whether this very content was refused. */
export function isRefused(track: Track, encoded: Encoded): boolean {
  return track.refused.get(encoded.name)?.version === encoded.version;
}
