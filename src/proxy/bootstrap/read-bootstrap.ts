// Reads an Envoy v3 bootstrap, YAML or JSON, and says with path and line what it cannot take.
import type { DescField, DescMessage, JsonValue } from '@bufbuild/protobuf';
import { LineCounter, isNode, parseDocument } from 'yaml';
import type { Document } from 'yaml';
import { messageFromJson, registry } from '../../api/any.ts';
import type { Bootstrap } from '../../api/gen/envoy/config/bootstrap/v3/bootstrap_pb.js';
import { BootstrapSchema } from '../../api/gen/envoy/config/bootstrap/v3/bootstrap_pb.js';
import { UserError } from '../../base/user-error.ts';

type FieldPath = readonly (string | number)[];

/** `files`, merged in order as Envoy merges --config-path and --config-yaml. Throws UserError. */
export function readBootstrap(files: readonly { readonly name: string; readonly text: string }[]): Bootstrap {
  let merged: JsonValue = {};
  for (const file of files) {
    const json = readDocument(file.name, file.text);
    merged = mergeJson(merged, json);
  }
  return messageFromJson(BootstrapSchema, merged);
}

function readDocument(name: string, text: string): JsonValue {
  const lines = new LineCounter();
  // Aliases multiply: a bomb of them must end in an error.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, version: '1.2' });
  const problem = document.errors[0];
  if (problem !== undefined) {
    const at = lines.linePos(problem.pos[0]);
    throw new UserError(`cannot read the bootstrap ${name}:${at.line}:${at.col}: ${problem.message}`);
  }
  let json: JsonValue;
  try {
    json = (document.toJS({ maxAliasCount: 100 }) ?? {}) as JsonValue;
  } catch (error) {
    throw new UserError(`cannot read the bootstrap ${name}: ${(error as Error).message}`);
  }
  if (!isObject(json)) {
    throw new UserError(
      `cannot read the bootstrap ${name}: an object (envoy.config.bootstrap.v3.Bootstrap) is expected`,
    );
  }
  try {
    messageFromJson(BootstrapSchema, json);
  } catch (error) {
    const found = locateJsonError(BootstrapSchema, json, []) ?? {
      path: [],
      message: (error as Error).message,
    };
    throw new UserError(
      `cannot read the bootstrap ${name}${linePosition(document, lines, found.path)}: ${formatPath(found.path)}${found.message}`,
    );
  }
  return json;
}

interface JsonError {
  readonly path: FieldPath;
  readonly message: string;
}

/** The deepest place at which `json` is not a `schema`; undefined if it is one. */
export function locateJsonError(
  schema: DescMessage,
  json: JsonValue,
  path: FieldPath,
): JsonError | undefined {
  const isAny = schema.typeName === 'google.protobuf.Any';
  // Durations, wrappers and their kin have a JSON form of their own.
  if (schema.typeName.startsWith('google.protobuf.') && !isAny) return tryDecode(schema, json, path);
  if (!isObject(json)) return { path, message: `an object (${schema.typeName}) is expected` };
  let body = json;
  let target = schema;
  if (isAny) {
    const url = json['@type'];
    if (typeof url !== 'string') return { path, message: 'an Any needs "@type"' };
    const inner = registry.getMessage(url.slice(url.lastIndexOf('/') + 1));
    if (inner === undefined)
      return { path: [...path, '@type'], message: `${url} is not a type that this proxy knows` };
    if (inner.typeName.startsWith('google.protobuf.')) return tryDecode(schema, json, path);
    const { '@type': _, ...rest } = json;
    body = rest;
    target = inner;
  }
  for (const [key, value] of Object.entries(body)) {
    const field = target.fields.find((candidate) => candidate.jsonName === key || candidate.name === key);
    if (field === undefined) {
      return {
        path: [...path, key],
        message: `is not a field of ${target.typeName}${suggestion(target, key)}`,
      };
    }
    const found = value === null ? undefined : locateInField(target, field, key, value, [...path, key]);
    if (found !== undefined) return found;
  }
  return tryDecode(target, body, path);
}

function locateInField(
  schema: DescMessage,
  field: DescField,
  key: string,
  value: JsonValue,
  path: FieldPath,
): JsonError | undefined {
  if (field.message !== undefined) {
    const message = field.message;
    if (field.fieldKind === 'list' && Array.isArray(value)) {
      return firstError(value.map((item, index) => () => locateJsonError(message, item, [...path, index])));
    }
    if (field.fieldKind === 'map' && isObject(value)) {
      return firstError(
        Object.entries(value).map(
          ([entry, item]) =>
            () =>
              locateJsonError(message, item, [...path, entry]),
        ),
      );
    }
    if (field.fieldKind === 'message') {
      return locateJsonError(message, value, path);
    }
  }
  return tryDecode(schema, { [key]: value }, path);
}

function firstError(checks: readonly (() => JsonError | undefined)[]): JsonError | undefined {
  for (const check of checks) {
    const found = check();
    if (found !== undefined) return found;
  }
  return undefined;
}

function tryDecode(schema: DescMessage, json: JsonValue, path: FieldPath): JsonError | undefined {
  try {
    messageFromJson(schema, json);
    return undefined;
  } catch (error) {
    return { path, message: (error as Error).message.replace(/^cannot decode [^:]*: /, '') };
  }
}

function suggestion(schema: DescMessage, key: string): string {
  const wanted = key.toLowerCase().replaceAll(/[_-]/g, '');
  const near = schema.fields.find((field) => {
    const name = field.name.replaceAll('_', '');
    return name === wanted || name === `${wanted}s` || `${name}s` === wanted;
  });
  return near === undefined ? '' : `; did you mean ${near.name}?`;
}

/** `:line:column` of the nearest parent of `path` that stands in the text. */
function linePosition(document: Document, lines: LineCounter, path: FieldPath): string {
  for (let length = path.length; length > 0; length--) {
    const node = document.getIn(path.slice(0, length), true);
    if (!isNode(node) || !node.range) continue;
    const at = lines.linePos(node.range[0]);
    return `:${at.line}:${at.col}`;
  }
  return '';
}

function formatPath(path: FieldPath): string {
  if (path.length === 0) return '';
  const text = path.map((part, i) =>
    typeof part === 'number' ? `[${part}]` : i === 0 ? part : part.includes('.') ? `["${part}"]` : `.${part}`,
  );
  return `${text.join('')}: `;
}

/** Protobuf's MergeFrom on JSON: objects are merged, lists are joined, the rest is replaced. */
function mergeJson(base: JsonValue, over: JsonValue): JsonValue {
  if (Array.isArray(base) && Array.isArray(over)) return [...base, ...over];
  if (!isObject(base) || !isObject(over)) return over;
  const merged = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const before = merged[key];
    merged[key] = before === undefined ? value : mergeJson(before, value);
  }
  return merged;
}

function isObject(json: JsonValue): json is Record<string, JsonValue> {
  return typeof json === 'object' && json !== null && !Array.isArray(json);
}
