// A NACK: which of the resources sent is to blame, and what of the response the proxy has all the same.
import { namesIn } from './blame.ts';
import type { Track } from './track.ts';
import { addDue, isolated } from './track.ts';
import type { Encoded } from '../resources/snapshot.ts';
import { unknownContent } from './resumed.ts';

export interface RejectedResources {
  readonly typeUrl: string;
  readonly resources: readonly Encoded[];
  readonly message: string;
  /**
   * True: these are not sent again until they change. False: it is one of these; they are sent one by
   * one now, to find it.
   */
  readonly isCertain: boolean;
}

export interface Refusal {
  readonly message: string;
  /** Wall time. */
  readonly atMs: number;
  /** The response is the whole set (see isFullSet). */
  readonly isFullSet: boolean;
}

/** Takes the refusal of the response under way in; undefined: there is none. */
export function refuse(track: Track, { message, atMs, isFullSet }: Refusal): RejectedResources | undefined {
  const { flight, typeUrl } = track;
  if (flight === undefined) return undefined;
  track.flight = undefined;
  const { changed, removed, names, after } = flight;
  const named = namesIn(message, changed);
  if (changed.length === 0 || (named.length === 0 && isOldRefusal(track, message, names))) {
    // Nothing new was refused: a removal, something that it had, or what it is known to refuse. Sent again it
    // would be refused again, without end.
    track.inUse = after;
    track.accepted = true;
    const repeated = namesIn(message, names).flatMap((name) => after.get(name) ?? []);
    return { typeUrl, resources: repeated, message, isCertain: true };
  }
  const head = isolated(track);
  let blamed = head !== undefined && changed.includes(head) ? [head] : named;
  if (blamed.length === 0 && changed.length === 1) blamed = changed;
  const isUnknownState = isFullSet && track.resumed && !track.accepted;
  if (blamed.length === 0 && isUnknownState) blamed = changed;
  if (blamed.length === 0) {
    track.isolating.clear();
    for (const name of changed) track.isolating.add(name);
  } else {
    if (head !== undefined) track.isolating.delete(head);
    for (const name of blamed) {
      const encoded = after.get(name);
      if (encoded !== undefined) track.refused.set(name, { version: encoded.version, message, atMs });
    }
    // A proxy applies what is good of a full set. What it refused it may hold in an earlier form.
    if (isUnknownState) {
      const inUse = new Map(after);
      for (const name of blamed) inUse.set(name, unknownContent(name, ''));
      track.inUse = inUse;
      track.mayHoldUnknown = true;
    }
  }
  // Of the rest nobody knows whether the proxy took it: Envoy takes what is good of clusters and listeners. So
  // that goes out again, even if by then it should be what it was before.
  const guilty = new Set(isUnknownState ? [...changed, ...removed] : blamed);
  addDue(
    track,
    [...changed, ...removed].filter((name) => !guilty.has(name)),
  );
  const resources = (blamed.length > 0 ? blamed : changed).flatMap((name) => after.get(name) ?? []);
  return { typeUrl, resources, message, isCertain: blamed.length > 0 };
}

/** A whole set may hold what was refused before: it names that, and nothing new. */
function isOldRefusal(track: Track, message: string, sent: readonly string[]): boolean {
  if (track.refused.size === 0 || track.isolating.size > 0) return false;
  return (
    namesIn(
      message,
      sent.filter((name) => track.refused.has(name)),
    ).length > 0
  );
}
