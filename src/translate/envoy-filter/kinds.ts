// Clusters, listeners and routes with the patches of EnvoyFilters over them.
import type { ClusterSchema } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import type { ListenerSchema } from '../../api/gen/envoy/config/listener/v3/listener_pb.js';
import type { RouteConfigurationSchema } from '../../api/gen/envoy/config/route/v3/route_pb.js';
import type { EnvoyPatch } from '../../config/envoy-filter/select.ts';
import type { ClusterInput } from '../cluster/cluster-input.ts';
import { mergedGateways } from '../gateway/servers.ts';
import type { ListenerInput } from '../listener/listener-input.ts';
import type { ProxyScope, ResourceKind } from '../resource.ts';
import type { RouteConfigurationInput } from '../route/route-input.ts';
import type { World } from '../world.ts';
import { addedCluster, matchesCluster, patchCluster } from './cluster-patches.ts';
import type { RoutePatchesOf } from './listener-patches.ts';
import {
  addedListener,
  listenerApplyTo,
  listenerContext,
  matchesListener,
  patchListener,
} from './listener-patches.ts';
import type { AddedInput, PatchNotes } from './patched-kind.ts';
import { patchedKind, withAdded } from './patched-kind.ts';
import type { PatchGroup } from './patches.ts';
import { addsIn, isMerge, patchesOf } from './patches.ts';
import type { GatewayPorts } from './route-patches.ts';
import { matchesRouteConfiguration, patchRouteConfiguration, routeApplyTo } from './route-patches.ts';

const clusterGroup: PatchGroup = { name: 'clusters', applyTo: ['CLUSTER'] };
const routeGroup: PatchGroup = { name: 'routes', applyTo: routeApplyTo };
/** Inbound routes stand in listeners. */
const listenerGroup: PatchGroup = { name: 'listeners', applyTo: [...listenerApplyTo, ...routeApplyTo] };
const addedListenerGroup: PatchGroup = { name: 'added-listeners', applyTo: ['LISTENER'] };

export function patchedClusters(
  kind: ResourceKind<ClusterInput, typeof ClusterSchema>,
): ResourceKind<(ClusterInput & PatchNotes<never>) | AddedInput, typeof ClusterSchema> {
  const patches = (world: World, scope: ProxyScope): readonly EnvoyPatch[] =>
    patchesOf(world, scope, clusterGroup);
  const patched = patchedKind<ClusterInput, never, typeof ClusterSchema>(kind, {
    patches,
    select(_world, scope, name, input, all) {
      const near = all.filter((patch) => matchesCluster(patch, scope, name, input));
      if (near.some(({ operation }) => operation === 'REMOVE')) return { kind: 'removed' };
      const merges = near.filter(isMerge);
      return merges.length === 0 ? { kind: 'unpatched' } : { kind: 'patched', patches: merges };
    },
    build: patchCluster,
  });
  return withAdded(patched, (world, scope) => addedByName(scope, patches(world, scope)), addedCluster);
}

export function patchedListeners(
  kind: ResourceKind<ListenerInput, typeof ListenerSchema>,
): ResourceKind<(ListenerInput & PatchNotes<readonly RoutePatchesOf[]>) | AddedInput, typeof ListenerSchema> {
  const patched = patchedKind<ListenerInput, readonly RoutePatchesOf[], typeof ListenerSchema>(kind, {
    patches: (world, scope) => patchesOf(world, scope, listenerGroup),
    select(_world, scope, _name, input, patches) {
      const context = listenerContext(scope, input);
      const near = patches.filter(
        (patch) =>
          listenerApplyTo.includes(patch.applyTo) &&
          !(patch.applyTo === 'LISTENER' && patch.operation === 'ADD') &&
          matchesListener(patch, context, input),
      );
      if (near.some(({ applyTo, operation }) => applyTo === 'LISTENER' && operation === 'REMOVE'))
        return { kind: 'removed' };
      const routes = inlineRouteNames(input).flatMap((name) => {
        const own = patches.filter(
          (patch) =>
            routeApplyTo.includes(patch.applyTo) && matchesRouteConfiguration(patch, context, name, noPorts),
        );
        return own.length === 0 ? [] : [{ name, patches: own }];
      });
      if (near.length === 0 && routes.length === 0) return { kind: 'unpatched' };
      return { kind: 'patched', patches: near, extra: routes };
    },
    build: (built, patches, routes) => patchListener(built, patches, routes ?? []),
  });
  return withAdded(
    patched,
    (world, scope) => {
      const added = addedByName(scope, patchesOf(world, scope, addedListenerGroup));
      // As in Istio; validation says so.
      return new Map([...added].filter(([name]) => name !== ''));
    },
    addedListener,
  );
}

export function patchedRoutes(
  kind: ResourceKind<RouteConfigurationInput, typeof RouteConfigurationSchema>,
): ResourceKind<RouteConfigurationInput & PatchNotes<never>, typeof RouteConfigurationSchema> {
  return patchedKind<RouteConfigurationInput, never, typeof RouteConfigurationSchema>(kind, {
    patches: (world, scope) => patchesOf(world, scope, routeGroup),
    select(world, scope, name, _input, patches) {
      const isGateway = scope.node.type === 'router';
      const context = isGateway ? 'GATEWAY' : 'SIDECAR_OUTBOUND';
      const ports = isGateway ? gatewayPorts(world, scope) : noPorts;
      const near = patches.filter((patch) => matchesRouteConfiguration(patch, context, name, ports));
      return near.length === 0 ? { kind: 'unpatched' } : { kind: 'patched', patches: near };
    },
    build: patchRouteConfiguration,
  });
}

/** What the patches add, by name; the first of a name counts. */
function addedByName(scope: ProxyScope, patches: readonly EnvoyPatch[]): ReadonlyMap<string, EnvoyPatch> {
  const added = new Map<string, EnvoyPatch>();
  for (const patch of patches) {
    if (!addsIn(patch, scope)) continue;
    const { name = '' } = (patch.value ?? {}) as { readonly name?: unknown };
    if (typeof name === 'string' && !added.has(name)) added.set(name, patch);
  }
  return added;
}

const noPorts: GatewayPorts = new Map();

/** Clients name the port of a gateway's Service, the gateway listens on that Service's target port. */
function gatewayPorts(world: World, scope: ProxyScope): GatewayPorts {
  const ports = new Map<number, number[]>();
  for (const { listenerPort, servers } of mergedGateways(world, scope).listeners) {
    const known = ports.get(listenerPort) ?? [];
    ports.set(listenerPort, known);
    for (const { servicePort } of servers) if (!known.includes(servicePort)) known.push(servicePort);
  }
  return ports;
}

/** Names of the route configurations that stand in the listener itself. */
function inlineRouteNames({ chains, defaultChain }: ListenerInput): readonly string[] {
  const all = defaultChain === undefined ? chains : [...chains, defaultChain];
  const names = all.flatMap(({ filter }) =>
    filter.kind === 'http' && 'inline' in filter.routes ? [filter.routes.inline.cluster] : [],
  );
  return [...new Set(names)];
}
