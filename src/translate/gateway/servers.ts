// Servers of all Gateways that select one proxy, merged: who listens where, and what is dropped and why.
import type { GatewaySpec } from '../../api/gen/istio-types.js';
import type { GatewayConfig } from '../../config/config.ts';
import { originOf } from '../../config/config.ts';
import type { Origin } from '../../model/origin.ts';
import { isHttp, isTls, parseProtocol } from '../../model/protocol.ts';
import type { Protocol } from '../../model/service.ts';
import type { ProxyScope } from '../resource.ts';
import type { World } from '../world.ts';

/** One server of one Gateway on one listener port. */
export interface GatewayServer {
  /** `namespace/name` of its Gateway. */
  readonly gateway: string;
  readonly origin: Origin;
  /** The port that clients name: a port of the gateway's Service. VirtualServices match it. */
  readonly servicePort: number;
  /** The port that the proxy listens on. */
  readonly listenerPort: number;
  /** The address to listen on; empty: all. */
  readonly bind: string;
  readonly protocol: Protocol;
  /** `host`, or `namespace/host`: only VirtualServices of that namespace. */
  readonly hosts: readonly string[];
  readonly httpsRedirect: boolean;
  /** Whether the server has TLS settings: its clients are taken to speak https. */
  readonly tls: boolean;
  /** Connections are told apart by server name and forwarded as they are. */
  readonly passthrough: boolean;
  /** Route configuration of HTTP servers; empty for others. */
  readonly routeName: string;
}

export type ServerKind = 'http' | 'tcp' | 'tls-passthrough';

/** Servers with one listener: one address and port. */
export interface GatewayListener {
  readonly bind: string;
  readonly listenerPort: number;
  readonly kind: ServerKind;
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
 * Of the servers of one address and port, those that speak plain HTTP share it, and those that pass TLS
 * through; otherwise the first stays. Servers that end TLS are not made yet: validation names them.
 * Source: Istio `mergeGateways`.
 */
export function mergedGateways(world: World, scope: ProxyScope): MergedGateways {
  return world.derive(`merged-gateways/${scope.key}`, () => merge(world, scope));
}

type Server = NonNullable<GatewaySpec['servers']>[number];

interface Group {
  readonly bind: string;
  readonly listenerPort: number;
  readonly kind: ServerKind;
  readonly protocol: Protocol;
  readonly servers: GatewayServer[];
}

function merge(world: World, scope: ProxyScope): MergedGateways {
  const { namespace, labels } = scope.node;
  const groups = new Map<string, Group>();
  const dropped: DroppedServer[] = [];
  const tlsHosts = new Set<string>();
  for (const config of world.gatewaysSelecting(namespace, labels)) {
    for (const [index, server] of (config.spec.servers ?? []).entries()) {
      const origin = originOf(config, 'spec', 'servers', index);
      const merged = gatewayServer(world, scope, config, server, origin);
      const reason = typeof merged === 'string' ? merged : join(groups, merged, tlsHosts);
      if (reason !== undefined) dropped.push({ origin, reason });
    }
  }
  const listeners = [...groups.values()].map(({ bind, listenerPort, kind, servers }) => ({
    bind,
    listenerPort,
    kind,
    servers,
  }));
  return { listeners, dropped };
}

/** The server, or why there is none. */
function gatewayServer(
  world: World,
  scope: ProxyScope,
  config: GatewayConfig,
  server: Server,
  origin: Origin,
): GatewayServer | string {
  const servicePort = server.port?.number;
  if (servicePort === undefined) return 'the server has no port number';
  const protocol = parseProtocol(server.port?.protocol ?? '');
  const http = isHttp(protocol);
  const mode = server.tls?.mode ?? 'PASSTHROUGH';
  const passthrough = !http && server.tls !== undefined && mode === 'PASSTHROUGH';
  if (!passthrough && (isTls(protocol) || (server.tls !== undefined && !http)))
    return `servers that end TLS are not supported yet (protocol ${protocol}, mode ${mode})`;
  const listenerPort = targetPortOf(world, scope, servicePort);
  const bind = server.bind ?? '';
  return {
    gateway: `${config.namespace}/${config.name}`,
    origin,
    servicePort,
    listenerPort,
    bind,
    protocol,
    hosts: serverHosts(server.hosts ?? [], config.namespace),
    httpsRedirect: server.tls?.httpsRedirect === true,
    tls: server.tls !== undefined,
    passthrough,
    routeName: http ? gatewayRouteName(listenerPort, bind) : '',
  };
}

/** `http.8080`, `http.8080.10.0.0.1` */
export function gatewayRouteName(listenerPort: number, bind: string): string {
  return bind === '' ? `http.${listenerPort}` : `http.${listenerPort}.${bind}`;
}

/** Adds the server to its listener; the reason where it cannot be. */
function join(groups: Map<string, Group>, server: GatewayServer, tlsHosts: Set<string>): string | undefined {
  const { bind, listenerPort, protocol } = server;
  if (server.tls) {
    const keys = server.hosts.map((host) => `${listenerPort}/${bind}/${host}`);
    const twice = keys.findIndex((key) => tlsHosts.has(key));
    if (twice >= 0)
      return `an earlier server of port ${listenerPort} has TLS settings for ${server.hosts[twice]} already`;
    for (const key of keys) tlsHosts.add(key);
  }
  const kind = isHttp(protocol) ? 'http' : server.passthrough ? 'tls-passthrough' : 'tcp';
  const key = `${bind}/${listenerPort}`;
  const group = groups.get(key);
  if (group === undefined) {
    groups.set(key, { bind, listenerPort, kind, protocol, servers: [server] });
    return undefined;
  }
  if (group.kind !== kind)
    return `port ${listenerPort} is ${group.protocol} already, it cannot be ${protocol}, too`;
  if (kind === 'tcp') return `port ${listenerPort} has a ${group.protocol} server already`;
  group.servers.push(server);
  return undefined;
}

/**
 * What a gateway's Service forwards this port to: the first one that has it; without any the port itself
 * (C7.02). A Service may opt out by a label of Istio's.
 */
function targetPortOf(world: World, scope: ProxyScope, servicePort: number): number {
  const { namespace, labels, ipAddresses } = scope.node;
  for (const service of world.servicesOfWorkload(namespace, labels, ipAddresses)) {
    if (noTranslationLabel in service.labels) continue;
    const port = service.ports.find((candidate) => candidate.servicePort === servicePort);
    if (port === undefined) continue;
    const { targetPort } = port;
    if (typeof targetPort !== 'string') return targetPort ?? servicePort;
    for (const address of ipAddresses) {
      const number = world.workloadPort(address, targetPort);
      if (number !== undefined) return number;
    }
  }
  return servicePort;
}

const noTranslationLabel = 'experimental.istio.io/disable-gateway-port-translation';

/** `./host` is of the Gateway's namespace, and any namespace may have a host where it says so with a star. */
function serverHosts(hosts: readonly string[], namespace: string): readonly string[] {
  return hosts.map((host) => {
    const lower = host.toLowerCase();
    const slash = lower.indexOf('/');
    if (slash < 0) return lower;
    const owner = lower.slice(0, slash);
    const name = lower.slice(slash + 1);
    return owner === '*' ? name : `${owner === '.' ? namespace : owner}/${name}`;
  });
}
