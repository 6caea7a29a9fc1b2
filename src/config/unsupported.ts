// What Istio does and this program does not do yet: the object that asks for it is refused as a whole, with
// the field's name, so that nothing is silently left out. Who builds a feature takes its line away.
import type { FieldPath } from '../model/origin.ts';
import type { Report } from './schema.ts';
import { isRecord } from './schema.ts';

/**
 * A field that is refused. In `path`, `*` stands for every item of a list and every key
 * of a map. `values`: only these values are refused; absent: any.
 */
interface Refusal {
  readonly path: string;
  readonly values?: readonly unknown[];
  /** Values that are accepted, all others being refused. */
  readonly unless?: readonly unknown[];
}

export const unsupportedFields: Readonly<Record<string, readonly Refusal[]>> = {};

/** Reports every field of the object that is refused. */
export function refuseUnsupported(
  kind: string,
  object: Readonly<Record<string, unknown>>,
  report: Report,
): void {
  for (const refusal of unsupportedFields[kind] ?? [])
    find(object, refusal.path.split('.'), [], (value, fieldPath) => {
      if (!isRefused(refusal, value)) return;
      const shown =
        refusal.values === undefined && refusal.unless === undefined ? '' : `${String(value)} is `;
      report({ severity: 'error', code: 'not-supported', message: `${shown}not supported yet`, fieldPath });
    });
}

function isRefused({ values, unless }: Refusal, value: unknown): boolean {
  const same = (other: unknown): boolean =>
    typeof value === 'string' && typeof other === 'string'
      ? value.toUpperCase() === other.toUpperCase()
      : value === other;
  if (values !== undefined) return values.some(same);
  if (unless !== undefined) return !unless.some(same);
  return !(Array.isArray(value) && value.length === 0);
}

function find(
  value: unknown,
  path: readonly string[],
  at: FieldPath,
  found: (value: unknown, at: FieldPath) => void,
): void {
  const [head, ...rest] = path;
  if (head === undefined) {
    found(value, at);
  } else if (head === '*') {
    if (Array.isArray(value))
      for (const [index, item] of value.entries()) find(item, rest, [...at, index], found);
    else if (isRecord(value))
      for (const [key, item] of Object.entries(value)) find(item, rest, [...at, key], found);
  } else if (isRecord(value) && Object.hasOwn(value, head)) find(value[head], rest, [...at, head], found);
}
