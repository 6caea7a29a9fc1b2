// What a DestinationRule's policy is for one port and subset, with the place of each block.
import type { MeshConfig } from '../config/mesh-config.ts';
import type { Origin } from '../model/origin.ts';
import { originAt } from '../model/origin.ts';
import type { EffectiveDestinationRule, SourcedPolicy, Subset, TrafficPolicy } from './destination-rule.ts';

/** The blocks of a traffic policy that are layered one by one. */
export const policyBlocks = [
  'connectionPool',
  'loadBalancer',
  'outlierDetection',
  'tls',
  'tunnel',
  'proxyProtocol',
  'retryBudget',
] as const;
export type PolicyBlock = (typeof policyBlocks)[number];

/** What counts for one port and subset, with the place of each block. */
export interface LayeredPolicy {
  readonly policy: Omit<TrafficPolicy, 'portLevelSettings'>;
  readonly origins: Readonly<Partial<Record<PolicyBlock, Origin>>>;
}

/**
 * The policy of one service port, for one subset or (undefined) the whole service.
 * portLevelSettings replace the whole policy for their port, nothing is inherited. A subset's policy
 * overlays the host's block by block; its portLevelSettings replace once more, but leave the host's
 * tunnel, proxyProtocol and retryBudget, which they cannot hold. Under the host's stands the mesh's.
 * Source: Istio DestinationRule reference, `MergeSubsetTrafficPolicy`.
 */
export function layerPolicy(
  rule: EffectiveDestinationRule | undefined,
  servicePort: number,
  subset?: Subset,
  mesh: MeshConfig['defaultTrafficPolicy'] = {},
): LayeredPolicy {
  const layers = [rule?.trafficPolicy, subset?.trafficPolicy];
  const policy: Record<string, unknown> = {};
  const origins: Partial<Record<PolicyBlock, Origin>> = {};
  const set = (block: PolicyBlock, value: unknown, origin: Origin): void => {
    policy[block] = value;
    origins[block] = origin;
  };
  for (const [index, layer] of layers.entries()) {
    // What the host's policy leaves out is the mesh's; a subset goes over both.
    if (index === 1)
      for (const block of ['connectionPool', 'outlierDetection'] as const)
        if (mesh[block] !== undefined) policy[block] ??= mesh[block];
    if (layer === undefined) continue;
    const ports = layer.policy.portLevelSettings ?? [];
    const at = ports.findIndex((entry) => entry.port?.number === servicePort);
    const portLevel = ports[at];
    for (const block of policyBlocks) {
      const value = layer.policy[block];
      if (portLevel !== undefined && isPortLevelBlock(block)) {
        delete policy[block];
        delete origins[block];
        const own = portLevel[block];
        if (own !== undefined) set(block, own, blockOrigin(layer, block, 'portLevelSettings', index));
      } else if (value !== undefined && portLevel === undefined) set(block, value, blockOrigin(layer, block));
    }
  }
  return { policy, origins };
}

function blockOrigin(
  { origin, filled }: SourcedPolicy,
  block: PolicyBlock,
  ...path: readonly (string | number)[]
): Origin {
  return filled?.[[...path, block].join('/')] ?? originAt(origin, ...path, block);
}

function isPortLevelBlock(
  block: PolicyBlock,
): block is 'connectionPool' | 'loadBalancer' | 'outlierDetection' | 'tls' {
  return (
    block === 'connectionPool' || block === 'loadBalancer' || block === 'outlierDetection' || block === 'tls'
  );
}
