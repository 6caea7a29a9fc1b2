// Outbound routes of sidecars: `<port>` (all HTTP services of a port), `<fqdn>:<port>` (a sniffed service) and
// `http_proxy` (all of them, for clients that use the proxy's HTTP proxy listener).
import { allowAnyDynamicDnsCluster } from '../../model/cluster-name.ts';
import type { Hostname } from '../../model/hostname.ts';
import type { EgressListener } from '../egress-listeners.ts';
import { egressListenerForRoutes, listenerServices } from '../egress-listeners.ts';
import { routeHeaders } from '../proxy-headers.ts';
import type { ProxyScope } from '../resource.ts';
import { egressListeners, egressProxyCluster, outboundTrafficPolicyOf } from '../scope.ts';
import { outboundScope } from '../views.ts';
import type { World } from '../world.ts';
import { bracketed } from './domains.ts';
import type { CatchAllRouteInput, RouteConfigurationInput, VirtualHostInput } from './route-input.ts';
import { buildVirtualHosts, isRoutable } from './sidecar-virtual-hosts.ts';

/** Route configuration of the HTTP proxy listener. */
export const httpProxyRouteName = 'http_proxy';

/** Name of the routes of a sniffed service's own listener. */
export function sniffedRouteName(hostname: Hostname, servicePort: number): string {
  return `${hostname}:${servicePort}`;
}

/**
 * The routes of that name: of one port, of one sniffed service, or of an egress listener of the Sidecar (whose
 * name is its port, or its bind where that is a Unix socket). A name that means nothing gets no virtual
 * hosts, for a proxy waits for an answer to whatever it asked.
 * Source: Istio `buildSidecarOutboundHTTPRouteConfig`.
 */
export function sidecarRouteInput(world: World, scope: ProxyScope, name: string): RouteConfigurationInput {
  const isSocket = name.startsWith(unixPrefix);
  const colon = isSocket ? -1 : name.lastIndexOf(':');
  const port = isSocket || name === httpProxyRouteName ? 0 : portOf(name.slice(colon + 1));
  if (port === undefined) return { name, virtualHosts: [], ignorePortInHostMatching: true };
  const listener = egressListenerForRoutes(egressListeners(world, scope), port, name);
  if (port === 0 || listener?.port?.protocol === 'HTTP_PROXY')
    return httpProxyRoutes(world, scope, listener, name);
  if (colon < 0) {
    const virtualHosts = listener === undefined ? [] : virtualHostsOfPort(world, scope, listener, port);
    return {
      name,
      virtualHosts: [...virtualHosts, catchAllHost(world, scope)],
      ignorePortInHostMatching: true,
    };
  }
  // The listener is this service's alone: whatever host comes, it is meant.
  const hostname = name.slice(0, colon);
  const own =
    listener === undefined ? [] : virtualHostsNamed(world, scope, listener, port, bracketed(hostname));
  const only = own.length === 1 ? own.map((host) => ({ ...host, domains: ['*'] })) : own;
  return { name, virtualHosts: only, ignorePortInHostMatching: true };
}

const unixPrefix = 'unix://';

/** Undefined for a text that is no port. */
function portOf(text: string): number | undefined {
  const port = Number(text);
  return /^\d+$/.test(text) && port >= 1 && port <= 65_535 ? port : undefined;
}

/** Sorted by name; without the catch-all. Shared by all proxies for which outbound things are the same. */
function virtualHostsOfPort(
  world: World,
  scope: ProxyScope,
  listener: EgressListener,
  port: number,
): readonly VirtualHostInput[] {
  const view = outboundScope(world, scope);
  return world.derive(`sidecar-virtual-hosts/${port}/${listener.key}/${view.key}`, () =>
    sorted(buildVirtualHosts(world, view, listener, port, 'none')),
  );
}

/** Those with this domain; at most one. */
function virtualHostsNamed(
  world: World,
  scope: ProxyScope,
  listener: EgressListener,
  port: number,
  domain: string,
): readonly VirtualHostInput[] {
  const view = outboundScope(world, scope);
  const byDomain = world.derive(
    `sidecar-virtual-hosts-by-domain/${port}/${listener.key}/${view.key}`,
    () =>
      new Map(
        virtualHostsOfPort(world, view, listener, port).flatMap((host) =>
          host.domains.map((each) => [each, host] as const),
        ),
      ),
  );
  const found = byDomain.get(domain);
  return found === undefined ? [] : [found];
}

/**
 * Every HTTP port's virtual hosts. A client of an HTTP proxy says the port in its request line, so names
 * carry it here; without one, port 80 is meant. (Istio ignores the request's port here too, by which
 * only port 80 can be reached.)
 */
function httpProxyRoutes(
  world: World,
  scope: ProxyScope,
  listener: EgressListener | undefined,
  name: string,
): RouteConfigurationInput {
  const view = outboundScope(world, scope);
  const virtualHosts =
    listener === undefined
      ? []
      : world.derive(`sidecar-http-proxy/${listener.key}/${view.key}`, () =>
          sorted(hostsOfEveryPort(world, view, listener)),
        );
  // The connection was made to the proxy itself: passed on to its destination it would come back, for ever.
  // An egress proxy can be reached whatever the client wanted, and so can a name that is looked up.
  const isLost =
    name === httpProxyRouteName &&
    egressProxyCluster(world, scope) === undefined &&
    outboundTrafficPolicyOf(world, scope) !== 'ALLOW_ANY_DYNAMIC_DNS';
  const last = isLost ? catchAll('no-destination') : catchAllHost(world, scope);
  return { name, virtualHosts: [...virtualHosts, last], ignorePortInHostMatching: false };
}

function hostsOfEveryPort(world: World, scope: ProxyScope, listener: EgressListener): VirtualHostInput[] {
  const ports = new Set([80]);
  for (const service of listenerServices(world, listener))
    for (const port of service.ports) if (isRoutable(port)) ports.add(port.servicePort);
  return [...ports].flatMap((port) =>
    buildVirtualHosts(world, scope, listener, port, port).flatMap((host) => {
      const suffix = `:${port}`;
      const domains = port === 80 ? host.domains : host.domains.filter((name) => name.endsWith(suffix));
      return domains.length === 0 ? [] : [{ ...host, domains }];
    }),
  );
}

function catchAllHost(world: World, scope: ProxyScope): VirtualHostInput {
  const policy = outboundTrafficPolicyOf(world, scope);
  if (policy === 'ALLOW_ANY_DYNAMIC_DNS') return catchAll('looked-up-name', allowAnyDynamicDnsCluster);
  return policy === 'ALLOW_ANY'
    ? catchAll('original-destination', egressProxyCluster(world, scope))
    : catchAll('nowhere');
}

const catchAllNames: Readonly<Record<CatchAllRouteInput['to'], string>> = {
  'original-destination': 'allow_any',
  'looked-up-name': 'allow_any_dynamic_dns',
  nowhere: 'block_all',
  'no-destination': 'block_all',
};

/** The routes of a listener that knows no service. */
export function catchAllRoutes(world: World, scope: ProxyScope, name: string): RouteConfigurationInput {
  return {
    name,
    virtualHosts: [catchAllHost(world, scope)],
    ignorePortInHostMatching: true,
    ...routeHeaders(world, scope),
  };
}

function catchAll(to: CatchAllRouteInput['to'], cluster?: string): VirtualHostInput {
  return {
    name: catchAllNames[to],
    domains: ['*'],
    routes: [{ kind: 'catch-all', to, ...(cluster === undefined ? {} : { cluster }) }],
    requireTls: false,
  };
}

function sorted(hosts: readonly VirtualHostInput[]): VirtualHostInput[] {
  return [...hosts].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}
