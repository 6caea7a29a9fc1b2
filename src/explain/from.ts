// Who sends the request: a pod, a workload's name, an address, or the gateway.
import { isIP } from 'node:net';
import { UserError } from '../base/user-error.ts';
import { nearest } from './edit-distance.ts';
import type { MeshView, Workload } from './mesh-view.ts';
import { workloadId } from './mesh-view.ts';
import { usage } from './request.ts';

/** Throws a UserError (exit code 2) that names who there is. */
export function findClient(mesh: MeshView, text: string, namespace: string | undefined): Workload {
  if (text === 'gateway') return findGateway(mesh, namespace);
  if (isIP(text) !== 0)
    return mesh.workloads.find(({ addresses }) => addresses.includes(text)) ?? outsider(text, namespace);
  const slash = text.indexOf('/');
  const rest = text.slice(slash + 1);
  const dot = rest.lastIndexOf('.');
  const withNamespace = dot < 0 ? undefined : { name: rest.slice(0, dot), namespace: rest.slice(dot + 1) };
  const readings = [{ name: rest, namespace }, ...(withNamespace === undefined ? [] : [withNamespace])];
  const found = readings.flatMap((reading) => named(mesh, reading.name, reading.namespace));
  const spaces = new Set(found.map((workload) => workload.namespace));
  if (spaces.size > 1)
    throw usage(`--from ${text} is in several namespaces (${[...spaces].join(', ')}): add -n NAMESPACE`);
  const [first] = found;
  if (first !== undefined) return first;
  const all = mesh.workloads.map(workloadId);
  const near = nearest(rest, [...all, ...mesh.workloads.map(({ workloadName }) => workloadName)]);
  const known = near.length > 0 ? `did you mean ${near.join(' or ')}?` : `there ${listed(all)}`;
  throw usage(
    `--from ${text}: no pod and no workload of that name${namespace === undefined ? '' : ` in namespace ${namespace}`}; ${known}`,
  );
}

function findGateway(mesh: MeshView, namespace: string | undefined): Workload {
  const all = mesh.workloads.filter(({ isGateway }) => isGateway);
  const here = namespace === undefined ? [] : all.filter((gateway) => gateway.namespace === namespace);
  const gateways = here.length > 0 ? here : all;
  const names = new Set(gateways.map(({ namespace: space, workloadName }) => `${workloadName}.${space}`));
  const [first] = gateways;
  if (first === undefined) throw new UserError('--from gateway: this mesh has no gateway', 2);
  if (names.size > 1)
    throw usage(`--from gateway: there are several; give one of ${[...names].sort().join(', ')}`);
  return first;
}

/** Pods of that name first, then those of a workload of that name, those with an app label of it last. */
function named(mesh: MeshView, name: string, namespace: string | undefined): readonly Workload[] {
  const here = mesh.workloads.filter(
    (workload) => namespace === undefined || workload.namespace === namespace,
  );
  const ways: readonly ((workload: Workload) => boolean)[] = [
    (workload) => workload.name === name,
    (workload) => workload.workloadName === name,
    (workload) => workload.labels['app'] === name,
  ];
  for (const way of ways) {
    const found = here.filter(way);
    if (found.length > 0) return found;
  }
  return [];
}

/** A client that the mesh does not know. */
function outsider(address: string, namespace = 'default'): Workload {
  return {
    name: address,
    namespace,
    addresses: [address],
    labels: {},
    workloadName: '',
    hasProxy: false,
    isGateway: false,
    ready: true,
    terminating: false,
  };
}

function listed(ids: readonly string[]): string {
  if (ids.length === 0) return 'are no pods';
  return `are ${ids.slice(0, 10).join(', ')}${ids.length > 10 ? ', ...' : ''}`;
}
