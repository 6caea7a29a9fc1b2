// Tests of the planner: what is wanted and what runs -> what to do, without a process.
import { expect, test } from 'vitest';
import type { Action, ActualPod, DesiredWorkload, Strategy } from './plan.ts';
import { plan, rollingStrategy } from './plan.ts';

const key = 'Deployment/default/web';

function workload(replicas: number, templateHash: string, strategy?: Strategy): DesiredWorkload {
  return { key, replicas, templateHash, strategy: strategy ?? rollingStrategy(replicas) };
}

/** A cluster that obeys: applies actions, makes pods ready and lets terminating ones end when told. */
class World {
  pods: ActualPod[] = [];
  #age = 0;

  step(desired: readonly DesiredWorkload[]): Action[] {
    const actions = plan(desired, this.pods);
    for (const action of actions) {
      if (action.kind === 'create') {
        const wanted = desired.find((candidate) => candidate.key === action.workloadKey);
        this.#age++;
        this.pods.push({
          id: `p${this.#age}`,
          workloadKey: action.workloadKey,
          templateHash: wanted?.templateHash ?? '',
          ordinal: action.ordinal,
          ready: false,
          terminating: false,
          age: this.#age,
        });
      } else {
        this.set(action.podId, { terminating: true });
      }
    }
    return actions;
  }

  set(id: string, change: Partial<ActualPod>): void {
    this.pods = this.pods.map((pod) => (pod.id === id ? { ...pod, ...change } : pod));
  }

  allReady(): void {
    for (const pod of this.pods) this.set(pod.id, { ready: !pod.terminating });
  }

  endTerminating(): void {
    this.pods = this.pods.filter((pod) => !pod.terminating);
  }

  /** Steps until nothing is to be done; checks that never fewer than `readyMin` pods serve. */
  settle(desired: readonly DesiredWorkload[], readyMin: number): number {
    let most = 0;
    for (let round = 0; round < 100; round++) {
      const actions = this.step(desired);
      const serving = this.pods.filter((pod) => pod.ready && !pod.terminating).length;
      expect(serving).toBeGreaterThanOrEqual(readyMin);
      most = Math.max(most, this.pods.filter((pod) => !pod.terminating).length);
      this.allReady();
      this.endTerminating();
      if (actions.length === 0) return most;
    }
    throw new Error('does not settle');
  }
}

test('plan: creates what is missing and deletes what is gone (A5.03)', () => {
  const world = new World();
  expect(world.step([workload(2, 'a')])).toHaveLength(2);
  expect(world.step([workload(2, 'a')])).toEqual([]);
  expect(world.step([])).toMatchObject([
    { kind: 'delete', podId: 'p1' },
    { kind: 'delete', podId: 'p2' },
  ]);
  expect(world.step([])).toEqual([]);
});

test('plan: scaling down takes pods that are not ready first, then the youngest', () => {
  const world = new World();
  world.step([workload(3, 'a')]);
  world.set('p2', { ready: true });
  world.set('p3', { ready: true });
  expect(world.step([workload(2, 'a')])).toEqual([{ kind: 'delete', podId: 'p1', reason: 'scaled down' }]);
  expect(world.step([workload(1, 'a')])).toEqual([{ kind: 'delete', podId: 'p3', reason: 'scaled down' }]);
});

test('plan: one replica rolls with the new pod ready before the old one goes', () => {
  const world = new World();
  world.settle([workload(1, 'a')], 0);
  expect(world.step([workload(1, 'b')])).toMatchObject([{ kind: 'create' }]);
  expect(world.step([workload(1, 'b')])).toEqual([]);
  world.set('p2', { ready: true });
  expect(world.step([workload(1, 'b')])).toMatchObject([{ kind: 'delete', podId: 'p1' }]);
});

test('plan: a template that never becomes ready leaves the old pods in place', () => {
  const world = new World();
  world.settle([workload(4, 'a')], 0);
  for (let round = 0; round < 5; round++) world.step([workload(4, 'bad')]);
  expect(world.pods.filter((pod) => pod.ready && !pod.terminating)).toHaveLength(3);
  // The repaired template replaces the broken one, whose pods serve nobody, at once.
  expect(world.step([workload(4, 'c')])).toContainEqual(
    expect.objectContaining({ kind: 'delete', reason: 'its template changed' }),
  );
  world.settle([workload(4, 'c')], 3);
  expect(world.pods.map((pod) => pod.templateHash)).toEqual(['c', 'c', 'c', 'c']);
});

test('plan: maxSurge and maxUnavailable bound a rollout', () => {
  for (const [surge, unavailable, most, least] of [
    [0, 1, 4, 3],
    [2, 0, 6, 4],
    ['50%', '50%', 6, 2],
    [0, 0, 4, 3],
  ] as const) {
    const world = new World();
    world.settle([workload(4, 'a')], 0);
    const rolling = workload(4, 'b', rollingStrategy(4, surge, unavailable));
    expect(world.settle([rolling], least)).toBeLessThanOrEqual(most);
    expect(world.pods.map((pod) => pod.templateHash)).toEqual(['b', 'b', 'b', 'b']);
  }
});

test('plan: a rollout and a scale-down at once end at the new number', () => {
  const world = new World();
  world.settle([workload(5, 'a')], 0);
  world.settle([workload(2, 'b')], 2);
  expect(world.pods.map((pod) => pod.templateHash)).toEqual(['b', 'b']);
  world.settle([workload(0, 'b')], 0);
  expect(world.pods).toEqual([]);
});

test('plan: Recreate waits until the old pods have ended', () => {
  const world = new World();
  const recreate: Strategy = { kind: 'recreate' };
  world.settle([workload(2, 'a', recreate)], 0);
  expect(world.step([workload(2, 'b', recreate)])).toMatchObject([{ kind: 'delete' }, { kind: 'delete' }]);
  expect(world.step([workload(2, 'b', recreate)])).toEqual([]);
  world.endTerminating();
  expect(world.step([workload(2, 'b', recreate)])).toMatchObject([{ kind: 'create' }, { kind: 'create' }]);
});

test('plan: a StatefulSet comes in order and rolls from the highest ordinal', () => {
  const world = new World();
  const ordered: Strategy = { kind: 'ordered' };
  expect(world.step([workload(2, 'a', ordered)])).toMatchObject([{ kind: 'create', ordinal: 0 }]);
  expect(world.step([workload(2, 'a', ordered)])).toEqual([]);
  world.allReady();
  expect(world.step([workload(2, 'a', ordered)])).toMatchObject([{ kind: 'create', ordinal: 1 }]);
  world.allReady();
  expect(world.step([workload(2, 'b', ordered)])).toMatchObject([{ kind: 'delete', podId: 'p2' }]);
  expect(world.step([workload(2, 'b', ordered)])).toEqual([]);
  world.endTerminating();
  expect(world.step([workload(2, 'b', ordered)])).toMatchObject([{ kind: 'create', ordinal: 1 }]);
  expect(world.step([workload(2, 'b', ordered)])).toEqual([]);
  world.allReady();
  expect(world.step([workload(2, 'b', ordered)])).toMatchObject([{ kind: 'delete', podId: 'p1' }]);
});

test('plan: Parallel creates all ordinals at once; a bare Pod is replaced under its own name', () => {
  const world = new World();
  expect(world.step([workload(3, 'a', { kind: 'parallel' })])).toHaveLength(3);
  const single = new World();
  single.step([workload(1, 'a', { kind: 'single' })]);
  expect(single.step([workload(1, 'b', { kind: 'single' })])).toMatchObject([{ kind: 'delete' }]);
  expect(single.step([workload(1, 'b', { kind: 'single' })])).toEqual([]);
  single.endTerminating();
  expect(single.step([workload(1, 'b', { kind: 'single' })])).toMatchObject([{ kind: 'create' }]);
});

test('rollingStrategy: percentages round up for the surge and down for what may be missing', () => {
  expect(rollingStrategy(3)).toEqual({ kind: 'rolling', surgeMax: 1, unavailableMax: 0 });
  expect(rollingStrategy(10)).toEqual({ kind: 'rolling', surgeMax: 3, unavailableMax: 2 });
  expect(rollingStrategy(4, 0, 0)).toEqual({ kind: 'rolling', surgeMax: 0, unavailableMax: 1 });
});
