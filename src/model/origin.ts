// Provenance: which line of whose YAML a built thing came from.

export type FieldPath = readonly (string | number)[];

/** An object of the user, and the field in it that counts (empty: the whole object). */
export interface Origin {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly fieldPath: FieldPath;
  /**
   * Of a part of an object that we made: where parts of it come from, by their path within it (`route/0`). What is
   * not named here comes from `fieldPath` itself, for the user's object has no field of that name.
   */
  readonly parts?: Readonly<Record<string, FieldPath>>;
}

/** The same object, deeper: `at(origin, 'http', 0)`. */
export function originAt(origin: Origin, ...path: readonly (string | number)[]): Origin {
  if (origin.parts !== undefined) {
    for (let length = path.length; length > 0; length--) {
      const fieldPath = origin.parts[path.slice(0, length).join('/')];
      if (fieldPath !== undefined) return { ...origin, fieldPath, parts: {} };
    }
    return origin;
  }
  return { ...origin, fieldPath: [...origin.fieldPath, ...path] };
}

/** `spec.http[0].route[1]`: how people write a path. */
export function formatFieldPath(path: FieldPath): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else if (/^[A-Za-z_][\w-]*$/.test(part)) text += text === '' ? part : `.${part}`;
    else text += `[${JSON.stringify(part)}]`;
  }
  return text;
}
