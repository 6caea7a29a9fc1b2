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
import type { World } from './world.ts';

/** Listeners 15021 and 15090 are the bootstrap's. */
export const listeners: ResourceKind<ListenerInput, typeof ListenerSchema> = {
  schema: ListenerSchema,
  shortName: 'LDS',
  names: (world, scope) => [...listenerInputs(world, scope).keys()].sort(),
  input: (world, scope, name) => listenerInputs(world, scope).get(name),
  build: buildListener,
};

/** All of a proxy's listeners by name: whether one may stand depends on the others. */
export function listenerInputs(world: World, scope: ProxyScope): ReadonlyMap<string, ListenerInput> {
  return world.derive(`listeners/${scope.key}`, () => {
    const inputs =
      scope.node.type === 'router' ? gatewayListeners(world, scope) : sidecarListeners(world, scope);
    return new Map(inputs.map((input) => [input.name, input]));
  });
}

/** What was settled between services that ask for the same port or connections; none for gateways. */
export function listenerConflicts(world: World, scope: ProxyScope): readonly ListenerConflict[] {
  if (scope.node.type === 'router') return [];
  return [
    ...outboundListeners(world, scope).conflicts,
    ...inboundConflicts(world, scope).map(({ targetPort, accepted, rejected, service }) => ({
      metric: 'pilot_conflict_inbound_listener' as const,
      listener: `virtualInbound:${targetPort}`,
      accepted: accepted.protocol,
      rejected: rejected.protocol,
      hostname: service.hostname,
    })),
  ];
}

function sidecarListeners(world: World, scope: ProxyScope): readonly ListenerInput[] {
  const special = [virtualOutbound(world, scope), httpProxy(world, scope)];
  return [
    ...outboundListeners(world, scope).listeners,
    ...special.filter((input) => input !== undefined),
    ...inboundListeners(world, scope),
  ];
}
