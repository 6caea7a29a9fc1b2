// The `value` of an EnvoyFilter's patch: JSON of the message that the patch is about.
import type { DescField, DescMessage, JsonObject, JsonValue, Message } from '@bufbuild/protobuf';
import { fromJson } from '@bufbuild/protobuf';
import { registry } from '../../api/any.ts';
import { BootstrapSchema } from '../../api/gen/envoy/config/bootstrap/v3/bootstrap_pb.js';
import { ClusterSchema } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { TypedExtensionConfigSchema } from '../../api/gen/envoy/config/core/v3/extension_pb.js';
import {
  FilterChainSchema,
  FilterSchema,
  ListenerFilterSchema,
} from '../../api/gen/envoy/config/listener/v3/listener_components_pb.js';
import { ListenerSchema } from '../../api/gen/envoy/config/listener/v3/listener_pb.js';
import { RouteSchema, VirtualHostSchema } from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import { RouteConfigurationSchema } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import { HttpFilterSchema } from '../../api/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import type { FieldPath } from '../../model/origin.ts';
import { describeValue, hintFor, isRecord } from '../schema.ts';

/** The message that each `applyTo` is about. */
export const patchedMessages = {
  BOOTSTRAP: BootstrapSchema,
  CLUSTER: ClusterSchema,
  EXTENSION_CONFIG: TypedExtensionConfigSchema,
  FILTER_CHAIN: FilterChainSchema,
  HTTP_FILTER: HttpFilterSchema,
  HTTP_ROUTE: RouteSchema,
  LISTENER: ListenerSchema,
  LISTENER_FILTER: ListenerFilterSchema,
  NETWORK_FILTER: FilterSchema,
  ROUTE_CONFIGURATION: RouteConfigurationSchema,
  VIRTUAL_HOST: VirtualHostSchema,
} as const satisfies Readonly<Record<string, DescMessage>>;

export type ApplyTo = keyof typeof patchedMessages;

export interface ValueProblem {
  /**
   * `newer`: a field or enum value that we do not know, and that is no slip of the pen. `passed-on`: one that
   * stands in an extension and goes to the proxy as it is.
   */
  readonly kind: 'wrong' | 'unknown-field' | 'unknown-type' | 'newer' | 'passed-on';
  readonly message: string;
  /** Within the value. */
  readonly path: FieldPath;
}

export interface ReadValue {
  /** Undefined where a problem is more than `passed-on`. */
  readonly message: Message | undefined;
  readonly problems: readonly ValueProblem[];
}

/**
 * Reads a value as proto3 JSON of `desc`. What an extension (`typed_config`) says that our descriptors do
 * not know, for they are older than the newest Envoy, is passed on: the whole extension travels as the
 * JSON that it is, in a TypedStruct, and Envoy itself reads it. That cannot be merged with anything, so
 * `mayPassOn` is false for MERGE; then, and outside extensions, an unknown field is a problem. What looks like
 * a known field misspelt is one everywhere.
 */
export function readPatchValue(desc: DescMessage, value: unknown, mayPassOn: boolean): ReadValue {
  const reader = new ValueReader(mayPassOn);
  const json = reader.message(desc, value, []);
  const { problems } = reader;
  if (problems.some(({ kind }) => kind !== 'passed-on')) return { message: undefined, problems };
  try {
    return { message: fromJson(desc, json, { registry }), problems };
  } catch (error) {
    return { message: undefined, problems: [{ kind: 'wrong', message: reasonOf(error), path: [] }] };
  }
}

const structUrl = 'type.googleapis.com/xds.type.v3.TypedStruct';

/** Walks JSON beside the descriptor; gives the JSON that can be read, and collects problems with their place. */
class ValueReader {
  readonly problems: ValueProblem[] = [];
  readonly #mayPassOn: boolean;

  constructor(mayPassOn: boolean) {
    this.#mayPassOn = mayPassOn;
  }

  message(desc: DescMessage, json: unknown, path: FieldPath): JsonValue {
    if (desc.typeName === 'google.protobuf.Any') return this.#any(json, path);
    if (!isRecord(json)) return this.#wrong(`must be a map (${desc.name}), not ${describeValue(json)}`, path);
    const result: JsonObject = {};
    for (const [key, item] of Object.entries(json)) {
      const field = desc.fields.find(({ name, jsonName }) => name === key || jsonName === key);
      if (field === undefined) {
        const names = desc.fields.map(({ name }) => name);
        this.#unknown(`unknown field "${key.slice(0, 100)}" of ${desc.typeName}`, key, names, [...path, key]);
      } else result[key] = this.#field(field, key, item, [...path, key]);
    }
    return result;
  }

  #field(field: DescField, key: string, json: unknown, path: FieldPath): JsonValue {
    if (json === null) return null;
    const { message: inner } = field;
    if (inner === undefined || hasOwnJson(inner)) return this.#leaf(field, key, json as JsonValue, path);
    if (field.fieldKind === 'list') {
      if (!Array.isArray(json)) return this.#wrong('must be a list', path);
      return json.map((item, index) => this.message(inner, item, [...path, index]));
    }
    if (field.fieldKind === 'map') {
      if (!isRecord(json)) return this.#wrong('must be a map', path);
      return Object.fromEntries(
        Object.entries(json).map(([name, item]) => [name, this.message(inner, item, [...path, name])]),
      );
    }
    return this.message(inner, json, path);
  }

  /** What has no fields of its own: read alone, to see whether it can be. */
  #leaf(field: DescField, key: string, json: JsonValue, path: FieldPath): JsonValue {
    try {
      fromJson(field.parent, { [key]: json }, { registry });
    } catch (error) {
      const { enum: words } = field;
      const isWord = typeof json === 'string' && words?.values.every(({ name }) => name !== json) === true;
      const names = words?.values.map(({ name }) => name) ?? [];
      if (isWord) this.#unknown(`unknown value "${json.slice(0, 100)}"`, json, names, path);
      else this.#wrong(leafProblem(field, json, error), path);
    }
    return json;
  }

  #any(json: unknown, path: FieldPath): JsonValue {
    if (!isRecord(json)) return this.#wrong('must be a map with @type', path);
    const { '@type': typeUrl, ...rest } = json;
    if (typeof typeUrl !== 'string') return this.#wrong('@type is missing: the type of this extension', path);
    const desc = registry.getMessage(typeUrl.slice(typeUrl.lastIndexOf('/') + 1));
    if (desc === undefined) {
      this.problems.push({ kind: 'unknown-type', message: unknownType(typeUrl), path: [...path, '@type'] });
      return {};
    }
    if (hasOwnJson(desc)) return json as JsonObject;
    const reader = new ValueReader(this.#mayPassOn);
    const inner = reader.message(desc, rest, path) as JsonObject;
    const isNewer = reader.problems.some(({ kind }) => kind === 'newer');
    const passable =
      this.#mayPassOn && reader.problems.every(({ kind }) => kind === 'newer' || kind === 'passed-on');
    if (!passable || !isNewer) {
      this.problems.push(...reader.problems);
      return { '@type': typeUrl, ...inner };
    }
    for (const { message, path: at } of reader.problems)
      this.problems.push({ kind: 'passed-on', message, path: at });
    return { '@type': structUrl, typeUrl, value: rest as JsonObject };
  }

  #unknown(message: string, name: string, known: readonly string[], path: FieldPath): void {
    const hint = hintFor(name, known);
    const kind = hint.includes('did you mean') ? 'unknown-field' : 'newer';
    this.problems.push({ kind, message: `${message}${hint}`, path });
  }

  #wrong(message: string, path: FieldPath): JsonValue {
    this.problems.push({ kind: 'wrong', message, path });
    return {};
  }
}

function unknownType(typeUrl: string): string {
  const hint = /\.v2(?:alpha\d*)?\./.test(typeUrl)
    ? 'the v3 API has another name for it'
    : 'a type that only Envoy knows can be given as xds.type.v3.TypedStruct with type_url and value';
  return `the type ${JSON.stringify(typeUrl.slice(0, 200))} is unknown; ${hint}`;
}

/** Messages whose JSON is not that of their fields: durations, wrapped values, Struct... */
function hasOwnJson(desc: DescMessage): boolean {
  const { typeName } = desc;
  return (
    typeName.startsWith('google.protobuf.') &&
    !['google.protobuf.Any', 'google.protobuf.Empty'].includes(typeName)
  );
}

function leafProblem({ message: desc }: DescField, json: JsonValue, error: unknown): string {
  if (desc === undefined) return reasonOf(error);
  const wanted = desc.name === 'Duration' ? 'seconds such as "0.5s"' : `a ${desc.name}`;
  return `must be ${wanted}, not ${describeValue(json)}`;
}

function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/^cannot decode (?:message|field) \S+ from JSON: /, '').slice(0, 300);
}
