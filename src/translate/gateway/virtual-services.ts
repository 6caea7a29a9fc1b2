// The VirtualServices of a Gateway's server, and the hosts that the two have in common.
import type { VirtualServiceConfig } from '../../config/config.ts';
import { isGatewayApiRoute } from '../../model/gateway-origin.ts';
import type { Hostname } from '../../model/hostname.ts';
import { hostnameCovers } from '../../model/hostname.ts';
import type { ProxyScope } from '../resource.ts';
import { virtualServiceHosts } from '../route/rules.ts';
import { byVisibility } from '../route/virtual-services.ts';
import type { World } from '../world.ts';
import type { GatewayServer } from './servers.ts';

export interface BoundVirtualService {
  readonly config: VirtualServiceConfig;
  /** At least one. */
  readonly hosts: readonly Hostname[];
}

/**
 * Those bound to the server's Gateway that share a host with the server: by visibility, then age, but Gateway
 * API routes of the proxy's own namespace before other public ones.
 * Source: Istio `VirtualServicesForGateway`.
 */
export function virtualServicesOf(
  world: World,
  scope: ProxyScope,
  server: GatewayServer,
): readonly BoundVirtualService[] {
  const { defaultVirtualServiceExportTo, domainSuffix } = world.meshConfig();
  const { namespace } = scope.node;
  const all = byVisibility(
    world.virtualServicesFor(server.gateway, namespace),
    defaultVirtualServiceExportTo,
  );
  return ownRoutesFirst(all, namespace, defaultVirtualServiceExportTo).flatMap((config) => {
    const hosts = commonHosts(
      hostsFor(server.hosts, config.namespace),
      virtualServiceHosts(config, domainSuffix),
    );
    return hosts.length === 0 ? [] : [{ config, hosts }];
  });
}

function ownRoutesFirst(
  configs: readonly VirtualServiceConfig[],
  namespace: string,
  defaultExportTo: readonly string[],
): readonly VirtualServiceConfig[] {
  const isPublic = ({ spec }: VirtualServiceConfig): boolean => {
    const exportTo = spec.exportTo ?? [];
    return (exportTo.length === 0 ? defaultExportTo : exportTo).includes('*');
  };
  const isOwn = (config: VirtualServiceConfig): boolean =>
    isGatewayApiRoute(config) && config.namespace === namespace;
  const open = configs.filter(isPublic);
  return [
    ...configs.filter((config) => !isPublic(config)),
    ...open.filter(isOwn),
    ...open.filter((config) => !isOwn(config)),
  ];
}

/** Of a server's hosts those that VirtualServices of `namespace` may have, without namespaces. */
export function hostsFor(serverHosts: readonly string[], namespace: string): readonly Hostname[] {
  return serverHosts.flatMap((entry) => {
    const slash = entry.indexOf('/');
    const owner = slash < 0 ? '*' : entry.slice(0, slash);
    return owner === '*' || owner === namespace ? [entry.slice(slash + 1)] : [];
  });
}

/** Of each pair of hosts where one covers the other, the more specific one (C4.10). */
export function commonHosts(some: readonly Hostname[], others: readonly Hostname[]): readonly Hostname[] {
  const common = new Set<Hostname>();
  for (const host of some) {
    for (const other of others) {
      if (hostnameCovers(other, host)) common.add(host);
      else if (hostnameCovers(host, other)) common.add(other);
    }
  }
  return [...common];
}
