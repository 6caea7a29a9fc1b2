// Follows one request through listeners and routes, as Istio's traffic simulation does: a model of Envoy's choices,
// written from Envoy's documentation of FilterChainMatch and VirtualHost. Nothing here is shared with src/.
import { BlockList, isIPv4 } from 'node:net';
import type {
  FilterChain,
  ListenerFilterChainMatchPredicate,
} from '../../src/api/gen/envoy/config/listener/v3/listener_components_pb.js';
import type { Listener } from '../../src/api/gen/envoy/config/listener/v3/listener_pb.js';
import type { VirtualHost } from '../../src/api/gen/envoy/config/route/v3/route_components_pb.js';
import { VirtualHost_TlsRequirementType } from '../../src/api/gen/envoy/config/route/v3/route_components_pb.js';
import type { RouteConfiguration } from '../../src/api/gen/envoy/config/route/v3/route_pb.js';
import { HttpConnectionManagerSchema } from '../../src/api/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { TcpProxySchema } from '../../src/api/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js';
import { DownstreamTlsContextSchema } from '../../src/api/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { unpackAs } from '../../src/api/any.ts';

export interface SimulatedCall {
  readonly mode: 'outbound' | 'inbound' | 'gateway';
  readonly address: string;
  readonly port: number;
  readonly protocol: 'http' | 'http2' | 'tcp';
  readonly tls: 'plaintext' | 'tls' | 'mtls';
  readonly sni?: string;
  readonly alpn?: string;
  readonly host?: string;
  readonly path?: string;
  /** Name of the SDS certificate by which a chain of mutual TLS is known; absent: the workload's, `default`. */
  readonly mtlsSecretName?: string;
}

export interface SimulationResult {
  listener?: string;
  filterChain?: string;
  routeConfig?: string;
  virtualHost?: string;
  route?: string;
  cluster?: string;
  error?: string;
}

export interface SimulatedProxy {
  readonly listeners: readonly Listener[];
  readonly routesOf: (name: string) => RouteConfiguration;
}

export function simulate(proxy: SimulatedProxy, call: SimulatedCall): SimulationResult {
  const result: SimulationResult = {};
  const listener = chooseListener(proxy.listeners, call);
  if (listener === undefined) return { error: 'no-listener' };
  result.listener = listener.name;
  const chain = chooseChain(listener, call);
  if (chain === undefined) return { ...result, error: 'no-filter-chain' };
  result.filterChain = chain.name;
  const ended = chain.transportSocket !== undefined;
  if (ended && call.tls === 'plaintext') return { ...result, error: 'tls-error' };
  if (ended && wantsMutualTls(chain, call) !== (call.tls === 'mtls'))
    return { ...result, error: 'mtls-error' };
  const config = chain.filters.at(-1)?.configType;
  const any = config?.case === 'typedConfig' ? config.value : undefined;
  const manager = unpackAs(any, HttpConnectionManagerSchema);
  if (manager === undefined) {
    const specifier = unpackAs(any, TcpProxySchema)?.clusterSpecifier;
    const weighted = specifier?.case === 'weightedClusters' ? specifier.value.clusters[0]?.name : undefined;
    const cluster = specifier?.case === 'cluster' ? specifier.value : weighted;
    return { ...result, ...(cluster === undefined ? {} : { cluster }) };
  }
  if (call.protocol === 'tcp' || (call.tls !== 'plaintext' && !ended))
    return { ...result, error: 'protocol-error' };
  const { routeSpecifier } = manager;
  if (routeSpecifier.case === 'rds') result.routeConfig = routeSpecifier.value.routeConfigName;
  const routes =
    routeSpecifier.case === 'rds'
      ? proxy.routesOf(routeSpecifier.value.routeConfigName)
      : routeSpecifier.case === 'routeConfig'
        ? routeSpecifier.value
        : undefined;
  if (routes === undefined) return { ...result, error: 'no-route-config' };
  result.routeConfig = routes.name;
  return { ...result, ...throughRoutes(routes, call) };
}

/** Whether the chain shows the mesh's certificate and asks for the client's. */
function wantsMutualTls(
  { transportSocket }: FilterChain,
  { mtlsSecretName = 'default' }: SimulatedCall,
): boolean {
  const config = transportSocket?.configType;
  const context = unpackAs(
    config?.case === 'typedConfig' ? config.value : undefined,
    DownstreamTlsContextSchema,
  );
  const [certificate] = context?.commonTlsContext?.tlsCertificateSdsSecretConfigs ?? [];
  return certificate?.name === mtlsSecretName && context?.requireClientCertificate === true;
}

function throughRoutes(routes: RouteConfiguration, call: SimulatedCall): SimulationResult {
  const host = (call.host ?? '').toLowerCase();
  const name = routes.ignorePortInHostMatching ? host.replace(/:\d+$/, '') : host;
  const virtualHost = chooseVirtualHost(routes.virtualHosts, name);
  if (virtualHost === undefined) return { error: 'no-virtual-host' };
  const result: SimulationResult = { virtualHost: virtualHost.name };
  if (virtualHost.requireTls === VirtualHost_TlsRequirementType.ALL && call.tls === 'plaintext')
    return { ...result, error: 'tls-redirect' };
  const path = call.path ?? '/';
  const route = virtualHost.routes.find(({ match }) => {
    const specifier = match?.pathSpecifier;
    if (specifier?.case === 'prefix' || specifier?.case === 'pathSeparatedPrefix')
      return path.startsWith(specifier.value);
    if (specifier?.case === 'safeRegex') return new RegExp(specifier.value.regex).test(path);
    return specifier?.case === 'path' && path === specifier.value;
  });
  if (route === undefined) return { ...result, error: 'no-route' };
  result.route = route.name;
  if (route.action.case !== 'route') return result;
  const specifier = route.action.value.clusterSpecifier;
  return specifier.case === 'cluster' ? { ...result, cluster: specifier.value } : result;
}

/** Exact, then the longest `*suffix`, then the longest `prefix*`, then `*`. */
function chooseVirtualHost(hosts: readonly VirtualHost[], name: string): VirtualHost | undefined {
  let best: VirtualHost | undefined;
  let bestRank = -1;
  for (const host of hosts) {
    for (const domain of host.domains) {
      const rank = domainRank(domain.toLowerCase(), name);
      if (rank <= bestRank) continue;
      best = host;
      bestRank = rank;
    }
  }
  return best;
}

function domainRank(domain: string, name: string): number {
  if (domain === name) return 1e9;
  if (domain === '*') return 0;
  if (domain.startsWith('*') && name.endsWith(domain.slice(1)) && name.length >= domain.length)
    return 1e6 + domain.length;
  return domain.endsWith('*') && name.startsWith(domain.slice(0, -1)) ? domain.length : -1;
}

function chooseListener(listeners: readonly Listener[], call: SimulatedCall): Listener | undefined {
  if (call.mode === 'inbound') return listeners.find(({ name }) => name === 'virtualInbound');
  const at = (address: string): Listener | undefined =>
    listeners.find((listener) => {
      const socket = listener.address?.address;
      if (socket?.case !== 'socketAddress' || socket.value.address !== address) return false;
      return (
        socket.value.portSpecifier.value === call.port &&
        !listener.name.startsWith('virtual') === (call.port !== 15_001)
      );
    });
  return at(call.address) ?? at('0.0.0.0') ?? listeners.find(({ name }) => name === 'virtualOutbound');
}

/** What listener filters have found out. */
interface Connection {
  readonly port: number;
  readonly address: string;
  readonly serverName: string;
  readonly transport: string;
  readonly alpn: string;
}

function chooseChain(listener: Listener, call: SimulatedCall): FilterChain | undefined {
  const connection = inspect(listener, call);
  const matches = (chain: FilterChain) => chain.filterChainMatch;
  let chains: readonly FilterChain[] = listener.filterChains;
  chains = narrow(chains, (chain) => {
    const port = matches(chain)?.destinationPort;
    return port === undefined ? 0 : port === connection.port ? 1 : -1;
  });
  chains = narrow(chains, (chain) => {
    const ranges = matches(chain)?.prefixRanges ?? [];
    if (ranges.length === 0) return 0;
    const lengths = ranges
      .filter((range) => inRange(connection.address, range.addressPrefix, range.prefixLen ?? 32))
      .map((range) => 1 + (range.prefixLen ?? 32));
    return lengths.length === 0 ? -1 : Math.max(...lengths);
  });
  chains = narrow(chains, (chain) => nameRank(matches(chain)?.serverNames ?? [], connection.serverName));
  chains = narrow(chains, (chain) => {
    const transport = matches(chain)?.transportProtocol ?? '';
    return transport === '' ? 0 : transport === connection.transport ? 1 : -1;
  });
  chains = narrow(chains, (chain) => {
    const protocols = matches(chain)?.applicationProtocols ?? [];
    return protocols.length === 0 ? 0 : protocols.includes(connection.alpn) ? 1 : -1;
  });
  return chains[0] ?? listener.defaultFilterChain;
}

/** Of those that a condition lets in, the ones for which it is most specific. */
function narrow(
  chains: readonly FilterChain[],
  rank: (chain: FilterChain) => number,
): readonly FilterChain[] {
  const ranks = chains.map(rank);
  const best = Math.max(-1, ...ranks);
  return best < 0 ? [] : chains.filter((_chain, index) => ranks[index] === best);
}

function nameRank(serverNames: readonly string[], name: string): number {
  if (serverNames.length === 0) return 0;
  const ranks = serverNames.map((pattern) => {
    if (pattern === name) return 1e6;
    return pattern.startsWith('*.') && name.endsWith(pattern.slice(1)) ? pattern.length : -1;
  });
  return Math.max(...ranks);
}

function inspect(listener: Listener, call: SimulatedCall): Connection {
  const enabled = (name: string): boolean => {
    const filter = listener.listenerFilters.find((each) => each.name === `envoy.filters.listener.${name}`);
    return filter !== undefined && !isDisabled(filter.filterDisabled, call.port);
  };
  const tls = call.tls !== 'plaintext' && enabled('tls_inspector');
  const http = call.tls === 'plaintext' && call.protocol !== 'tcp' && enabled('http_inspector');
  return {
    port: call.port,
    address: call.address,
    serverName: enabled('tls_inspector') ? (call.sni ?? '') : '',
    transport: tls ? 'tls' : 'raw_buffer',
    alpn: tls ? (call.alpn ?? '') : http ? (call.protocol === 'http2' ? 'h2c' : 'http/1.1') : '',
  };
}

function isDisabled(predicate: ListenerFilterChainMatchPredicate | undefined, port: number): boolean {
  const rule = predicate?.rule;
  if (rule?.case === 'orMatch') return rule.value.rules.some((each) => isDisabled(each, port));
  if (rule?.case === 'notMatch') return !isDisabled(rule.value, port);
  return rule?.case === 'destinationPortRange' && rule.value.start <= port && port < rule.value.end;
}

function inRange(address: string, prefix: string, length: number): boolean {
  const range = new BlockList();
  const family = isIPv4(prefix) ? 'ipv4' : 'ipv6';
  range.addSubnet(prefix, length, family);
  return range.check(address, isIPv4(address) ? 'ipv4' : 'ipv6');
}
