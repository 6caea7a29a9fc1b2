import { expect, test } from 'vitest';
import { PushQueue } from './push-queue.ts';
import type { PushRequest } from './push-request.ts';

function request(key: string): PushRequest {
  return { reasons: new Map([['config', 1]]), configs: new Set([key]), isForced: false, startMs: 0 };
}

function queueOf(concurrency: number) {
  const turns: (() => void)[] = [];
  const pushed: string[] = [];
  const open = new Map<string, () => void>();
  let nowMs = 0;
  const state = { pushMs: 0, waits: new Set<string>() };
  const queue = new PushQueue<string>({
    concurrency,
    yieldTurn: (next) => void turns.push(next),
    nowMs: () => nowMs,
    push: (connection, { configs }) => {
      pushed.push(`${connection}:${[...configs].join('+')}`);
      nowMs += state.pushMs;
      if (!state.waits.has(connection)) return undefined;
      return new Promise((resolve) => open.set(connection, resolve));
    },
  });
  const turn = (): void => turns.shift()?.();
  const finish = async (connection: string): Promise<void> => {
    open.get(connection)?.();
    await Promise.resolve();
    await Promise.resolve();
  };
  return { queue, turn, turns, pushed, finish, state };
}

test('PushQueue: one merged request for each connection, first come first served (B4.03)', () => {
  const { queue, turn, pushed } = queueOf(10);
  queue.enqueue('p1', request('a'));
  queue.enqueue('p2', request('a'));
  queue.enqueue('p1', request('b'));
  expect(queue.size).toBe(2);
  turn();
  expect(pushed).toEqual(['p1:a+b', 'p2:a']);
  expect(queue.size).toBe(0);
});

test('PushQueue: what comes while a connection is being pushed to waits for the end (B4.03)', async () => {
  const { queue, turn, pushed, finish, state } = queueOf(10);
  state.waits.add('p1');
  queue.enqueue('p1', request('a'));
  turn();
  queue.enqueue('p1', request('b'));
  queue.enqueue('p1', request('c'));
  turn();
  expect(pushed).toEqual(['p1:a']);
  await finish('p1');
  turn();
  expect(pushed).toEqual(['p1:a', 'p1:b+c']);
});

test('PushQueue: no more at a time than the throttle says (B4.04, B1.08)', async () => {
  const { queue, turn, pushed, finish, state } = queueOf(2);
  for (const name of ['p1', 'p2', 'p3']) {
    state.waits.add(name);
    queue.enqueue(name, request('a'));
  }
  turn();
  expect(pushed).toEqual(['p1:a', 'p2:a']);
  await finish('p2');
  turn();
  expect(pushed).toEqual(['p1:a', 'p2:a', 'p3:a']);
});

test('PushQueue: long work is broken into turns', () => {
  const { queue, turn, turns, pushed, state } = queueOf(10);
  state.pushMs = 5;
  for (const name of ['p1', 'p2', 'p3', 'p4']) queue.enqueue(name, request('a'));
  turn();
  expect(pushed).toHaveLength(2);
  expect(turns).toHaveLength(1);
  turn();
  expect(pushed).toHaveLength(4);
});

test('PushQueue: a connection that is gone is forgotten', async () => {
  const { queue, turn, pushed, finish, state } = queueOf(10);
  state.waits.add('p1');
  queue.enqueue('p1', request('a'));
  queue.enqueue('p2', request('a'));
  queue.remove('p2');
  turn();
  queue.enqueue('p1', request('b'));
  queue.remove('p1');
  await finish('p1');
  turn();
  expect(pushed).toEqual(['p1:a']);
});
