// Reads the packed descriptors that tools/pack-descriptors.mjs writes into one registry. This runs at the
// start of every process; protobuf's own way (binary descriptors, and for each file a registry of its own
// with all that it imports) took several times as long.
import type { DescFile, FileRegistry } from '@bufbuild/protobuf';
import { createFileRegistry } from '@bufbuild/protobuf';
import type { FileDescriptorProto } from '@bufbuild/protobuf/wkt';

/** name, package, dependencies, messages, enums, services */
export type FileRow = readonly [
  string,
  string,
  readonly string[],
  readonly MessageRow[],
  readonly EnumRow[],
  readonly ServiceRow[],
];
/** name, fields, nested messages, nested enums, oneof names, flags: 1 map entry, 2 deprecated */
export type MessageRow = readonly [
  string,
  readonly FieldRow[],
  readonly MessageRow[],
  readonly EnumRow[],
  readonly string[],
  number,
];
/** name, number, label, type, type name, oneof index or -1, flags: 1 deprecated, 2 proto3 optional, json name if unusual */
export type FieldRow = readonly [string, number, number, number, string, number, number, string?];
/** name, values: name, number, deprecated */
export type EnumRow = readonly [string, readonly (readonly [string, number, number])[]];
/** name, methods: name, input type, output type, flags: 1 client streams, 2 server streams */
export type ServiceRow = readonly [string, readonly (readonly [string, string, string, number])[]];

/** A registry of all files; `wellKnown` are those of google/protobuf that come with the library. */
export function readDescriptors(rows: readonly FileRow[], wellKnown: readonly DescFile[]): FileRegistry {
  const protos = new Map(rows.map((row) => [row[0], readFile(row)]));
  const known = new Map(wellKnown.map((file) => [file.proto.name, file]));
  // The library adds what a file depends on in reverse order of its list, so rows come last to first.
  const names = rows.map((row) => row[0]).reverse();
  const all = readFile(['all.proto', '', [...known.keys(), ...names], [], [], []]);
  return createFileRegistry(all, (name) => protos.get(name) ?? known.get(name));
}

// Descriptors are messages whose defaults stand on their prototype: only what is set is a property.

const fileDefaults = { syntax: 'proto3', edition: 0 };
const messageDefaults = { visibility: 0 };
const fieldDefaults = {
  label: 1,
  typeName: '',
  extendee: '',
  defaultValue: '',
  oneofIndex: 0,
  jsonName: '',
  proto3Optional: false,
};
const deprecatedOptions = { deprecated: true };
const mapEntryOptions = { mapEntry: true, deprecated: false };
const nothing: readonly never[] = [];

type Plain = Record<string, unknown>;

function readFile(row: FileRow): FileDescriptorProto {
  const file = Object.create(fileDefaults) as Plain;
  file['$typeName'] = 'google.protobuf.FileDescriptorProto';
  [file['name'], file['package'], file['dependency']] = row;
  file['messageType'] = row[3].map(readMessage);
  file['enumType'] = row[4].map(readEnum);
  file['service'] = row[5].map(readService);
  file['extension'] = nothing;
  file['publicDependency'] = nothing;
  file['weakDependency'] = nothing;
  file['optionDependency'] = nothing;
  return file as unknown as FileDescriptorProto;
}

function readMessage(row: MessageRow): Plain {
  const message = Object.create(messageDefaults) as Plain;
  message['$typeName'] = 'google.protobuf.DescriptorProto';
  message['name'] = row[0];
  message['field'] = row[1].map(readField);
  message['nestedType'] = row[2].map(readMessage);
  message['enumType'] = row[3].map(readEnum);
  message['oneofDecl'] = row[4].map((name) => ({ $typeName: 'google.protobuf.OneofDescriptorProto', name }));
  message['extension'] = nothing;
  message['extensionRange'] = nothing;
  message['reservedRange'] = nothing;
  message['reservedName'] = nothing;
  if ((row[5] & 1) !== 0) message['options'] = mapEntryOptions;
  else if ((row[5] & 2) !== 0) message['options'] = deprecatedOptions;
  return message;
}

function readField(row: FieldRow): Plain {
  const field = Object.create(fieldDefaults) as Plain;
  field['$typeName'] = 'google.protobuf.FieldDescriptorProto';
  [field['name'], field['number'], field['label'], field['type']] = row;
  if (row[4] !== '') field['typeName'] = row[4];
  if (row[5] >= 0) field['oneofIndex'] = row[5];
  if ((row[6] & 1) !== 0) field['options'] = deprecatedOptions;
  if ((row[6] & 2) !== 0) field['proto3Optional'] = true;
  field['jsonName'] = row[7] ?? camelCase(row[0]);
  return field;
}

function readEnum(row: EnumRow): Plain {
  return {
    $typeName: 'google.protobuf.EnumDescriptorProto',
    name: row[0],
    value: row[1].map(([name, number, deprecated]) => ({
      $typeName: 'google.protobuf.EnumValueDescriptorProto',
      name,
      number,
      ...(deprecated === 1 ? { options: deprecatedOptions } : {}),
    })),
    reservedRange: nothing,
    reservedName: nothing,
    visibility: 0,
  };
}

function readService(row: ServiceRow): Plain {
  return {
    $typeName: 'google.protobuf.ServiceDescriptorProto',
    name: row[0],
    method: row[1].map(([name, inputType, outputType, streaming]) => ({
      $typeName: 'google.protobuf.MethodDescriptorProto',
      name,
      inputType,
      outputType,
      clientStreaming: (streaming & 1) !== 0,
      serverStreaming: (streaming & 2) !== 0,
    })),
  };
}

/** The JSON name of a field, as protoc makes it: each `_x` becomes `X`. */
function camelCase(name: string): string {
  return name.includes('_') ? name.replaceAll(/_+(.)/g, (_, next: string) => next.toUpperCase()) : name;
}
