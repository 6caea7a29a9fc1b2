// Pods as analyzers see them: those of the files, and those that the files' workloads would start.
import type { DeploymentSpec, PodSpec } from '../config/kube-types.ts';
import type { AnalysisObject, Objects } from './object.ts';

export interface AnalyzedPod {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly spec: PodSpec;
  /** The Pod itself; undefined where a Deployment or StatefulSet only describes it. */
  readonly object: AnalysisObject | undefined;
}

/** Pods, and one for each Deployment and StatefulSet that none of them belongs to. */
export function podsOf(objects: Objects): readonly AnalyzedPod[] {
  const pods: AnalyzedPod[] = objects.list('Pod').map((object) => ({
    namespace: object.namespace,
    name: object.name,
    labels: object.labels,
    annotations: object.annotations,
    spec: (object.body['spec'] ?? {}) as PodSpec,
    object,
  }));
  for (const kind of ['Deployment', 'StatefulSet'])
    for (const { body, namespace, name } of objects.list(kind)) {
      const { template } = (body['spec'] ?? {}) as DeploymentSpec;
      pods.push({
        namespace,
        name,
        labels: template?.metadata?.labels ?? {},
        annotations: template?.metadata?.annotations ?? {},
        spec: template?.spec ?? {},
        object: undefined,
      });
    }
  return pods;
}

const injectLabel = 'sidecar.istio.io/inject';

/**
 * Whether pods of these labels have a sidecar or get one: by the container itself, the pod's word, or its
 * namespace's. Source: Istio `pkg/config/analysis/analyzers/util/in_mesh.go`.
 */
export function isInMesh(
  pod: Pick<AnalyzedPod, 'namespace' | 'labels' | 'annotations' | 'spec'>,
  objects: Objects,
): boolean {
  if (proxyImageOf(pod.spec) !== '') return true;
  const said = pod.labels[injectLabel] ?? pod.annotations[injectLabel];
  if (said !== undefined) return said === 'true';
  return objects.find('Namespace', '', pod.namespace)?.labels['istio-injection'] === 'enabled';
}

/** The image of the pod's sidecar; empty if it has none. */
export function proxyImageOf(spec: PodSpec): string {
  const containers = [...(spec.containers ?? []), ...(spec.initContainers ?? [])];
  return containers.find(({ name }) => name === 'istio-proxy')?.image ?? '';
}

/** Whether the pod's traffic is captured by ambient mode. */
export function isAmbientPod(pod: Pick<AnalyzedPod, 'annotations'>): boolean {
  return pod.annotations['ambient.istio.io/redirection'] === 'enabled';
}

/** Whether an object belongs to Istio's own control plane. */
export function isControlPlane({ labels }: Pick<AnalysisObject, 'labels'>): boolean {
  return labels['istio'] !== undefined || labels['release'] === 'istio';
}
