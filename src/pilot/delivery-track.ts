// How far one subscription of a proxy is: what it has, what is on its way, what it refused, what waits.
import { typeUrls } from '../xds/types.ts';
import type { Snapshot } from './resources.ts';

/** A response that is not answered yet. */
export interface Flight {
  readonly nonce: string;
  /** What the proxy has once it has accepted. */
  readonly after: Snapshot;
  /** Names whose content is new in this response. */
  readonly changed: readonly string[];
  readonly names: readonly string[];
  readonly atMs: number;
}

/** What a proxy said no to, and why. */
export interface Refused {
  readonly field: Uint8Array;
  readonly message: string;
  readonly atMs: number;
}

/** How far one subscription is. */
export interface Track {
  readonly typeUrl: string;
  /** The client had resources from an earlier stream: what a full set leaves out, it deletes. */
  readonly resumed: boolean;
  /** Accepted on this stream. Never changed in place: it is often a snapshot that others have, too. */
  inUse: Snapshot;
  accepted: boolean;
  flight: Flight | undefined;
  /** Must be sent even if it is unchanged. */
  due: 'all' | Set<string>;
  /** By name: the content that the proxy refused. */
  readonly refused: Map<string, Refused>;
  /** After a refusal that names nothing: what is sent one by one, the first now. */
  isolating: readonly string[];
  /** Name -> since when it waits. */
  readonly held: Map<string, { readonly field: Uint8Array; readonly sinceMs: number }>;
  /** The names that `inUse` was pruned to. */
  names: ReadonlySet<string> | undefined;
  /** Nothing is to be done while the target is this one. */
  settled: Snapshot | undefined;
}

/** Nothing. */
export const emptySnapshot: Snapshot = new Map();

/** A subscription that begins; what was refused before on this stream stays refused. */
export function newTrack(typeUrl: string, resumed: boolean, before: Track | undefined): Track {
  return {
    typeUrl,
    resumed,
    inUse: emptySnapshot,
    accepted: false,
    flight: undefined,
    due: 'all',
    refused: before?.refused ?? new Map(),
    isolating: [],
    held: new Map(),
    names: undefined,
    settled: undefined,
  };
}

/** Types whose responses are the whole set: what is absent is deleted (B2.09). */
export function isFullSet(typeUrl: string): boolean {
  return typeUrl === typeUrls.cluster || typeUrl === typeUrls.listener;
}

/** Whether something must be sent even if nothing changed. */
export function isDue(track: Track): boolean {
  return track.due === 'all' || track.due.size > 0;
}

/** Marks names as to be sent. */
export function addDue(track: Track, names: readonly string[]): void {
  if (track.due !== 'all') for (const name of names) track.due.add(name);
}

/** Drops from the head of `isolating` what there is nothing to try with any more. */
export function skipSettledIsolation(track: Track, target: Snapshot): void {
  while (track.isolating.length > 0) {
    const [head = ''] = track.isolating;
    const encoded = target.get(head);
    const open =
      encoded !== undefined &&
      encoded.field !== track.inUse.get(head)?.field &&
      encoded.field !== track.refused.get(head)?.field;
    if (open) return;
    track.isolating = track.isolating.slice(1);
  }
}

/** Whether both have the same content. */
export function isSame(chosen: Snapshot, target: Snapshot): boolean {
  if (chosen.size !== target.size) return false;
  for (const [name, encoded] of target) if (chosen.get(name)?.field !== encoded.field) return false;
  return true;
}

/** The snapshot less some names. */
export function without(snapshot: Snapshot, names: readonly string[]): Snapshot {
  return new Map([...snapshot].filter(([name]) => !names.includes(name)));
}
