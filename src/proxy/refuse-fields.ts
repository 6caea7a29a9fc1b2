// What a message sets beyond what this proxy does is refused by name, never silently ignored.
import type { DescMessage, Message } from '@bufbuild/protobuf';
import { isFieldSet } from '@bufbuild/protobuf';
import { ConfigError } from './config-error.ts';

/**
 * Throws ConfigError for the first field of `message` that is set and not in `accepted` (proto names).
 * `path` stands before the field's name in the error; empty for the resource itself.
 */
export function refuseFields(
  schema: DescMessage,
  message: Message,
  path: string,
  accepted: ReadonlySet<string>,
): void {
  for (const field of schema.fields) {
    if (accepted.has(field.name) || !isFieldSet(message, field)) continue;
    throw new ConfigError(
      path === '' ? field.name : `${path}.${field.name}`,
      `is not supported by this proxy; remove it (accepted here: ${[...accepted].join(', ')})`,
    );
  }
}

/** Milliseconds of a protobuf Duration; `fallbackMs` where there is none. */
export function durationMs(
  duration: { readonly seconds: bigint; readonly nanos: number } | undefined,
  fallbackMs: number,
): number {
  if (duration === undefined) return fallbackMs;
  return Number(duration.seconds) * 1000 + duration.nanos / 1_000_000;
}
