// Virtual hosts of one port, as a sidecar's egress listener gives it: of VirtualServices, then of services.
import type { VirtualServiceConfig } from '../../config/config.ts';
import { originOf } from '../../config/config.ts';
import { formatClusterName } from '../../model/cluster-name.ts';
import { meshGateway } from '../../model/gateway-name.ts';
import { isGatewayApiRoute } from '../../model/gateway-origin.ts';
import type { Hostname } from '../../model/hostname.ts';
import type { Origin } from '../../model/origin.ts';
import { isHttp, isSniffed } from '../../model/protocol.ts';
import type { Service, ServicePort } from '../../model/service.ts';
import { destinationRuleFor } from '../destination-rule.ts';
import { layerPolicy } from '../layered-policy.ts';
import type { EgressListener } from '../egress-listeners.ts';
import { listenerServices } from '../egress-listeners.ts';
import { addressesFor } from '../listener/outbound-places.ts';
import { remembered } from '../remembered.ts';
import type { ProxyScope } from '../resource.ts';
import { aliasesByTarget, egressListeners, visibleServicesByName } from '../scope.ts';
import { commonOutboundScope } from '../views.ts';
import type { World } from '../world.ts';
import { serviceOperation } from './build-route.ts';
import type { Domains } from './domains.ts';
import { bracketed, hostAndPort, serviceDomains } from './domains.ts';
import { consistentHashOf } from './hash-policy.ts';
import type { RouteInput, VirtualHostInput } from './route-input.ts';
import { ruleRoutes, virtualServiceHosts } from './rules.ts';
import { claimHosts, listenerVirtualServiceIndex, touching } from './virtual-services.ts';

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
export function buildVirtualHosts(
  world: World,
  scope: ProxyScope,
  listener: EgressListener,
  port: number,
  domainPort: number | 'none',
): VirtualHostInput[] {
  const drafts = sharedDrafts(world, scope, listener, port);
  return named(world, scope, listener, port, domainPort).flatMap(({ draft, name, domains }) => {
    const of = drafts[draft];
    return of === undefined
      ? []
      : [virtualHost({ name, domains, routes: of.routes, requireTls: false, origin: of.origin })];
  });
}

/** Name and domains of a virtual host, and the place of its draft among all. */
interface Named {
  readonly draft: number;
  readonly name: string;
  readonly domains: readonly string[];
}

/** Those that get a domain. Whatever an edit says of routes, these stay. */
function named(
  world: World,
  scope: ProxyScope,
  listener: EgressListener,
  port: number,
  domainPort: number | 'none',
): readonly Named[] {
  return world.derive(`virtual-host-names/${port}/${domainPort}/${listener.key}/${scope.key}`, () => {
    const places = sharedPlaces(world, scope, listener, port);
    const known = new Set(places.flatMap((place) => (place.service === undefined ? [] : [place.hostname])));
    const aliases = aliasesByTarget(world, scope);
    const names = new Set<string>();
    const taken = new Set<string>();
    const found: Named[] = [];
    for (const [draft, { hostname, service }] of places.entries()) {
      const name = hostAndPort(hostname, port);
      if (names.has(name)) continue;
      names.add(name);
      const all = domainsOf(scope, hostname, service, aliases.get(hostname) ?? [], domainPort, port);
      const domains = ownDomains(all, taken, known, port);
      if (domains.length > 0) found.push({ draft, name, domains });
    }
    return found;
  });
}

/** Made once for the clients of all namespaces that nothing tells apart: short names come afterwards. */
function sharedDrafts(
  world: World,
  scope: ProxyScope,
  listener: EgressListener,
  port: number,
): readonly Draft[] {
  const { view, common } = shared(world, scope, listener);
  return world.derive(`virtual-host-drafts/${port}/${common.key}/${view.key}`, () =>
    draftsOf(world, view, common, port),
  );
}

/** Of each draft what its names depend on. */
function sharedPlaces(
  world: World,
  scope: ProxyScope,
  listener: EgressListener,
  port: number,
): readonly Pick<Draft, 'hostname' | 'service'>[] {
  const { view, common } = shared(world, scope, listener);
  return world.derive(`virtual-host-places/${port}/${common.key}/${view.key}`, () =>
    sharedDrafts(world, view, common, port).map(({ hostname, service }) => ({ hostname, service })),
  );
}

function shared(
  world: World,
  scope: ProxyScope,
  listener: EgressListener,
): { readonly view: ProxyScope; readonly common: EgressListener } {
  const view = commonOutboundScope(world, scope);
  // Where namespaces do not count no Sidecar does, and there is one listener.
  const [common = listener] =
    view.node.namespace === scope.node.namespace ? [] : egressListeners(world, view);
  return { view, common };
}

function draftsOf(world: World, scope: ProxyScope, listener: EgressListener, port: number): readonly Draft[] {
  const services = new Map<Hostname, Service>();
  for (const service of listenerServices(world, listener))
    if (service.ports.some(({ servicePort }) => servicePort === port))
      services.set(service.hostname, service);
  const claimed = virtualServiceDrafts(world, scope, listener, port, services);
  // Of a service that a VirtualService has claimed nothing else is made.
  for (const { hostname } of claimed) services.delete(hostname);
  return [...claimed, ...serviceDrafts(world, scope, port, services)];
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
const domainsByService = new WeakMap<Service, Map<string, Domains>>();
const virtualHosts = new WeakMap<readonly RouteInput[], VirtualHostInput[]>();
const virtualHostsPerRoutesMax = 64;
/** Above, by the list of domains itself, which is mostly the one of the time before. */
const virtualHostsByDomains = new WeakMap<readonly string[], WeakRef<VirtualHostInput>>();

/** The same virtual host again, if there was an equal one with these routes. */
function virtualHost(host: VirtualHostInput): VirtualHostInput {
  const last = virtualHostsByDomains.get(host.domains)?.deref();
  if (last?.routes === host.routes && last.name === host.name && sameOrigin(last, host)) return last;
  const found = equalVirtualHost(host);
  virtualHostsByDomains.set(host.domains, new WeakRef(found));
  return found;
}

function equalVirtualHost(host: VirtualHostInput): VirtualHostInput {
  const known = virtualHosts.get(host.routes) ?? [];
  const same = known.find(
    (each) => each.name === host.name && sameTexts(each.domains, host.domains) && sameOrigin(each, host),
  );
  if (same !== undefined) return same;
  virtualHosts.set(host.routes, [...(known.length < virtualHostsPerRoutesMax ? known : []), host]);
  return host;
}

function sameTexts(a: readonly (string | number)[], b: readonly (string | number)[]): boolean {
  return a === b || (a.length === b.length && a.every((text, index) => text === b[index]));
}

function sameOrigin({ origin: a }: VirtualHostInput, { origin: b }: VirtualHostInput): boolean {
  if (a === b) return true;
  return (
    a !== undefined &&
    b !== undefined &&
    a.kind === b.kind &&
    a.namespace === b.namespace &&
    a.name === b.name &&
    sameTexts(a.fieldPath, b.fieldPath)
  );
}

function domainsOf(
  scope: ProxyScope,
  hostname: Hostname,
  service: Service | undefined,
  aliases: readonly Hostname[],
  domainPort: number | 'none',
  port: number,
): Domains {
  if (service !== undefined) {
    const { dnsDomain } = scope.node;
    const addresses = addressesFor(scope, service);
    const key = [dnsDomain, domainPort, addresses.join(), aliases.join()].join(' ');
    return remembered(domainsByService, service, key, () =>
      serviceDomains({ ...service, addresses }, { dnsDomain, aliases, port: domainPort }),
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
  domains: Domains,
  taken: Set<string>,
  known: ReadonlySet<string>,
  port: number,
): readonly string[] {
  const own: string[] = [];
  for (const domain of domains.all) {
    if (taken.has(domain)) continue;
    const suffix = `:${port}`;
    const bare = domain.endsWith(suffix) ? domain.slice(0, -suffix.length) : domain;
    if (domains.short.has(domain) && known.has(bare)) continue;
    taken.add(domain);
    own.push(domain);
  }
  // The same list where nothing is left out, for whoever compares.
  return own.length === domains.all.length ? domains.all : own;
}

function hostOrigin(config: VirtualServiceConfig, hostname: Hostname, domainSuffix: string): Origin {
  const index = virtualServiceHosts(config, domainSuffix).indexOf(hostname);
  return index < 0 ? originOf(config) : originOf(config, 'spec', 'hosts', index);
}

/** Whether HTTP may be spoken on it. */
export function isRoutable(port: ServicePort): boolean {
  return isHttp(port.protocol) || isSniffed(port.protocol);
}

function isRoutableOn(number: number): (port: ServicePort) => boolean {
  return (port) => port.servicePort === number && isRoutable(port);
}
