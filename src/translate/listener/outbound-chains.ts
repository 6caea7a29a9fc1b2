// Chains of an outbound listener for one service port that is not HTTP alone: TLS by name, TCP by address.
import type { VirtualServiceConfig } from '../../config/config.ts';
import { originOf } from '../../config/config.ts';
import { formatCidr, parseCidr } from '../../model/cidr.ts';
import { meshGateway, resolveGatewayName } from '../../model/gateway-name.ts';
import { hostnamesOverlap } from '../../model/hostname.ts';
import { isTls } from '../../model/protocol.ts';
import type { Service } from '../../model/service.ts';
import { isDynamicDns } from '../../model/service.ts';
import { labelsMatch } from '../../model/labels.ts';
import { addressFamilyOf } from '../cluster/cluster-input.ts';
import type { ConfigIdentity } from '../proto-values.ts';
import type { ProxyScope } from '../resource.ts';
import { aliasesOf } from '../scope.ts';
import { virtualServiceHosts } from '../route/rules.ts';
import type { World } from '../world.ts';
import type { ChainInput } from './listener-input.ts';
import type { StreamPort } from './network-filters.ts';
import { routedTcp, serviceTcp } from './network-filters.ts';
import type { Place } from './outbound-places.ts';

/** A service, the port that is listened on for it, and where. */
export interface StreamTarget {
  readonly service: Service;
  /** 0: a Unix socket, on which no address can be asked for. */
  readonly port: StreamPort;
  readonly place: Pick<Place, 'byName' | 'ranges'>;
}

/** The conditions that `tcp` and `tls` matches share; all of them must hold (C5.04). */
interface StreamMatch {
  readonly gateways?: readonly string[] | undefined;
  readonly sourceLabels?: Readonly<Record<string, string>> | undefined;
  readonly port?: number | undefined;
  readonly sourceNamespace?: string | undefined;
}

/** Source: Istio `buildSidecarOutboundTCPListenerOpts`. */
export function streamChains(
  world: World,
  scope: ProxyScope,
  target: StreamTarget,
  virtualServices: readonly VirtualServiceConfig[],
): readonly ChainInput[] {
  const { domainSuffix } = world.meshConfig();
  const own = virtualServices.filter((config) =>
    virtualServiceHosts(config, domainSuffix).some((host) => hostnamesOverlap(host, target.service.hostname)),
  );
  return isTls(target.port.protocol)
    ? tlsChains(world, scope, target, own)
    : tcpChains(world, scope, target, own);
}

/** One chain per match of server names; of matches that ask the same of a connection the first counts. */
function tlsChains(
  world: World,
  scope: ProxyScope,
  target: StreamTarget,
  virtualServices: readonly VirtualServiceConfig[],
): readonly ChainInput[] {
  const { port, service, place } = target;
  const chains = new Map<string, ChainInput>();
  for (const config of virtualServices) {
    for (const [ruleIndex, rule] of (config.spec.tls ?? []).entries()) {
      for (const [matchIndex, match] of (rule.match ?? []).entries()) {
        if (!applies(match, config, scope, port.number)) continue;
        const sniHosts = match.sniHosts ?? [];
        const subnets = port.number === 0 ? [] : (match.destinationSubnets ?? []);
        const key = `${sniHosts.join(',')}|${subnets.join(',')}`;
        const ruleOrigin = originOf(config, 'spec', 'tls', ruleIndex);
        const routes = rule.route ?? [];
        const filter = routedTcp(world, scope, config, routes, port, ruleOrigin);
        if (filter === undefined || chains.has(key)) continue;
        chains.set(key, {
          reason: 'virtual-service-tls',
          name: '',
          match: matchOf(sniHosts, subnets.length > 0 ? subnets : place.ranges),
          filter,
          config: identityOf(config),
          origin: originOf(config, 'spec', 'tls', ruleIndex, 'match', matchIndex),
        });
      }
    }
  }
  if (chains.size > 0) return [...chains.values()];
  const names = place.byName ? [service.hostname, ...aliasesOf(world, scope, service.hostname)] : [];
  return [serviceChain(world, scope, target, names)];
}

/**
 * The first rule that asks for no address takes the rest of the connections; rules before it that do ask get
 * chains of their own. Without such a rule the rest goes to the service.
 */
function tcpChains(
  world: World,
  scope: ProxyScope,
  target: StreamTarget,
  virtualServices: readonly VirtualServiceConfig[],
): readonly ChainInput[] {
  const { port, place } = target;
  const chains: ChainInput[] = [];
  for (const config of virtualServices) {
    for (const [index, rule] of (config.spec.tcp ?? []).entries()) {
      const origin = originOf(config, 'spec', 'tcp', index);
      const filter = routedTcp(world, scope, config, rule.route ?? [], port, origin);
      if (filter === undefined) continue;
      const chain = { reason: 'virtual-service-tcp' as const, name: '', filter, origin };
      const matching = (rule.match ?? []).filter((match) => applies(match, config, scope, port.number));
      const subnets = matching.map(({ destinationSubnets = [] }) =>
        port.number === 0 ? [] : destinationSubnets,
      );
      if ((rule.match ?? []).length === 0 || subnets.some((each) => each.length === 0)) {
        chains.push({ ...chain, match: matchOf([], place.ranges), config: identityOf(config) });
        return chains;
      }
      const all = subnets.flat();
      if (all.length > 0) chains.push({ ...chain, match: matchOf([], all), config: identityOf(config) });
    }
  }
  const rest = serviceChain(world, scope, target, []);
  const wanted = rest.match.prefixRanges ?? [];
  const taken = chains.some(({ match }) => (match.prefixRanges ?? []).join(',') === wanted.join(','));
  return taken ? chains : [...chains, rest];
}

/** To the service's only port, whatever port is listened on, else to the one with the same number. */
function serviceChain(
  world: World,
  scope: ProxyScope,
  { service, port, place }: StreamTarget,
  serverNames: readonly string[],
): ChainInput {
  const only = service.ports.length === 1 ? service.ports[0]?.servicePort : undefined;
  // Istio leaves the port's name out here, which only a pattern of names would show.
  const target = { servicePort: only ?? port.number, name: '', protocol: port.protocol };
  const filter = serviceTcp(world, scope, service, target);
  // The name that a client asks for in its hello is looked up before it is connected to.
  const lookup = {
    hostname: service.hostname,
    family: addressFamilyOf(scope.node.ipAddresses),
    port: port.number,
  };
  return {
    reason: 'service-tcp',
    name: '',
    match: matchOf(serverNames, place.ranges),
    filter: isDynamicDns(service) ? { ...filter, serverNameLookup: lookup } : filter,
    origin: service.origin,
  };
}

function applies(
  match: StreamMatch,
  config: VirtualServiceConfig,
  scope: ProxyScope,
  listenPort: number,
): boolean {
  const gateways = match.gateways ?? [];
  const { labels, namespace } = scope.node;
  return (
    (gateways.length === 0 ||
      gateways.some((name) => resolveGatewayName(name, config.namespace) === meshGateway)) &&
    labelsMatch(match.sourceLabels ?? {}, labels) &&
    [0, listenPort].includes(match.port ?? 0) &&
    ['', namespace].includes(match.sourceNamespace ?? '')
  );
}

/** `*` is every name. Ranges are written in one way, for Envoy refuses two chains that ask the same. */
function matchOf(serverNames: readonly string[], ranges: readonly string[]): ChainInput['match'] {
  const named = serverNames.length > 0 && !serverNames.includes('*');
  const prefixRanges = ranges.flatMap((text) => {
    const cidr = parseCidr(text);
    return cidr === undefined ? [] : [formatCidr(cidr)];
  });
  return {
    ...(named ? { serverNames: lowerCaseNames(serverNames) } : {}),
    ...(prefixRanges.length > 0 ? { prefixRanges: [...new Set(prefixRanges)].sort() } : {}),
  };
}

function identityOf({ version, namespace, name }: VirtualServiceConfig): ConfigIdentity {
  return { kind: 'VirtualService', version, namespace, name };
}

/** Without repetitions: hello messages are compared without regard to case. */
export function lowerCaseNames(serverNames: readonly string[]): readonly string[] {
  return [...new Set(serverNames.map((name) => name.toLowerCase()))].sort();
}
