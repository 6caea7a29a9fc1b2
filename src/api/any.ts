// google.protobuf.Any and canonical proto3 JSON over every message that we know.
import type { DescMessage, Message, MessageShape, Registry, JsonValue } from '@bufbuild/protobuf';
import { fromBinary, fromJson, toBinary, toJson } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { anyPack, anyUnpack } from '@bufbuild/protobuf/wkt';
import { registry as descriptors } from './gen/descriptors.js';
import { extensionRegistry } from './gen/extensions.js';

/**
 * Every Envoy message that we know: what an `Any` may hold. Those that Fairlead itself speaks are generated
 * as code; the extensions beside them, for what people write into EnvoyFilters, are descriptors alone, which
 * are read when one is first asked for.
 */
export const registry: Registry = {
  kind: 'registry',
  get: (name) => descriptors.get(name) ?? extensionRegistry().get(name),
  getMessage: (name) => descriptors.getMessage(name) ?? extensionRegistry().getMessage(name),
  getEnum: (name) => descriptors.getEnum(name) ?? extensionRegistry().getEnum(name),
  getService: (name) => descriptors.getService(name) ?? extensionRegistry().getService(name),
  // No file of either has extensions: their packing would have failed.
  getExtension: () => undefined,
  getExtensionFor: () => undefined,
  *[Symbol.iterator]() {
    yield* descriptors;
    yield* extensionRegistry();
  },
};

/** `type.googleapis.com/` and the full name: the form in which xDS names types. */
export function typeUrlOf(schema: DescMessage): string {
  return `type.googleapis.com/${schema.typeName}`;
}

export function packAny<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): Any {
  return anyPack(schema, message);
}

/** The message in `any`; undefined if its type is not one of ours. Throws on bytes that are not that type. */
export function unpackAny(any: Any): Message | undefined {
  return anyUnpack(any, registry);
}

/** The message in `any` if it is a `schema`, else undefined. */
export function unpackAs<Desc extends DescMessage>(
  any: Any | undefined,
  schema: Desc,
): MessageShape<Desc> | undefined {
  if (any === undefined || any.typeUrl !== typeUrlOf(schema)) return undefined;
  return fromBinary(schema, any.value);
}

/** Canonical proto3 JSON with `@type` for each Any. Throws where an Any holds a type that we do not know. */
export function messageToJson<Desc extends DescMessage>(
  schema: Desc,
  message: MessageShape<Desc>,
): JsonValue {
  return toJson(schema, message, { registry });
}

/** Reads proto3 JSON (camelCase or snake_case). Throws on unknown fields, with the field's path. */
export function messageFromJson<Desc extends DescMessage>(schema: Desc, json: JsonValue): MessageShape<Desc> {
  return fromJson(schema, json, { registry });
}

export function encode<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): Uint8Array {
  return toBinary(schema, message);
}
