import { expect, test } from 'vitest';
import { FakeClock } from '../../../test/support/fake-clock.ts';
import { LoggerRegistry } from '../../base/logger.ts';
import type { PushRequest } from '../push/push-request.ts';
import { PushLog, byteCount } from './push-log.ts';

function bench() {
  const clock = new FakeClock();
  const lines: string[] = [];
  const loggers = new LoggerRegistry({
    clock,
    write: (line) => void lines.push(line.split('\t').slice(1).join(' ')),
  });
  const log = new PushLog({ clock, logger: loggers.logger('ads'), services: () => 5 });
  const request = (...configs: string[]): PushRequest => ({
    reasons: new Map([['config', configs.length]]),
    configs: new Set(configs),
    isForced: false,
    startMs: clock.monotonicMs(),
  });
  const connect = (...names: string[]): void => {
    for (const name of names) log.connected({ id: name, name: `${name}.default` }, 'v0', 1);
  };
  const rds = { type: 'RDS', resources: 1, removed: 0, bytes: 1276 };
  return { clock, lines, log, request, connect, rds, loggers };
}

test('PushLog: trigger, proxies, responses, bytes, milliseconds; one line when all were looked at', () => {
  const { clock, lines, log, request, connect, rds } = bench();
  connect('a', 'b', 'c');
  const id = log.begin(request('VirtualService/default/reviews'), 'v1/2', 7);
  clock.advance(5);
  log.reached('a', id);
  log.sent('a', rds);
  log.passed('a', id);
  log.passed('b', id);
  expect(lines).toEqual([]);
  clock.advance(5);
  log.reached('c', id);
  log.sent('c', { ...rds, bytes: 300 });
  log.passed('c', id);
  expect(lines).toEqual([
    'info ads XDS: Pushing Services:5 ConnectedEndpoints:3 Version:v1/2 Revision:7 reason:config trigger:VirtualService/default/reviews proxies:2 responses:2 resources:2 size:1.6kB time:10ms',
  ]);
  log.answered('a');
  clock.advance(10);
  expect(log.records().at(-1)).toMatchObject({ answeredMs: undefined });
  log.answered('c');
  expect(log.records().at(-1)).toMatchObject({
    revision: 7,
    reasons: { config: 1 },
    connected: 3,
    waiting: 0,
    proxies: ['a.default', 'c.default'],
    proxyCount: 2,
    responses: [
      { proxy: 'a.default', ...rds, afterMs: 5 },
      { proxy: 'c.default', type: 'RDS', resources: 1, removed: 0, bytes: 300, afterMs: 10 },
    ],
    bytes: 1576,
    firstSentMs: 5,
    lastSentMs: 10,
    answeredMs: 20,
  });
});

test('PushLog: a push that sends nothing says nothing', () => {
  const { lines, log, request, connect } = bench();
  connect('a');
  const id = log.begin(request('Pod/default/a'), 'v1', 2);
  log.passed('a', id);
  expect(lines).toEqual([]);
  expect(log.records().at(-1)).toMatchObject({ responseCount: 0, waiting: 0, answeredMs: undefined });
});

test('PushLog: a push that was merged into the next is over with it; who disconnects is waited for no more', () => {
  const { lines, log, request, connect, rds } = bench();
  connect('a', 'b');
  const first = log.begin(request('A/default/a'), 'v1', 2);
  const second = log.begin(request('A/default/b'), 'v2', 3);
  log.reached('a', second);
  log.sent('a', rds);
  log.passed('a', second);
  log.disconnected('b');
  expect(log.records().filter(({ id }) => id === first || id === second)).toMatchObject([
    { waiting: 0, responseCount: 0 },
    { waiting: 0, responseCount: 1, answeredMs: undefined },
  ]);
  expect(lines).toHaveLength(1);
  log.disconnected('a');
  expect(log.records().at(-1)?.answeredMs).toBe(0);
});

test('PushLog: what a proxy asked for by itself is a record of that proxy', () => {
  const { log, connect, rds } = bench();
  connect('a', 'b');
  log.sent('a', { ...rds, type: 'CDS' });
  log.answered('a');
  expect(log.records()).toMatchObject([{ reasons: { proxyrequest: 1 }, proxies: ['a.default'] }]);
  expect(log.records('b.default')).toEqual([]);
});

test('PushLog: memory is bounded in pushes, responses, objects and connections that come and go', () => {
  const { log, request, connect, rds } = bench();
  connect('a');
  for (let round = 0; round < 1000; round++) {
    const objects = Array.from({ length: 50 }, (_, index) => `Pod/default/${index}`);
    const id = log.begin(request(...objects), `v${round}`, round);
    log.reached('a', id);
    for (let count = 0; count < 150; count++) log.sent('a', rds);
    log.passed('a', id);
    connect(`x${round}`);
    log.sent(`x${round}`, rds);
    log.disconnected(`x${round}`);
  }
  const records = log.records();
  expect(records).toHaveLength(400);
  const last = records.findLast(({ reasons }) => 'config' in reasons);
  expect(last).toMatchObject({ objectCount: 50, responseCount: 150, resources: 150 });
  expect([last?.objects.length, last?.responses.length]).toEqual([20, 100]);
});

test('PushLog: each response is a line at debug, as istiod writes it', () => {
  const { lines, log, request, connect, rds, loggers } = bench();
  loggers.setLevel('debug');
  connect('a');
  log.reached('a', log.begin(request('A/default/a'), 'v1', 2));
  log.sent('a', rds);
  expect(lines).toEqual(['debug ads RDS: PUSH reason:config for node:a.default resources:1 size:1.3kB']);
});

test('byteCount: as istiod’s log lines have it', () => {
  expect([0, 999, 1000, 1276, 999_949, 1_500_000, 2_000_000_000].map(byteCount)).toEqual([
    '0B',
    '999B',
    '1.0kB',
    '1.3kB',
    '999.9kB',
    '1.5MB',
    '2.0GB',
  ]);
});
