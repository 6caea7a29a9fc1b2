// Endpoints of one service: from the workloads that it selects, from objects that list them, or from itself.
import { isIP } from 'node:net';
import type { Config, ServiceEntryConfig } from '../config/config.ts';
import type { EndpointSlice, KubeEndpoints, ObjectReference } from '../config/kube-types.ts';
import type { Endpoint, Health, Service, ServicePort } from '../model/service.ts';
import { labelsMatch } from '../model/labels.ts';
import { keepsSessions } from '../model/service.ts';
import type { PlaceOptions, Workload } from './workload.ts';
import { addressOnlyWorkload, workloadOfInlineEntry } from './workload.ts';

/** Finds Pods for objects that name them. */
export interface PodLookup {
  byName(namespace: string, name: string): Workload | undefined;
  byAddress(address: string): Workload | undefined;
}

/**
 * The endpoints of a service with a selector, as Kubernetes' endpoint controller would list them:
 * workloads of its namespace that carry the labels; terminating ones are out at once, or DRAINING if the
 * service's clients have sessions with them; unready ones are UNHEALTHY unless the service publishes them.
 */
export function endpointsOfSelected(service: Service, workloads: readonly Workload[]): readonly Endpoint[] {
  const { selector } = service;
  if (selector === undefined) return [];
  const takesNames = service.resolution === 'dns' || service.resolution === 'dns-round-robin';
  return workloads.flatMap((workload) => {
    const [address, ...others] = workload.addresses;
    if (address === undefined || workload.namespace !== service.namespace) return [];
    const drains = workload.terminating && workload.ready && keepsSessions(service);
    if (workload.terminating && !drains) return [];
    // Only a DNS ServiceEntry can reach what has no IP address; a gateway what has none at all.
    if (isIP(address) === 0 && !takesNames && address !== '' && !address.startsWith('unix://')) return [];
    if (!labelsMatch(selector, workload.labels)) return [];
    const isWell = workload.ready || service.publishNotReady;
    const health = drains ? 'DRAINING' : isWell ? 'HEALTHY' : 'UNHEALTHY';
    return endpointsOfPorts(service, workload, address, health).map((endpoint) =>
      others.length === 0 ? endpoint : { ...endpoint, otherAddresses: others },
    );
  });
}

/** The endpoints that a ServiceEntry without selector lists; a DNS one that lists none is its own endpoint. */
export function endpointsOfEntry(
  service: Service,
  config: ServiceEntryConfig,
  options: PlaceOptions,
): readonly Endpoint[] {
  const { endpoints = [], workloadSelector } = config.spec;
  if (workloadSelector !== undefined) return [];
  const isDns = service.resolution === 'dns' || service.resolution === 'dns-round-robin';
  if (endpoints.length === 0 && isDns) {
    const own = addressOnlyWorkload(config.namespace, service.hostname, options);
    return endpointsOfPorts(service, { ...own, workloadName: config.name }, service.hostname, 'HEALTHY');
  }
  return endpoints.flatMap((entry, index) => {
    const name = `${config.name}-${index}`;
    const workload = workloadOfInlineEntry(entry, config.namespace, name, options);
    const [address] = workload?.addresses ?? [];
    if (workload === undefined || address === undefined) return [];
    // An address that is no IP can only be resolved by a DNS cluster.
    if (isIP(address) === 0 && !isDns && address !== '' && !address.startsWith('unix://')) return [];
    return endpointsOfPorts(service, workload, address, 'HEALTHY');
  });
}

/**
 * The endpoints that EndpointSlices list. Those of type FQDN are left out; so is an endpoint whose Pod
 * is not known (yet), for its labels would be missing. Source: Istio `endpointslice.go`.
 */
export function endpointsOfSlices(
  service: Service,
  slices: readonly Config<EndpointSlice>[],
  pods: PodLookup,
  options: PlaceOptions,
): readonly Endpoint[] {
  return slices.flatMap(({ namespace, spec }) => {
    if (spec.addressType === 'FQDN') return [];
    return (spec.endpoints ?? []).flatMap(({ addresses, conditions, targetRef }) => {
      const ready = conditions?.ready !== false;
      const terminates = !ready && conditions?.terminating === true;
      const drains = terminates && conditions.serving !== false && keepsSessions(service);
      if (terminates && !drains) return [];
      return addresses.flatMap((address) => {
        const workload = workloadAt(namespace, address, targetRef, pods, options);
        if (workload === undefined || (workload.terminating && !drains)) return [];
        const isWell = ready || service.publishNotReady;
        const health = drains ? 'DRAINING' : isWell ? 'HEALTHY' : 'UNHEALTHY';
        return (spec.ports ?? []).flatMap((port) =>
          namedEndpoint(service, workload, address, port.name ?? '', port.port, health),
        );
      });
    });
  });
}

/** The endpoints that a v1 Endpoints object lists. */
export function endpointsOfKubeEndpoints(
  service: Service,
  config: Config<KubeEndpoints>,
  pods: PodLookup,
  options: PlaceOptions,
): readonly Endpoint[] {
  return (config.spec.subsets ?? []).flatMap(({ addresses = [], notReadyAddresses = [], ports = [] }) => {
    const unready: Health = service.publishNotReady ? 'HEALTHY' : 'UNHEALTHY';
    const all = [
      ...addresses.map((entry) => ({ entry, health: 'HEALTHY' as Health })),
      ...notReadyAddresses.map((entry) => ({ entry, health: unready })),
    ];
    return all.flatMap(({ entry, health }) => {
      const workload = workloadAt(config.namespace, entry.ip, entry.targetRef, pods, options);
      if (workload === undefined || workload.terminating) return [];
      return ports.flatMap((port) =>
        namedEndpoint(service, workload, entry.ip, port.name ?? '', port.port, health),
      );
    });
  });
}

/**
 * Sorted by address, then port; of several for one address and port (slices in transition) one stays. Those
 * with a port that cannot be are left out: Envoy would refuse the others along with them.
 */
export function sortEndpoints(endpoints: readonly Endpoint[]): readonly Endpoint[] {
  const byKey = new Map<string, Endpoint>();
  for (const endpoint of endpoints.filter(hasPossiblePort)) {
    const { address, endpointPort, servicePortName, servicePort, clusterId, workloadName } = endpoint;
    // Clusters may use the same addresses; what has none is told apart by its name.
    const place = address === '' ? workloadName : `${address}@${clusterId}`;
    const key = `${place}\n${endpointPort}\n${servicePortName}\n${servicePort}`;
    const known = byKey.get(key);
    if (known === undefined || compareText(JSON.stringify(endpoint), JSON.stringify(known)) < 0)
      byKey.set(key, endpoint);
  }
  return [...byKey.values()].sort(
    (a, b) =>
      compareText(a.address, b.address) ||
      a.endpointPort - b.endpointPort ||
      a.servicePort - b.servicePort ||
      compareText(a.servicePortName, b.servicePortName),
  );
}

function hasPossiblePort({ address, endpointPort }: Endpoint): boolean {
  if (address.startsWith('unix://')) return true;
  return Number.isInteger(endpointPort) && endpointPort > 0 && endpointPort <= 65_535;
}

function endpointsOfPorts(
  service: Service,
  workload: Workload,
  address: string,
  health: Health,
): readonly Endpoint[] {
  return service.ports.flatMap((port) => {
    const number = endpointPortOf(service, workload, address, port);
    return number === undefined ? [] : [endpointOf(workload, address, number, port, health)];
  });
}

/** Undefined: the workload has no such port. */
function endpointPortOf(
  service: Service,
  workload: Workload,
  address: string,
  port: ServicePort,
): number | undefined {
  if (address.startsWith('unix://')) return 0;
  const { targetPort } = port;
  if (typeof targetPort === 'string') return workload.namedPorts[targetPort];
  // What a WorkloadEntry says of the port's name counts before the number; a Service asks Pods by targetPort alone.
  const named =
    workload.kind === 'WorkloadEntry' || service.registry === 'External'
      ? workload.namedPorts[port.name]
      : undefined;
  return named ?? targetPort ?? port.servicePort;
}

/** One endpoint for the service port of that name; none if the service has no such port. */
function namedEndpoint(
  service: Service,
  workload: Workload,
  address: string,
  portName: string,
  portNumber: number | undefined,
  health: Health,
): readonly Endpoint[] {
  const port = service.ports.find(({ name }) => name === portName);
  if (port === undefined || portNumber === undefined) return [];
  return [endpointOf(workload, address, portNumber, port, health)];
}

function endpointOf(
  workload: Workload,
  address: string,
  endpointPort: number,
  port: ServicePort,
  health: Health,
): Endpoint {
  return {
    address,
    endpointPort,
    servicePortName: port.name,
    servicePort: port.servicePort,
    labels: workload.labels,
    namespace: workload.namespace,
    workloadName: workload.workloadName,
    ...(workload.podName === undefined ? {} : { podName: workload.podName }),
    serviceAccount: workload.serviceAccount,
    network: workload.network,
    clusterId: workload.clusterId,
    locality: workload.locality,
    nodeName: workload.nodeName,
    tlsMode: workload.tlsMode,
    health,
    weight: workload.weight,
  };
}

function workloadAt(
  namespace: string,
  address: string,
  targetRef: ObjectReference | undefined,
  pods: PodLookup,
  options: PlaceOptions,
): Workload | undefined {
  if (targetRef?.kind === 'Pod' && targetRef.name !== undefined)
    return pods.byName(targetRef.namespace ?? namespace, targetRef.name);
  return pods.byAddress(address) ?? addressOnlyWorkload(namespace, address, options);
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
