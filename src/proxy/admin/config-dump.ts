// /config_dump: what is configured, as envoy.admin.v3.ConfigDump in JSON with proto field names, as Envoy
// prints it.
import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { create, toJson } from '@bufbuild/protobuf';
import type { Any, Timestamp } from '@bufbuild/protobuf/wkt';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { packAny, registry } from '../../api/any.ts';
import {
  ClustersConfigDumpSchema,
  EndpointsConfigDumpSchema,
  ListenersConfigDumpSchema,
  RoutesConfigDumpSchema,
} from '../../api/gen/envoy/admin/v3/config_dump_shared_pb.js';
import { withoutTokens } from './redact-bootstrap.ts';
import { BootstrapConfigDumpSchema } from '../../api/gen/envoy/admin/v3/config_dump_pb.js';
import { RouteConfigurationSchema } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import { ClusterLoadAssignmentSchema } from '../../api/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import type { FailedUpdate } from '../cluster-manager/cluster-manager.ts';
import type { ClusterEntry } from '../cluster-manager/cluster-manager.ts';
import type { ListenerResource, RunningListener } from '../listener/listener.ts';
import type { ProxyServer } from '../server/server.ts';
import { staticAssignment } from './cluster-status.ts';

export interface ConfigDumpQuery {
  /** A repeated field of one of the dumps, such as `dynamic_active_clusters`. */
  readonly resource: string | undefined;
  /** Field mask, comma separated paths. */
  readonly mask: string | undefined;
  readonly matchesName: ((name: string) => boolean) | undefined;
  readonly includeEds: boolean;
}

/** Returns the JSON, or an error text where `resource` names nothing. */
export function dumpConfig(
  server: ProxyServer,
  query: ConfigDumpQuery,
): { readonly json: JsonObject } | { readonly notFound: string } {
  let configs = allDumps(server, query.includeEds);
  if (query.matchesName !== undefined)
    configs = configs.map((config) => keepNames(config, query.matchesName!));
  const { resource, mask } = query;
  if (resource !== undefined) {
    const owner = configs.find((config) => Array.isArray(config[resource]) || resource in config);
    if (owner === undefined && !knownResources.has(resource)) {
      return { notFound: `${resource} not found in config dump` };
    }
    const type = itemTypes[resource];
    const found = owner?.[resource];
    const items = Array.isArray(found) ? found : found === undefined ? [] : [found];
    configs = items.map((item) => ({
      ...(type === undefined ? {} : { '@type': `type.googleapis.com/${type}` }),
      ...(item as JsonObject),
    }));
  }
  if (mask !== undefined && mask !== '') {
    const paths = mask.split(',').map((path) => path.trim().split('.'));
    configs = configs.map((config) => applyMask(config, paths) as JsonObject);
  }
  return { json: { configs } };
}

const itemTypes: Readonly<Record<string, string>> = {
  static_clusters: 'envoy.admin.v3.ClustersConfigDump.StaticCluster',
  dynamic_active_clusters: 'envoy.admin.v3.ClustersConfigDump.DynamicCluster',
  dynamic_warming_clusters: 'envoy.admin.v3.ClustersConfigDump.DynamicCluster',
  static_listeners: 'envoy.admin.v3.ListenersConfigDump.StaticListener',
  dynamic_listeners: 'envoy.admin.v3.ListenersConfigDump.DynamicListener',
  static_route_configs: 'envoy.admin.v3.RoutesConfigDump.StaticRouteConfig',
  dynamic_route_configs: 'envoy.admin.v3.RoutesConfigDump.DynamicRouteConfig',
  static_endpoint_configs: 'envoy.admin.v3.EndpointsConfigDump.StaticEndpointConfig',
  dynamic_endpoint_configs: 'envoy.admin.v3.EndpointsConfigDump.DynamicEndpointConfig',
};
const knownResources = new Set(Object.keys(itemTypes));

function allDumps(server: ProxyServer, includeEds: boolean): JsonObject[] {
  const started = timestampFromMs(server.startedMs);
  return [
    toDump(
      packAny(
        BootstrapConfigDumpSchema,
        create(BootstrapConfigDumpSchema, {
          bootstrap: withoutTokens(server.options.config.bootstrap),
          lastUpdated: started,
        }),
      ),
    ),
    toDump(packAny(ClustersConfigDumpSchema, dumpClusters(server))),
    ...(includeEds ? [toDump(packAny(EndpointsConfigDumpSchema, dumpEndpoints(server)))] : []),
    toDump(packAny(ListenersConfigDumpSchema, dumpListeners(server))),
    toDump(packAny(RoutesConfigDumpSchema, dumpRoutes(server, started))),
    // There are no secrets yet; Envoy always has this section.
    { '@type': 'type.googleapis.com/envoy.admin.v3.SecretsConfigDump' },
  ];
}

function dumpClusters(server: ProxyServer): ReturnType<typeof create<typeof ClustersConfigDumpSchema>> {
  const { clusters } = server;
  const failed = new Map(clusters.failed().map((failure) => [failure.name, failure]));
  const dynamic = (entries: readonly ClusterEntry[], withErrors: boolean): object[] =>
    entries
      .filter((entry) => entry.versionInfo !== undefined)
      .map((entry) => ({
        versionInfo: entry.versionInfo ?? '',
        cluster: entry.resource,
        lastUpdated: timestampFromMs(entry.lastUpdatedMs),
        ...(withErrors && failed.has(entry.name) ? { errorState: errorState(failed.get(entry.name)!) } : {}),
      }));
  const known = new Set([...clusters.active(), ...clusters.warming()].map((entry) => entry.name));
  const neverAccepted = [...failed.values()]
    .filter((failure) => !known.has(failure.name))
    .map((failure) => ({ errorState: errorState(failure) }));
  return create(ClustersConfigDumpSchema, {
    versionInfo: clusters.versionInfo,
    staticClusters: [...clusters.active(), ...clusters.warming()]
      .filter((entry) => entry.versionInfo === undefined)
      .map((entry) => ({ cluster: entry.resource, lastUpdated: timestampFromMs(entry.lastUpdatedMs) })),
    dynamicActiveClusters: dynamic(clusters.active(), true),
    dynamicWarmingClusters: [...dynamic(clusters.warming(), false), ...neverAccepted],
  });
}

function dumpListeners(server: ProxyServer): ReturnType<typeof create<typeof ListenersConfigDumpSchema>> {
  const { listeners } = server;
  const dynamic = new Map<string, Record<string, unknown>>();
  const state = (name: string, field: string, value: unknown): void => {
    const entry = dynamic.get(name) ?? { name };
    entry[field] = value;
    dynamic.set(name, entry);
  };
  const isDynamic = (listener: ListenerResource): boolean => listener.versionInfo !== undefined;
  for (const listener of listeners.active().filter(isDynamic))
    state(listener.name, 'activeState', listenerState(listener));
  for (const listener of listeners.warming().filter(isDynamic))
    state(listener.name, 'warmingState', listenerState(listener));
  for (const { listener, chains } of listeners.draining()) {
    if (isDynamic(listener) && chains.length > 0)
      state(listener.name, 'drainingState', listenerState(listener));
  }
  for (const failure of listeners.failed()) state(failure.name, 'errorState', errorState(failure));
  return create(ListenersConfigDumpSchema, {
    versionInfo: listeners.versionInfo,
    staticListeners: [...listeners.active(), ...listeners.warming()]
      .filter((listener) => !isDynamic(listener))
      .map((listener) => ({
        listener: listener.resource,
        lastUpdated: timestampFromMs(listener.lastUpdatedMs),
      })),
    dynamicListeners: [...dynamic.values()],
  });
}

function listenerState(listener: RunningListener): object {
  return {
    versionInfo: listener.versionInfo ?? '',
    listener: listener.resource,
    lastUpdated: timestampFromMs(listener.lastUpdatedMs),
  };
}

function dumpRoutes(
  server: ProxyServer,
  started: Timestamp,
): ReturnType<typeof create<typeof RoutesConfigDumpSchema>> {
  return create(RoutesConfigDumpSchema, {
    staticRouteConfigs: server.listeners.inlineRoutes().map((configuration) => ({
      routeConfig: packAny(RouteConfigurationSchema, configuration),
      lastUpdated: started,
    })),
    dynamicRouteConfigs: server.routes.entries().map((entry) => ({
      versionInfo: entry.versionInfo,
      routeConfig: entry.resource,
      lastUpdated: timestampFromMs(entry.lastUpdatedMs),
    })),
  });
}

/** Envoy shows every cluster's hosts: static ones made from what they are now, EDS ones as they came. */
function dumpEndpoints(server: ProxyServer): ReturnType<typeof create<typeof EndpointsConfigDumpSchema>> {
  const received = server.eds.assignments();
  const edsNames = new Set(received.map(({ message }) => message.clusterName));
  return create(EndpointsConfigDumpSchema, {
    staticEndpointConfigs: server.clusters
      .active()
      .filter((entry) => !edsNames.has(entry.config.edsClusterConfig?.serviceName || entry.name))
      .map((entry) => ({ endpointConfig: packAny(ClusterLoadAssignmentSchema, staticAssignment(entry)) })),
    dynamicEndpointConfigs: received.map((assignment) => ({
      versionInfo: assignment.versionInfo,
      endpointConfig: packAny(ClusterLoadAssignmentSchema, assignment.message),
      lastUpdated: timestampFromMs(assignment.lastUpdatedMs),
    })),
  });
}

function errorState(failure: FailedUpdate): object {
  return {
    ...(isPrintable(failure.resource) ? { failedConfiguration: failure.resource } : {}),
    lastUpdateAttempt: timestampFromMs(failure.lastAttemptMs),
    details: failure.details,
    versionInfo: failure.versionInfo,
  };
}

/** A refused resource may hold types that we do not know: then only the error is shown. */
function isPrintable(resource: Any): boolean {
  try {
    printAny(resource);
    return true;
  } catch {
    return false;
  }
}

function toDump(any: Any): JsonObject {
  return printAny(any) as JsonObject;
}

function printAny(any: Any): JsonValue {
  const schema = registry.getMessage('google.protobuf.Any');
  if (schema === undefined) throw new Error('google.protobuf.Any is not registered');
  return toJson(schema, any, { registry, useProtoFieldName: true });
}

/** Of each list of resources, those whose name matches. */
function keepNames(config: JsonObject, matches: (name: string) => boolean): JsonObject {
  return Object.fromEntries(
    Object.entries(config).map(([field, value]) => [
      field,
      Array.isArray(value) ? value.filter((item) => matches(nameOf(item as JsonObject))) : value,
    ]),
  );
}

function nameOf(item: JsonObject): string {
  if (typeof item['name'] === 'string') return item['name'];
  for (const field of ['cluster', 'listener', 'route_config', 'endpoint_config']) {
    const resource = item[field];
    if (typeof resource !== 'object' || resource === null || Array.isArray(resource)) continue;
    const name = resource['name'] ?? resource['cluster_name'];
    if (typeof name === 'string') return name;
  }
  return '';
}

/** Keeps the paths of a field mask; lists are transparent, `@type` stays. */
function applyMask(value: JsonValue, paths: readonly (readonly string[])[]): JsonValue {
  if (paths.some((path) => path.length === 0)) return value;
  if (Array.isArray(value)) return value.map((item) => applyMask(item, paths));
  if (typeof value !== 'object' || value === null) return value;
  const kept: JsonObject = {};
  for (const [key, item] of Object.entries(value)) {
    const below = paths.filter((path) => path[0] === key).map((path) => path.slice(1));
    if (key === '@type') kept[key] = item;
    else if (below.length > 0) kept[key] = applyMask(item, below);
  }
  return kept;
}
