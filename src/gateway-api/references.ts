// References between objects: which kind is meant, and whether a ReferenceGrant lets it cross namespaces.
import { gatewayApiGroup, kindKey, kubeGatewayKind } from '../config/config.ts';
import type { GatewayApiObjects } from './objects.ts';

/** The groups of kinds that references may mean, by the kind that is in them. */
const knownKinds: Readonly<Record<string, string>> = {
  Service: '',
  Secret: '',
  ConfigMap: '',
  ServiceEntry: 'networking.istio.io',
  Hostname: 'networking.istio.io',
  InferencePool: 'inference.networking.k8s.io',
  ServiceImport: 'multicluster.x-k8s.io',
  Gateway: gatewayApiGroup,
  ListenerSet: gatewayApiGroup,
  HTTPRoute: gatewayApiGroup,
  GRPCRoute: gatewayApiGroup,
  TLSRoute: gatewayApiGroup,
  TCPRoute: gatewayApiGroup,
};

interface Reference {
  readonly group?: string;
  readonly kind?: string;
}

/**
 * The kind that a reference means, as `kindKey` gives it; undefined where we do not know it. `usual` is the kind
 * where the reference names none, and `usualGroup` its group.
 */
export function referredKind(
  { group, kind }: Reference,
  usual: string,
  usualGroup: string,
): string | undefined {
  const name = kind ?? usual;
  const of = group ?? usualGroup;
  // What is read as `core` elsewhere is the group of Kubernetes' oldest kinds.
  return knownKinds[name] === of ? kindKey(of, name) : undefined;
}

/** Of a backendRef. */
export function backendKind(reference: Reference): string | undefined {
  return referredKind(reference, 'Service', '');
}

/** Of a parentRef. */
export function parentKind(reference: Reference): string | undefined {
  return referredKind(reference, 'Gateway', gatewayApiGroup);
}

/** Kinds that may be let across namespaces, and kinds to which they may be let. */
const grantedFrom = new Set([
  kubeGatewayKind,
  'ListenerSet',
  'HTTPRoute',
  'GRPCRoute',
  'TLSRoute',
  'TCPRoute',
]);
const grantedTo = new Set(['ConfigMap', 'Secret', 'Service', 'InferencePool']);

/**
 * Whether a ReferenceGrant in the namespace of `to` lets objects of kind `from.kind` in `from.namespace` refer
 * to it. Asks nothing of references within one namespace, which need none.
 */
export function isGranted(
  objects: Pick<GatewayApiObjects, 'referenceGrants'>,
  from: { readonly kind: string; readonly namespace: string },
  to: { readonly kind: string; readonly namespace: string; readonly name: string },
): boolean {
  if (!grantedFrom.has(from.kind) || !grantedTo.has(to.kind)) return false;
  return objects
    .referenceGrants(to.namespace)
    .some(
      ({ spec }) =>
        spec.from.some(
          (each) => referredKind(each, '', '') === from.kind && each.namespace === from.namespace,
        ) &&
        spec.to.some(
          (each) =>
            referredKind(each, '', '') === to.kind && (each.name === undefined || each.name === to.name),
        ),
    );
}
