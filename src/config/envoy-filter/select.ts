// Which EnvoyFilters reach one proxy, and their patches in the order in which they are applied.
import { RE2JS } from 're2js';
import type { EnvoyFilterSpec } from '../../api/gen/istio-types.js';
import type { Origin } from '../../model/origin.ts';
import { labelsMatch } from '../../model/labels.ts';
import type { EnvoyFilterConfig } from '../config.ts';
import { compareAge, originOf } from '../config.ts';
import type { ApplyTo } from './patch-value.ts';
import { patchedMessages } from './patch-value.ts';

type WrittenPatch = NonNullable<EnvoyFilterSpec['configPatches']>[number];
export type PatchMatch = NonNullable<WrittenPatch['match']>;
export type PatchOperation =
  | NonNullable<NonNullable<WrittenPatch['patch']>['operation']>
  | 'MERGE_AND_REPLACE_LIST';
export type PatchContext = 'SIDECAR_INBOUND' | 'SIDECAR_OUTBOUND' | 'GATEWAY';

/** One patch of one EnvoyFilter, as the user wrote it: plain data. */
export interface EnvoyPatch {
  readonly applyTo: ApplyTo;
  readonly operation: PatchOperation;
  readonly context: PatchContext | 'ANY';
  readonly match: PatchMatch;
  /** JSON; absent where there is none (REMOVE). */
  readonly value?: unknown;
  readonly origin: Origin;
}

/** What of a proxy EnvoyFilters look at. */
export interface PatchedProxy {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly istioVersion: string;
  /** Node metadata whose values are texts. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** The label by which a proxy is of a Gateway of the Gateway API: targetRefs name that. */
const gatewayNameLabel = 'gateway.networking.k8s.io/gateway-name';
/** Istio's limit; longer expressions match no proxy. */
export const proxyVersionLengthMax = 1024;

/**
 * The patches for one proxy, of the EnvoyFilters of the root namespace and of its own: lower priority first,
 * then those of the root namespace, then older ones, then by name. Those of waypoints are left out.
 * Source: Istio `PushContext.EnvoyFilters`.
 */
export function selectPatches(
  filters: readonly EnvoyFilterConfig[],
  rootNamespace: string,
  proxy: PatchedProxy,
): readonly EnvoyPatch[] {
  const isRoot = ({ namespace }: EnvoyFilterConfig): number => (namespace === rootNamespace ? 0 : 1);
  return filters
    .filter((filter) => reaches(filter, rootNamespace, proxy))
    .sort(
      (a, b) => (a.spec.priority ?? 0) - (b.spec.priority ?? 0) || isRoot(a) - isRoot(b) || compareAge(a, b),
    )
    .flatMap((filter) => patchesOf(filter).filter(({ match }) => matchesProxy(match, proxy)));
}

/** The names of node metadata that these look at, sorted. */
export function metadataNames(filters: readonly EnvoyFilterConfig[]): readonly string[] {
  const names = filters.flatMap(({ spec }) =>
    (spec.configPatches ?? []).flatMap(({ match }) => Object.keys(match?.proxy?.metadata ?? {})),
  );
  return [...new Set(names)].sort();
}

/** The names of labels that these look at. */
export function selectedLabelNames(filters: readonly EnvoyFilterConfig[]): readonly string[] {
  const names = filters.flatMap(({ spec }) => Object.keys(spec.workloadSelector?.labels ?? {}));
  return filters.length === 0 ? [] : [gatewayNameLabel, ...names];
}

function reaches(filter: EnvoyFilterConfig, rootNamespace: string, proxy: PatchedProxy): boolean {
  const { namespace, spec } = filter;
  if (namespace !== rootNamespace && namespace !== proxy.namespace) return false;
  const targets = spec.targetRefs ?? [];
  if (targets.length === 0) return labelsMatch(spec.workloadSelector?.labels ?? {}, proxy.labels);
  // Services are the targets of waypoints.
  const gateway = proxy.labels[gatewayNameLabel];
  return targets.some(
    ({ group, kind, name, namespace: target = '' }) =>
      group === 'gateway.networking.k8s.io' &&
      kind === 'Gateway' &&
      name === gateway &&
      namespace === proxy.namespace &&
      (target === '' || target === namespace),
  );
}

/** Patches that validation would refuse are left out: an object of an older program may hold some. */
function patchesOf(filter: EnvoyFilterConfig): readonly EnvoyPatch[] {
  return (filter.spec.configPatches ?? []).flatMap(({ applyTo, match = {}, patch }, index) => {
    const { context = 'ANY' } = match;
    const operation = patch?.operation;
    if (applyTo === undefined || !(applyTo in patchedMessages) || operation === undefined) return [];
    if (operation === 'INVALID' || context === 'WAYPOINT') return [];
    return {
      applyTo: applyTo as ApplyTo,
      operation: operationOn(applyTo as ApplyTo, operation),
      context,
      match,
      ...(patch?.value === undefined ? {} : { value: patch.value }),
      origin: originOf(filter, 'spec', 'configPatches', index),
    };
  });
}

const orderedLists: readonly ApplyTo[] = ['HTTP_FILTER', 'HTTP_ROUTE', 'LISTENER_FILTER', 'NETWORK_FILTER'];

/** Insertion is for lists in which the order counts; elsewhere it is addition. */
function operationOn(applyTo: ApplyTo, operation: PatchOperation): PatchOperation {
  return operation.startsWith('INSERT_') && !orderedLists.includes(applyTo) ? 'ADD' : operation;
}

function matchesProxy({ proxy: wanted }: PatchMatch, proxy: PatchedProxy): boolean {
  if (wanted === undefined) return true;
  const { proxyVersion = '', metadata = {} } = wanted;
  if (proxyVersion !== '' && !versionMatches(proxyVersion, proxy.istioVersion)) return false;
  return labelsMatch(metadata, proxy.metadata);
}

/** Compiled expressions: there are few, and each is asked of every proxy. */
const expressions = new Map<string, RE2JS | undefined>();
const expressionsMax = 1000;

/** RE2, for expressions come from tenants: linear time, and a limit on the length. Any part may match. */
function versionMatches(expression: string, version: string): boolean {
  if (version === '' || expression.length > proxyVersionLengthMax) return false;
  if (!expressions.has(expression)) {
    if (expressions.size >= expressionsMax) expressions.clear();
    expressions.set(expression, compile(expression));
  }
  return expressions.get(expression)?.matcher(version).find() ?? false;
}

function compile(expression: string): RE2JS | undefined {
  try {
    return RE2JS.compile(expression);
  } catch {
    return undefined;
  }
}
