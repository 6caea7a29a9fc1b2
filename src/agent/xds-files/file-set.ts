// The configuration of a proxy as files for Envoy's path_config_source: clusters and listeners in a file each, every
// assignment and route configuration in one of its own, because Envoy takes one resource from there.
import { createHash } from 'node:crypto';
import type { DescMessage, JsonObject, JsonValue, MessageShape } from '@bufbuild/protobuf';
import { toJson } from '@bufbuild/protobuf';
import { registry, typeUrlOf } from '../../api/any.ts';
import { ClusterSchema } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '../../api/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '../../api/gen/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import type { ProxyConfiguration } from './follower.ts';
import { assignmentName, routeNames } from './references.ts';

/** Texts by path below the folder, the slash between parts. */
export interface FileSet {
  /** What others name: assignments and route configurations. */
  readonly parts: ReadonlyMap<string, string>;
  readonly clusters: readonly JsonObject[];
  readonly listeners: readonly JsonObject[];
  /** What was left out and why, one text each. */
  readonly problems: readonly string[];
}

export const clustersFile = 'cds.json';
export const listenersFile = 'lds.json';

/**
 * A cluster is left out while its assignment is missing, a listener while its routes are: Envoy would refuse them.
 * So is what needs ADS for anything else: there is none. `directory`: where Envoy finds the files.
 */
export function renderFiles(configuration: ProxyConfiguration, directory: string): FileSet {
  const parts = new Map<string, string>();
  const problems: string[] = [];
  const place = <Schema extends DescMessage>(
    folder: string,
    name: string,
    schema: Schema,
    message: MessageShape<Schema>,
  ): string => {
    const path = `${folder}/${fileName(name)}`;
    parts.set(path, responseText([resourceJson(schema, message)]));
    return path;
  };
  const attempt = (what: string, make: () => JsonObject): JsonObject[] => {
    try {
      const json = make();
      const where = adsReference(json, '');
      if (where === undefined) return [json];
      problems.push(`${what}: ${where} needs ADS, and files cannot hold it`);
    } catch (error) {
      problems.push(`${what}: ${(error as Error).message}`);
    }
    return [];
  };

  const clusters = sorted(configuration.clusters).flatMap(([name, cluster]) =>
    attempt(`Cluster ${name}`, () => {
      const json = resourceJson(ClusterSchema, cluster);
      const assigned = assignmentName(cluster);
      if (assigned === undefined) return json;
      const assignment = configuration.endpoints.get(assigned);
      if (assignment === undefined) throw new Error(`its endpoints (${assigned}) have not come`);
      const path = place('eds', assigned, ClusterLoadAssignmentSchema, assignment);
      (json['eds_cluster_config'] as JsonObject)['eds_config'] = fileSource(directory, path);
      return json;
    }),
  );
  const listeners = sorted(configuration.listeners).flatMap(([name, listener]) =>
    attempt(`Listener ${name}`, () => {
      const paths = new Map<string, string>();
      for (const routes of routeNames(listener)) {
        const configured = configuration.routes.get(routes);
        if (configured === undefined) throw new Error(`its routes (${routes}) have not come`);
        paths.set(routes, place('rds', routes, RouteConfigurationSchema, configured));
      }
      return pointToFiles(resourceJson(ListenerSchema, listener), paths, directory) as JsonObject;
    }),
  );
  return { parts, clusters, listeners, problems };
}

/** The DiscoveryResponse of a file. Its version is a hash of its content: equal content, equal text. */
export function responseText(resources: readonly JsonObject[]): string {
  const version = createHash('sha256').update(JSON.stringify(resources)).digest('hex').slice(0, 16);
  return `${JSON.stringify({ version_info: version, resources }, null, 2)}\n`;
}

/** Of a resource's name: readable, short enough for every file system, and never that of another one. */
export function fileName(name: string): string {
  const readable = name.replaceAll(/[^A-Za-z0-9._-]/g, '_').slice(0, 150);
  return `${readable}-${createHash('sha256').update(name).digest('hex').slice(0, 10)}.json`;
}

/** Files that were made by `fileName`. */
export const fileNamePattern = /-[0-9a-f]{10}\.json$/;

export function fileSource(directory: string, path: string): JsonObject {
  return { resource_api_version: 'V3', path_config_source: { path: `${directory}/${path}` } };
}

function resourceJson<Schema extends DescMessage>(schema: Schema, message: MessageShape<Schema>): JsonObject {
  const json = toJson(schema, message, { registry, useProtoFieldName: true }) as JsonObject;
  return { '@type': typeUrlOf(schema), ...json };
}

/** Each `rds` whose routes come over ADS gets the path of their file. */
function pointToFiles(json: JsonValue, paths: ReadonlyMap<string, string>, directory: string): JsonValue {
  if (Array.isArray(json)) return json.map((item) => pointToFiles(item, paths, directory));
  if (typeof json !== 'object' || json === null) return json;
  return Object.fromEntries(
    Object.entries(json).map(([key, value]) => {
      const rds = key === 'rds' && isObject(value) ? value : undefined;
      const name = rds?.['route_config_name'];
      const source = rds?.['config_source'];
      const path =
        typeof name === 'string' && isObject(source) && saysAds(source) ? paths.get(name) : undefined;
      return path === undefined
        ? [key, pointToFiles(value, paths, directory)]
        : [key, { ...rds, config_source: fileSource(directory, path) }];
    }),
  );
}

/** The path of a config source that says ADS; undefined: there is none. */
function adsReference(json: JsonValue, path: string): string | undefined {
  if (Array.isArray(json)) {
    for (const [index, item] of json.entries()) {
      const found = adsReference(item, `${path}[${index}]`);
      if (found !== undefined) return found;
    }
    return undefined;
  }
  if (!isObject(json)) return undefined;
  if (saysAds(json)) return path;
  for (const [key, value] of Object.entries(json)) {
    const found = adsReference(value, path === '' ? key : `${path}.${key}`);
    if (found !== undefined) return found;
  }
  return undefined;
}

function saysAds(json: JsonObject): boolean {
  return ['ads', 'self'].some((key) => {
    const value = json[key];
    return isObject(value) && Object.keys(value).length === 0;
  });
}

function isObject(json: JsonValue | undefined): json is JsonObject {
  return typeof json === 'object' && json !== null && !Array.isArray(json);
}

function sorted<T>(map: ReadonlyMap<string, T>): [string, T][] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}
