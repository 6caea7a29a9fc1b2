// Which GatewayClasses are ours, and what is done with their Gateways.
import type { GatewayClassConfig } from '../config/gateway-api-types.ts';
import type { Condition } from './conditions.ts';
import { joinConditions } from './conditions.ts';
import type { GatewayApiObjects } from './objects.ts';

/** The controller of Gateways that proxies of ours serve; routes and Gateways carry it in their status. */
export const gatewayController = 'istio.io/gateway-controller';
/** The controller that policies carry in their status where they hold for the mesh. */
export const meshController = 'istio.io/mesh-controller';

export interface ClassInfo {
  readonly controller: string;
  /** `remote`: a Gateway of another cluster, which is read for its addresses alone. */
  readonly serves: 'gateway' | 'remote';
}

const controllers: Readonly<Record<string, ClassInfo>> = {
  [gatewayController]: { controller: gatewayController, serves: 'gateway' },
  'istio.io/unmanaged-gateway': { controller: 'istio.io/unmanaged-gateway', serves: 'remote' },
};

/** Classes that are there even if nobody has written them. */
const builtInClasses: Readonly<Record<string, string>> = {
  istio: gatewayController,
  'istio-remote': 'istio.io/unmanaged-gateway',
};

/** Undefined: a class of somebody else's, whose Gateways are not ours to judge. */
export function classOf(
  objects: Pick<GatewayApiObjects, 'gatewayClass'>,
  name: string,
): ClassInfo | undefined {
  const written = objects.gatewayClass(name)?.spec.controllerName ?? '';
  return controllers[written] ?? controllers[builtInClasses[name] ?? ''];
}

/** Undefined: not ours. */
export function gatewayClassStatus(
  config: GatewayClassConfig,
): { readonly conditions: readonly Condition[] } | undefined {
  if (controllers[config.spec.controllerName] === undefined) return undefined;
  const status = (config.status ?? {}) as { readonly conditions?: readonly Condition[] };
  const verdicts = { Accepted: { reason: 'Accepted', message: 'Handled by Istio controller' } };
  return { ...status, conditions: joinConditions(status.conditions, verdicts, config.generation) };
}
