// What analyzers look at: every object of the files, right or wrong, of all kinds that some analyzer asks for.
import type { Position } from '../config/config.ts';
import { kindName } from '../config/config.ts';
import type { FieldPath } from '../model/origin.ts';

export interface AnalysisObject {
  /** As `kindKey` gives it. */
  readonly kind: string;
  /** Empty for kinds of the whole cluster, and where neither the object nor the caller names one. */
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** The object without apiVersion, kind and metadata, and without fields that hold nothing. */
  readonly body: Readonly<Record<string, unknown>>;
  /** Milliseconds since the epoch; 0 where the object has none. */
  readonly creationTimeMs: number;
  /** Where several clusters are looked at together. */
  readonly cluster: string;
  /** Where a field stands, or its nearest parent; undefined for what no file holds (assumed objects). */
  readonly locate: (path: FieldPath) => Position | undefined;
}

/** `Kind namespace/name`, as messages name it. */
export function friendlyName(object: Pick<AnalysisObject, 'kind' | 'namespace' | 'name'>): string {
  return `${kindName(object.kind)} ${fullName(object)}`;
}

/** `namespace/name`, or the name alone. */
export function fullName(object: Pick<AnalysisObject, 'namespace' | 'name'>): string {
  return object.namespace === '' ? object.name : `${object.namespace}/${object.name}`;
}

/** All objects of one run, by kind. */
export class Objects {
  readonly #ofKind = new Map<string, AnalysisObject[]>();
  readonly #byKey = new Map<string, AnalysisObject>();

  /** Of objects of one name in one cluster the first counts, as in the control plane. */
  constructor(objects: Iterable<AnalysisObject>) {
    const seen = new Set<string>();
    for (const object of objects) {
      const key = `${object.kind}/${fullName(object)}`;
      if (seen.has(`${object.cluster}/${key}`)) continue;
      seen.add(`${object.cluster}/${key}`);
      if (!this.#byKey.has(key)) this.#byKey.set(key, object);
      const known = this.#ofKind.get(object.kind);
      if (known === undefined) this.#ofKind.set(object.kind, [object]);
      else known.push(object);
    }
  }

  list(kind: string): readonly AnalysisObject[] {
    return this.#ofKind.get(kind) ?? [];
  }

  find(kind: string, namespace: string, name: string): AnalysisObject | undefined {
    return this.#byKey.get(`${kind}/${fullName({ namespace, name })}`);
  }
}

/** The object's `spec`; loading has checked the types of what the kind's schema names. */
export function specOf<Spec>(object: AnalysisObject): Partial<Spec> {
  return object.body['spec'] ?? {};
}
