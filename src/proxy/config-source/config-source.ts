// Where a resource comes from (envoy.config.core.v3.ConfigSource), as this proxy uses it.
import { existsSync } from 'node:fs';
import { toBinary } from '@bufbuild/protobuf';
import type {
  ApiConfigSource,
  ConfigSource as ConfigSourceMessage,
} from '../../api/gen/envoy/config/core/v3/config_source_pb.js';
import {
  ApiConfigSourceSchema,
  ApiConfigSource_ApiType,
  ApiVersion,
  ConfigSourceSchema,
  PathConfigSourceSchema,
} from '../../api/gen/envoy/config/core/v3/config_source_pb.js';
import { WatchedDirectorySchema } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import {
  GrpcServiceSchema,
  GrpcService_EnvoyGrpcSchema,
} from '../../api/gen/envoy/config/core/v3/grpc_service_pb.js';
import { RetryPolicySchema } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import type { RetryPolicy } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import type { DialectName } from '../../xds/client/dialect.ts';
import type { BackOff } from '../../xds/client/xds-client.ts';
import { defaultBackOff } from '../../xds/client/xds-client.ts';
import { ConfigError } from '../config-error.ts';
import { durationMs, refuseFields } from '../refuse-fields.ts';

/** Envoy's default for `initial_fetch_timeout`. */
const defaultInitialFetchTimeoutMs = 15_000;

/** A management server that is reached over gRPC through a static cluster. */
export interface GrpcServer {
  readonly dialect: DialectName;
  readonly cluster: string;
  readonly metadata: readonly (readonly [string, string])[];
  readonly authority: string | undefined;
  readonly backOff: BackOff;
}

interface Source {
  /** Equal keys: the same source. */
  readonly key: string;
  /** How long something waits for its first answer; 0: for ever. */
  readonly initialFetchTimeoutMs: number;
}

/** The stream of dynamic_resources.ads_config, which serves all types. */
export interface AdsSource extends Source {
  readonly kind: 'ads';
}

/** A stream of its own, for one type. */
export interface GrpcSource extends Source {
  readonly kind: 'grpc';
  readonly server: GrpcServer;
}

/** A file that holds a DiscoveryResponse. */
export interface PathSource extends Source {
  readonly kind: 'path';
  readonly path: string;
  /** Where files are moved to when `path` is to be read again; its own folder where none is named. */
  readonly watchedDirectory: string | undefined;
}

export type ConfigSource = AdsSource | GrpcSource | PathSource;

/** What the bootstrap offers to sources. */
export interface SourceContext {
  /** There is dynamic_resources.ads_config. */
  readonly hasAds: boolean;
  /** Static clusters that need no xDS themselves: a stream may go through these alone, as in Envoy. */
  readonly primaryClusters: ReadonlySet<string>;
  /** Those of them that a source of the bootstrap names: they need not be fit for requests. */
  readonly grpcClusters: ReadonlySet<string>;
}

/** Throws ConfigError with the field's path for what is malformed, missing or not supported. */
export function readConfigSource(
  source: ConfigSourceMessage,
  path: string,
  context: SourceContext,
): ConfigSource {
  refuseFields(
    ConfigSourceSchema,
    source,
    path,
    new Set([
      'ads',
      'self',
      'api_config_source',
      'path',
      'path_config_source',
      'resource_api_version',
      'initial_fetch_timeout',
    ]),
  );
  const specifier = source.configSourceSpecifier;
  const initialFetchTimeoutMs = durationMs(source.initialFetchTimeout, defaultInitialFetchTimeoutMs);
  switch (specifier.case) {
    case 'ads':
    case 'self':
      if (!context.hasAds) {
        throw new ConfigError(`${path}.ads`, 'needs dynamic_resources.ads_config in the bootstrap');
      }
      return { kind: 'ads', key: 'ads', initialFetchTimeoutMs };
    case 'apiConfigSource':
      return {
        kind: 'grpc',
        key: `grpc ${Buffer.from(toBinary(ConfigSourceSchema, source)).toString('base64')}`,
        initialFetchTimeoutMs,
        server: readGrpcServer(specifier.value, `${path}.api_config_source`, context),
      };
    case 'path':
      return pathSource(specifier.value, undefined, `${path}.path`);
    case 'pathConfigSource': {
      const { value } = specifier;
      const at = `${path}.path_config_source`;
      refuseFields(PathConfigSourceSchema, value, at, new Set(['path', 'watched_directory']));
      const watched = value.watchedDirectory;
      if (watched !== undefined)
        refuseFields(WatchedDirectorySchema, watched, `${at}.watched_directory`, new Set(['path']));
      return pathSource(value.path, watched?.path, `${at}.path`);
    }
    case undefined:
    default:
      throw new ConfigError(path, 'names no source; use ads, api_config_source or path_config_source');
  }
}

function pathSource(file: string, watchedDirectory: string | undefined, path: string): PathSource {
  for (const needed of watchedDirectory === undefined ? [file] : [file, watchedDirectory]) {
    if (!existsSync(needed)) throw new ConfigError(path, `${needed} does not exist`);
  }
  // A file is read at once: there is nothing to wait for.
  return {
    kind: 'path',
    key: `path ${watchedDirectory ?? ''} ${file}`,
    initialFetchTimeoutMs: 0,
    path: file,
    watchedDirectory,
  };
}

const dialects: Readonly<Partial<Record<ApiConfigSource_ApiType, DialectName>>> = {
  [ApiConfigSource_ApiType.GRPC]: 'sotw',
  [ApiConfigSource_ApiType.DELTA_GRPC]: 'delta',
};

/** Of ads_config, or of a source of its own. Throws ConfigError. */
export function readGrpcServer(
  config: ApiConfigSource,
  path: string,
  context: Pick<SourceContext, 'primaryClusters'>,
): GrpcServer {
  const dialect = dialects[config.apiType];
  if (dialect === undefined) {
    throw new ConfigError(
      `${path}.api_type`,
      `${ApiConfigSource_ApiType[config.apiType]} is not supported; use GRPC or DELTA_GRPC`,
    );
  }
  refuseFields(
    ApiConfigSourceSchema,
    config,
    path,
    new Set(['api_type', 'transport_api_version', 'grpc_services', 'set_node_on_first_message_only']),
  );
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
  const at = `${path}.grpc_services[0]`;
  refuseFields(GrpcServiceSchema, service, at, new Set(['envoy_grpc', 'initial_metadata']));
  service.initialMetadata.forEach((header, index) => {
    if (header.rawValue.length > 0)
      throw new ConfigError(`${at}.initial_metadata[${index}].raw_value`, 'is not supported; use value');
  });
  const grpc = service.targetSpecifier.value;
  refuseFields(
    GrpcService_EnvoyGrpcSchema,
    grpc,
    `${at}.envoy_grpc`,
    new Set(['cluster_name', 'authority', 'retry_policy']),
  );
  if (!context.primaryClusters.has(grpc.clusterName)) {
    throw new ConfigError(
      path,
      `names the cluster ${grpc.clusterName}, which static_resources.clusters does not have, or only as an EDS cluster`,
    );
  }
  return {
    dialect,
    cluster: grpc.clusterName,
    metadata: service.initialMetadata.map(({ key, value }) => [key, value] as const),
    authority: grpc.authority === '' ? undefined : grpc.authority,
    backOff: readBackOff(grpc.retryPolicy, `${at}.envoy_grpc.retry_policy`),
  };
}

/** Envoy takes the back-off between streams from there, and nothing else. */
function readBackOff(policy: RetryPolicy | undefined, path: string): BackOff {
  if (policy === undefined) return defaultBackOff;
  refuseFields(RetryPolicySchema, policy, path, new Set(['retry_back_off']));
  const firstMs = durationMs(policy.retryBackOff?.baseInterval, defaultBackOff.firstMs);
  const maxMs = durationMs(policy.retryBackOff?.maxInterval, Math.max(defaultBackOff.maxMs, firstMs));
  if (firstMs < 1 || maxMs < firstMs) {
    throw new ConfigError(
      `${path}.retry_back_off`,
      'base_interval must be 1 ms or more and max_interval no less than it',
    );
  }
  return { firstMs, maxMs };
}
