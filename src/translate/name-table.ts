// What an agent answers its workload's DNS queries from: NDS, one table for each proxy.
import { isIP } from 'node:net';
import { create } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { NameTable_NameInfoSchema } from '../api/gen/istio/networking/nds/v1/nds_pb.js';
import { NameTableSchema } from '../api/gen/istio/networking/nds/v1/nds_pb.js';
import type { ProxyNode } from '../model/proxy-node.ts';
import type { Endpoint, Service } from '../model/service.ts';
import { listenerServices } from './egress-listeners.ts';
import { addressesFor } from './listener/outbound-places.ts';
import type { ProxyScope, ResourceKind } from './resource.ts';
import { kindOfParts } from './resource.ts';
import { egressListeners } from './scope.ts';
import { outboundListenerScope } from './views.ts';
import type { World } from './world.ts';

/** One host of the table. */
export interface NameEntry {
  readonly addresses: readonly string[];
  readonly registry: Service['registry'];
  /** Of Kubernetes names: what clients may call it by within the cluster; empty: by its host alone. */
  readonly shortName: string;
  readonly namespace: string;
}

export interface NameTableInput {
  readonly hosts: Readonly<Record<string, NameEntry>>;
}

/** The one resource of the type has no name, as in Istio. */
const tableName = '';

/**
 * Every service that the proxy's egress listeners import: its addresses as this proxy sees them, of a headless
 * one those of its Pods, each of which also has a name of its own. Wildcard hosts stay as they are.
 * Source: Istio `BuildNameTable`.
 */
export const nameTables: ResourceKind<NameTableInput, typeof NameTableSchema> = kindOfParts(
  {
    schema: NameTableSchema,
    shortName: 'NDS',
    build({ hosts }: NameTableInput) {
      const table: Record<string, MessageInitShape<typeof NameTable_NameInfoSchema>> = {};
      for (const [host, { addresses, registry, shortName, namespace }] of Object.entries(hosts))
        table[host] = { ips: [...addresses], registry, shortname: shortName, namespace };
      return { name: tableName, message: create(NameTableSchema, { table }), provenance: [] };
    },
  },
  [
    {
      name: '',
      viewOf: outboundListenerScope,
      names: () => [tableName],
      input: (world, view, name) => (name === tableName ? { hosts: hostsOf(world, view) } : undefined),
    },
  ],
);

function hostsOf(world: World, scope: ProxyScope): NameTableInput['hosts'] {
  const table = new Map<string, NameEntry>();
  for (const listener of egressListeners(world, scope))
    for (const service of listenerServices(world, listener)) addService(table, world, scope, service);
  return Object.fromEntries([...table].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function addService(table: Map<string, NameEntry>, world: World, scope: ProxyScope, service: Service): void {
  const { hostname, registry, resolution } = service;
  // An agent answers addresses; ranges are for those who know an address already.
  const own = addressesFor(scope, service).filter((address) => isIP(address) !== 0);
  const isHeadless = service.addresses.length === 0 && resolution === 'passthrough';
  const endpoints = isHeadless ? answeredEndpoints(world, service) : [];
  for (const [host, entry] of podNames(scope.node, service, endpoints)) table.set(host, entry);
  const addresses = isHeadless
    ? endpoints.filter((endpoint) => isInNetwork(scope.node, endpoint)).flatMap(addressesOf)
    : own;
  if (addresses.length === 0) return;
  const known = table.get(hostname);
  const isKube = registry === 'Kubernetes' && !hostname.endsWith(clusterSetSuffix);
  const entry: NameEntry = {
    addresses,
    registry,
    shortName: isKube ? service.name : '',
    namespace: isKube ? service.namespace : '',
  };
  if (known === undefined || (known.registry !== 'Kubernetes' && registry === 'Kubernetes'))
    table.set(hostname, entry);
  else if (known.registry !== 'Kubernetes')
    table.set(hostname, { ...known, addresses: [...new Set([...known.addresses, ...addresses])] });
}

/** Names of multi-cluster services would otherwise take the short names of the cluster's own. */
const clusterSetSuffix = '.clusterset.local';

/** One endpoint for each address that may be answered, sorted by address: unready ones only of services that want them. */
function answeredEndpoints(world: World, service: Service): readonly Endpoint[] {
  const byAddress = new Map<string, Endpoint>();
  for (const { servicePort } of service.ports) {
    for (const endpoint of world.endpoints(service.hostname, servicePort, service.namespace)) {
      if (!addressesOf(endpoint).every((address) => isIP(address) !== 0)) continue;
      if (endpoint.health !== 'HEALTHY' && !service.publishNotReady) continue;
      if (!byAddress.has(endpoint.address)) byAddress.set(endpoint.address, endpoint);
    }
  }
  return [...byAddress.values()].sort((a, b) => (a.address < b.address ? -1 : 1));
}

/**
 * `pod.subdomain.namespace.svc.cluster.local` of each Pod that names a subdomain, as Kubernetes' DNS has it. Pods
 * of several clusters may have one name: those of the proxy's own cluster count before the others.
 */
function podNames(
  node: ProxyNode,
  service: Service,
  endpoints: readonly Endpoint[],
): ReadonlyMap<string, NameEntry> {
  const { hostname, namespace, registry } = service;
  const dot = hostname.indexOf('.');
  const named = new Map<string, NameEntry>();
  if (dot < 0) return named;
  const reachable = endpoints.filter((endpoint) => isInNetwork(node, endpoint));
  for (const isOwn of [true, false]) {
    const added = new Map<string, NameEntry>();
    for (const endpoint of reachable) {
      const { podName } = endpoint;
      if (podName === undefined || isInCluster(node, endpoint) !== isOwn) continue;
      const shortName = `${podName.hostname}.${podName.subdomain}`;
      const host = `${shortName}${hostname.slice(dot)}`;
      if (named.has(host)) continue;
      const addresses = [...(added.get(host)?.addresses ?? []), ...addressesOf(endpoint)];
      added.set(host, { addresses, registry, shortName, namespace });
    }
    for (const [host, entry] of added) named.set(host, entry);
  }
  return named;
}

function addressesOf({ address, otherAddresses = [] }: Endpoint): readonly string[] {
  return [address, ...otherAddresses];
}

/** What is in another network is reached through its gateway, which a Pod's address does not lead to. */
function isInNetwork({ network }: ProxyNode, endpoint: Endpoint): boolean {
  return network === '' || endpoint.network === '' || network === endpoint.network;
}

function isInCluster({ clusterId }: ProxyNode, endpoint: Endpoint): boolean {
  return clusterId === '' || endpoint.clusterId === '' || clusterId === endpoint.clusterId;
}
