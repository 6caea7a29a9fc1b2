// The status of routes: for each parent, whether the route is attached and whether all that it names is there.
import type { ParentReference, RouteConfig } from '../config/gateway-api-types.ts';
import { gatewayController } from './classes.ts';
import type { Condition, Problem } from './conditions.ts';
import { joinConditions } from './conditions.ts';
import type { GatewayApiObjects } from './objects.ts';
import type { RouteParent } from './parents.ts';
import { formatParent, isMesh, routeParents } from './parents.ts';
import { convertRoute } from './routes.ts';

export interface RouteParentStatus {
  readonly parentRef: ParentReference;
  readonly controllerName: string;
  readonly conditions: readonly Condition[];
}

export interface RouteStatus {
  readonly parents: readonly RouteParentStatus[];
}

/**
 * What other controllers say stays, each in its place; what we said of a parent that is not named any more falls
 * away. A parentRef that means several listeners is accepted if one of them is attached.
 * Source: Istio `createRouteStatus`.
 */
export function routeStatus(objects: GatewayApiObjects, route: RouteConfig): RouteStatus {
  const before = ((route.status ?? {}) as Partial<RouteStatus>).parents ?? [];
  const converted = convertRoute(objects, route);
  const byReference = new Map<ParentReference, RouteParent[]>();
  for (const parent of routeParents(objects, route)) {
    const known = byReference.get(parent.reference);
    if (known === undefined) byReference.set(parent.reference, [parent]);
    else known.push(parent);
  }
  const ours = new Map<string, RouteParentStatus>();
  for (const [reference, parents] of byReference) {
    const text = formatParent(reference, route.namespace);
    const existing = before.find((each) => isOurs(each) && sameParent(each, text, route.namespace));
    const problem = parents.some(isMesh) ? converted.meshProblem : converted.gatewayProblem;
    ours.set(text, {
      parentRef: reference,
      controllerName: gatewayController,
      conditions: parentConditions(parents, problem, existing?.conditions, route.generation),
    });
  }
  const kept = before.flatMap((each) => {
    if (!isOurs(each)) return [each];
    const text = formatParent(each.parentRef, route.namespace);
    const now = ours.get(text);
    ours.delete(text);
    return now === undefined ? [] : [now];
  });
  const added = [...ours].sort(([a], [b]) => (a < b ? 1 : -1)).map(([, each]) => each);
  return { parents: [...kept, ...added] };
}

function isOurs({ controllerName }: RouteParentStatus): boolean {
  return controllerName === gatewayController;
}

function sameParent({ parentRef }: RouteParentStatus, text: string, namespace: string): boolean {
  return formatParent(parentRef, namespace) === text;
}

/** The least of these is said where no listener takes the route. */
const reasons = ['NotAllowedByListeners', 'NoMatchingListenerHostname', 'NoMatchingParent'];

function parentConditions(
  parents: readonly RouteParent[],
  problem: Problem | undefined,
  existing: readonly Condition[] | undefined,
  generation: number | undefined,
): readonly Condition[] {
  const attached = parents.filter(({ denied }) => denied === undefined).length;
  const message = attached > 1 ? `Route was valid, bound to ${attached} parents` : 'Route was valid';
  const denied = parents.flatMap((parent) => parent.denied ?? []);
  const reason = reasons.find((each) => denied.some((one) => one.reason === each));
  const told =
    attached > 0 || reason === undefined
      ? undefined
      : {
          reason,
          message: denied
            .filter((one) => one.reason === reason)
            .map((one) => one.message)
            .join('; '),
        };
  return joinConditions(
    existing,
    {
      Accepted: { reason: 'Accepted', message, problem: told },
      ResolvedRefs: { reason: 'ResolvedRefs', message: 'All references resolved', problem },
    },
    generation,
  );
}
