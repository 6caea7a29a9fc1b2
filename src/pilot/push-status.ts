// What was settled silently for the proxies that are connected: listeners that several services ask for, subsets that
// several rules define.
import { DerivationError } from '../collections/index.ts';
import type { ProxyScope } from '../translate/resource.ts';
import type { ListenerConflict } from '../translate/listener/outbound-entries.ts';
import { duplicateSubsets, duplicateSubsetsMetric } from '../translate/duplicate-subsets.ts';
import { conflictMetrics } from '../translate/listener/outbound-entries.ts';
import { listenerConflicts } from '../translate/listeners.ts';
import type { World } from '../translate/world.ts';

/** A proxy, and what of it counts. */
export interface ConnectedProxy {
  readonly id: string;
  readonly scope: ProxyScope;
  /** Its own; a scope leaves out what several proxies need not have in common. */
  readonly ipAddresses?: readonly string[];
}

/** As istiod's `/debug/push_status` has them. */
export interface ProxyPushStatus {
  readonly proxy: string;
  readonly message: string;
}

/** Metric -> listener, or host of DestinationRules -> the first proxy that has the conflict, and what was lost in it. */
export function pushStatus(
  world: World,
  proxies: Iterable<ConnectedProxy>,
): Readonly<Record<string, Readonly<Record<string, ProxyPushStatus>>>> {
  const status: Record<string, Record<string, ProxyPushStatus>> = {};
  const seen = new Set<string>();
  for (const { id, scope } of proxies) {
    // Proxies of one scope have the same listeners.
    if (seen.has(scope.key)) continue;
    seen.add(scope.key);
    for (const { host, subset } of unlessFailed(() => duplicateSubsets(world, scope)) ?? []) {
      const byHost = (status[duplicateSubsetsMetric] ??= {});
      const message = `Duplicate subset ${subset} found while merging destination rules for ${host}`;
      byHost[host] ??= { proxy: id, message };
    }
    for (const conflict of unlessFailed(() => listenerConflicts(world, scope)) ?? []) {
      const byListener = (status[conflict.metric] ??= {});
      byListener[conflict.listener] ??= { proxy: id, message: messageOf(conflict) };
    }
  }
  return status;
}

/** Listeners and hosts in conflict, by metric; 0 where there is none. */
export function conflictCounts(
  world: World,
  proxies: Iterable<ConnectedProxy>,
): Readonly<Record<string, number>> {
  const status = pushStatus(world, proxies);
  return Object.fromEntries(
    [...conflictMetrics, duplicateSubsetsMetric].map((metric) => [
      metric,
      Object.keys(status[metric] ?? {}).length,
    ]),
  );
}

/** Undefined where translation has failed: the engine has told of it. */
export function unlessFailed<Value>(read: () => Value): Value | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof DerivationError) return undefined;
    throw error;
  }
}

function messageOf({ listener, accepted, rejected, hostname }: ListenerConflict): string {
  return `Listener=${listener} Accepted=${accepted} Rejected=${rejected} (${hostname})`;
}
