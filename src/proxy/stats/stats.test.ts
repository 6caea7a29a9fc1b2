// Counters, gauges, histograms and their three printed forms.
import { expect, test } from 'vitest';
import { printJson, printPrometheus, printText } from './print-stats.ts';
import type { StatsQuery } from './print-stats.ts';
import { StatsStore } from './stats.ts';

const everything: StatsQuery = { usedOnly: false, type: 'All', matches: () => true };
const prometheus = (store: StatsStore): string =>
  printPrometheus(store, { ...everything, textReadouts: false, fixedTags: [] });

test('StatsScope: the same full name is the same stat; a reset keeps the handle (D8.01)', () => {
  const store = new StatsStore();
  const a = store.scope('cluster').scope('web', 'envoy_cluster_name').counter('upstream_rq_total');
  const b = store.scope('cluster.web').counter('upstream_rq_total');
  expect(b).toBe(a);
  a.inc();
  b.add(4);
  expect(a.value).toBe(5);
  store.resetCounters();
  expect(a.value).toBe(0);
  expect(a.used).toBe(true);
  a.inc();
  expect(a.value).toBe(1);
});

test('StatsStore: thousands of handles never share a slot (D8.01)', () => {
  const store = new StatsStore();
  const counters = Array.from({ length: 5000 }, (_, i) => store.root.counter(`c${i}`));
  counters.forEach((counter, i) => counter.add(i));
  expect(counters.every((counter, i) => counter.value === i)).toBe(true);
});

test('StatsScope.remove: forgets the scope, and no other whose name begins like it (D8.01)', () => {
  const store = new StatsStore();
  const clusters = store.scope('cluster');
  clusters.scope('a', 'envoy_cluster_name').counter('x');
  clusters.scope('a.b', 'envoy_cluster_name').counter('x');
  clusters.scope('a', 'envoy_cluster_name').remove();
  expect([...store.counters()].map(({ id }) => id.name)).toEqual(['cluster.a.b.x']);
});

test('printText: sorted, used only, by type and filter; histograms last (D8.01)', () => {
  const store = new StatsStore();
  store.root.counter('b').inc();
  store.root.counter('a');
  store.root.gauge('c').set(-3);
  store.root.textReadout('t').value = 'v"1';
  const histogram = store.root.histogram('h');
  store.root.histogram('empty');
  for (let i = 1; i <= 100; i++) histogram.record(i);
  const lines = printText(store, everything).split('\n');
  expect(lines.slice(0, 5)).toEqual(['t: "v\\"1"', 'a: 0', 'b: 1', 'c: -3', 'empty: No recorded values']);
  expect(lines[5]).toMatch(
    /^h: P0\(1,1\) P25\(2\d(\.\d+)?,.* P50\(5[01](\.\d+)?,.* P100\(1[01]\d,1[01]\d\)$/,
  );
  expect(printText(store, { ...everything, usedOnly: true, type: 'Counters' })).toBe('b: 1\n');
  expect(printText(store, { ...everything, matches: (name) => name === 'c' })).toBe('c: -3\n');
});

test('printJson: values and quantiles (D8.01)', () => {
  const store = new StatsStore();
  store.root.counter('a').add(2);
  store.root.histogram('h').record(0);
  expect(JSON.parse(printJson(store, everything))).toMatchObject({
    stats: [
      { name: 'a', value: 2 },
      {
        histograms: {
          supported_quantiles: [0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100],
          computed_quantiles: [
            { name: 'h', values: Array.from({ length: 10 }, () => ({ cumulative: 0, interval: 0 })) },
          ],
        },
      },
    ],
  });
});

test('printPrometheus: tags, code tags, one TYPE line for each name (D8.01)', () => {
  const store = new StatsStore();
  for (const name of ['outbound|80||a.b.svc', 'inbound|80||']) {
    const scope = store.scope('cluster').scope(name, 'envoy_cluster_name');
    scope.counter('upstream_rq_200').inc();
    scope.counter('upstream_rq_2xx').inc();
    scope.counter('upstream-odd.name').inc();
  }
  expect(prometheus(store).split('\n')).toEqual([
    '# TYPE envoy_cluster_upstream_odd_name counter',
    'envoy_cluster_upstream_odd_name{envoy_cluster_name="inbound|80||"} 1',
    'envoy_cluster_upstream_odd_name{envoy_cluster_name="outbound|80||a.b.svc"} 1',
    '# TYPE envoy_cluster_upstream_rq counter',
    'envoy_cluster_upstream_rq{envoy_response_code="200",envoy_cluster_name="inbound|80||"} 1',
    'envoy_cluster_upstream_rq{envoy_response_code="200",envoy_cluster_name="outbound|80||a.b.svc"} 1',
    '# TYPE envoy_cluster_upstream_rq_xx counter',
    'envoy_cluster_upstream_rq_xx{envoy_response_code_class="2",envoy_cluster_name="inbound|80||"} 1',
    'envoy_cluster_upstream_rq_xx{envoy_response_code_class="2",envoy_cluster_name="outbound|80||a.b.svc"} 1',
    '',
  ]);
});

test('printPrometheus: no name can make a line of its own (traps row 20)', () => {
  const store = new StatsStore();
  store.scope('cluster').scope('a"} 1\nforged{x="\\', 'envoy_cluster_name').counter('x').inc();
  expect(prometheus(store)).toBe(
    '# TYPE envoy_cluster_x counter\nenvoy_cluster_x{envoy_cluster_name="a\\"} 1\\nforged{x=\\"\\\\"} 1\n',
  );
});

test('Histogram: bucket counts are exact at Prometheus’ bounds, sum and count are exact (D8.01)', () => {
  const store = new StatsStore();
  const histogram = store.scope('cluster').histogram('t');
  for (const value of [0, 1, 3, 5, 9, 10, 99, 100, 249, 250, 2500, 10_000, 1e12]) histogram.record(value);
  const lines = prometheus(store).split('\n');
  const bucket = (le: string): number =>
    Number(
      lines
        .find((line) => line.includes(`le="${le}"`))
        ?.split(' ')
        .at(-1),
    );
  expect(bucket('0.5')).toBe(1);
  expect(bucket('1')).toBe(2);
  expect(bucket('5')).toBe(4);
  expect(bucket('10')).toBe(6);
  expect(bucket('2500')).toBe(11);
  expect(bucket('3600000')).toBe(12);
  expect(bucket('+Inf')).toBe(13);
  expect(histogram.sum).toBe(1_000_000_013_226);
});
