// The endpoints of a proxy's EDS clusters (EDS).
import { ClusterLoadAssignmentSchema } from '../../api/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { outboundClusterNames, outboundTarget } from '../cluster/outbound-clusters.ts';
import { layerPolicy } from '../layered-policy.ts';
import type { ProxyScope, ResourceKind } from '../resource.ts';
import { kindOfParts } from '../resource.ts';
import { destinationScope } from '../views.ts';
import type { World } from '../world.ts';
import { clusterEndpoints } from './cluster-endpoints.ts';
import type { LoadAssignmentInput } from './load-assignment.ts';
import { loadAssignment } from './load-assignment.ts';
import { localityLbOf } from './locality-lb.ts';

/**
 * One ClusterLoadAssignment for each EDS cluster, under the cluster's name. Whoever asks for another
 * name gets an empty one: a proxy that still warms a cluster of yesterday must not wait for ever.
 */
export const endpoints: ResourceKind<LoadAssignmentInput, typeof ClusterLoadAssignmentSchema> = kindOfParts(
  {
    schema: ClusterLoadAssignmentSchema,
    shortName: 'EDS',
    build(input: LoadAssignmentInput) {
      return { name: input.name, message: loadAssignment(input), provenance: [] };
    },
  },
  [
    {
      name: '',
      viewOf: destinationScope,
      names: (world, view) =>
        outboundClusterNames(world, view)
          .filter((name) => outboundTarget(world, view, name)?.discovery === 'EDS')
          .toSorted(),
      input: (world, view, name) => ({ name, ...assignmentOf(world, view, name) }),
    },
  ],
);

function assignmentOf(world: World, scope: ProxyScope, name: string): Omit<LoadAssignmentInput, 'name'> {
  const target = outboundTarget(world, scope, name);
  if (target?.discovery !== 'EDS') return { endpoints: [] };
  const { service, rule, port, subset } = target;
  // The mesh's outlier detection makes nothing fail over: a rule must ask for that.
  const written = layerPolicy(rule, port.servicePort, subset);
  const localityLb = localityLbOf(scope.node, service, written, world.meshConfig());
  return {
    endpoints: clusterEndpoints(world, scope, target),
    ...(localityLb === undefined ? {} : { localityLb }),
  };
}
