// Routes of gateways: `http.<listener port>` with the virtual hosts of every server and VirtualService there.
import type { VirtualServiceConfig } from '../../config/config.ts';
import { isExportedTo } from '../../model/export.ts';
import type { Hostname } from '../../model/hostname.ts';
import { compareSpecificity } from '../../model/hostname.ts';
import type { Origin } from '../../model/origin.ts';
import type { GatewayServer } from '../gateway/servers.ts';
import { bareHosts, serversOfRoutes } from '../gateway/servers.ts';
import { virtualServicesOf } from '../gateway/virtual-services.ts';
import type { ProxyScope } from '../resource.ts';
import type { World } from '../world.ts';
import { hostAndPort } from './domains.ts';
import { isCatchAll } from './match.ts';
import type { RouteConfigurationInput, RuleRouteInput, VirtualHostInput } from './route-input.ts';
import { ruleRoutes } from './rules.ts';

/**
 * Routes of the servers behind one name. VirtualServices with the same host are joined in order of age,
 * what everything meets last; hosts with the same routes share a virtual host; without any, a virtual
 * host without routes answers 404. Source: Istio `buildGatewayHTTPRouteConfig`.
 */
export function gatewayRouteInput(world: World, scope: ProxyScope, name: string): RouteConfigurationInput {
  const servers = serversOfRoutes(world, scope, name);
  const first = servers[0];
  // Envoy asks for the routes of a listener that drains, too.
  if (first === undefined) return { name, virtualHosts: [], ignorePortInHostMatching: true };
  const drafts = new Map<Hostname, Draft>();
  for (const server of servers) addServer(world, scope, server, drafts);
  const virtualHosts = drafts.size === 0 ? [blackhole(first)] : finish(drafts);
  return { name, virtualHosts, ignorePortInHostMatching: true };
}

/** One host, growing while servers and VirtualServices are looked at. */
interface Draft {
  readonly name: string;
  /** Routes of one VirtualService each, by the order in which they came. */
  readonly groups: (readonly RuleRouteInput[])[];
  requireTls: boolean;
  readonly origin: Origin;
}

function addServer(
  world: World,
  scope: ProxyScope,
  server: GatewayServer,
  drafts: Map<Hostname, Draft>,
): void {
  const draft = (host: Hostname): Draft => {
    let known = drafts.get(host);
    if (known === undefined) {
      const name = hostAndPort(host, server.servicePort);
      known = { name, groups: [], requireTls: false, origin: server.origin };
      drafts.set(host, known);
    }
    if (server.httpsRedirect) known.requireTls = true;
    return known;
  };
  for (const { config, hosts } of virtualServicesOf(world, scope, server)) {
    const routes = gatewayRules(world, scope, server, config);
    if (routes.length === 0) continue;
    for (const host of hosts) {
      const { groups } = draft(host);
      // Two servers may show one VirtualService under one host: its routes are the same.
      if (!groups.includes(routes)) groups.push(routes);
    }
  }
  if (!server.httpsRedirect) return;
  for (const host of bareHosts(server)) draft(host);
}

function gatewayRules(
  world: World,
  scope: ProxyScope,
  server: GatewayServer,
  config: VirtualServiceConfig,
): readonly RuleRouteInput[] {
  const { namespace } = scope.node;
  return ruleRoutes(world, scope, config, {
    gateway: server.gateway,
    listenPort: server.servicePort,
    tls: server.tls !== undefined,
    // A service of the VirtualService's own namespace first, if the gateway may see it.
    serviceOf: (hostname) => {
      const own = world.service(hostname, config.namespace);
      const visible = world.service(hostname, namespace);
      return own?.namespace === config.namespace && isExportedTo(own.exportTo, own.namespace, namespace)
        ? own
        : visible;
    },
  });
}

/** Hosts with the same routes become one virtual host, named by the most specific of them. */
function finish(drafts: ReadonlyMap<Hostname, Draft>): VirtualHostInput[] {
  const groupIds = new Map<readonly RuleRouteInput[], number>();
  const idOf = (group: readonly RuleRouteInput[]): number => {
    const id = groupIds.get(group) ?? groupIds.size;
    groupIds.set(group, id);
    return id;
  };
  const joined = new Map<string, { draft: Draft; domains: Hostname[] }>();
  for (const host of [...drafts.keys()].sort(compareSpecificity)) {
    const draft = drafts.get(host);
    if (draft === undefined) continue;
    const key = `${draft.requireTls}/${draft.groups.map(idOf).join(',')}`;
    const known = joined.get(key);
    if (known === undefined) joined.set(key, { draft, domains: [host] });
    else known.domains.push(host);
  }
  return [...joined.values()]
    .map(({ draft, domains }) => virtualHost(draft, domains))
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

function virtualHost(draft: Draft, domains: readonly Hostname[]): VirtualHostInput {
  const routes = draft.groups.flat();
  const { name, requireTls, origin } = draft;
  const conditional = routes.filter(({ match }) => !isCatchAll(match));
  const unconditional = routes.filter(({ match }) => isCatchAll(match));
  return { name, domains, routes: [...conditional, ...unconditional], requireTls, origin };
}

function blackhole(server: GatewayServer): VirtualHostInput {
  return {
    name: hostAndPort('blackhole', server.servicePort),
    domains: ['*'],
    routes: [],
    requireTls: false,
    origin: server.origin,
  };
}
