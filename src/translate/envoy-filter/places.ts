// Provenance of a resource that is being patched: parts move, are replaced and come anew, and their origins go
// with them.
import type { Origin } from '../../model/origin.ts';
import { originAt } from '../../model/origin.ts';
import type { EnvoyPatch } from '../../config/envoy-filter/select.ts';
import type { Provenance } from '../resource.ts';

interface Entry {
  readonly part: object;
  /** Below that part. */
  readonly below: string;
  readonly origin: Origin;
}

/**
 * Origins by the part that they belong to, instead of by its place. A part is an object of the message; where
 * it stands is found out in the end.
 */
export class Places {
  readonly #built: Entry[] = [];
  readonly #patched: Entry[] = [];

  /** `message` is the one that is patched, in the form that `provenance` tells of. */
  constructor(message: object, provenance: readonly Provenance[]) {
    for (const { at, origin } of provenance) this.#built.push({ ...resolve(message, at), origin });
  }

  /** A patch added this part. */
  added(part: object, { origin }: EnvoyPatch): void {
    this.#patched.push({ part, below: '', origin });
  }

  /** A patch merged its value into this part: each of its fields is the patch's. */
  merged(part: object, patch: EnvoyPatch): void {
    const { value, origin } = patch;
    const names = typeof value === 'object' && value !== null ? Object.keys(value) : [];
    for (const name of names)
      this.#patched.push({ part, below: camelCase(name), origin: originAt(origin, 'patch', 'value', name) });
  }

  /** What belonged to `before` belongs to `after`. */
  moved(before: object, after: object): void {
    for (const entries of [this.#built, this.#patched])
      for (const [index, entry] of entries.entries())
        if (entry.part === before) entries[index] = { ...entry, part: after };
  }

  /**
   * What patches did first, the last patch before the others: who asks whose fault something is looks there
   * first. `paths` has every part that is still there.
   */
  provenance(paths: ReadonlyMap<object, string>): readonly Provenance[] {
    return [...this.#patched.toReversed(), ...this.#built].flatMap(({ part, below, origin }) => {
      const path = paths.get(part);
      if (path === undefined) return [];
      return { at: [path, below].filter((text) => text !== '').join('.'), origin };
    });
  }
}

/** The deepest object of the message on the way to `at`, and what of the way is left. */
function resolve(message: object, at: string): { part: object; below: string } {
  let part = message;
  const steps = at === '' ? [] : at.split('.');
  while (steps.length > 0) {
    const [, name = '', index] = /^(\w+)(?:\[(\d+)\])?$/.exec(steps[0] ?? '') ?? [];
    const value: unknown = (part as Record<string, unknown>)[name];
    const next: unknown =
      index === undefined ? value : Array.isArray(value) ? value[Number(index)] : undefined;
    if (typeof next !== 'object' || next === null) break;
    part = next;
    steps.shift();
  }
  return { part, below: steps.join('.') };
}

function camelCase(name: string): string {
  return name.replaceAll(/_+(\w)/g, (_, next: string) => next.toUpperCase());
}
