// Envoy's admin prints the names of fields as the protos have them (`route_config_name`), istioctl as
// canonical JSON has them (`routeConfigName`). This turns one into the other without descriptors: names of
// fields change, keys that people or Istio chose (Struct, map) do not.

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: JsonValue | undefined;
}

/** Fields of type Struct: nothing inside is a field name. */
const structs = new Set([
  'defaultSubset',
  'jsonFormat',
  'staticLayer',
  'runtimeLayer',
  'adminLayer',
  'subsetSelector',
]);

/** Fields of type map<string, message>: their keys stay, what is under them is a message again. */
const maps = new Set([
  'typedPerFilterConfig',
  'typedFilterMetadata',
  'typedExtensionProtocolOptions',
  'extensionConfigs',
]);

/** Fields of type map<string, Struct>. */
const structMaps = new Set(['filterMetadata', 'perFilterConfig']);

export function camelCaseNames(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(camelCaseNames);
  if (typeof value !== 'object' || value === null) return value;
  return camelCaseObject(value as JsonObject);
}

function camelCaseObject(object: JsonObject): JsonObject {
  const type = object['@type'];
  const typedStruct = typeof type === 'string' && type.endsWith('.TypedStruct');
  const result: Record<string, JsonValue> = {};
  for (const [name, value] of Object.entries(object)) {
    if (value === undefined) continue;
    const camel = camelCase(name);
    if (structs.has(camel) || structMaps.has(camel) || (typedStruct && camel === 'value')) {
      result[camel] = value;
    } else if (maps.has(camel)) {
      result[camel] = mapValues(value, camelCaseNames);
    } else if (camel === 'metadata' && !isEnvoyMetadata(value)) {
      result[camel] = value;
    } else if (camel === 'transportSocketMatches' && Array.isArray(value)) {
      result[camel] = value.map((entry) => keepingField(entry as JsonObject, 'match'));
    } else if (camel === 'matcherTree' || camel === 'exactMatchMap' || camel === 'prefixMatchMap') {
      result[camel] = matchMap(value);
    } else {
      result[camel] = camelCaseNames(value);
    }
  }
  return result;
}

/** `metadata` is a Struct on a node, and a message with these two maps everywhere else. */
function isEnvoyMetadata(value: JsonValue): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return true;
  const keys = Object.keys(value);
  return keys.every((key) =>
    ['filter_metadata', 'filterMetadata', 'typed_filter_metadata', 'typedFilterMetadata'].includes(key),
  );
}

function keepingField(entry: JsonObject, field: string): JsonObject {
  const kept = entry[field];
  const rest = camelCaseObject({ ...entry, [field]: undefined });
  if (kept === undefined) return rest;
  // Field order stays that of the dump.
  const ordered: Record<string, JsonValue> = {};
  for (const name of Object.keys(entry)) {
    const camel = camelCase(name);
    ordered[camel] = name === field ? kept : (rest[camel] ?? null);
  }
  return ordered;
}

/** xds.type.matcher: under `map` stand the values to match. */
function matchMap(value: JsonValue): JsonValue {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return camelCaseNames(value);
  const result: Record<string, JsonValue> = {};
  for (const [name, inner] of Object.entries(value as JsonObject)) {
    if (inner === undefined) continue;
    const camel = camelCase(name);
    result[camel] =
      camel === 'map'
        ? mapValues(inner, camelCaseNames)
        : matchMapName(camel)
          ? matchMap(inner)
          : camelCaseNames(inner);
  }
  return result;
}

function matchMapName(camel: string): boolean {
  return camel === 'exactMatchMap' || camel === 'prefixMatchMap';
}

function mapValues(value: JsonValue, change: (value: JsonValue) => JsonValue): JsonValue {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value as JsonObject).map(([key, inner]) => [
      key,
      inner === undefined ? null : change(inner),
    ]),
  );
}

/** protobuf's own rule: a letter after `_` becomes upper case. `@type` and camelCase stay. */
function camelCase(name: string): string {
  return name.includes('_')
    ? name.replaceAll(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
    : name;
}
