// Servers of Gateways that a connected gateway cannot serve beside others: each is told once, as long as it stays so.
import type { ConfigStore } from '../config/store.ts';
import type { DroppedServer } from '../translate/gateway/servers.ts';
import { mergedGateways } from '../translate/gateway/servers.ts';
import type { World } from '../translate/world.ts';
import type { Sample } from './metrics/metrics.ts';
import type { ConnectedProxy } from './push-status.ts';
import { unlessFailed } from './push-status.ts';
import { formatOrigin } from './source-position.ts';

/** Of all gateways that are connected, each server and reason once. */
export function leftOutServers(world: World, proxies: Iterable<ConnectedProxy>): readonly DroppedServer[] {
  const found = new Map<string, DroppedServer>();
  const seen = new Set<string>();
  for (const { scope } of proxies) {
    if (scope.node.type !== 'router' || seen.has(scope.key)) continue;
    seen.add(scope.key);
    for (const server of unlessFailed(() => mergedGateways(world, scope).dropped) ?? [])
      found.set(JSON.stringify(server), server);
  }
  return [...found.values()];
}

/** How many of which Gateway, with Istio's labels. */
export function countByGateway(servers: readonly DroppedServer[]): readonly Sample[] {
  const counts = new Map<string, number>();
  for (const { origin } of servers) {
    const name = `${origin.namespace}/${origin.name}`;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...counts].map(([name, value]) => ({ labels: { type: 'gateway', name }, value }));
}

/** Remembers what has been told, and forgets what is served again. */
export class LeftOutServers {
  #told: ReadonlySet<string> = new Set();

  /** Lines to tell: `Gateway default/b spec.servers[0] at b.yaml:8:7 is left out: port 80 is HTTP already...`. */
  news(store: ConfigStore, world: World, proxies: Iterable<ConnectedProxy>): readonly string[] {
    const all = leftOutServers(world, proxies);
    const before = this.#told;
    this.#told = new Set(all.map((server) => JSON.stringify(server)));
    return all
      .filter((server) => !before.has(JSON.stringify(server)))
      .map(({ origin, reason }) => `${formatOrigin(store, origin)} is left out: ${reason}`);
  }
}
