// Patches that Istio takes and that can do nothing: they are named instead of being passed over.
// Source: Istio pilot/pkg/networking/core/envoyfilter (behaviour of 1.32).
import type { ApplyTo } from '../envoy-filter/patch-value.ts';
import type { PatchMatch, PatchOperation } from '../envoy-filter/select.ts';
import { isRecord } from '../schema.ts';
import type { Checker } from './checker.ts';

export interface PatchInQuestion {
  readonly applyTo: ApplyTo;
  readonly operation: PatchOperation;
  readonly match: PatchMatch | undefined;
  readonly value: unknown;
  readonly filterClass: string | undefined;
}

const merges = ['MERGE', 'MERGE_AND_REPLACE_LIST'];
const inserts = ['INSERT_BEFORE', 'INSERT_AFTER', 'INSERT_FIRST'];
/** Where there is no order, insertion is addition. */
const adds = ['ADD', ...inserts];

const effective: Readonly<Record<ApplyTo, readonly string[]>> = {
  BOOTSTRAP: ['MERGE'],
  CLUSTER: [...adds, 'REMOVE', ...merges],
  EXTENSION_CONFIG: adds,
  FILTER_CHAIN: [...adds, 'REMOVE', ...merges],
  HTTP_FILTER: [...adds, 'REMOVE', 'REPLACE', 'MERGE'],
  HTTP_ROUTE: [...adds, 'REMOVE', ...merges],
  LISTENER: [...adds, 'REMOVE', ...merges],
  LISTENER_FILTER: [...adds, 'REMOVE', 'REPLACE', 'MERGE'],
  NETWORK_FILTER: [...adds, 'REMOVE', 'REPLACE', 'MERGE'],
  ROUTE_CONFIGURATION: merges,
  VIRTUAL_HOST: [...adds, 'REMOVE', 'REPLACE', ...merges],
};

/** Warns of what has no effect. */
export function checkEffect(patch: PatchInQuestion, checker: Checker): void {
  const { applyTo, operation, match, filterClass } = patch;
  const place = checker.at('patch', 'operation');
  const accepted = effective[applyTo];
  if (!accepted.includes(operation))
    place.warn(`${operation} has no effect on ${applyTo}, as in Istio; effective: ${accepted.join(', ')}`);
  else checkAim(patch, place);
  if (match?.listener?.portName !== undefined && match.listener.portName !== '')
    checker.at('match', 'listener', 'portName').warn('has no effect, as in Istio');
  if (filterClass !== undefined && filterClass !== 'UNSPECIFIED')
    checker
      .at('patch', 'filterClass')
      .warn('has no effect, as in Istio: the operation says where the filter goes');
  checkName(patch, checker);
}

/** What replaces a filter, removes it or merges into it must name it. */
function checkAim({ applyTo, operation, match }: PatchInQuestion, checker: Checker): void {
  const filter = match?.listener?.filterChain?.filter;
  const aims: Partial<Record<ApplyTo, readonly [string, boolean]>> = {
    HTTP_FILTER: ['match.listener.filterChain.filter.subFilter.name', filter?.subFilter !== undefined],
    LISTENER_FILTER: ['match.listener.listenerFilter', (match?.listener?.listenerFilter ?? '') !== ''],
    NETWORK_FILTER: ['match.listener.filterChain.filter.name', filter !== undefined],
  };
  const [field, isAimed] = aims[applyTo] ?? ['', true];
  const needsAim = operation === 'REMOVE' || operation === 'REPLACE';
  const mergesBlindly = operation === 'MERGE' && applyTo === 'LISTENER_FILTER';
  if (!isAimed && (needsAim || mergesBlindly))
    checker.warn(`${operation} has no effect on ${applyTo} without ${field}`);
}

/** The name is how a proxy asks for these: a patch cannot change it, and Istio drops listeners without one. */
function checkName({ applyTo, operation, match, value }: PatchInQuestion, checker: Checker): void {
  if (!isRecord(value)) return;
  const place = checker.at('patch', 'value');
  const wanted = {
    CLUSTER: match?.cluster?.name,
    LISTENER: match?.listener?.name,
    ROUTE_CONFIGURATION: match?.routeConfiguration?.name,
  };
  if (operation === 'ADD' && applyTo === 'LISTENER' && typeof value['name'] !== 'string')
    place.warn('a listener without a name is left out, as in Istio');
  if (!merges.includes(operation) || !(applyTo in wanted) || value['name'] === undefined) return;
  const name = wanted[applyTo as keyof typeof wanted];
  if (value['name'] !== name) place.at('name').warn(`has no effect: ${operation} does not rename`);
}
