// Gateways between networks: connections are passed on by the server name that they ask for.
import { autoPassthroughHosts } from '../gateway/servers.ts';
import type { ProxyScope } from '../resource.ts';
import type { World } from '../world.ts';

/** Whether the proxy serves a Gateway with a server of mode AUTO_PASSTHROUGH: only then has it clusters by server name (C3.15). */
export function passesConnectionsOn(world: World, scope: ProxyScope): boolean {
  return scope.node.type === 'router' && autoPassthroughHosts(world, scope).length > 0;
}
