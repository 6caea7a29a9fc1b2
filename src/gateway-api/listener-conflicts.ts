// Listeners of a Gateway and its ListenerSets that stand in each other's way.
import type { KubeGatewayConfig, Listener, ListenerSetConfig } from '../config/gateway-api-types.ts';
import { classOf } from './classes.ts';
import { takesListenerSets } from './namespaces.ts';
import type { GatewayApiObjects, ObjectKey } from './objects.ts';
import { objectKey } from './objects.ts';

export type ConflictReason = 'HostnameConflict' | 'ProtocolConflict';

/** By `objectKey` of the Gateway or ListenerSet, then by the listener's name. */
export type ListenerConflicts = Readonly<Record<string, Readonly<Record<string, ConflictReason>>>>;

/**
 * The listeners that lose to an earlier one: those of the Gateway come first, then those of its ListenerSets by
 * age. A listener that has lost stands in nobody's way. Source: Istio `ComputeGatewayListenerConflicts`.
 */
export function listenerConflicts(
  objects: GatewayApiObjects,
  { namespace, name }: Pick<KubeGatewayConfig, 'namespace' | 'name'>,
): ListenerConflicts {
  return objects.derive(`gateway-api/conflicts/${namespace}/${name}`, () => {
    const gateway = objects.gateway(namespace, name);
    if (gateway === undefined) return {};
    if (classOf(objects, gateway.spec.gatewayClassName)?.serves !== 'gateway') return {};
    const sets = objects
      .listenerSetsOf(gateway.namespace, gateway.name)
      .filter((set) => takesListenerSets(objects, gateway, set.namespace))
      .sort(compareSets);
    const owners: readonly (ObjectKey & { readonly spec: { readonly listeners: readonly Listener[] } })[] = [
      gateway,
      ...sets,
    ];
    const conflicts: Record<string, Record<string, ConflictReason>> = {};
    const winners: Listener[] = [];
    for (const owner of owners) {
      for (const listener of owner.spec.listeners) {
        const winner = winners.find((each) => !areDistinct(listener, each));
        if (winner === undefined) winners.push(listener);
        else (conflicts[objectKey(owner)] ??= {})[listener.name] = reasonOf(listener, winner);
      }
    }
    return conflicts;
  });
}

/** Absent in a ListenerSet: 80 for HTTP, 443 for HTTPS, undefined for others. */
export function listenerPort({ port, protocol }: Listener): number | undefined {
  if (port !== undefined && port !== 0) return port;
  return protocol === 'HTTP' ? 80 : protocol === 'HTTPS' ? 443 : undefined;
}

function compareSets(a: ListenerSetConfig, b: ListenerSetConfig): number {
  const name = (set: ListenerSetConfig): string => `${set.namespace}/${set.name}`;
  return a.creationTimeMs - b.creationTimeMs || (name(a) < name(b) ? -1 : 1);
}

function areDistinct(a: Listener, b: Listener): boolean {
  if (listenerPort(a) !== listenerPort(b)) return true;
  if (isStream(a) || isStream(b)) return !(isStream(a) || isNamed(a)) || !(isStream(b) || isNamed(b));
  if (isNamed(a) && isNamed(b)) return (a.hostname ?? '*') !== (b.hostname ?? '*');
  return a.protocol !== b.protocol;
}

function reasonOf(a: Listener, b: Listener): ConflictReason {
  return (isStream(a) && isStream(b)) || a.protocol !== b.protocol ? 'ProtocolConflict' : 'HostnameConflict';
}

function isStream({ protocol }: Listener): boolean {
  return protocol === 'TCP' || protocol === 'UDP';
}

/** Whether listeners of one port are told apart by their hosts. */
function isNamed({ protocol }: Listener): boolean {
  return protocol === 'HTTP' || protocol === 'HTTPS' || protocol === 'TLS';
}
