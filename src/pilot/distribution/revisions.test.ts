import { expect, test } from 'vitest';
import { FakeClock } from '../../../test/support/fake-clock.ts';
import type { Config } from '../../config/config.ts';
import { RevisionLedger } from './revisions.ts';

const config = {} as Config;

test('RevisionLedger: numbers count up; each object keeps that of its present form', () => {
  const ledger = new RevisionLedger(new FakeClock());
  expect(ledger.latest).toBe(0);
  expect(
    ledger.accept(
      [
        { key: 'A/n/a', after: config },
        { key: 'A/n/b', after: config },
      ],
      true,
    ),
  ).toBe(1);
  expect(ledger.accept([{ key: 'A/n/a', before: config, after: config }], true)).toBe(2);
  expect(ledger.accept([{ key: 'A/n/b', before: config }], true)).toBe(3);
  expect(ledger.ofObject('A/n/a')).toEqual({ revision: 2, generation: 2, isDeleted: false });
  expect(ledger.ofObject('A/n/b')).toEqual({ revision: 3, generation: 1, isDeleted: true });
  expect(ledger.ofObject('A/n/c')).toBeUndefined();
  ledger.accept([{ key: 'A/n/b', after: config }], true);
  expect(ledger.ofObject('A/n/b')).toEqual({ revision: 4, generation: 2, isDeleted: false });
  expect(ledger.last(2).map(({ revision, objects }) => [revision, objects])).toEqual([
    [3, [{ key: 'A/n/b', change: 'deleted' }]],
    [4, [{ key: 'A/n/b', change: 'created' }]],
  ]);
});

test('RevisionLedger: what moves no proxy is as far as the change before it', () => {
  const ledger = new RevisionLedger(new FakeClock());
  ledger.accept([{ key: 'Service/n/a', after: config }], true);
  ledger.accept([{ key: 'ConfigMap/n/a', after: config }], false);
  expect(ledger.get(2)?.relevantThrough).toBe(1);
  expect([ledger.latest, ledger.relevant]).toEqual([2, 1]);
});

test('RevisionLedger: the ConfigMap of the mesh config is as far as the mesh config', () => {
  const ledger = new RevisionLedger(new FakeClock());
  ledger.accept([{ key: 'ConfigMap/istio-system/istio', after: config }], false);
  expect(ledger.acceptMeshConfig()).toBe(2);
  expect(ledger.ofObject('ConfigMap/istio-system/istio')?.revision).toBe(2);
  expect(ledger.ofObject('MeshConfig//mesh')?.revision).toBe(2);
});

test('RevisionLedger: memory is bounded in revisions, objects of each, and deleted objects', () => {
  const ledger = new RevisionLedger(new FakeClock());
  for (let round = 0; round < 10_000; round++) {
    const keys = Array.from({ length: 60 }, (_, index) => ({
      key: `Pod/n/${round}-${index}`,
      before: config,
    }));
    ledger.accept(keys, true);
  }
  expect(ledger.latest - ledger.oldest).toBeLessThan(2000);
  expect(ledger.latest - ledger.oldest).toBeGreaterThanOrEqual(999);
  expect(ledger.get(ledger.oldest)?.revision).toBe(ledger.oldest);
  expect(ledger.get(ledger.oldest - 1)).toBeUndefined();
  expect(ledger.last(1)[0]).toMatchObject({ objectCount: 60 });
  expect(ledger.last(1)[0]?.objects).toHaveLength(50);
  expect(ledger.ofObject('Pod/n/9999-0')?.isDeleted).toBe(true);
  expect(ledger.ofObject('Pod/n/1-0')).toBeUndefined();
});
