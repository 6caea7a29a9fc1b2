// Servers of all Gateways that one proxy serves, merged: who listens where, and what is dropped and why.
import type { GatewaySpec } from '../../api/gen/istio-types.js';
import type { GatewayConfig } from '../../config/config.ts';
import { originOf } from '../../config/config.ts';
import type { Origin } from '../../model/origin.ts';
import { isHttp, parseProtocol } from '../../model/protocol.ts';
import type { Protocol } from '../../model/service.ts';
import type { ProxyScope } from '../resource.ts';
import type { World } from '../world.ts';
import { listenerPorts, selectedGateways } from './selection.ts';

type Server = NonNullable<GatewaySpec['servers']>[number];
/** TLS settings as the user wrote them. */
export type ServerTls = NonNullable<Server['tls']>;

/**
 * http: plain HTTP, all servers of a listener share its routes. https: ends TLS, routes of its own. tcp: plain
 * bytes. tls: ends TLS, then bytes. passthrough: TLS to where `tls` rules say. auto-passthrough: TLS to the
 * cluster that the server name spells out.
 */
export type ServerKind = 'http' | 'https' | 'tcp' | 'tls' | 'passthrough' | 'auto-passthrough';

/** One server of one Gateway on one listener port. */
export interface GatewayServer {
  /** `namespace/name` of its Gateway. */
  readonly gateway: string;
  readonly origin: Origin;
  readonly kind: ServerKind;
  /** The server's own name, for statistics; may be empty. */
  readonly name: string;
  /** The port that clients name: a port of the gateway's Service. VirtualServices match it. */
  readonly servicePort: number;
  readonly portName: string;
  /** The port that the proxy listens on. */
  readonly listenerPort: number;
  /** The address to listen on; empty: all. `unix://` stands before a path. */
  readonly bind: string;
  readonly protocol: Protocol;
  /** `host`, or `namespace/host`: only VirtualServices of that namespace. */
  readonly hosts: readonly string[];
  readonly httpsRedirect: boolean;
  /** Absent: its clients are taken to speak in clear. */
  readonly tls?: ServerTls;
  /** Route configuration of HTTP servers; empty for others. */
  readonly routeName: string;
}

/** Servers with one listener: one address and port. */
export interface GatewayListener {
  readonly bind: string;
  readonly listenerPort: number;
  /** In the order of the Gateways' age; at least one. */
  readonly servers: readonly GatewayServer[];
}

export interface DroppedServer {
  readonly origin: Origin;
  readonly reason: string;
}

export interface MergedGateways {
  readonly listeners: readonly GatewayListener[];
  readonly dropped: readonly DroppedServer[];
}

/**
 * Of the servers of one address and port, those that speak plain HTTP share it, and those with TLS, told apart
 * by server name, to which one plain server may come as what is left; otherwise the first stays. A host has
 * TLS settings by one server alone. (Istio remembers only the last plain server of a port whatever its
 * address, and so lets through what Envoy then refuses.) Source: Istio `mergeGateways`.
 */
export function mergedGateways(world: World, scope: ProxyScope): MergedGateways {
  return world.derive(`merged-gateways/${scope.key}`, () => merge(world, scope));
}

/** The servers behind one route configuration, each once, whatever ports it listens on. */
export function serversOfRoutes(
  world: World,
  scope: ProxyScope,
  routeName: string,
): readonly GatewayServer[] {
  const byRoutes = world.derive(`gateway-servers-by-routes/${scope.key}`, () =>
    groupByRoutes(mergedGateways(world, scope)),
  );
  return byRoutes.get(routeName) ?? [];
}

function groupByRoutes({ listeners }: MergedGateways): ReadonlyMap<string, readonly GatewayServer[]> {
  const groups = new Map<string, GatewayServer[]>();
  const seen = new Set<string>();
  for (const server of listeners.flatMap(({ servers }) => servers)) {
    const { routeName, gateway, origin } = server;
    const key = `${routeName} ${gateway} ${origin.fieldPath.join('/')}`;
    if (seen.has(key)) continue;
    seen.add(key);
    const group = groups.get(routeName);
    if (group === undefined) groups.set(routeName, [server]);
    else group.push(server);
  }
  return groups;
}

/** Hosts of the servers that forward by what the server name spells out; empty: the proxy has none. */
export function autoPassthroughHosts(world: World, scope: ProxyScope): readonly string[] {
  const hosts = mergedGateways(world, scope).listeners.flatMap(({ servers }) =>
    servers.flatMap((server) => (server.kind === 'auto-passthrough' ? bareHosts(server) : [])),
  );
  return [...new Set(hosts)].sort();
}

/** Without the namespaces, sorted. */
export function bareHosts({ hosts }: GatewayServer): readonly string[] {
  return [...new Set(hosts.map((host) => host.slice(host.indexOf('/') + 1)))].sort();
}

interface Group {
  readonly bind: string;
  readonly listenerPort: number;
  /** The protocol in clear, once there is one. */
  plain?: Protocol;
  readonly servers: GatewayServer[];
}

function merge(world: World, scope: ProxyScope): MergedGateways {
  const groups = new Map<string, Group>();
  const dropped: DroppedServer[] = [];
  const tlsHosts = new Set<string>();
  for (const selected of selectedGateways(world, scope)) {
    const { config } = selected;
    for (const [index, server] of (config.spec.servers ?? []).entries()) {
      const origin = originOf(config, 'spec', 'servers', index);
      const servicePort = server.port?.number ?? (isUnix(server) ? 0 : undefined);
      if (servicePort === undefined) {
        dropped.push({ origin, reason: 'the server has no port number' });
        continue;
      }
      const ports = listenerPorts(world, scope, selected, servicePort);
      if (ports.length === 0)
        dropped.push({ origin, reason: `no Service of the Gateway has port ${servicePort}` });
      for (const listenerPort of ports) {
        const reason = join(
          groups,
          gatewayServer(config, server, servicePort, listenerPort, origin),
          tlsHosts,
        );
        if (reason !== undefined) dropped.push({ origin, reason });
      }
    }
  }
  const listeners = [...groups.values()].map(({ bind, listenerPort, servers }) => ({
    bind,
    listenerPort,
    servers,
  }));
  return { listeners, dropped };
}

function gatewayServer(
  config: GatewayConfig,
  server: Server,
  servicePort: number,
  listenerPort: number,
  origin: Origin,
): GatewayServer {
  const { name = '', bind = '', tls } = server;
  const protocol = parseProtocol(server.port?.protocol ?? '');
  const kind = kindOf(protocol, tls);
  return {
    gateway: `${config.namespace}/${config.name}`,
    origin,
    kind,
    name,
    servicePort,
    portName: server.port?.name ?? '',
    listenerPort,
    bind,
    protocol,
    hosts: serverHosts(server.hosts ?? [], config.namespace),
    httpsRedirect: tls?.httpsRedirect === true,
    ...(tls === undefined ? {} : { tls }),
    routeName: routeNameOf(kind, config, server, servicePort, listenerPort),
  };
}

/** HTTP has TLS settings for the redirect alone. */
function kindOf(protocol: Protocol, tls: ServerTls | undefined): ServerKind {
  if (isHttp(protocol)) return 'http';
  if (tls === undefined) return 'tcp';
  const mode = tls.mode ?? 'PASSTHROUGH';
  if (mode === 'PASSTHROUGH') return 'passthrough';
  if (mode === 'AUTO_PASSTHROUGH') return 'auto-passthrough';
  return protocol === 'HTTPS' ? 'https' : 'tls';
}

/** `http.8080`, `https.443.https-a.gateway.default`, both with the address behind where there is one. */
function routeNameOf(
  kind: ServerKind,
  config: GatewayConfig,
  server: Server,
  servicePort: number,
  listenerPort: number,
): string {
  const bind = server.bind ?? '';
  const end = bind === '' ? '' : `.${bind}`;
  if (kind === 'http') return `http.${listenerPort}${end}`;
  if (kind !== 'https') return '';
  return `https.${servicePort}.${server.port?.name ?? ''}.${config.name}.${config.namespace}${end}`;
}

/** Adds the server to its listener; the reason where it cannot be. */
function join(groups: Map<string, Group>, server: GatewayServer, tlsHosts: Set<string>): string | undefined {
  const { bind, servicePort, listenerPort, kind, protocol, routeName } = server;
  const port =
    servicePort === listenerPort ? `${servicePort}` : `${servicePort} (${listenerPort} of the pod)`;
  if (server.tls !== undefined) {
    const keys = server.hosts.map((host) => `${listenerPort}/${bind}/${host}`);
    const twice = keys.findIndex((key) => tlsHosts.has(key));
    if (twice >= 0)
      return `an earlier server of port ${port} has TLS settings for ${server.hosts[twice]} already`;
    for (const key of keys) tlsHosts.add(key);
  }
  const key = `${bind}/${listenerPort}`;
  let group = groups.get(key);
  if (group === undefined) {
    group = { bind, listenerPort, servers: [] };
    groups.set(key, group);
  }
  if (group.plain !== undefined && !(isHttp(group.plain) && kind === 'http')) {
    if (group.plain === protocol) return `port ${port} has a ${protocol} server already`;
    return `port ${port} is ${group.plain} already, it cannot be ${protocol}, too`;
  }
  if (kind === 'https' && group.servers.some((other) => other.routeName === routeName))
    return `port ${port} has a server with the port name of this one already`;
  if (kind === 'http' || kind === 'tcp') group.plain ??= protocol;
  group.servers.push(server);
  return undefined;
}

function isUnix({ bind }: Server): boolean {
  return bind?.startsWith('unix://') === true;
}

/**
 * `./host` is of the Gateway's namespace, any namespace may have a host where it says so with a star, and
 * everything of everybody makes the other hosts superfluous. Source: Istio `sanitizeServerHostNamespace`.
 */
function serverHosts(hosts: readonly string[], namespace: string): readonly string[] {
  if (hosts.includes('*/*')) return ['*'];
  return hosts.map((host) => {
    const lower = host.toLowerCase();
    const slash = lower.indexOf('/');
    if (slash < 0) return lower;
    const owner = lower.slice(0, slash);
    const name = lower.slice(slash + 1);
    return owner === '*' ? name : `${owner === '.' ? namespace : owner}/${name}`;
  });
}
