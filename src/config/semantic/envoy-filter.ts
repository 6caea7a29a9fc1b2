// EnvoyFilter: what Istio demands beyond the structure, and which patches can do nothing.
// Source: Istio pkg/config/validation/envoyfilter (behaviour of 1.32), and the rules of its CRD.
import { RE2JS } from 're2js';
import type { EnvoyFilterSpec } from '../../api/gen/istio-types.js';
import type { ApplyTo } from '../envoy-filter/patch-value.ts';
import { patchedMessages, readPatchValue } from '../envoy-filter/patch-value.ts';
import type { PatchMatch, PatchOperation } from '../envoy-filter/select.ts';
import { proxyVersionLengthMax } from '../envoy-filter/select.ts';
import type { Report } from '../schema.ts';
import { isRecord } from '../schema.ts';
import { Checker, each } from './checker.ts';
import { checkEffect } from './envoy-filter-effect.ts';
import { checkSelectorLabels } from './rules.ts';
import type { Validator } from './validator.ts';

export const validateEnvoyFilter: Validator = (object, _meta, report) => {
  const spec = object['spec'] as EnvoyFilterSpec;
  const checker = new Checker(report, ['spec']);
  checkTargets(spec, checker);
  for (const [patch, place, index] of each(spec.configPatches, checker, 'configPatches'))
    checkPatch(patch, place, (finding) =>
      report({ ...finding, fieldPath: ['spec', 'configPatches', index, ...finding.fieldPath] }),
    );
};

type WrittenPatch = NonNullable<EnvoyFilterSpec['configPatches']>[number];

function checkTargets({ workloadSelector, targetRefs = [] }: EnvoyFilterSpec, checker: Checker): void {
  if (workloadSelector !== undefined) {
    const place = checker.at('workloadSelector');
    checkSelectorLabels(workloadSelector.labels, place.at('labels'));
    if (Object.keys(workloadSelector.labels ?? {}).length === 0)
      place.warn('a workload selector without labels: it applies to all workloads of the namespace');
    if (targetRefs.length > 0)
      checker.at('targetRefs').error('only one of targetRefs and workloadSelector can be set');
  }
  for (const [{ group, kind, namespace = '' }, place] of each(targetRefs, checker, 'targetRefs')) {
    // istiod: validatePolicyTargetReference.
    if (namespace !== '') place.at('namespace').error('must be empty: a target is of the same namespace');
    if (kind !== 'Gateway' || group !== 'gateway.networking.k8s.io')
      place
        .at('kind')
        .warn(`${kind} is a target of waypoints, which are not served; accepted: Gateway of the Gateway API`);
  }
}

function checkPatch(written: WrittenPatch, checker: Checker, report: Report): void {
  const { applyTo, match, patch } = written;
  checkWaypoint(match, checker.at('match'));
  if (match?.context === 'WAYPOINT') {
    checker.at('match', 'context').warn('waypoints are not served: the patch has no effect');
    return;
  }
  if (applyTo === undefined || applyTo === 'INVALID') {
    checker.error('applyTo is missing');
    return;
  }
  if (patch === undefined) {
    checker.error('patch is missing');
    return;
  }
  const operation = patch.operation as PatchOperation | undefined;
  if (operation === undefined || operation === 'INVALID') {
    checker.at('patch').error('the operation is missing');
    return;
  }
  const value: unknown = patch.value;
  if (operation !== 'REMOVE' && value === undefined) {
    checker.at('patch').error(`the value is missing: ${operation} needs one`);
    return;
  }
  checkProxyVersion(match?.proxy?.proxyVersion ?? '', checker.at('match', 'proxy', 'proxyVersion'));
  checkMatch(applyTo, match, checker.at('match'));
  checkEffect({ applyTo, operation, match, value, filterClass: patch.filterClass }, checker);
  if (value !== undefined) checkValue(applyTo, operation, value, report);
}

function checkWaypoint(match: PatchMatch | undefined, checker: Checker): void {
  const { context, waypoint } = match ?? {};
  if (waypoint !== undefined && context !== 'WAYPOINT')
    checker.at('waypoint').error('only the context WAYPOINT can have a waypoint match');
  if (context !== 'WAYPOINT') return;
  if (waypoint === undefined) checker.error('the context WAYPOINT needs a waypoint match');
  for (const field of ['listener', 'routeConfiguration', 'cluster'] as const)
    if (match?.[field] !== undefined)
      checker.at(field).error('the context WAYPOINT can have a waypoint match alone');
  const port = waypoint?.portNumber;
  if (port !== undefined && (port < 1 || port > 65_535))
    checker.at('waypoint', 'portNumber').error('port must be between 1-65535');
}

function checkProxyVersion(expression: string, checker: Checker): void {
  if (expression === '') return;
  if (expression.length > proxyVersionLengthMax) {
    checker.warn(`longer than ${proxyVersionLengthMax} characters: the patch matches no proxy`);
    return;
  }
  try {
    RE2JS.compile(expression);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    checker.error(`the regex does not compile: ${reason}`);
  }
}

/** Which match an object of Envoy's can have; absent for those whose matches say nothing. */
const matchOf: Readonly<Record<ApplyTo, 'listener' | 'routeConfiguration' | 'cluster' | undefined>> = {
  BOOTSTRAP: undefined,
  CLUSTER: 'cluster',
  EXTENSION_CONFIG: undefined,
  FILTER_CHAIN: 'listener',
  HTTP_FILTER: 'listener',
  HTTP_ROUTE: 'routeConfiguration',
  LISTENER: 'listener',
  LISTENER_FILTER: 'listener',
  NETWORK_FILTER: 'listener',
  ROUTE_CONFIGURATION: 'routeConfiguration',
  VIRTUAL_HOST: 'routeConfiguration',
};

function checkMatch(applyTo: ApplyTo, match: PatchMatch | undefined, checker: Checker): void {
  const right = matchOf[applyTo];
  for (const field of ['listener', 'routeConfiguration', 'cluster'] as const) {
    if (match?.[field] === undefined || field === right) continue;
    const place = checker.at(field);
    // Istio overlooks it for these.
    if (right === undefined || applyTo === 'LISTENER_FILTER') place.warn(`has no effect on ${applyTo}`);
    else place.error(`applyTo ${applyTo} cannot have a match on ${field}; accepted: ${right}`);
  }
  if (right === 'listener') checkFilterMatch(applyTo, match, checker.at('listener', 'filterChain', 'filter'));
}

const managerName = 'envoy.filters.network.http_connection_manager';

function checkFilterMatch(applyTo: ApplyTo, match: PatchMatch | undefined, checker: Checker): void {
  const filter = match?.listener?.filterChain?.filter;
  if (filter === undefined) return;
  const { name = '', subFilter } = filter;
  if (applyTo === 'LISTENER' || applyTo === 'FILTER_CHAIN')
    checker.warn(`a match on a filter has no effect on ${applyTo}`);
  if (name === '') {
    checker.error('the filter has no name to match on');
    return;
  }
  checkFilterName(name, checker.at('name'));
  if (subFilter === undefined) return;
  const place = checker.at('subFilter');
  if (applyTo !== 'HTTP_FILTER') place.error('only HTTP_FILTER can have a match on a subFilter');
  else if (name !== managerName && name !== 'envoy.http_connection_manager')
    place.error(`needs a match on the filter ${managerName}, not on ${name}`);
  else if ((subFilter.name ?? '') === '') place.error('the subFilter has no name to match on');
  else checkFilterName(subFilter.name ?? '', place.at('name'));
}

/** Names of Envoy's v2 time, which no filter has any more: `envoy.router`. */
const oldFilterName = /^envoy\.(?!filters\.)(?:listener\.)?[a-z0-9_]+$/;

function checkFilterName(name: string, checker: Checker): void {
  if (!oldFilterName.test(name)) return;
  checker.warn(
    `"${name}" is a filter name of old; the filters of today are called envoy.filters.<network, http or listener>.<name>`,
  );
}

function checkValue(applyTo: ApplyTo, operation: PatchOperation, value: unknown, report: Report): void {
  const isMerge = operation === 'MERGE' || operation === 'MERGE_AND_REPLACE_LIST';
  for (const { kind, message, path } of readPatchValue(patchedMessages[applyTo], value, !isMerge).problems) {
    const fieldPath = ['patch', 'value', ...path];
    if (kind === 'passed-on')
      report({
        severity: 'warning',
        code: 'passed-on',
        message: `${message}; it is passed on as it stands: the proxy may know it`,
        fieldPath,
      });
    else {
      const code = kind === 'wrong' ? 'wrong-value' : kind === 'newer' ? 'unknown-field' : kind;
      report({ severity: 'error', code, message, fieldPath });
    }
  }
  const withConfig = ['HTTP_FILTER', 'NETWORK_FILTER', 'LISTENER_FILTER', 'EXTENSION_CONFIG'];
  if (!withConfig.includes(applyTo) || !isRecord(value)) return;
  const given = ['typed_config', 'typedConfig', 'config_discovery', 'configDiscovery'];
  if (!given.some((name) => value[name] !== undefined))
    report({
      severity: 'warning',
      code: 'doubtful',
      message: 'typed_config is missing: Envoy does not find filters by their name alone',
      fieldPath: ['patch', 'value'],
    });
}
