// Whether clusters have their endpoints: asked for thousands of clusters, of each proxy, at each change of its routes.
import type { Snapshot } from '../resources/snapshot.ts';

/** Only memory: proxies share most of what they have, and an edit of routes leaves both sides as they are. */
const known = new WeakMap<Snapshot, WeakMap<Snapshot, boolean>>();

/** Whether there are endpoints for every one of these clusters that asks for some. Neither may change afterwards. */
export function areProvided(clusters: Snapshot, endpoints: Snapshot): boolean {
  let answers = known.get(clusters);
  if (answers === undefined) known.set(clusters, (answers = new WeakMap()));
  let answer = answers.get(endpoints);
  if (answer === undefined) answers.set(endpoints, (answer = lookAtAll(clusters, endpoints)));
  return answer;
}

function lookAtAll(clusters: Snapshot, endpoints: Snapshot): boolean {
  for (const { facts } of clusters.values())
    if (facts.endpointsName !== undefined && !endpoints.has(facts.endpointsName)) return false;
  return true;
}
