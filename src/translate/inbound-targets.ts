// Which ports of a workload its sidecar serves: those that Services selecting it name.
import type { Service, ServicePort } from '../model/service.ts';
import type { ProxyScope } from './resource.ts';
import { hasIngress } from './sidecar-ingress.ts';
import type { World } from './world.ts';

/** One port of the workload, and the first service port that leads to it. */
export interface InboundTarget {
  readonly targetPort: number;
  readonly service: Service;
  readonly port: ServicePort;
  /** Every service with a port that leads here, oldest first, `service` included. */
  readonly services: readonly Service[];
}

/**
 * The inbound ports of a sidecar that Services name, sorted by number; none for routers, in NONE mode, and where
 * `Sidecar.ingress` names the ports (sidecar-ingress.ts). Of several service ports with one target port the oldest
 * service's first one counts, with its protocol. Source: Istio `buildInboundListeners`, `GetProxyServiceTargets`.
 */
export function inboundTargets(world: World, scope: ProxyScope): readonly InboundTarget[] {
  if (scope.node.interceptionMode === 'NONE' || hasIngress(world, scope)) return [];
  return serviceTargets(world, scope);
}

/** The same whatever the Sidecar says and however connections are captured: which Services a port belongs to. */
export function serviceTargets(world: World, scope: ProxyScope): readonly InboundTarget[] {
  const { type, namespace, labels, ipAddresses } = scope.node;
  if (type !== 'sidecar') return [];
  const targets = new Map<number, InboundTarget>();
  for (const service of world.servicesOfWorkload(namespace, labels, ipAddresses)) {
    for (const port of service.ports) {
      if (port.protocol === 'UDP') continue;
      const targetPort = targetPortOf(world, scope, service, port);
      if (targetPort === undefined) continue;
      const known = targets.get(targetPort);
      if (known === undefined) targets.set(targetPort, { targetPort, service, port, services: [service] });
      else if (!known.services.includes(service))
        targets.set(targetPort, { ...known, services: [...known.services, service] });
    }
  }
  return [...targets.values()].sort((a, b) => a.targetPort - b.targetPort);
}

/** A service port that leads to a port of the workload which an older service reads otherwise. */
export interface InboundConflict {
  readonly targetPort: number;
  readonly accepted: ServicePort;
  readonly rejected: ServicePort;
  /** The younger service. */
  readonly service: Service;
}

/** The younger service's traffic is read as the older one says. Source: Istio `reportInboundConflict`. */
export function inboundConflicts(world: World, scope: ProxyScope): readonly InboundConflict[] {
  return inboundTargets(world, scope).flatMap(({ targetPort, service, port: accepted, services }) =>
    services
      .filter((other) => other !== service)
      .flatMap((other) =>
        other.ports
          .filter(
            (port) =>
              port.protocol !== 'UDP' &&
              port.protocol !== accepted.protocol &&
              targetPortOf(world, scope, other, port) === targetPort,
          )
          .map((rejected) => ({ targetPort, accepted, rejected, service: other })),
      ),
  );
}

/** Undefined where the workload has no port of that name. */
function targetPortOf(
  world: World,
  scope: ProxyScope,
  service: Service,
  port: ServicePort,
): number | undefined {
  const { ipAddresses } = scope.node;
  if (service.selector === undefined) {
    // The service lists its endpoints: the workload's own entry says which port it is.
    const own = world
      .endpoints(service.hostname, port.servicePort, service.namespace)
      .find((endpoint) => ipAddresses.includes(endpoint.address));
    return own?.endpointPort;
  }
  if (typeof port.targetPort !== 'string') return port.targetPort ?? port.servicePort;
  for (const address of ipAddresses) {
    const number = world.workloadPort(address, port.targetPort);
    if (number !== undefined) return number;
  }
  return undefined;
}
