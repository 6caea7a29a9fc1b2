// Where an origin stands in the user's files now.
import { formatFieldPath } from '../model/origin.ts';
import type { Origin } from '../model/origin.ts';
import type { Position } from '../config/config.ts';
import type { ConfigStore } from '../config/store.ts';

/** Undefined where the object is not in force any more. */
export function positionOf(store: ConfigStore, origin: Origin): Position | undefined {
  const config = store.get(origin.kind, origin.namespace, origin.name);
  return config?.locate(origin.fieldPath);
}

/** `VirtualService default/reviews spec.http[0] at reviews.yaml:12:5` */
export function formatOrigin(store: ConfigStore, origin: Origin): string {
  const field = origin.fieldPath.length === 0 ? '' : ` ${formatFieldPath(origin.fieldPath)}`;
  const position = positionOf(store, origin);
  const place = position === undefined ? '' : ` at ${position.file}:${position.line}:${position.column}`;
  return `${origin.kind} ${origin.namespace}/${origin.name}${field}${place}`;
}
