// Headers of a VirtualService (request and response: set, add, remove) -> Envoy's header operations.
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { HeaderValueOptionSchema } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import { HeaderValueOption_HeaderAppendAction } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import type { HttpHeaders } from './route-input.ts';

type HeaderValueOptionInit = MessageInitShape<typeof HeaderValueOptionSchema>;

/** Fields of the same names in Route and WeightedCluster.ClusterWeight. */
export interface HeaderOperations {
  readonly requestHeadersToAdd: HeaderValueOptionInit[];
  readonly requestHeadersToRemove: string[];
  readonly responseHeadersToAdd: HeaderValueOptionInit[];
  readonly responseHeadersToRemove: string[];
}

/**
 * First what is set, then what is added, each by name. Pseudo headers and `host` cannot be changed here:
 * a host that is set becomes a host rewrite (`authorityOf`). Source: Istio `TranslateHeadersOperations`.
 */
export function headerOperations(headers: HttpHeaders | undefined): HeaderOperations {
  const { request, response } = headers ?? {};
  return {
    requestHeadersToAdd: additions(request?.set, request?.add),
    requestHeadersToRemove: removals(request?.remove),
    responseHeadersToAdd: additions(response?.set, response?.add),
    responseHeadersToRemove: removals(response?.remove),
  };
}

/** The host that the request's headers ask for, `set` before `add`; empty if they ask for none. */
export function authorityOf(headers: HttpHeaders | undefined): string {
  return hostIn(headers?.request?.set) ?? hostIn(headers?.request?.add) ?? '';
}

type Names = Readonly<Record<string, string>> | undefined;

function additions(set: Names, add: Names): HeaderValueOptionInit[] {
  return [
    ...options(set, HeaderValueOption_HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD),
    ...options(add, HeaderValueOption_HeaderAppendAction.APPEND_IF_EXISTS_OR_ADD),
  ];
}

function options(names: Names, appendAction: HeaderValueOption_HeaderAppendAction): HeaderValueOptionInit[] {
  return Object.entries(names ?? {})
    .filter(([key]) => !isInternal(key))
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([key, value]) => ({ header: { key, value }, appendAction }));
}

function removals(names: readonly string[] | undefined): string[] {
  return (names ?? []).filter((key) => !isInternal(key));
}

function isInternal(key: string): boolean {
  return key.startsWith(':') || key.toLowerCase() === 'host';
}

function hostIn(names: Names): string | undefined {
  return Object.entries(names ?? {}).find(([key]) => {
    const lower = key.toLowerCase();
    return lower === ':authority' || lower === 'host';
  })?.[1];
}
