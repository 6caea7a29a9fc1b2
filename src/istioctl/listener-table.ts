// `proxy-config listener`: which address takes what and where it goes, in istioctl's words.
import type { ConfigDump } from './config-dump.ts';
import { dig, listenersOf, objectOf, objects, strings, text, withoutType } from './config-dump.ts';
import type { JsonObject, JsonValue } from './json-names.ts';
import type { SourceFinder } from './source.ts';
import { formatTable } from './table.ts';

export interface ListenerFilter {
  readonly address?: string;
  readonly port?: number;
  /** HTTP, TCP or HTTP+TCP, in any case. */
  readonly type?: string;
}

export interface ListenerTableOptions {
  /** One row a filter chain with MATCH and DESTINATION; else one a listener with TYPE. */
  readonly verbose: boolean;
  /** A NAME column, as in `proxy-config all`. */
  readonly withName?: boolean;
  readonly source?: SourceFinder;
  /** Changes the names that older releases used otherwise. */
  readonly rename?: (destination: string) => string;
}

const httpFilter = 'envoy.filters.network.http_connection_manager';
const tcpFilter = 'envoy.filters.network.tcp_proxy';

/** Lists of ALPN names that have a name of their own (istioctl: `protDescrs`). */
const protocolNames: readonly (readonly [string, string])[] = [
  ['http/1.0,http/1.1,h2c,istio-http/1.0,istio-http/1.1,istio-h2', 'HTTP TLS'],
  ['istio,istio-http/1.0,istio-http/1.1,istio-h2', 'Istio HTTP Plain'],
  ['istio-peer-exchange,istio', 'TCP TLS'],
  ['http/1.0,http/1.1,h2c', 'HTTP'],
];

/** The listeners that the filter lets through, in the order of the dump: what `-o json` prints. */
export function selectListeners(dump: ConfigDump, filter: ListenerFilter): readonly JsonObject[] {
  return listenersOf(dump)
    .filter((listener) => passes(listener, filter))
    .map(withoutType);
}

/** Sorted by port, address and type; rows of one listener by destination, descending. */
export function listenerTable(
  dump: ConfigDump,
  filter: ListenerFilter,
  options: ListenerTableOptions,
): string {
  const rename = options.rename ?? ((destination: string): string => destination);
  const listeners = [...selectListeners(dump, filter)].sort(
    (a, b) =>
      portOf(a) - portOf(b) ||
      compare(addressOf(a), addressOf(b)) ||
      compare(listenerType(a), listenerType(b)),
  );
  const header = ['ADDRESSES', 'PORT', ...(options.verbose ? ['MATCH', 'DESTINATION'] : ['TYPE'])];
  if (options.withName === true) header.unshift('NAME');
  if (options.source !== undefined) header.push('SOURCE');
  const rows = [header];
  for (const listener of listeners) {
    const name = text(listener['name']);
    const addresses = [addressOf(listener), ...additionalSockets(listener)].join(',');
    const lead = [
      ...(options.withName === true ? [`listener/${name}`] : []),
      addresses,
      String(portOf(listener)),
    ];
    if (!options.verbose) {
      rows.push([...lead, listenerType(listener), ...sourceCell(options.source, name, '')]);
      continue;
    }
    const chains = filterChains(listener).map(({ chain, at }) => ({
      match: chainMatch(objectOf(chain['filterChainMatch'])),
      destination: chainDestination(objects(chain['filters'])),
      at,
    }));
    chains.sort((a, b) => compare(b.destination, a.destination));
    for (const { match, destination, at } of chains)
      rows.push([...lead, match, rename(destination), ...sourceCell(options.source, name, at)]);
  }
  return formatTable(rows, 1);
}

function sourceCell(source: SourceFinder | undefined, resource: string, at: string): string[] {
  return source === undefined ? [] : [source(resource, at)];
}

function passes(listener: JsonObject, filter: ListenerFilter): boolean {
  const { address, port, type } = filter;
  if (address !== undefined) {
    const addresses = [addressOf(listener), ...additionalAddresses(listener)];
    if (!addresses.some((candidate) => candidate.toLowerCase() === address.toLowerCase())) return false;
  }
  if (port !== undefined && portOf(listener) !== port) return false;
  return type === undefined || listenerType(listener).toLowerCase() === type.toLowerCase();
}

function filterChains(listener: JsonObject): { chain: JsonObject; at: string }[] {
  const chains = objects(listener['filterChains']).map((chain, index) => ({
    chain,
    at: `filterChains[${index}]`,
  }));
  const fallback = listener['defaultFilterChain'];
  return fallback === undefined
    ? chains
    : [...chains, { chain: objectOf(fallback), at: 'defaultFilterChain' }];
}

function listenerType(listener: JsonObject): string {
  let http = false;
  let tcp = false;
  for (const { chain } of filterChains(listener)) {
    for (const filter of objects(chain['filters'])) {
      if (filter['name'] === httpFilter) http = true;
      else if (filter['name'] === tcpFilter && !namesBlackHole(filter)) tcp = true;
    }
  }
  return http ? (tcp ? 'HTTP+TCP' : 'HTTP') : tcp ? 'TCP' : 'UNKNOWN';
}

function namesBlackHole(filter: JsonObject): boolean {
  return JSON.stringify(filter['typedConfig'] ?? null).includes('BlackHoleCluster');
}

function addressOf(listener: JsonObject): string {
  return socketAddress(listener['address']) || text(dig(listener, 'address', 'pipe', 'path'));
}

function additionalAddresses(listener: JsonObject): string[] {
  return objects(listener['additionalAddresses']).map((entry) => socketAddress(entry['address']));
}

/** As `additionalAddresses`, with the port where it is not the listener's. */
function additionalSockets(listener: JsonObject): string[] {
  return objects(listener['additionalAddresses']).map((entry) => {
    const port = Number(dig(entry, 'address', 'socketAddress', 'portValue') ?? 0);
    const address = socketAddress(entry['address']);
    return port === portOf(listener) ? address : `${address}:${port}`;
  });
}

function socketAddress(address: JsonValue | undefined): string {
  return text(dig(address, 'socketAddress', 'address'));
}

function portOf(listener: JsonObject): number {
  return Number(dig(listener, 'address', 'socketAddress', 'portValue') ?? 0);
}

/** MATCH: `SNI: a,b; Trans: tls; App: x,y; Addr: cidr:port`, or `ALL`. */
function chainMatch(match: JsonObject): string {
  const parts: string[] = [];
  const names = strings(match['serverNames']);
  if (names.length > 0) parts.push(`SNI: ${names.join(',')}`);
  const transport = text(match['transportProtocol']);
  if (transport !== '') parts.push(`Trans: ${transport}`);
  const protocols = strings(match['applicationProtocols']).join(',');
  if (protocols !== '') {
    const known = protocolNames.find(([list]) => list === protocols);
    parts.push(`App: ${known === undefined ? protocols : known[1]}`);
  }
  const port = match['destinationPort'] === undefined ? '' : `:${text(match['destinationPort'])}`;
  const ranges = objects(match['prefixRanges']).map(
    (range) => `${text(range['addressPrefix'])}/${text(range['prefixLen']) || '0'}`,
  );
  if (ranges.length > 0) parts.push(`Addr: ${ranges.join(',')}${port}`);
  else if (port !== '') parts.push(`Addr: *${port}`);
  return parts.length === 0 ? 'ALL' : parts.join('; ');
}

/** DESTINATION: a route, a cluster, an inline route, or `Non-HTTP/Non-TCP` (also: the black hole). */
function chainDestination(filters: readonly JsonObject[]): string {
  for (const filter of filters) {
    const config = objectOf(filter['typedConfig']);
    if (filter['name'] === httpFilter) {
      if (config['routeConfig'] !== undefined) return inlineRoute(objectOf(config['routeConfig']));
      const name = text(dig(config, 'rds', 'routeConfigName'));
      return name === '' ? 'HTTP' : `Route: ${name}`;
    }
    if (filter['name'] === tcpFilter && !namesBlackHole(filter)) return clusterText(text(config['cluster']));
  }
  return 'Non-HTTP/Non-TCP';
}

/** Built-in clusters (PassthroughCluster, ...) stand for themselves. */
function clusterText(cluster: string): string {
  return cluster.includes('Cluster') ? cluster : `Cluster: ${cluster}`;
}

function inlineRoute(config: JsonObject): string {
  const hosts = objects(config['virtualHosts']);
  const single = matchAllCluster(hosts);
  if (single !== undefined) return clusterText(single);
  const described = hosts.map((host) => {
    const domains = strings(host['domains']);
    const routes = objects(host['routes'])
      .map((route) => routeMatch(objectOf(route['match'])))
      .join(', ');
    return domains.length === 1 && domains[0] === '*' ? routes : `${domains.join('/')} ${routes}`;
  });
  return `Inline Route: ${described.join('; ')}`;
}

/** The cluster of a route configuration that does nothing but send everything to it. */
function matchAllCluster(hosts: readonly JsonObject[]): string | undefined {
  const [host] = hosts;
  if (hosts.length !== 1 || host === undefined) return undefined;
  const routes = objects(host['routes']);
  if (strings(host['domains']).join() !== '*' || routes.length !== 1) return undefined;
  if (dig(routes[0], 'match', 'prefix') !== '/') return undefined;
  const cluster = dig(routes[0], 'route', 'cluster');
  return typeof cluster === 'string' ? cluster : undefined;
}

/** MATCH of a route: path conditions only, as istioctl shows them. */
export function routeMatch(match: JsonObject): string {
  const parts: string[] = [];
  if (text(match['prefix']) !== '') parts.push(`${text(match['prefix'])}*`);
  if (text(match['pathSeparatedPrefix']) !== '')
    parts.push(`PathPrefix:${text(match['pathSeparatedPrefix'])}`);
  if (text(match['path']) !== '') parts.push(text(match['path']));
  if (match['safeRegex'] !== undefined) parts.push(`regex ${text(dig(match, 'safeRegex', 'regex'))}`);
  return parts.join(' ');
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
