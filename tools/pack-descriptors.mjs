// Makes the generated protobuf code load fast. protoc-gen-es gives each file its own descriptor, which is
// parsed by reflection and put into a registry of its own together with all that it imports: 93 files
// took 160 ms at the start of every process. Here all descriptors go into one table (descriptors.js) that
// is read once into one registry, and what only annotates (validate rules, xDS annotations) is left out.
import { fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

/** Files that hold nothing but extensions of descriptor options. */
const annotationFiles = [
  /^validate\//,
  /^udpa\/annotations\//,
  /^xds\/annotations\//,
  /^envoy\/annotations\//,
  /^google\/api\/[^/]+$/,
];

/** Rewrites every `*_pb.js` below `out` and writes `out`/descriptors.js; the names of the files in it. */
export function packDescriptors(out) {
  const files = new Map();
  for (const path of readdirSync(out, { recursive: true }).sort((a, b) => (a < b ? -1 : 1))) {
    if (!path.endsWith('_pb.js')) continue;
    const file = readGenerated(join(out, path));
    if (!annotationFiles.some((pattern) => pattern.test(path))) files.set(file.identifier, file);
    else for (const end of ['.js', '.d.ts']) rmSync(join(out, path.replace(/\.js$/, end)));
  }
  const ordered = inOrderOfImports(files);
  const wellKnown = new Set();
  for (const file of ordered) {
    file.dependencies = file.imports.flatMap((identifier) => {
      const own = files.get(identifier);
      if (own !== undefined) return [own.proto.name];
      if (!identifier.startsWith('file_google_protobuf_')) return [];
      wellKnown.add(identifier);
      return [wellKnownName(identifier)];
    });
    rewrite(out, file, files);
  }
  writeTable(
    out,
    ordered,
    [...wellKnown].sort((a, b) => (a < b ? -1 : 1)),
  );
  return new Set(ordered.map((file) => file.proto.name));
}

/** Writes `out`/extensions.js: the files of a FileDescriptorSet that are not among the `packed`. */
export function packExtensions(out, image, packed) {
  const { file: files } = fromBinary(FileDescriptorSetSchema, image);
  const own = files.filter(
    ({ name }) =>
      !packed.has(name) &&
      !name.startsWith('google/protobuf/') &&
      !annotationFiles.some((pattern) => pattern.test(name)),
  );
  const names = new Set(own.map(({ name }) => name));
  const outside = new Set();
  const rows = own.map((proto) => {
    const dependencies = proto.dependency.filter(
      (name) => !annotationFiles.some((pattern) => pattern.test(name)),
    );
    for (const name of dependencies) if (!names.has(name)) outside.add(name);
    return fileRow({ proto, dependencies });
  });
  const sorted = [...outside].sort((a, b) => (a < b ? -1 : 1));
  const wellKnown = sorted.filter((name) => name.startsWith('google/protobuf/')).map(wellKnownIdentifier);
  const shared = sorted.filter((name) => packed.has(name));
  writeFileSync(
    join(out, 'extensions.js'),
    [
      `import { ${wellKnown.join(', ')} } from '@bufbuild/protobuf/wkt';`,
      "import { readDescriptors } from '../descriptor-table.ts';",
      "import { registry } from './descriptors.js';",
      `const shared = ${JSON.stringify(shared)};`,
      'let extensions;',
      'export function extensionRegistry() {',
      '  extensions ??= readDescriptors(',
      `    JSON.parse(${JSON.stringify(JSON.stringify(rows))}),`,
      `    [${wellKnown.join(', ')}, ...shared.map((name) => registry.getFile(name))],`,
      '  );',
      '  return extensions;',
      '}',
      '',
    ].join('\n'),
  );
  writeFileSync(
    join(out, 'extensions.d.ts'),
    "import type { FileRegistry } from '@bufbuild/protobuf';\n/** Further messages that an `Any` may hold; read at the first call. */\nexport declare function extensionRegistry(): FileRegistry;\n",
  );
}

function readGenerated(path) {
  const text = readFileSync(path, 'utf8');
  const match =
    /export const (file_\w+) = \/\*@__PURE__\*\/\s*fileDesc\("([^"]+)"(?:, \[([^\]]*)\])?\);/.exec(text);
  if (match === null)
    throw new Error(`${path}: no file descriptor is exported; has protoc-gen-es changed its output?`);
  const [statement, identifier, base64, imports] = match;
  const proto = fromBinary(FileDescriptorProtoSchema, Buffer.from(base64, 'base64'));
  return { path, text, statement, identifier, proto, imports: imports?.split(', ').filter(Boolean) ?? [] };
}

function inOrderOfImports(files) {
  const ordered = new Set();
  const visit = (file) => {
    if (ordered.has(file)) return;
    for (const identifier of file.imports) if (files.has(identifier)) visit(files.get(identifier));
    ordered.add(file);
  };
  for (const file of files.values()) visit(file);
  return [...ordered];
}

/** `file_google_protobuf_any` is `google/protobuf/any.proto`. */
function wellKnownName(identifier) {
  return `google/protobuf/${identifier.slice('file_google_protobuf_'.length)}.proto`;
}

/** The other way round. */
function wellKnownIdentifier(name) {
  return `file_google_protobuf_${name.slice('google/protobuf/'.length, -'.proto'.length)}`;
}

function rewrite(out, file, files) {
  const table = relative(dirname(file.path), join(out, 'descriptors.js'));
  const text = file.text
    .replace(
      file.statement,
      `export const ${file.identifier} = /*@__PURE__*/ registry.getFile(${JSON.stringify(file.proto.name)});`,
    )
    .replace(/^import \{[^}]*\} from "@bufbuild\/protobuf\/codegenv2";$/m, (line) =>
      line.replace(/\bfileDesc, /, ''),
    )
    .replaceAll(/^import \{ (file_\w+(?:, file_\w+)*) \} from "[^"]+";\n/gm, '')
    .replace(
      /^import /m,
      `import { registry } from "${table.startsWith('.') ? table : `./${table}`}";\nimport `,
    );
  if (/\bfileDesc\b/.test(text)) throw new Error(`${file.path}: still uses fileDesc`);
  if (files.size === 0) throw new Error('no files');
  writeFileSync(file.path, text);
}

function writeTable(out, ordered, wellKnown) {
  const rows = ordered.map((file) => fileRow(file));
  writeFileSync(
    join(out, 'descriptors.js'),
    [
      `import { ${wellKnown.join(', ')} } from '@bufbuild/protobuf/wkt';`,
      "import { readDescriptors } from '../descriptor-table.ts';",
      // A string for JSON.parse is read several times faster than the same literal.
      `export const registry = /*@__PURE__*/ readDescriptors(JSON.parse(${JSON.stringify(JSON.stringify(rows))}), [${wellKnown.join(', ')}]);`,
      '',
    ].join('\n'),
  );
  writeFileSync(
    join(out, 'descriptors.d.ts'),
    "import type { FileRegistry } from '@bufbuild/protobuf';\n/** Every generated file. */\nexport declare const registry: FileRegistry;\n",
  );
}

// The rows, as src/api/descriptor-table.ts reads them. What they cannot express must not be there.

function fileRow({ proto, dependencies }) {
  if (proto.syntax !== 'proto3' || proto.extension.length > 0)
    throw new Error(`${proto.name}: only proto3 without extensions can be packed`);
  return [
    proto.name,
    proto.package,
    dependencies,
    proto.messageType.map(messageRow),
    proto.enumType.map(enumRow),
    proto.service.map((service) => [
      service.name,
      service.method.map((method) => [
        method.name,
        method.inputType,
        method.outputType,
        Number(method.clientStreaming) + 2 * Number(method.serverStreaming),
      ]),
    ]),
  ];
}

function messageRow(message) {
  return [
    message.name,
    message.field.map(fieldRow),
    message.nestedType.map(messageRow),
    message.enumType.map(enumRow),
    message.oneofDecl.map((oneof) => oneof.name),
    Number(message.options?.mapEntry ?? false) + 2 * Number(message.options?.deprecated ?? false),
  ];
}

function fieldRow(field) {
  if (field.defaultValue !== '' || field.extendee !== '' || field.options?.jstype || field.options?.features)
    throw new Error(`${field.name}: a field option that cannot be packed`);
  const hasOneof = Object.hasOwn(field, 'oneofIndex');
  const packed = field.options !== undefined && Object.hasOwn(field.options, 'packed');
  if (packed && !field.options.packed) throw new Error(`${field.name}: packed=false cannot be packed`);
  const row = [
    field.name,
    field.number,
    field.label,
    field.type,
    field.typeName,
    hasOneof ? field.oneofIndex : -1,
    Number(field.options?.deprecated ?? false) + 2 * Number(field.proto3Optional),
  ];
  if (field.jsonName !== '') row.push(field.jsonName);
  return row;
}

function enumRow(enumeration) {
  return [
    enumeration.name,
    enumeration.value.map((value) => [value.name, value.number, Number(value.options?.deprecated ?? false)]),
  ];
}
