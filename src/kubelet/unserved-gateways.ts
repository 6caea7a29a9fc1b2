// Gateways of the Gateway API that ask for a proxy of their own, which nobody deploys here yet.
import type { Diagnostic } from '../config/config.ts';
import { kubeGatewayKind } from '../config/config.ts';
import type { GatewayClassSpec, KubeGatewaySpec } from '../config/gateway-api-types.ts';
import type { ConfigStore } from '../config/store.ts';
import { gatewayName } from './gateway.ts';

const controller = 'istio.io/gateway-controller';

/**
 * A warning for each Gateway of ours that names no Service (by an address of type Hostname), and for which there is
 * none of the name that Istio would give it.
 */
export function unservedGateways(store: ConfigStore, rootNamespace: string): readonly Diagnostic[] {
  return store.list(kubeGatewayKind).flatMap((config): readonly Diagnostic[] => {
    const { kind, namespace, name, annotations } = config;
    const { gatewayClassName, addresses = [] } = config.spec as KubeGatewaySpec;
    const written = store.get('GatewayClass', '', gatewayClassName)?.spec as GatewayClassSpec | undefined;
    const isOurs = gatewayClassName === 'istio' || written?.controllerName === controller;
    if (!isOurs || addresses.some(({ type }) => type === 'Hostname')) return [];
    const service = annotations['gateway.istio.io/name-override'] ?? `${name}-${gatewayClassName}`;
    if (store.get('Service', namespace, service) !== undefined) return [];
    const fieldPath = ['spec', 'addresses'];
    const message = `no proxy is deployed for it yet (there is no Service ${namespace}/${service}); to use the ingress gateway, put it into namespace ${rootNamespace} with addresses: [{type: Hostname, value: ${gatewayName}}]`;
    return [
      {
        severity: 'warning',
        code: 'not-supported',
        message,
        position: config.locate(fieldPath),
        object: { kind, namespace, name },
        fieldPath,
      },
    ];
  });
}
