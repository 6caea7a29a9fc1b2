// Outbound clusters: one for each port of a visible service, and one for each subset of it.
import type { ClusterName } from '../../model/cluster-name.ts';
import {
  dnsSrvClusterName,
  formatClusterName,
  parseClusterName,
  parseDnsSrvClusterName,
} from '../../model/cluster-name.ts';
import type { ProxyNode } from '../../model/proxy-node.ts';
import type { Service, ServicePort } from '../../model/service.ts';
import { isDynamicDns, keepsSessions } from '../../model/service.ts';
import type { EffectiveDestinationRule, Subset } from '../destination-rule.ts';
import type { LayeredPolicy } from '../layered-policy.ts';
import { destinationRuleFor } from '../destination-rule.ts';
import { layerPolicy } from '../layered-policy.ts';
import { clusterEndpoints } from '../endpoint/cluster-endpoints.ts';
import { localityLbOf } from '../endpoint/locality-lb.ts';
import type { ConfigIdentity } from '../proto-values.ts';
import { proxyHeadersOf } from '../proxy-headers.ts';
import type { ProxyScope } from '../resource.ts';
import { visibleService, visibleServices } from '../scope.ts';
import { statName } from '../stat-name.ts';
import type { World } from '../world.ts';
import type { Discovery, OutboundClusterInput, ServiceIdentity, UpstreamDefaults } from './cluster-input.ts';
import { addressFamilyOf } from './cluster-input.ts';
import { exchangesMetadata } from './metadata-exchange.ts';
import { passesConnectionsOn } from './sni-dnat.ts';
import { upstreamSecurity } from './upstream-security.ts';

/** Everything that an outbound cluster's name leads to. */
export interface OutboundTarget {
  readonly name: ClusterName;
  /** Whether the name is one that is sent as a server name between networks. */
  readonly isSniDnat: boolean;
  readonly service: Service;
  readonly port: ServicePort;
  readonly subset: Subset | undefined;
  readonly rule: EffectiveDestinationRule | undefined;
  readonly policy: LayeredPolicy;
  readonly discovery: Discovery;
}

/**
 * Names of all outbound clusters, in no particular order. A DNS cluster without endpoints does not
 * exist: Envoy would have nothing to resolve. Gateways between networks have each once more, under the server name
 * that it is asked by.
 */
export function outboundClusterNames(world: World, scope: ProxyScope): readonly string[] {
  const passesOn = passesConnectionsOn(world, scope);
  return visibleServices(world, scope).flatMap((service) => {
    const rule = destinationRuleFor(world, scope, service.hostname);
    const targets = targetsOf(world, scope.node, service, rule, false);
    const passed = passesOn && !service.meshExternal ? targetsOf(world, scope.node, service, rule, true) : [];
    return [...targets, ...passed].flatMap((target) =>
      isDns(target.discovery) && clusterEndpoints(world, scope, target).length === 0 ? [] : [nameOf(target)],
    );
  });
}

/** Undefined if this proxy has no such cluster. */
export function outboundTarget(world: World, scope: ProxyScope, name: string): OutboundTarget | undefined {
  const plain = parseClusterName(name);
  const parsed = plain ?? parseDnsSrvClusterName(name);
  if (parsed?.direction !== 'outbound') return undefined;
  const isSniDnat = plain === undefined;
  const service = visibleService(world, scope, parsed.hostname);
  if (service === undefined) return undefined;
  if (isSniDnat && (service.meshExternal || !passesConnectionsOn(world, scope))) return undefined;
  const rule = destinationRuleFor(world, scope, parsed.hostname);
  const port = service.ports.find(({ servicePort }) => servicePort === parsed.servicePort);
  if (port === undefined || !hasCluster(service, port, isSniDnat)) return undefined;
  const subset = subsetsOf(service, rule).find((each) => (each?.name ?? '') === parsed.subset);
  if (parsed.subset !== '' && subset === undefined) return undefined;
  return targetOf(world, scope.node, service, port, subset, rule, isSniDnat);
}

export function outboundClusterInput(
  world: World,
  scope: ProxyScope,
  name: string,
): OutboundClusterInput | undefined {
  const target = outboundTarget(world, scope, name);
  if (target === undefined) return undefined;
  const { service, port, subset, rule, policy, discovery, isSniDnat } = target;
  const endpoints = isDns(discovery) ? clusterEndpoints(world, scope, target) : [];
  if (isDns(discovery) && endpoints.length === 0) return undefined;
  const mesh = world.meshConfig();
  const security = isSniDnat ? undefined : upstreamSecurity(world, scope, target);
  const localityLb = localityLbOf(scope.node, service, policy, mesh);
  const ownStatName = statName(mesh.outboundClusterStatName, {
    service,
    subset: subset?.name ?? '',
    port: port.servicePort,
    portName: port.name,
    // Endpoints of one port may differ in it.
    targetPort: 0,
  });
  return {
    kind: 'outbound',
    name: target.name,
    isSniDnat,
    ...(ownStatName === undefined ? {} : { statName: ownStatName }),
    discovery,
    protocol: port.protocol,
    followsDownstream: scope.node.type === 'sidecar' && port.protocol === 'unsupported',
    upgradePolicy: mesh.h2UpgradePolicy,
    service: identityOfService(service),
    serviceOrigin: service.origin,
    meshExternal: service.meshExternal,
    alwaysSendsUnready: service.trafficDistribution !== undefined,
    // The whole service's cluster alone, as in Istio.
    keepsDraining: subset === undefined && !isSniDnat && keepsSessions(service),
    ...(discovery === 'ORIGINAL_DST' && hasPortOverride(service) && typeof port.targetPort === 'number'
      ? { upstreamPort: port.targetPort }
      : {}),
    policy,
    ...(security === undefined ? {} : { security }),
    ...(rule === undefined ? {} : { destinationRule: identityOfRule(rule) }),
    destinationRuleOrigins: rule?.origins ?? [],
    ...(subset === undefined ? {} : { subsetOrigin: subset.origin }),
    endpoints,
    ...(localityLb === undefined ? {} : { localityLb }),
    defaults: upstreamDefaults(world),
    dnsRefreshRateMs: mesh.dnsRefreshRateMs,
    addressFamily: addressFamilyOf(scope.node.ipAddresses),
    keepsCase: proxyHeadersOf(world, scope).keepsCase,
    exchangesMetadata: exchangesMetadata(scope),
  };
}

export function upstreamDefaults(world: World): UpstreamDefaults {
  const { connectTimeoutMs, tcpKeepalive, defaultTrafficPolicy } = world.meshConfig();
  const pool = defaultTrafficPolicy?.connectionPool;
  return {
    connectTimeoutMs,
    ...(tcpKeepalive === undefined ? {} : { tcpKeepalive }),
    ...(pool === undefined ? {} : { connectionPool: pool }),
  };
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

function nameOf({ isSniDnat, name }: OutboundTarget): string {
  return isSniDnat ? dnsSrvClusterName(name) : formatClusterName(name);
}

/** Of every port that has a cluster, the whole service first and then its subsets. */
function targetsOf(
  world: World,
  node: ProxyNode,
  service: Service,
  rule: EffectiveDestinationRule | undefined,
  isSniDnat: boolean,
): readonly OutboundTarget[] {
  const subsets = subsetsOf(service, rule);
  return service.ports
    .filter((port) => hasCluster(service, port, isSniDnat))
    .flatMap((port) =>
      subsets.map((subset) => targetOf(world, node, service, port, subset, rule, isSniDnat)),
    );
}

/** Undefined stands for the whole service. */
function subsetsOf(
  service: Service,
  rule: EffectiveDestinationRule | undefined,
): readonly (Subset | undefined)[] {
  return isDynamicDns(service) ? [undefined] : [undefined, ...(rule?.subsets ?? [])];
}

function targetOf(
  world: World,
  node: ProxyNode,
  service: Service,
  port: ServicePort,
  subset: Subset | undefined,
  rule: EffectiveDestinationRule | undefined,
  isSniDnat: boolean,
): OutboundTarget {
  const { servicePort } = port;
  const policy = layerPolicy(rule, servicePort, subset, world.meshConfig().defaultTrafficPolicy);
  const passesThrough = policy.policy.loadBalancer?.simple === 'PASSTHROUGH' && node.generator === undefined;
  const found = discoveryOf(node, service);
  const discovery = passesThrough && found !== 'DYNAMIC_DNS' ? 'ORIGINAL_DST' : found;
  const name: ClusterName = {
    direction: 'outbound',
    servicePort,
    subset: subset?.name ?? '',
    hostname: service.hostname,
  };
  return { name, isSniDnat, service, port, subset, rule, policy, discovery };
}

function hasCluster(service: Service, port: ServicePort, isSniDnat: boolean): boolean {
  // An alias stands in its target's virtual host.
  if (port.protocol === 'UDP' || service.resolution === 'alias') return false;
  if (!isDynamicDns(service)) return true;
  // Only these say in themselves which name is meant.
  return !isSniDnat && ['HTTP', 'HTTP2', 'GRPC', 'TLS'].includes(port.protocol);
}

function discoveryOf(node: ProxyNode, service: Service): Discovery {
  switch (service.resolution) {
    case 'dns':
      return 'STRICT_DNS';
    case 'dns-round-robin':
      return 'LOGICAL_DNS';
    case 'passthrough':
      // A gateway's clients do not call the upstream's address, so there is no original destination; no more do those
      // of applications without a proxy.
      return node.type === 'router' || node.generator !== undefined ? 'EDS' : 'ORIGINAL_DST';
    case 'dynamic-dns':
      return isDynamicDns(service) ? 'DYNAMIC_DNS' : 'EDS';
    case 'client-side':
    case 'alias':
      return 'EDS';
    default:
      return service.resolution satisfies never;
  }
}

/**
 * Connections go to where they went, but to another port: a ServiceEntry without resolution says so. One whose
 * endpoints are known has the port at each of them. Source: Istio `PassthroughTargetPorts`.
 */
function hasPortOverride({ registry, resolution }: Service): boolean {
  return registry === 'External' && resolution === 'passthrough';
}

function isDns(discovery: Discovery): boolean {
  return discovery === 'STRICT_DNS' || discovery === 'LOGICAL_DNS';
}
