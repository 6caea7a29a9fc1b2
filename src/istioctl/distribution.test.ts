import { describe, expect, test } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.ts';
import type { RevisionJson } from './distribution.ts';
import { describeRevision, isDistributed, isHopeless, lastWord, untilOver } from './distribution.ts';

const nowMs = Date.UTC(2026, 0, 1, 0, 0, 30);
const accepted = { latest: 9, startedAt: '', revision: 7, accepted: true };

describe('untilOver', () => {
  /** Lets what waits for the clock go on. */
  async function run<T>(clock: FakeClock, promise: Promise<T>, ms: number): Promise<T> {
    const state = { isDone: false };
    const done = promise.finally(() => {
      state.isDone = true;
    });
    done.catch(() => {});
    for (let passed = 0; passed < ms && !state.isDone; passed += 10) {
      for (let turn = 0; turn < 5; turn++) await Promise.resolve();
      clock.advance(10);
    }
    for (let turn = 0; turn < 5; turn++) await Promise.resolve();
    return done;
  }

  test('asks soon at first, and every 100 ms later; ends with the first report that is the last', async () => {
    const clock = new FakeClock();
    const asked: number[] = [];
    const waiting = untilOver({
      clock,
      timeoutMs: 1000,
      ask: async () => {
        asked.push(clock.monotonicMs());
        return Promise.resolve(asked.length);
      },
      isOver: (count) => count === 7,
    });
    expect(await run(clock, waiting, 2000)).toEqual({ report: 7, isOver: true });
    expect(asked).toEqual([0, 10, 30, 80, 180, 280, 380]);
  });

  test('a control plane that does not answer: told at once at first, asked again later, told when the time is over', async () => {
    const clock = new FakeClock();
    const failing = (until: number) => {
      let count = 0;
      return async () => {
        if (++count <= until) throw new Error(`no answer ${count}`);
        return Promise.resolve(count);
      };
    };
    const part = { clock, timeoutMs: 500, isOver: (count: number) => count > 3 };
    await expect(run(clock, untilOver({ ...part, ask: failing(1) }), 1000)).rejects.toThrow('no answer 1');
    const patient = { ...part, isPatient: true };
    expect(await run(clock, untilOver({ ...patient, ask: failing(3) }), 1000)).toMatchObject({ report: 4 });
    await expect(run(clock, untilOver({ ...patient, ask: failing(99) }), 1000)).rejects.toThrow(
      /no answer \d/,
    );
  });
});

test('isDistributed, isHopeless, lastWord: thresholds, nobody affected, and a moment for the others', () => {
  const report = (acked: number, lagging: number, refused: number): RevisionJson => ({
    ...accepted,
    affected: acked + lagging + refused,
    acked,
    lagging,
    refused,
  });
  expect(isDistributed(report(0, 0, 0), 1)).toBe(true);
  expect(isDistributed({ latest: 3, startedAt: '', revision: 7, accepted: false }, 0)).toBe(false);
  expect([isDistributed(report(9, 1, 0), 1), isDistributed(report(9, 1, 0), 0.9)]).toEqual([false, true]);
  expect([isHopeless(report(1, 8, 1), 1), isHopeless(report(1, 8, 1), 0.9)]).toEqual([true, false]);
  const clock = new FakeClock();
  const isLast = lastWord(clock, 1);
  expect(isLast(report(0, 2, 1))).toBe(false);
  clock.advance(400);
  expect(isLast(report(1, 1, 1))).toBe(false);
  clock.advance(101);
  expect(isLast(report(1, 1, 1))).toBe(true);
  expect(lastWord(clock, 1)(report(2, 0, 1))).toBe(true);
});

test('describeRevision: who has it, who refused it and where, who lags and why', () => {
  const since = new Date(nowMs - 2500).toISOString();
  const lag = (reason: string, waitsFor?: readonly string[]) => ({
    proxy: `${reason}-0.default`,
    reason,
    since,
    resourceCount: waitsFor === undefined ? 1 : 3,
    resources: [{ type: 'RDS', name: '80', reason, since, ...(waitsFor === undefined ? {} : { waitsFor }) }],
  });
  const origin = { kind: 'VirtualService', namespace: 'default', name: 'a', field: 'spec.http[0]' };
  expect(
    describeRevision(
      {
        ...accepted,
        affected: 4,
        acked: 1,
        lagging: 2,
        refused: 1,
        laggingBy: [lag('sent'), lag('held', ['outbound|80||b'])],
        refusedBy: [
          {
            proxy: 'bad-0.default',
            refusals: [
              {
                type: 'RDS',
                name: '80',
                message: 'no\n such thing ',
                from: [{ ...origin, file: 'a.yaml', line: 3, column: 5 }],
              },
            ],
          },
        ],
      },
      nowMs,
    ),
  ).toEqual([
    'revision 7: 1 of 4 affected proxies has acknowledged, 2 lag, 1 refused',
    '  refused  bad-0.default  RDS 80: no such thing',
    '           VirtualService default/a spec.http[0] at a.yaml:3:5',
    '  lagging  sent-0.default  RDS 80: sent, not acknowledged, for 2.5 s',
    '  lagging  held-0.default  RDS 80: held until the proxy has the clusters outbound|80||b, for 2.5 s (and 2 more resources)',
  ]);
  const refusals = ['a', 'b'].map((name) => ({
    type: 'CDS',
    name,
    message: 'prime',
    from: [{ ...origin, file: 'a.yaml', line: 3, column: 5 }],
  }));
  const refusedBy = ['p1', 'p2', 'p3', 'p4', 'p5'].map((proxy) => ({ proxy, refusals }));
  expect(
    describeRevision({ ...accepted, affected: 5, acked: 0, refused: 5, refusedBy }, nowMs).slice(1),
  ).toEqual([
    '  refused  p1, p2, p3 and 2 more  CDS a, CDS b: prime',
    '           VirtualService default/a spec.http[0] at a.yaml:3:5',
  ]);
  expect(describeRevision({ ...accepted, affected: 0 }, nowMs)).toEqual([
    'revision 7: no connected proxy is affected',
  ]);
});
