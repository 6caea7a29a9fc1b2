import { expect, test } from 'vitest';
import { Metrics } from './metrics.ts';

test('Metrics: Prometheus text of counters, gauges and histograms (partly B4.11)', () => {
  const metrics = new Metrics();
  const pushes = metrics.counter('pushes', 'Responses.');
  pushes.add(1, { type: 'cds' });
  pushes.add(2, { type: 'cds' });
  metrics.gauge('services', 'Services.', () => 7);
  const time = metrics.histogram('seconds', 'Time.', [0.1, 1]);
  for (const value of [0.05, 0.1, 0.5, 3]) time.observe(value);
  expect(metrics.render()).toBe(`# HELP pushes Responses.
# TYPE pushes counter
pushes{type="cds"} 3
# HELP services Services.
# TYPE services gauge
services 7
# HELP seconds Time.
# TYPE seconds histogram
seconds_bucket{le="0.1"} 2
seconds_bucket{le="1"} 3
seconds_bucket{le="+Inf"} 4
seconds_sum 3.65
seconds_count 4
`);
});

test('Metrics: label values of peers are escaped, and their number is bounded (traps 20)', () => {
  const metrics = new Metrics();
  const clients = metrics.gauge('clients', 'Clients.');
  clients.add(1, { version: 'a"b\\c\nd' });
  expect(metrics.render()).toContain(String.raw`clients{version="a\"b\\c\nd"} 1`);
  for (let i = 0; i < 5000; i++) clients.add(1, { version: `v${i}` });
  expect(metrics.render().split('\n').length).toBeLessThan(1010);
  expect(clients.get({ version: 'other' })).toBeGreaterThan(3000);
});

test('Metrics: a gauge that is asked for may have labels; what is gone is not shown any more', () => {
  const metrics = new Metrics();
  let samples = [{ labels: { name: 'a' }, value: 2 }];
  metrics.gauge('rejected', 'Rejected.', () => samples);
  expect(metrics.render()).toContain('rejected{name="a"} 2\n');
  samples = [{ labels: { name: 'b' }, value: 1 }];
  expect(metrics.render()).toContain('rejected{name="b"} 1\n');
  expect(metrics.render()).not.toContain('name="a"');
});
