import { expect, test } from 'vitest';
import type { Config } from './config.ts';
import { formatDiagnostic } from './config.ts';
import type { ConfigChange } from './store.ts';
import { ConfigStore } from './store.ts';

function config(name: string, value: string, file = 'a.yaml', line = 1): Config {
  return {
    group: '',
    version: 'v1',
    kind: 'ConfigMap',
    namespace: 'ns',
    name,
    labels: {},
    annotations: {},
    creationTimeMs: 0,
    spec: { data: { value } },
    locate: () => ({ file, line, column: 1 }),
  };
}

function watch(store: ConfigStore): string[] {
  const events: string[] = [];
  store.subscribe((changes) => void events.push(changes.map(describeChange).join(' ')));
  return events;
}

function describeChange({ key, before, after }: ConfigChange): string {
  const value = ({ spec }: Config): string => (spec as { data: { value: string } }).data.value;
  const [old, now] = [before, after].map((one) => (one === undefined ? '' : value(one)));
  return `${key.split('/')[2]}:${old}>${now}`;
}

test('ConfigStore: one event a batch; what is equal makes none', () => {
  const store = new ConfigStore();
  const events = watch(store);
  store.applyBatch('s', [config('b', '1'), config('a', '1')], []);
  store.applyBatch('s', [config('a', '1', 'a.yaml', 9)], ['ConfigMap/ns/unknown']);
  store.applyBatch('s', [config('a', '2')], ['ConfigMap/ns/b']);
  expect(events).toEqual(['a:>1 b:>1', 'a:1>2 b:1>']);
  expect(store.list('ConfigMap').map(({ name }) => name)).toEqual(['a']);
});

test('ConfigStore: list gives the same array until something of the kind changes', () => {
  const store = new ConfigStore();
  store.applyBatch('s', [config('a', '1')], []);
  const before = store.list('ConfigMap');
  expect(store.list('ConfigMap')).toBe(before);
  store.applyBatch('s', [config('b', '1')], []);
  expect(store.list('ConfigMap')).not.toBe(before);
  expect(store.list('Secret')).toEqual([]);
});

test('ConfigStore: each source owns what it gave; the first position wins, the other takes over', () => {
  const store = new ConfigStore();
  const events = watch(store);
  store.applyBatch('two', [config('a', 'of two', 'b.yaml')], []);
  store.applyBatch('one', [config('a', 'of one', 'a.yaml')], []);
  expect(store.diagnostics().map(formatDiagnostic)).toEqual([
    'b.yaml:1:1: ConfigMap ns/a: this name is taken by the object at a.yaml:1:1, which stays in force; rename one of them',
  ]);
  store.applyBatch('three', [], ['ConfigMap/ns/a']);
  store.dropSource('one');
  store.dropSource('two');
  expect(events).toEqual(['a:>of two', 'a:of two>of one', 'a:of one>of two', 'a:of two>']);
  expect(store.diagnostics()).toEqual([]);
  expect(store.all()).toEqual([]);
});

test('ConfigStore: a batch from within a subscriber comes after the one that caused it, for everyone', () => {
  const store = new ConfigStore();
  store.subscribe((changes) => {
    if (changes.some(({ key }) => key.endsWith('/cause')))
      store.applyBatch('echo', [config('effect', '1')], []);
  });
  const events = watch(store);
  store.applyBatch('s', [config('cause', '1')], []);
  expect(events).toEqual(['cause:>1', 'effect:>1']);
});

test('ConfigStore: a subscriber that throws does not hide the change from the others', () => {
  const store = new ConfigStore();
  const stop = store.subscribe(() => {
    throw new Error('mine');
  });
  const events = watch(store);
  expect(() => store.applyBatch('s', [config('a', '1')], [])).toThrow('mine');
  stop();
  store.applyBatch('s', [config('a', '2')], []);
  expect(events).toEqual(['a:>1', 'a:1>2']);
});

test('ConfigStore: tells when what is wrong has changed, and only then', () => {
  const store = new ConfigStore();
  let told = 0;
  store.subscribeDiagnostics(() => void told++);
  const diagnostic = {
    severity: 'error',
    code: 'syntax',
    message: 'm',
    position: { file: 'a', line: 1, column: 1 },
    fieldPath: [],
  } as const;
  const say = (diagnostics: readonly (typeof diagnostic)[]): void =>
    void store.apply([{ source: 's', upserts: [], deletes: [], diagnostics }]);
  say([diagnostic]);
  say([{ ...diagnostic }]);
  say([]);
  say([]);
  expect(told).toBe(2);
});
