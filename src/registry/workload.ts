// What runs behind services: Pods and WorkloadEntries in one form.
import type { Config, WorkloadEntryConfig } from '../config/config.ts';
import type { ServiceEntrySpec } from '../api/gen/istio-types.js';
import type { Container, PodSpec, PodStatus } from '../config/kube-types.ts';
import type { Endpoint, Locality, PodName } from '../model/service.ts';

export interface Workload {
  readonly kind: 'Pod' | 'WorkloadEntry';
  readonly namespace: string;
  /** The object's own name. */
  readonly name: string;
  /** IP addresses, the primary one first; of a WorkloadEntry perhaps a DNS name or `unix://path`. */
  readonly addresses: readonly string[];
  /** The object's labels, and those that follow from where it runs (region, zone, cluster, node, network). */
  readonly labels: Readonly<Record<string, string>>;
  /** Port name -> number: named container ports, or a WorkloadEntry's `ports`. */
  readonly namedPorts: Readonly<Record<string, number>>;
  readonly workloadName: string;
  /** Of a Pod that names a subdomain. */
  readonly podName?: PodName;
  readonly serviceAccount: string;
  readonly network: string;
  readonly clusterId: string;
  readonly locality: Locality;
  readonly nodeName: string;
  readonly tlsMode: Endpoint['tlsMode'];
  readonly ready: boolean;
  /** On its way out: no traffic any more, though it may still answer. */
  readonly terminating: boolean;
  /** 1 or more. */
  readonly weight: number;
}

export interface PlaceOptions {
  readonly clusterId: string;
  /** The network of a workload whose label names none. */
  readonly networkOf: (label: string, address: string) => string;
  /** Labels of a Pod's node, if known. */
  readonly nodeLabels?: Readonly<Record<string, string>> | undefined;
}

const emptyLocality: Locality = { region: '', zone: '', subzone: '' };

/** One address without labels: what an Endpoints object or an EndpointSlice without targetRef names. */
export function addressOnlyWorkload(
  namespace: string,
  address: string,
  { clusterId, networkOf }: PlaceOptions,
): Workload {
  return {
    kind: 'Pod',
    namespace,
    name: '',
    addresses: [address],
    labels: {},
    namedPorts: {},
    workloadName: '',
    serviceAccount: '',
    network: networkOf('', address),
    clusterId,
    locality: emptyLocality,
    nodeName: '',
    tlsMode: 'disabled',
    ready: true,
    terminating: false,
    weight: 1,
  };
}

/**
 * The workload of a Pod; undefined after it has ended. It may have no address yet; EndpointSlices that name it
 * have theirs. It is ready if its
 * Ready condition says so; a Pod without such a condition (one written by hand) is, while it runs.
 */
export function workloadOfPod(config: Config<PodSpec>, options: PlaceOptions): Workload | undefined {
  const status = (config.status ?? {}) as PodStatus;
  const addresses = addressesOfPod(status);
  if (status.phase === 'Succeeded' || status.phase === 'Failed') return undefined;
  const { labels, spec } = config;
  const nodeName = spec.nodeName ?? '';
  const locality = parseLocality(localityLabel(labels)) ?? localityOfNode(options.nodeLabels);
  const network = options.networkOf(labels['topology.istio.io/network'] ?? '', addresses[0] ?? '');
  return {
    kind: 'Pod',
    namespace: config.namespace,
    name: config.name,
    addresses,
    labels: placedLabels(labels, { clusterId: options.clusterId, locality, nodeName, network }),
    namedPorts: namedPortsOf(spec),
    workloadName: workloadNameOf(config),
    ...podNameOf(config),
    serviceAccount: spec.serviceAccountName ?? 'default',
    network,
    clusterId: options.clusterId,
    locality,
    nodeName,
    tlsMode: labels['security.istio.io/tlsMode'] === 'istio' ? 'istio' : 'disabled',
    ready: isReady(status),
    terminating: config.deletionTimeMs !== undefined,
    weight: 1,
  };
}

/**
 * The workload of a WorkloadEntry; undefined where it has neither address nor network, and where its health is
 * checked and not known to be good. Source: Istio `isHealthy`.
 */
export function workloadOfEntry(config: WorkloadEntryConfig, options: PlaceOptions): Workload | undefined {
  if (isHealthChecked(config) && !isKnownHealthy(config)) return undefined;
  const workload = workloadOfInlineEntry(config.spec, config.namespace, config.name, options, config.labels);
  if (workload === undefined) return undefined;
  const { annotations, labels } = config;
  const workloadName =
    annotations['istio.io/autoRegistrationGroup'] ??
    labels['service.istio.io/workload-name'] ??
    workload.workloadName;
  return { ...workload, workloadName, terminating: config.deletionTimeMs !== undefined };
}

/** As Go reads a boolean. */
function isHealthChecked({ annotations }: WorkloadEntryConfig): boolean {
  return ['1', 't', 'T', 'TRUE', 'true', 'True'].includes(
    annotations['proxy.istio.io/health-checks-enabled'] ?? '',
  );
}

function isKnownHealthy({ status }: WorkloadEntryConfig): boolean {
  const { conditions } = (status ?? {}) as Pick<PodStatus, 'conditions'>;
  return (
    conditions?.some((condition) => condition.type === 'Healthy' && condition.status === 'True') === true
  );
}

/** An entry of a ServiceEntry's `endpoints`, or a WorkloadEntry's spec; both have the same fields. */
export function workloadOfInlineEntry(
  entry: NonNullable<ServiceEntrySpec['endpoints']>[number],
  namespace: string,
  name: string,
  options: PlaceOptions,
  metadataLabels: Readonly<Record<string, string>> = {},
): Workload | undefined {
  const { address = '' } = entry;
  // Without an address it stands for something in another network, which its gateway leads to.
  if (address === '' && (entry.network ?? '') === '') return undefined;
  // The metadata's labels win over the spec's (Istio: ConvertWorkloadEntry).
  const labels = { ...entry.labels, ...metadataLabels };
  const network =
    (entry.network ?? '') === ''
      ? options.networkOf(labels['topology.istio.io/network'] ?? '', address)
      : (entry.network ?? '');
  const locality =
    parseLocality(entry.locality ?? '') ?? parseLocality(localityLabel(labels)) ?? emptyLocality;
  const serviceAccount = entry.serviceAccount ?? '';
  const tlsLabel = labels['security.istio.io/tlsMode'];
  // Whoever names a service account has a sidecar that proves it.
  const tlsMode =
    tlsLabel === undefined
      ? serviceAccount === ''
        ? 'disabled'
        : 'istio'
      : tlsLabel === 'istio'
        ? 'istio'
        : 'disabled';
  return {
    kind: 'WorkloadEntry',
    namespace,
    name,
    addresses: [address],
    labels: placedLabels(labels, { clusterId: options.clusterId, locality, nodeName: '', network }),
    namedPorts: entry.ports ?? {},
    workloadName: name,
    serviceAccount,
    network,
    clusterId: options.clusterId,
    locality,
    nodeName: '',
    tlsMode,
    ready: true,
    terminating: false,
    weight: Math.max(1, entry.weight ?? 1),
  };
}

/** A Pod without a hostname has its own name. */
function podNameOf({ name, spec }: Config<PodSpec>): Pick<Workload, 'podName'> {
  const { hostname = '', subdomain = '' } = spec;
  return subdomain === '' ? {} : { podName: { hostname: hostname === '' ? name : hostname, subdomain } };
}

function addressesOfPod(status: PodStatus): readonly string[] {
  const first = status.podIP ?? '';
  const all = (status.podIPs ?? []).flatMap(({ ip }) => (ip === undefined || ip === first ? [] : [ip]));
  return first === '' ? all : [first, ...all];
}

function isReady(status: PodStatus): boolean {
  const condition = status.conditions?.find(({ type }) => type === 'Ready');
  if (condition !== undefined) return condition.status === 'True';
  return status.phase === undefined || status.phase === 'Running';
}

/** Containers', and those of init containers that keep running (native sidecars). */
function namedPortsOf(spec: PodSpec): Readonly<Record<string, number>> {
  const sidecars = (spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always');
  const containers: readonly Container[] = [...(spec.containers ?? []), ...sidecars];
  const ports: Record<string, number> = {};
  for (const container of containers)
    for (const { name, containerPort } of container.ports ?? [])
      if (name !== undefined && !Object.hasOwn(ports, name)) ports[name] = containerPort;
  return ports;
}

/**
 * The name that people know it by: the label service.istio.io/workload-name, else the Deployment
 * behind the ReplicaSet, else the controller, else the Pod. Source: Istio `GetWorkloadMetaFromPod`.
 */
function workloadNameOf(config: Config<PodSpec>): string {
  const named = config.labels['service.istio.io/workload-name'];
  if (named !== undefined) return named;
  const { controller } = config;
  if (controller === undefined) return config.name;
  if (controller.kind === 'ReplicaSet') {
    for (const label of ['pod-template-hash', 'rollouts-pod-template-hash']) {
      const suffix = `-${config.labels[label] ?? ''}`;
      if (suffix !== '-' && controller.name.endsWith(suffix)) return controller.name.slice(0, -suffix.length);
    }
  }
  if (controller.kind === 'Job') return controller.name.replace(/-\d{8,10}$/, '');
  return controller.name;
}

/** A label's value cannot hold slashes, so there are dots in their place (unless it does, in a WorkloadEntry). */
function localityLabel(labels: Readonly<Record<string, string>>): string {
  const value = labels['istio-locality'] ?? '';
  return value.includes('/') ? value : value.replaceAll('.', '/');
}

/** `region/zone/subzone`, the latter two optional; undefined for an empty text. */
function parseLocality(text: string): Locality | undefined {
  if (text === '') return undefined;
  const [region = '', zone = '', subzone = ''] = text.split('/');
  return { region, zone, subzone };
}

function localityOfNode(labels: Readonly<Record<string, string>> = {}): Locality {
  return {
    region:
      labels['topology.kubernetes.io/region'] ?? labels['failure-domain.beta.kubernetes.io/region'] ?? '',
    zone: labels['topology.kubernetes.io/zone'] ?? labels['failure-domain.beta.kubernetes.io/zone'] ?? '',
    subzone: labels['topology.istio.io/subzone'] ?? '',
  };
}

interface Place {
  readonly clusterId: string;
  readonly locality: Locality;
  readonly nodeName: string;
  readonly network: string;
}

/** So that subsets can select by place. Source: Istio `AugmentLabels`. */
function placedLabels(
  labels: Readonly<Record<string, string>>,
  place: Place,
): Readonly<Record<string, string>> {
  const placed: Record<string, string> = { ...labels };
  const set = (name: string, value: string): void => {
    if (value !== '') placed[name] = value;
  };
  set('topology.kubernetes.io/region', place.locality.region);
  set('topology.kubernetes.io/zone', place.locality.zone);
  set('topology.istio.io/subzone', place.locality.subzone);
  set('topology.istio.io/cluster', place.clusterId);
  set('kubernetes.io/hostname', place.nodeName);
  if (placed['topology.istio.io/network'] === undefined) set('topology.istio.io/network', place.network);
  return placed;
}
