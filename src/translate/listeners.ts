// Listeners: LDS.
import { ListenerSchema } from '../api/gen/envoy/config/listener/v3/listener_pb.js';
import { buildListener } from './listener/build-listener.ts';
import { gatewayListeners } from './listener/gateway.ts';
import { inboundListeners } from './listener/inbound.ts';
import type { ListenerInput } from './listener/listener-input.ts';
import { outboundListeners } from './listener/outbound.ts';
import { httpProxy, virtualOutbound } from './listener/virtual-outbound.ts';
import { inboundConflicts } from './inbound-targets.ts';
import type { ListenerConflict } from './listener/outbound-entries.ts';
import type { ProxyScope, ResourceKind } from './resource.ts';
import { kindOfParts } from './resource.ts';
import { outboundListenerScope } from './views.ts';
import type { World } from './world.ts';

/** Listeners 15021 and 15090 are the bootstrap's. */
export const listeners: ResourceKind<ListenerInput, typeof ListenerSchema> = kindOfParts(
  { schema: ListenerSchema, shortName: 'LDS', build: buildListener },
  [
    // What stands for the workload itself comes before what stands for those that it calls.
    {
      name: 'own',
      viewOf: (_world, scope) => scope,
      names: (world, scope) => [...ownListeners(world, scope).keys()].sort(),
      input: (world, scope, name) => ownListeners(world, scope).get(name),
    },
    {
      name: 'out',
      viewOf: (world, scope) =>
        scope.node.type === 'router' ? undefined : outboundListenerScope(world, scope),
      names: (world, view) => [...calledListeners(world, view).inputs.keys()].sort(),
      input: (world, view, name) => calledListeners(world, view).inputs.get(name),
    },
  ],
);

/** All of a proxy's listeners by name: whether one may stand depends on the others. */
export function listenerInputs(world: World, scope: ProxyScope): ReadonlyMap<string, ListenerInput> {
  const own = ownListeners(world, scope);
  if (scope.node.type === 'router') return own;
  return new Map([...calledListeners(world, outboundListenerScope(world, scope)).inputs, ...own]);
}

/** What was settled between services that ask for the same port or connections; none for gateways. */
export function listenerConflicts(world: World, scope: ProxyScope): readonly ListenerConflict[] {
  if (scope.node.type === 'router') return [];
  const called = calledListeners(world, outboundListenerScope(world, scope));
  return [...called.conflicts, ...readOtherwise(world, scope)];
}

/** Those of a gateway; of a sidecar those of the workload itself, and where captured connections arrive. */
function ownListeners(world: World, scope: ProxyScope): ReadonlyMap<string, ListenerInput> {
  return world.derive(`listeners/${scope.key}`, () => {
    if (scope.node.type === 'router') return byName(gatewayListeners(world, scope));
    const special = [virtualOutbound(world, scope), httpProxy(world, scope)];
    return byName([...special.filter((input) => input !== undefined), ...inboundListeners(world, scope)]);
  });
}

/** Those of the services that a sidecar may call. */
function calledListeners(
  world: World,
  view: ProxyScope,
): {
  readonly inputs: ReadonlyMap<string, ListenerInput>;
  readonly conflicts: readonly ListenerConflict[];
} {
  return world.derive(`outbound-listeners/${view.key}`, () => {
    const { listeners: inputs, conflicts } = outboundListeners(world, view);
    return { inputs: byName(inputs), conflicts };
  });
}

function byName(inputs: readonly ListenerInput[]): ReadonlyMap<string, ListenerInput> {
  return new Map(inputs.map((input) => [input.name, input]));
}

function readOtherwise(world: World, scope: ProxyScope): readonly ListenerConflict[] {
  return inboundConflicts(world, scope).map(({ targetPort, accepted, rejected, service }) => ({
    metric: 'pilot_conflict_inbound_listener' as const,
    listener: `virtualInbound:${targetPort}`,
    accepted: accepted.protocol,
    rejected: rejected.protocol,
    hostname: service.hostname,
  }));
}
