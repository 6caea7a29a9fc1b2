// Which resources another one waits for: the assignment of a cluster, the route configurations of a listener.
import { unpackAs } from '../../api/any.ts';
import type { Cluster } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { Cluster_DiscoveryType } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import type { ConfigSource } from '../../api/gen/envoy/config/core/v3/config_source_pb.js';
import type { Listener } from '../../api/gen/envoy/config/listener/v3/listener_pb.js';
import { HttpConnectionManagerSchema } from '../../api/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';

/** Whether it says: from where this comes from. */
export function isAds(source: ConfigSource | undefined): boolean {
  const kind = source?.configSourceSpecifier.case;
  return kind === 'ads' || kind === 'self';
}

/** The ClusterLoadAssignment that comes over ADS for it; undefined: none does. */
export function assignmentName(cluster: Cluster): string | undefined {
  const { clusterDiscoveryType, edsClusterConfig, name } = cluster;
  if (clusterDiscoveryType.value !== Cluster_DiscoveryType.EDS || !isAds(edsClusterConfig?.edsConfig))
    return undefined;
  return edsClusterConfig?.serviceName || name;
}

/** The RouteConfigurations that come over ADS for its connection managers. Throws for one that cannot be read. */
export function routeNames(listener: Listener): readonly string[] {
  const chains = [...listener.filterChains, listener.defaultFilterChain].filter(
    (chain) => chain !== undefined,
  );
  return chains.flatMap((chain) =>
    chain.filters.flatMap(({ configType }) => {
      if (configType.case !== 'typedConfig') return [];
      const manager = unpackAs(configType.value, HttpConnectionManagerSchema);
      if (manager?.routeSpecifier.case !== 'rds') return [];
      const { configSource, routeConfigName } = manager.routeSpecifier.value;
      return isAds(configSource) ? [routeConfigName] : [];
    }),
  );
}
