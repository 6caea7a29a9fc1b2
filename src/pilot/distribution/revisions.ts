// The revisions of a mesh's configuration: which change was accepted when. See docs/distribution.md.
import type { Clock } from '../../base/clock.ts';
import type { ConfigChange } from '../../config/store.ts';

/** What became of an object. */
export type ChangeKind = 'created' | 'configured' | 'deleted';

export interface ChangedObject {
  /** See configKey. */
  readonly key: string;
  readonly change: ChangeKind;
}

/** One accepted batch of changes. */
export interface Revision {
  readonly revision: number;
  /** Wall time. */
  readonly acceptedAtMs: number;
  readonly acceptedMonotonicMs: number;
  /** The first few; `objectCount` is of all. */
  readonly objects: readonly ChangedObject[];
  readonly objectCount: number;
  /** The newest revision, up to this one, that may move a proxy: who was looked at for it was looked at for this. */
  readonly relevantThrough: number;
}

/** The present form of an object, or its end. */
export interface ObjectRevision {
  readonly revision: number;
  /** Forms accepted so far, counted from 1. */
  readonly generation: number;
  readonly isDeleted: boolean;
}

/** The key of the mesh config, which is no object of the store. */
export const meshConfigKey = 'MeshConfig//mesh';
/** The object that mesh config is read from, where it is read from one. */
const meshConfigMapKey = 'ConfigMap/istio-system/istio';

const revisionsMax = 1000;
const objectsMax = 50;
/** Deleted objects of which is still known when they went. */
const deletedMax = 1000;

export class RevisionLedger {
  readonly #clock: Clock;
  /** Wall time; tells the numbers of this process from those of the one before. */
  readonly startedAtMs: number;
  readonly #revisions: Revision[] = [];
  readonly #objects = new Map<string, ObjectRevision>();
  readonly #deleted = new Map<string, ObjectRevision>();
  #latest = 0;
  #relevant = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.startedAtMs = clock.now();
  }

  /** The newest revision; 0: nothing was accepted yet. */
  get latest(): number {
    return this.#latest;
  }

  /** The newest revision that may move a proxy. */
  get relevant(): number {
    return this.#relevant;
  }

  /** The oldest one whose objects are known. */
  get oldest(): number {
    return this.#revisions[0]?.revision ?? this.#latest + 1;
  }

  /** Takes one batch in and returns its revision. `isRelevant`: proxies' configuration may be made of it. */
  accept(changes: readonly ConfigChange[], isRelevant: boolean): number {
    return this.#add(
      changes.map(({ key, before, after }) => ({
        key,
        change: after === undefined ? 'deleted' : before === undefined ? 'created' : 'configured',
      })),
      isRelevant,
    );
  }

  /** Another mesh config. */
  acceptMeshConfig(): number {
    const last = this.#revisions.at(-1);
    const revision = this.#add([{ key: meshConfigKey, change: 'configured' }], true);
    // Who waits for the ConfigMap waits for what it says.
    if (last?.objects.some(({ key }) => key === meshConfigMapKey) === true) {
      const known = this.#objects.get(meshConfigMapKey);
      if (known !== undefined) this.#objects.set(meshConfigMapKey, { ...known, revision });
    }
    return revision;
  }

  /** Undefined: not accepted yet, or so long ago that nothing but its number is known. */
  get(revision: number): Revision | undefined {
    return this.#revisions[revision - this.oldest];
  }

  /** The newest, oldest first. */
  last(count: number): readonly Revision[] {
    return count <= 0 ? [] : this.#revisions.slice(-count);
  }

  /** Undefined for an object that never was accepted, or went long ago. */
  ofObject(key: string): ObjectRevision | undefined {
    return this.#objects.get(key) ?? this.#deleted.get(key);
  }

  #add(objects: readonly ChangedObject[], isRelevant: boolean): number {
    const revision = ++this.#latest;
    if (isRelevant) this.#relevant = revision;
    this.#revisions.push({
      revision,
      acceptedAtMs: this.#clock.now(),
      acceptedMonotonicMs: this.#clock.monotonicMs(),
      objects: objects.slice(0, objectsMax),
      objectCount: objects.length,
      relevantThrough: this.#relevant,
    });
    // Cut seldom: moving a thousand entries for each change would cost more than they do.
    if (this.#revisions.length >= revisionsMax * 2)
      this.#revisions.splice(0, this.#revisions.length - revisionsMax);
    for (const { key, change } of objects) this.#note(key, revision, change === 'deleted');
    return revision;
  }

  #note(key: string, revision: number, isDeleted: boolean): void {
    const known = this.#objects.get(key);
    const before = known ?? this.#deleted.get(key);
    const next: ObjectRevision = {
      revision,
      generation: (before?.generation ?? 0) + (isDeleted ? 0 : 1),
      isDeleted,
    };
    this.#deleted.delete(key);
    if (!isDeleted) {
      this.#objects.set(key, next);
      return;
    }
    this.#objects.delete(key);
    this.#deleted.set(key, next);
    for (const oldest of this.#deleted.keys()) {
      if (this.#deleted.size <= deletedMax) break;
      this.#deleted.delete(oldest);
    }
  }
}
