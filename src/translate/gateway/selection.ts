// Which Gateways a proxy serves, and the port that it listens on for one that a Gateway names.
import type { GatewayConfig } from '../../config/config.ts';
import { annotationsOfGateways, isOfGatewayApi, servicesOfGateway } from '../../model/gateway-origin.ts';
import type { Service } from '../../model/service.ts';
import type { ProxyScope } from '../resource.ts';
import type { World } from '../world.ts';

/** A Gateway, and the Services that lead to the proxy for it. */
export interface SelectedGateway {
  readonly config: GatewayConfig;
  /**
   * `selector`: its ports are those of any Service of the proxy, or else the proxy's own. `service`: it names
   * Services (as those made of the Gateway API do), and only their ports count.
   */
  readonly by: 'selector' | 'service';
  readonly services: readonly Service[];
}

/** Oldest first. Source: Istio `PushContext.mergeGateways`. */
export function selectedGateways(world: World, scope: ProxyScope): readonly SelectedGateway[] {
  const { namespace, labels, ipAddresses } = scope.node;
  const all = world.servicesOfWorkload(namespace, labels, ipAddresses);
  const selected = world
    .gatewaysSelecting(namespace, labels)
    .flatMap((config): readonly SelectedGateway[] => {
      const named = servicesOfGateway(config);
      if (named === undefined) return [{ config, by: 'selector', services: all }];
      const owner = config.annotations[annotationsOfGateways.parentNamespace] || config.namespace;
      const services = all.filter((each) => named.includes(each.hostname) && each.namespace === owner);
      return services.length === 0 ? [] : [{ config, by: 'service', services }];
    });
  const kept = new Set(withoutForeign(selected.map(({ config }) => config)));
  return selected.filter(({ config }) => kept.has(config));
}

/**
 * Beside Gateways of the Gateway API that have a proxy deployed for them alone, others stand only from the
 * same namespaces: who may write a Gateway elsewhere must not reach that proxy's certificates.
 * Source: Istio `filterStrictGatewayMerging`.
 */
export function withoutForeign(configs: readonly GatewayConfig[]): readonly GatewayConfig[] {
  const managed = new Set(configs.filter(isManaged).map(({ namespace }) => namespace));
  if (managed.size === 0) return configs;
  return configs.filter((config) => isOfGatewayApi(config) || managed.has(config.namespace));
}

function isManaged(config: GatewayConfig): boolean {
  return isOfGatewayApi(config) && (config.annotations[annotationsOfGateways.serviceAccount] ?? '') !== '';
}

/**
 * The ports to listen on for a port that the Gateway names. By selector: what the first Service with that port
 * forwards to, without any the port itself (C7.02); a Service may opt out by a label. By service: what each of
 * them forwards to, and none is none. Source: Istio `resolvePorts`.
 */
export function listenerPorts(
  world: World,
  scope: ProxyScope,
  { by, services }: SelectedGateway,
  servicePort: number,
): readonly number[] {
  const candidates =
    by === 'service' ? services : services.filter(({ labels }) => !(noTranslationLabel in labels));
  const ports = candidates.flatMap((service) => targetPorts(world, scope, service, servicePort));
  if (by === 'service') return [...new Set(ports)].sort((a, b) => a - b);
  return [ports[0] ?? servicePort];
}

const noTranslationLabel = 'experimental.istio.io/disable-gateway-port-translation';

/** At most one. */
function targetPorts(
  world: World,
  scope: ProxyScope,
  service: Service,
  servicePort: number,
): readonly number[] {
  const port = service.ports.find((each) => each.servicePort === servicePort);
  if (port === undefined) return [];
  const { targetPort } = port;
  if (typeof targetPort !== 'string') return [targetPort ?? servicePort];
  for (const address of scope.node.ipAddresses) {
    const number = world.workloadPort(address, targetPort);
    if (number !== undefined) return [number];
  }
  return [];
}
