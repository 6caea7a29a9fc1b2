// The addresses that an Ingress is reached at: its status.loadBalancer.
import { isIP } from 'node:net';
import type { Config } from '../config/config.ts';
import type { KubeServiceSpec, PodStatus } from '../config/kube-types.ts';
import { externalAddresses } from '../config/service-addresses.ts';
import type { MeshConfig } from '../config/mesh-config.ts';
import { labelsMatch } from '../model/labels.ts';
import { ingressGatewayLabels } from './gateway.ts';

export interface IngressStatus {
  readonly loadBalancer: {
    readonly ingress: readonly { readonly ip?: string; readonly hostname?: string }[];
  };
}

/** What there is in the mesh beside Ingresses. */
export interface IngressSurroundings {
  readonly service: (namespace: string, name: string) => Config<KubeServiceSpec> | undefined;
  /** Pods of a namespace, in any order. */
  readonly pods: (namespace: string) => readonly Config[];
  readonly node: (name: string) => Config | undefined;
}

/**
 * The addresses of ingressService: its external name, or what the load balancer gave it, and its external IPs. Without
 * ingressService: the external addresses of the node on which the first running pod of the ingress
 * gateway is. Addresses first, then host names, each in order. Source: Istio `runningAddresses`.
 */
export function ingressStatus(mesh: MeshConfig, around: IngressSurroundings): IngressStatus {
  const addresses = [...addressesOf(mesh, around)].map((address) =>
    isIP(address) === 0 ? { hostname: address } : { ip: address },
  );
  const key = (one: { readonly ip?: string; readonly hostname?: string }): string =>
    `${one.hostname ?? ''} ${one.ip ?? ''}`;
  return { loadBalancer: { ingress: addresses.sort((a, b) => (key(a) < key(b) ? -1 : 1)) } };
}

interface NodeStatus {
  readonly addresses?: readonly { readonly type?: string; readonly address?: string }[];
}

function addressesOf(mesh: MeshConfig, around: IngressSurroundings): ReadonlySet<string> {
  const { ingressService, rootNamespace } = mesh;
  if (ingressService !== '') {
    const service = around.service(rootNamespace, ingressService);
    if (service === undefined) return new Set();
    const { type, externalName = '' } = service.spec;
    return new Set(type === 'ExternalName' ? [externalName] : externalAddresses(service));
  }
  const selector = ingressGatewayLabels(mesh);
  const pods = around
    .pods(rootNamespace)
    .filter(
      (pod) =>
        labelsMatch(selector, pod.labels) && (pod.status as PodStatus | undefined)?.phase === 'Running',
    )
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const pod of pods) {
    const node = around.node((pod.spec as { readonly nodeName?: string }).nodeName ?? '');
    if (node === undefined) continue;
    const { addresses = [] } = (node.status ?? {}) as NodeStatus;
    return new Set(
      addresses.flatMap(({ type, address = '' }) =>
        type === 'ExternalIP' && address !== '' ? [address] : [],
      ),
    );
  }
  return new Set();
}
