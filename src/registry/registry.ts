// Which services and endpoints there are, as derivations over the objects of a store. Endpoints are
// leaves: a Pod that comes or goes touches the endpoints of the services that select it and nothing else.
import type { Collection, Graph } from '../collections/index.ts';
import type { Config, ServiceEntryConfig, WorkloadEntryConfig } from '../config/config.ts';
import type {
  EndpointSlice,
  KubeEndpoints,
  KubeNode,
  KubeServiceSpec,
  PodSpec,
} from '../config/kube-types.ts';
import type { MeshConfig } from '../config/mesh-config.ts';
import type { Hostname } from '../model/hostname.ts';
import type { NetworkGateway } from '../model/network.ts';
import type { Endpoint, Service, ServicePort } from '../model/service.ts';
import { labelsMatch } from '../model/labels.ts';
import { allocateAddresses, takesAllocated, writtenAddresses } from './allocated-addresses.ts';
import {
  endpointsOfEntry,
  endpointsOfKubeEndpoints,
  endpointsOfSelected,
  endpointsOfSlices,
  sortEndpoints,
} from './endpoints.ts';
import {
  allocateClusterIps,
  distributionAnnotation,
  needsClusterIp,
  serviceOfKubeService,
} from './kube-service.ts';
import type { NetworkRules } from './networks.ts';
import { gatewaysOfService, namedGateways, networkLabel, networkOf, sortGateways } from './networks.ts';
import {
  bestOfEach,
  comparePrecedence,
  compareServices,
  isVisible,
  mergeServices,
} from './service-conflicts.ts';
import { servicesOfEntry } from './service-entry.ts';
import type { PlaceOptions } from './workload.ts';
import { WorkloadIndex, objectKey } from './workload-index.ts';

/** The objects that services are made of. Their keys are of no matter. */
export interface RegistrySources {
  readonly services: Collection<Config<KubeServiceSpec>>;
  readonly pods: Collection<Config<PodSpec>>;
  readonly endpointSlices: Collection<Config<EndpointSlice>>;
  readonly endpoints: Collection<Config<KubeEndpoints>>;
  readonly serviceEntries: Collection<ServiceEntryConfig>;
  readonly workloadEntries: Collection<WorkloadEntryConfig>;
  /** Cluster-scoped; their labels give Pods a locality, their addresses reach gateways of type NodePort. */
  readonly nodes?: Collection<Config<KubeNode>>;
  /** Cluster-scoped; a label of the root namespace names the cluster's network, an annotation of each what its services prefer. */
  readonly namespaces?: Collection<Config>;
  /** By `namespace/hostname`: endpoints (`address:port`) that clients who check them (HDS) found to be unwell. */
  readonly unwell?: Collection<readonly string[]>;
}

export interface RegistryOptions {
  readonly graph: Graph;
  readonly sources: RegistrySources;
  /** A recorded read. */
  readonly meshConfig: () => MeshConfig;
  /** Default: `Kubernetes`, Istio's name for a lone cluster. */
  readonly clusterId?: string;
}

/** All methods are recorded reads, with the meaning that World (src/translate/world.ts) gives to them. */
export interface Registry {
  service(hostname: Hostname, clientNamespace?: string): Service | undefined;
  /** Every service of every namespace, sorted by creation time, then hostname, then namespace. */
  services(): readonly Service[];
  servicesVisibleTo(namespace: string): readonly Service[];
  servicesOfWorkload(
    namespace: string,
    labels: Readonly<Record<string, string>>,
    ipAddresses: readonly string[],
  ): readonly Service[];
  endpoints(hostname: Hostname, servicePort: number, serviceNamespace?: string): readonly Endpoint[];
  workloadPort(ipAddress: string, portName: string): number | undefined;
  networkGateways(): readonly NetworkGateway[];
  /** Label names that selectors of this namespace's services mention, sorted. */
  selectorLabelNames(namespace: string): readonly string[];
}

export function createRegistry(options: RegistryOptions): Registry {
  return new GraphRegistry(options);
}

/** `namespace/hostname`: hostnames alone are not unique. */
type ServiceKey = string;

const sliceServiceLabel = 'kubernetes.io/service-name';

class GraphRegistry implements Registry {
  readonly #options: RegistryOptions;
  readonly #clusterId: string;
  readonly #workloads: WorkloadIndex;
  readonly #kubeServices: Collection<Service>;
  readonly #entryServices: Collection<Service>;
  readonly #allocations;
  readonly #allocation;
  readonly #namespacesOf;
  readonly #merged;
  readonly #all;
  readonly #visible;
  readonly #ofNamespace;
  readonly #endpoints;
  readonly #portEndpoints;
  readonly #kubeByKey;
  readonly #entriesByKey;
  readonly #kubeByHostname;
  readonly #entriesByHostname;
  readonly #slicesByService;
  readonly #endpointsByService;
  readonly #entryConfigsByHost;
  readonly #gateways;
  readonly #namespacesByName;
  readonly #rules: NetworkRules;

  constructor(options: RegistryOptions) {
    const { graph, sources, meshConfig } = options;
    this.#options = options;
    this.#clusterId = options.clusterId ?? 'Kubernetes';
    this.#namespacesByName = sources.namespaces?.index('namespaces-by-name', ({ name }) => [name]);
    const networks = graph.derived({
      name: 'mesh-networks',
      compute: (_all: 'all') => meshConfig().networks,
    });
    const rootNamespace = graph.derived({
      name: 'root-namespace',
      compute: (_all: 'all') => meshConfig().rootNamespace,
    });
    this.#rules = {
      ofCluster: (clusterId) =>
        this.#namespacesByName
          ?.get(rootNamespace.get('all'))
          .find((each) => (each.clusterId ?? this.#clusterId) === clusterId)?.labels[networkLabel] ?? '',
      get networks() {
        return networks.get('all');
      },
    };
    this.#workloads = new WorkloadIndex(sources, (clusterId) => this.#place(clusterId ?? this.#clusterId));
    this.#allocations = graph.derived({
      name: 'cluster-ips',
      compute: (_all: 'all') => {
        const configs = sources.services.values();
        const waiting = configs.filter(needsClusterIp).map((config) => `${config.namespace}/${config.name}`);
        return allocateClusterIps(waiting, new Set(configs.flatMap(({ spec }) => spec.clusterIP ?? [])));
      },
    });
    this.#allocation = graph.derived({
      name: 'cluster-ip',
      compute: (key: string) => this.#allocations.get('all').get(key),
    });
    this.#kubeServices = sources.services.map('kube-services', (config) => {
      const mesh = meshConfig();
      return serviceOfKubeService(config, {
        domainSuffix: mesh.domainSuffix,
        defaultExportTo: mesh.defaultServiceExportTo,
        allocatedAddress: needsClusterIp(config)
          ? this.#allocation.get(`${config.namespace}/${config.name}`)
          : undefined,
        namespaceDistribution: this.#distributionOf(config.namespace),
      });
    });
    const entryAddresses = graph.derived({
      name: 'entry-addresses',
      compute: (_all: 'all') =>
        allocateAddresses(
          sources.serviceEntries.values().flatMap((config) =>
            (config.spec.hosts ?? [])
              .map((host) => host.toLowerCase())
              .filter((host) => takesAllocated(config, host) && !writtenAddresses(config, host))
              .map((host) => `${config.namespace}/${host}`),
          ),
        ),
    });
    const entryAddress = graph.derived({
      name: 'entry-address',
      compute: (key: string) => entryAddresses.get('all').get(key),
    });
    this.#entryServices = sources.serviceEntries.flatMap('entry-services', (config) =>
      servicesOfEntry(
        config,
        meshConfig().defaultServiceExportTo,
        this.#distributionOf(config.namespace),
        (key) => entryAddress.get(key),
      ),
    );
    const key = (service: Service): ServiceKey[] => [`${service.namespace}/${service.hostname}`];
    this.#kubeByKey = this.#kubeServices.index('kube-services-by-key', key);
    this.#entriesByKey = this.#entryServices.index('entry-services-by-key', key);
    this.#kubeByHostname = this.#kubeServices.index('kube-services-by-hostname', (s) => [s.hostname]);
    this.#entriesByHostname = this.#entryServices.index('entry-services-by-hostname', (s) => [s.hostname]);
    this.#slicesByService = sources.endpointSlices.index('slices-by-service', (slice) => {
      const service = slice.labels[sliceServiceLabel];
      return service === undefined ? [] : [objectKey(slice.namespace, service, slice.clusterId)];
    });
    this.#endpointsByService = sources.endpoints.index('endpoints-by-service', (object) => [
      objectKey(object.namespace, object.name, object.clusterId),
    ]);
    this.#entryConfigsByHost = sources.serviceEntries.index('entries-by-host', (config) =>
      (config.spec.hosts ?? []).map((host) => `${config.namespace}/${host.toLowerCase()}`),
    );
    this.#merged = graph.derived({ name: 'service', compute: (name: ServiceKey) => this.#merge(name) });
    this.#namespacesOf = graph.derived({
      name: 'namespaces-of-host',
      compute: (hostname: Hostname) => [
        ...new Set(
          [...this.#kubeByHostname.get(hostname), ...this.#entriesByHostname.get(hostname)]
            .map(({ namespace }) => namespace)
            .sort(),
        ),
      ],
    });
    this.#all = graph.derived({
      name: 'services',
      compute: (_all: 'all') => {
        const rows = [...this.#kubeServices.values(), ...this.#entryServices.values()];
        const keys = new Set(rows.map(({ namespace, hostname }) => `${namespace}/${hostname}`));
        return [...keys].flatMap((name) => this.#merged.get(name) ?? []).sort(compareServices);
      },
    });
    this.#visible = graph.derived({
      name: 'services-visible-to',
      compute: (namespace: string) => bestOfEach(this.#all.get('all'), namespace),
    });
    this.#ofNamespace = graph.derived({
      name: 'services-of-namespace',
      compute: (namespace: string) =>
        this.#all.get('all').filter((service) => service.namespace === namespace),
    });
    this.#endpoints = graph.derived({
      name: 'service-endpoints',
      compute: (name: ServiceKey) => this.#collectEndpoints(name),
    });
    const serviceGateways = sources.services.flatMap('network-gateways', (config) =>
      gatewaysOfService(config, {
        clusterId: config.clusterId ?? this.#clusterId,
        domainSuffix: meshConfig().domainSuffix,
        networks: networks.get('all'),
        nodes: () =>
          (sources.nodes?.values() ?? []).filter(({ clusterId }) => clusterId === config.clusterId),
      }),
    );
    this.#gateways = graph.derived({
      name: 'all-network-gateways',
      compute: (_all: 'all') =>
        sortGateways([...namedGateways(networks.get('all')), ...serviceGateways.values()]),
    });
    this.#portEndpoints = graph.derived({
      name: 'endpoints',
      key: ({ name, port }) => `${name}/${port}`,
      compute: ({ name, port }: { name: ServiceKey; port: number }) => this.#endpointsOfPort(name, port),
    });
  }

  service(hostname: Hostname, clientNamespace?: string): Service | undefined {
    const candidates = this.#namespacesOf
      .get(hostname)
      .flatMap((namespace) => this.#merged.get(`${namespace}/${hostname}`) ?? []);
    return [...candidates]
      .filter((service) => clientNamespace === undefined || isVisible(service, clientNamespace))
      .sort((a, b) => comparePrecedence(a, b, clientNamespace))[0];
  }

  services(): readonly Service[] {
    return this.#all.get('all');
  }

  servicesVisibleTo(namespace: string): readonly Service[] {
    return this.#visible.get(namespace);
  }

  servicesOfWorkload(
    namespace: string,
    labels: Readonly<Record<string, string>>,
    ipAddresses: readonly string[],
  ): readonly Service[] {
    return this.#ofNamespace.get(namespace).filter((service) => {
      if (service.resolution === 'alias') return false;
      if (service.selector !== undefined) return labelsMatch(service.selector, labels);
      if (ipAddresses.length === 0) return false;
      return this.#endpoints
        .get(`${service.namespace}/${service.hostname}`)
        .some(({ address }) => ipAddresses.includes(address));
    });
  }

  endpoints(hostname: Hostname, servicePort: number, serviceNamespace?: string): readonly Endpoint[] {
    const namespace = serviceNamespace ?? this.service(hostname)?.namespace;
    if (namespace === undefined) return [];
    return this.#portEndpoints.get({ name: `${namespace}/${hostname}`, port: servicePort });
  }

  networkGateways(): readonly NetworkGateway[] {
    return this.#gateways.get('all');
  }

  workloadPort(ipAddress: string, portName: string): number | undefined {
    for (const workload of this.#workloads.atAddress(ipAddress)) {
      const number = workload.namedPorts[portName];
      if (number !== undefined) return number;
    }
    return undefined;
  }

  selectorLabelNames(namespace: string): readonly string[] {
    const names = this.#ofNamespace
      .get(namespace)
      .flatMap(({ selector }) => (selector === undefined ? [] : Object.keys(selector)));
    return [...new Set(names)].sort();
  }

  #merge(name: ServiceKey): Service | undefined {
    return mergeServices([...this.#kubeByKey.get(name), ...this.#entriesByKey.get(name)]);
  }

  #endpointsOfPort(name: ServiceKey, servicePort: number): readonly Endpoint[] {
    const ports = this.#merged.get(name)?.ports ?? [];
    const port = ports.find((each) => each.servicePort === servicePort);
    if (port === undefined) return [];
    return this.#endpoints.get(name).filter((endpoint) => serves(endpoint, port, ports));
  }

  /** Of every object that says something of this service, so a ServiceEntry may add to a Kubernetes Service. */
  #collectEndpoints(name: ServiceKey): readonly Endpoint[] {
    const kube = this.#kubeByKey.get(name).flatMap((service) => this.#kubeEndpoints(service));
    const entries = this.#entryConfigsByHost
      .get(name)
      .flatMap((config) => this.#entryEndpoints(name, config));
    const sorted = sortEndpoints([...kube, ...entries]);
    // Only of services that ask to be checked: others need not depend on it.
    if (this.#merged.get(name)?.healthCheck === undefined) return sorted;
    const unwell = new Set(this.#options.sources.unwell?.get(name) ?? []);
    return sorted.map((endpoint) =>
      endpoint.health === 'HEALTHY' && unwell.has(`${endpoint.address}:${endpoint.endpointPort}`)
        ? { ...endpoint, health: 'UNHEALTHY' as const }
        : endpoint,
    );
  }

  #kubeEndpoints(service: Service): readonly Endpoint[] {
    if (service.resolution === 'alias') return [];
    const object = objectKey(service.namespace, service.name, service.clusterId);
    const options = this.#place(service.clusterId ?? this.#clusterId);
    const pods = this.#workloads.ofCluster(options.clusterId);
    const selected = this.#workloads.selectedBy(service);
    const slices = this.#slicesByService.get(object);
    const [endpoints] = this.#endpointsByService.get(object);
    // Kubernetes lists Pods alone; WorkloadEntries are found by their labels all the same.
    const listed =
      slices.length > 0
        ? endpointsOfSlices(service, slices, pods, options)
        : endpoints === undefined
          ? undefined
          : endpointsOfKubeEndpoints(service, endpoints, pods, options);
    const others = selected.filter(
      ({ kind, clusterId }) =>
        kind === 'WorkloadEntry' || (listed === undefined && clusterId === options.clusterId),
    );
    return [...(listed ?? []), ...endpointsOfSelected(service, others)];
  }

  #place(clusterId: string): PlaceOptions {
    return {
      clusterId,
      networkOf: (label, address) => networkOf(label, address, clusterId, this.#rules),
    };
  }

  #distributionOf(namespace: string): string | undefined {
    return this.#namespacesByName?.get(namespace)[0]?.annotations[distributionAnnotation];
  }

  #entryEndpoints(name: ServiceKey, config: ServiceEntryConfig): readonly Endpoint[] {
    // Of this host alone: an object may have thousands.
    const hosts = [name.slice(name.indexOf('/') + 1)];
    const { defaultServiceExportTo } = this.#options.meshConfig();
    const [service] = servicesOfEntry(config, defaultServiceExportTo, undefined, undefined, hosts);
    if (service === undefined) return [];
    if (service.selector === undefined)
      return endpointsOfEntry(service, config, this.#place(config.clusterId ?? this.#clusterId));
    return endpointsOfSelected(service, this.#workloads.selectedBy(service));
  }
}

/**
 * Whether an endpoint belongs to a port: by name, as ServiceEntries that add to a Service may number their
 * ports apart; but where a port has both its name and its number, to that one alone.
 */
function serves(endpoint: Endpoint, port: ServicePort, ports: readonly ServicePort[]): boolean {
  const { servicePortName, servicePort } = endpoint;
  if (servicePortName !== port.name) return false;
  if (servicePort === port.servicePort) return true;
  return !ports.some((each) => each.name === servicePortName && each.servicePort === servicePort);
}
