// Where the listeners of a service port stand: on its addresses, on all, or where an egress listener binds.
import { isIP } from 'node:net';
import { isHttp } from '../../model/protocol.ts';
import type { Protocol, Service } from '../../model/service.ts';
import { isDynamicDns } from '../../model/service.ts';
import type { EgressListener } from '../egress-listeners.ts';
import type { ProxyScope } from '../resource.ts';
import type { World } from '../world.ts';
import type { Binds } from './binds.ts';
import { localHosts, wildcardAddress, wildcards } from './binds.ts';

/** What an egress listener says of the addresses of its listeners. */
export interface Binding {
  /** Absent: each service's own. */
  readonly binds?: Binds;
  /** Whether they are bound, for nothing is captured for them. */
  readonly bindToPort: boolean;
}

export interface Place {
  readonly binds: Binds;
  /** Whether those are all addresses. */
  readonly onWildcard: boolean;
  /** Whether only the server name can tell the service from others of the listener, where it speaks TLS. */
  readonly byName: boolean;
  /** Ranges of the service's addresses where the listener is of all addresses. */
  readonly ranges: readonly string[];
}

/**
 * With captureMode NONE, on a Unix socket, and where nothing is captured at all, listeners are bound: to what the
 * user says, else to the loopback address. Source: Istio `buildSidecarOutboundListeners`.
 */
export function bindingOf(scope: ProxyScope, { bind, captureMode }: EgressListener): Binding {
  const bindToPort =
    scope.node.interceptionMode === 'NONE' || captureMode === 'NONE' || bind.startsWith('unix://');
  if (bind !== '') return { binds: [bind], bindToPort };
  return bindToPort ? { binds: localHosts(scope), bindToPort } : { bindToPort };
}

/**
 * Without a binding: on the service's addresses; on all of them for HTTP, for address ranges and for services
 * without an address; headless ones on the addresses of each pod, but for HTTP, which finds pods by original
 * destination. A pod has such a listener for itself, too: nothing that it sends to itself is captured.
 */
export function placesOf(
  world: World,
  scope: ProxyScope,
  service: Service,
  servicePort: number,
  protocol: Protocol,
  { binds }: Binding,
): readonly Place[] {
  const all = wildcards(scope);
  const everywhere = { binds: all, onWildcard: true, byName: true, ranges: [] };
  const addresses = addressesFor(scope, service);
  const ranges = addresses.filter((address) => address.includes('/'));
  const byName = ranges.length > 0 || isDynamicDns(service);
  if (binds !== undefined) {
    const onWildcard = binds[0] === all[0];
    return [{ binds, onWildcard, byName: byName || (onWildcard && addresses.length === 0), ranges: [] }];
  }
  if (isHttp(protocol)) return [everywhere];
  if (addresses.length > 0) {
    const own = groups(
      service,
      addresses.filter((address) => !address.includes('/')),
    );
    const places = own.map((each) => ({ binds: each, onWildcard: false, byName, ranges: [] }));
    return ranges.length > 0 ? [{ ...everywhere, ranges }, ...places] : places;
  }
  if (service.resolution !== 'passthrough') return [everywhere];
  const endpoints = world.endpoints(service.hostname, servicePort, service.namespace);
  if (endpoints.length === 0 && service.registry === 'External' && service.selector === undefined)
    return [everywhere];
  // Names among the endpoints cannot be listened on.
  const pods = new Set(endpoints.map(({ address }) => address).filter((address) => isIP(address) !== 0));
  return [...pods].map((address) => ({ binds: [address], onWildcard: false, byName: false, ranges: [] }));
}

/** A Service is one listener on the addresses of its families; addresses of a ServiceEntry are one each. */
function groups(service: Service, addresses: readonly string[]): readonly Binds[] {
  const [first, ...more] = addresses;
  if (first === undefined) return [];
  return service.registry === 'Kubernetes' ? [[first, ...more]] : addresses.map((address) => [address]);
}

/**
 * The addresses by which a proxy's clients call a service. Of a Kubernetes Service those that the proxy's own cluster
 * has for it and that are of the proxy's families, else its first: clients may have it from elsewhere. Of a ServiceEntry all of them.
 * Source: Istio `GetAddressForProxy`.
 */
export function addressesFor({ node }: ProxyScope, service: Service): readonly string[] {
  const { registry, clusterAddresses } = service;
  const ofCluster = clusterAddresses?.[node.clusterId] ?? clusterAddresses?.[''] ?? [];
  const addresses = ofCluster.length > 0 ? ofCluster : service.addresses;
  const known = addresses.filter((address) => address !== wildcardAddress);
  if (registry !== 'Kubernetes') return known;
  const families = new Set(node.ipAddresses.map((address) => isIP(address)));
  const own = known.filter((address) => families.has(isIP(address.split('/')[0] ?? '')));
  return own.length > 0 ? own : known.slice(0, 1);
}
