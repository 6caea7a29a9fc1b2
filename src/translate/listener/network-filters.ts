// The terminal filters that listeners share: to a service, to a VirtualService's destinations, through, or nowhere.
import type { VirtualServiceSpec } from '../../api/gen/istio-types.js';
import type { VirtualServiceConfig } from '../../config/config.ts';
import { blackHoleCluster, formatClusterName, passthroughCluster } from '../../model/cluster-name.ts';
import { resolveHost } from '../../model/hostname.ts';
import type { Origin } from '../../model/origin.ts';
import { originAt } from '../../model/origin.ts';
import type { Protocol, Service } from '../../model/service.ts';
import type { EffectiveDestinationRule, Subset } from '../destination-rule.ts';
import { destinationRuleFor } from '../destination-rule.ts';
import { layerPolicy } from '../layered-policy.ts';
import type { ProxyScope } from '../resource.ts';
import { egressProxyCluster, outboundTrafficPolicyOf, visibleService } from '../scope.ts';
import { statName } from '../stat-name.ts';
import type { World } from '../world.ts';
import { proxyHeadersOf } from '../proxy-headers.ts';
import { accessLogInput } from './access-log.ts';
import { hostAndPort } from '../route/domains.ts';
import type { AccessLogInput, HttpFilterInput, TcpFilterInput, TunnelInput } from './listener-input.ts';

export type TcpRoutes = NonNullable<NonNullable<VirtualServiceSpec['tcp']>[number]['route']>;

/** `accessLog` is left out where the mesh has none. */
function withAccessLog(world: World): { readonly accessLog?: AccessLogInput } {
  const accessLog = accessLogInput(world.meshConfig());
  return accessLog === undefined ? {} : { accessLog };
}

/** When silent connections are closed: what the proxy was started with (metadata IDLE_TIMEOUT). */
function idleTimeoutOf({ node }: ProxyScope): { readonly idleTimeout?: string } {
  return node.idleTimeout === undefined ? {} : { idleTimeout: node.idleTimeout };
}

/** What connection managers share: the proxy's word, and the mesh's. */
export function managerSettings(
  world: World,
  scope: ProxyScope,
): Pick<HttpFilterInput, 'http10' | 'pathNormalization' | 'idleTimeout' | 'accessLog' | 'headers'> {
  const { pathNormalization } = world.meshConfig();
  return {
    http10: scope.node.http10,
    headers: proxyHeadersOf(world, scope),
    ...(pathNormalization === 'BASE' ? {} : { pathNormalization }),
    ...idleTimeoutOf(scope),
    ...withAccessLog(world),
  };
}

/** The listener's own log is left out where the mesh says so. */
export function withListenerLog(world: World): { readonly accessLog?: AccessLogInput } {
  return world.meshConfig().disableListenerLog ? {} : withAccessLog(world);
}

/** To one cluster, without settings of a DestinationRule. */
export function plainTcp(world: World, scope: ProxyScope, cluster: string): TcpFilterInput {
  return {
    kind: 'tcp',
    statPrefix: cluster,
    clusters: [{ cluster, weight: 1 }],
    hashBySource: false,
    ...idleTimeoutOf(scope),
    ...withAccessLog(world),
  };
}

/** Nowhere: the connection is closed. Not logged, as in Istio. */
export function blackholeTcp(): TcpFilterInput {
  return {
    kind: 'tcp',
    statPrefix: blackHoleCluster,
    clusters: [{ cluster: blackHoleCluster, weight: 1 }],
    hashBySource: false,
  };
}

/** What no service is known for: to the egress proxy, to where it wanted to go, or nowhere (REGISTRY_ONLY). */
export function catchAllTcp(world: World, scope: ProxyScope): TcpFilterInput {
  // What is no HTTP has no name to look up: it passes through under ALLOW_ANY_DYNAMIC_DNS, too.
  const allowed = outboundTrafficPolicyOf(world, scope) !== 'REGISTRY_ONLY';
  const onward = egressProxyCluster(world, scope) ?? passthroughCluster;
  return plainTcp(world, scope, allowed ? onward : blackHoleCluster);
}

/** The port that is listened on. */
export interface StreamPort {
  readonly number: number;
  readonly name: string;
  readonly protocol: Protocol;
}

/** What is said on MONGO ports is looked at on its way. */
export function mongoOf(protocol: Protocol): Pick<TcpFilterInput, 'mongo'> {
  return protocol === 'Mongo' ? { mongo: true } : {};
}

/** To a service port, as a whole or to a subset of it. */
export function serviceTcp(
  world: World,
  scope: ProxyScope,
  service: Service,
  port: { readonly servicePort: number; readonly name: string; readonly protocol: Protocol },
  subset = '',
): TcpFilterInput {
  const { servicePort, name: portName } = port;
  const { hostname } = service;
  const cluster = formatClusterName({ direction: 'outbound', servicePort, subset, hostname });
  const rule = destinationRuleFor(world, scope, hostname);
  const parts = { service, subset, port: servicePort, portName, targetPort: 0 };
  return {
    ...plainTcp(world, scope, cluster),
    statPrefix: statName(world.meshConfig().outboundClusterStatName, parts) ?? cluster,
    ...mongoOf(port.protocol),
    ...connectionSettings(rule, servicePort, subset),
  };
}

/**
 * To the destinations of a `tcp` or `tls` rule, those of weight 0 left out where there are several. Undefined
 * where nothing is left. Settings are those of the first destination's DestinationRule.
 * Source: Istio `buildOutboundNetworkFilters`.
 */
export function routedTcp(
  world: World,
  scope: ProxyScope,
  config: VirtualServiceConfig,
  routes: TcpRoutes,
  listenPort: StreamPort,
  origin: Origin,
): TcpFilterInput | undefined {
  const resolved = routes.map(({ destination, weight }, index) => {
    const named = resolveHost(destination?.host ?? '', config.namespace, world.meshConfig().domainSuffix);
    const service = visibleService(world, scope, named);
    const servicePort = destination?.port?.number ?? onlyPort(service) ?? listenPort.number;
    const hostname = service?.aliasOf ?? named;
    const subset = destination?.subset ?? '';
    return {
      cluster: formatClusterName({ direction: 'outbound', servicePort, subset, hostname }),
      hostname,
      service,
      servicePort,
      subset,
      weight: routes.length === 1 ? 1 : (weight ?? 0),
      origin: originAt(origin, 'route', index),
    };
  });
  const first = resolved[0];
  const clusters = resolved
    .filter(({ weight }) => weight > 0)
    .map((each) => ({ cluster: each.cluster, weight: each.weight, origin: each.origin }));
  if (first === undefined || clusters.length === 0) return undefined;
  const rule = destinationRuleFor(world, scope, first.hostname);
  const subset = resolved.length === 1 ? first.subset : '';
  const ownStatName =
    first.service === undefined
      ? undefined
      : statName(world.meshConfig().outboundClusterStatName, {
          service: first.service,
          subset,
          port: listenPort.number,
          portName: listenPort.name,
          targetPort: 0,
        });
  return {
    kind: 'tcp',
    statPrefix: resolved.length === 1 ? (ownStatName ?? first.cluster) : `${config.name}.${config.namespace}`,
    clusters,
    hashBySource: false,
    ...mongoOf(listenPort.protocol),
    ...idleTimeoutOf(scope),
    ...withAccessLog(world),
    ...connectionSettings(rule, first.servicePort, subset),
  };
}

function onlyPort(service: Service | undefined): number | undefined {
  return service?.ports.length === 1 ? service.ports[0]?.servicePort : undefined;
}

/** What of a DestinationRule tcp_proxy needs to know; the rest is the cluster's. */
function connectionSettings(
  rule: EffectiveDestinationRule | undefined,
  servicePort: number,
  subset: string,
): Partial<TcpFilterInput> {
  if (rule === undefined) return {};
  const named = rule.subsets.find(({ name }) => name === subset);
  const { connectionPool, loadBalancer } = layerPolicy(rule, servicePort, named).policy;
  const { idleTimeout, maxConnectionDuration } = connectionPool?.tcp ?? {};
  const tunnel = tunnelOf(rule, subset, named);
  return {
    ...(idleTimeout === undefined ? {} : { idleTimeout }),
    ...(maxConnectionDuration === undefined ? {} : { maxConnectionDuration }),
    ...(loadBalancer?.consistentHash?.useSourceIp === true ? { hashBySource: true } : {}),
    ...(tunnel === undefined ? {} : { tunnel }),
  };
}

/** A subset has its own tunnel or none: it does not have the host's. Source: Istio `tunnelingconfig.Apply`. */
function tunnelOf(
  rule: EffectiveDestinationRule,
  subset: string,
  named: Subset | undefined,
): TunnelInput | undefined {
  const { tunnel } = (subset === '' ? rule.trafficPolicy : named?.trafficPolicy)?.policy ?? {};
  if (tunnel === undefined) return undefined;
  return {
    // Any case is let in by validation, POST alone is one.
    method: tunnel.protocol === 'POST' ? 'POST' : 'CONNECT',
    target: hostAndPort(tunnel.targetHost ?? '', tunnel.targetPort ?? 0),
  };
}
