// What HTTP filters are told per route: fault injection and CORS, as typed_per_filter_config.
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import {
  FaultAbortSchema,
  HTTPFaultSchema,
} from '../../api/gen/envoy/extensions/filters/http/fault/v3/fault_pb.js';
import { CorsPolicySchema } from '../../api/gen/envoy/extensions/filters/http/cors/v3/cors_pb.js';
import type { FaultDelaySchema } from '../../api/gen/envoy/extensions/filters/common/fault/v3/fault_pb.js';
import { durationOf, pack, percentOf, runtimePercent, wholePercentOf } from '../proto-values.ts';
import { parseDurationNs } from '../../model/duration.ts';
import { grpcStatusNames } from '../../model/grpc-status.ts';
import { stringMatcher } from './match.ts';
import type { HttpRule } from './route-input.ts';

export const faultFilterName = 'envoy.filters.http.fault';
export const corsFilterName = 'envoy.filters.http.cors';

type Fault = NonNullable<HttpRule['fault']>;
type CorsPolicy = NonNullable<HttpRule['corsPolicy']>;

/** Filter name -> its configuration for this rule. */
export function perFilterConfig(rule: HttpRule): Record<string, Any> {
  const configs: Record<string, Any> = {};
  const fault = rule.fault === undefined ? undefined : buildFault(rule.fault);
  if (fault !== undefined) configs[faultFilterName] = fault;
  if (rule.corsPolicy !== undefined) configs[corsFilterName] = buildCors(rule.corsPolicy);
  return configs;
}

/**
 * A fault without a percentage hits no request. Undefined where neither a delay nor an abort is told.
 * Source: Istio VirtualService reference, "HTTPFaultInjection".
 */
function buildFault(fault: Fault): Any | undefined {
  const delay = delayOf(fault.delay);
  const abort = abortOf(fault.abort);
  if (delay === undefined && abort === undefined) return undefined;
  return pack(HTTPFaultSchema, {
    ...(delay === undefined ? {} : { delay }),
    ...(abort === undefined ? {} : { abort }),
  });
}

function delayOf(delay: Fault['delay']): MessageInitShape<typeof FaultDelaySchema> | undefined {
  const fixedDelay = durationOf(delay?.fixedDelay);
  if (delay === undefined || fixedDelay === undefined) return undefined;
  return {
    percentage:
      delay.percentage === undefined
        ? wholePercentOf(delay.percent ?? 0)
        : percentOf(delay.percentage.value ?? 0),
    faultDelaySecifier: { case: 'fixedDelay', value: fixedDelay },
  };
}

function abortOf(abort: Fault['abort']): MessageInitShape<typeof FaultAbortSchema> | undefined {
  const errorType = abort === undefined ? undefined : abortErrorOf(abort);
  if (abort === undefined || errorType === undefined) return undefined;
  const percentage = abort.percentage === undefined ? undefined : percentOf(abort.percentage.value ?? 0);
  return { errorType, ...(percentage === undefined ? {} : { percentage }) };
}

function abortErrorOf(
  abort: NonNullable<Fault['abort']>,
): { case: 'httpStatus' | 'grpcStatus'; value: number } | undefined {
  if (abort.httpStatus !== undefined) return { case: 'httpStatus', value: abort.httpStatus };
  const code = grpcStatusNames.indexOf(abort.grpcStatus ?? '');
  return code < 0 ? undefined : { case: 'grpcStatus', value: code };
}

function buildCors(policy: CorsPolicy): Any {
  const origins: readonly { exact?: string | undefined }[] =
    policy.allowOrigins ?? (policy.allowOrigin ?? []).map((exact) => ({ exact }));
  const maxAgeNs = policy.maxAge === undefined ? undefined : parseDurationNs(policy.maxAge);
  return pack(CorsPolicySchema, {
    // Every origin, where a matcher says "any value": Envoy has no matcher without a pattern.
    allowOriginStringMatch: origins.map((origin) => stringMatcher(origin) ?? anyOrigin),
    allowMethods: (policy.allowMethods ?? []).join(','),
    allowHeaders: (policy.allowHeaders ?? []).join(','),
    exposeHeaders: (policy.exposeHeaders ?? []).join(','),
    filterEnabled: runtimePercent(wholePercentOf(100)),
    forwardNotMatchingPreflights: policy.unmatchedPreflights !== 'IGNORE',
    ...(maxAgeNs === undefined ? {} : { maxAge: String(Math.trunc(maxAgeNs / 1e9)) }),
    ...(policy.allowCredentials === undefined ? {} : { allowCredentials: policy.allowCredentials }),
  });
}

const anyOrigin = {
  matchPattern: { case: 'safeRegex' as const, value: { regex: '.*' } },
};
