// Outbound clusters: one for each port of a visible service, and one for each subset of it.
import type { ClusterName } from '../../model/cluster-name.ts';
import type { ProxyType } from '../../model/proxy-node.ts';
import type { Endpoint, Service, ServicePort } from '../../model/service.ts';
import { labelsMatch } from '../../model/service.ts';
import type { EffectiveDestinationRule, LayeredPolicy, Subset } from '../destination-rule.ts';
import { destinationRuleFor, layerPolicy } from '../destination-rule.ts';
import { failoverOf } from '../endpoint/locality-failover.ts';
import type { ConfigIdentity } from '../proto-values.ts';
import type { ProxyScope } from '../resource.ts';
import { visibleService, visibleServices } from '../scope.ts';
import type { World } from '../world.ts';
import type { Discovery, OutboundClusterInput, ServiceIdentity } from './cluster-input.ts';
import { addressFamilyOf } from './cluster-input.ts';

/** Everything that an outbound cluster's name leads to. */
export interface OutboundTarget {
  readonly service: Service;
  readonly port: ServicePort;
  readonly subset: Subset | undefined;
  readonly rule: EffectiveDestinationRule | undefined;
  readonly policy: LayeredPolicy;
  readonly discovery: Discovery;
}

/**
 * Names of all outbound clusters, in no particular order. A DNS cluster without endpoints does not
 * exist: Envoy would have nothing to resolve.
 */
export function outboundClusterNames(world: World, scope: ProxyScope): readonly ClusterName[] {
  return visibleServices(world, scope).flatMap((service) => {
    const ports = service.ports.filter((port) => hasCluster(service, port));
    if (ports.length === 0) return [];
    const rule = destinationRuleFor(world, scope, service.hostname);
    const subsets = [undefined, ...(rule?.subsets ?? [])];
    return ports.flatMap((port) =>
      subsets.flatMap((subset) => {
        const target = targetOf(scope.node.type, service, port, subset, rule);
        if (isDns(target.discovery) && clusterEndpoints(world, target).length === 0) return [];
        const name: ClusterName = {
          direction: 'outbound',
          servicePort: port.servicePort,
          subset: subset?.name ?? '',
          hostname: service.hostname,
        };
        return [name];
      }),
    );
  });
}

/** Undefined if this proxy has no such cluster. */
export function outboundTarget(
  world: World,
  scope: ProxyScope,
  name: ClusterName,
): OutboundTarget | undefined {
  if (name.direction !== 'outbound') return undefined;
  const service = visibleService(world, scope, name.hostname);
  const port = service?.ports.find(({ servicePort }) => servicePort === name.servicePort);
  if (service === undefined || port === undefined || !hasCluster(service, port)) return undefined;
  const rule = destinationRuleFor(world, scope, name.hostname);
  const subset = rule?.subsets.find((each) => each.name === name.subset);
  if (name.subset !== '' && subset === undefined) return undefined;
  return targetOf(scope.node.type, service, port, name.subset === '' ? undefined : subset, rule);
}

export function outboundClusterInput(
  world: World,
  scope: ProxyScope,
  name: ClusterName,
): OutboundClusterInput | undefined {
  const target = outboundTarget(world, scope, name);
  if (target === undefined) return undefined;
  const { service, port, subset, rule, policy, discovery } = target;
  const endpoints = isDns(discovery) ? clusterEndpoints(world, target) : [];
  const failover = isDns(discovery) ? failoverOf(scope.node.locality, policy) : undefined;
  if (isDns(discovery) && endpoints.length === 0) return undefined;
  const { connectTimeoutMs, dnsRefreshRateMs } = world.meshConfig();
  return {
    kind: 'outbound',
    name,
    discovery,
    protocol: port.protocol,
    followsDownstream: scope.node.type === 'sidecar' && port.protocol === 'unsupported',
    service: identityOfService(service),
    serviceOrigin: service.origin,
    meshExternal: service.meshExternal,
    ...(discovery === 'ORIGINAL_DST' && service.registry === 'External' && typeof port.targetPort === 'number'
      ? { upstreamPort: port.targetPort }
      : {}),
    policy,
    ...(rule === undefined ? {} : { destinationRule: identityOfRule(rule) }),
    destinationRuleOrigins: rule?.origins ?? [],
    ...(subset === undefined ? {} : { subsetOrigin: subset.origin }),
    endpoints,
    ...(failover === undefined ? {} : { failover }),
    connectTimeoutMs,
    dnsRefreshRateMs,
    addressFamily: addressFamilyOf(scope.node.ipAddresses),
  };
}

/**
 * The endpoints of a cluster: of the service port, with the subset's labels. Unready ones are sent
 * as such, so that Envoy knows how many there are, unless the user asks for a panic threshold: then
 * Envoy would send requests to them.
 */
export function clusterEndpoints(world: World, target: OutboundTarget): readonly Endpoint[] {
  const { service, port, subset, policy } = target;
  const sendsUnready = (policy.policy.outlierDetection?.minHealthPercent ?? 0) <= 0;
  const chosen = world
    .endpoints(service.hostname, port.servicePort, service.namespace)
    .filter((endpoint) => sendsUnready || endpoint.health !== 'UNHEALTHY')
    .filter((endpoint) => subset === undefined || labelsMatch(subset.labels, endpoint.labels));
  // Envoy refuses a LOGICAL_DNS cluster with more than one; two ServiceEntries of one host could add up.
  return target.discovery === 'LOGICAL_DNS' ? chosen.slice(0, 1) : chosen;
}

/** Istio names a ServiceEntry's service by its host, as it may have several. */
export function identityOfService(service: Service): ServiceIdentity {
  const { hostname, name, namespace, registry } = service;
  return { host: hostname, name: registry === 'External' ? hostname : name, namespace };
}

export function identityOfRule(rule: EffectiveDestinationRule): ConfigIdentity {
  const { version, namespace, name } = rule;
  return { kind: 'DestinationRule', version, namespace, name };
}

function hasCluster(service: Service, port: ServicePort): boolean {
  // An alias stands in its target's virtual host; dynamic DNS is refused when it is read.
  return port.protocol !== 'UDP' && service.resolution !== 'alias' && service.resolution !== 'dynamic-dns';
}

function targetOf(
  proxyType: ProxyType,
  service: Service,
  port: ServicePort,
  subset: Subset | undefined,
  rule: EffectiveDestinationRule | undefined,
): OutboundTarget {
  const policy = layerPolicy(rule, port.servicePort, subset);
  const discovery =
    policy.policy.loadBalancer?.simple === 'PASSTHROUGH' ? 'ORIGINAL_DST' : discoveryOf(proxyType, service);
  return { service, port, subset, rule, policy, discovery };
}

function discoveryOf(proxyType: ProxyType, service: Service): Discovery {
  switch (service.resolution) {
    case 'dns':
      return 'STRICT_DNS';
    case 'dns-round-robin':
      return 'LOGICAL_DNS';
    case 'passthrough':
      // A gateway's clients do not call the upstream's address, so there is no original destination.
      return proxyType === 'router' ? 'EDS' : 'ORIGINAL_DST';
    case 'client-side':
    case 'alias':
    case 'dynamic-dns':
      return 'EDS';
    default:
      return service.resolution satisfies never;
  }
}

function isDns(discovery: Discovery): boolean {
  return discovery === 'STRICT_DNS' || discovery === 'LOGICAL_DNS';
}
