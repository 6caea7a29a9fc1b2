// Meshes of several clusters: networks that name registries, and Services that are the same everywhere.
import { isDeepStrictEqual } from 'node:util';
import type { KubeServiceSpec } from '../../config/kube-types.ts';
import type { Analyzer } from '../analyzer.ts';
import { labelsAt, listAt, textAt } from '../fields.ts';
import { says } from '../messages.ts';
import type { AnalysisObject } from '../object.ts';
import { fullName, specOf } from '../object.ts';

/** Registries that Istio has without any cluster. */
const ownRegistries = ['Mock', 'Kubernetes', 'External'];

export const meshNetworks: Analyzer = {
  name: 'meshnetworks.MeshNetworksAnalyzer',
  description: 'Registries that MeshNetworks name are known',
  run: ({ objects, mesh, report }) => {
    const registries = new Set(ownRegistries);
    for (const { labels, body } of objects.list('Secret'))
      if (labels['istio/multiCluster'] === 'true')
        for (const field of ['data', 'stringData'])
          for (const name of Object.keys(labelsAt(body, field))) registries.add(name);
    const object = meshNetworksObject(mesh.rootNamespace);
    for (const [network, value] of networksOf(mesh.networks))
      for (const [index, endpoint] of listAt(value, 'endpoints').entries()) {
        const registry = textAt(endpoint, 'fromRegistry');
        if (registry !== '' && !registries.has(registry))
          report(
            says.unknownMeshNetworksServiceRegistry(registry, network),
            object,
            'networks',
            network,
            'endpoints',
            index,
          );
      }
  },
};

/** MeshNetworks are a setting; messages name them as Istio does. */
function meshNetworksObject(namespace: string): AnalysisObject {
  return {
    kind: 'MeshNetworks',
    namespace,
    name: 'meshnetworks',
    labels: {},
    annotations: {},
    body: {},
    creationTimeMs: 0,
    cluster: '',
    locate: () => undefined,
  };
}

function networksOf(settings: unknown): readonly (readonly [string, unknown])[] {
  const networks = (settings as { readonly networks?: unknown } | null | undefined)?.networks;
  return typeof networks === 'object' && networks !== null ? Object.entries(networks) : [];
}

export const multiClusterServices: Analyzer = {
  name: 'services.MultiClusterServiceAnalyzer',
  description: 'Services of one name are the same in all clusters',
  run: ({ objects, report }) => {
    const byName = new Map<string, AnalysisObject[]>();
    for (const object of objects.list('Service'))
      if (object.cluster !== '')
        byName.set(fullName(object), [...(byName.get(fullName(object)) ?? []), object]);
    for (const [first, ...others] of byName.values()) {
      if (first === undefined) continue;
      const differences = new Set<string>();
      const clusters = new Set<string>([first.cluster]);
      for (const other of others)
        for (const difference of differencesOf(
          specOf<KubeServiceSpec>(first),
          specOf<KubeServiceSpec>(other),
        )) {
          differences.add(difference);
          clusters.add(other.cluster);
        }
      if (differences.size > 0)
        report(
          says.multiClusterInconsistentService(
            first.name,
            first.namespace,
            [...clusters],
            [...differences].sort().join('; '),
          ),
          first,
          'spec',
        );
    }
  },
};

function differencesOf(a: Partial<KubeServiceSpec>, b: Partial<KubeServiceSpec>): readonly string[] {
  const byName = (spec: Partial<KubeServiceSpec>): unknown =>
    [...(spec.ports ?? [])].sort(({ name = '' }, { name: other = '' }) =>
      name < other ? -1 : name > other ? 1 : 0,
    );
  return [
    ...((a.clusterIP === 'None') === (b.clusterIP === 'None') ? [] : ['headless in some and not in others']),
    ...((a.type ?? 'ClusterIP') === (b.type ?? 'ClusterIP') ? [] : ['of different types']),
    ...(isDeepStrictEqual(byName(a), byName(b)) ? [] : ['with different ports']),
  ];
}
