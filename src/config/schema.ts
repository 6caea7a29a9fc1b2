// Structural validation: does a value have the fields and types that its kind asks for?
import type { FieldPath } from '../model/origin.ts';
import { parseDurationMs } from '../model/duration.ts';

/** The shape of a value. */
export type Schema =
  | ObjectSchema
  | { readonly type: 'map'; readonly values: Schema }
  | { readonly type: 'array'; readonly items: Schema }
  | { readonly type: 'string'; readonly enum?: readonly string[] }
  | { readonly type: 'number' | 'boolean' | 'int-or-string' | 'any' }
  | { readonly type: 'duration' }
  | { readonly type: 'integer'; readonly min: number; readonly max: number };

export interface ObjectSchema {
  readonly type: 'object';
  readonly properties: Readonly<Record<string, Schema>>;
  readonly required: readonly string[];
  /** Fields that are not listed are accepted and not looked at. */
  readonly open?: boolean;
}

/** What is wrong with a value, before anything is known of the document that it stands in. */
export interface Finding {
  readonly severity: 'error' | 'warning';
  readonly code: string;
  readonly message: string;
  readonly fieldPath: FieldPath;
}

export type Report = (finding: Finding) => void;

/** Reports everything in `value` that `schema` does not allow. */
export function checkStructure(schema: Schema, value: unknown, path: FieldPath, report: Report): void {
  const wrongType = (expected: string): void =>
    report({
      severity: 'error',
      code: 'wrong-type',
      message: `must be ${expected}, not ${describeValue(value)}`,
      fieldPath: path,
    });
  switch (schema.type) {
    case 'any':
      return;
    case 'object':
      if (!isRecord(value)) wrongType('a map');
      else checkObject(schema, value, path, report);
      return;
    case 'map':
      if (!isRecord(value)) wrongType('a map');
      else
        for (const [key, item] of Object.entries(value))
          checkStructure(schema.values, item, [...path, key], report);
      return;
    case 'array':
      if (!Array.isArray(value)) wrongType('a list');
      else
        for (const [index, item] of value.entries())
          checkStructure(schema.items, item, [...path, index], report);
      return;
    case 'string':
      if (typeof value !== 'string') wrongType(expectedString(value));
      else if (schema.enum !== undefined && !schema.enum.includes(value))
        report({
          severity: 'error',
          code: 'wrong-value',
          message: `must be one of ${schema.enum.join(', ')}, not ${describeValue(value)}`,
          fieldPath: path,
        });
      return;
    case 'number':
      if (typeof value !== 'number') wrongType('a number');
      return;
    case 'boolean':
      if (typeof value !== 'boolean') wrongType('true or false');
      return;
    case 'int-or-string':
      if (typeof value !== 'string' && !Number.isInteger(value)) wrongType('an integer or a string');
      return;
    case 'integer':
      if (typeof value !== 'number' || !Number.isInteger(value) || value < schema.min || value > schema.max)
        wrongType(`an integer from ${schema.min} to ${schema.max}`);
      return;
    case 'duration':
      if (typeof value !== 'string' || parseDurationMs(value) === undefined)
        wrongType('a duration such as "1.5s", "2m" or "1h10m"');
  }
}

function checkObject(
  schema: ObjectSchema,
  value: Readonly<Record<string, unknown>>,
  path: FieldPath,
  report: Report,
): void {
  for (const name of schema.required)
    if ((Object.hasOwn(value, name) ? value[name] : undefined) === undefined || value[name] === null)
      report({
        severity: 'error',
        code: 'missing-field',
        message: `the field ${name} is missing`,
        fieldPath: path,
      });
  for (const [name, item] of Object.entries(value)) {
    const field = Object.hasOwn(schema.properties, name) ? schema.properties[name] : undefined;
    // A field without a value is absent, as in Kubernetes.
    if (item === null && (field !== undefined || schema.open === true)) continue;
    if (field !== undefined) checkStructure(field, item, [...path, name], report);
    else if (schema.open !== true)
      report({
        severity: 'error',
        code: 'unknown-field',
        message: `unknown field "${name.slice(0, 100)}"${hintFor(name, Object.keys(schema.properties))}`,
        fieldPath: [...path, name],
      });
  }
}

/** The value without the fields that hold null; the same value if there are none. */
export function withoutNulls<T>(value: T): T {
  if (Array.isArray(value)) {
    const items = value.map(withoutNulls);
    return items.every((item, index) => item === value[index]) ? value : (items as T);
  }
  if (!isRecord(value)) return value;
  let changed = false;
  const fields: [string, unknown][] = [];
  for (const [name, item] of Object.entries(value)) {
    const clean: unknown = withoutNulls(item);
    changed ||= clean !== item || item === null;
    if (item !== null) fields.push([name, clean]);
  }
  return changed ? (Object.fromEntries(fields) as T) : value;
}

/** `; did you mean X?`, or else what is accepted here. */
export function hintFor(name: string, accepted: readonly string[]): string {
  const near = nearest(name, accepted);
  if (near !== undefined) return `; did you mean ${near}?`;
  if (accepted.length === 0) return '; nothing is accepted here';
  const shown = accepted.slice(0, 12).join(', ');
  return `; accepted: ${shown}${accepted.length > 12 ? ', ...' : ''}`;
}

/** A short name of a value for a message: `the string "80"`, `a list`. */
export function describeValue(value: unknown): string {
  if (value === null || value === undefined) return 'empty';
  if (typeof value === 'string')
    return value.length > 60 ? `${JSON.stringify(value.slice(0, 57))}...` : JSON.stringify(value);
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  return Array.isArray(value) ? 'a list' : 'a map';
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function expectedString(value: unknown): string {
  return typeof value === 'number' || typeof value === 'boolean' ? 'a string (quote it)' : 'a string';
}

function nearest(name: string, accepted: readonly string[]): string | undefined {
  const plain = foldName(name);
  const same = accepted.find((candidate) => foldName(candidate) === plain);
  if (same !== undefined) return same;
  let best: string | undefined;
  let bestDistance = name.length <= 4 ? 2 : 3;
  for (const candidate of accepted) {
    const distance = editDistance(plain, foldName(candidate), bestDistance);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** snake_case, kebab-case and capitals aside. */
function foldName(name: string): string {
  return name.slice(0, 100).replaceAll(/[_-]/g, '').toLowerCase();
}

/** Levenshtein's distance, or `limit` if it is not below it. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      current.push(Math.min(substitution, (previous[j] ?? 0) + 1, (current[j - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return Math.min(previous[b.length] ?? limit, limit);
}
