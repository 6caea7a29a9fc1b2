// Chains of gateways that carry bytes: TCP, TLS ended and then forwarded, TLS passed through.
import type { VirtualServiceConfig } from '../../config/config.ts';
import { originOf } from '../../config/config.ts';
import { dnsSrvClusterName, parseDnsSrvClusterName } from '../../model/cluster-name.ts';
import { isTlsRoute } from '../../model/gateway-origin.ts';
import { resolveGatewayName } from '../../model/gateway-name.ts';
import { hostnameCovers, isWildcard } from '../../model/hostname.ts';
import { originAt } from '../../model/origin.ts';
import { outboundClusterNames } from '../cluster/outbound-clusters.ts';
import { destinationRuleFor } from '../destination-rule.ts';
import type { GatewayServer } from '../gateway/servers.ts';
import { bareHosts } from '../gateway/servers.ts';
import { virtualServicesOf } from '../gateway/virtual-services.ts';
import type { ProxyScope } from '../resource.ts';
import { visibleServices } from '../scope.ts';
import type { World } from '../world.ts';
import type { ChainInput, ChainMatchInput } from './listener-input.ts';
import type { StreamPort } from './network-filters.ts';
import { routedTcp, serviceTcp } from './network-filters.ts';
import { lowerCaseNames } from './outbound-chains.ts';

/**
 * To where the first `tcp` rule says that is for the server's port and Gateway, of the first VirtualService that
 * has one; undefined without any. A VirtualService made of a TLSRoute has `tls` rules instead, and where TLS
 * is ended they are taken for `tcp` ones. Source: Istio `buildGatewayNetworkFiltersFromTCPRoutes`.
 */
export function forwardedChain(
  world: World,
  scope: ProxyScope,
  server: GatewayServer,
): ChainInput | undefined {
  for (const { config } of virtualServicesOf(world, scope, server)) {
    for (const { rule, index, field } of rulesOf(config, server)) {
      const matches: readonly StreamMatch[] = rule.match ?? [];
      if (matches.length > 0 && !matches.some((match) => applies(match, config, server))) continue;
      const origin = originOf(config, 'spec', field, index);
      const filter = routedTcp(world, scope, config, rule.route ?? [], portOf(server), origin);
      if (filter === undefined) continue;
      const reason = server.kind === 'tls' ? 'gateway-tls' : 'gateway-tcp';
      return { reason, name: '', match: {}, filter, origin };
    }
  }
  return undefined;
}

function portOf({ servicePort, portName, protocol }: GatewayServer): StreamPort {
  return { number: servicePort, name: portName, protocol };
}

function rulesOf({ spec, ...config }: VirtualServiceConfig, server: GatewayServer) {
  const tcp = (spec.tcp ?? []).map((rule, index) => ({ rule, index, field: 'tcp' }));
  if (server.kind !== 'tls' || !isTlsRoute(config)) return tcp;
  return [...tcp, ...(spec.tls ?? []).map((rule, index) => ({ rule, index, field: 'tls' }))];
}

/**
 * One chain per `tls` match. A match that asks for a name which an earlier one of the listener has is left out
 * as a whole; `takenNames` holds those of the listener so far, and grows. What else a match says than port and
 * gateways is not asked. Source: Istio `buildGatewayNetworkFiltersFromTLSRoutes`.
 */
export function passthroughChains(
  world: World,
  scope: ProxyScope,
  server: GatewayServer,
  takenNames: Set<string>,
): readonly ChainInput[] {
  const chains: ChainInput[] = [];
  for (const { config } of virtualServicesOf(world, scope, server)) {
    for (const [ruleIndex, rule] of (config.spec.tls ?? []).entries()) {
      const ruleOrigin = originOf(config, 'spec', 'tls', ruleIndex);
      const filter = routedTcp(world, scope, config, rule.route ?? [], portOf(server), ruleOrigin);
      if (filter === undefined) continue;
      for (const [matchIndex, match] of (rule.match ?? []).entries()) {
        if (!applies(match, config, server)) continue;
        const names = (match.sniHosts ?? []).map((name) => name.toLowerCase());
        if (names.some((name) => takenNames.has(name))) continue;
        for (const name of names) takenNames.add(name);
        chains.push({
          reason: 'gateway-tls-passthrough',
          name: '',
          match: serverNames(names),
          filter,
          origin: originAt(ruleOrigin, 'match', matchIndex),
        });
      }
    }
  }
  return chains;
}

/** What clients of the mesh offer when they speak mutual TLS. */
const meshProtocols = ['istio', 'istio-peer-exchange', 'istio-http/1.0', 'istio-http/1.1', 'istio-h2'];

/**
 * One chain for each port of each service of the mesh that a host of the server covers, and for each of its
 * subsets: the server name spells out the cluster. Clients that do not speak the mesh's mutual TLS find none. A
 * service whose host is a wildcard has no such name: Envoy takes a `*` at the start alone, and refuses the listener.
 * Source: Istio `builtAutoPassthroughFilterChains`.
 */
export function autoPassthroughChains(
  world: World,
  scope: ProxyScope,
  server: GatewayServer,
): readonly ChainInput[] {
  const hosts = bareHosts(server);
  const isNamed = world.meshConfig().outboundClusterStatName !== '';
  // A DNS service without endpoints has no cluster to pass anything on to.
  const clusters = new Set(
    world.derive(`sni-dnat-clusters/${scope.key}`, () =>
      outboundClusterNames(world, scope).filter((name) => parseDnsSrvClusterName(name) !== undefined),
    ),
  );
  return visibleServices(world, scope)
    .filter(
      ({ hostname, meshExternal }) =>
        !meshExternal && !isWildcard(hostname) && hosts.some((host) => hostnameCovers(host, hostname)),
    )
    .flatMap((service) => {
      const { hostname } = service;
      const subsets = destinationRuleFor(world, scope, hostname)?.subsets ?? [];
      return service.ports.flatMap((port) =>
        ['', ...subsets.map(({ name }) => name)].flatMap((subset): readonly ChainInput[] => {
          const { servicePort } = port;
          const cluster = dnsSrvClusterName({ direction: 'outbound', servicePort, subset, hostname });
          if (!clusters.has(cluster)) return [];
          const { tunnel: _tunnel, ...filter } = serviceTcp(world, scope, service, port, subset);
          return [
            {
              reason: 'gateway-auto-passthrough',
              name: '',
              match: { serverNames: [cluster.toLowerCase()], applicationProtocols: meshProtocols },
              filter: {
                ...filter,
                statPrefix: isNamed ? filter.statPrefix : cluster,
                clusters: [{ cluster, weight: 1 }],
              },
              origin: server.origin,
            },
          ];
        }),
      );
    });
}

/** `*` is every name. */
export function serverNames(names: readonly string[]): ChainMatchInput {
  return names.length === 0 || names.includes('*') ? {} : { serverNames: lowerCaseNames(names) };
}

interface StreamMatch {
  readonly port?: number | undefined;
  readonly gateways?: readonly string[] | undefined;
}

function applies(match: StreamMatch, config: VirtualServiceConfig, server: GatewayServer): boolean {
  const gateways = match.gateways ?? [];
  return (
    [0, server.servicePort].includes(match.port ?? 0) &&
    (gateways.length === 0 ||
      gateways.some((name) => resolveGatewayName(name, config.namespace) === server.gateway))
  );
}
