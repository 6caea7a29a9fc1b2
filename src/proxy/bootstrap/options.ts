// The bootstrap as this proxy uses it: what it does not do is refused here, before anything starts.
import type {
  Bootstrap,
  Bootstrap_DynamicResources,
} from '../../api/gen/envoy/config/bootstrap/v3/bootstrap_pb.js';
import {
  AdminSchema,
  BootstrapSchema,
  Bootstrap_DynamicResourcesSchema,
  Bootstrap_StaticResourcesSchema,
  ClusterManagerSchema,
  RuntimeLayerSchema,
} from '../../api/gen/envoy/config/bootstrap/v3/bootstrap_pb.js';
import type { Cluster } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { Cluster_DiscoveryType } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import type { Node } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import type { ConfigSource as ConfigSourceMessage } from '../../api/gen/envoy/config/core/v3/config_source_pb.js';
import type { Listener } from '../../api/gen/envoy/config/listener/v3/listener_pb.js';
import type { Secret } from '../../api/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import type { StatsMatcher } from '../../api/gen/envoy/config/metrics/v3/stats_pb.js';
import { StatsConfigSchema } from '../../api/gen/envoy/config/metrics/v3/stats_pb.js';
import { ConfigError } from '../config-error.ts';
import type { ConfigSource, GrpcServer, SourceContext } from '../config-source/config-source.ts';
import { readConfigSource, readGrpcServer } from '../config-source/config-source.ts';
import { compileStringMatcher } from '../matchers/text.ts';
import { refuseFields } from '../refuse-fields.ts';

export interface ProxyOptions {
  readonly bootstrap: Bootstrap;
  readonly node: Node | undefined;
  readonly clusters: readonly Cluster[];
  readonly listeners: readonly Listener[];
  /** Those that TLS contexts name without a source. */
  readonly secrets: readonly Secret[];
  /** Where ADS is to be had; undefined: no ADS. */
  readonly ads: GrpcServer | undefined;
  /** What config sources may refer to, here and in what they bring. */
  readonly sources: SourceContext;
  readonly cds: ConfigSource | undefined;
  readonly lds: ConfigSource | undefined;
  readonly admin: { readonly address: string; readonly port: number } | undefined;
  /** Fixed tags of stats_config, added to every Prometheus line. */
  readonly fixedTags: readonly { readonly name: string; readonly value: string }[];
  /** Whether a stat of that name is shown (stats_config.stats_matcher). */
  readonly keepsStat: (name: string) => boolean;
  /** What was accepted but has no effect here, for the log. */
  readonly withoutEffect: readonly string[];
}

/** Throws ConfigError with the field's path. */
export function readOptions(bootstrap: Bootstrap): ProxyOptions {
  const withoutEffect: string[] = [];
  refuseFields(
    BootstrapSchema,
    bootstrap,
    '',
    new Set([
      'node',
      'static_resources',
      'dynamic_resources',
      'admin',
      'stats_config',
      'cluster_manager',
      'layered_runtime',
      'stats_flush_interval',
    ]),
  );
  const { staticResources, dynamicResources, admin } = bootstrap;
  if (staticResources !== undefined) {
    refuseFields(
      Bootstrap_StaticResourcesSchema,
      staticResources,
      'static_resources',
      new Set(['listeners', 'clusters', 'secrets']),
    );
  }
  if (bootstrap.clusterManager !== undefined) {
    refuseFields(
      ClusterManagerSchema,
      bootstrap.clusterManager,
      'cluster_manager',
      new Set(['local_cluster_name']),
    );
    if (bootstrap.clusterManager.localClusterName !== '')
      withoutEffect.push('cluster_manager.local_cluster_name');
  }
  if (dynamicResources !== undefined) {
    refuseFields(
      Bootstrap_DynamicResourcesSchema,
      dynamicResources,
      'dynamic_resources',
      new Set(['lds_config', 'cds_config', 'ads_config']),
    );
  }
  return {
    bootstrap,
    node: bootstrap.node,
    clusters: staticResources?.clusters ?? [],
    listeners: staticResources?.listeners ?? [],
    secrets: staticResources?.secrets ?? [],
    ...readDynamicResources(dynamicResources, staticResources?.clusters ?? []),
    admin: admin === undefined ? undefined : readAdmin(admin),
    fixedTags: readStatsConfig(bootstrap, withoutEffect),
    keepsStat: compileStatsMatcher(bootstrap.statsConfig?.statsMatcher),
    withoutEffect: [...withoutEffect, ...readRuntime(bootstrap)],
  };
}

function readDynamicResources(
  resources: Bootstrap_DynamicResources | undefined,
  clusters: readonly Cluster[],
): Pick<ProxyOptions, 'ads' | 'sources' | 'cds' | 'lds'> {
  const isEds = (cluster: Cluster): boolean =>
    cluster.clusterDiscoveryType.case === 'type' &&
    cluster.clusterDiscoveryType.value === Cluster_DiscoveryType.EDS;
  const primaryClusters = new Set(clusters.filter((cluster) => !isEds(cluster)).map(({ name }) => name));
  const { adsConfig, cdsConfig, ldsConfig } = resources ?? {};
  const ads =
    adsConfig === undefined
      ? undefined
      : readGrpcServer(adsConfig, 'dynamic_resources.ads_config', { primaryClusters });
  const grpcClusters = new Set(ads === undefined ? [] : [ads.cluster]);
  const sources: SourceContext = { hasAds: ads !== undefined, primaryClusters, grpcClusters };
  const read = (source: ConfigSourceMessage | undefined, path: string): ConfigSource | undefined => {
    if (source === undefined) return undefined;
    const config = readConfigSource(source, path, sources);
    if (config.kind === 'grpc') grpcClusters.add(config.server.cluster);
    return config;
  };
  const cds = read(cdsConfig, 'dynamic_resources.cds_config');
  const lds = read(ldsConfig, 'dynamic_resources.lds_config');
  clusters.forEach((cluster, index) => {
    read(
      cluster.edsClusterConfig?.edsConfig,
      `static_resources.clusters[${index}] (${cluster.name}): eds_cluster_config.eds_config`,
    );
  });
  return { ads, sources, cds, lds };
}

function readAdmin(admin: NonNullable<Bootstrap['admin']>): ProxyOptions['admin'] {
  refuseFields(
    AdminSchema,
    admin,
    'admin',
    new Set(['address', 'access_log', 'access_log_path', 'profile_path', 'ignore_global_conn_limit']),
  );
  if (admin.accessLog.length > 0) throw new ConfigError('admin.access_log', 'is not supported by this proxy');
  const address = admin.address?.address;
  if (address === undefined || address.case === undefined) return undefined;
  if (address.case !== 'socketAddress' || address.value.portSpecifier.case !== 'portValue') {
    throw new ConfigError('admin.address', 'must be a socket_address with port_value');
  }
  return { address: address.value.address, port: address.value.portSpecifier.value };
}

function readStatsConfig(bootstrap: Bootstrap, withoutEffect: string[]): ProxyOptions['fixedTags'] {
  const config = bootstrap.statsConfig;
  if (config === undefined) return [];
  refuseFields(
    StatsConfigSchema,
    config,
    'stats_config',
    new Set(['stats_tags', 'use_all_default_tags', 'stats_matcher', 'histogram_bucket_settings']),
  );
  if (config.histogramBucketSettings.length > 0) withoutEffect.push('stats_config.histogram_bucket_settings');
  const fixed: { name: string; value: string }[] = [];
  config.statsTags.forEach((tag, index) => {
    if (tag.tagValue.case === 'fixedValue') fixed.push({ name: tag.tagName, value: tag.tagValue.value });
    // Our names know their own tags, so that no pattern has to find them.
    else withoutEffect.push(`stats_config.stats_tags[${index}] (${tag.tagName})`);
  });
  return fixed;
}

function compileStatsMatcher(matcher: StatsMatcher | undefined): (name: string) => boolean {
  const specifier = matcher?.statsMatcher;
  if (specifier?.case === undefined) return () => true;
  if (specifier.case === 'rejectAll') {
    const { value } = specifier;
    return () => !value;
  }
  const path = `stats_config.stats_matcher.${specifier.case === 'inclusionList' ? 'inclusion_list' : 'exclusion_list'}`;
  const patterns = specifier.value.patterns.map((pattern, index) =>
    compileStringMatcher(pattern, `${path}.patterns[${index}]`),
  );
  const wanted = specifier.case === 'inclusionList';
  return (name) => patterns.some((matches) => matches(name)) === wanted;
}

function readRuntime(bootstrap: Bootstrap): string[] {
  return (bootstrap.layeredRuntime?.layers ?? []).map((layer, index) => {
    const path = `layered_runtime.layers[${index}]`;
    refuseFields(RuntimeLayerSchema, layer, path, new Set(['name', 'static_layer', 'admin_layer']));
    return `${path} (${layer.name})`;
  });
}
