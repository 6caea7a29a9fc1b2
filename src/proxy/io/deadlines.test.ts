import { describe, expect, test } from 'vitest';
import { FakeClock } from '../../../test/support/fake-clock.ts';
import type { Deadline } from './deadlines.ts';
import { Deadlines } from './deadlines.ts';

function recorder(log: string[], name: string, onDue?: () => void): Deadline {
  return {
    dueMs: 0,
    armedIndex: -1,
    onDue: (nowMs) => {
      log.push(`${name}@${nowMs}`);
      onDue?.();
    },
  };
}

describe('Deadlines', () => {
  test('each is called once, when due, whatever the order of arming (D4.09)', () => {
    const clock = new FakeClock();
    const deadlines = new Deadlines(clock);
    const log: string[] = [];
    deadlines.arm(recorder(log, 'late'), 100);
    deadlines.arm(recorder(log, 'early'), 20);
    deadlines.arm(recorder(log, 'middle'), 50);
    clock.advance(19);
    expect(log).toEqual([]);
    clock.advance(500);
    expect(log).toEqual(['early@20', 'middle@50', 'late@100']);
    expect(deadlines.size).toBe(0);
  });

  test('disarmed and moved ones', () => {
    const clock = new FakeClock();
    const deadlines = new Deadlines(clock);
    const log: string[] = [];
    const [gone, moved, stays] = ['gone', 'moved', 'stays'].map((name) => recorder(log, name));
    for (const each of [gone!, moved!, stays!]) deadlines.arm(each, 10);
    deadlines.disarm(gone!);
    deadlines.disarm(gone!);
    deadlines.arm(moved!, 30);
    clock.advance(100);
    expect(log).toEqual(['stays@10', 'moved@30']);
  });

  test('one that is due may disarm another that is, and arm itself again', () => {
    const clock = new FakeClock();
    const deadlines = new Deadlines(clock);
    const log: string[] = [];
    const victim = recorder(log, 'victim');
    let rounds = 0;
    const killer: Deadline = recorder(log, 'killer', () => {
      deadlines.disarm(victim);
      if (++rounds < 3) deadlines.arm(killer, clock.monotonicMs() + 10);
    });
    deadlines.arm(killer, 10);
    deadlines.arm(victim, 10);
    clock.advance(100);
    expect(log).toEqual(['killer@10', 'killer@20', 'killer@30']);
  });

  test('no timer runs while nothing is armed, and none after close', () => {
    const clock = new FakeClock();
    const deadlines = new Deadlines(clock);
    const log: string[] = [];
    const deadline = recorder(log, 'x');
    deadlines.arm(deadline, 10);
    deadlines.close();
    clock.advance(100);
    expect([log, deadline.armedIndex]).toEqual([[], -1]);
  });
});
