// Locality failover: nearer endpoints first, farther ones when outlier detection has ejected those.
import type { Locality } from '../../model/service.ts';
import type { LayeredPolicy } from '../destination-rule.ts';

/** What the priorities of a cluster's endpoints depend on, beside the endpoints. */
export interface Failover {
  /** The proxy's own. */
  readonly locality: Locality;
  /** The region that comes next for the proxy's, where the rule names one. */
  readonly nextRegion?: string;
}

/**
 * Whether (and from where) a cluster fails over: only with outlier detection, for without it nothing
 * would ever leave the nearest locality (T20), and unless the rule switches it off. Source: Istio locality load
 * balancing, `LocalityLBSettings.ApplyToLoadAssignment`.
 */
export function failoverOf(locality: Locality, { policy }: LayeredPolicy): Failover | undefined {
  const setting = policy.loadBalancer?.localityLbSetting;
  if (policy.outlierDetection === undefined || setting?.enabled === false) return undefined;
  const nextRegion = setting?.failover?.find(({ from }) => from === locality.region)?.to;
  return { locality, ...(nextRegion === undefined ? {} : { nextRegion }) };
}

/** Whether localities are weighted against each other: only where the rule itself lists failovers. */
export function weighsLocalities({ policy }: LayeredPolicy): boolean {
  const setting = policy.loadBalancer?.localityLbSetting;
  return (
    policy.outlierDetection !== undefined &&
    setting?.enabled !== false &&
    (setting?.failover ?? []).length > 0
  );
}

/** The priority of each locality, 0 being the first, without gaps: Envoy takes no others. */
export function failoverPriorities(
  localities: readonly Locality[],
  failover: Failover | undefined,
): readonly number[] {
  if (failover === undefined) return localities.map(() => 0);
  const distances = localities.map((locality) => distanceOf(locality, failover));
  const steps = [...new Set(distances)].sort((a, b) => a - b);
  return distances.map((distance) => steps.indexOf(distance));
}

function distanceOf(to: Locality, { locality: from, nextRegion }: Failover): number {
  if (from.region !== to.region) return nextRegion === undefined || to.region === nextRegion ? 3 : 4;
  if (from.zone !== to.zone) return 2;
  return from.subzone === to.subzone ? 0 : 1;
}
