// A proxy's /config_dump, read as JSON. Nothing here needs the protobuf descriptors: the commands start fast
// and go on working with proxies that know fields that we do not.
import { UserError } from '../base/user-error.ts';
import type { JsonObject, JsonValue } from './json-names.ts';
import { camelCaseNames } from './json-names.ts';

export type DumpSection =
  | 'BootstrapConfigDump'
  | 'ClustersConfigDump'
  | 'EndpointsConfigDump'
  | 'ListenersConfigDump'
  | 'RoutesConfigDump'
  | 'SecretsConfigDump'
  | 'EcdsConfigDump';

/** A dump with camelCase names. */
export interface ConfigDump {
  readonly sections: readonly JsonObject[];
}

const typePrefix = 'type.googleapis.com/envoy.admin.v3.';

/** Reads the answer of /config_dump. Throws a UserError where it is not one. */
export function parseConfigDump(text: string, from: string): ConfigDump {
  let value: JsonValue;
  try {
    value = JSON.parse(text) as JsonValue;
  } catch (error) {
    throw new UserError(
      `${from}: error unmarshalling config dump response from Envoy: ${(error as Error).message}`,
    );
  }
  if (!isObject(value))
    throw new UserError(`${from}: not a config dump: it is no JSON object with a list "configs"`);
  return { sections: objects(objectOf(camelCaseNames(value))['configs']) };
}

/** The last section of that type; throws, in istioctl's words, where the dump has none. */
export function section(dump: ConfigDump, name: DumpSection): JsonObject {
  const found = dump.sections.findLast((candidate) => candidate['@type'] === typePrefix + name);
  if (found === undefined) throw new UserError(`config dump has no configuration type ${typePrefix}${name}`);
  return found;
}

/** Active listeners: dynamic ones, then static ones. */
export function listenersOf(dump: ConfigDump): readonly JsonObject[] {
  const listeners = section(dump, 'ListenersConfigDump');
  const found = [
    ...objects(listeners['dynamicListeners']).map((entry) =>
      objectOf(objectOf(entry['activeState'])['listener']),
    ),
    ...objects(listeners['staticListeners']).map((entry) => objectOf(entry['listener'])),
  ].filter((listener) => Object.keys(listener).length > 0);
  if (found.length === 0) throw new UserError('no listeners found');
  return found;
}

export function routesOf(dump: ConfigDump): readonly JsonObject[] {
  const routes = section(dump, 'RoutesConfigDump');
  const found = [...objects(routes['dynamicRouteConfigs']), ...objects(routes['staticRouteConfigs'])]
    .map((entry) => entry['routeConfig'])
    .filter((route) => route !== undefined)
    .map(objectOf);
  if (found.length === 0) throw new UserError('no routes found');
  return found;
}

export function clustersOf(dump: ConfigDump): readonly JsonObject[] {
  const clusters = section(dump, 'ClustersConfigDump');
  const found = [...objects(clusters['dynamicActiveClusters']), ...objects(clusters['staticClusters'])]
    .map((entry) => objectOf(entry['cluster']))
    .filter((cluster) => Object.keys(cluster).length > 0);
  if (found.length === 0) throw new UserError('no clusters found');
  return found;
}

/** ClusterLoadAssignments of a dump taken with `?include_eds`; none where it was not. */
export function assignmentsOf(dump: ConfigDump): readonly JsonObject[] {
  return dump.sections
    .filter((candidate) => candidate['@type'] === `${typePrefix}EndpointsConfigDump`)
    .slice(-1)
    .flatMap((endpoints) => [
      ...objects(endpoints['dynamicEndpointConfigs']),
      ...objects(endpoints['staticEndpointConfigs']),
    ])
    .map((entry) => objectOf(entry['endpointConfig']));
}

/** The message inside an Any: without its `@type`, as istioctl prints resources. */
export function withoutType(object: JsonObject): JsonObject {
  const { '@type': _, ...rest } = object;
  return rest;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function objectOf(value: JsonValue | undefined): JsonObject {
  return isObject(value) ? value : {};
}

export function objects(value: JsonValue | undefined): readonly JsonObject[] {
  return Array.isArray(value) ? (value as JsonValue[]).filter(isObject) : [];
}

export function strings(value: JsonValue | undefined): readonly string[] {
  return Array.isArray(value) ? (value as JsonValue[]).filter((item) => typeof item === 'string') : [];
}

export function text(value: JsonValue | undefined): string {
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : '';
}

/** Follows names down nested objects; undefined where one is missing. */
export function dig(object: JsonValue | undefined, ...names: readonly string[]): JsonValue | undefined {
  let value = object;
  for (const name of names) value = isObject(value) ? value[name] : undefined;
  return value;
}
