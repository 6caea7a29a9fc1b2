import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { DerivationError, Handle } from './index.ts';
import { CycleError, Graph, structurallyEqual } from './index.ts';

describe('Graph.derived', () => {
  test('derived: computed once until something it read changes', () => {
    const graph = new Graph();
    const numbers = graph.input<number>('numbers');
    numbers.set('a', 1);
    numbers.set('b', 2);
    let runs = 0;
    const double = graph.derived<string, number>({
      name: 'double',
      compute: (key) => {
        runs++;
        return (numbers.get(key) ?? 0) * 2;
      },
    });
    expect([double.get('a'), double.get('a'), double.get('b')]).toEqual([2, 2, 4]);
    expect(runs).toBe(2);
    numbers.set('a', 5);
    expect([double.get('a'), double.get('b')]).toEqual([10, 4]);
    expect(runs).toBe(3);
  });

  test('handle: the value without looking for it, recorded as any, also after an eviction', () => {
    const graph = new Graph();
    const words = graph.input<string>('words');
    const found = graph.derived({ name: 'found', compute: (key: string) => words.get(key) ?? 'none' });
    const handle = found.handle('x');
    const shown = graph.derived({ name: 'shown', compute: (_all: 'all') => handle.attempt() });
    expect(handle.isFresh).toBe(false);
    expect(shown.get('all')).toMatchObject({ value: 'none' });
    expect(handle.isFresh).toBe(true);
    words.set('x', 'here');
    expect([handle.isFresh, shown.isFresh('all')]).toEqual([false, false]);
    expect(shown.get('all')).toMatchObject({ value: 'here' });
    // Twice, for what was asked for since the last time stays.
    graph.evict();
    expect(graph.evict()).toBeGreaterThan(0);
    expect(found.size).toBe(0);
    words.set('x', 'elsewhere');
    expect(handle.isFresh).toBe(false);
    expect(handle.attempt()).toMatchObject({ value: 'elsewhere' });
    // It is the family's again, and nobody computes it twice.
    const { computations } = graph;
    expect(found.get('x')).toBe('elsewhere');
    expect([graph.computations, found.size, handle.isFresh]).toEqual([computations, 1, true]);
    words.set('x', 'at last');
    expect([handle.attempt(), found.get('x')]).toMatchObject([{ value: 'at last' }, 'at last']);
  });

  test('derived: an equal value stops the change there (early cut-off)', () => {
    const graph = new Graph();
    const words = graph.input<{ text: string }>('words');
    words.set('x', { text: 'one' });
    const length = graph.derived({
      name: 'length',
      compute: (k: string) => ({ n: words.get(k)?.text.length }),
    });
    let runs = 0;
    const shown = graph.derived({
      name: 'shown',
      compute: (key: string) => {
        runs++;
        return `length ${length.get(key).n}`;
      },
    });
    shown.get('x');
    const before = length.get('x');
    words.set('x', { text: 'two' });
    expect(shown.isFresh('x')).toBe(false);
    expect(shown.get('x')).toBe('length 3');
    expect(runs).toBe(1);
    expect(length.get('x')).toBe(before);
    words.set('x', { text: 'three' });
    expect(shown.get('x')).toBe('length 5');
    expect(runs).toBe(2);
  });

  test('derived: an equal input changes nothing', () => {
    const graph = new Graph();
    const words = graph.input<{ list: string[] }>('words');
    words.set('x', { list: ['a'] });
    const first = graph.derived({ name: 'first', compute: (k: string) => words.get(k)?.list[0] });
    first.get('x');
    words.set('x', { list: ['a'] });
    expect(first.isFresh('x')).toBe(true);
  });

  test('derived: an absent key that appears is a change', () => {
    const graph = new Graph();
    const words = graph.input<string>('words');
    const found = graph.derived({ name: 'found', compute: (key: string) => words.get(key) ?? 'none' });
    expect(found.get('x')).toBe('none');
    words.set('y', 'other');
    expect(found.isFresh('x')).toBe(true);
    words.set('x', 'here');
    expect(found.get('x')).toBe('here');
    words.delete('x');
    expect(found.get('x')).toBe('none');
  });

  test('derived: reads follow the branch taken, and what is no longer read does not count', () => {
    const graph = new Graph();
    const words = graph.input<string>('words');
    words.set('which', 'left');
    words.set('left', 'L');
    words.set('right', 'R');
    const chosen = graph.derived({
      name: 'chosen',
      compute: () => words.get(words.get('which') ?? ''),
      key: () => '',
    });
    expect(chosen.get(undefined)).toBe('L');
    words.set('which', 'right');
    expect(chosen.get(undefined)).toBe('R');
    words.set('left', 'L2');
    expect(chosen.isFresh(undefined)).toBe(true);
    expect(chosen.readsOf(undefined)).toEqual(['words(which)', 'words(right)']);
  });

  test('attempt: an exception is a value, reported once, and heals', () => {
    const failures: DerivationError[] = [];
    const graph = new Graph({ failed: (error) => failures.push(error) });
    const words = graph.input<string>('words');
    words.set('x', 'bad');
    const parsed = graph.derived({
      name: 'parsed',
      compute: (key: string) => {
        const word = words.get(key);
        if (word === 'bad') throw new Error('cannot parse bad');
        return word;
      },
    });
    const all = graph.derived({ name: 'all', compute: () => parsed.get('x'), key: () => 'all' });
    const careful = graph.derived({
      name: 'careful',
      compute: () => {
        const outcome = parsed.attempt('x');
        return outcome.ok ? outcome.value : 'left out';
      },
      key: () => 'careful',
    });
    expect(() => all.get(undefined)).toThrow('parsed(x): cannot parse bad');
    expect(all.attempt(undefined).ok).toBe(false);
    expect(careful.get(undefined)).toBe('left out');
    expect(failures.map((f) => f.label)).toEqual(['parsed(x)']);
    words.set('x', 'good');
    expect(all.get(undefined)).toBe('good');
    expect(careful.get(undefined)).toBe('good');
  });

  test('derived: a cycle is an error that names its path, and ends when the data ends it', () => {
    const graph = new Graph();
    const delegates = graph.input<string>('delegates');
    const root: { get(key: string): string } = graph.derived({
      name: 'root',
      compute: (key: string): string => {
        const next = delegates.get(key);
        return next === undefined ? key : root.get(next);
      },
    });
    graph.batch(() => {
      delegates.set('a', 'b');
      delegates.set('b', 'c');
      delegates.set('c', 'a');
    });
    const caught = (() => {
      try {
        return root.get('a');
      } catch (error) {
        return error;
      }
    })() as Error;
    let cause: unknown = caught;
    while (cause instanceof Error && !(cause instanceof CycleError)) cause = cause.cause;
    expect(cause).toBeInstanceOf(CycleError);
    expect((cause as CycleError).path).toEqual(['root(a)', 'root(b)', 'root(c)', 'root(a)']);
    delegates.delete('c');
    expect([root.get('a'), root.get('b'), root.get('c')]).toEqual(['c', 'c', 'c']);
    delegates.set('c', 'd');
    expect(root.get('a')).toBe('d');
  });

  test('batch: derivations may not write', () => {
    const graph = new Graph();
    const words = graph.input<string>('words');
    const writer = graph.derived({ name: 'writer', compute: () => words.set('x', 'y'), key: () => '' });
    expect(() => writer.get(undefined)).toThrow('writes to a collection');
  });

  test('derive: named on the spot, shared by key', () => {
    const graph = new Graph();
    const words = graph.input<string>('words');
    let runs = 0;
    const count = (): number =>
      graph.derive('count', () => {
        runs++;
        return words.size;
      });
    expect([count(), count(), runs]).toEqual([0, 0, 1]);
    words.set('x', 'y');
    expect([count(), runs]).toEqual([1, 2]);
    words.set('x', 'z');
    expect([count(), runs]).toEqual([1, 2]);
  });

  test('evict: drops what is neither held, read nor asked for; a held root keeps all below it', () => {
    const graph = new Graph();
    const words = graph.input<string>('words');
    const lower = graph.derived({ name: 'lower', compute: (key: string) => words.get(key) ?? '' });
    const upper = graph.derived({ name: 'upper', compute: (key: string) => lower.get(key) });
    const hold = upper.hold('kept');
    upper.get('kept');
    upper.get('idle');
    expect(graph.evict()).toBe(0);
    graph.evict();
    expect([upper.size, lower.size]).toEqual([1, 1]);
    words.set('kept', 'x');
    expect(upper.get('kept')).toBe('x');
    hold.release();
    graph.evict();
    graph.evict();
    graph.evict();
    expect([upper.size, lower.size]).toEqual([0, 0]);
    expect(upper.get('kept')).toBe('x');
  });
});

describe('Collection', () => {
  test('keys and size: changed by adding and removing, not by replacing', () => {
    const graph = new Graph();
    const words = graph.input<string>('words');
    words.set('a', '1');
    const keys = graph.derived({ name: 'keys', compute: () => words.keys().join(), key: () => '' });
    expect(keys.get(undefined)).toBe('a');
    words.set('a', '2');
    expect(keys.isFresh(undefined)).toBe(true);
    words.set('b', '1');
    expect(keys.get(undefined)).toBe('a,b');
  });

  test('index: one word is changed only by rows that have or had it', () => {
    const graph = new Graph();
    const pods = graph.input<{ app: string; ip: string }>('pods');
    const byApp = pods.index('pods by app', (pod) => [pod.app]);
    const ips = graph.derived({
      name: 'ips',
      compute: (app: string) => byApp.get(app).map((pod) => pod.ip),
    });
    pods.set('p1', { app: 'x', ip: '1' });
    expect([ips.get('x'), ips.get('y')]).toEqual([['1'], []]);
    pods.set('p2', { app: 'y', ip: '2' });
    expect([ips.isFresh('x'), ips.isFresh('y')]).toEqual([true, false]);
    pods.set('p1', { app: 'y', ip: '1' });
    expect([ips.get('x'), [...ips.get('y')].sort()]).toEqual([[], ['1', '2']]);
    expect(byApp.words()).toEqual(['y']);
  });

  test('map and flatMap: only touched rows run again, also through what they read', () => {
    const graph = new Graph();
    const pods = graph.input<{ node: string }>('pods');
    const zones = graph.input<string>('zones');
    const ran: string[] = [];
    const placed = pods.map('placed', (pod, key) => {
      ran.push(key);
      return { key, zone: zones.get(pod.node) ?? '?' };
    });
    const names = placed.flatMap('names', (row) => [{ name: row.key }, { name: row.zone }]);
    const byZone = placed.index('by zone', (row) => [row.zone]);
    graph.batch(() => {
      pods.set('p1', { node: 'n1' });
      pods.set('p2', { node: 'n2' });
    });
    expect(ran).toEqual(['p1', 'p2']);
    zones.set('n1', 'z1');
    expect(ran).toEqual(['p1', 'p2', 'p1']);
    expect(byZone.get('z1')).toEqual([{ key: 'p1', zone: 'z1' }]);
    expect(names.values().map((row) => row.name)).toEqual(['p1', 'z1', 'p2', '?']);
    pods.delete('p1');
    expect(byZone.get('z1')).toEqual([]);
    expect(names.keys()).toEqual(['p2#0', 'p2#1']);
  });

  test('map: a row that throws is reported and left out; reading a later collection is an error', () => {
    const failures: string[] = [];
    const graph = new Graph({ failed: (error) => failures.push(error.message) });
    const words = graph.input<string>('words');
    let later: { size: number } = { size: 0 };
    const rows = words.map('rows', (word) => {
      if (word === 'bad') throw new Error('no');
      if (word === 'late') return { word, n: later.size };
      return { word, n: 0 };
    });
    later = rows.map('later', (row) => row);
    graph.batch(() => {
      words.set('a', 'bad');
      words.set('b', 'fine');
      words.set('c', 'late');
    });
    expect(rows.keys()).toEqual(['b']);
    expect(failures[0]).toBe('rows(a): no');
    expect(failures[1]).toContain('derived later');
    words.set('a', 'fine');
    expect(rows.keys()).toEqual(['b', 'a']);
  });
});

test('Graph: after random edits everything equals a computation from scratch', () => {
  const edit = fc.record({
    table: fc.constantFrom('services' as const, 'rules' as const, 'zones' as const),
    key: fc.constantFrom('a', 'b', 'c', 'd'),
    value: fc.option(fc.constantFrom('a', 'b', 'c', 'x'), { nil: undefined }),
    ask: fc.array(fc.constantFrom('a', 'b', 'c', 'd', 'x'), { maxLength: 3 }),
    evict: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(fc.array(edit, { minLength: 1, maxLength: 4 }), { maxLength: 30 }), (batches) => {
      const kept = model(new Graph());
      const tables = {
        services: new Map<string, string>(),
        rules: new Map<string, string>(),
        zones: new Map<string, string>(),
      };
      for (const batch of batches) {
        kept.graph.batch(() => {
          for (const { table, key, value } of batch) {
            if (value === undefined) {
              kept[table].delete(key);
              tables[table].delete(key);
            } else {
              kept[table].set(key, value);
              tables[table].set(key, value);
            }
          }
        });
        const fresh = model(new Graph());
        for (const table of ['services', 'rules', 'zones'] as const) fresh[table].replaceAll(tables[table]);
        for (const { ask, evict } of batch) {
          for (const key of ask) expect(kept.answer(key)).toEqual(fresh.answer(key));
          if (evict) kept.graph.evict();
        }
      }
    }),
    { numRuns: 150 },
  );
});

/** A small world: two inputs joined by row, an index over the join, recursion, and a sum over all. */
function model(graph: Graph) {
  const services = graph.input<string>('services');
  const rules = graph.input<string>('rules');
  const zones = graph.input<string>('zones');
  const zoneOf = graph.derived({ name: 'zoneOf', compute: (key: string) => zones.get(key) ?? 'none' });
  const placed = services.map('placed', (value, key) =>
    value === 'x' ? undefined : { key, value, zone: zoneOf.get(value) },
  );
  const byZone = placed.index('byZone', (row) => [row.zone, row.value]);
  const follow: { attempt(key: string): { ok: boolean } } = graph.derived({
    name: 'follow',
    compute: (key: string): string => {
      const next = rules.get(key);
      if (next === undefined) return key;
      const end = follow.attempt(next) as { ok: boolean; value: string };
      return end.ok ? `${key}>${end.value}` : 'loop';
    },
  });
  const handles = new Map<string, Handle<string>>();
  const answer = (key: string): unknown => ({
    // By a handle that outlives evictions.
    zoneByHandle: byHandle(key),
    zone: byZone
      .get(key)
      .map((row) => row.key)
      .toSorted(),
    shared: graph.derive(`shared ${key}`, () =>
      byZone
        .get(zoneOf.get(key))
        .map((row) => row.zone)
        .toSorted(),
    ),
    keys: graph.derive('keys', () => placed.keys().toSorted().join()),
    end: rulesLoop(rules, key) ? 'loop' : follow.attempt(key),
  });
  return { graph, services, rules, zones, answer };

  function byHandle(key: string): unknown {
    const handle = handles.get(key) ?? zoneOf.handle(key);
    handles.set(key, handle);
    const outcome = handle.attempt();
    return outcome.ok ? outcome.value : 'failed';
  }
}

/** Where a cycle is met depends on who asks first: only its being one is compared. */
function rulesLoop(rules: { get(key: string): string | undefined }, start: string): boolean {
  const seen = new Set<string>();
  for (let at: string | undefined = start; at !== undefined; at = rules.get(at)) {
    if (seen.has(at)) return true;
    seen.add(at);
  }
  return false;
}

test('Graph: one change among many recomputes only what depends on it', () => {
  const graph = new Graph();
  const services = graph.input<{ port: number }>('services');
  graph.batch(() => {
    for (let i = 0; i < 500; i++) services.set(`s${i}`, { port: i });
  });
  const cluster = graph.derived({
    name: 'cluster',
    key: ([scope, name]: readonly [string, string]) => `${scope}/${name}`,
    compute: ([scope, name]) => `${scope} ${services.get(name)?.port}`,
  });
  const all = graph.derived({
    name: 'all',
    compute: (scope: string) => services.keys().map((name) => cluster.get([scope, name])),
  });
  for (let scope = 0; scope < 10; scope++) all.get(`scope${scope}`);
  const before = graph.computations;
  services.set('s7', { port: 9999 });
  for (let scope = 0; scope < 10; scope++) expect(all.get(`scope${scope}`)[7]).toContain('9999');
  // Per scope: the one cluster, and the list that holds it.
  expect(graph.computations - before).toBe(20);
});

test('structurallyEqual: by content for data, by identity for the rest', () => {
  const f = (): number => 1;
  expect(structurallyEqual({ a: [1, { b: 'x' }], f }, { f, a: [1, { b: 'x' }] })).toBe(true);
  expect(structurallyEqual({ a: 1 }, { a: 1, b: undefined })).toBe(true);
  expect(structurallyEqual({ a: undefined, b: 1 }, { b: 1, c: 2 })).toBe(false);
  expect(structurallyEqual([1, 2], [1, 2, 3])).toBe(false);
  expect(structurallyEqual(new Uint8Array([1]), new Uint8Array([1]))).toBe(true);
  expect(structurallyEqual(new Map([['a', [1]]]), new Map([['a', [1]]]))).toBe(true);
  expect(structurallyEqual(new Set(['a']), new Set(['b']))).toBe(false);
  expect(structurallyEqual(() => 1, f)).toBe(false);
  expect(structurallyEqual(Number.NaN, Number.NaN)).toBe(true);
  expect(structurallyEqual([], {})).toBe(false);
});

test('Collection: keys that were asked for and are read by nobody any more are forgotten', () => {
  const graph = new Graph();
  const words = graph.input<string>('words');
  const found = graph.derived({ name: 'found', compute: (key: string) => words.get(key) ?? 'none' });
  const hold = found.hold('kept');
  found.get('kept');
  for (let i = 0; i < 5000; i++) found.get(`unknown${i}`);
  graph.evict();
  graph.evict();
  expect(found.size).toBe(1);
  words.set('other', 'x');
  // The one that is still read is still told.
  words.set('kept', 'here');
  expect(found.get('kept')).toBe('here');
  words.set('unknown1', 'now');
  expect(found.get('unknown1')).toBe('now');
  hold.release();
});
