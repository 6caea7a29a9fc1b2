// Outbound listeners of sidecars, one per address and port that services have, and how services share one.
import { isIP } from 'node:net';
import type { VirtualServiceConfig } from '../../config/config.ts';
import { isHttp, isSniffed, isTcp } from '../../model/protocol.ts';
import type { Protocol, Service, ServicePort } from '../../model/service.ts';
import type { ProxyScope } from '../resource.ts';
import { virtualServiceIndex } from '../route/virtual-services.ts';
import { sniffedRouteName } from '../route/sidecar-routes.ts';
import { visibleServices } from '../scope.ts';
import type { World } from '../world.ts';
import { distinctChains } from './distinct-chains.ts';
import { wildcardAddress } from './binds.ts';
import { plaintextHttp } from './inbound-matches.ts';
import type { ChainInput, ListenerInput } from './listener-input.ts';
import { catchAllTcp, withAccessLog } from './network-filters.ts';
import type { OutboundTarget } from './outbound-chains.ts';
import { streamChains } from './outbound-chains.ts';
import { isProxyPort } from './proxy-ports.ts';

export { wildcardAddress } from './binds.ts';

/** A listener that grows while services are looked at. */
interface Entry {
  readonly address: string;
  readonly port: number;
  /** `unsupported` once both HTTP and TCP are there: the first bytes decide. */
  protocol: Protocol;
  chains: readonly ChainInput[];
  readonly service: Service;
}

/**
 * Services are looked at oldest first. HTTP services of a port share the listener of all addresses; others
 * have theirs on their own addresses, or on all where they have none. Where HTTP and TCP meet, the first
 * bytes decide; of chains that ask the same of a connection the first stays (C11.05).
 * Source: Istio `buildSidecarOutboundListeners`.
 */
export function outboundListeners(world: World, scope: ProxyScope): readonly ListenerInput[] {
  const entries = new Map<string, Entry>();
  const virtualServices = streamVirtualServices(world, scope);
  for (const service of visibleServices(world, scope)) {
    // An alias is reached through its target's listeners.
    if (service.resolution === 'alias') continue;
    for (const port of service.ports) {
      if (port.protocol === 'UDP' || isReserved(world, port)) continue;
      for (const place of placesOf(world, service, port))
        addService(world, scope, entries, virtualServices, { ...place, service, port });
    }
  }
  return [...entries.values()].map((entry) => listenerOf(world, scope, entry));
}

/** Derived, so that an edit of HTTP rules alone ends here and no listener is looked at. */
function streamVirtualServices(world: World, scope: ProxyScope): readonly VirtualServiceConfig[] {
  return world.derive(`stream-virtual-services/${scope.key}`, () =>
    virtualServiceIndex(world, scope).ordered.filter(
      ({ spec }) => (spec.tcp ?? []).length > 0 || (spec.tls ?? []).length > 0,
    ),
  );
}

type Place = { readonly address: string } & Pick<OutboundTarget, 'onWildcard' | 'ranges'>;

/**
 * Where the service's listener stands: on its address; on all for HTTP, for address ranges and for services
 * without an address; headless ones on the address of each pod, but for HTTP, which finds pods by
 * original destination.
 */
function placesOf(world: World, service: Service, port: ServicePort): readonly Place[] {
  const everywhere = { address: wildcardAddress, onWildcard: true, ranges: [] };
  if (isHttp(port.protocol)) return [everywhere];
  const [first] = service.addresses.filter((address) => address !== wildcardAddress);
  if (first !== undefined) {
    if (first.includes('/')) return [{ ...everywhere, ranges: service.addresses }];
    return [{ address: first, onWildcard: false, ranges: [] }];
  }
  if (service.resolution !== 'passthrough') return [everywhere];
  const endpoints = world.endpoints(service.hostname, port.servicePort, service.namespace);
  if (endpoints.length === 0 && service.registry === 'External' && service.selector === undefined)
    return [everywhere];
  // Names among the endpoints cannot be listened on.
  const addresses = endpoints.map(({ address }) => address).filter((address) => isIP(address) !== 0);
  return [...new Set(addresses)].map((address) => ({ address, onWildcard: false, ranges: [] }));
}

/** On all addresses only HTTP services stand. */
function isReserved(world: World, port: ServicePort): boolean {
  return isHttp(port.protocol) && isProxyPort(world, port.servicePort);
}

function addService(
  world: World,
  scope: ProxyScope,
  entries: Map<string, Entry>,
  virtualServices: readonly VirtualServiceConfig[],
  target: OutboundTarget & Place,
): void {
  const { service, port, address } = target;
  const { protocol, servicePort } = port;
  const key = `${address}_${servicePort}`;
  const known = entries.get(key);
  // HTTP services of one listener share its routes.
  if (isHttp(protocol) && known !== undefined && !isTcp(known.protocol)) return;
  if (known !== undefined && isServerFirstConflict(protocol, known.protocol)) return;
  const streams = isHttp(protocol) ? [] : streamChains(world, scope, target, virtualServices);
  const sniffed = isSniffed(protocol);
  if (known === undefined) {
    const http = isTcp(protocol) ? [] : [httpChain(world, scope, target)];
    entries.set(key, {
      address,
      port: servicePort,
      protocol: isTcp(protocol) ? protocol : 'unsupported',
      chains: [...streams, ...http],
      service,
    });
    return;
  }
  const http =
    isHttp(protocol) || (sniffed && isTcp(known.protocol)) ? [httpChain(world, scope, target)] : [];
  known.chains = [...known.chains, ...streams, ...http];
  if (isTcp(known.protocol) && !isTcp(protocol)) known.protocol = 'unsupported';
}

/** Where the server of one of the two speaks first, waiting for the client's first bytes would break it. */
function isServerFirstConflict(a: Protocol, b: Protocol): boolean {
  const serverFirst = (protocol: Protocol): boolean => protocol === 'Mongo' || protocol === 'MySQL';
  return a !== b && (serverFirst(a) || serverFirst(b));
}

/** Plain HTTP, as the inspector finds it; routes are the port's, or those of a sniffed service on its own address. */
function httpChain(world: World, scope: ProxyScope, target: OutboundTarget & Place): ChainInput {
  const { service, port, address, onWildcard } = target;
  const { servicePort } = port;
  const own = isSniffed(port.protocol) && !onWildcard;
  return {
    reason: 'service-http',
    name: '',
    match: { transportProtocol: 'raw_buffer', applicationProtocols: plaintextHttp },
    filter: {
      kind: 'http',
      side: 'outbound',
      statPrefix: `outbound_${address}_${servicePort};`,
      routes: { rds: own ? sniffedRouteName(service.hostname, servicePort) : String(servicePort) },
      http10: scope.node.http10,
      http2: false,
      ...withAccessLog(world),
    },
    origin: service.origin,
  };
}

/**
 * The chain that takes everything becomes the default, so that a connection which meets some condition of a
 * chain and not another is not lost (Istio issue 26079). Without one, the rest goes where unknown
 * destinations go.
 */
function listenerOf(world: World, scope: ProxyScope, entry: Entry): ListenerInput {
  const name = `${entry.address}_${entry.port}`;
  const distinct = distinctChains(entry.chains);
  const last = distinct.find(({ match }) => Object.keys(match).length === 0);
  const some = distinct.filter((chain) => chain !== last);
  const chains = some.length === 0 && last !== undefined ? [last] : some;
  const fallthrough: ChainInput = {
    reason: 'fallthrough',
    name: 'PassthroughFilterChain',
    match: {},
    filter: catchAllTcp(world, scope),
  };
  const httpInspector = chains.some(({ match }) => match.applicationProtocols !== undefined);
  return {
    name,
    address: { address: entry.address, port: entry.port },
    additionalAddresses: [],
    direction: 'OUTBOUND',
    bindToPort: false,
    useOriginalDst: false,
    transparent: false,
    originalDstFilter: false,
    tlsInspector: chains.some(({ match }) => match.serverNames !== undefined),
    httpInspector,
    httpInspectorDisabledPorts: [],
    listenerFiltersTimeoutMs: httpInspector ? world.meshConfig().protocolDetectionTimeoutMs : 0,
    continueOnListenerFiltersTimeout: true,
    chains,
    ...(some.length === 0 && last !== undefined ? {} : { defaultChain: last ?? fallthrough }),
    origin: entry.service.origin,
  };
}
