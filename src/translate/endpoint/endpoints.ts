// The endpoints of a proxy's EDS clusters (EDS).
import { isIP } from 'node:net';
import { ClusterLoadAssignmentSchema } from '../../api/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { formatClusterName, parseClusterName } from '../../model/cluster-name.ts';
import { clusterEndpoints, outboundClusterNames, outboundTarget } from '../cluster/outbound-clusters.ts';
import type { ProxyScope, ResourceKind } from '../resource.ts';
import type { World } from '../world.ts';
import type { LoadAssignmentInput } from './load-assignment.ts';
import { loadAssignment } from './load-assignment.ts';
import { failoverOf } from './locality-failover.ts';

/**
 * One ClusterLoadAssignment for each EDS cluster, under the cluster's name. Whoever asks for another
 * name gets an empty one: a proxy that still warms a cluster of yesterday must not wait for ever.
 */
export const endpoints: ResourceKind<LoadAssignmentInput, typeof ClusterLoadAssignmentSchema> = {
  schema: ClusterLoadAssignmentSchema,
  shortName: 'EDS',
  names(world, scope) {
    return outboundClusterNames(world, scope)
      .filter((name) => outboundTarget(world, scope, name)?.discovery === 'EDS')
      .map(formatClusterName)
      .sort();
  },
  input(world, scope, name) {
    return { name, ...assignmentOf(world, scope, name) };
  },
  build(input) {
    return { name: input.name, message: loadAssignment(input), provenance: [] };
  },
};

function assignmentOf(world: World, scope: ProxyScope, name: string): Omit<LoadAssignmentInput, 'name'> {
  const parsed = parseClusterName(name);
  const target = parsed === undefined ? undefined : outboundTarget(world, scope, parsed);
  if (target?.discovery !== 'EDS') return { endpoints: [] };
  const failover = failoverOf(scope.node.locality, target.policy);
  return {
    // EDS takes addresses, not names to resolve; a pipe has port 0.
    endpoints: clusterEndpoints(world, target).filter(
      ({ address }) => isIP(address) !== 0 || address.startsWith('unix://'),
    ),
    ...(failover === undefined ? {} : { failover }),
  };
}
