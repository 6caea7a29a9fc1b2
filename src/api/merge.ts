// Merging of messages as protobuf merges them: what the patches of EnvoyFilters mean by MERGE.
import type { DescField, DescMessage, DescOneof, Message, MessageShape } from '@bufbuild/protobuf';
import { clone } from '@bufbuild/protobuf';
import { FeatureSet_FieldPresence } from '@bufbuild/protobuf/wkt';

export interface MergeOptions {
  /** Lists that `from` has stand in for those of `into`; without it they are appended. */
  readonly replaceLists?: boolean;
}

/**
 * Sets in `into` what `from` has set: messages are merged, lists appended, entries of maps replaced. `from`
 * stays as it is, and nothing of it is shared. Two kinds of message are replaced whole: durations, for
 * 5 seconds over 500 ms are not 5.5 seconds, and Any, for half of one value and half of another are none.
 * A wrapped value (UInt32Value) is merged as the message that it is: zero does not overwrite.
 * Source: protobuf's MergeFrom; Istio `pkg/proto/merge`.
 */
export function mergeMessage<Desc extends DescMessage>(
  desc: Desc,
  into: MessageShape<Desc>,
  from: MessageShape<Desc>,
  options: MergeOptions = {},
): void {
  const target = into as Message & Fields;
  const source = from as Message & Fields;
  for (const member of desc.members) {
    if (member.kind === 'oneof') mergeOneof(member, target, source, options);
    else mergeField(member, target, source, options);
  }
}

type Fields = Record<string, unknown>;

interface OneofValue {
  readonly case: string | undefined;
  value?: unknown;
}

function mergeOneof(oneof: DescOneof, into: Fields, from: Fields, options: MergeOptions): void {
  const source = from[oneof.localName] as OneofValue;
  if (source.case === undefined) return;
  const target = into[oneof.localName] as OneofValue;
  const field = oneof.fields.find(({ localName }) => localName === source.case);
  if (field === undefined) return;
  const merged =
    target.case === source.case
      ? merge(field, target.value, source.value, options)
      : copy(field, source.value);
  into[oneof.localName] = { case: source.case, value: merged };
}

function mergeField(field: DescField, into: Fields, from: Fields, options: MergeOptions): void {
  const value = from[field.localName];
  if (!isSet(field, value)) return;
  into[field.localName] = merge(field, into[field.localName], value, options);
}

function isSet(field: DescField, value: unknown): boolean {
  switch (field.fieldKind) {
    case 'list':
      return (value as unknown[]).length > 0;
    case 'map':
      return Object.keys(value as object).length > 0;
    case 'message':
      return value !== undefined;
    case 'scalar':
    case 'enum':
      if (value === undefined) return false;
      // Without `optional` a zero value is not set.
      return field.presence !== FeatureSet_FieldPresence.IMPLICIT || !isZero(value);
    default:
      return field satisfies never;
  }
}

/** What a field holds after `value`, which is set, was merged over `known`. */
function merge(field: DescField, known: unknown, value: unknown, options: MergeOptions): unknown {
  switch (field.fieldKind) {
    case 'scalar':
    case 'enum':
      return value instanceof Uint8Array ? value.slice() : value;
    case 'list': {
      const added = copy(field, value) as unknown[];
      return options.replaceLists === true ? added : [...(known as unknown[]), ...added];
    }
    case 'map':
      return { ...(known as object), ...(copy(field, value) as object) };
    case 'message':
      return mergeMessageField(field.message, known, value, options);
    default:
      return field satisfies never;
  }
}

function mergeMessageField(
  desc: DescMessage,
  known: unknown,
  value: unknown,
  options: MergeOptions,
): unknown {
  if (desc.typeName === 'google.protobuf.Struct')
    return { ...(known as object | undefined), ...(structuredClone(value) as object) };
  if (!isMessageValue(value)) return known === undefined || !isZero(value) ? value : known;
  if (known === undefined || replacedWhole.has(desc.typeName)) return clone(desc, value);
  mergeMessage(desc, known as MessageShape<DescMessage>, value, options);
  return known;
}

const replacedWhole: ReadonlySet<string> = new Set(['google.protobuf.Any', 'google.protobuf.Duration']);

/** A deep copy of what a field holds. */
function copy(field: DescField, value: unknown): unknown {
  switch (field.fieldKind) {
    case 'scalar':
    case 'enum':
      return value instanceof Uint8Array ? value.slice() : value;
    case 'list':
      return (value as unknown[]).map((item) => copyItem(field.message, item));
    case 'map':
      return Object.fromEntries(
        Object.entries(value as object).map(([key, item]: [string, unknown]) => [
          key,
          copyItem(field.message, item),
        ]),
      );
    case 'message':
      return copyItem(field.message, value);
    default:
      return field satisfies never;
  }
}

function copyItem(desc: DescMessage | undefined, item: unknown): unknown {
  if (desc !== undefined && isMessageValue(item)) return clone(desc, item);
  return item instanceof Uint8Array ? item.slice() : structuredClone(item);
}

/** Wrapped values and Struct are not: they are the value itself. */
function isMessageValue(value: unknown): value is MessageShape<DescMessage> {
  return typeof value === 'object' && value !== null && '$typeName' in value;
}

function isZero(value: unknown): boolean {
  if (value instanceof Uint8Array) return value.length === 0;
  return value === 0 || value === 0n || value === false || value === '';
}
