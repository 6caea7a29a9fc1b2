import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Type } from '../../../test/support/delivery-bench.ts';
import { DeliveryBench, types } from '../../../test/support/delivery-bench.ts';
import { FakeClock } from '../../../test/support/fake-clock.ts';
import { ProxyDistribution } from './proxy-distribution.ts';
import { RevisionLedger } from './revisions.ts';

/** A step of a random day. */
type Step =
  | { readonly do: 'change'; readonly type: Type; readonly name: string }
  | { readonly do: 'ack' | 'nack'; readonly type: Type }
  | { readonly do: 'push' | 'busy' | 'read' }
  | { readonly do: 'wait'; readonly ms: number };

const typeArbitrary = fc.constantFrom<Type>('CDS', 'EDS', 'LDS', 'RDS');
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('change' as const),
      type: typeArbitrary,
      name: fc.constantFrom('a', 'b'),
    }),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('ack' as const), type: typeArbitrary }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('nack' as const), type: typeArbitrary }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constantFrom('push' as const, 'busy' as const, 'read' as const) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(50, 1100, 6000, 16_000) }),
  },
);

/** Where a name of a type stands, and what it is called there. */
function nameIn(type: Type, name: string): string {
  return type === 'LDS' ? `l${name}` : type === 'RDS' ? `r${name}` : name;
}

test('ProxyDistribution: what it calls acknowledged the proxy has said ACK to; in the end nothing lags', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 20, maxLength: 80, size: 'max' }), (steps) => {
      const clock = new FakeClock();
      const ledger = new RevisionLedger(clock);
      ledger.accept([{ key: 'Service/default/a' }], true);
      const bench = new DeliveryBench(clock);
      const { delivery } = bench;
      const distribution: ProxyDistribution = new ProxyDistribution({
        clock,
        ledger,
        view: {
          get busy() {
            return bench.busy;
          },
          get idle() {
            return delivery.idle;
          },
          subscriptions: bench.subscriptions,
          target: (typeUrl) => bench.target(typeUrl),
          inUseOf: (typeUrl, name) => delivery.inUseOf(typeUrl, name),
          inFlight: (typeUrl) => delivery.inFlight(typeUrl),
          isIsolating: (typeUrl, name) => delivery.isIsolating(typeUrl, name),
          held: () => delivery.held(),
          refusals: () => delivery.refusals(),
        },
      });
      /** Type and name -> the newest revision whose form the proxy has said ACK to. */
      const said = new Map<string, number>();
      /** The same of each response of which nothing was said, by type. */
      const sent = new Map<Type, Map<string, number>[]>();
      /** Revision -> what it changed. */
      const changed = new Map<number, string>();
      const formRevision = new Map<string, number>();
      bench.onTarget = () => distribution.noteTarget();
      bench.onSend = (type, resources) => {
        distribution.sent(types[type]);
        const names = new Map<string, number>();
        for (const { name, field } of resources)
          names.set(name, formRevision.get(`${type} ${name} ${String(field)}`) ?? 0);
        sent.set(type, [...(sent.get(type) ?? []), names]);
      };
      bench.onReceived = (type) => distribution.received(types[type]);
      bench.onAck = (type, flight) => {
        for (const [name, revision] of (sent.get(type) ?? []).flatMap((names) => [...names])) {
          const key = `${type} ${name}`;
          said.set(key, Math.max(said.get(key) ?? 0, revision));
        }
        sent.delete(type);
        distribution.acked(types[type], flight);
      };
      for (const name of ['a', 'b']) {
        bench.set('CDS', `${name}=1!eds`);
        bench.set('EDS', `${name}=1`);
        bench.set('LDS', `l${name}=1`);
        bench.set('RDS', `r${name}=1 -> ${name}`);
      }
      bench.connect(['a', 'b'], ['ra', 'rb']);
      const push = (): void => {
        bench.push();
        distribution.lookedAt(true);
      };
      const lastChange = new Map<string, number>();
      const check = (): void => {
        for (const [revision, key] of changed) {
          const entry = ledger.get(revision);
          if (entry === undefined) throw new Error('not known');
          const { state } = distribution.stateAt(entry);
          if (state === 'acked')
            expect(said.get(key), `${key} of revision ${revision}`).toBeGreaterThanOrEqual(revision);
        }
      };
      for (const each of steps) {
        switch (each.do) {
          case 'change': {
            const name = nameIn(each.type, each.name);
            const revision = ledger.accept([{ key: `X/default/${name}` }], true);
            const content = `${revision}${each.type === 'CDS' ? '!eds' : ''}`;
            bench.set(each.type, `${name}=${content}${each.type === 'RDS' ? ` -> ${each.name}` : ''}`);
            formRevision.set(`${each.type} ${name} ${content}`, revision);
            changed.set(revision, `${each.type} ${name}`);
            lastChange.set(`${each.type} ${name}`, revision);
            break;
          }
          case 'ack':
            if (delivery.inFlight(types[each.type]) !== undefined || sent.has(each.type))
              bench.ack(each.type);
            break;
          case 'nack':
            if (delivery.inFlight(types[each.type]) === undefined) break;
            distribution.nacked(types[each.type]);
            // Of what was sent before it nothing is said.
            sent.set(each.type, (sent.get(each.type) ?? []).slice(0, -1));
            bench.nack(each.type, 'no');
            break;
          case 'push':
            push();
            break;
          case 'busy':
          case 'read':
            bench.busy = each.do === 'busy';
            if (!bench.busy) bench.push();
            break;
          case 'wait':
            clock.advance(each.ms);
            break;
        }
        check();
      }
      // It reads and answers everything now.
      bench.busy = false;
      for (let round = 0; round < 40; round++) {
        push();
        for (const type of ['CDS', 'EDS', 'LDS', 'RDS'] as const)
          if ((sent.get(type)?.length ?? 0) > 0) bench.ack(type);
        clock.advance(100);
      }
      check();
      const refused = delivery.refusals().length > 0;
      for (const revision of changed.keys()) {
        const entry = ledger.get(revision);
        const state = entry === undefined ? undefined : distribution.stateAt(entry);
        expect(state?.state, `revision ${revision}: ${JSON.stringify(state)}`).toMatch(
          refused ? /^(?:acked|forgotten|unaffected|refused)$/ : /^(?:acked|forgotten|unaffected)$/,
        );
      }
    }),
    { numRuns: 300 },
  );
});
