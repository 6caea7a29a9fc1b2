// Reads an Envoy Cluster into the settings of ours; what this proxy cannot do is refused by field name.
import { anyUnpack } from '@bufbuild/protobuf/wkt';
import { fromBinary } from '@bufbuild/protobuf';
import type { Cluster } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import {
  Cluster_CommonLbConfigSchema,
  Cluster_DiscoveryType,
  Cluster_LbPolicy,
  Cluster_RingHashLbConfig_HashFunction,
  ClusterSchema,
} from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import type { HttpProtocolOptions as CommonOptions } from '../../api/gen/envoy/config/core/v3/protocol_pb.js';
import { HttpProtocolOptionsSchema as CommonOptionsSchema } from '../../api/gen/envoy/config/core/v3/protocol_pb.js';
import { HttpProtocolOptionsSchema } from '../../api/gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js';
import { registry, typeUrlOf } from '../../api/any.ts';
import { ConfigError } from '../config-error.ts';
import type { Http2Options } from '../http2/options.ts';
import { readHttp2Options } from '../http2/options.ts';
import { durationMs, refuseFields } from '../refuse-fields.ts';
import type { HashTableOptions } from './hash-table.ts';
import type { BalancingPolicy } from './load-balancer.ts';
import type { OutlierSettings } from './outlier.ts';
import { outlierSettings } from './outlier.ts';

export interface ClusterSettings {
  readonly originalDestination: boolean;
  readonly policy: BalancingPolicy;
  readonly hashTable: HashTableOptions | undefined;
  readonly choiceCount: number;
  readonly activeRequestBias: number;
  readonly panicThresholdPercent: number;
  readonly localityWeighted: boolean;
  readonly closeConnectionsOnHostSetChange: boolean;
  readonly connectTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly requestsPerConnectionMax: number;
  readonly bufferBytesMax: number | undefined;
  readonly localAddress: string | undefined;
  readonly keepAliveMs: number | undefined;
  readonly cleanupIntervalMs: number;
  /** ORIGINAL_DST: the port to use in place of the destination's. */
  readonly portOverride: number | undefined;
  readonly outlier: OutlierSettings | undefined;
  /** downstream: as the request came (use_downstream_protocol_config). */
  readonly protocol: 'http1' | 'http2' | 'downstream';
  readonly http2: Http2Options;
  readonly http1Trailers: boolean;
}

const hourMs = 3_600_000;

const acceptedClusterFields = new Set([
  'name',
  'alt_stat_name',
  'type',
  'eds_cluster_config',
  'connect_timeout',
  'per_connection_buffer_limit_bytes',
  'lb_policy',
  'load_assignment',
  'max_requests_per_connection',
  'circuit_breakers',
  'common_http_protocol_options',
  'http_protocol_options',
  'typed_extension_protocol_options',
  'dns_refresh_rate',
  'dns_failure_refresh_rate',
  'respect_dns_ttl',
  'dns_lookup_family',
  'wait_for_warm_on_init',
  'outlier_detection',
  'cleanup_interval',
  'upstream_bind_config',
  'original_dst_lb_config',
  'least_request_lb_config',
  'maglev_lb_config',
  'ring_hash_lb_config',
  'round_robin_lb_config',
  'common_lb_config',
  'transport_socket',
  'metadata',
  'protocol_selection',
  'upstream_connection_options',
  'ignore_health_on_host_removal',
  'track_cluster_stats',
]);

/** Throws ConfigError. */
export function readClusterConfig(config: Cluster): ClusterSettings {
  refuseFields(ClusterSchema, config, '', acceptedClusterFields);
  const { common, idleFallbackMs, protocol, http2, http1Trailers } = readProtocolOptions(config);
  if (config.commonLbConfig !== undefined) {
    refuseFields(
      Cluster_CommonLbConfigSchema,
      config.commonLbConfig,
      'common_lb_config',
      new Set([
        'healthy_panic_threshold',
        'locality_weighted_lb_config',
        'zone_aware_lb_config',
        'update_merge_window',
        'close_connections_on_host_set_change',
        'ignore_new_hosts_until_first_hc',
      ]),
    );
  }
  if (
    config.transportSocket !== undefined &&
    config.transportSocket.name !== 'envoy.transport_sockets.raw_buffer'
  ) {
    throw new ConfigError(
      'transport_socket',
      `${config.transportSocket.name} is not supported; envoy.transport_sockets.raw_buffer is`,
    );
  }
  const { connectTimeout } = config;
  if (connectTimeout !== undefined && durationMs(connectTimeout, 0) <= 0)
    throw new ConfigError('connect_timeout', 'must be greater than 0s');
  const originalDestination =
    config.clusterDiscoveryType.case === 'type' &&
    config.clusterDiscoveryType.value === Cluster_DiscoveryType.ORIGINAL_DST;
  const originalDst = config.lbConfig.case === 'originalDstLbConfig' ? config.lbConfig.value : undefined;
  if (originalDst?.useHttpHeader === true || originalDst?.metadataKey !== undefined) {
    throw new ConfigError(
      'original_dst_lb_config',
      'only the connection decides the destination here: use_http_header and metadata_key are not supported',
    );
  }
  const leastRequest = config.lbConfig.case === 'leastRequestLbConfig' ? config.lbConfig.value : undefined;
  const roundRobin = config.lbConfig.case === 'roundRobinLbConfig' ? config.lbConfig.value : undefined;
  if (leastRequest?.slowStartConfig !== undefined || roundRobin?.slowStartConfig !== undefined) {
    throw new ConfigError(
      leastRequest === undefined
        ? 'round_robin_lb_config.slow_start_config'
        : 'least_request_lb_config.slow_start_config',
      'slow start is not supported; remove it',
    );
  }
  const keepAlive = config.upstreamConnectionOptions?.tcpKeepalive;
  const keepAliveSeconds = keepAlive === undefined ? undefined : (keepAlive.keepaliveTime ?? 7200);
  return {
    originalDestination,
    policy: policyOf(config, originalDestination),
    hashTable: hashTableOf(config),
    choiceCount: leastRequest?.choiceCount ?? 2,
    activeRequestBias: leastRequest?.activeRequestBias?.defaultValue ?? 1,
    panicThresholdPercent: config.commonLbConfig?.healthyPanicThreshold?.value ?? 50,
    localityWeighted: config.commonLbConfig?.localityConfigSpecifier.case === 'localityWeightedLbConfig',
    closeConnectionsOnHostSetChange: config.commonLbConfig?.closeConnectionsOnHostSetChange ?? false,
    connectTimeoutMs: durationMs(connectTimeout, 5000),
    idleTimeoutMs: durationMs(common?.idleTimeout, idleFallbackMs),
    requestsPerConnectionMax: common?.maxRequestsPerConnection ?? config.maxRequestsPerConnection ?? 0,
    bufferBytesMax: config.perConnectionBufferLimitBytes,
    localAddress: bindAddressOf(config),
    keepAliveMs: keepAliveSeconds === undefined ? undefined : keepAliveSeconds * 1000,
    cleanupIntervalMs: durationMs(config.cleanupInterval, 5000),
    portOverride: originalDst?.upstreamPortOverride,
    outlier: config.outlierDetection === undefined ? undefined : outlierSettings(config.outlierDetection),
    protocol,
    http2,
    http1Trailers,
  };
}

function policyOf(config: Cluster, originalDestination: boolean): BalancingPolicy {
  if (originalDestination) return 'ROUND_ROBIN';
  switch (config.lbPolicy) {
    case Cluster_LbPolicy.ROUND_ROBIN:
      return 'ROUND_ROBIN';
    case Cluster_LbPolicy.LEAST_REQUEST:
      return 'LEAST_REQUEST';
    case Cluster_LbPolicy.RANDOM:
      return 'RANDOM';
    case Cluster_LbPolicy.RING_HASH:
      return 'RING_HASH';
    case Cluster_LbPolicy.MAGLEV:
      return 'MAGLEV';
    case Cluster_LbPolicy.CLUSTER_PROVIDED:
    case Cluster_LbPolicy.LOAD_BALANCING_POLICY_CONFIG:
    default:
      throw new ConfigError(
        'lb_policy',
        `${Cluster_LbPolicy[config.lbPolicy]} is not supported; ROUND_ROBIN, LEAST_REQUEST, RANDOM, RING_HASH and MAGLEV are`,
      );
  }
}

const ringSizeMax = 8_388_608;

/** Envoy's bounds and defaults. */
function hashTableOf({ lbPolicy, lbConfig }: Cluster): HashTableOptions | undefined {
  if (lbPolicy === Cluster_LbPolicy.MAGLEV) {
    const size = Number(
      (lbConfig.case === 'maglevLbConfig' ? lbConfig.value.tableSize : undefined) ?? 65_537n,
    );
    if (size > 5_000_011 || !isPrime(size))
      throw new ConfigError('maglev_lb_config.table_size', `${size} is not a prime up to 5000011`);
    return { kind: 'maglev', size };
  }
  if (lbPolicy !== Cluster_LbPolicy.RING_HASH) return undefined;
  const ring = lbConfig.case === 'ringHashLbConfig' ? lbConfig.value : undefined;
  if (ring !== undefined && ring.hashFunction !== Cluster_RingHashLbConfig_HashFunction.XX_HASH)
    throw new ConfigError('ring_hash_lb_config.hash_function', 'XX_HASH is supported');
  const minimumSize = Number(ring?.minimumRingSize ?? 1024n);
  const maximumSize = Number(ring?.maximumRingSize ?? BigInt(ringSizeMax));
  if (minimumSize > maximumSize || maximumSize > ringSizeMax)
    throw new ConfigError(
      'ring_hash_lb_config',
      `sizes from ${minimumSize} to ${maximumSize}: the least must not be above the largest, nor that above ${ringSizeMax}`,
    );
  return { kind: 'ring', minimumSize, maximumSize };
}

function isPrime(number: number): boolean {
  if (number < 2) return false;
  for (let divisor = 2; divisor * divisor <= number; divisor += 1) if (number % divisor === 0) return false;
  return true;
}

const protocolOptionsKey = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

interface ProtocolOptions extends Pick<ClusterSettings, 'protocol' | 'http2' | 'http1Trailers'> {
  readonly common: CommonOptions | undefined;
  readonly idleFallbackMs: number;
}

function readProtocolOptions(config: Cluster): ProtocolOptions {
  let common = config.commonHttpProtocolOptions;
  let protocol: ClusterSettings['protocol'] = 'http1';
  let http1 = config.httpProtocolOptions;
  let http2 = readHttp2Options(undefined, '');
  for (const [key, any] of Object.entries(config.typedExtensionProtocolOptions)) {
    const path = `typed_extension_protocol_options[${key}]`;
    if (any.typeUrl !== typeUrlOf(HttpProtocolOptionsSchema)) {
      const known = anyUnpack(any, registry)?.$typeName ?? any.typeUrl;
      throw new ConfigError(path, `${known} is not supported; ${protocolOptionsKey} is`);
    }
    const options = fromBinary(HttpProtocolOptionsSchema, any.value);
    common = options.commonHttpProtocolOptions ?? common;
    refuseFields(
      HttpProtocolOptionsSchema,
      options,
      path,
      new Set([
        'common_http_protocol_options',
        'explicit_http_config',
        'use_downstream_protocol_config',
        'auto_config',
        // Concerns TLS to the upstream, which is refused by transport_socket.
        'upstream_http_protocol_options',
      ]),
    );
    const choice = options.upstreamProtocolOptions;
    switch (choice.case) {
      case 'explicitHttpConfig': {
        const explicit = choice.value.protocolConfig;
        if (explicit.case === 'http3ProtocolOptions')
          throw new ConfigError(
            `${path}.explicit_http_config`,
            'HTTP/3 to upstreams is not supported; use http_protocol_options or http2_protocol_options',
          );
        if (explicit.case === 'http2ProtocolOptions') {
          protocol = 'http2';
          http2 = readHttp2Options(explicit.value, `${path}.explicit_http_config.http2_protocol_options`);
        } else http1 = explicit.value;
        break;
      }
      case 'useDownstreamProtocolConfig':
        protocol = 'downstream';
        http1 = choice.value.httpProtocolOptions;
        http2 = readHttp2Options(
          choice.value.http2ProtocolOptions,
          `${path}.use_downstream_protocol_config.http2_protocol_options`,
        );
        break;
      // Only TLS can say which protocol is wanted: over plain text it is HTTP/1.1, as in Envoy.
      case 'autoConfig':
      case undefined:
      default:
    }
  }
  if (common !== undefined) {
    refuseFields(
      CommonOptionsSchema,
      common,
      'common_http_protocol_options',
      new Set(['idle_timeout', 'max_requests_per_connection']),
    );
  }
  return {
    common,
    idleFallbackMs: hourMs,
    protocol,
    http2,
    http1Trailers: http1?.enableTrailers ?? false,
  };
}

function bindAddressOf(config: Cluster): string | undefined {
  const bind = config.upstreamBindConfig;
  if (bind === undefined) return undefined;
  if (bind.socketOptions.length > 0) {
    throw new ConfigError('upstream_bind_config.socket_options', 'cannot be set from Node; remove it');
  }
  const address = bind.sourceAddress?.address;
  return address === undefined || address === '' || address === '0.0.0.0' || address === '::'
    ? undefined
    : address;
}
