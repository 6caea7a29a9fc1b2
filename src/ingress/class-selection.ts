// Whether an Ingress is ours to serve.
import type { IngressClassConfig, IngressConfig } from '../config/ingress-types.ts';
import type { MeshConfig } from '../config/mesh-config.ts';

/** The controller that an IngressClass of ours names. */
const ingressController = 'istio.io/ingress-controller';

const classAnnotation = 'kubernetes.io/ingress.class';

/**
 * The old annotation decides before the class that the Ingress names; one without either is ours in mode DEFAULT
 * alone. An IngressClass of ours is served in any mode. `ingressClass` is the one that the Ingress names, if there is one of
 * that name. Source: Istio `shouldProcessIngressWithClass`.
 */
export function isServed(
  mesh: Pick<MeshConfig, 'ingressControllerMode' | 'ingressClass'>,
  ingress: Pick<IngressConfig, 'annotations'>,
  ingressClass: IngressClassConfig | undefined,
): boolean {
  const annotated = ingress.annotations[classAnnotation];
  if (annotated !== undefined) return mesh.ingressControllerMode !== 'OFF' && annotated === mesh.ingressClass;
  if (ingressClass !== undefined) return ingressClass.spec.controller === ingressController;
  return mesh.ingressControllerMode === 'DEFAULT';
}
