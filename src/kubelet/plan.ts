// What is to be done so that the pods that run become the pods that are wanted: pure, and small enough
// to be called after every change.
//
// The rules are Kubernetes': a Deployment's RollingUpdate with maxSurge and maxUnavailable (rounded as
// its controller does), Recreate, and a StatefulSet's ordered rollout. What is not done: no revision
// history, no progress deadline: a rollout that cannot become ready simply leaves the old pods in place.

/** What the planner needs of a Deployment, StatefulSet or bare Pod. */
export interface DesiredWorkload {
  /** `Kind/namespace/name` */
  readonly key: string;
  readonly replicas: number;
  readonly templateHash: string;
  readonly strategy: Strategy;
}

/**
 * rolling: so many pods above and below `replicas` while it rolls. recreate: the old ones go first.
 * ordered: pods have ordinals and come one by one. parallel: ordinals, all at once. single: one pod,
 * whose name is its own.
 */
export type Strategy =
  | { readonly kind: 'rolling'; readonly surgeMax: number; readonly unavailableMax: number }
  | { readonly kind: 'recreate' | 'ordered' | 'parallel' | 'single' };

/** What the planner needs of a pod that runs. */
export interface ActualPod {
  readonly id: string;
  readonly workloadKey: string;
  readonly templateHash: string;
  /** Pods of StatefulSets; 0 elsewhere. */
  readonly ordinal: number;
  readonly ready: boolean;
  readonly terminating: boolean;
  /** Grows with every pod: the younger has the greater. */
  readonly age: number;
}

export type Action =
  | { readonly kind: 'create'; readonly workloadKey: string; readonly ordinal: number }
  | { readonly kind: 'delete'; readonly podId: string; readonly reason: string };

/** Actions for the next step; called again after each of them has shown an effect. */
export function plan(desired: readonly DesiredWorkload[], actual: readonly ActualPod[]): Action[] {
  const wanted = new Map(desired.map((workload) => [workload.key, workload]));
  const actions: Action[] = [];
  for (const pod of actual) {
    if (!wanted.has(pod.workloadKey) && !pod.terminating)
      actions.push({ kind: 'delete', podId: pod.id, reason: `${pod.workloadKey} is gone` });
  }
  for (const workload of desired) {
    const pods = actual.filter((pod) => pod.workloadKey === workload.key);
    actions.push(...planWorkload(workload, pods));
  }
  return actions;
}

/** Kubernetes' defaults for a Deployment: a quarter, rounded up for the surge and down for what may be missing. */
export function rollingStrategy(
  replicas: number,
  maxSurge: number | string = '25%',
  maxUnavailable: number | string = '25%',
): Strategy {
  const surgeMax = amountOf(maxSurge, replicas, Math.ceil);
  const unavailableMax = amountOf(maxUnavailable, replicas, Math.floor);
  // Both zero would never move.
  return { kind: 'rolling', surgeMax, unavailableMax: surgeMax + unavailableMax === 0 ? 1 : unavailableMax };
}

function planWorkload(workload: DesiredWorkload, pods: readonly ActualPod[]): Action[] {
  const { strategy } = workload;
  if (strategy.kind === 'rolling')
    return planRolling(workload, pods, strategy.surgeMax, strategy.unavailableMax);
  if (strategy.kind === 'recreate') return planRecreate(workload, pods);
  return planOrdinals(workload, pods, strategy.kind);
}

function planRolling(
  workload: DesiredWorkload,
  pods: readonly ActualPod[],
  surgeMax: number,
  unavailableMax: number,
): Action[] {
  const live = pods.filter((pod) => !pod.terminating);
  const current = live.filter((pod) => pod.templateHash === workload.templateHash);
  const old = live.filter((pod) => pod.templateHash !== workload.templateHash);
  if (old.length === 0) return scale(workload, current);
  const actions: Action[] = [];
  const room = workload.replicas + surgeMax - live.length;
  for (let missing = Math.min(workload.replicas - current.length, room); missing > 0; missing--)
    actions.push(createOf(workload));
  // Old pods that are not ready serve nobody and go first; the others as far as enough stay ready.
  const ready = live.filter((pod) => pod.ready).length;
  let spare = ready - (workload.replicas - unavailableMax);
  for (const pod of [...old].sort(leastUsefulFirst)) {
    if (pod.ready && spare <= 0) continue;
    if (pod.ready) spare--;
    actions.push(deleteOf(pod, 'its template changed'));
  }
  return actions;
}

function planRecreate(workload: DesiredWorkload, pods: readonly ActualPod[]): Action[] {
  const old = pods.filter((pod) => pod.templateHash !== workload.templateHash);
  // Terminating ones still hold what the new ones need.
  if (old.length > 0)
    return old.filter((pod) => !pod.terminating).map((pod) => deleteOf(pod, 'its template changed'));
  return scale(
    workload,
    pods.filter((pod) => !pod.terminating),
  );
}

/** All pods are of the current template: their number is what may be wrong. */
function scale(workload: DesiredWorkload, live: readonly ActualPod[]): Action[] {
  const surplus = live.length - workload.replicas;
  if (surplus <= 0) return Array.from({ length: -surplus }, () => createOf(workload));
  return [...live]
    .sort(leastUsefulFirst)
    .slice(0, surplus)
    .map((pod) => deleteOf(pod, 'scaled down'));
}

/** Pods with a place of their own: a StatefulSet's, or the one of a bare Pod. */
function planOrdinals(
  workload: DesiredWorkload,
  pods: readonly ActualPod[],
  kind: 'ordered' | 'parallel' | 'single',
): Action[] {
  const surplus = pods.filter((pod) => pod.ordinal >= workload.replicas);
  if (surplus.length > 0) return deleteHighest(surplus, kind === 'ordered', 'scaled down');
  const isCurrent = (pod: ActualPod): boolean => pod.templateHash === workload.templateHash;
  const created: Action[] = [];
  for (let ordinal = 0; ordinal < workload.replicas; ordinal++) {
    const pod = pods.find((candidate) => candidate.ordinal === ordinal);
    if (pod === undefined) created.push({ ...createOf(workload), ordinal });
    // In order: the next one waits for this one, unless this one is to be replaced anyway.
    const waits = pod === undefined || pod.terminating || (!pod.ready && isCurrent(pod));
    if (kind === 'ordered' && waits) return created;
  }
  if (created.length > 0) return created;
  const old = pods.filter((pod) => !isCurrent(pod));
  const busy = pods.some((pod) => pod.terminating || (!pod.ready && isCurrent(pod)));
  // One at a time from the highest on, each ready before the next goes.
  if (kind !== 'single' && busy) return [];
  return deleteHighest(old, kind !== 'single', 'its template changed');
}

function deleteHighest(pods: readonly ActualPod[], onlyOne: boolean, reason: string): Action[] {
  const highestFirst = [...pods].sort((a, b) => b.ordinal - a.ordinal);
  const chosen = onlyOne ? highestFirst.slice(0, 1) : highestFirst;
  return chosen.filter((pod) => !pod.terminating).map((pod) => deleteOf(pod, reason));
}

function createOf(workload: DesiredWorkload): Action & { readonly kind: 'create' } {
  return { kind: 'create', workloadKey: workload.key, ordinal: 0 };
}

function deleteOf(pod: ActualPod, reason: string): Action {
  return { kind: 'delete', podId: pod.id, reason };
}

/** Not ready before ready, then the younger (Kubernetes: `ActivePods`). */
function leastUsefulFirst(a: ActualPod, b: ActualPod): number {
  if (a.ready !== b.ready) return a.ready ? 1 : -1;
  return b.age - a.age;
}

function amountOf(value: number | string, replicas: number, round: (amount: number) => number): number {
  if (typeof value === 'number') return Math.max(0, Math.trunc(value));
  const percent = /^(\d+)%$/.exec(value)?.[1];
  return percent === undefined ? Number(value) || 0 : round((replicas * Number(percent)) / 100);
}
