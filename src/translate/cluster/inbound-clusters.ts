// Inbound clusters: one for each port of the workload that a Service leads to, or that its Sidecar names.
import { isIP } from 'node:net';
import { destinationRuleFor } from '../destination-rule.ts';
import { layerPolicy } from '../layered-policy.ts';
import type { LayeredPolicy } from '../layered-policy.ts';
import type { InboundTarget } from '../inbound-targets.ts';
import { inboundTargets, serviceTargets } from '../inbound-targets.ts';
import type { ConfigIdentity } from '../proto-values.ts';
import { proxyHeadersOf } from '../proxy-headers.ts';
import type { ProxyScope } from '../resource.ts';
import { sidecarOf } from '../scope.ts';
import type { IngressPort } from '../sidecar-ingress.ts';
import { ingressPorts } from '../sidecar-ingress.ts';
import { originOf } from '../../config/config.ts';
import { inboundClusterName } from '../../model/cluster-name.ts';
import type { Service } from '../../model/service.ts';
import { statName, unregistered } from '../stat-name.ts';
import type { World } from '../world.ts';
import type { InboundClusterInput, ServiceIdentity } from './cluster-input.ts';
import { addressFamilyOf } from './cluster-input.ts';
import { identityOfRule, identityOfService, upstreamDefaults } from './outbound-clusters.ts';

/** Of every port that a Service leads to, or of those that the workload's Sidecar names instead. */
export function inboundClusterNames(world: World, scope: ProxyScope): readonly string[] {
  if (scope.node.type !== 'sidecar') return [];
  const ports = [
    ...inboundTargets(world, scope).map(({ targetPort }) => targetPort),
    ...ingressPorts(world, scope).map(({ port }) => port),
  ];
  return ports.map(inboundClusterName);
}

export function inboundClusterInput(
  world: World,
  scope: ProxyScope,
  name: string,
): InboundClusterInput | undefined {
  if (scope.node.type !== 'sidecar') return undefined;
  const ingress = ingressPorts(world, scope).find(({ port }) => inboundClusterName(port) === name);
  if (ingress !== undefined) return ofIngress(world, scope, ingress);
  const target = inboundTargets(world, scope).find(
    ({ targetPort }) => inboundClusterName(targetPort) === name,
  );
  return target === undefined ? undefined : ofTarget(world, scope, target);
}

function ofTarget(world: World, scope: ProxyScope, target: InboundTarget): InboundClusterInput {
  const { service, port, targetPort } = target;
  const { interceptionMode, appAddress, ipAddresses } = scope.node;
  const isLoopback = interceptionMode === 'LOOPBACK' && appAddress !== undefined;
  const { inboundTrafficPolicy, inboundClusterStatName } = world.meshConfig();
  const isLocal = inboundTrafficPolicy === 'LOCALHOST';
  const address = isLoopback ? appAddress : isLocal ? loopback(ipAddresses, 4) : undefined;
  const { servicePort, name: portName } = port;
  const parts = { service, subset: '', port: servicePort, portName, targetPort };
  const ownStatName = statName(inboundClusterStatName, parts);
  return {
    kind: 'inbound',
    port: targetPort,
    ...(ownStatName === undefined ? {} : { statName: ownStatName }),
    protocol: port.protocol,
    services: servicesAt(target),
    origin: service.origin,
    ...receivedPolicy(world, scope, service, port.servicePort),
    ...(address === undefined ? {} : { app: { address, port: targetPort } }),
    bindsUpstream: false,
    defaults: upstreamDefaults(world),
    addressFamily: addressFamilyOf(ipAddresses),
    keepsCase: proxyHeadersOf(world, scope).keepsCase,
  };
}

function ofIngress(world: World, scope: ProxyScope, ingress: IngressPort): InboundClusterInput {
  const { port, portName, protocol, sidecar, origin, defaultEndpoint } = ingress;
  const { ipAddresses, interceptionMode, appAddress } = scope.node;
  const service = serviceTargets(world, scope).find(({ targetPort }) => targetPort === port)?.service;
  const written = appOf(defaultEndpoint, ipAddresses);
  // Under LOOPBACK the pod's addresses are the proxy's, and the application has one of its own.
  const app =
    interceptionMode === 'LOOPBACK' && appAddress !== undefined && (written?.port ?? port) !== 0
      ? { address: appAddress, port: written?.port ?? port }
      : written;
  const named = service ?? unregistered(`${sidecar.name}.${sidecar.namespace}`);
  const parts = { service: named, subset: '', port, portName, targetPort: port };
  const ownStatName = statName(world.meshConfig().inboundClusterStatName, parts);
  return {
    kind: 'inbound',
    port,
    ...(ownStatName === undefined ? {} : { statName: ownStatName }),
    protocol,
    services: service === undefined || service.meshExternal ? [] : [identityOfService(service)],
    origin,
    ...receivedPolicy(world, scope, service, port, ingress),
    ...(app === undefined ? {} : { app }),
    bindsUpstream:
      interceptionMode !== 'LOOPBACK' &&
      app !== undefined &&
      isIP(app.address) !== 0 &&
      !loopbackAddresses.includes(app.address),
    defaults: upstreamDefaults(world),
    addressFamily: addressFamilyOf(ipAddresses),
    keepsCase: proxyHeadersOf(world, scope).keepsCase,
  };
}

/**
 * The connection pool and the retry budget of the service's DestinationRule count here, too: what clients may send at
 * once, the receiver must take. A pool of the Sidecar, the port's before the workload's, replaces it.
 * Source: Istio `buildInboundCluster`.
 */
function receivedPolicy(
  world: World,
  scope: ProxyScope,
  service: Service | undefined,
  servicePort: number,
  ingress?: IngressPort,
): { readonly policy: LayeredPolicy; readonly destinationRule?: ConfigIdentity } {
  const rule =
    service === undefined ? undefined : destinationRuleFor(world, scope, service.hostname, 'inbound');
  const { policy, origins } = layerPolicy(
    rule,
    servicePort,
    undefined,
    world.meshConfig().defaultTrafficPolicy,
  );
  const sidecar = sidecarOf(world, scope);
  const own = ingress?.connectionPool ?? sidecar?.spec.inboundConnectionPool;
  const connectionPool = own ?? policy.connectionPool;
  const { retryBudget } = policy;
  const origin =
    own === undefined
      ? origins.connectionPool
      : sidecar === undefined
        ? undefined
        : ingress?.connectionPool === undefined
          ? originOf(sidecar, 'spec', 'inboundConnectionPool')
          : ingress.origin;
  return {
    policy: {
      policy: {
        ...(connectionPool === undefined ? {} : { connectionPool }),
        ...(retryBudget === undefined ? {} : { retryBudget }),
      },
      origins: {
        ...(origin === undefined ? {} : { connectionPool: origin }),
        ...(origins.retryBudget === undefined ? {} : { retryBudget: origins.retryBudget }),
      },
    },
    ...(rule?.trafficPolicy === undefined ? {} : { destinationRule: identityOfRule(rule) }),
  };
}

/** Those that reach the target by the same service port as the first: metadata names one port alone. */
function servicesAt({ services, port }: InboundTarget): readonly ServiceIdentity[] {
  return services
    .filter((service) => service.ports.some(({ servicePort }) => servicePort === port.servicePort))
    .map(identityOfService);
}

const loopbackAddresses: readonly string[] = ['127.0.0.1', '::1'];

/**
 * What a `defaultEndpoint` means: a Unix socket, the pod's own address (0.0.0.0, [::]), or its loopback address, of
 * the written family where the pod has it. Undefined: the connection's original destination.
 * Source: Istio `buildInboundClustersFromSidecar`.
 */
function appOf(written: string, ipAddresses: readonly string[]): InboundClusterInput['app'] {
  if (written === '') return undefined;
  if (written.startsWith('unix://')) return { address: written, port: 0 };
  const colon = written.lastIndexOf(':');
  const host = written.slice(0, colon).replace(/^\[(.*)\]$/, '$1');
  const port = Number(written.slice(colon + 1));
  const family = host.includes(':') ? 6 : 4;
  if (host === '0.0.0.0' || host === '::') {
    const own = ipAddresses.find((address) => isIP(address) === family);
    return { address: own ?? (family === 4 ? '127.0.0.1' : '::1'), port };
  }
  return { address: loopback(ipAddresses, family), port };
}

/** Of the preferred family, unless the pod has only the other. */
function loopback(ipAddresses: readonly string[], preferred: 4 | 6): string {
  const has = (family: 4 | 6): boolean => ipAddresses.some((address) => isIP(address) === family);
  if (preferred === 4) return has(4) || !has(6) ? '127.0.0.1' : '::1';
  return has(6) || !has(4) ? '::1' : '127.0.0.1';
}
