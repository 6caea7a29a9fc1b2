// typed_per_filter_config of routes, and the fault and CORS settings that filters and routes share.
import { fromBinary } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { FilterConfigSchema } from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import type { CorsPolicy } from '../../api/gen/envoy/extensions/filters/http/cors/v3/cors_pb.js';
import { CorsPolicySchema } from '../../api/gen/envoy/extensions/filters/http/cors/v3/cors_pb.js';
import type { HTTPFault } from '../../api/gen/envoy/extensions/filters/http/fault/v3/fault_pb.js';
import { HTTPFaultSchema } from '../../api/gen/envoy/extensions/filters/http/fault/v3/fault_pb.js';
import { typeUrlOf } from '../../api/any.ts';
import { ConfigError } from '../config-error.ts';
import { fractionOf, runtimeFractionOf } from '../matchers/fraction.ts';
import { compileHeaderMatcher } from '../matchers/header.ts';
import { compileStringMatcher } from '../matchers/text.ts';
import { durationMs, refuseFields } from '../refuse-fields.ts';
import type { CorsSettings, FaultSettings, FilterConfigs, FilterRouteConfig } from './compiled.ts';

/** Throws ConfigError for a configuration whose filter is not known here. */
export function compileFilterConfigs(
  configs: Readonly<Record<string, Any>>,
  field: string,
): FilterConfigs | undefined {
  const entries = Object.entries(configs);
  if (entries.length === 0) return undefined;
  const compiled = new Map<string, FilterRouteConfig>();
  for (const [name, any] of entries) {
    const config = compileFilterConfig(any, `${field}[${name}]`);
    if (config !== undefined) compiled.set(name, config);
  }
  return compiled;
}

/** `inner` is more specific and wins, filter by filter. */
export function mergeFilterConfigs(
  outer: FilterConfigs | undefined,
  inner: FilterConfigs | undefined,
): FilterConfigs | undefined {
  if (outer === undefined) return inner;
  if (inner === undefined) return outer;
  return new Map([...outer, ...inner]);
}

function compileFilterConfig(any: Any, field: string): FilterRouteConfig | undefined {
  switch (any.typeUrl) {
    case typeUrlOf(HTTPFaultSchema):
      return { kind: 'fault', fault: compileFault(fromBinary(HTTPFaultSchema, any.value), field) };
    case typeUrlOf(CorsPolicySchema):
      return { kind: 'cors', cors: compileCors(fromBinary(CorsPolicySchema, any.value), field) };
    case typeUrlOf(FilterConfigSchema): {
      const wrapper = fromBinary(FilterConfigSchema, any.value);
      if (wrapper.disabled) return { kind: 'disabled' };
      if (wrapper.config === undefined) return undefined;
      try {
        return compileFilterConfig(wrapper.config, `${field}.config`);
      } catch (error) {
        if (wrapper.isOptional && error instanceof ConfigError) return undefined;
        throw error;
      }
    }
    default:
      throw new ConfigError(field, `${any.typeUrl} is not supported; HTTPFault and CorsPolicy are`);
  }
}

/** Throws ConfigError below `field`. */
export function compileFault(fault: HTTPFault, field: string): FaultSettings {
  refuseFields(
    HTTPFaultSchema,
    fault,
    field,
    new Set([
      'delay',
      'abort',
      'upstream_cluster',
      'headers',
      'max_active_faults',
      'delay_percent_runtime',
      'abort_percent_runtime',
      'delay_duration_runtime',
      'abort_http_status_runtime',
      'max_active_faults_runtime',
      'abort_grpc_status_runtime',
      'disable_downstream_cluster_stats',
    ]),
  );
  const { delay, abort } = fault;
  if (delay?.faultDelaySecifier.case === 'headerDelay')
    throw new ConfigError(`${field}.delay.header_delay`, 'is not supported; use fixed_delay');
  if (abort?.errorType.case === 'headerAbort')
    throw new ConfigError(`${field}.abort.header_abort`, 'is not supported; use http_status or grpc_status');
  const fixed = delay?.faultDelaySecifier.case === 'fixedDelay' ? delay.faultDelaySecifier.value : undefined;
  return {
    delay:
      delay === undefined || fixed === undefined
        ? undefined
        : { delayMs: durationMs(fixed, 0), share: fractionOf(delay.percentage, 0) },
    abort:
      abort === undefined
        ? undefined
        : {
            httpStatus: abort.errorType.case === 'httpStatus' ? abort.errorType.value : 200,
            grpcStatus: abort.errorType.case === 'grpcStatus' ? abort.errorType.value : undefined,
            share: fractionOf(abort.percentage, 0),
          },
    upstreamCluster: fault.upstreamCluster,
    headers: fault.headers.map((header, index) => compileHeaderMatcher(header, `${field}.headers[${index}]`)),
    activeMax: fault.maxActiveFaults,
  };
}

function compileCors(policy: CorsPolicy, field: string): CorsSettings {
  refuseFields(
    CorsPolicySchema,
    policy,
    field,
    new Set([
      'allow_origin_string_match',
      'allow_methods',
      'allow_headers',
      'expose_headers',
      'max_age',
      'allow_credentials',
      'filter_enabled',
      'forward_not_matching_preflights',
    ]),
  );
  return {
    allowOrigins: policy.allowOriginStringMatch.map((origin, index) =>
      compileStringMatcher(origin, `${field}.allow_origin_string_match[${index}]`),
    ),
    allowMethods: policy.allowMethods,
    allowHeaders: policy.allowHeaders,
    exposeHeaders: policy.exposeHeaders,
    maxAge: policy.maxAge,
    allowCredentials: policy.allowCredentials ?? false,
    enabledShare: runtimeFractionOf(policy.filterEnabled, 1),
    forwardNotMatchingPreflights: policy.forwardNotMatchingPreflights ?? true,
  };
}
