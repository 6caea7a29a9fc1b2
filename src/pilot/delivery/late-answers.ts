// Answers that come too late: a response was taken for accepted because nobody answered, and then is refused.
//
// A proxy whose main thread stood still answers each response that it finds afterwards, in their order. So the NACK
// of an older response than the last may still be to come, until the last one is answered.
import { namesIn } from './blame.ts';
import type { Refusal, RejectedResources } from './refusal.ts';
import type { Assumed, Track } from './track.ts';
import { addDue } from './track.ts';
import type { Snapshot } from '../resources/snapshot.ts';

/** Of one type: that many times `answerMs` is more than an Envoy stands still that anybody waits for. */
const assumedMax = 4;

/** Remembers what has to be taken back should the answer be a refusal after all. */
export function remember(track: Track, assumed: Assumed): void {
  track.assumed = [...track.assumed.slice(1 - assumedMax), assumed];
}

/** The last response is refused after all: it is under way again, so that it is refused as any other. */
export function takeBack(track: Track, nonce: string): void {
  const last = track.assumed.at(-1);
  if (track.flight !== undefined || last?.flight.nonce !== nonce) return;
  track.flight = last.flight;
  track.inUse = last.inUse;
  track.accepted = last.accepted;
  track.names = undefined;
  track.assumed = track.assumed.slice(0, -1);
}

/** An older response than the last is refused; undefined: it was not one that is taken for accepted. */
export function refuseLate(
  track: Track,
  nonce: string,
  { message, atMs, isFullSet }: Refusal,
): RejectedResources | undefined {
  const index = track.assumed.findIndex(({ flight }) => flight.nonce === nonce);
  const late = track.assumed[index];
  if (late === undefined) return undefined;
  const { changed, removed, after } = late.flight;
  const later = track.assumed.slice(index + 1);
  const flights = [
    ...later.map(({ flight }) => flight),
    ...(track.flight === undefined ? [] : [track.flight]),
  ];
  const isReplaced = (name: string): boolean =>
    flights.some((flight) => flight.changed.includes(name) || flight.removed.includes(name));
  const named = namesIn(message, changed);
  const blamed = named.length === 0 && changed.length === 1 ? changed : named;
  for (const name of blamed) {
    const encoded = after.get(name);
    if (encoded !== undefined) track.refused.set(name, { version: encoded.version, message, atMs });
  }
  // What came after it was made with the thought that the proxy has this.
  const undone = (blamed.length > 0 ? blamed : changed).filter((name) => !isReplaced(name));
  const takenBack = (snapshot: Snapshot): Snapshot => withContentOf(late.inUse, snapshot, undone);
  track.inUse = takenBack(track.inUse);
  if (track.flight !== undefined) track.flight = { ...track.flight, after: takenBack(track.flight.after) };
  track.assumed = later.map(({ flight, inUse, accepted }) => ({
    flight: { ...flight, after: takenBack(flight.after) },
    inUse: takenBack(inUse),
    accepted,
  }));
  // A later response of the whole set has held it again, and the answer to that says what it is worth.
  if (!isFullSet) {
    const open = [...changed, ...removed].filter((name) => !isReplaced(name) && !blamed.includes(name));
    addDue(track, open);
    if (blamed.length === 0) for (const name of open) track.isolating.add(name);
  }
  const resources = (blamed.length > 0 ? blamed : changed).flatMap((name) => after.get(name) ?? []);
  return { typeUrl: track.typeUrl, resources, message, isCertain: blamed.length > 0 };
}

/** `snapshot`, in which of these names is what `before` has of them. */
function withContentOf(before: Snapshot, snapshot: Snapshot, names: readonly string[]): Snapshot {
  const held = names.filter((name) => snapshot.has(name));
  if (held.length === 0) return snapshot;
  const next = new Map(snapshot);
  for (const name of held) {
    const encoded = before.get(name);
    if (encoded === undefined) next.delete(name);
    else next.set(name, encoded);
  }
  return next;
}
