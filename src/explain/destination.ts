// Where a client's connection goes before any proxy sees it: what its resolver says, and what captures it.
import { isIP } from 'node:net';
import type { Service } from '../model/service.ts';
import type { SocketAddress } from '../proxy/io/socket-address.ts';
import { socketAddress } from '../proxy/io/socket-address.ts';
import { namesOf, sourceOfService } from './candidates.ts';
import type { MeshView, Workload } from './mesh-view.ts';
import { workloadId } from './mesh-view.ts';
import type { SourceRef } from './trace.ts';

export interface Destination {
  readonly address: SocketAddress;
  readonly why: string;
  readonly service: Service | undefined;
  readonly sources: readonly SourceRef[];
}

/** Stands for an address that only a resolver outside the mesh knows (TEST-NET-2, RFC 5737). */
const outsideAddress = '198.51.100.1';

/** Undefined: the name does not resolve. */
export function resolveDestination(
  mesh: MeshView,
  from: Workload,
  host: string,
  port: number,
): Destination | undefined {
  if (isIP(host) !== 0) {
    const workload = mesh.workloads.find(({ addresses }) => addresses.includes(host));
    const owner = mesh.services.find(({ addresses }) => addresses.includes(host));
    const why =
      owner !== undefined
        ? `the address of ${serviceText(owner)}`
        : workload !== undefined
          ? `the address of pod ${workloadId(workload)}`
          : 'as written';
    return found(mesh, host, port, why, owner);
  }
  const service = serviceOf(mesh, from, host);
  if (service !== undefined) return resolveService(mesh, service, port);
  // Names of the cluster's own zone are answered by its DNS alone.
  const isOwn = !host.includes('.') || host.endsWith('.svc') || host.endsWith(`.svc.${mesh.domainSuffix}`);
  return isOwn
    ? undefined
    : found(mesh, outsideAddress, port, 'stands for the address that DNS gives', undefined);
}

/** The service that a host names where the client is; the nearest name wins, as in a resolver's search list. */
export function serviceOf(mesh: MeshView, from: Workload, host: string): Service | undefined {
  for (const name of namesOf(mesh, from, host).toReversed()) {
    const service =
      mesh.services.find(({ hostname, namespace }) => hostname === name && namespace === from.namespace) ??
      mesh.services.find(({ hostname }) => hostname === name);
    if (service !== undefined) return service;
  }
  return undefined;
}

export function serviceText({ registry, namespace, name }: Service): string {
  return `${registry === 'Kubernetes' ? 'Service' : 'ServiceEntry'} ${namespace}/${name}`;
}

function resolveService(mesh: MeshView, service: Service, port: number, depth = 0): Destination | undefined {
  if (service.aliasOf !== undefined && depth < 8) {
    const target = mesh.services.find(({ hostname }) => hostname === service.aliasOf);
    if (target !== undefined) return resolveService(mesh, target, port, depth + 1);
    return found(
      mesh,
      outsideAddress,
      port,
      `stands for the address of ${service.aliasOf}, which ${serviceText(service)} is another name of`,
      service,
    );
  }
  const own = service.addresses.find((address) => isIP(address) !== 0 && address !== '0.0.0.0');
  if (own !== undefined) return found(mesh, own, port, `the address of ${serviceText(service)}`, service);
  const endpoints = service.ports.flatMap(({ servicePort }) => mesh.endpoints(service, servicePort));
  const pod = endpoints.find(({ address, health }) => isIP(address) !== 0 && health === 'HEALTHY');
  const isHeadless = service.resolution === 'passthrough' && service.registry === 'Kubernetes';
  if (pod !== undefined && isHeadless)
    return found(mesh, pod.address, port, `a pod of ${serviceText(service)}, which is headless`, service);
  if (isHeadless) return undefined;
  return found(
    mesh,
    outsideAddress,
    port,
    `stands for the address that DNS gives; ${serviceText(service)} has none of its own`,
    service,
  );
}

function found(
  mesh: MeshView,
  address: string,
  port: number,
  why: string,
  service: Service | undefined,
): Destination {
  const sources = service === undefined ? [] : sourceOfService(mesh, service);
  return { address: socketAddress(address, port), why, service, sources };
}
