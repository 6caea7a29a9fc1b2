// A proxy's configuration from its /config_dump, as messages.
import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import { fromJson } from '@bufbuild/protobuf';
import type { JsonValue as ProtoJson } from '@bufbuild/protobuf';
import { registry } from '../api/any.ts';
import { ClusterSchema } from '../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '../api/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '../api/gen/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '../api/gen/envoy/config/route/v3/route_pb.js';
import type { ConfigDump } from '../istioctl/config-dump.ts';
import {
  assignmentsOf,
  clustersOf,
  listenersOf,
  objects,
  objectOf,
  section,
  text,
} from '../istioctl/config-dump.ts';
import type { JsonObject, JsonValue } from '../istioctl/json-names.ts';
import type { ProxyConfiguration } from './mesh-view.ts';
import type { PlacedSource } from './sources.ts';
import { nearestSources } from './sources.ts';

/** `sources`: `<type> <resource>` -> what it came from. */
export function dumpedConfiguration(
  dump: ConfigDump,
  sources: ReadonlyMap<string, readonly PlacedSource[]>,
): ProxyConfiguration {
  const routes = lazily(RouteConfigurationSchema, routesOf(dump), 'name');
  const clusters = lazily(ClusterSchema, clustersOf(dump), 'name');
  const assignments = lazily(ClusterLoadAssignmentSchema, assignmentsOf(dump), 'clusterName');
  return {
    listeners: listenersOf(dump).map((json) => read(ListenerSchema, json)),
    routes: routes.get,
    cluster: clusters.get,
    clusterNames: clusters.names,
    assignment: assignments.get,
    sources: (type, resource, at) => nearestSources(sources.get(`${type} ${resource}`) ?? [], at),
  };
}

/** A proxy without any routes is no error here. */
function routesOf(dump: ConfigDump): readonly JsonObject[] {
  const found = section(dump, 'RoutesConfigDump');
  return [...objects(found['dynamicRouteConfigs']), ...objects(found['staticRouteConfigs'])].map((entry) =>
    objectOf(entry['routeConfig']),
  );
}

/** Read when asked for: a dump may hold thousands. */
function lazily<Desc extends DescMessage>(
  schema: Desc,
  resources: readonly JsonObject[],
  nameField: string,
): {
  readonly get: (name: string) => MessageShape<Desc> | undefined;
  readonly names: () => readonly string[];
} {
  const byName = new Map(resources.map((json) => [text(json[nameField]), json]));
  const known = new Map<string, MessageShape<Desc>>();
  return {
    get: (name) => {
      const json = byName.get(name);
      const message = known.get(name) ?? (json === undefined ? undefined : read(schema, json));
      if (message !== undefined) known.set(name, message);
      return message;
    },
    names: () => [...byName.keys()],
  };
}

/** Fields and extensions that we do not know are left out: a newer Envoy may have them. */
function read<Desc extends DescMessage>(schema: Desc, json: JsonObject): MessageShape<Desc> {
  const { '@type': _, ...rest } = json;
  return fromJson(schema, known(rest) as ProtoJson, { registry, ignoreUnknownFields: true });
}

/** Without the Anys of unknown types, which no reader could take. */
function known(value: JsonValue | undefined): JsonValue | undefined {
  if (Array.isArray(value)) return (value as readonly JsonValue[]).flatMap((item) => known(item) ?? []);
  if (typeof value !== 'object' || value === null) return value;
  const object = value as JsonObject;
  const type = object['@type'];
  if (typeof type === 'string' && registry.getMessage(type.slice(type.lastIndexOf('/') + 1)) === undefined)
    return undefined;
  const entries = Object.entries(object).flatMap(([name, inner]) => {
    const kept = known(inner);
    return kept === undefined ? [] : [[name, kept] as const];
  });
  return Object.fromEntries(entries);
}
