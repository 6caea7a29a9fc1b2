// A mesh that is only written down: the control plane's own translation of the files, for the pods that the files
// ask for.
import type { DescMessage } from '@bufbuild/protobuf';
import type { Config, WorkloadEntryConfig } from '../config/config.ts';
import type { PodStatus } from '../config/kube-types.ts';
import type { FieldPath, Origin } from '../model/origin.ts';
import { formatFieldPath } from '../model/origin.ts';
import type { ProxyNode } from '../model/proxy-node.ts';
import type { Endpoint, Service } from '../model/service.ts';
import { clusters, endpoints, listeners, routes } from '../translate/index.ts';
import type { Built, ProxyScope, ResourceKind } from '../translate/resource.ts';
import { proxyScope } from '../translate/scope.ts';
import type { World } from '../translate/world.ts';
import type { MeshObject, MeshView, ProxyConfiguration, ProxyView, Workload } from './mesh-view.ts';
import type { PlacedSource } from './sources.ts';
import { nearestSources } from './sources.ts';
import type { SourceRef } from './trace.ts';

/** A pod with an address, and who its proxy would say that it is. */
export interface WrittenPod {
  readonly config: Config;
  /** Of the Deployment or StatefulSet. */
  readonly workloadName: string;
  /** Undefined: it has no proxy. */
  readonly node: ProxyNode | undefined;
}

export interface WrittenMesh {
  readonly world: World;
  /** Every service, whoever sees it. */
  readonly services: readonly Service[];
  readonly pods: readonly WrittenPod[];
  readonly objects: (kind: string) => readonly Config[];
  readonly object: (kind: string, namespace: string, name: string) => Config | undefined;
}

export function offlineMesh(mesh: WrittenMesh): MeshView {
  const { world } = mesh;
  const nodes = new Map<Workload, ProxyNode>();
  const pods = mesh.pods.map((pod) => {
    const workload = workloadOf(pod);
    if (pod.node !== undefined) nodes.set(workload, pod.node);
    return workload;
  });
  const entries = (mesh.objects('WorkloadEntry') as readonly WorkloadEntryConfig[]).map(workloadOfEntry);
  const views = new Map<string, ProxyView>();
  const { domainSuffix, rootNamespace } = world.meshConfig();
  return {
    domainSuffix,
    rootNamespace,
    workloads: [...pods, ...entries],
    services: mesh.services,
    endpoints: (service: Service, servicePort: number): readonly Endpoint[] =>
      world.endpoints(service.hostname, servicePort, service.namespace),
    objects: (kind) => mesh.objects(kind).map(meshObject),
    proxyOf(workload) {
      const node = nodes.get(workload);
      if (node === undefined) return Promise.resolve(undefined);
      const scope = proxyScope(world, node);
      const view = views.get(scope.key) ?? viewOf(mesh, scope, node);
      views.set(scope.key, view);
      return Promise.resolve(view);
    },
  };
}

function viewOf(mesh: WrittenMesh, scope: ProxyScope, node: ProxyNode): ProxyView {
  const { world } = mesh;
  const builtListeners = memo(world, scope, listeners);
  const builtRoutes = memo(world, scope, routes);
  const builtClusters = memo(world, scope, clusters);
  const builtEndpoints = memo(world, scope, endpoints);
  const byType = { LDS: builtListeners, RDS: builtRoutes, CDS: builtClusters };
  const placedSources = new Map<string, readonly PlacedSource[]>();
  const port = node.httpProxyPort ?? world.meshConfig().proxyHttpPort;
  const configuration: ProxyConfiguration = {
    listeners: listeners.names(world, scope).flatMap((name) => builtListeners(name)?.message ?? []),
    routes: (name) => builtRoutes(name)?.message,
    cluster: (name) => builtClusters(name)?.message,
    clusterNames: () => clusters.names(world, scope),
    assignment: (name) => builtEndpoints(name)?.message,
    sources: (type, resource, at) => {
      const key = `${type} ${resource}`;
      let placed = placedSources.get(key);
      if (placed === undefined) {
        const provenance = byType[type](resource)?.provenance ?? [];
        placed = provenance.map(({ at: place, origin }) => ({ at: place, source: sourceOf(mesh, origin) }));
        placedSources.set(key, placed);
      }
      return nearestSources(placed, at);
    },
  };
  return {
    type: node.type,
    interceptionMode: node.interceptionMode,
    ...(port === 0 ? {} : { httpProxyPort: port }),
    configuration,
  };
}

type Lookup<Desc extends DescMessage> = (name: string) => Built<Desc> | undefined;

/** Only names of the proxy's own: `input` would answer others with empty routes. */
function memo<Input, Desc extends DescMessage>(
  world: World,
  scope: ProxyScope,
  kind: ResourceKind<Input, Desc>,
): Lookup<Desc> {
  const built = new Map<string, Built<Desc> | undefined>();
  const names = new Set(kind.names(world, scope));
  return (name) => {
    if (!names.has(name)) return undefined;
    if (!built.has(name)) {
      const input = kind.input(world, scope, name);
      built.set(name, input === undefined ? undefined : kind.build(input));
    }
    return built.get(name);
  };
}

function workloadOf({ config, workloadName, node }: WrittenPod): Workload {
  const status = (config.status ?? {}) as PodStatus;
  const ready = (status.conditions ?? []).find(({ type }) => type === 'Ready');
  return {
    name: config.name,
    namespace: config.namespace,
    addresses: addressesOf(status),
    labels: config.labels,
    workloadName,
    hasProxy: node !== undefined,
    isGateway: node?.type === 'router',
    ready: ready?.status !== 'False',
    terminating: config.deletionTimeMs !== undefined,
  };
}

function addressesOf({ podIP, podIPs = [] }: PodStatus): readonly string[] {
  const all = [...(podIP === undefined ? [] : [podIP]), ...podIPs.flatMap(({ ip }) => ip ?? [])];
  return [...new Set(all)];
}

function workloadOfEntry({ namespace, name, spec, labels }: WorkloadEntryConfig): Workload {
  return {
    name,
    namespace,
    addresses: spec.address === undefined ? [] : [spec.address],
    labels: { ...spec.labels, ...labels },
    workloadName: name,
    hasProxy: false,
    isGateway: false,
    ready: true,
    terminating: false,
  };
}

function meshObject(config: Config): MeshObject {
  const { kind, namespace, name, spec } = config;
  return { kind, namespace, name, spec, locate: (path) => refOf(config, path) };
}

function sourceOf(mesh: WrittenMesh, { kind, namespace, name, fieldPath }: Origin): SourceRef {
  const config = mesh.object(kind, namespace, name);
  if (config !== undefined) return refOf(config, fieldPath);
  return { kind, namespace, name, field: formatFieldPath(fieldPath), file: '', line: 0, column: 0 };
}

/** The field, or its nearest parent that is written. */
function refOf(config: Config, path: FieldPath): SourceRef {
  const written = writtenPath(config, path);
  const { file, line, column } = config.locate(written);
  const { kind, namespace, name } = config;
  return { kind, namespace, name, field: formatFieldPath(written), file, line, column };
}

function writtenPath(config: Config, path: FieldPath): FieldPath {
  let value: unknown = { spec: config.spec };
  for (const [index, part] of path.entries()) {
    // Of what stands beside spec (metadata, data) only the place is asked for.
    if (index === 0 && part !== 'spec') return path;
    const next: unknown =
      typeof value === 'object' && value !== null
        ? (value as Record<string | number, unknown>)[part]
        : undefined;
    if (next === undefined) return path.slice(0, index);
    value = next;
  }
  return path;
}
