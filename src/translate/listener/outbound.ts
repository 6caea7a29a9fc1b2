// Outbound listeners of sidecars, one per address and port that services have, or that egress listeners name.
import type { VirtualServiceConfig } from '../../config/config.ts';
import { isHttp, isSniffed, isTcp } from '../../model/protocol.ts';
import type { Protocol, Service } from '../../model/service.ts';
import { isDynamicDns } from '../../model/service.ts';
import { addressFamilyOf } from '../cluster/cluster-input.ts';
import type { EgressListener } from '../egress-listeners.ts';
import { listenerServices } from '../egress-listeners.ts';
import type { ProxyScope } from '../resource.ts';
import { sniffedRouteName } from '../route/sidecar-routes.ts';
import { listenerVirtualServiceIndex } from '../route/virtual-services.ts';
import { egressListeners, outboundTrafficPolicyOf } from '../scope.ts';
import type { World } from '../world.ts';
import { addressesOn, listenerName } from './binds.ts';
import { distinctChains } from './distinct-chains.ts';
import { plaintextHttp } from './inbound-matches.ts';
import { tellsProtocol } from './istio-filters.ts';
import type { ChainInput, DynamicDnsInput, ListenerInput } from './listener-input.ts';
import { catchAllTcp, managerSettings } from './network-filters.ts';
import { streamChains } from './outbound-chains.ts';
import type { Entry, ListenerConflict } from './outbound-entries.ts';
import { mergeInto } from './outbound-entries.ts';
import type { Binding, Place } from './outbound-places.ts';
import { bindingOf, placesOf } from './outbound-places.ts';
import { isProxyPort } from './proxy-ports.ts';

export { wildcardAddress } from './binds.ts';

export interface OutboundListeners {
  readonly listeners: readonly ListenerInput[];
  readonly conflicts: readonly ListenerConflict[];
}

/** A port that is listened on: a service's, or one that an egress listener names. */
interface ListenPort {
  /** 0: a Unix socket. */
  readonly number: number;
  readonly name: string;
  readonly protocol: Protocol;
}

/** The listeners so far, and what is needed to make more. */
interface Draft {
  readonly world: World;
  readonly scope: ProxyScope;
  readonly entries: Map<string, Entry>;
  readonly conflicts: ListenerConflict[];
  /** Names of `*.x` that HTTP listeners lead to, by listener. */
  readonly dynamicNames: Map<string, Set<string>>;
}

/**
 * Egress listeners in their order; of those with a port, each imported service has that port. What they name, the
 * last listener, which has none, leaves alone. Services are looked at oldest first.
 * Source: Istio `buildSidecarOutboundListeners`.
 */
export function outboundListeners(world: World, scope: ProxyScope): OutboundListeners {
  const draft: Draft = { world, scope, entries: new Map(), conflicts: [], dynamicNames: new Map() };
  for (const listener of egressListeners(world, scope)) addEgress(draft, listener);
  const listeners = [...draft.entries.values()].map((entry) => listenerOf(draft, entry));
  return { listeners, conflicts: draft.conflicts };
}

function addEgress(draft: Draft, listener: EgressListener): void {
  const { world, scope, entries } = draft;
  const binding = bindingOf(scope, listener);
  const virtualServices = streamVirtualServices(world, listener);
  const add = (service: Service, port: ListenPort): void => {
    // Whoever may not listen below 1024 has no such listener.
    if (binding.bindToPort && scope.node.unprivileged === true && port.number > 0 && port.number < 1024)
      return;
    for (const place of placesOf(world, scope, service, port.number, port.protocol, binding))
      addService(draft, binding, virtualServices, service, port, place);
  };
  if (listener.port === undefined) for (const entry of entries.values()) entry.locked = true;
  for (const service of listenerServices(world, listener)) {
    // An alias is reached through its target's listeners.
    if (service.resolution === 'alias') continue;
    if (listener.port !== undefined) add(service, listener.port);
    else
      for (const { servicePort, name, protocol } of service.ports)
        add(service, { number: servicePort, name, protocol });
  }
}

/** Derived, so that an edit of HTTP rules alone ends here and no listener is looked at. */
function streamVirtualServices(world: World, listener: EgressListener): readonly VirtualServiceConfig[] {
  return world.derive(`stream-virtual-services/${listener.key}`, () =>
    listenerVirtualServiceIndex(world, listener).ordered.filter(
      ({ spec }) => (spec.tcp ?? []).length > 0 || (spec.tls ?? []).length > 0,
    ),
  );
}

function addService(
  draft: Draft,
  binding: Binding,
  virtualServices: readonly VirtualServiceConfig[],
  service: Service,
  port: ListenPort,
  place: Place,
): void {
  const { world, scope, entries } = draft;
  const { number, protocol } = port;
  if (protocol === 'UDP' || (place.onWildcard && isProxyPort(world, number))) return;
  const { binds } = place;
  const name = listenerName(binds[0], number);
  const known = entries.get(name);
  if (known?.locked === true) return;
  if (isDynamicDns(service) && !isTcp(protocol)) {
    const names = draft.dynamicNames.get(name) ?? new Set();
    draft.dynamicNames.set(name, names.add(service.hostname));
  }
  const streams = (): readonly ChainInput[] =>
    streamChains(world, scope, { service, port, place }, virtualServices);
  const http = (): ChainInput => httpChain(world, scope, service, port, place);
  if (known !== undefined) {
    draft.conflicts.push(...mergeInto(known, { protocol, hostname: service.hostname, streams, http }));
    return;
  }
  const { onWildcard } = place;
  const chains = distinctChains([
    ...(isHttp(protocol) ? [] : streams()),
    ...(isTcp(protocol) ? [] : [http()]),
  ]);
  entries.set(name, {
    name,
    binds,
    port: number,
    bindToPort: binding.bindToPort,
    protocol: isHttp(protocol) && onWildcard && protocol !== 'HTTP_PROXY' ? 'unsupported' : protocol,
    chains,
    locked: false,
    origin: service.origin,
  });
}

/**
 * Routes are the port's, the socket's, or those of a sniffed service on its own address. HTTP is told from other
 * bytes on all addresses, where other services may stand, and where the service's own port does not say.
 */
function httpChain(
  world: World,
  scope: ProxyScope,
  service: Service,
  { number, protocol }: ListenPort,
  { binds, onWildcard }: Place,
): ChainInput {
  const own = isSniffed(protocol) && !onWildcard;
  const routes = number === 0 ? binds[0] : own ? sniffedRouteName(service.hostname, number) : String(number);
  const isTold = isSniffed(protocol) || (onWildcard && protocol !== 'HTTP_PROXY');
  return {
    reason: 'service-http',
    name: '',
    match: isTold ? { transportProtocol: 'raw_buffer', applicationProtocols: plaintextHttp } : {},
    filter: {
      kind: 'http',
      side: 'outbound',
      statPrefix: `outbound_${listenerName(binds[0], number)};`,
      routes: { rds: routes },
      http2: false,
      ...(tellsProtocol(scope) ? { tellsProtocol: true } : {}),
      ...(protocol === 'GRPC-Web' ? { grpcWeb: true } : {}),
      ...managerSettings(world, scope),
    },
    origin: service.origin,
  };
}

/**
 * The chain that takes everything becomes the default, so that a connection which meets some condition of a
 * chain and not another is not lost (Istio issue 26079). Without one, the rest goes where unknown
 * destinations go.
 */
function listenerOf({ world, scope, dynamicNames }: Draft, entry: Entry): ListenerInput {
  const { name, binds, port, bindToPort, origin } = entry;
  const lookups = dynamicDnsOf(world, scope, dynamicNames.get(name) ?? []);
  const distinct = entry.chains.map((chain) => withLookups(chain, lookups));
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
  const asksName = (chain: ChainInput | undefined): boolean =>
    chain?.match.serverNames !== undefined ||
    (chain?.filter.kind === 'tcp' && chain.filter.serverNameLookup !== undefined);
  return {
    name,
    ...addressesOn(binds, port),
    direction: 'OUTBOUND',
    bindToPort,
    useOriginalDst: false,
    transparent: false,
    originalDstFilter: false,
    tlsInspector: chains.some(asksName) || asksName(last),
    httpInspector,
    httpInspectorDisabledPorts: [],
    listenerFiltersTimeoutMs: httpInspector ? world.meshConfig().protocolDetectionTimeoutMs : 0,
    continueOnListenerFiltersTimeout: true,
    chains,
    ...(some.length === 0 && last !== undefined ? {} : { defaultChain: last ?? fallthrough }),
    origin,
  };
}

/**
 * What an outbound connection manager must look up before it forwards: names of services that are resolved when
 * they are called, and whatever is called where the policy is ALLOW_ANY_DYNAMIC_DNS.
 */
export function dynamicDnsOf(
  world: World,
  scope: ProxyScope,
  hostnames: Iterable<string> = [],
): readonly DynamicDnsInput[] {
  const family = addressFamilyOf(scope.node.ipAddresses);
  const names = [...hostnames].sort().map((hostname) => ({ hostname, family }));
  return outboundTrafficPolicyOf(world, scope) === 'ALLOW_ANY_DYNAMIC_DNS' ? [...names, { family }] : names;
}

function withLookups(chain: ChainInput, lookups: readonly DynamicDnsInput[]): ChainInput {
  if (chain.filter.kind !== 'http' || lookups.length === 0) return chain;
  return { ...chain, filter: { ...chain.filter, dynamicDns: lookups } };
}
