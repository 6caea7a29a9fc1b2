// Where two sets of resources differ, as paths of Envoy's fields.
import type { JsonValue } from '@bufbuild/protobuf';

/** Resource type -> resource name -> proto3 JSON. */
export type Resources = Readonly<Record<string, Readonly<Record<string, JsonValue>>>>;

/** Paths such as `RouteConfiguration.virtualHosts[].routes[].match.prefix`, or `Cluster` for a whole one; sorted. */
export function differingFields(before: Resources, after: Resources): readonly string[] {
  const found = new Set<string>();
  for (const type of Object.keys(before)) {
    const left = before[type] ?? {};
    const right = after[type] ?? {};
    for (const name of new Set([...Object.keys(left), ...Object.keys(right)])) {
      if (left[name] === undefined || right[name] === undefined) found.add(type);
      else differ(left[name], right[name], type, found);
    }
  }
  return [...found].sort();
}

function differ(
  left: JsonValue | undefined,
  right: JsonValue | undefined,
  at: string,
  found: Set<string>,
): void {
  if (left === right) return;
  if (Array.isArray(left) && Array.isArray(right)) {
    if (left.length !== right.length) {
      found.add(`${at}[]`);
      return;
    }
    for (const [index, item] of left.entries()) differ(item, right[index], `${at}[]`, found);
    return;
  }
  if (isObject(left) && isObject(right)) {
    for (const key of new Set([...Object.keys(left), ...Object.keys(right)]))
      differ(left[key], right[key], `${at}.${key}`, found);
    return;
  }
  found.add(at);
}

function isObject(value: JsonValue | undefined): value is Record<string, JsonValue> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
