// A fingerprint of what an object says, so that two programs can tell whether they mean the same form of it.
import { createHash } from 'node:crypto';
import type { Config } from './config.ts';

/** The same for two objects exactly if sameConfig is true of them and they have one name; positions do not count. */
export function configDigest(config: Config): string {
  const { group, version, kind, namespace, name, labels, annotations, spec, status } = config;
  const { creationTimeMs, deletionTimeMs, generation, controller } = config;
  const said = {
    group,
    version,
    kind,
    namespace,
    name,
    labels,
    annotations,
    spec,
    status,
    creationTimeMs,
    deletionTimeMs,
    generation,
    controller,
  };
  return createHash('sha256').update(canonical(said)).digest('base64url');
}

/** JSON with the keys of every map in order. */
function canonical(value: unknown): string {
  return (
    JSON.stringify(value, (_key, each: unknown) => {
      if (typeof each !== 'object' || each === null || Array.isArray(each)) return each;
      return Object.fromEntries(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1)));
    }) ?? ''
  );
}
