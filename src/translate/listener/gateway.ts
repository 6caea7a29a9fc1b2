// Listeners of gateways: one per address and port of the merged Gateway servers.
import type { VirtualServiceConfig } from '../../config/config.ts';
import { originOf } from '../../config/config.ts';
import { resolveGatewayName } from '../../model/gateway-name.ts';
import { hostnamesOverlap } from '../../model/hostname.ts';
import { originAt } from '../../model/origin.ts';
import type { GatewayListener, GatewayServer } from '../gateway/servers.ts';
import { mergedGateways } from '../gateway/servers.ts';
import type { ProxyScope } from '../resource.ts';
import { byVisibility } from '../route/virtual-services.ts';
import { virtualServiceHosts } from '../route/rules.ts';
import type { World } from '../world.ts';
import { distinctChains } from './distinct-chains.ts';
import type { ChainInput, ListenerInput, SocketAddressInput } from './listener-input.ts';
import { routedTcp, withAccessLog } from './network-filters.ts';
import { lowerCaseNames } from './outbound-chains.ts';
import { wildcardAddress } from './outbound.ts';
import { bindAddress } from './virtual-outbound.ts';

/** A port for which no VirtualService says where to has no listener, but HTTP. Source: Istio `buildGatewayListeners`. */
export function gatewayListeners(world: World, scope: ProxyScope): readonly ListenerInput[] {
  return mergedGateways(world, scope).listeners.flatMap((listener) => {
    const chains = chainsOf(world, scope, listener);
    return chains.length === 0 ? [] : [listenerInput(world, scope, listener, chains)];
  });
}

function chainsOf(world: World, scope: ProxyScope, listener: GatewayListener): readonly ChainInput[] {
  const [first] = listener.servers;
  if (first === undefined) return [];
  switch (listener.kind) {
    case 'http':
      return [httpChain(world, scope, listener, first)];
    case 'tcp':
      return tcpChains(world, scope, first);
    case 'tls-passthrough':
      return passthroughChains(world, scope, listener);
    default:
      return listener.kind satisfies never;
  }
}

function listenerInput(
  world: World,
  scope: ProxyScope,
  listener: GatewayListener,
  chains: readonly ChainInput[],
): ListenerInput {
  const { bind, listenerPort, servers, kind } = listener;
  const origin = servers[0]?.origin;
  return {
    name: listenerName(listener),
    address: { address: bind === '' ? bindAddress(scope) : bind, port: listenerPort },
    additionalAddresses: bind === '' ? hostAddresses(scope, listenerPort) : [],
    direction: 'OUTBOUND',
    bindToPort: true,
    useOriginalDst: false,
    transparent: false,
    originalDstFilter: false,
    tlsInspector: kind === 'tls-passthrough',
    httpInspector: false,
    httpInspectorDisabledPorts: [],
    continueOnListenerFiltersTimeout: false,
    chains,
    ...(origin === undefined ? {} : { origin }),
    ...withAccessLog(world),
  };
}

function listenerName({ bind, listenerPort }: GatewayListener): string {
  return `${bind === '' ? wildcardAddress : bind}_${listenerPort}`;
}

/** Where a gateway without a network of its own is to be reached from outside the mesh. */
function hostAddresses(scope: ProxyScope, listenerPort: number): readonly SocketAddressInput[] {
  return (scope.node.gatewayBinds ?? [])
    .filter(({ targetPort }) => targetPort === listenerPort)
    .map(({ address, port }) => ({ address, port }));
}

function httpChain(
  world: World,
  scope: ProxyScope,
  listener: GatewayListener,
  first: GatewayServer,
): ChainInput {
  return {
    reason: 'gateway-http',
    name: '',
    match: {},
    filter: {
      kind: 'http',
      side: 'gateway',
      statPrefix: `outbound_${listenerName(listener)};`,
      routes: { rds: first.routeName },
      http10: scope.node.http10,
      http2: false,
      trustedProxies: world.meshConfig().defaultConfig.trustedProxies,
      ...withAccessLog(world),
    },
    origin: first.origin,
  };
}

/** The first `tcp` rule of the first VirtualService of the server that is for its port and Gateway. */
function tcpChains(world: World, scope: ProxyScope, server: GatewayServer): readonly ChainInput[] {
  for (const config of virtualServicesOf(world, scope, server)) {
    for (const [index, rule] of (config.spec.tcp ?? []).entries()) {
      const matches = rule.match ?? [];
      if (matches.length > 0 && !matches.some((match) => applies(match, config, server))) continue;
      const origin = originOf(config, 'spec', 'tcp', index);
      const filter = routedTcp(world, scope, config, rule.route ?? [], server.servicePort, origin);
      if (filter === undefined) continue;
      return [{ reason: 'gateway-tcp', name: '', match: {}, filter, origin }];
    }
  }
  return [];
}

/** One chain per `tls` match; of names that several ask for the first has them. */
function passthroughChains(
  world: World,
  scope: ProxyScope,
  listener: GatewayListener,
): readonly ChainInput[] {
  const chains: ChainInput[] = [];
  for (const server of listener.servers) {
    for (const config of virtualServicesOf(world, scope, server)) {
      for (const [ruleIndex, rule] of (config.spec.tls ?? []).entries()) {
        const ruleOrigin = originOf(config, 'spec', 'tls', ruleIndex);
        const filter = routedTcp(world, scope, config, rule.route ?? [], server.servicePort, ruleOrigin);
        if (filter === undefined) continue;
        for (const [matchIndex, match] of (rule.match ?? []).entries()) {
          if (!applies(match, config, server)) continue;
          const names = match.sniHosts ?? [];
          const all = names.length === 0 || names.includes('*');
          chains.push({
            reason: 'gateway-tls-passthrough',
            name: '',
            match: all ? {} : { serverNames: lowerCaseNames(names) },
            filter,
            origin: originAt(ruleOrigin, 'match', matchIndex),
          });
        }
      }
    }
  }
  return distinctChains(chains);
}

/** Those bound to the server's Gateway that share a host with the server. */
function virtualServicesOf(
  world: World,
  scope: ProxyScope,
  server: GatewayServer,
): readonly VirtualServiceConfig[] {
  const { defaultVirtualServiceExportTo, domainSuffix } = world.meshConfig();
  const configs = world.virtualServicesFor(server.gateway, scope.node.namespace);
  return byVisibility(configs, defaultVirtualServiceExportTo).filter((config) =>
    sharesHost(server, config, domainSuffix),
  );
}

function sharesHost(server: GatewayServer, config: VirtualServiceConfig, domainSuffix: string): boolean {
  const hosts = virtualServiceHosts(config, domainSuffix);
  return server.hosts.some((entry) => {
    const slash = entry.indexOf('/');
    if (slash >= 0 && entry.slice(0, slash) !== config.namespace) return false;
    return hosts.some((host) => hostnamesOverlap(host, entry.slice(slash + 1)));
  });
}

function applies(
  match: { readonly port?: number | undefined; readonly gateways?: readonly string[] | undefined },
  config: VirtualServiceConfig,
  server: GatewayServer,
): boolean {
  const gateways = match.gateways ?? [];
  return (
    [0, server.servicePort].includes(match.port ?? 0) &&
    (gateways.length === 0 ||
      gateways.some((name) => resolveGatewayName(name, config.namespace) === server.gateway))
  );
}
