// Fields of a kind as `spec.http[].match[].headers{}.exact`: `[]` is any item of a list, `{}` any key of a map.
import type { Schema } from '../../src/config/schema.ts';

/** Every leaf field below a schema, in the order in which the schema has them. */
export function leafFields(schema: Schema, at: string): readonly string[] {
  switch (schema.type) {
    case 'object': {
      const entries = Object.entries(schema.properties);
      if (entries.length === 0) return [at];
      return entries.flatMap(([name, value]) => leafFields(value, `${at}.${name}`));
    }
    case 'map':
      return leafFields(schema.values, `${at}{}`);
    case 'array':
      return leafFields(schema.items, `${at}[]`);
    case 'any':
    case 'boolean':
    case 'duration':
    case 'int-or-string':
    case 'integer':
    case 'number':
    case 'string':
      break;
  }
  return [at];
}

/** One leaf that stands in a value. */
export interface Leaf {
  /** As in `leafFields`. */
  readonly field: string;
  readonly path: readonly (string | number)[];
}

/** The leaves of a value that its schema knows. */
export function leavesIn(
  schema: Schema,
  value: unknown,
  field: string,
  path: readonly (string | number)[],
): readonly Leaf[] {
  if (value === null || value === undefined) return [];
  if (schema.type === 'object') {
    const entries = Object.entries(schema.properties);
    if (entries.length === 0) return [{ field, path }];
    return entries.flatMap(([name, inner]) =>
      leavesIn(inner, (value as Record<string, unknown>)[name], `${field}.${name}`, [...path, name]),
    );
  }
  if (schema.type === 'map')
    return Object.entries(value).flatMap(([key, inner]) =>
      leavesIn(schema.values, inner, `${field}{}`, [...path, key]),
    );
  if (schema.type === 'array')
    return (value as readonly unknown[]).flatMap((inner, index) =>
      leavesIn(schema.items, inner, `${field}[]`, [...path, index]),
    );
  return [{ field, path }];
}

type Json = Record<string | number, unknown>;

/** A copy of `root` without that leaf, and without what is empty for want of it if `prune`. */
export function without(root: unknown, path: readonly (string | number)[], prune: boolean): unknown {
  const copy = structuredClone(root);
  const holders: Json[] = [];
  let holder = copy as Json;
  for (const part of path.slice(0, -1)) {
    holders.push(holder);
    holder = holder[part] as Json;
  }
  holders.push(holder);
  for (let depth = path.length - 1; depth >= 0; depth--) {
    const current = holders[depth];
    const part = path[depth];
    if (current === undefined || part === undefined) break;
    if (Array.isArray(current)) current.splice(Number(part), 1);
    else delete current[part];
    if (!prune || Object.keys(current).length > 0) break;
  }
  return copy;
}

/** A copy of `root` with another value there. */
export function withOther(root: unknown, path: readonly (string | number)[], value: unknown): unknown {
  const copy = structuredClone(root);
  let holder = copy as Json;
  for (const part of path.slice(0, -1)) holder = holder[part] as Json;
  const last = path.at(-1);
  if (last !== undefined) holder[last] = value;
  return copy;
}

export function valueAt(root: unknown, path: readonly (string | number)[]): unknown {
  let value = root;
  for (const part of path) value = (value as Json)[part];
  return value;
}

/** Values that this leaf could have instead. */
export function otherValues(schema: Schema | undefined, value: unknown): readonly unknown[] {
  if (typeof value === 'boolean') return [!value];
  if (typeof value === 'number') return [value + 1, value - 1];
  if (schema?.type === 'string' && schema.enum !== undefined)
    return schema.enum.filter((each) => each !== value);
  if (typeof value !== 'string') return [];
  if (/^\d+(\.\d+)?(ms|s|m|h)$/.test(value)) return ['17s'];
  return [
    `${value}x`,
    `x${value}`,
    `x.${value}`,
    value.replace(/\d$/, (digit) => String((Number(digit) + 1) % 10)),
  ];
}

/** The schema of a field. */
export function schemaOf(schema: Schema, path: readonly (string | number)[]): Schema | undefined {
  const [head, ...rest] = path;
  if (head === undefined) return schema;
  if (schema.type === 'map') return schemaOf(schema.values, rest);
  if (schema.type === 'array') return schemaOf(schema.items, rest);
  if (schema.type !== 'object') return undefined;
  const inner = schema.properties[head];
  return inner === undefined ? undefined : schemaOf(inner, rest);
}
