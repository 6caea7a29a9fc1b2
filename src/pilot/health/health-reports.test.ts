import { expect, test } from 'vitest';
import { HealthReports } from './health-reports.ts';

function reports() {
  const changes: string[] = [];
  const made = new HealthReports((service, unwell) => changes.push(`${service}: ${unwell.join(' ')}`));
  return { changes, made };
}

const found = (service: string, endpoints: Readonly<Record<string, boolean>>) =>
  new Map([[service, new Map(Object.entries(endpoints))]]);

test('HealthReports: unwell is what somebody found so, and nobody found well (partly B5.10)', () => {
  const { changes, made } = reports();
  const [one, two] = [{}, {}];
  made.report(one, found('a', { x: false, y: true }));
  made.report(one, found('a', { x: false, y: true }));
  made.report(two, found('a', { x: true, y: false }));
  made.report(two, found('a', { x: false, z: false }));
  expect(changes).toEqual(['a: x', 'a: ', 'a: x z']);
  expect([...made.unwell]).toEqual([['a', ['x', 'z']]]);
});

test('HealthReports: what a client does not say any more, or has gone with, does not count (partly B5.10)', () => {
  const { changes, made } = reports();
  const [one, two] = [{}, {}];
  made.report(one, found('a', { x: false }));
  made.report(one, found('b', { x: false }));
  made.report(two, found('b', { x: true }));
  made.remove(two);
  made.remove(one);
  made.remove(one);
  expect(changes).toEqual(['a: x', 'a: ', 'b: x', 'b: ', 'b: x', 'b: ']);
  expect(made.unwell.size).toBe(0);
});
