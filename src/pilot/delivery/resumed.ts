// What a client holds from an earlier stream, told by versions alone (delta's initial_resource_versions).
import { emptySnapshot } from './track.ts';
import type { Encoded, Snapshot } from '../resources/snapshot.ts';

const unknown = new WeakSet<Encoded>();
const noBytes = new Uint8Array();
/** Ours have 16 characters, and 25 with a suffix; longer ones are not ours, and are not kept. */
const versionLengthMax = 64;

/** Whether the client holds this, and we do not know what it says. */
export function isUnknown(encoded: Encoded): boolean {
  return unknown.has(encoded);
}

/**
 * What the client holds, as far as it is still what it should have; the rest as unknown content, which differs
 * from any other: it is sent anew, or removed. Where nothing differs it is `target` itself.
 */
export function heldBefore(
  versions: ReadonlyMap<string, string>,
  target: Snapshot,
  versionOf: (encoded: Encoded) => string,
): Snapshot {
  if (versions.size === 0) return emptySnapshot;
  const held = new Map<string, Encoded>();
  let isSame = versions.size === target.size;
  for (const [name, version] of versions) {
    const encoded = target.get(name);
    if (encoded !== undefined && versionOf(encoded) === version) {
      held.set(name, encoded);
      continue;
    }
    isSame = false;
    held.set(name, unknownContent(name, version));
  }
  return isSame ? target : held;
}

/** What stands for something that the client may hold under this name. */
export function unknownContent(name: string, version: string): Encoded {
  const encoded: Encoded = {
    name,
    field: noBytes,
    version: version.length > versionLengthMax ? '' : version,
    facts: { clusters: [] },
    provenance: [],
  };
  unknown.add(encoded);
  return encoded;
}
