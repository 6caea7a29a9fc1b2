// Which of the recorded origins stand nearest above a place in a resource.
import type { FieldPath } from '../model/origin.ts';
import type { SourceRef } from './trace.ts';

/** An origin of a part of one resource; `at` is the proto field path of the part, empty for all of it. */
export interface PlacedSource {
  readonly at: string;
  readonly source: SourceRef;
}

/** `virtualHosts[0]` covers `virtualHosts[0].routes[2]`; of those that cover the place, the longest count. */
export function nearestSources(placed: readonly PlacedSource[], at: string): readonly SourceRef[] {
  const above = placed.filter((each) => covers(each.at, at));
  const nearest = Math.max(-1, ...above.map((each) => each.at.length));
  const found = new Map<string, SourceRef>();
  for (const { at: place, source } of above)
    if (place.length === nearest) found.set(JSON.stringify(source), source);
  return [...found.values()];
}

/** `spec.http[0].match[1]` -> `['spec', 'http', 0, 'match', 1]`. */
export function parseFieldPath(text: string): FieldPath {
  return [...text.matchAll(/\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]|([^.[\]]+)/g)].map(([, index, quoted, name]) =>
    index === undefined ? (quoted ?? name ?? '') : Number(index),
  );
}

function covers(outer: string, inner: string): boolean {
  if (outer === '' || outer === inner) return true;
  return inner.startsWith(outer) && ['.', '['].includes(inner[outer.length] ?? '');
}
