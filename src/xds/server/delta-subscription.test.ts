// The rules of delta subscriptions, one case each.
import { describe, expect, test } from 'vitest';
import type { DeltaRequest } from './delta-subscription.ts';
import { receiveDelta } from './delta-subscription.ts';
import type { Subscription, SubscriptionEvent } from './subscription.ts';
import { sent } from './subscription.ts';

interface Step {
  readonly request?: {
    readonly subscribe?: readonly string[];
    readonly unsubscribe?: readonly string[];
    readonly versions?: Readonly<Record<string, string>>;
    /** `last`: of the last response; `old`: of the one before; `foreign`: of another stream. */
    readonly nonce?: 'last' | 'old' | 'foreign';
    readonly error?: string;
  };
  readonly sends?: true;
  readonly event?: SubscriptionEvent['kind'];
  readonly added?: readonly string[];
  readonly all?: boolean;
  readonly resumed?: boolean;
  readonly names?: readonly string[];
  readonly wildcard?: boolean;
}

interface Case {
  readonly title: string;
  readonly wildcardType?: true;
  readonly steps: readonly Step[];
}

const cases: readonly Case[] = [
  {
    title: 'the first request of a type subscribes; an ACK says nothing of names (B3.02, B3.08)',
    steps: [
      {
        request: { subscribe: ['a', 'b'] },
        event: 'subscribe',
        names: ['a', 'b'],
        wildcard: false,
        resumed: false,
      },
      { sends: true },
      { request: { nonce: 'last' }, event: 'ack', added: [], all: false, names: ['a', 'b'] },
    ],
  },
  {
    title: 'a first request without names is the wildcard where the type has one (B3.02)',
    wildcardType: true,
    steps: [
      { request: {}, event: 'subscribe', names: [], wildcard: true },
      { sends: true },
      { request: { nonce: 'last' }, event: 'ack', wildcard: true },
    ],
  },
  {
    title: 'a first request without names of another type subscribes to nothing (B3.02)',
    steps: [{ request: {}, event: 'subscribe', names: [], wildcard: false }],
  },
  {
    title: 'names beside the wildcard do not end it; only taking `*` back does (B3.02)',
    wildcardType: true,
    steps: [
      { request: {}, event: 'subscribe', wildcard: true },
      { sends: true },
      { request: { subscribe: ['a'] }, event: 'change', added: ['a'], names: ['a'], wildcard: true },
      { request: { unsubscribe: ['*'] }, event: 'change', added: [], names: ['a'], wildcard: false },
      { request: { unsubscribe: ['a'] }, event: 'change', added: [], names: [], wildcard: false },
      { request: {}, event: 'stale', names: [], wildcard: false },
    ],
  },
  {
    title: 'an explicit wildcard comes with names, and later (B3.02)',
    wildcardType: true,
    steps: [
      { request: { subscribe: ['*', 'a'] }, event: 'subscribe', names: ['a'], wildcard: true },
      { request: { unsubscribe: ['*'] }, event: 'change', wildcard: false, all: false },
      { request: { subscribe: ['*'] }, event: 'change', wildcard: true, all: true },
    ],
  },
  {
    title: 'a client that wants nothing yet says the wildcard and takes it back in one request (B3.02)',
    wildcardType: true,
    steps: [
      { request: { subscribe: ['*'], unsubscribe: ['*'] }, event: 'subscribe', names: [], wildcard: false },
      { request: { subscribe: ['a'] }, event: 'change', added: ['a'], names: ['a'], wildcard: false },
    ],
  },
  {
    title: 'a name that is taken back under the wildcard is answered: it may be part of that (B3.04)',
    wildcardType: true,
    steps: [
      { request: { subscribe: ['*', 'a'] }, event: 'subscribe' },
      { request: { unsubscribe: ['a', 'never-asked'] }, event: 'change', added: ['a'], names: [] },
    ],
  },
  {
    title: 'a known name that is subscribed again is answered (B3.05)',
    steps: [
      { request: { subscribe: ['a', 'b'] }, event: 'subscribe' },
      { sends: true },
      { request: { nonce: 'last' }, event: 'ack' },
      { request: { subscribe: ['a'] }, event: 'change', added: ['a'], names: ['a', 'b'] },
    ],
  },
  {
    title: 'a name that is dropped and taken again is answered (B3.05)',
    steps: [
      { request: { subscribe: ['a'] }, event: 'subscribe' },
      { sends: true },
      { request: { unsubscribe: ['a'], nonce: 'last' }, event: 'ack', added: [], names: [] },
      { request: { subscribe: ['a'] }, event: 'change', added: ['a'], names: ['a'] },
    ],
  },
  {
    title: 'a name said both ways in one request is not subscribed',
    steps: [
      { request: { subscribe: ['a'] }, event: 'subscribe' },
      { request: { subscribe: ['b'], unsubscribe: ['b', 'a'] }, event: 'change', added: [], names: [] },
    ],
  },
  {
    title: 'versions say what the client holds from an earlier stream (B3.02)',
    steps: [
      {
        request: { subscribe: ['a', 'b'], versions: { a: '1' } },
        event: 'subscribe',
        resumed: true,
        names: ['a', 'b'],
      },
    ],
  },
  {
    title: 'a nonce of an earlier stream in the first request means nothing (B3.02)',
    steps: [
      {
        request: { subscribe: ['a'], nonce: 'foreign', error: 'old' },
        event: 'subscribe',
        names: ['a'],
      },
    ],
  },
  {
    title: 'an ACK may bring names: both count (B3.08)',
    steps: [
      { request: { subscribe: ['a'] }, event: 'subscribe' },
      { sends: true },
      {
        request: { subscribe: ['b'], unsubscribe: ['a'], nonce: 'last' },
        event: 'ack',
        added: ['b'],
        names: ['b'],
      },
    ],
  },
  {
    title: 'a NACK keeps what is subscribed, and its names count, too (B3.08)',
    steps: [
      { request: { subscribe: ['a'] }, event: 'subscribe' },
      { sends: true },
      { request: { nonce: 'last', error: 'bad' }, event: 'nack', added: [], names: ['a'] },
      { sends: true },
      {
        request: { subscribe: ['b'], nonce: 'last', error: 'bad' },
        event: 'nack',
        added: ['b'],
        names: ['a', 'b'],
      },
    ],
  },
  {
    title: 'a stale nonce acknowledges nothing, but what it says of names counts (B3.02, B3.08)',
    steps: [
      { request: { subscribe: ['a'] }, event: 'subscribe' },
      { sends: true },
      { sends: true },
      { request: { nonce: 'old' }, event: 'stale', names: ['a'] },
      { request: { nonce: 'old', error: 'bad' }, event: 'stale', names: ['a'] },
      {
        request: { subscribe: ['b'], unsubscribe: ['a'], nonce: 'old' },
        event: 'change',
        added: ['b'],
        names: ['b'],
      },
      { request: { nonce: 'last' }, event: 'ack', names: ['b'] },
    ],
  },
];

describe('receiveDelta', () => {
  for (const { title, steps, wildcardType } of cases) {
    test(`receiveDelta: ${title}`, () => {
      let subscription: Subscription | undefined;
      let responses = 0;
      for (const [index, step] of steps.entries()) {
        if (step.sends === true && subscription !== undefined) {
          responses++;
          subscription = sent(subscription, { nonce: `n${responses}`, version: `v${responses}`, atMs: 1 });
        }
        if (step.request === undefined) continue;
        const before: Subscription | undefined = subscription;
        const frozen = JSON.stringify(before, (_, value: unknown) =>
          value instanceof Set ? [...value] : value,
        );
        const received = receiveDelta(before, requestOf(step.request, responses), wildcardType === true);
        subscription = received.subscription;
        const at = `step ${index}`;
        expect(
          JSON.stringify(before, (_, value: unknown) => (value instanceof Set ? [...value] : value)),
          `${at} changes what was before`,
        ).toBe(frozen);
        expect(received.event.kind, at).toBe(step.event);
        for (const field of ['added', 'all', 'resumed'] as const) {
          if (step[field] !== undefined) expect(received.event, at).toMatchObject({ [field]: step[field] });
        }
        if (step.names !== undefined) expect([...(subscription?.names ?? [])], at).toEqual(step.names);
        if (step.wildcard !== undefined) expect(subscription?.wildcard, at).toBe(step.wildcard);
        if (received.event.kind === 'ack') {
          expect(subscription?.nonceAcked, at).toBe(subscription?.nonceSent);
          expect(subscription?.rejection, at).toBeUndefined();
        }
        if (received.event.kind === 'nack') {
          expect(subscription?.rejection?.message, at).toBe('bad');
          expect(subscription?.nonceAcked, at).toBe(before?.nonceAcked);
        }
        if (received.event.kind === 'stale' || received.event.kind === 'change') {
          expect(subscription?.nonceAcked, at).toBe(before?.nonceAcked);
          expect(subscription?.rejection, at).toBe(before?.rejection);
        }
      }
    });
  }

  test('receiveDelta: the set of names is the same object while the names are the same', () => {
    const first = receiveDelta(undefined, requestOf({ subscribe: ['a'] }, 0), false).subscription;
    const again = receiveDelta(first, requestOf({ subscribe: ['a'] }, 0), false).subscription;
    expect(again?.names).toBe(first?.names);
  });
});

function requestOf(request: NonNullable<Step['request']>, responses: number): DeltaRequest {
  const nonces = { last: `n${responses}`, old: `n${responses - 1}`, foreign: 'of-another-stream' };
  return {
    subscribe: request.subscribe ?? [],
    unsubscribe: request.unsubscribe ?? [],
    versions: new Map(Object.entries(request.versions ?? {})),
    nonce: request.nonce === undefined ? '' : nonces[request.nonce],
    ...(request.error === undefined ? {} : { error: { code: 13, message: request.error } }),
  };
}
