// Subsets that two DestinationRules of one host both have.
import { destinationRuleFor } from './destination-rule.ts';
import type { ProxyScope } from './resource.ts';
import { visibleServices } from './scope.ts';
import { destinationScope } from './views.ts';
import type { World } from './world.ts';

/** Istio's name of the metric. */
export const duplicateSubsetsMetric = 'pilot_destrule_subsets';

export interface DuplicateSubset {
  /** The rules' host. */
  readonly host: string;
  readonly subset: string;
}

/** Of the rules that a proxy obeys for the services that it sees; those of a host once. Source: Istio `mergeDestinationRule`. */
export function duplicateSubsets(world: World, scope: ProxyScope): readonly DuplicateSubset[] {
  const view = destinationScope(world, scope);
  return world.derive(`duplicate-subsets/${view.key}`, () => findDuplicateSubsets(world, view));
}

function findDuplicateSubsets(world: World, scope: ProxyScope): readonly DuplicateSubset[] {
  const found = new Map<string, DuplicateSubset>();
  for (const { hostname } of visibleServices(world, scope)) {
    const rule = destinationRuleFor(world, scope, hostname);
    for (const subset of rule?.duplicateSubsets ?? [])
      found.set(`${rule?.host}/${subset}`, { host: rule?.host ?? '', subset });
  }
  return [...found.values()];
}
