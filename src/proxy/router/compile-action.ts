// Compiles what a route does with a request: forward, redirect, answer.
import type {
  RedirectAction,
  RetryPolicy,
  Route,
  RouteAction,
  RouteAction_RequestMirrorPolicy as MirrorPolicy,
  WeightedCluster,
} from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import {
  RedirectAction_RedirectResponseCode as RedirectCode,
  RetryPolicySchema,
  RouteAction_ClusterNotFoundResponseCode as NotFoundCode,
  RouteActionSchema,
  WeightedCluster_ClusterWeightSchema,
} from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import { PreviousPrioritiesConfigSchema } from '../../api/gen/envoy/extensions/retry/priority/previous_priorities/v3/previous_priorities_config_pb.js';
import { unpackAs } from '../../api/any.ts';
import { RoutingPriority } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import { ConfigError, unknownEnum } from '../config-error.ts';
import { runtimeFractionOf } from '../matchers/fraction.ts';
import { compileHeaderMatcher } from '../matchers/header.ts';
import type { PathSpecifier } from '../matchers/route.ts';
import { RegexSubstitution } from '../matchers/regex.ts';
import { durationMs, refuseFields } from '../refuse-fields.ts';
import type { Levels } from './compile.ts';
import { compileFilterConfigs, mergeFilterConfigs } from './compile-filter-configs.ts';
import type {
  ForwardAction,
  ForwardTarget,
  HostRewrite,
  MirrorSettings,
  PathRewrite,
  RedirectActionKind,
  RetrySettings,
  RouteActionKind,
  WeightedTarget,
} from './compiled.ts';
import { compileHashPolicy } from './hash-policy.ts';
import { compileHeaderMutations, joinMutations } from './header-mutations.ts';
import { parseRetryOn } from './retry-conditions.ts';

/** Envoy's default of RouteAction.timeout. */
const timeoutFallbackMs = 15_000;

/** `levels` hold the mutations of the route itself, too. Throws ConfigError below `field`. */
export function compileAction(
  route: Route,
  path: PathSpecifier,
  levels: Levels,
  field: string,
): RouteActionKind {
  const { action } = route;
  switch (action.case) {
    case 'route':
      return compileForward(route, action.value, path, levels, `${field}.route`);
    case 'redirect':
      return compileRedirect(action.value, path, `${field}.redirect`);
    case 'directResponse': {
      const { status, body } = action.value;
      if (status < 200 || status > 599)
        throw new ConfigError(
          `${field}.direct_response.status`,
          `${status} is not a status between 200 and 599`,
        );
      const max = levels.configuration.maxDirectResponseBodySizeBytes ?? 4096;
      const specifier = body?.specifier;
      let bytes = Buffer.alloc(0);
      if (specifier?.case === 'inlineString') bytes = Buffer.from(specifier.value, 'utf8');
      else if (specifier?.case === 'inlineBytes') bytes = Buffer.from(specifier.value);
      else if (specifier !== undefined && specifier.case !== undefined)
        throw new ConfigError(
          `${field}.direct_response.body`,
          'only inline_string and inline_bytes are supported',
        );
      if (bytes.length > max)
        throw new ConfigError(
          `${field}.direct_response.body`,
          `has ${bytes.length} bytes; at most ${max} are accepted`,
        );
      return { kind: 'direct', status, body: bytes.toString('latin1') };
    }
    case 'nonForwardingAction':
      return { kind: 'non-forwarding' };
    case 'filterAction':
    case undefined:
    default:
      throw new ConfigError(
        field,
        'has no action; route, redirect, direct_response or non_forwarding_action is needed',
      );
  }
}

function compileForward(
  route: Route,
  action: RouteAction,
  path: PathSpecifier,
  levels: Levels,
  field: string,
): ForwardAction {
  refuseFields(
    RouteActionSchema,
    action,
    field,
    new Set([
      'cluster',
      'cluster_header',
      'weighted_clusters',
      'cluster_not_found_response_code',
      'prefix_rewrite',
      'regex_rewrite',
      'host_rewrite_literal',
      'auto_host_rewrite',
      'host_rewrite_header',
      'host_rewrite_path_regex',
      'append_x_forwarded_host',
      'timeout',
      'idle_timeout',
      'retry_policy',
      'request_mirror_policies',
      'priority',
      'max_grpc_timeout',
      'max_stream_duration',
      'upgrade_configs',
      'hash_policy',
    ]),
  );
  const retryPolicy = action.retryPolicy ?? levels.virtualHost.retryPolicy;
  const mirrors =
    action.requestMirrorPolicies.length > 0
      ? action.requestMirrorPolicies
      : levels.virtualHost.requestMirrorPolicies.length > 0
        ? levels.virtualHost.requestMirrorPolicies
        : levels.configuration.requestMirrorPolicies;
  const streamDuration = action.maxStreamDuration;
  const grpcMax = streamDuration?.grpcTimeoutHeaderMax ?? action.maxGrpcTimeout;
  return {
    kind: 'forward',
    target: compileTarget(action, levels, field),
    clusterNotFoundStatus: notFoundStatus(action),
    pathRewrite: compilePathRewrite(action, path, field),
    hostRewrite: compileHostRewrite(action, field),
    appendForwardedHost: action.appendXForwardedHost,
    timeoutMs: durationMs(action.timeout, timeoutFallbackMs),
    idleTimeoutMs: action.idleTimeout === undefined ? undefined : durationMs(action.idleTimeout, 0),
    grpcTimeoutMaxMs: grpcMax === undefined ? undefined : durationMs(grpcMax, 0),
    retry: retryPolicy === undefined ? undefined : compileRetry(retryPolicy, `${field}.retry_policy`),
    mirrors: mirrors.map((mirror, index) =>
      compileMirror(mirror, `${field}.request_mirror_policies[${index}]`),
    ),
    hashPolicy: compileHashPolicy(action.hashPolicy, `${field}.hash_policy`),
    highPriority: action.priority === RoutingPriority.HIGH,
    upgrades: new Map(
      action.upgradeConfigs.map((upgrade, index) => {
        if (upgrade.connectConfig !== undefined)
          throw new ConfigError(
            `${field}.upgrade_configs[${index}].connect_config`,
            'CONNECT is not supported',
          );
        return [upgrade.upgradeType.toLowerCase(), upgrade.enabled ?? true] as const;
      }),
    ),
    bufferBytesMax: route.perRequestBufferLimitBytes ?? levels.virtualHost.perRequestBufferLimitBytes,
  };
}

function compileTarget(action: RouteAction, levels: Levels, field: string): ForwardTarget {
  const specifier = action.clusterSpecifier;
  switch (specifier.case) {
    case 'cluster':
      return { kind: 'cluster', cluster: specifier.value };
    case 'clusterHeader':
      return { kind: 'header', header: specifier.value.toLowerCase() };
    case 'weightedClusters':
      return compileWeighted(specifier.value, levels, `${field}.weighted_clusters`);
    case 'clusterSpecifierPlugin':
    case 'inlineClusterSpecifierPlugin':
    case undefined:
    default:
      throw new ConfigError(
        field,
        'names no cluster; cluster, cluster_header or weighted_clusters is needed',
      );
  }
}

function compileWeighted(weighted: WeightedCluster, levels: Levels, field: string): ForwardTarget {
  if (weighted.randomValueSpecifier.case !== undefined)
    throw new ConfigError(`${field}.header_name`, 'is not supported; the choice is by chance');
  const clusters = weighted.clusters.map((cluster, index): WeightedTarget => {
    const path = `${field}.clusters[${index}]`;
    refuseFields(
      WeightedCluster_ClusterWeightSchema,
      cluster,
      path,
      new Set([
        'name',
        'cluster_header',
        'weight',
        'request_headers_to_add',
        'request_headers_to_remove',
        'response_headers_to_add',
        'response_headers_to_remove',
        'typed_per_filter_config',
        'host_rewrite_literal',
      ]),
    );
    const request = compileHeaderMutations(
      cluster.requestHeadersToAdd,
      cluster.requestHeadersToRemove,
      `${path}.request_headers`,
    );
    const response = compileHeaderMutations(
      cluster.responseHeadersToAdd,
      cluster.responseHeadersToRemove,
      `${path}.response_headers`,
    );
    const wins = levels.mostSpecificWins;
    return {
      cluster: cluster.name,
      clusterHeader: cluster.clusterHeader.toLowerCase(),
      weight: cluster.weight ?? 0,
      requestHeaders: wins
        ? joinMutations(levels.requestHeaders, request)
        : joinMutations(request, levels.requestHeaders),
      responseHeaders: wins
        ? joinMutations(levels.responseHeaders, response)
        : joinMutations(response, levels.responseHeaders),
      hostRewrite:
        cluster.hostRewriteSpecifier.case === 'hostRewriteLiteral' ? cluster.hostRewriteSpecifier.value : '',
      filterConfigs: mergeFilterConfigs(
        levels.filterConfigs,
        compileFilterConfigs(cluster.typedPerFilterConfig, `${path}.typed_per_filter_config`),
      ),
    };
  });
  const totalWeight = clusters.reduce((total, cluster) => total + cluster.weight, 0);
  if (totalWeight === 0)
    throw new ConfigError(field, 'the weights of the clusters must add up to more than 0');
  return { kind: 'weighted', clusters, totalWeight };
}

/** Throws ConfigError below `field`. */
export function compilePathRewrite(
  action: RouteAction,
  path: PathSpecifier,
  field: string,
): PathRewrite | undefined {
  if (action.regexRewrite !== undefined) {
    if (action.prefixRewrite !== '')
      throw new ConfigError(`${field}.regex_rewrite`, 'cannot stand beside prefix_rewrite');
    return {
      kind: 'regex',
      substitution: new RegexSubstitution(
        action.regexRewrite.pattern?.regex ?? '',
        action.regexRewrite.substitution,
        `${field}.regex_rewrite`,
      ),
    };
  }
  return action.prefixRewrite === ''
    ? undefined
    : { kind: 'prefix', matched: path, replacement: action.prefixRewrite };
}

/** Throws ConfigError below `field`. */
export function compileHostRewrite(action: RouteAction, field: string): HostRewrite | undefined {
  const specifier = action.hostRewriteSpecifier;
  switch (specifier.case) {
    case 'hostRewriteLiteral':
      return { kind: 'literal', host: specifier.value };
    case 'autoHostRewrite':
      return specifier.value.value ? { kind: 'auto' } : undefined;
    case 'hostRewriteHeader':
      return { kind: 'header', header: specifier.value.toLowerCase() };
    case 'hostRewritePathRegex':
      return {
        kind: 'pathRegex',
        substitution: new RegexSubstitution(
          specifier.value.pattern?.regex ?? '',
          specifier.value.substitution,
          `${field}.host_rewrite_path_regex`,
        ),
      };
    case undefined:
    default:
      return undefined;
  }
}

function compileRetry(policy: RetryPolicy, field: string): RetrySettings {
  refuseFields(
    RetryPolicySchema,
    policy,
    field,
    new Set([
      'retry_on',
      'num_retries',
      'per_try_timeout',
      'retry_priority',
      'retry_host_predicate',
      'host_selection_retry_max_attempts',
      'retriable_status_codes',
      'retry_back_off',
      'retriable_headers',
      'retriable_request_headers',
    ]),
  );
  for (const [index, predicate] of policy.retryHostPredicate.entries()) {
    if (predicate.name === 'envoy.retry_host_predicates.previous_hosts') continue;
    throw new ConfigError(
      `${field}.retry_host_predicate[${index}].name`,
      `${predicate.name} is not supported; envoy.retry_host_predicates.previous_hosts is`,
    );
  }
  const baseMs = durationMs(policy.retryBackOff?.baseInterval, 25);
  return {
    conditions: parseRetryOn(policy.retryOn),
    retriesMax: policy.numRetries ?? 1,
    perTryTimeoutMs: durationMs(policy.perTryTimeout, 0),
    retriableStatusCodes: policy.retriableStatusCodes,
    retriableHeaders: policy.retriableHeaders.map((header, index) =>
      compileHeaderMatcher(header, `${field}.retriable_headers[${index}]`),
    ),
    retriableRequestHeaders: policy.retriableRequestHeaders.map((header, index) =>
      compileHeaderMatcher(header, `${field}.retriable_request_headers[${index}]`),
    ),
    avoidTriedHosts: policy.retryHostPredicate.length > 0,
    priorityUpdateFrequency: updateFrequency(policy, `${field}.retry_priority`),
    hostSelectionAttemptsMax: Math.max(1, Number(policy.hostSelectionRetryMaxAttempts)),
    backOffBaseMs: Math.max(1, baseMs),
    backOffMaxMs: durationMs(policy.retryBackOff?.maxInterval, baseMs * 10),
  };
}

function compileMirror(mirror: MirrorPolicy, field: string): MirrorSettings {
  if ((mirror.cluster === '') === (mirror.clusterHeader === ''))
    throw new ConfigError(field, 'needs either cluster or cluster_header');
  return {
    cluster: mirror.cluster,
    clusterHeader: mirror.clusterHeader.toLowerCase(),
    share: runtimeFractionOf(mirror.runtimeFraction, 1),
    appendShadowSuffix: !mirror.disableShadowHostSuffixAppend,
  };
}

/** Throws ConfigError below `field`. `path` is what the route matched. */
export function compileRedirect(
  redirect: RedirectAction,
  path: PathSpecifier,
  field: string,
): RedirectActionKind {
  const rewrite = redirect.pathRewriteSpecifier;
  return {
    kind: 'redirect',
    scheme:
      redirect.schemeRewriteSpecifier.case === 'schemeRedirect' ? redirect.schemeRewriteSpecifier.value : '',
    httpsRedirect:
      redirect.schemeRewriteSpecifier.case === 'httpsRedirect' && redirect.schemeRewriteSpecifier.value,
    host: redirect.hostRedirect,
    port: redirect.portRedirect,
    path: rewrite.case === 'pathRedirect' ? rewrite.value : '',
    rewrite:
      rewrite.case === 'prefixRewrite'
        ? { kind: 'prefix', matched: path, replacement: rewrite.value }
        : rewrite.case === 'regexRewrite'
          ? {
              kind: 'regex',
              substitution: new RegexSubstitution(
                rewrite.value.pattern?.regex ?? '',
                rewrite.value.substitution,
                `${field}.regex_rewrite`,
              ),
            }
          : undefined,
    status: redirectStatus(redirect.responseCode),
    stripQuery: redirect.stripQuery,
  };
}

function redirectStatus(code: RedirectCode): number {
  switch (code) {
    case RedirectCode.MOVED_PERMANENTLY:
      return 301;
    case RedirectCode.FOUND:
      return 302;
    case RedirectCode.SEE_OTHER:
      return 303;
    case RedirectCode.TEMPORARY_REDIRECT:
      return 307;
    case RedirectCode.PERMANENT_REDIRECT:
      return 308;
    default:
      throw unknownEnum('redirect.response_code', code);
  }
}

function notFoundStatus(action: RouteAction): number {
  switch (action.clusterNotFoundResponseCode) {
    case NotFoundCode.SERVICE_UNAVAILABLE:
      return 503;
    case NotFoundCode.NOT_FOUND:
      return 404;
    case NotFoundCode.INTERNAL_SERVER_ERROR:
      return 500;
    default:
      throw unknownEnum('cluster_not_found_response_code', action.clusterNotFoundResponseCode);
  }
}

/** Of Envoy's retry priorities there is one: previous_priorities. */
function updateFrequency({ retryPriority }: RetryPolicy, field: string): number {
  if (retryPriority === undefined) return 0;
  const config = unpackAs(retryPriority.configType.value, PreviousPrioritiesConfigSchema);
  if (config === undefined)
    throw new ConfigError(
      field,
      `${retryPriority.name} is not supported; envoy.retry_priorities.previous_priorities is`,
    );
  if (config.updateFrequency <= 0) throw new ConfigError(`${field}.update_frequency`, 'must be above 0');
  return config.updateFrequency;
}
