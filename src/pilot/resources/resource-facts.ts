// What delivery must know of a resource beside its bytes: which endpoints it waits for, which clusters it names.
import type { Message } from '@bufbuild/protobuf';
import { isMessage } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { unpackAs } from '../../api/any.ts';
import { ClusterSchema, Cluster_DiscoveryType } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { ListenerSchema } from '../../api/gen/envoy/config/listener/v3/listener_pb.js';
import type { RouteAction, VirtualHost } from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import type { RouteConfiguration } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import { RouteConfigurationSchema } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import { HttpConnectionManagerSchema } from '../../api/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { TcpProxySchema } from '../../api/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js';

export interface ResourceFacts {
  /** Of an EDS cluster: the name under which its endpoints are asked for. */
  readonly endpointsName?: string;
  /** Of routes and listeners: the clusters to which they send, sorted. */
  readonly clusters: readonly string[];
  /** Of listeners: the routes that it asks for. */
  readonly routes?: readonly string[];
}

/** Facts of a message of any type; of types that name no clusters there are none. */
export function factsOf(message: Message): ResourceFacts {
  if (isMessage(message, ClusterSchema)) {
    const { clusterDiscoveryType: discovery, edsClusterConfig, name } = message;
    if (discovery.case !== 'type' || discovery.value !== Cluster_DiscoveryType.EDS) return nothing;
    return { endpointsName: edsClusterConfig?.serviceName || name, clusters: [] };
  }
  const clusters = new Set<string>();
  const routes = new Set<string>();
  if (isMessage(message, RouteConfigurationSchema)) addRoutes(clusters, message);
  if (isMessage(message, ListenerSchema)) {
    const chains = [...message.filterChains];
    if (message.defaultFilterChain !== undefined) chains.push(message.defaultFilterChain);
    for (const chain of chains) {
      for (const { configType } of chain.filters) {
        if (configType.case === 'typedConfig') addFilter(clusters, routes, configType.value);
      }
    }
  }
  if (clusters.size === 0 && routes.size === 0) return nothing;
  const named = { clusters: [...clusters].sort() };
  return routes.size === 0 ? named : { ...named, routes: [...routes].sort() };
}

const nothing: ResourceFacts = { clusters: [] };

function addFilter(clusters: Set<string>, routes: Set<string>, config: Any): void {
  const manager = unpackAs(config, HttpConnectionManagerSchema);
  if (manager?.routeSpecifier.case === 'routeConfig') addRoutes(clusters, manager.routeSpecifier.value);
  if (manager?.routeSpecifier.case === 'rds') routes.add(manager.routeSpecifier.value.routeConfigName);
  const target = unpackAs(config, TcpProxySchema)?.clusterSpecifier;
  if (target?.case === 'cluster') clusters.add(target.value);
  if (target?.case === 'weightedClusters') {
    for (const { name } of target.value.clusters) clusters.add(name);
  }
}

function addRoutes(clusters: Set<string>, configuration: RouteConfiguration): void {
  for (const host of configuration.virtualHosts) for (const name of clustersOf(host)) clusters.add(name);
}

/** Translation gives the same message again for a virtual host that has not changed. */
const clustersByHost = new WeakMap<VirtualHost, ReadonlySet<string>>();

function clustersOf(host: VirtualHost): ReadonlySet<string> {
  let clusters = clustersByHost.get(host);
  if (clusters === undefined) {
    const found = new Set<string>();
    for (const { action } of host.routes) if (action.case === 'route') addAction(found, action.value);
    clustersByHost.set(host, (clusters = found));
  }
  return clusters;
}

function addAction(clusters: Set<string>, action: RouteAction): void {
  const target = action.clusterSpecifier;
  if (target.case === 'cluster') clusters.add(target.value);
  if (target.case === 'weightedClusters') {
    for (const { name } of target.value.clusters) if (name !== '') clusters.add(name);
  }
  for (const { cluster } of action.requestMirrorPolicies) if (cluster !== '') clusters.add(cluster);
}
