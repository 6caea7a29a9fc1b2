import { describe, expect, test } from 'vitest';
import type { Subscription, SubscriptionEvent, SubscriptionRequest } from './subscription.ts';
import { receive, sent } from './subscription.ts';

interface Step {
  /** A request; the nonce is `last` (of the last response), `old` (of an earlier one) or `` (none). */
  readonly request?: {
    readonly names?: readonly string[];
    readonly nonce?: 'last' | 'old' | 'foreign';
    readonly error?: string;
    readonly version?: string;
  };
  /** The server sends. */
  readonly sends?: true;
  /** Another type's subscription makes this one wait for an answer (see warmedBy). */
  readonly warms?: true;
  readonly event?: SubscriptionEvent['kind'];
  readonly added?: readonly string[];
  readonly all?: boolean;
  readonly names?: readonly string[] | 'none';
  readonly wildcard?: boolean;
}

interface Case {
  readonly title: string;
  readonly wildcardType?: true;
  readonly steps: readonly Step[];
}

const cases: readonly Case[] = [
  {
    title: 'first request is answered, its repetition with the nonce is an ACK (B2.01, B2.06)',
    steps: [
      { request: { names: ['a', 'b'] }, event: 'subscribe', names: ['a', 'b'], wildcard: false },
      { sends: true },
      { request: { names: ['b', 'a'], nonce: 'last' }, event: 'ack', added: [], all: false },
    ],
  },
  {
    title: 'without names a type that has a wildcard means all (B2.09)',
    wildcardType: true,
    steps: [
      { request: {}, event: 'subscribe', names: [], wildcard: true },
      { sends: true },
      { request: { nonce: 'last' }, event: 'ack', added: [], wildcard: true },
    ],
  },
  {
    title: 'a wildcard stays one without names, and ends with names',
    wildcardType: true,
    steps: [
      { request: { names: ['*', 'x'] }, event: 'subscribe', names: ['x'], wildcard: true },
      { sends: true },
      { request: { names: ['x'], nonce: 'last' }, event: 'ack', added: [], wildcard: false },
      { sends: true },
      { request: { names: ['x', '*'], nonce: 'last' }, event: 'ack', all: true, wildcard: true },
    ],
  },
  {
    title: 'empty names of endpoints or routes end the subscription, without an answer (B2.03, T18)',
    steps: [
      { request: { names: ['a'] }, event: 'subscribe' },
      { sends: true },
      { request: { nonce: 'last' }, event: 'unsubscribe', names: 'none' },
      { request: { names: ['a'], nonce: 'old' }, event: 'subscribe', names: ['a'] },
    ],
  },
  {
    title: 'empty names as the very first request are no subscription (B2.03)',
    steps: [{ request: {}, event: 'unsubscribe', names: 'none' }],
  },
  {
    title: 'a nonce of another stream is a reconnection: everything is answered (B2.04, T18)',
    steps: [{ request: { names: ['a'], nonce: 'foreign', version: 'v7' }, event: 'subscribe', names: ['a'] }],
  },
  {
    title: 'no nonce on a stream that has one: everything is answered again (B2.04)',
    steps: [
      { request: { names: ['a'] }, event: 'subscribe' },
      { sends: true },
      { request: { names: ['a'] }, event: 'subscribe' },
    ],
  },
  {
    title: 'names that change before the first answer count (B2.04)',
    steps: [
      { request: { names: ['a'], nonce: 'foreign' }, event: 'subscribe' },
      { request: { names: ['a', 'b'], nonce: 'foreign' }, event: 'subscribe', names: ['a', 'b'] },
    ],
  },
  {
    title: 'a stale nonce is met with silence, and its names do not count (B2.05, T18)',
    steps: [
      { request: { names: ['a'] }, event: 'subscribe' },
      { sends: true },
      { sends: true },
      { request: { names: ['a', 'b'], nonce: 'old' }, event: 'stale', names: ['a'] },
      { request: { names: ['a', 'b'], nonce: 'last' }, event: 'ack', added: ['b'] },
    ],
  },
  {
    title: 'added names are answered, and only these (B2.07, T18)',
    steps: [
      { request: { names: ['a'] }, event: 'subscribe' },
      { sends: true },
      { request: { names: ['a', 'b', 'c'], nonce: 'last' }, event: 'ack', added: ['b', 'c'], all: false },
    ],
  },
  {
    title: 'removed names are recorded, not answered (B2.07)',
    steps: [
      { request: { names: ['a', 'b'] }, event: 'subscribe' },
      { sends: true },
      { request: { names: ['a'], nonce: 'last' }, event: 'ack', added: [], names: ['a'] },
    ],
  },
  {
    title: 'an ACK that something waits for is answered once (B2.08, T18)',
    steps: [
      { request: { names: ['a'] }, event: 'subscribe' },
      { sends: true },
      { warms: true },
      { request: { names: ['a'], nonce: 'last' }, event: 'ack', added: [], all: true },
      { sends: true },
      { request: { names: ['a'], nonce: 'last' }, event: 'ack', added: [], all: false },
    ],
  },
  {
    title: 'an error is a NACK: nothing is answered, the next ACK clears it (B2.02)',
    steps: [
      { request: { names: ['a'] }, event: 'subscribe' },
      { sends: true },
      { request: { names: ['a'], nonce: 'last', error: 'bad' }, event: 'nack', added: [] },
      { sends: true },
      { request: { names: ['a'], nonce: 'last' }, event: 'ack' },
    ],
  },
  {
    title: 'names added together with a NACK are answered (B2.02, B2.07)',
    steps: [
      { request: { names: ['a'] }, event: 'subscribe' },
      { sends: true },
      { request: { names: ['a', 'b'], nonce: 'last', error: 'bad' }, event: 'nack', added: ['b'] },
    ],
  },
  {
    title: 'a NACK of an older response is stale (B2.05)',
    steps: [
      { request: { names: ['a'] }, event: 'subscribe' },
      { sends: true },
      { sends: true },
      { request: { names: ['a'], nonce: 'old', error: 'bad' }, event: 'stale' },
    ],
  },
  {
    title: 'a NACK without names refuses and ends the subscription',
    steps: [
      { request: { names: ['a'] }, event: 'subscribe' },
      { sends: true },
      { request: { nonce: 'last', error: 'bad' }, event: 'nack', names: 'none' },
    ],
  },
];

describe('receive', () => {
  for (const { title, steps, wildcardType } of cases) {
    test(`receive: ${title}`, () => {
      let subscription: Subscription | undefined;
      let responses = 0;
      for (const [index, step] of steps.entries()) {
        if (step.sends === true && subscription !== undefined) {
          responses++;
          subscription = sent(subscription, { nonce: `n${responses}`, version: `v${responses}`, atMs: 1 });
        }
        if (step.warms === true && subscription !== undefined) {
          subscription = { ...subscription, respondAnyway: true };
        }
        if (step.request === undefined) continue;
        const before = subscription;
        const received = receive(before, requestOf(step.request, responses), wildcardType === true);
        subscription = received.subscription;
        const at = `step ${index}`;
        expect(received.event.kind, at).toBe(step.event);
        if (step.added !== undefined) expect(received.event, at).toMatchObject({ added: step.added });
        if (step.all !== undefined) expect(received.event, at).toMatchObject({ all: step.all });
        if (step.names === 'none') expect(subscription, at).toBeUndefined();
        else if (step.names !== undefined) expect([...(subscription?.names ?? [])], at).toEqual(step.names);
        if (step.wildcard !== undefined) expect(subscription?.wildcard, at).toBe(step.wildcard);
        if (received.event.kind === 'ack') {
          expect(subscription?.nonceAcked, at).toBe(subscription?.nonceSent);
          expect(subscription?.rejection, at).toBeUndefined();
        }
        if (received.event.kind === 'nack' && subscription !== undefined) {
          expect(subscription.rejection?.message, at).toBe('bad');
          expect(subscription.nonceAcked, at).toBe(before?.nonceAcked);
        }
      }
    });
  }

  test('receive: what a subscription remembers: names, nonces, versions, the last error, whether to answer anyway (B2.01)', () => {
    const ask = (before: Subscription | undefined, nonce: string, error?: string): Subscription => {
      const detail = error === undefined ? {} : { error: { code: 13, message: error } };
      const { subscription } = receive(before, { names: ['a', 'b'], nonce, version: '', ...detail }, false);
      return subscription as Subscription;
    };
    const asked = ask(undefined, '');
    const names = new Set(['a', 'b']);
    const fresh = { names, nonceSent: '', nonceAcked: '', versionSent: '', versionAcked: '' };
    expect(asked).toMatchObject({ ...fresh, rejection: undefined, respondAnyway: false });
    const first = sent(asked, { nonce: 'n1', version: 'v1', atMs: 5 });
    expect(first).toMatchObject({ ...fresh, nonceSent: 'n1', versionSent: 'v1', sentAtMs: 5 });
    const acked = ask({ ...first, respondAnyway: true }, 'n1');
    const good = { nonceAcked: 'n1', versionAcked: 'v1' };
    expect(acked).toMatchObject({ names, nonceSent: 'n1', versionSent: 'v1', ...good, respondAnyway: false });
    const refused = ask(sent(acked, { nonce: 'n2', version: 'v2', atMs: 6 }), 'n2', 'bad');
    const rejection = { code: 13, message: 'bad', nonce: 'n2' };
    expect(refused).toMatchObject({ names, nonceSent: 'n2', versionSent: 'v2', ...good, rejection });
    const better = ask(sent(refused, { nonce: 'n3', version: 'v3', atMs: 7 }), 'n3');
    expect(better).toMatchObject({ nonceAcked: 'n3', versionAcked: 'v3', rejection: undefined });
  });

  test('receive: the set of names is the same object while the names are the same', () => {
    const first = receive(undefined, { names: ['a'], nonce: '', version: '' }, false).subscription;
    const answered = sent(first as Subscription, { nonce: 'n', version: 'v', atMs: 0 });
    const acked = receive(answered, { names: ['a'], nonce: 'n', version: 'v' }, false).subscription;
    expect(acked?.names).toBe(first?.names);
  });
});

function requestOf(request: NonNullable<Step['request']>, responses: number): SubscriptionRequest {
  const nonces = { last: `n${responses}`, old: `n${responses - 1}`, foreign: 'of-another-stream' };
  return {
    names: request.names ?? [],
    nonce: request.nonce === undefined ? '' : nonces[request.nonce],
    version: request.version ?? '',
    ...(request.error === undefined ? {} : { error: { code: 13, message: request.error } }),
  };
}
