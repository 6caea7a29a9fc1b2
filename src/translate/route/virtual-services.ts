// Which VirtualService counts for which host of a sidecar.
import type { VirtualServiceConfig } from '../../config/config.ts';
import { configKey } from '../../config/config.ts';
import type { MeshConfig } from '../../config/mesh-config.ts';
import { isGatewayApiRoute } from '../../model/gateway-origin.ts';
import type { Hostname } from '../../model/hostname.ts';
import { compareSpecificity, hostnameCovers, hostnamesOverlap, isWildcard } from '../../model/hostname.ts';
import type { EgressListener } from '../egress-listeners.ts';
import { listenerVirtualServices } from '../egress-listeners.ts';
import type { World } from '../world.ts';
import { virtualServiceHosts } from './rules.ts';

/**
 * Those that only the proxy's namespace sees come first, then those exported to named namespaces, then
 * those for everybody; each by age, but Gateway API routes of the client's namespace (where one is given) before
 * others of their kind. Source: Istio `virtualServiceIndex`, `SelectVirtualServices`.
 */
export function byVisibility(
  configs: readonly VirtualServiceConfig[],
  defaultExportTo: readonly string[],
  clientNamespace?: string,
): readonly VirtualServiceConfig[] {
  const rank = (config: VirtualServiceConfig): number => {
    const isOwnRoute = config.namespace === clientNamespace && isGatewayApiRoute(config);
    return visibilityRank(config, defaultExportTo) - (isOwnRoute ? 0.5 : 0);
  };
  const ranks = new Map(configs.map((config) => [config, rank(config)]));
  return [...configs].sort((a, b) => (ranks.get(a) ?? 0) - (ranks.get(b) ?? 0));
}

/** The VirtualServices that a sidecar sees, found by host. Plain data, for it is derived. */
export interface VirtualServiceIndex {
  /** By visibility, then age: of two for one host the first counts. */
  readonly ordered: readonly VirtualServiceConfig[];
  /** Exact host -> places in `ordered`. */
  readonly exact: ReadonlyMap<Hostname, readonly number[]>;
  /** Wildcard hosts and their places, the most specific first. */
  readonly wildcards: readonly { readonly host: Hostname; readonly places: readonly number[] }[];
}

export function listenerVirtualServiceIndex(world: World, listener: EgressListener): VirtualServiceIndex {
  return world.derive(`listener-virtual-service-index/${listener.key}`, () =>
    indexOf(listenerVirtualServices(world, listener), world.meshConfig(), listener.namespace),
  );
}

function indexOf(
  configs: readonly VirtualServiceConfig[],
  { domainSuffix, defaultVirtualServiceExportTo }: MeshConfig,
  namespace: string,
): VirtualServiceIndex {
  const ordered = byVisibility(configs, defaultVirtualServiceExportTo, namespace);
  const places = new Map<Hostname, number[]>();
  for (const [place, config] of ordered.entries()) {
    for (const host of new Set(virtualServiceHosts(config, domainSuffix))) {
      const known = places.get(host);
      if (known === undefined) places.set(host, [place]);
      else known.push(place);
    }
  }
  const all = [...places];
  return {
    ordered,
    exact: new Map(all.filter(([host]) => !isWildcard(host))),
    wildcards: all
      .filter(([host]) => isWildcard(host))
      .sort(([a], [b]) => compareSpecificity(a, b))
      .map(([host, at]) => ({ host, places: at })),
  };
}

/** Those with a host that one of these services covers, or that covers one of them; in their order. */
export function touching(
  index: VirtualServiceIndex,
  services: ReadonlySet<Hostname>,
): readonly VirtualServiceConfig[] {
  const places = new Set<number>();
  const add = (found: readonly number[] = []): void => {
    for (const place of found) places.add(place);
  };
  const names = [...services];
  for (const name of names) add(index.exact.get(name));
  for (const wildcard of index.wildcards)
    if (names.some((name) => hostnamesOverlap(name, wildcard.host))) add(wildcard.places);
  const wildcardNames = names.filter(isWildcard);
  if (wildcardNames.length > 0)
    for (const [host, found] of index.exact)
      if (wildcardNames.some((name) => hostnameCovers(name, host))) add(found);
  return [...places].sort((a, b) => a - b).flatMap((place) => index.ordered[place] ?? []);
}

/** Service hosts and other hosts of one VirtualService, as far as it is the one that counts for them. */
export interface ClaimedHosts {
  readonly services: readonly Hostname[];
  readonly others: readonly Hostname[];
}

/**
 * Divides a VirtualService's hosts into services and names that no service has. A wildcard host takes
 * the services for which no other VirtualService is more specific, and is a name of its own only if it
 * covers no service. Source: Istio `separateVSHostsAndServices`.
 */
export function claimHosts(
  index: VirtualServiceIndex,
  config: VirtualServiceConfig,
  services: ReadonlySet<Hostname>,
  domainSuffix: string,
): ClaimedHosts {
  const hosts = virtualServiceHosts(config, domainSuffix);
  const claimed: Hostname[] = [];
  const others: Hostname[] = [];
  for (const host of hosts.filter((name) => !isWildcard(name))) {
    if (services.has(host)) claimed.push(host);
    else others.push(host);
  }
  for (const host of hosts.filter(isWildcard)) {
    if (isGatewayApiRoute(config)) {
      others.push(host);
      continue;
    }
    const covered = [...services].filter((service) => hostnamesOverlap(host, service));
    if (covered.length === 0) others.push(host);
    for (const service of covered) {
      const best = mostSpecific(index, service);
      if (best !== undefined && configKey(best) === configKey(config)) claimed.push(service);
    }
  }
  return { services: [...new Set(claimed)], others };
}

/** The one with the most specific host that covers the service; of equal hosts the first. */
function mostSpecific(index: VirtualServiceIndex, service: Hostname): VirtualServiceConfig | undefined {
  const places =
    index.exact.get(service) ?? index.wildcards.find(({ host }) => hostnameCovers(host, service))?.places;
  return places?.[0] === undefined ? undefined : index.ordered[places[0]];
}

function visibilityRank(config: VirtualServiceConfig, defaultExportTo: readonly string[]): number {
  const written = config.spec.exportTo ?? [];
  const exportTo = written.length === 0 ? defaultExportTo : written;
  if (exportTo.includes('*')) return 2;
  return exportTo.every((namespace) => namespace === '.' || namespace === config.namespace) ? 0 : 1;
}
