// Snapshots: what a subscription gets, by name; put together of parts that many proxies share.
import type { Provenance } from '../../translate/resource.ts';
import type { ResourceFacts } from './resource-facts.ts';

/** One resource as it goes to proxies. */
export interface Encoded {
  readonly name: string;
  /** See encodeResourceField. The same object means the same content. */
  readonly field: Uint8Array;
  /** See contentVersion. Equal versions mean the same content. */
  readonly version: string;
  readonly facts: ResourceFacts;
  readonly provenance: readonly Provenance[];
}

/** What one subscription gets, by name. The same object until something in it changes. */
export type Snapshot = ReadonlyMap<string, Encoded>;

/** The resources of `base`, and over them those of `own`: what a proxy has for itself, over what it shares. */
class LayeredSnapshot implements Snapshot {
  readonly own: Snapshot;
  readonly base: Snapshot;
  readonly size: number;

  constructor(own: Snapshot, base: Snapshot) {
    this.own = own;
    this.base = base;
    let size = own.size + base.size;
    for (const name of own.keys()) if (base.has(name)) size--;
    this.size = size;
  }

  get(name: string): Encoded | undefined {
    return this.own.get(name) ?? this.base.get(name);
  }

  has(name: string): boolean {
    return this.own.has(name) || this.base.has(name);
  }

  *entries(): MapIterator<[string, Encoded]> {
    yield* this.own.entries();
    for (const entry of this.base.entries()) if (!this.own.has(entry[0])) yield entry;
    return undefined;
  }

  *keys(): MapIterator<string> {
    for (const [name] of this.entries()) yield name;
    return undefined;
  }

  *values(): MapIterator<Encoded> {
    for (const [, encoded] of this.entries()) yield encoded;
    return undefined;
  }

  [Symbol.iterator](): MapIterator<[string, Encoded]> {
    return this.entries();
  }

  forEach(callback: (encoded: Encoded, name: string, snapshot: Snapshot) => void): void {
    for (const [name, encoded] of this.entries()) callback(encoded, name, this);
  }
}

const none: Snapshot = new Map();
/** The same two make the same snapshot, as long as both live. */
const layered = new WeakMap<Snapshot, WeakMap<Snapshot, Snapshot>>();

/** One snapshot of several; of a name that two of them have, the first one's resource counts. */
export function layerSnapshots(layers: readonly Snapshot[]): Snapshot {
  return layers
    .filter(({ size }) => size > 0)
    .reduceRight((base, own) => (base === none ? own : overlay(own, base)), none);
}

function overlay(own: Snapshot, base: Snapshot): Snapshot {
  let known = layered.get(own);
  if (known === undefined) layered.set(own, (known = new WeakMap()));
  let both = known.get(base);
  if (both === undefined) known.set(base, (both = new LayeredSnapshot(own, base)));
  return both;
}

/** Only memory, and of the last comparison with each: one change goes from one snapshot to one other, for many proxies. */
const compared = new WeakMap<
  Snapshot,
  { readonly after: WeakRef<Snapshot>; readonly names: readonly string[] }
>();

/**
 * Names whose resource is another one, was not there before, or is not there any more. Parts that are shared are
 * compared once for all that share them, so what this costs follows the change.
 */
export function changedNames(before: Snapshot, after: Snapshot): readonly string[] {
  if (before === after) return [];
  if (
    before instanceof LayeredSnapshot &&
    after instanceof LayeredSnapshot &&
    (before.own === after.own || before.base === after.base)
  )
    return changedWithin(before, after);
  const known = compared.get(before);
  if (known?.after.deref() === after) return known.names;
  const names: string[] = [];
  for (const [name, encoded] of after) if (before.get(name) !== encoded) names.push(name);
  for (const name of before.keys()) if (!after.has(name)) names.push(name);
  compared.set(before, { after: new WeakRef(after), names });
  return names;
}

/** Of two that have one layer in common. */
function changedWithin(before: LayeredSnapshot, after: LayeredSnapshot): readonly string[] {
  const names =
    before.own === after.own ? changedNames(before.base, after.base) : changedNames(before.own, after.own);
  return names.every((name) => before.get(name) !== after.get(name))
    ? names
    : names.filter((name) => before.get(name) !== after.get(name));
}
