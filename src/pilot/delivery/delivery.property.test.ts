// Make before break and anti-entropy in both dialects, whatever the world does, in whatever order the proxy
// answers, refuses, stops reading, loses its stream and comes back.
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BenchWorld } from '../../../test/support/delivery-bench.ts';
import { FakeClock } from '../../../test/support/fake-clock.ts';
import { ModelProxy, bad, heldState, wholeState } from '../../../test/support/model-proxy.ts';

const clusterNames = ['cluster-a', 'cluster-b', 'cluster-c', 'cluster-d'] as const;
const routeNames = ['route-r', 'route-s'] as const;
const listenerNames = ['listener-l', 'listener-m'] as const;

type Step =
  | { readonly kind: 'cluster'; readonly name: string; readonly content: string; readonly eds: boolean }
  | { readonly kind: 'remove'; readonly name: string }
  | { readonly kind: 'endpoints'; readonly name: string; readonly content: string }
  | {
      readonly kind: 'route';
      readonly name: string;
      readonly content: string;
      readonly to: readonly string[];
    }
  | {
      readonly kind: 'listener';
      readonly name: string;
      readonly content: string;
      readonly to: readonly string[];
    }
  | { readonly kind: 'removeListener'; readonly name: string }
  | { readonly kind: 'push' }
  | { readonly kind: 'answer' }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'busy'; readonly busy: boolean }
  | { readonly kind: 'refusals'; readonly named: boolean }
  | { readonly kind: 'reconnect'; readonly read: boolean };

const name = fc.constantFrom(...clusterNames);
const to = fc.uniqueArray(name, { maxLength: 3 });

/** Contents; those that a proxy refuses only where `hostile`. */
function contents(hostile: boolean): fc.Arbitrary<string> {
  const good = fc.constantFrom('0', '1', '2', '3');
  return hostile ? fc.oneof({ weight: 4, arbitrary: good }, fc.constant(bad)) : good;
}

function stepsOf(hostile: boolean): fc.Arbitrary<readonly Step[]> {
  const content = contents(hostile);
  const kind = <K extends string>(value: K) => fc.constant(value);
  const step: fc.Arbitrary<Step> = fc.oneof(
    { weight: 2, arbitrary: fc.record({ kind: kind('cluster'), name, content, eds: fc.boolean() }) },
    fc.record({ kind: kind('remove'), name }),
    fc.record({ kind: kind('endpoints'), name, content: contents(false) }),
    {
      weight: 2,
      arbitrary: fc.record({ kind: kind('route'), name: fc.constantFrom(...routeNames), content, to }),
    },
    fc.record({ kind: kind('listener'), name: fc.constantFrom(...listenerNames), content, to }),
    fc.record({ kind: kind('removeListener'), name: fc.constantFrom(...listenerNames) }),
    { weight: 3, arbitrary: fc.record({ kind: kind('push') }) },
    { weight: 5, arbitrary: fc.record({ kind: kind('answer') }) },
    // Together less than the second after which a proxy that does not ask is not waited for.
    fc.record({ kind: kind('wait'), ms: fc.nat(10) }),
    fc.record({ kind: kind('busy'), busy: fc.boolean() }),
    fc.record({ kind: kind('refusals'), named: fc.boolean() }),
    fc.record({ kind: kind('reconnect'), read: fc.boolean() }),
  );
  return fc.array(step, { maxLength: 60 });
}

function startWorld(): BenchWorld {
  const world = new BenchWorld();
  world.set('CDS', 'cluster-a=0!eds');
  world.set('EDS', 'cluster-a=0');
  world.set('LDS', 'listener-l=0 -> cluster-a');
  world.set('RDS', 'route-r=0 -> cluster-a', 'route-s=0');
  return world;
}

function apply(world: BenchWorld, proxy: ModelProxy, clock: FakeClock, each: Step): void {
  switch (each.kind) {
    case 'cluster':
      world.set('CDS', `${each.name}=${each.content}${each.eds ? '!eds' : ''}`);
      break;
    case 'remove':
      world.remove('CDS', each.name);
      world.remove('EDS', each.name);
      break;
    case 'endpoints':
      world.set('EDS', `${each.name}=${each.content}`);
      break;
    case 'route':
      world.set('RDS', `${each.name}=${each.content}${arrow(each.to)}`);
      break;
    case 'listener':
      world.set('LDS', `${each.name}=${each.content}${arrow(each.to)}`);
      break;
    case 'removeListener':
      world.remove('LDS', each.name);
      break;
    case 'push':
      proxy.bench.push();
      break;
    case 'answer':
      proxy.answer();
      break;
    case 'wait':
      clock.advance(each.ms);
      break;
    case 'busy':
      proxy.bench.busy = each.busy;
      proxy.bench.push();
      break;
    case 'refusals':
      proxy.namesRefused = each.named;
      break;
    case 'reconnect':
      proxy.reconnect(each.read);
      break;
    default:
      each satisfies never;
  }
}

function arrow(clusters: readonly string[]): string {
  return clusters.length === 0 ? '' : ` -> ${clusters.join(',')}`;
}

/** Everything that waits is answered until nothing does. */
function settle(proxy: ModelProxy, clock: FakeClock): void {
  proxy.bench.busy = false;
  for (let round = 0; round < 100; round++) {
    proxy.bench.push();
    // What lingers a second for a client that comes back, and no longer.
    if (proxy.waiting === 0) clock.advance(1_100);
    if (proxy.waiting === 0 && round > 2) break;
    while (proxy.waiting > 0) proxy.answer();
  }
  expect(proxy.waiting).toBe(0);
}

function check(dialect: 'sotw' | 'delta', hostile: boolean): void {
  fc.assert(
    fc.property(stepsOf(hostile), (steps) => {
      const clock = new FakeClock();
      const world = startWorld();
      const proxy = new ModelProxy(dialect, world, clock, routeNames);
      while (proxy.waiting > 0) proxy.answer();
      for (const each of steps) apply(world, proxy, clock, each);
      settle(proxy, clock);
      expect(proxy.bench.delivery.held()).toEqual([]);
      expect(heldState(world, proxy)).toEqual(wholeState(world, proxy, routeNames));
      expect([...proxy.warming], 'clusters that warm on').toEqual([]);
      expect(proxy.bench.invariants.violations).toEqual([]);
      // Nothing more is to be done: not even a look sends anything.
      proxy.bench.take();
      proxy.bench.push();
      expect(proxy.bench.take()).toEqual([]);
    }),
    { numRuns: 400 },
  );
}

describe('Delivery', () => {
  for (const dialect of ['sotw', 'delta'] as const) {
    test(`Delivery: in ${dialect} no route in use loses its cluster, and in the end the proxy has all of it (A6.16)`, () =>
      check(dialect, false));
    test(`Delivery: in ${dialect} the same with a proxy that refuses (A6.16, B2.02)`, () =>
      check(dialect, true));
  }

  test('Delivery: in delta a proxy that has everything and comes back is sent nothing (B3.02)', () => {
    fc.assert(
      fc.property(stepsOf(false), (steps) => {
        const clock = new FakeClock();
        const world = startWorld();
        const proxy = new ModelProxy('delta', world, clock, routeNames);
        while (proxy.waiting > 0) proxy.answer();
        for (const each of steps) apply(world, proxy, clock, each);
        settle(proxy, clock);
        proxy.reconnect(false);
        settle(proxy, clock);
        // But for a type of which it has nothing: whoever asks for all of that is told so.
        expect(proxy.bench.take().filter((text) => text !== 'LDS' && text !== 'CDS')).toEqual([]);
      }),
      { numRuns: 200 },
    );
  });
});
