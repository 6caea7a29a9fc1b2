// By which other objects an object is found: the words of indexes, which follow from the object alone.
import type { FilteredBackendRef, ListenerSetConfig, RouteConfig } from '../config/gateway-api-types.ts';
import { kubeGatewayKind } from '../config/config.ts';
import { objectKey } from './objects.ts';
import { parentKey } from './parents.ts';
import { backendKind, parentKind } from './references.ts';

/** `objectKey`s of the parents that a route names. */
export function routeParentKeys({ spec, namespace }: RouteConfig): readonly string[] {
  const keys = (spec.parentRefs ?? []).flatMap((reference) => parentKey(reference, namespace) ?? []);
  return [...new Set(keys.map(objectKey))];
}

/** `objectKey`s of the objects that a route sends to. */
export function routeBackends({ spec, namespace }: RouteConfig): readonly string[] {
  const rules = (spec.rules ?? []) as readonly { readonly backendRefs?: readonly FilteredBackendRef[] }[];
  const keys = rules.flatMap(({ backendRefs = [] }) =>
    backendRefs.flatMap((backend) => {
      const kind = backendKind(backend);
      return kind === undefined
        ? []
        : [objectKey({ kind, namespace: backend.namespace ?? namespace, name: backend.name })];
    }),
  );
  return [...new Set(keys)];
}

/** `objectKey` of the Gateway that a ListenerSet names; undefined where it names something else. */
export function listenerSetParent({ spec, namespace }: ListenerSetConfig): string | undefined {
  const { parentRef } = spec;
  if (parentKind(parentRef) !== kubeGatewayKind) return undefined;
  return objectKey({
    kind: kubeGatewayKind,
    namespace: parentRef.namespace ?? namespace,
    name: parentRef.name,
  });
}
