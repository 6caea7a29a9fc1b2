// Outbound routes of sidecars: `<port>` (all HTTP services of a port), `<fqdn>:<port>` (a sniffed service) and
// `http_proxy` (all of them, for clients that use the proxy's HTTP proxy listener).
import type { VirtualServiceConfig } from '../../config/config.ts';
import { originOf } from '../../config/config.ts';
import { allowAnyDynamicDnsCluster, formatClusterName } from '../../model/cluster-name.ts';
import { meshGateway } from '../../model/gateway-name.ts';
import { isGatewayApiRoute } from '../../model/gateway-origin.ts';
import type { Hostname } from '../../model/hostname.ts';
import type { Origin } from '../../model/origin.ts';
import { isHttp, isSniffed } from '../../model/protocol.ts';
import type { Service, ServicePort } from '../../model/service.ts';
import { destinationRuleFor, layerPolicy } from '../destination-rule.ts';
import type { EgressListener } from '../egress-listeners.ts';
import { egressListenerForRoutes, listenerServices } from '../egress-listeners.ts';
import { addressesFor } from '../listener/outbound-places.ts';
import { remembered } from '../remembered.ts';
import type { ProxyScope } from '../resource.ts';
import {
  aliasesOf,
  egressListeners,
  egressProxyCluster,
  outboundScope,
  outboundTrafficPolicyOf,
  visibleServicesByName,
} from '../scope.ts';
import type { World } from '../world.ts';
import { serviceOperation } from './build-route.ts';
import { bracketed, hostAndPort, serviceDomains } from './domains.ts';
import { consistentHashOf } from './hash-policy.ts';
import type {
  CatchAllRouteInput,
  RouteConfigurationInput,
  RouteInput,
  VirtualHostInput,
} from './route-input.ts';
import { ruleRoutes, virtualServiceHosts } from './rules.ts';
import { claimHosts, listenerVirtualServiceIndex, touching } from './virtual-services.ts';

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
  const virtualHosts = listener === undefined ? [] : virtualHostsOfPort(world, scope, listener, port);
  if (colon < 0) {
    return {
      name,
      virtualHosts: [...virtualHosts, catchAllHost(world, scope)],
      ignorePortInHostMatching: true,
    };
  }
  // The listener is this service's alone: whatever host comes, it is meant.
  const hostname = name.slice(0, colon);
  const own = virtualHosts.filter(({ domains }) => domains.includes(bracketed(hostname)));
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

/** A virtual host before its domains are known to be its own. */
interface Draft {
  readonly hostname: Hostname;
  readonly service: Service | undefined;
  readonly routes: readonly RouteInput[];
  readonly origin: Origin;
}

/**
 * First what VirtualServices make, oldest first, then services without one. Of two with one name, or one
 * domain, the first keeps it (C4.04, C4.11).
 */
function buildVirtualHosts(
  world: World,
  scope: ProxyScope,
  listener: EgressListener,
  port: number,
  domainPort: number | 'none',
): VirtualHostInput[] {
  const services = new Map<Hostname, Service>();
  for (const service of listenerServices(world, listener))
    if (service.ports.some(({ servicePort }) => servicePort === port))
      services.set(service.hostname, service);
  const claimed = virtualServiceDrafts(world, scope, listener, port, services);
  // Of a service that a VirtualService has claimed nothing else is made.
  for (const { hostname } of claimed) services.delete(hostname);
  const drafts = [...claimed, ...serviceDrafts(world, scope, port, services)];
  const known = new Set(drafts.flatMap((draft) => (draft.service === undefined ? [] : [draft.hostname])));
  const names = new Set<string>();
  const taken = new Set<string>();
  const hosts: VirtualHostInput[] = [];
  for (const { hostname, service, routes, origin } of drafts) {
    const name = hostAndPort(hostname, port);
    if (names.has(name)) continue;
    names.add(name);
    const domains = ownDomains(
      domainsOf(world, scope, hostname, service, domainPort, port),
      taken,
      known,
      port,
    );
    if (domains.length > 0) hosts.push(virtualHost({ name, domains, routes, requireTls: false, origin }));
  }
  return hosts;
}

function virtualServiceDrafts(
  world: World,
  scope: ProxyScope,
  listener: EgressListener,
  port: number,
  services: ReadonlyMap<Hostname, Service>,
): Draft[] {
  const { domainSuffix } = world.meshConfig();
  const index = listenerVirtualServiceIndex(world, listener);
  const names = new Set(services.keys());
  // Hosts that no service has are honoured on port 80 alone: other ports have no listener without one (C4.06).
  const configs = port === 80 ? index.ordered : touching(index, names);
  const visible = visibleServicesByName(world, scope);
  const context = {
    gateway: meshGateway,
    listenPort: port,
    tls: false,
    serviceOf: (hostname: Hostname) => visible.get(hostname),
  };
  const drafts: Draft[] = [];
  for (const config of configs) {
    const routes = ruleRoutes(world, scope, config, context);
    if (routes.length === 0) continue;
    const hosts = claimHosts(index, config, names, domainSuffix);
    const routable = hosts.services.filter((name) => services.get(name)?.ports.some(isRoutableOn(port)));
    if (routable.length === 0 && port !== 80) continue;
    if (isGatewayApiRoute(config) && !concerns(config, scope, routable, services)) continue;
    for (const hostname of [...hosts.others, ...routable]) {
      // Validation lets it stand for gateways alone: here it would be a second catch-all, which Envoy refuses.
      if (hostname === '*') continue;
      const origin = hostOrigin(config, hostname, domainSuffix);
      drafts.push({ hostname, service: services.get(hostname), routes, origin });
    }
  }
  return drafts;
}

/** Routes of the Gateway API are for clients of their own namespace, or for services of it. */
function concerns(
  config: VirtualServiceConfig,
  scope: ProxyScope,
  hosts: readonly Hostname[],
  services: ReadonlyMap<Hostname, Service>,
): boolean {
  const { namespace } = config;
  return hosts.some((host) => [services.get(host)?.namespace, scope.node.namespace].includes(namespace));
}

/** The services that no VirtualService has claimed. */
function serviceDrafts(
  world: World,
  scope: ProxyScope,
  port: number,
  services: ReadonlyMap<Hostname, Service>,
): Draft[] {
  const drafts: Draft[] = [];
  const defaultRetries = world.meshConfig().defaultHttpRetryPolicy;
  for (const service of services.values()) {
    // An alias is a domain of its target's virtual host.
    if (service.resolution === 'alias' || !service.ports.some(isRoutableOn(port))) continue;
    const { hostname, origin } = service;
    const policy = layerPolicy(destinationRuleFor(world, scope, hostname), port).policy;
    const cluster = formatClusterName({ direction: 'outbound', servicePort: port, subset: '', hostname });
    const hash = consistentHashOf(policy.loadBalancer);
    const key = `${port}/${JSON.stringify([hash, defaultRetries ?? null])}`;
    const routes = remembered(serviceRoutes, service, key, (): readonly RouteInput[] => [
      {
        kind: 'service',
        cluster,
        operation: serviceOperation(hostname, port),
        hash,
        ...(defaultRetries === undefined ? {} : { defaultRetries }),
        origin,
      },
    ]);
    drafts.push({ hostname, service, routes, origin });
  }
  return drafts;
}

// Only memory: what has not changed stays the same object, so that nobody need look into it.
const serviceRoutes = new WeakMap<Service, Map<string, readonly RouteInput[]>>();
const virtualHosts = new WeakMap<readonly RouteInput[], Map<string, VirtualHostInput>>();

/** The same virtual host again, if there was an equal one with these routes. */
function virtualHost(host: VirtualHostInput): VirtualHostInput {
  const { kind = '', namespace = '', name = '', fieldPath = [] } = host.origin ?? {};
  const key = [host.name, ...host.domains, kind, namespace, name, ...fieldPath].join('\n');
  return remembered(virtualHosts, host.routes, key, () => host);
}

function domainsOf(
  world: World,
  scope: ProxyScope,
  hostname: Hostname,
  service: Service | undefined,
  domainPort: number | 'none',
  port: number,
): { readonly all: readonly string[]; readonly short: ReadonlySet<string> } {
  if (service !== undefined) {
    return serviceDomains(
      { ...service, addresses: addressesFor(scope, service) },
      {
        dnsDomain: scope.node.dnsDomain,
        aliases: aliasesOf(world, scope, hostname),
        port: domainPort,
      },
    );
  }
  const bare = bracketed(hostname);
  return {
    all: domainPort === 'none' ? [bare] : [bare, hostAndPort(hostname, port)],
    short: new Set(),
  };
}

/** Those that no earlier virtual host has, and no short name that is another service's full one. */
function ownDomains(
  domains: { readonly all: readonly string[]; readonly short: ReadonlySet<string> },
  taken: Set<string>,
  known: ReadonlySet<string>,
  port: number,
): string[] {
  const own: string[] = [];
  for (const domain of domains.all) {
    if (taken.has(domain)) continue;
    const suffix = `:${port}`;
    const bare = domain.endsWith(suffix) ? domain.slice(0, -suffix.length) : domain;
    if (domains.short.has(domain) && known.has(bare)) continue;
    taken.add(domain);
    own.push(domain);
  }
  return own;
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
  return { name, virtualHosts: [catchAllHost(world, scope)], ignorePortInHostMatching: true };
}

function catchAll(to: CatchAllRouteInput['to'], cluster?: string): VirtualHostInput {
  return {
    name: catchAllNames[to],
    domains: ['*'],
    routes: [{ kind: 'catch-all', to, ...(cluster === undefined ? {} : { cluster }) }],
    requireTls: false,
  };
}

function hostOrigin(config: VirtualServiceConfig, hostname: Hostname, domainSuffix: string): Origin {
  const index = virtualServiceHosts(config, domainSuffix).indexOf(hostname);
  return index < 0 ? originOf(config) : originOf(config, 'spec', 'hosts', index);
}

function isRoutable(port: ServicePort): boolean {
  return isHttp(port.protocol) || isSniffed(port.protocol);
}

function isRoutableOn(number: number): (port: ServicePort) => boolean {
  return (port) => port.servicePort === number && isRoutable(port);
}

function sorted(hosts: readonly VirtualHostInput[]): VirtualHostInput[] {
  return [...hosts].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}
