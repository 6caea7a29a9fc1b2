// HTTPRetry -> RetryPolicy, and the policy that holds where nothing is written.
import type { MessageInitShape } from '@bufbuild/protobuf';
import { create } from '@bufbuild/protobuf';
import type { RetryPolicy } from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import { RetryPolicySchema } from '../../api/gen/envoy/config/route/v3/route_components_pb.js';
import { PreviousHostsPredicateSchema } from '../../api/gen/envoy/extensions/retry/host/previous_hosts/v3/previous_hosts_pb.js';
import { PreviousPrioritiesConfigSchema } from '../../api/gen/envoy/extensions/retry/priority/previous_priorities/v3/previous_priorities_config_pb.js';
import { durationOf, pack } from '../proto-values.ts';
import type { HttpRetry } from './route-input.ts';

/** A plain 500 or 503 is not among them: such a request may have had its effect. Source: Istio issue 50506. */
const defaultRetryOn = 'connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes';

/**
 * The retry policy of an outbound route: two retries of what surely did not reach the application where
 * nothing is written, none for `attempts: 0`. With a consistent hash the same host is tried again.
 * Source: Istio VirtualService reference, "HTTPRetry".
 */
export function buildRetryPolicy(retries: HttpRetry | undefined, hashed: boolean): RetryPolicy | undefined {
  if (retries === undefined) return defaultPolicy(hashed);
  const attempts = retries.attempts ?? 0;
  if (attempts <= 0) return undefined;
  const anotherHost = retries.retryIgnorePreviousHosts ?? !hashed;
  const perTryTimeout = durationOf(retries.perTryTimeout);
  const backoff = durationOf(retries.backoff);
  return create(RetryPolicySchema, {
    ...conditionsOf(retries.retryOn, defaultRetryOn),
    numRetries: attempts,
    hostSelectionRetryMaxAttempts: 5n,
    retryHostPredicate: anotherHost ? [previousHosts()] : [],
    ...(perTryTimeout === undefined ? {} : { perTryTimeout }),
    ...(backoff === undefined ? {} : { retryBackOff: { baseInterval: backoff } }),
    ...(retries.retryRemoteLocalities === true ? { retryPriority: previousPriorities() } : {}),
  });
}

/**
 * Inbound: only what was reset before it was sent, for the application may have closed an idle connection, unless
 * the mesh says otherwise; undefined: nothing.
 */
export function buildInboundRetryPolicy(retries: HttpRetry | undefined): RetryPolicy | undefined {
  const retryOn = 'reset-before-request';
  if (retries === undefined) return create(RetryPolicySchema, { numRetries: 2, retryOn });
  const attempts = retries.attempts ?? 0;
  if (attempts <= 0) return undefined;
  const backoff = durationOf(retries.backoff);
  return create(RetryPolicySchema, {
    numRetries: attempts,
    ...conditionsOf(retries.retryOn, retryOn),
    ...(backoff === undefined ? {} : { retryBackOff: { baseInterval: backoff } }),
  });
}

function defaultPolicy(hashed: boolean): RetryPolicy {
  return create(RetryPolicySchema, {
    numRetries: 2,
    retryOn: defaultRetryOn,
    hostSelectionRetryMaxAttempts: 5n,
    retryHostPredicate: hashed ? [] : [previousHosts()],
  });
}

/** Numbers among the conditions are status codes. */
function conditionsOf(
  written: string | undefined,
  otherwise: string,
): { retryOn: string; retriableStatusCodes: number[] } {
  if (written === undefined || written === '') return { retryOn: otherwise, retriableStatusCodes: [] };
  const parts = written.split(',').map((part) => part.trim());
  const codes = parts.filter(isStatusCode).map(Number);
  const conditions = parts.filter((part) => part !== '' && !isStatusCode(part));
  if (codes.length > 0 && !conditions.includes('retriable-status-codes'))
    conditions.push('retriable-status-codes');
  return { retryOn: conditions.join(','), retriableStatusCodes: codes };
}

function isStatusCode(part: string): boolean {
  return /^[1-5]\d\d$/.test(part);
}

function previousHosts(): NonNullable<
  MessageInitShape<typeof RetryPolicySchema>['retryHostPredicate']
>[number] {
  return {
    name: 'envoy.retry_host_predicates.previous_hosts',
    configType: { case: 'typedConfig', value: pack(PreviousHostsPredicateSchema, {}) },
  };
}

/** Leaves a priority after two failed tries in it. */
function previousPriorities(): NonNullable<MessageInitShape<typeof RetryPolicySchema>['retryPriority']> {
  return {
    name: 'envoy.retry_priorities.previous_priorities',
    configType: {
      case: 'typedConfig',
      value: pack(PreviousPrioritiesConfigSchema, { updateFrequency: 2 }),
    },
  };
}
