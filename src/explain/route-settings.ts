// What a route does to its requests beside choosing a cluster, in words.
import { unpackAs } from '../api/any.ts';
import type { HeaderValueOption } from '../api/gen/envoy/config/core/v3/base_pb.js';
import { HeaderValueOption_HeaderAppendAction as AppendAction } from '../api/gen/envoy/config/core/v3/base_pb.js';
import type {
  RetryPolicy,
  Route,
  RouteAction,
  RouteAction_HashPolicy as HashPolicy,
  VirtualHost,
  WeightedCluster_ClusterWeight as ClusterWeight,
} from '../api/gen/envoy/config/route/v3/route_components_pb.js';
import type { RouteConfiguration } from '../api/gen/envoy/config/route/v3/route_pb.js';
import { CorsPolicySchema } from '../api/gen/envoy/extensions/filters/http/cors/v3/cors_pb.js';
import type { HTTPFault } from '../api/gen/envoy/extensions/filters/http/fault/v3/fault_pb.js';
import { HTTPFaultSchema } from '../api/gen/envoy/extensions/filters/http/fault/v3/fault_pb.js';
import { describeHeader, describeString } from '../proxy/matchers/explain.ts';
import { runtimeFractionOf } from '../proxy/matchers/fraction.ts';
import type { MatchInput } from '../proxy/matchers/input.ts';
import type { FaultSettings } from '../proxy/router/compiled.ts';
import { compileFault } from '../proxy/router/compile-filter-configs.ts';
import type { Setting, SourceRef } from './trace.ts';
import { countText, durationText, msText, shareText } from './words.ts';

/** Where a field of the rule stands: `timeout`, `fault.abort`. */
export type RuleField = (...path: readonly string[]) => readonly SourceRef[];

export interface RouteLevels {
  readonly configuration: RouteConfiguration;
  readonly virtualHost: VirtualHost;
  readonly route: Route;
  /** Of a weighted route: the destination that is looked at. */
  readonly weight?: ClusterWeight;
}

/** What Istio's routes have where nobody asks for anything else; the second of the retries is inbound. */
const usualSettings: Readonly<Record<string, readonly string[]>> = {
  timeout: ['none'],
  retries: [
    '2 on connect-failure, refused-stream, unavailable, cancelled, retriable-status-codes',
    '2 on reset-before-request',
  ],
};

/** Envoy's default of RouteAction.timeout. */
const timeoutFallback = '15s (Envoy’s default)';

/** Of a route that forwards. */
export function forwardSettings(
  { configuration, virtualHost, route }: RouteLevels,
  action: RouteAction,
  field: RuleField,
  hasCluster: (name: string) => boolean,
): readonly Setting[] {
  const settings: Setting[] = [];
  const add = (label: string, text: string, ...path: readonly string[]): void => {
    const usual = usualSettings[label]?.includes(text) === true;
    settings.push({ label, text, usual, sources: path.length === 0 ? [] : field(...path) });
  };
  add('timeout', action.timeout === undefined ? timeoutFallback : durationText(action.timeout), 'timeout');
  const retry = action.retryPolicy ?? virtualHost.retryPolicy;
  add('retries', retry === undefined ? 'none' : retryText(retry), 'retries');
  const mirrors = [action, virtualHost, configuration].find(
    (level) => level.requestMirrorPolicies.length > 0,
  );
  for (const mirror of mirrors?.requestMirrorPolicies ?? []) {
    const share = shareText(runtimeFractionOf(mirror.runtimeFraction, 1));
    const to = mirror.cluster || `the cluster of header ${mirror.clusterHeader}`;
    const lost =
      mirror.cluster !== '' && !hasCluster(mirror.cluster) ? ', which is not there: copies are lost' : '';
    add('mirror', `${share} to ${to}${lost}`, 'mirror');
  }
  if (action.hashPolicy.length > 0) add('hash policy', action.hashPolicy.map(hashText).join(', then '));
  const cors = corsText(route);
  if (cors !== undefined) add('cors', cors, 'corsPolicy');
  return settings;
}

/** Header changes of the request's and the response's way, the most specific level first. */
export function headerSettings(
  { configuration, virtualHost, route, weight }: RouteLevels,
  field: RuleField,
): readonly Setting[] {
  const levels = [...(weight === undefined ? [] : [weight]), route, virtualHost, configuration];
  const of = (label: string, texts: readonly string[]): readonly Setting[] =>
    texts.length === 0 ? [] : [{ label, text: texts.join(', '), usual: false, sources: field('headers') }];
  return [
    ...of(
      'request',
      levels.flatMap((level) => changes(level.requestHeadersToAdd, level.requestHeadersToRemove)),
    ),
    ...of(
      'response',
      levels.flatMap((level) => changes(level.responseHeadersToAdd, level.responseHeadersToRemove)),
    ),
  ];
}

export interface FaultFinding {
  readonly text: string;
  /** Every request that comes here is answered with this. */
  readonly certainAbort: number | undefined;
}

/** The fault that this request may meet; undefined for none. Throws ConfigError. */
export function faultOf(
  { configuration, virtualHost, route, weight }: RouteLevels,
  input: MatchInput,
): FaultFinding | undefined {
  const levels = [...(weight === undefined ? [] : [weight]), route, virtualHost, configuration];
  const fault = levels
    .flatMap(({ typedPerFilterConfig }) => Object.values(typedPerFilterConfig))
    .map((any) => unpackAs(any, HTTPFaultSchema))
    .find((found) => found !== undefined);
  if (fault === undefined) return undefined;
  const settings = compileFault(fault, 'fault');
  if (!settings.headers.every((matches) => matches(input)))
    return { text: `none for this request: it asks for ${conditionText(fault)}`, certainAbort: undefined };
  return { text: faultText(settings), certainAbort: certainAbort(settings) };
}

function certainAbort({ abort }: FaultSettings): number | undefined {
  if (abort === undefined || abort.share < 1) return undefined;
  return abort.httpStatus;
}

function faultText({ delay, abort }: FaultSettings): string {
  const texts: string[] = [];
  if (delay !== undefined && delay.share > 0)
    texts.push(`${shareText(delay.share)} of requests wait ${msText(delay.delayMs)}`);
  if (abort !== undefined && abort.share > 0) {
    const status = abort.grpcStatus === undefined ? `${abort.httpStatus}` : `gRPC status ${abort.grpcStatus}`;
    texts.push(`${shareText(abort.share)} of requests are answered ${status}`);
  }
  return texts.length === 0 ? 'for 0% of requests' : texts.join(', ');
}

function conditionText({ headers }: HTTPFault): string {
  return headers.map((header) => describeHeader(header)).join(' and ');
}

function retryText(retry: RetryPolicy): string {
  const times = retry.numRetries ?? 1;
  if (times === 0) return 'none';
  const codes = retry.retriableStatusCodes.join(',');
  const on = [retry.retryOn, codes === '' ? '' : `status ${codes}`].filter((part) => part !== '').join(', ');
  const perTry =
    retry.perTryTimeout === undefined || durationText(retry.perTryTimeout) === 'none'
      ? ''
      : `, ${durationText(retry.perTryTimeout)} per try`;
  return `${times} on ${on.replaceAll(',', ', ').replaceAll(/ {2,}/g, ' ')}${perTry}`;
}

function hashText({ policySpecifier, terminal }: HashPolicy): string {
  const last = terminal ? ' (and no further, if it is there)' : '';
  switch (policySpecifier.case) {
    case 'header':
      return `header ${policySpecifier.value.headerName}${last}`;
    case 'cookie':
      return `cookie ${policySpecifier.value.name}${last}`;
    case 'connectionProperties':
      return `the client’s address${last}`;
    case 'queryParameter':
      return `query parameter ${policySpecifier.value.name}${last}`;
    case 'filterState':
      return `filter state ${policySpecifier.value.key}${last}`;
    case undefined:
    default:
      return 'nothing';
  }
}

function corsText({ typedPerFilterConfig }: Route): string | undefined {
  const cors = Object.values(typedPerFilterConfig)
    .map((any) => unpackAs(any, CorsPolicySchema))
    .find((found) => found !== undefined);
  if (cors === undefined) return undefined;
  const origins = cors.allowOriginStringMatch.map((origin) => describeString(origin));
  return `${countText(origins.length, 'allowed origin')}: ${origins.join(', ')}`;
}

function changes(add: readonly HeaderValueOption[], remove: readonly string[]): readonly string[] {
  return [
    ...remove.map((name) => `remove ${name}`),
    ...add.map((option) => `${verbOf(option)} ${option.header?.key ?? ''}: ${option.header?.value ?? ''}`),
  ];
}

function verbOf({ append, appendAction }: HeaderValueOption): string {
  if (append !== undefined) return append ? 'add' : 'set';
  switch (appendAction) {
    case AppendAction.APPEND_IF_EXISTS_OR_ADD:
      return 'add';
    case AppendAction.ADD_IF_ABSENT:
      return 'set if absent';
    case AppendAction.OVERWRITE_IF_EXISTS:
      return 'set if present';
    case AppendAction.OVERWRITE_IF_EXISTS_OR_ADD:
    default:
      return 'set';
  }
}
