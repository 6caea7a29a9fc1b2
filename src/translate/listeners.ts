// Listeners: LDS.
import { ListenerSchema } from '../api/gen/envoy/config/listener/v3/listener_pb.js';
import { buildListener } from './listener/build-listener.ts';
import { gatewayListeners } from './listener/gateway.ts';
import { inboundListeners } from './listener/inbound.ts';
import type { ListenerInput } from './listener/listener-input.ts';
import type { OutboundListeners } from './listener/outbound.ts';
import { outboundListeners } from './listener/outbound.ts';
import { httpProxy, virtualOutbound } from './listener/virtual-outbound.ts';
import { inboundConflicts } from './inbound-targets.ts';
import type { ListenerConflict } from './listener/outbound-entries.ts';
import type { ProxyScope, ResourceKind } from './resource.ts';
import { outboundListenerScope } from './scope.ts';
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
  return proxyListeners(world, scope).inputs;
}

/** What was settled between services that ask for the same port or connections; none for gateways. */
export function listenerConflicts(world: World, scope: ProxyScope): readonly ListenerConflict[] {
  return proxyListeners(world, scope).conflicts;
}

interface ProxyListeners {
  readonly inputs: ReadonlyMap<string, ListenerInput>;
  readonly conflicts: readonly ListenerConflict[];
}

function proxyListeners(world: World, scope: ProxyScope): ProxyListeners {
  return world.derive(`listeners/${scope.key}`, () => {
    const { listeners: inputs, conflicts } =
      scope.node.type === 'router'
        ? { listeners: gatewayListeners(world, scope), conflicts: [] }
        : sidecarListeners(world, scope);
    return { inputs: new Map(inputs.map((input) => [input.name, input])), conflicts };
  });
}

function sidecarListeners(world: World, scope: ProxyScope): OutboundListeners {
  const shared = outboundListenerScope(world, scope);
  const outbound = world.derive(`outbound-listeners/${shared.key}`, () => outboundListeners(world, shared));
  const special = [virtualOutbound(world, scope), httpProxy(world, scope)];
  return {
    listeners: [
      ...outbound.listeners,
      ...special.filter((input) => input !== undefined),
      ...inboundListeners(world, scope),
    ],
    conflicts: [...outbound.conflicts, ...readOtherwise(world, scope)],
  };
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
