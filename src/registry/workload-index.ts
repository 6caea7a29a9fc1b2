// The workloads of a mesh, by what they are asked for: name, address, or a selector's labels.
import type { Service } from '../model/service.ts';
import type { PodLookup } from './endpoints.ts';
import type { RegistrySources } from './registry.ts';
import type { PlaceOptions, Workload } from './workload.ts';
import { workloadOfEntry, workloadOfPod } from './workload.ts';

/** Pods and WorkloadEntries by what they are asked for. */
export class WorkloadIndex {
  readonly #podsByName;
  readonly #podsByAddress;
  readonly #podsByLabel;
  readonly #entriesByAddress;
  readonly #entriesByLabel;
  readonly #podsByNamespace;
  readonly #entriesByNamespace;

  constructor(
    sources: Pick<RegistrySources, 'pods' | 'workloadEntries' | 'nodes'>,
    place: (clusterId: string | undefined) => PlaceOptions,
  ) {
    const nodes = sources.nodes?.index('nodes-by-name', (node) => [node.name]);
    const pods = sources.pods.map('pods', (config) => {
      const { nodeName } = config.spec;
      const node = nodeName === undefined ? undefined : nodes?.get(nodeName)[0];
      return workloadOfPod(config, { ...place(config.clusterId), nodeLabels: node?.labels });
    });
    const entries = sources.workloadEntries.map('workload-entries', (config) =>
      workloadOfEntry(config, place(config.clusterId)),
    );
    const addresses = (workload: Workload): readonly string[] => workload.addresses;
    this.#podsByName = pods.index('pods-by-name', ({ namespace, name, clusterId }) => [
      objectKey(namespace, name, clusterId),
    ]);
    this.#podsByAddress = pods.index('pods-by-address', addresses);
    this.#podsByLabel = pods.index('pods-by-label', labelWords);
    this.#podsByNamespace = pods.index('pods-by-namespace', ({ namespace }) => [namespace]);
    this.#entriesByAddress = entries.index('workload-entries-by-address', addresses);
    this.#entriesByLabel = entries.index('workload-entries-by-label', labelWords);
    this.#entriesByNamespace = entries.index('workload-entries-by-namespace', (e) => [e.namespace]);
  }

  ofCluster(clusterId: string): PodLookup {
    return {
      byName: (namespace, name) => this.#podsByName.get(objectKey(namespace, name, clusterId))[0],
      /** Of several Pods with one address (host network) none can be meant for sure. */
      byAddress: (address) => {
        const pods = this.#podsByAddress.get(address).filter((pod) => pod.clusterId === clusterId);
        return pods.length === 1 ? pods[0] : undefined;
      },
    };
  }

  /** Sorted by kind and name, so that the first answer does not depend on the order of files. */
  atAddress(address: string): readonly Workload[] {
    const all = [...this.#podsByAddress.get(address), ...this.#entriesByAddress.get(address)];
    return all.sort((a, b) => (workloadKey(a) < workloadKey(b) ? -1 : 1));
  }

  /** Workloads that may match: those of the namespace with the selector's first label. */
  selectedBy(service: Service): readonly Workload[] {
    const [first] = Object.entries(service.selector ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
    if (first === undefined) {
      const { namespace } = service;
      return [...this.#podsByNamespace.get(namespace), ...this.#entriesByNamespace.get(namespace)];
    }
    const word = labelWord(service.namespace, first[0], first[1]);
    const entries =
      // Kubernetes Services without a virtual IP select Pods alone (Istio: client-side resolution only).
      service.registry === 'Kubernetes' && service.resolution !== 'client-side'
        ? []
        : this.#entriesByLabel.get(word);
    return [...this.#podsByLabel.get(word), ...entries];
  }
}

/** One object of one cluster; without a cluster, the mesh's own. */
export function objectKey(namespace: string, name: string, clusterId: string | undefined): string {
  return `${clusterId ?? ''}/${namespace}/${name}`;
}

function workloadKey(workload: Workload): string {
  return `${workload.kind}/${workload.namespace}/${workload.name}`;
}

function labelWords({ namespace, labels }: Workload): readonly string[] {
  return Object.entries(labels).map(([name, value]) => labelWord(namespace, name, value));
}

function labelWord(namespace: string, name: string, value: string): string {
  return `${namespace}/${name}=${value}`;
}
