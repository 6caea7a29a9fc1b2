// Make before break, whatever the world does and in whatever order the proxy answers.
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { DeliveryBench, types } from '../../test/support/delivery-bench.ts';
import type { Type } from '../../test/support/delivery-bench.ts';
import type { Encoded } from './resources.ts';

const clusterNames = ['a', 'b', 'c', 'd'] as const;
const routeNames = ['r', 's'] as const;

type Step =
  | { readonly kind: 'cluster'; readonly name: string; readonly version: number; readonly eds: boolean }
  | { readonly kind: 'remove'; readonly name: string }
  | { readonly kind: 'endpoints'; readonly name: string; readonly version: number }
  | {
      readonly kind: 'route';
      readonly name: string;
      readonly version: number;
      readonly to: readonly string[];
    }
  | { readonly kind: 'listener'; readonly version: number; readonly to: readonly string[] }
  | { readonly kind: 'push' }
  | { readonly kind: 'answer'; readonly type: Type };

const version = fc.nat(3);
const name = fc.constantFrom(...clusterNames);
const to = fc.uniqueArray(name, { maxLength: 3 });
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('cluster' as const), name, version, eds: fc.boolean() }),
  fc.record({ kind: fc.constant('remove' as const), name }),
  fc.record({ kind: fc.constant('endpoints' as const), name, version }),
  fc.record({ kind: fc.constant('route' as const), name: fc.constantFrom(...routeNames), version, to }),
  fc.record({ kind: fc.constant('listener' as const), version, to }),
  fc.record({ kind: fc.constant('push' as const) }),
  fc.record({
    kind: fc.constant('answer' as const),
    type: fc.constantFrom('CDS' as const, 'EDS' as const, 'LDS' as const, 'RDS' as const),
  }),
);

/** What a proxy has, from the responses that it has taken; it takes one when it answers. */
class Proxy {
  readonly has: Record<Type, Map<string, Encoded>> = {
    CDS: new Map(),
    EDS: new Map(),
    LDS: new Map(),
    RDS: new Map(),
    ECDS: new Map(),
  };
  readonly #bench: DeliveryBench;
  readonly #open = new Map<Type, readonly Encoded[]>();

  constructor(bench: DeliveryBench) {
    this.#bench = bench;
    bench.onSend = (type, resources) => {
      expect(this.#open.has(type), `two responses of ${type} at a time`).toBe(false);
      this.#check(type, resources);
      this.#open.set(type, resources);
    };
  }

  get waiting(): readonly Type[] {
    return [...this.#open.keys()];
  }

  /** Takes a response into use and says so, as Envoy does: new clusters are followed by a request for endpoints. */
  answer(type: Type): void {
    const resources = this.#open.get(type);
    if (resources === undefined) return;
    this.#open.delete(type);
    const has = this.has[type];
    if (type === 'CDS' || type === 'LDS') has.clear();
    for (const resource of resources) has.set(resource.name, resource);
    const wanted = this.#endpointNames();
    // Endpoints of a cluster that is gone, or is no EDS cluster any more, are not kept.
    for (const known of this.has.EDS.keys()) if (!wanted.includes(known)) this.has.EDS.delete(known);
    if (type === 'EDS') this.#bench.ask('EDS', wanted);
    else this.#bench.ack(type);
    if (type !== 'CDS') return;
    // With a response on its way this request would be stale: the names come with the answer to that.
    if (this.#open.has('EDS')) return;
    const asked = [...(this.#bench.subscriptions.get(types.EDS)?.names ?? [])].sort();
    if (wanted.join() !== asked.join()) this.#bench.ask('EDS', wanted);
  }

  #endpointNames(): readonly string[] {
    return [...this.has.CDS.values()].flatMap(({ facts }) => facts.endpointsName ?? []).sort();
  }

  /** The two rules of make before break, at the moment of sending. */
  #check(type: Type, resources: readonly Encoded[]): void {
    const target = this.#bench.world.CDS;
    if (type === 'RDS' || type === 'LDS') {
      for (const { name: user, version: content, facts } of resources) {
        if (this.has[type].get(user)?.version === content) continue;
        for (const cluster of facts.clusters) {
          if (!target.has(cluster)) continue;
          const had = this.has.CDS.get(cluster);
          expect(had, `${user} names ${cluster}, which the proxy does not have`).toBeDefined();
          const endpointsName = had?.facts.endpointsName;
          if (endpointsName !== undefined)
            expect(this.has.EDS.has(endpointsName), `${cluster} has no endpoints yet`).toBe(true);
        }
      }
    }
    if (type === 'CDS') {
      const stay = new Set(resources.map((resource) => resource.name));
      for (const user of ['LDS', 'RDS'] as const) {
        for (const [userName, { version: content, facts }] of this.has[user]) {
          // A user that goes on naming it in the world as it is now names a cluster that is gone: 503 is meant.
          if (this.#bench.world[user].get(userName)?.version === content) continue;
          for (const cluster of facts.clusters) {
            if (this.has.CDS.has(cluster))
              expect(stay.has(cluster), `${cluster} goes while ${userName} names it`).toBe(true);
          }
        }
      }
    }
  }
}

test('Delivery: no route in use ever loses its cluster, and in the end the proxy has all of it (A6.16)', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const bench = new DeliveryBench();
      bench.set('CDS', 'a=0!eds');
      bench.set('EDS', 'a=0');
      bench.set('LDS', 'l=0 -> a');
      bench.set('RDS', 'r=0 -> a', 's=0');
      const proxy = new Proxy(bench);
      bench.ask('CDS');
      proxy.answer('CDS');
      proxy.answer('EDS');
      bench.ask('LDS');
      proxy.answer('LDS');
      bench.ask('RDS', [...routeNames]);
      proxy.answer('RDS');
      for (const each of steps) apply(bench, proxy, each);
      // Everything that waits is answered until nothing does.
      for (let round = 0; round < 50; round++) {
        bench.push();
        if (proxy.waiting.length === 0) break;
        for (const type of proxy.waiting) proxy.answer(type);
      }
      expect(proxy.waiting).toEqual([]);
      expect(bench.delivery.held()).toEqual([]);
      for (const type of ['CDS', 'LDS', 'RDS'] as const) {
        const wanted = [...bench.world[type]].map(([each, { field }]) => `${each}=${String(field)}`);
        const had = [...proxy.has[type]].map(([each, { field }]) => `${each}=${String(field)}`);
        expect(had.toSorted(), type).toEqual(wanted.toSorted());
      }
      for (const [each, { field }] of proxy.has.EDS) {
        expect(String(field)).toBe(String(bench.world.EDS.get(each)?.field ?? 'empty'));
      }
    }),
    { numRuns: 500 },
  );
});

function apply(bench: DeliveryBench, proxy: Proxy, each: Step): void {
  switch (each.kind) {
    case 'cluster':
      bench.set('CDS', `${each.name}=${each.version}${each.eds ? '!eds' : ''}`);
      break;
    case 'remove':
      bench.remove('CDS', each.name);
      bench.remove('EDS', each.name);
      break;
    case 'endpoints':
      bench.set('EDS', `${each.name}=${each.version}`);
      break;
    case 'route':
      bench.set('RDS', `${each.name}=${each.version}${arrow(each.to)}`);
      break;
    case 'listener':
      bench.set('LDS', `l=${each.version}${arrow(each.to)}`);
      break;
    case 'push':
      bench.push();
      break;
    case 'answer':
      proxy.answer(each.type);
      break;
    default:
      each satisfies never;
  }
}

function arrow(clusters: readonly string[]): string {
  return clusters.length === 0 ? '' : ` -> ${clusters.join(',')}`;
}
