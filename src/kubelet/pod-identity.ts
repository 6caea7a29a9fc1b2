// Who the proxy of a pod says that it is.
import type { Interception, NodeIdentity, PodPort } from '../agent/node-identity.ts';
import { defaultNodeIdentity } from '../agent/node-identity.ts';
import type { PodFacts } from './container-environment.ts';
import type { Workload } from './workloads.ts';

/** What of a pod its identity is made of. */
export type IdentifiedPod = Pick<
  PodFacts,
  'name' | 'namespace' | 'labels' | 'annotations' | 'serviceAccountName' | 'machineName'
> & { readonly addresses: Pick<PodFacts['addresses'], 'podIp'> };

export function nodeIdentity(
  { config, kind, template, isGateway }: Workload,
  pod: IdentifiedPod,
  interception: Interception,
  mesh: { readonly domainSuffix: string; readonly trustDomain: string },
): NodeIdentity {
  const containers = template.spec?.containers ?? [];
  const ports = containers.flatMap((container) => container.ports ?? []);
  const plural = { Deployment: 'deployments', StatefulSet: 'statefulsets', Pod: 'pods' }[kind];
  const api = kind === 'Pod' ? 'v1' : 'apps/v1';
  return {
    ...defaultNodeIdentity,
    type: isGateway ? 'router' : 'sidecar',
    ipAddresses: [pod.addresses.podIp],
    podName: pod.name,
    namespace: pod.namespace,
    domainSuffix: mesh.domainSuffix,
    labels: pod.labels,
    annotations: pod.annotations,
    serviceAccount: pod.serviceAccountName,
    workloadName: config.name,
    owner: `kubernetes://apis/${api}/namespaces/${config.namespace}/${plural}/${config.name}`,
    podPorts: ports.map(({ name, containerPort, protocol = 'TCP' }): PodPort => ({
      ...(name === undefined ? {} : { name }),
      containerPort,
      protocol,
    })),
    appContainers: isGateway ? [] : containers.map(({ name }) => name),
    meshId: mesh.trustDomain,
    machineName: pod.machineName,
    interception,
  };
}
