import { expect, test } from 'vitest';
import { FakeClock } from '../../../test/support/fake-clock.ts';
import type { PushReason, PushRequest } from './push-request.ts';
import { Debounce, mergePushRequests } from './push-request.ts';

function request(key: string, reason: PushReason = 'config', startMs = 0): PushRequest {
  return { reasons: new Map([[reason, 1]]), configs: new Set([key]), isForced: false, startMs };
}

test('mergePushRequests: objects united, reasons summed, earliest start, forced if one is (B4.02)', () => {
  const merged = mergePushRequests(
    mergePushRequests(request('a', 'config', 5), request('b', 'endpoint', 3)),
    { ...request('a', 'config', 9), isForced: true },
  );
  expect([...merged.configs]).toEqual(['a', 'b']);
  expect([...merged.reasons]).toEqual([
    ['config', 2],
    ['endpoint', 1],
  ]);
  expect(merged).toMatchObject({ isForced: true, startMs: 3 });
  const one = request('a');
  expect(mergePushRequests(undefined, one)).toBe(one);
});

function debounced(): { clock: FakeClock; pushed: string[]; debounce: Debounce } {
  const clock = new FakeClock();
  const pushed: string[] = [];
  const push = (merged: PushRequest): void => {
    pushed.push(`${clock.monotonicMs()}:${[...merged.configs].join('+')}`);
  };
  return { clock, pushed, debounce: new Debounce({ clock, push }) };
}

test('Debounce: the first change goes at once, what follows is merged until 100 ms of silence (B4.01, A6.15)', () => {
  const { clock, pushed, debounce } = debounced();
  debounce.add(request('a'));
  expect(pushed).toEqual(['0:a']);
  clock.advance(60);
  debounce.add(request('b'));
  clock.advance(60);
  debounce.add(request('c'));
  clock.advance(99);
  expect(pushed).toHaveLength(1);
  clock.advance(1);
  expect(pushed[1]).toBe('220:b+c');
  clock.advance(99);
  debounce.add(request('d'));
  expect(pushed).toHaveLength(2);
  clock.advance(100);
  expect(pushed[2]).toBe('419:d');
  clock.advance(100);
  debounce.add(request('e'));
  expect(pushed[3]).toBe('519:e');
});

test('Debounce: changes without end are pushed every 10 s (B4.01)', () => {
  const { clock, pushed, debounce } = debounced();
  for (let at = 0; at < 25_000; at += 50) {
    debounce.add(request('x'));
    clock.advance(50);
  }
  expect(pushed.map((text) => Number(text.split(':')[0]))).toEqual([0, 10_050, 20_050]);
});

test('Debounce: dispose drops what waits', () => {
  const { clock, pushed, debounce } = debounced();
  debounce.add(request('a'));
  debounce.add(request('b'));
  debounce.dispose();
  clock.advance(1000);
  expect(pushed).toEqual(['0:a']);
});
