// The whole conversion by what is asked for: Gateways, VirtualServices bound to one gateway, DestinationRules of
// one Service, the status of one object.
import type { Config, DestinationRuleConfig, GatewayConfig, VirtualServiceConfig } from '../config/config.ts';
import { kubeGatewayKind } from '../config/config.ts';
import type {
  BackendTlsPolicyConfig,
  GatewayClassConfig,
  KubeGatewayConfig,
  ListenerSetConfig,
  RouteConfig,
} from '../config/gateway-api-types.ts';
import { backendRules, backendTlsPolicyStatus } from './backend-tls.ts';
import { gatewayClassStatus } from './classes.ts';
import { gatewayStatus, listenerSetStatus } from './gateway-status.ts';
import { convertGateway, convertListenerSet } from './gateways.ts';
import type { GatewayApiObjects, ObjectKey } from './objects.ts';
import { objectKey } from './objects.ts';
import { routeStatus } from './route-status.ts';
import { convertRoute, joinParts } from './routes.ts';

export const routeKinds = ['HTTPRoute', 'GRPCRoute', 'TLSRoute', 'TCPRoute'] as const;

/** The Gateways of Istio's that a Gateway and its ListenerSets stand for. */
export function gatewaysOf(objects: GatewayApiObjects, gateway: KubeGatewayConfig): readonly GatewayConfig[] {
  const own = convertGateway(objects, gateway);
  if (own === undefined) return [];
  const sets = objects.listenerSetsOf(gateway.namespace, gateway.name);
  return [...own.gateways, ...sets.flatMap((set) => convertListenerSet(objects, set)?.gateways ?? [])];
}

/** The Gateway or ListenerSet of which a Gateway of that name was made; undefined: no such name is ever made. */
export function ownersOfGateway(gateway: string): readonly ObjectKey[] {
  const [namespace = '', name = ''] = gateway.split('/');
  const end = name.indexOf('~');
  if (end < 0) return [];
  return [kubeGatewayKind, 'ListenerSet'].map((kind) => ({ kind, namespace, name: name.slice(0, end) }));
}

/** The VirtualServices bound to one gateway (`namespace/name`, or `mesh`) that these routes make. */
export function virtualServicesOf(
  objects: GatewayApiObjects,
  gateway: string,
  routes: readonly RouteConfig[],
): readonly VirtualServiceConfig[] {
  const unique = [...new Map(routes.map((route) => [objectKey(route), route])).values()];
  const parts = unique.flatMap((route) =>
    convertRoute(objects, route)
      .parts.filter((part) => part.gateway === gateway)
      .map((part) => ({ route, part })),
  );
  const others = unique.flatMap((route) =>
    convertRoute(objects, route).virtualServices.filter(({ spec }) => spec.gateways?.includes(gateway)),
  );
  return [...others, ...joinParts(parts)];
}

export function destinationRulesOf(
  objects: GatewayApiObjects,
  target: ObjectKey,
): readonly DestinationRuleConfig[] {
  return backendRules(objects, target);
}

/** The status that an object should have; undefined: it is not ours to judge. */
export function statusOf(objects: GatewayApiObjects, config: Config): unknown {
  switch (config.kind) {
    case 'GatewayClass':
      return gatewayClassStatus(config as GatewayClassConfig);
    case kubeGatewayKind:
      return gatewayStatus(objects, config as KubeGatewayConfig);
    case 'ListenerSet':
      return listenerSetStatus(objects, config as ListenerSetConfig);
    case 'BackendTLSPolicy':
      return backendTlsPolicyStatus(objects, config as BackendTlsPolicyConfig);
    case 'HTTPRoute':
    case 'GRPCRoute':
    case 'TLSRoute':
    case 'TCPRoute':
      return routeStatus(objects, config as RouteConfig);
    default:
      return undefined;
  }
}
