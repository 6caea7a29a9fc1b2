// Provenance: which line of whose YAML a built thing came from.

export type FieldPath = readonly (string | number)[];

/** An object of the user, and the field in it that counts (empty: the whole object). */
export interface Origin {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly fieldPath: FieldPath;
}

/** The same object, deeper: `at(origin, 'http', 0)`. */
export function originAt(origin: Origin, ...path: readonly (string | number)[]): Origin {
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
