// Inbound clusters: one for each port of the workload that a Service leads to.
import { destinationRuleFor, layerPolicy } from '../destination-rule.ts';
import type { InboundTarget } from '../inbound-targets.ts';
import type { ProxyScope } from '../resource.ts';
import type { World } from '../world.ts';
import type { InboundClusterInput, ServiceIdentity } from './cluster-input.ts';
import { addressFamilyOf } from './cluster-input.ts';
import { identityOfRule, identityOfService } from './outbound-clusters.ts';

/**
 * The cluster behind one inbound port. The connection pool of the service's DestinationRule counts here, too:
 * what clients may send at once, the receiver must take. Source: Istio `buildInboundCluster`.
 */
export function inboundClusterInput(
  world: World,
  scope: ProxyScope,
  target: InboundTarget,
): InboundClusterInput {
  const { service, port, targetPort } = target;
  const { interceptionMode, appAddress, ipAddresses } = scope.node;
  const rule = destinationRuleFor(world, scope, service.hostname);
  const { policy, origins } = layerPolicy(rule, port.servicePort);
  return {
    kind: 'inbound',
    targetPort,
    protocol: port.protocol,
    services: servicesAt(target),
    serviceOrigin: service.origin,
    policy: {
      policy: policy.connectionPool === undefined ? {} : { connectionPool: policy.connectionPool },
      origins: origins.connectionPool === undefined ? {} : { connectionPool: origins.connectionPool },
    },
    ...(rule?.trafficPolicy === undefined ? {} : { destinationRule: identityOfRule(rule) }),
    ...(interceptionMode === 'LOOPBACK' && appAddress !== undefined ? { appAddress } : {}),
    connectTimeoutMs: world.meshConfig().connectTimeoutMs,
    addressFamily: addressFamilyOf(ipAddresses),
  };
}

/** Those that reach the target by the same service port as the first: metadata names one port alone. */
function servicesAt({ services, port }: InboundTarget): readonly ServiceIdentity[] {
  return services
    .filter((service) => service.ports.some(({ servicePort }) => servicePort === port.servicePort))
    .map(identityOfService);
}
