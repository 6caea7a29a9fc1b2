// Several services of one name: which of them counts, and what the others may add.
import { isExportedTo } from '../model/export.ts';
import type { Hostname } from '../model/hostname.ts';
import type { Service } from '../model/service.ts';
import { sameLabels } from '../model/labels.ts';

/**
 * The one service that several of one namespace and hostname make: Kubernetes' before ServiceEntries', the
 * oldest first. Others of its registry that agree with it in all but ports and addresses add theirs
 * (C2.09). Source: Istio `canMergeServices`.
 */
export function mergeServices(services: readonly Service[]): Service | undefined {
  const [winner, ...others] = [...services].sort((a, b) => comparePrecedence(a, b));
  if (winner === undefined || others.length === 0) return winner;
  const ports = [...winner.ports];
  const addresses = [...winner.addresses];
  for (const other of others) {
    if (!agree(other, winner)) continue;
    for (const port of other.ports)
      if (!ports.some(({ servicePort }) => servicePort === port.servicePort)) ports.push(port);
    for (const address of other.addresses) if (!addresses.includes(address)) addresses.push(address);
  }
  return { ...winner, ports, ...addressesByCluster(winner, services, addresses) };
}

/** Each Kubernetes cluster has its own virtual IPs for a Service: they are for its own proxies, and may mean another one elsewhere. */
function addressesByCluster(
  winner: Service,
  services: readonly Service[],
  merged: readonly string[],
): Pick<Service, 'addresses' | 'clusterAddresses'> {
  const ofKube = services.filter(({ registry }) => registry === 'Kubernetes');
  if (new Set(ofKube.map(({ clusterId }) => clusterId)).size < 2) return { addresses: merged };
  const clusterAddresses = ofKube.map(({ clusterId = '', addresses }) => [clusterId, addresses] as const);
  return { addresses: winner.addresses, clusterAddresses: Object.fromEntries(clusterAddresses) };
}

/** Whether clients of `namespace` may see it. */
export function isVisible(service: Service, namespace: string): boolean {
  return isExportedTo(service.exportTo, service.namespace, namespace);
}

/** What clients of `namespace` see: one of each hostname, in the order of compareServices. */
export function bestOfEach(services: readonly Service[], namespace: string): readonly Service[] {
  const best = new Map<Hostname, Service>();
  for (const service of services) {
    if (!isVisible(service, namespace)) continue;
    const known = best.get(service.hostname);
    if (known === undefined || comparePrecedence(service, known, namespace) < 0)
      best.set(service.hostname, service);
  }
  return [...best.values()].sort(compareServices);
}

/** Among services of one hostname: the client's own namespace's, else Kubernetes', else the oldest. */
export function comparePrecedence(a: Service, b: Service, clientNamespace?: string): number {
  const own = Number(b.namespace === clientNamespace) - Number(a.namespace === clientNamespace);
  if (own !== 0) return own;
  const kube = Number(b.registry === 'Kubernetes') - Number(a.registry === 'Kubernetes');
  return kube === 0 ? compareServices(a, b) : kube;
}

/** By age, then hostname, namespace and name. */
export function compareServices(a: Service, b: Service): number {
  if (a.creationTimeMs !== b.creationTimeMs) return a.creationTimeMs - b.creationTimeMs;
  if (a.hostname !== b.hostname) return a.hostname < b.hostname ? -1 : 1;
  if (a.namespace !== b.namespace) return a.namespace < b.namespace ? -1 : 1;
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

function agree(a: Service, b: Service): boolean {
  return (
    a.registry === b.registry &&
    a.resolution === b.resolution &&
    sameLabels(a.labels, b.labels) &&
    sameLabels(a.selector ?? {}, b.selector ?? {}) &&
    a.exportTo.length === b.exportTo.length &&
    a.exportTo.every((to) => b.exportTo.includes(to))
  );
}
