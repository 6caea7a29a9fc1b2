// Patches of clusters. Source: Istio `pilot/pkg/networking/core/envoyfilter/cluster_patch.go`.
import { clone } from '@bufbuild/protobuf';
import type { Cluster } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterSchema } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import type { EnvoyPatch, PatchContext } from '../../config/envoy-filter/select.ts';
import { inboundPassthroughCluster } from '../../model/cluster-name.ts';
import type { ClusterInput } from '../cluster/cluster-input.ts';
import type { Built, ProxyScope } from '../resource.ts';
import { mergeSocket } from './merge-any.ts';
import { isMerge, matchesContext, mergeValue, valueOf } from './patches.ts';
import { Places } from './places.ts';

/** Whether the patch is about this cluster. */
export function matchesCluster(
  patch: EnvoyPatch,
  scope: ProxyScope,
  name: string,
  input: ClusterInput,
): boolean {
  if (!matchesContext(patch, contextOf(scope, name))) return false;
  const wanted = patch.match.cluster;
  if (wanted === undefined) return true;
  // The name says everything, whatever stands beside it.
  if (wanted.name !== undefined && wanted.name !== '') return wanted.name === name;
  const { subset, hosts, port } = partsOf(name, input);
  if (wanted.subset !== undefined && wanted.subset !== '' && wanted.subset !== subset) return false;
  if (wanted.service !== undefined && wanted.service !== '' && !hosts.includes(wanted.service)) return false;
  return (wanted.portNumber ?? 0) === 0 || wanted.portNumber === port;
}

function contextOf(scope: ProxyScope, name: string): PatchContext {
  if (scope.node.type === 'router') return 'GATEWAY';
  const inbound = name.startsWith('inbound|') || name.startsWith(inboundPassthroughCluster);
  return inbound ? 'SIDECAR_INBOUND' : 'SIDECAR_OUTBOUND';
}

/** Inbound clusters have no host in their name: those of the services behind them count. */
function partsOf(
  name: string,
  input: ClusterInput,
): { readonly subset: string; readonly hosts: readonly string[]; readonly port: number } {
  const [direction = '', port = '', subset = '', host = ''] = name.split('|');
  const hosts =
    direction.startsWith('inbound') && input.kind === 'inbound' && input.services.length > 0
      ? input.services.map((service) => service.host)
      : [host];
  return { subset, hosts, port: Number(port) || 0 };
}

/** The cluster with the values of all patches merged into it. */
export function patchCluster(
  built: Built<typeof ClusterSchema>,
  patches: readonly EnvoyPatch[],
): Built<typeof ClusterSchema> {
  const cluster = clone(ClusterSchema, built.message);
  const places = new Places(cluster, built.provenance);
  for (const patch of patches) {
    const value = isMerge(patch) ? valueOf(ClusterSchema, patch) : undefined;
    if (value === undefined) continue;
    if (!mergeTransportSocket(cluster, value)) mergeValue(ClusterSchema, patch, cluster, value);
    places.merged(cluster, patch);
  }
  // A cluster is asked for by its name: validation says that a patch cannot change it.
  cluster.name = built.message.name;
  return { name: built.name, message: cluster, provenance: places.provenance(new Map([[cluster, '']])) };
}

/** A cluster that a patch brings. */
export function addedCluster(patch: EnvoyPatch): Built<typeof ClusterSchema> | undefined {
  const message = valueOf(ClusterSchema, patch);
  if (message === undefined) return undefined;
  return { name: message.name, message, provenance: [{ at: '', origin: patch.origin }] };
}

/**
 * A patch with a transport socket is about that alone. Its settings are merged into the cluster's socket of
 * the same name; another name, or none, is replaced. Where sockets are chosen by the endpoint, one that
 * is not among them has no place.
 */
function mergeTransportSocket(cluster: Cluster, value: Cluster): boolean {
  const { transportSocket: wanted } = value;
  if (wanted === undefined) return false;
  const sockets =
    cluster.transportSocketMatches.length > 0
      ? cluster.transportSocketMatches.map(({ transportSocket }) => transportSocket)
      : [cluster.transportSocket];
  const socket = sockets.find((each) => each?.name === wanted.name);
  if (socket === undefined) {
    if (cluster.transportSocketMatches.length === 0) cluster.transportSocket = wanted;
    return true;
  }
  mergeSocket(socket, wanted);
  return true;
}
