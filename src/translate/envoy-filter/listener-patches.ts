// Patches of listeners and of what is in them. Source: Istio
// `pilot/pkg/networking/core/envoyfilter/listener_patch.go`.
import { clone } from '@bufbuild/protobuf';
import type { FilterChain } from '../../api/gen/envoy/config/listener/v3/listener_components_pb.js';
import {
  FilterChainSchema,
  ListenerFilterSchema,
} from '../../api/gen/envoy/config/listener/v3/listener_components_pb.js';
import type { Listener } from '../../api/gen/envoy/config/listener/v3/listener_pb.js';
import { ListenerSchema } from '../../api/gen/envoy/config/listener/v3/listener_pb.js';
import type { ApplyTo } from '../../config/envoy-filter/patch-value.ts';
import type { EnvoyPatch, PatchContext } from '../../config/envoy-filter/select.ts';
import type { ListenerInput } from '../listener/listener-input.ts';
import type { Built, ProxyScope } from '../resource.ts';
import { editList } from './edit-list.ts';
import { NetworkFilterPatcher } from './filter-patches.ts';
import { isVirtual, matchesChain } from './listener-match.ts';
import { mergeAny, mergeSocket } from './merge-any.ts';
import { isMerge, matchesContext, mergeValue, valueOf } from './patches.ts';
import { Places } from './places.ts';

export const listenerApplyTo: readonly ApplyTo[] = [
  'LISTENER',
  'LISTENER_FILTER',
  'FILTER_CHAIN',
  'NETWORK_FILTER',
  'HTTP_FILTER',
];

export function listenerContext(scope: ProxyScope, { direction }: ListenerInput): PatchContext {
  if (scope.node.type === 'router') return 'GATEWAY';
  return direction === 'INBOUND' ? 'SIDECAR_INBOUND' : 'SIDECAR_OUTBOUND';
}

/**
 * Whether the patch is about something in this listener. The virtual listeners take the traffic of all
 * ports: what is in them is asked for by the port of its chain.
 */
export function matchesListener(
  patch: EnvoyPatch,
  context: PatchContext,
  { name, address }: ListenerInput,
): boolean {
  if (!matchesContext(patch, context)) return false;
  const wanted = patch.match.listener;
  if (wanted === undefined) return true;
  if (wanted.name !== undefined && wanted.name !== '' && wanted.name !== name) return false;
  if (patch.applyTo !== 'LISTENER' && isVirtual(name)) return true;
  return (wanted.portNumber ?? 0) === 0 || wanted.portNumber === address.port;
}

/** `patches` are about this listener, `routePatches` about the inbound routes that stand in it. */
export function patchListener(
  built: Built<typeof ListenerSchema>,
  patches: readonly EnvoyPatch[],
  routePatches: readonly RoutePatchesOf[],
): Built<typeof ListenerSchema> {
  const listener = clone(ListenerSchema, built.message);
  const places = new Places(listener, built.provenance);
  const filters = new NetworkFilterPatcher(listener, patches, places);
  filters.patchInlineRoutes(routePatches);
  for (const patch of patches) {
    if (patch.applyTo !== 'LISTENER' || !isMerge(patch)) continue;
    const value = valueOf(ListenerSchema, patch);
    if (value === undefined) continue;
    mergeValue(ListenerSchema, patch, listener, value);
    places.merged(listener, patch);
  }
  // A listener is asked for by its name: validation says that a patch cannot change it.
  listener.name = built.message.name;
  patchListenerFilters(listener, patches, places);
  patchFilterChains(listener, patches, places, filters);
  filters.finish();
  return { name: built.name, message: listener, provenance: places.provenance(filters.paths()) };
}

/** Patches by the name of the route configuration that they are about. */
export interface RoutePatchesOf {
  readonly name: string;
  readonly patches: readonly EnvoyPatch[];
}

/** A listener that a patch brings. */
export function addedListener(patch: EnvoyPatch): Built<typeof ListenerSchema> | undefined {
  const message = valueOf(ListenerSchema, patch);
  if (message === undefined) return undefined;
  return { name: message.name, message, provenance: [{ at: '', origin: patch.origin }] };
}

function patchListenerFilters(listener: Listener, patches: readonly EnvoyPatch[], places: Places): void {
  for (const patch of patches) {
    if (patch.applyTo !== 'LISTENER_FILTER') continue;
    const wanted = patch.match.listener?.listenerFilter ?? '';
    const matches = ({ name }: { readonly name: string }): boolean => name === wanted;
    editList(listener.listenerFilters, {
      patch,
      isAimed: wanted !== '',
      matches,
      make: () => {
        const value = valueOf(ListenerFilterSchema, patch);
        if (value !== undefined) places.added(value, patch);
        return value;
      },
    });
    if (patch.operation !== 'MERGE') continue;
    for (const filter of listener.listenerFilters.filter(matches)) {
      const value = valueOf(ListenerFilterSchema, patch);
      const { configType } = filter;
      if (configType.case !== 'typedConfig' || value?.configType.case !== 'typedConfig') continue;
      configType.value = mergeAny(configType.value, value.configType.value) ?? configType.value;
      places.merged(filter, patch);
    }
  }
}

function patchFilterChains(
  listener: Listener,
  patches: readonly EnvoyPatch[],
  places: Places,
  filters: NetworkFilterPatcher,
): void {
  const stays = (chain: FilterChain): boolean => {
    // Chains without filters take no connection; Istio drops them, too.
    if (chain.filters.length === 0 || !patchFilterChain(listener, chain, patches, places)) return false;
    filters.patchChain(chain);
    return true;
  };
  listener.filterChains = listener.filterChains.filter(stays);
  if (listener.defaultFilterChain !== undefined && !stays(listener.defaultFilterChain))
    delete listener.defaultFilterChain;
  for (const patch of patches) {
    if (patch.applyTo !== 'FILTER_CHAIN' || patch.operation !== 'ADD') continue;
    const value = valueOf(FilterChainSchema, patch);
    if (value === undefined) continue;
    listener.filterChains.push(value);
    places.added(value, patch);
  }
}

/** False: it is taken away. */
function patchFilterChain(
  listener: Listener,
  chain: FilterChain,
  patches: readonly EnvoyPatch[],
  places: Places,
): boolean {
  for (const patch of patches) {
    if (patch.applyTo !== 'FILTER_CHAIN' || !matchesChain(listener, chain, patch)) continue;
    if (patch.operation === 'REMOVE') return false;
    const value = isMerge(patch) ? valueOf(FilterChainSchema, patch) : undefined;
    if (value === undefined) continue;
    if (!mergeTransportSocket(chain, value)) mergeValue(FilterChainSchema, patch, chain, value);
    places.merged(chain, patch);
  }
  return true;
}

/** Whether the patch was about the settings of the chain's own transport socket, and they alone were merged. */
function mergeTransportSocket(chain: FilterChain, value: FilterChain): boolean {
  const own = chain.transportSocket;
  const wanted = value.transportSocket;
  if (own === undefined || wanted === undefined || own.name !== wanted.name) return false;
  mergeSocket(own, wanted);
  return true;
}
