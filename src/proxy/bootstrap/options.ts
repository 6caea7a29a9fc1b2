// The bootstrap as this proxy uses it: what it does not do is refused here, before anything starts.
import type { Bootstrap } from '../../api/gen/envoy/config/bootstrap/v3/bootstrap_pb.js';
import {
  AdminSchema,
  BootstrapSchema,
  Bootstrap_DynamicResourcesSchema,
  Bootstrap_StaticResourcesSchema,
  ClusterManagerSchema,
  RuntimeLayerSchema,
} from '../../api/gen/envoy/config/bootstrap/v3/bootstrap_pb.js';
import type { Cluster } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import type { Node } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import type { ApiConfigSource, ConfigSource } from '../../api/gen/envoy/config/core/v3/config_source_pb.js';
import {
  ApiConfigSourceSchema,
  ApiConfigSource_ApiType,
  ApiVersion,
  ConfigSourceSchema,
  PathConfigSourceSchema,
} from '../../api/gen/envoy/config/core/v3/config_source_pb.js';
import type { Listener } from '../../api/gen/envoy/config/listener/v3/listener_pb.js';
import type { StatsMatcher } from '../../api/gen/envoy/config/metrics/v3/stats_pb.js';
import { StatsConfigSchema } from '../../api/gen/envoy/config/metrics/v3/stats_pb.js';
import { ConfigError } from '../config-error.ts';
import { compileStringMatcher } from '../matchers/text.ts';
import { durationMs, refuseFields } from '../refuse-fields.ts';

/** Envoy's default for `initial_fetch_timeout`. */
export const defaultInitialFetchTimeoutMs = 15_000;

/** A type of resource that stands in a file. */
export interface FileSourceConfig {
  readonly path: string;
}

/** A type of resource that comes over ADS. */
export interface AdsSource {
  /** 0: waits for ever. */
  readonly initialFetchTimeoutMs: number;
}

export interface ProxyOptions {
  readonly bootstrap: Bootstrap;
  readonly node: Node | undefined;
  readonly clusters: readonly Cluster[];
  readonly listeners: readonly Listener[];
  /** The static cluster that ADS is reached through; undefined: no ADS. */
  readonly adsCluster: string | undefined;
  /** Metadata for the ADS stream. */
  readonly adsMetadata: readonly (readonly [string, string])[];
  readonly cds: AdsSource | FileSourceConfig | undefined;
  readonly lds: AdsSource | FileSourceConfig | undefined;
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
      new Set(['listeners', 'clusters']),
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
  const ads = dynamicResources?.adsConfig;
  const adsCluster = ads === undefined ? undefined : readAdsCluster(ads, 'dynamic_resources.ads_config');
  return {
    bootstrap,
    node: bootstrap.node,
    clusters: staticResources?.clusters ?? [],
    listeners: staticResources?.listeners ?? [],
    adsCluster,
    adsMetadata: (ads?.grpcServices[0]?.initialMetadata ?? []).map(({ key, value }) => [key, value] as const),
    cds: readSource(dynamicResources?.cdsConfig, 'dynamic_resources.cds_config', adsCluster),
    lds: readSource(dynamicResources?.ldsConfig, 'dynamic_resources.lds_config', adsCluster),
    admin: admin === undefined ? undefined : readAdmin(admin),
    fixedTags: readStatsConfig(bootstrap, withoutEffect),
    keepsStat: compileStatsMatcher(bootstrap.statsConfig?.statsMatcher),
    withoutEffect: [...withoutEffect, ...readRuntime(bootstrap)],
  };
}

function readAdsCluster(config: ApiConfigSource, path: string): string {
  refuseFields(
    ApiConfigSourceSchema,
    config,
    path,
    new Set(['api_type', 'transport_api_version', 'grpc_services', 'set_node_on_first_message_only']),
  );
  if (config.apiType !== ApiConfigSource_ApiType.GRPC) {
    throw new ConfigError(
      `${path}.api_type`,
      `${ApiConfigSource_ApiType[config.apiType]} is not supported; use GRPC`,
    );
  }
  if (config.transportApiVersion !== ApiVersion.V3) {
    throw new ConfigError(
      `${path}.transport_api_version`,
      `${ApiVersion[config.transportApiVersion]} is not supported; use V3`,
    );
  }
  const service = config.grpcServices[0];
  if (config.grpcServices.length !== 1 || service?.targetSpecifier.case !== 'envoyGrpc') {
    throw new ConfigError(`${path}.grpc_services`, 'exactly one service with envoy_grpc is supported');
  }
  return service.targetSpecifier.value.clusterName;
}

/** As `readAdsSource`, or a file. */
function readSource(
  source: ConfigSource | undefined,
  path: string,
  adsCluster: string | undefined,
): AdsSource | FileSourceConfig | undefined {
  const specifier = source?.configSourceSpecifier;
  if (specifier?.case === 'path') return { path: specifier.value };
  if (specifier?.case !== 'pathConfigSource') return readAdsSource(source, path, adsCluster);
  refuseFields(PathConfigSourceSchema, specifier.value, `${path}.path_config_source`, new Set(['path']));
  return { path: specifier.value.path };
}

/**
 * `source` must say `ads` (or `self`, which in a resource means the same). Undefined if there is none.
 * Throws ConfigError when it says something else, or when there is no `adsCluster`.
 */
export function readAdsSource(
  source: ConfigSource | undefined,
  path: string,
  adsCluster: string | undefined,
): AdsSource | undefined {
  if (source === undefined) return undefined;
  refuseFields(
    ConfigSourceSchema,
    source,
    path,
    new Set(['ads', 'self', 'resource_api_version', 'initial_fetch_timeout']),
  );
  if (source.configSourceSpecifier.case === undefined) {
    throw new ConfigError(path, 'names no source; use ads: {}');
  }
  if (adsCluster === undefined) {
    throw new ConfigError(`${path}.ads`, 'needs dynamic_resources.ads_config in the bootstrap');
  }
  return { initialFetchTimeoutMs: durationMs(source.initialFetchTimeout, defaultInitialFetchTimeoutMs) };
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
