// The pods that a store asks for, as if they ran: for whoever asks what would be, without starting anything. Pure.
import type { Interception, NodeIdentity } from '../agent/node-identity.ts';
import type { Config } from '../config/config.ts';
import type { PodSpec, PodStatus } from '../config/kube-types.ts';
import type { ConfigStore } from '../config/store.ts';
import type { Locality } from '../model/service.ts';
import { bringsGateway, builtInGateway, builtInGatewayService, gatewayBinds } from './gateway.ts';
import { decideInjection } from './injection.ts';
import { nodeIdentity } from './pod-identity.ts';
import type { Workload } from './workloads.ts';
import { readWorkload, readWorkloads, runsElsewhere } from './workloads.ts';

export interface PlannedPodsOptions {
  /** redirect: as on Kubernetes. loopback: as `fairlead up` runs them. */
  readonly interception: 'redirect' | 'loopback';
  readonly rootNamespace: string;
  readonly domainSuffix: string;
  readonly trustDomain: string;
  /** loopback: port of each sidecar's HTTP proxy listener. */
  readonly httpProxyPort: number;
  /** loopback: where the gateway is reached from outside. */
  readonly gateway: { readonly hostAddresses: readonly string[]; readonly hostPort: number };
  /** Gives the next pod its addresses. */
  readonly allocate: () => { readonly podIp: string; readonly appAddress: string };
}

export interface PlannedPod {
  /** A v1 Pod that runs and is ready. */
  readonly config: Config<PodSpec>;
  readonly workloadName: string;
  /** Undefined: it gets no proxy. */
  readonly identity: NodeIdentity | undefined;
}

export interface PlannedMesh {
  readonly pods: readonly PlannedPod[];
  /** Objects that come with a mesh: the built-in gateway's Service, unless the store brings a gateway. */
  readonly builtIn: readonly Config[];
  /** Namespaces with pods, of which the store has no Namespace: they are taken to be injected. */
  readonly assumedNamespaces: readonly string[];
}

/** How injection marks pods that can take the mesh's mutual TLS. */
const tlsModeLabel = 'security.istio.io/tlsMode';

/**
 * Pods of Deployments and StatefulSets are numbered; Pods that are written with an address are taken as they
 * are, and stand for the workload that they belong to.
 */
export function plannedPods(store: ConfigStore, options: PlannedPodsOptions): PlannedMesh {
  const assumed = new Set<string>();
  const running = store.list('Pod').filter(runsElsewhere);
  const owned = readWorkloads(store);
  const gateway = readWorkload('Deployment', builtInGateway(options.rootNamespace));
  const isBuiltIn = !bringsGateway(owned) && !running.some(isGatewayPod);
  const workloads = owned.filter(
    (workload) =>
      !running.some(
        (pod) => ownerOf(pod) === workload.config.name && pod.namespace === workload.config.namespace,
      ),
  );
  const all = isBuiltIn ? [...workloads, gateway] : workloads;
  const planned = all.flatMap((workload) =>
    Array.from({ length: workload.replicas }, (_, ordinal) =>
      planOne(store, workload, ordinal, options, assumed),
    ),
  );
  const existing = running.map((config) => takeOne(store, config as Config<PodSpec>, options, assumed));
  return {
    pods: [...planned, ...existing],
    builtIn: isBuiltIn ? [builtInGatewayService(options.rootNamespace)] : [],
    assumedNamespaces: [...assumed].sort(),
  };
}

function planOne(
  store: ConfigStore,
  workload: Workload,
  ordinal: number,
  options: PlannedPodsOptions,
  assumed: Set<string>,
): PlannedPod {
  const { config, kind, template } = workload;
  const { podIp, appAddress } = options.allocate();
  const name = kind === 'Pod' ? config.name : `${config.name}-${ordinal}`;
  const pod = podOf(config, name, template.metadata?.labels ?? {}, template.spec ?? {}, podIp);
  const located = {
    ...pod,
    annotations: template.metadata?.annotations ?? {},
    locate: (path: readonly (string | number)[]) => config.locate([...workload.templatePath, ...path]),
  };
  return withProxy(store, workload, located, appAddress, options, assumed, ordinal === 0);
}

/** A Pod as Kubernetes reports it: its own containers say whether it has a proxy. */
function takeOne(
  store: ConfigStore,
  config: Config<PodSpec>,
  options: PlannedPodsOptions,
  assumed: Set<string>,
): PlannedPod {
  const workload = readWorkload('Pod', config);
  const owner = ownerOf(config);
  const named = owner === undefined ? workload : { ...workload, config: { ...config, name: owner } };
  const containers = [...(config.spec.containers ?? []), ...(config.spec.initContainers ?? [])];
  if (!containers.some(({ name: container }) => container === 'istio-proxy'))
    return withProxy(store, named, config, '', options, assumed, false);
  const identity = identityOf(store, named, config, '', options, false);
  return { config, workloadName: named.config.name, identity };
}

function withProxy(
  store: ConfigStore,
  workload: Workload,
  pod: Config<PodSpec>,
  appAddress: string,
  options: PlannedPodsOptions,
  assumed: Set<string>,
  mayBindGateway: boolean,
): PlannedPod {
  const { namespace, annotations, labels } = pod;
  const known = store.get('Namespace', '', namespace);
  const injection = decideInjection({
    namespace,
    namespaceLabels: known?.labels ?? { 'istio-injection': 'enabled' },
    podLabels: labels,
    podAnnotations: annotations,
    hostNetwork: pod.spec.hostNetwork === true,
  });
  if (injection.kind === 'none')
    return { config: pod, workloadName: workload.config.name, identity: undefined };
  if (known === undefined && injection.kind === 'sidecar') assumed.add(namespace);
  const marked = options.interception === 'redirect' && injection.kind === 'sidecar';
  const config = marked ? { ...pod, labels: { [tlsModeLabel]: 'istio', ...labels } } : pod;
  const identity = identityOf(store, workload, config, appAddress, options, mayBindGateway);
  return { config, workloadName: workload.config.name, identity };
}

function identityOf(
  store: ConfigStore,
  workload: Workload,
  pod: Config<PodSpec>,
  appAddress: string,
  options: PlannedPodsOptions,
  mayBindGateway: boolean,
): NodeIdentity {
  const facts = {
    name: pod.name,
    namespace: pod.namespace,
    labels: pod.labels,
    annotations: pod.annotations,
    serviceAccountName: pod.spec.serviceAccountName ?? 'default',
    machineName: pod.spec.nodeName ?? 'localhost',
    addresses: { podIp: ((pod.status ?? {}) as PodStatus).podIP ?? '' },
  };
  const identity = nodeIdentity(
    workload,
    facts,
    interceptionOf(store, workload, appAddress, options, mayBindGateway),
    options,
  );
  return { ...identity, locality: localityOf(store, pod) };
}

/** The label istio-locality (`region.zone.subzone`, or with slashes), else the topology labels of the Pod's Node. */
function localityOf(store: ConfigStore, { labels, spec }: Config<PodSpec>): Locality {
  const written = labels['istio-locality'];
  if (written !== undefined) {
    const [region = '', zone = '', subzone = ''] = written.split(written.includes('/') ? '/' : '.');
    return { region, zone, subzone };
  }
  const node = store.get('Node', '', spec.nodeName ?? '')?.labels ?? {};
  return {
    region: node['topology.kubernetes.io/region'] ?? '',
    zone: node['topology.kubernetes.io/zone'] ?? '',
    subzone: node['topology.istio.io/subzone'] ?? '',
  };
}

function interceptionOf(
  store: ConfigStore,
  workload: Workload,
  appAddress: string,
  { interception, httpProxyPort, gateway }: PlannedPodsOptions,
  mayBindGateway: boolean,
): Interception {
  if (interception === 'redirect') return { mode: 'redirect' };
  if (!workload.isGateway) return { mode: 'loopback', appAddress, httpProxyPort, gatewayBinds: [] };
  const binds = mayBindGateway ? gatewayBinds(gateway.hostAddresses, gateway.hostPort, workload, store) : [];
  return { mode: 'loopback', httpProxyPort: 0, gatewayBinds: binds };
}

function podOf(
  owner: Config,
  name: string,
  labels: Readonly<Record<string, string>>,
  spec: PodSpec,
  podIp: string,
): Config<PodSpec> {
  return {
    group: '',
    version: 'v1',
    kind: 'Pod',
    namespace: owner.namespace,
    name,
    labels,
    annotations: {},
    creationTimeMs: owner.creationTimeMs,
    controller: { kind: 'StatefulSet', name: owner.name },
    spec,
    status: { phase: 'Running', podIP: podIp, podIPs: [{ ip: podIp }] } satisfies PodStatus,
    locate: owner.locate,
  };
}

/** The Deployment behind a ReplicaSet's name, or the StatefulSet. */
function ownerOf({ controller, labels }: Config): string | undefined {
  if (controller === undefined) return undefined;
  const hash = labels['pod-template-hash'];
  const suffix = `-${hash ?? ''}`;
  if (controller.kind === 'ReplicaSet' && hash !== undefined && controller.name.endsWith(suffix))
    return controller.name.slice(0, -suffix.length);
  return controller.name;
}

function isGatewayPod({ annotations }: Config): boolean {
  return (annotations['inject.istio.io/templates'] ?? '').split(',').includes('gateway');
}
