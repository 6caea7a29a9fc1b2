// What the mesh looks like at the moment in which metrics are read: names and meanings are those of istiod's push status.
// https://github.com/istio/istio/blob/1.27.0/pilot/pkg/model/push_context.go
import type { Config } from '../../config/config.ts';
import type { EndpointSlice, KubeEndpoints } from '../../config/kube-types.ts';
import type { ConfigStore } from '../../config/store.ts';
import { meshGateway } from '../../model/gateway-name.ts';
import type { Service } from '../../model/service.ts';
import { virtualServiceHosts } from '../../translate/route/rules.ts';
import type { ConnectedProxy } from '../push-status.ts';
import { conflictCounts } from '../push-status.ts';
import type { PilotWorld } from '../world/world.ts';

/** Metric -> what it counts. */
export const meshGauges: Readonly<Record<string, string>> = {
  endpoint_no_pod: 'Addresses of EndpointSlices and Endpoints that name a Pod which is not there.',
  pilot_conflict_inbound_listener:
    'Ports of workloads that services read in different ways; the oldest one counts.',
  pilot_conflict_outbound_listener_tcp_over_current_tcp:
    'Listeners on which two services ask for the same connections; the older one has them.',
  pilot_destrule_subsets:
    'Hosts of which several DestinationRules define a subset of one name; the oldest one counts.',
  pilot_dns_cluster_without_endpoints: 'Ports of services of resolution DNS that have no endpoint.',
  pilot_duplicate_envoy_clusters:
    'Ports of one hostname that several services define for some connected proxy; one of them counts.',
  pilot_eds_no_instances: 'Ports of other services that have no endpoint.',
  pilot_endpoint_not_ready: 'Connected sidecars whose own endpoint is not ready.',
  pilot_no_ip: 'Connected sidecars that no service selects.',
  pilot_vservice_dup_domain:
    'Hosts that several VirtualServices claim in the mesh, as some connected proxy sees them.',
};

/** All of meshGauges, now. Reads without recording; what translation cannot answer counts 0. */
export function meshCounts(
  store: ConfigStore,
  world: PilotWorld,
  proxies: readonly ConnectedProxy[],
): Readonly<Record<string, number>> {
  const services = world.services();
  const isEmpty = ({ hostname, namespace }: Service, port: number): boolean =>
    world.endpoints(hostname, port, namespace).length === 0;
  const empty = services.flatMap((service) =>
    service.resolution === 'passthrough' || service.resolution === 'alias'
      ? []
      : service.ports.filter(({ servicePort }) => isEmpty(service, servicePort)).map(() => service),
  );
  const isDns = ({ resolution }: Service): boolean => resolution.startsWith('dns');
  const namespaces = new Set(proxies.map(({ scope }) => scope.node.namespace));
  const sidecars = proxies.filter(({ scope }) => scope.node.type === 'sidecar');
  return {
    ...conflictCounts(world, proxies),
    endpoint_no_pod: endpointsWithoutPod(store),
    pilot_dns_cluster_without_endpoints: empty.filter(isDns).length,
    pilot_duplicate_envoy_clusters: duplicatePorts(world, namespaces),
    pilot_eds_no_instances: empty.filter((service) => !isDns(service)).length,
    pilot_endpoint_not_ready: sidecars.filter((proxy) => !isReady(world, proxy)).length,
    pilot_no_ip: sidecars.filter((proxy) => servicesOf(world, proxy).length === 0).length,
    pilot_vservice_dup_domain: duplicateHosts(world, namespaces),
  };
}

function servicesOf(
  world: PilotWorld,
  { scope: { node }, ipAddresses = node.ipAddresses }: ConnectedProxy,
): readonly Service[] {
  return world.servicesOfWorkload(node.namespace, node.labels, ipAddresses);
}

function isReady(world: PilotWorld, proxy: ConnectedProxy): boolean {
  const ipAddresses = proxy.ipAddresses ?? proxy.scope.node.ipAddresses;
  return !servicesOf(world, proxy).some(({ hostname, namespace, ports }) =>
    ports.some(({ servicePort }) =>
      world
        .endpoints(hostname, servicePort, namespace)
        .some(({ address, health }) => health === 'UNHEALTHY' && ipAddresses.includes(address)),
    ),
  );
}

function endpointsWithoutPod(store: ConfigStore): number {
  let count = 0;
  const look = (
    namespace: string,
    targetRef: { readonly kind?: string; readonly namespace?: string; readonly name?: string } | undefined,
    addresses: number,
  ): void => {
    if (targetRef?.kind !== 'Pod' || targetRef.name === undefined) return;
    if (store.get('Pod', targetRef.namespace ?? namespace, targetRef.name) === undefined) count += addresses;
  };
  for (const { namespace, spec } of store.list('EndpointSlice') as readonly Config<EndpointSlice>[])
    for (const { addresses, targetRef } of spec.endpoints ?? []) look(namespace, targetRef, addresses.length);
  for (const { namespace, spec } of store.list('Endpoints') as readonly Config<KubeEndpoints>[])
    for (const { addresses = [], notReadyAddresses = [] } of spec.subsets ?? [])
      for (const { targetRef } of [...addresses, ...notReadyAddresses]) look(namespace, targetRef, 1);
  return count;
}

function duplicatePorts(world: PilotWorld, namespaces: Iterable<string>): number {
  const twice = new Set<string>();
  for (const namespace of namespaces) {
    const seen = new Set<string>();
    for (const { hostname, ports } of world.servicesExportedTo(namespace))
      for (const { servicePort } of ports) {
        const name = `${hostname}:${servicePort}`;
        if (seen.has(name)) twice.add(name);
        seen.add(name);
      }
  }
  return twice.size;
}

function duplicateHosts(world: PilotWorld, namespaces: Iterable<string>): number {
  const { domainSuffix } = world.meshConfig();
  const twice = new Set<string>();
  for (const namespace of namespaces) {
    const seen = new Set<string>();
    for (const config of world.virtualServicesFor(meshGateway, namespace))
      for (const host of new Set(virtualServiceHosts(config, domainSuffix))) {
        if (seen.has(host)) twice.add(host);
        seen.add(host);
      }
  }
  return twice.size;
}
