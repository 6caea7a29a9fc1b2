import { describe, expect, test } from 'vitest';
import { DeliveryBench } from '../../../test/support/delivery-bench.ts';
import { FakeClock } from '../../../test/support/fake-clock.ts';

function connected(dialect: 'sotw' | 'delta'): DeliveryBench {
  const bench = new DeliveryBench(new FakeClock(), dialect);
  bench.set('CDS', 'cluster-a=1', 'cluster-b=1');
  bench.set('RDS', 'route-r=1', 'route-s=1', 'route-t=1');
  bench.set('LDS', 'listener-l=1');
  bench.connect([], ['route-r', 'route-s', 'route-t']);
  return bench;
}

/** The NACK of a response that is not the last. */
function nackOf(bench: DeliveryBench, type: 'CDS' | 'RDS', nonce: string, error: string): void {
  const names = type === 'RDS' ? ['route-r', 'route-s', 'route-t'] : [];
  if (bench.dialect === 'delta') bench.askDelta(type, { nonce, error });
  else bench.ask(type, names, { nonce, error });
}

describe('Delivery when an answer comes after the 15 s for which it is waited for', () => {
  for (const dialect of ['sotw', 'delta'] as const) {
    const whole = (text: string): string => (dialect === 'sotw' ? `CDS cluster-a=1 ${text}` : `CDS ${text}`);

    test(`${dialect}: a NACK of the last response counts as one in time: blamed, left as it was, not sent again`, () => {
      const bench = connected(dialect);
      bench.set('CDS', 'cluster-b=bad');
      bench.push();
      bench.clock.advance(15_100);
      expect(bench.delivery.inUseOf('type.googleapis.com/envoy.config.cluster.v3.Cluster', 'cluster-b')).toBe(
        bench.world.CDS.get('cluster-b'),
      );
      bench.nack('CDS', 'Error adding/updating cluster(s) cluster-b: no such policy');
      expect(bench.rejected).toEqual([
        'CDS cluster-b: Error adding/updating cluster(s) cluster-b: no such policy',
      ]);
      expect(bench.delivery.refusals().map(({ resource }) => resource.name)).toEqual(['cluster-b']);
      expect(bench.take()).toEqual([whole('cluster-b=bad')]);
      bench.clock.advance(60_000);
      bench.push();
      expect(bench.take()).toEqual([]);
      bench.set('CDS', 'cluster-b=2');
      bench.push();
      expect(bench.take()).toEqual([whole('cluster-b=2')]);
      expect(bench.invariants.violations).toEqual([]);
    });

    test(`${dialect}: what was good before counts again: taken back to it, nothing is sent`, () => {
      const bench = connected(dialect);
      bench.set('CDS', 'cluster-b=bad');
      bench.push();
      bench.clock.advance(15_100);
      bench.nack('CDS', 'cluster-b: no such policy');
      bench.take();
      const { CDS } = bench.world;
      const held = bench.delivery
        .inUse('type.googleapis.com/envoy.config.cluster.v3.Cluster')
        .get('cluster-b');
      expect(held?.version.trim()).toBe('1');
      if (held !== undefined) CDS.set('cluster-b', held);
      bench.push();
      expect(bench.take()).toEqual([]);
    });

    test(`${dialect}: a NACK of an older response: its route is refused, and the later response has not brought it`, () => {
      const bench = connected(dialect);
      const old = bench.subscriptions.get('type.googleapis.com/envoy.config.route.v3.RouteConfiguration');
      bench.set('RDS', 'route-r=bad');
      let nonce = '';
      bench.onSend = (_, __, response) => {
        if (nonce === '') ({ nonce } = response);
      };
      bench.push();
      expect(nonce).not.toBe(old?.nonceSent);
      bench.clock.advance(15_100);
      bench.set('RDS', 'route-s=2');
      bench.push();
      expect(bench.take()).toEqual(['RDS route-r=bad', 'RDS route-s=2']);
      nackOf(bench, 'RDS', nonce, 'no such thing');
      expect(bench.rejected).toEqual(['RDS route-r: no such thing']);
      bench.ack('RDS');
      bench.push();
      expect(bench.take()).toEqual([]);
      expect(bench.delivery.refusals().map(({ resource }) => resource.name)).toEqual(['route-r']);
      const inUse = bench.delivery.inUse('type.googleapis.com/envoy.config.route.v3.RouteConfiguration');
      expect([...inUse.values()].map(({ name, version }) => `${name}=${version.trim()}`).sort()).toEqual([
        'route-r=1',
        'route-s=2',
        'route-t=1',
      ]);
      bench.set('RDS', 'route-r=3');
      bench.push();
      expect(bench.take()).toEqual(['RDS route-r=3']);
    });

    test(`${dialect}: a NACK of an older response that names nothing: its routes go out one by one`, () => {
      const bench = connected(dialect);
      bench.set('RDS', 'route-r=bad', 'route-t=2');
      let nonce = '';
      bench.onSend = (_, __, response) => {
        if (nonce === '') ({ nonce } = response);
      };
      bench.push();
      bench.clock.advance(15_100);
      bench.set('RDS', 'route-s=2');
      bench.push();
      nackOf(bench, 'RDS', nonce, 'no such thing');
      bench.ack('RDS');
      bench.nack('RDS', 'no such thing');
      bench.ack('RDS');
      expect(bench.take()).toEqual([
        'RDS route-r=bad route-t=2',
        'RDS route-s=2',
        'RDS route-r=bad',
        'RDS route-t=2',
      ]);
      expect(bench.rejected.at(-1)).toBe('RDS route-r: no such thing');
      expect(bench.delivery.idle).toBe(true);
    });

    test(`${dialect}: once a later response is answered, a NACK of an older one is noise`, () => {
      const bench = connected(dialect);
      bench.set('RDS', 'route-r=2');
      let nonce = '';
      bench.onSend = (_, __, response) => {
        if (nonce === '') ({ nonce } = response);
      };
      bench.push();
      bench.clock.advance(15_100);
      bench.set('RDS', 'route-s=2');
      bench.push();
      bench.ack('RDS');
      bench.take();
      nackOf(bench, 'RDS', nonce, 'no such thing');
      nackOf(bench, 'RDS', 'of nobody', 'no such thing');
      expect(bench.rejected).toEqual([]);
      bench.push();
      expect(bench.take()).toEqual([]);
    });
  }

  test('sotw: a whole set that holds the refused cluster again is refused again: nobody else is blamed', () => {
    const bench = connected('sotw');
    bench.set('CDS', 'cluster-b=bad');
    let nonce = '';
    bench.onSend = (_, __, response) => {
      if (nonce === '') ({ nonce } = response);
    };
    bench.push();
    bench.clock.advance(15_100);
    bench.set('CDS', 'cluster-a=2');
    bench.push();
    nackOf(bench, 'CDS', nonce, 'cluster-b: no such policy');
    bench.nack('CDS', 'cluster-b: no such policy');
    expect(bench.rejected).toEqual([
      'CDS cluster-b: cluster-b: no such policy',
      'CDS cluster-b: cluster-b: no such policy',
    ]);
    expect(bench.delivery.refusals().map(({ resource }) => resource.name)).toEqual(['cluster-b']);
    expect(bench.take()).toEqual(['CDS cluster-a=1 cluster-b=bad', 'CDS cluster-a=2 cluster-b=bad']);
    bench.push();
    expect(bench.take()).toEqual([]);
    bench.set('CDS', 'cluster-a=3');
    bench.push();
    expect(bench.take()).toEqual(['CDS cluster-a=3 cluster-b=1']);
  });
});
