// The clusters of a proxy (CDS).
import { ClusterSchema } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import {
  blackHoleCluster,
  formatClusterName,
  inboundPassthroughCluster,
  parseClusterName,
  passthroughCluster,
} from '../../model/cluster-name.ts';
import { inboundTargets } from '../inbound-targets.ts';
import type { ProxyScope, ResourceKind } from '../resource.ts';
import type { World } from '../world.ts';
import { buildCluster, inboundClusterName } from './build-cluster.ts';
import type { BuiltInClusterInput, ClusterInput } from './cluster-input.ts';
import { addressFamilyOf } from './cluster-input.ts';
import { inboundClusterInput } from './inbound-clusters.ts';
import { outboundClusterInput, outboundClusterNames } from './outbound-clusters.ts';

const builtInKinds: Readonly<Record<string, BuiltInClusterInput['kind']>> = {
  [blackHoleCluster]: 'black-hole',
  [passthroughCluster]: 'passthrough',
  [inboundPassthroughCluster]: 'inbound-passthrough',
};

/**
 * Outbound clusters of everything that the proxy sees; for sidecars also the inbound ones and the ones
 * for traffic that nothing describes. Routers have no passthrough, as they capture nothing (C3.15).
 */
export const clusters: ResourceKind<ClusterInput, typeof ClusterSchema> = {
  schema: ClusterSchema,
  shortName: 'CDS',
  names(world, scope) {
    const outbound = outboundClusterNames(world, scope).map(formatClusterName);
    const inbound = inboundTargets(world, scope).map(({ targetPort }) => inboundClusterName(targetPort));
    return [...new Set([...outbound, ...inbound, ...builtInNames(scope)])].sort();
  },
  input(world, scope, name) {
    if (builtInNames(scope).includes(name)) return builtIn(world, scope, name);
    const parsed = parseClusterName(name);
    if (parsed?.direction === 'outbound') return outboundClusterInput(world, scope, parsed);
    const target = inboundTargets(world, scope).find(
      ({ targetPort }) => inboundClusterName(targetPort) === name,
    );
    return target === undefined ? undefined : inboundClusterInput(world, scope, target);
  },
  build: buildCluster,
};

function builtInNames(scope: ProxyScope): readonly string[] {
  return scope.node.type === 'router'
    ? [blackHoleCluster]
    : [blackHoleCluster, passthroughCluster, inboundPassthroughCluster];
}

function builtIn(world: World, scope: ProxyScope, name: string): BuiltInClusterInput | undefined {
  const kind = builtInKinds[name];
  if (kind === undefined) return undefined;
  return {
    kind,
    connectTimeoutMs: world.meshConfig().connectTimeoutMs,
    addressFamily: addressFamilyOf(scope.node.ipAddresses),
  };
}
