import { describe, expect, test } from 'vitest';
import { DeliveryBench, types } from '../../../test/support/delivery-bench.ts';
import { FakeClock } from '../../../test/support/fake-clock.ts';

function standardBench(): DeliveryBench {
  const bench = new DeliveryBench();
  bench.set('CDS', 'a=1!eds', 'b=1!eds');
  bench.set('EDS', 'a=e1', 'b=e1');
  bench.set('LDS', 'l=1');
  bench.set('RDS', 'r=1 -> a');
  return bench;
}

describe('Delivery', () => {
  test('pump: a proxy that starts gets each type when it asks, and nothing twice (A6.16, B4.05)', () => {
    const bench = standardBench();
    bench.ask('CDS');
    bench.ack('CDS');
    bench.ask('EDS', ['a', 'b']);
    bench.ack('EDS');
    bench.ask('LDS');
    bench.ack('LDS');
    bench.ask('RDS', ['r']);
    bench.ack('RDS');
    bench.push();
    expect(bench.take()).toEqual(['CDS a=1!eds b=1!eds', 'EDS a=e1 b=e1', 'LDS l=1', 'RDS r=1']);
    expect(bench.delivery.idle).toBe(true);
  });

  test('pump: only what changed of a type, and only types that changed (B4.06, T19, B2.09)', () => {
    const bench = standardBench();
    bench.connect(['a', 'b'], ['r']);
    bench.set('EDS', 'b=e2');
    bench.push();
    expect(bench.take()).toEqual(['EDS b=e2']);
    bench.ack('EDS');
    bench.set('LDS', 'm=1');
    bench.push();
    expect(bench.take()).toEqual(['LDS l=1 m=1']);
  });

  test('pump: one response of a type under way, changes meanwhile are merged (B1.10, B4.03)', () => {
    const bench = standardBench();
    bench.connect(['a', 'b'], ['r']);
    bench.set('RDS', 'r=2 -> a');
    bench.push();
    bench.set('RDS', 'r=3 -> a');
    bench.push();
    bench.set('RDS', 'r=4 -> a');
    bench.push();
    expect(bench.take()).toEqual(['RDS r=2']);
    bench.ack('RDS');
    expect(bench.take()).toEqual(['RDS r=4']);
    bench.ack('RDS');
    expect(bench.take()).toEqual([]);
  });

  test('pump: added names are answered with these alone (B2.07, T18)', () => {
    const bench = standardBench();
    bench.connect(['a'], ['r']);
    bench.ask('EDS', ['a', 'b']);
    expect(bench.take()).toEqual(['EDS b=e1']);
  });

  test('pump: a route that names a new cluster waits until cluster and endpoints are acknowledged (A6.16)', () => {
    const bench = standardBench();
    bench.connect(['a', 'b'], ['r']);
    bench.set('CDS', 'c=1!eds');
    bench.set('EDS', 'c=e1');
    bench.set('RDS', 'r=2 -> a,c');
    bench.set('LDS', 'l=2');
    bench.push();
    expect(bench.take()).toEqual(['CDS a=1!eds b=1!eds c=1!eds', 'LDS l=2']);
    expect(bench.delivery.held()).toEqual([{ typeUrl: types.RDS, name: 'r', clusters: ['c'] }]);
    bench.ack('CDS');
    expect(bench.take()).toEqual([]);
    bench.ask('EDS', ['a', 'b', 'c']);
    expect(bench.take()).toEqual(['EDS c=e1']);
    bench.ack('LDS');
    expect(bench.take()).toEqual([]);
    bench.ack('EDS');
    expect(bench.take()).toEqual(['RDS r=2']);
    expect(bench.delivery.held()).toEqual([]);
  });

  test('pump: other routes do not wait for the one that does', () => {
    const bench = standardBench();
    bench.set('RDS', 's=1');
    bench.connect(['a', 'b'], ['r', 's']);
    bench.set('CDS', 'c=1!eds');
    bench.set('RDS', 'r=2 -> c', 's=2');
    bench.push();
    expect(bench.take()).toEqual(['CDS a=1!eds b=1!eds c=1!eds', 'RDS s=2']);
  });

  test('pump: a cluster goes only after the routes that named it are replaced (A6.16)', () => {
    const bench = standardBench();
    bench.connect(['a', 'b'], ['r']);
    bench.remove('CDS', 'a');
    bench.remove('EDS', 'a');
    bench.set('RDS', 'r=2 -> b');
    bench.push();
    // Its endpoints stay as well: the proxy still sends to it.
    expect(bench.take()).toEqual(['RDS r=2']);
    bench.ack('RDS');
    expect(bench.take()).toEqual(['CDS b=1!eds']);
    bench.ask('EDS', ['b']);
    bench.ack('CDS');
    expect(bench.take()).toEqual([]);
  });

  test('pump: replacing one cluster by another adds, moves, removes', () => {
    const bench = standardBench();
    bench.connect(['a', 'b'], ['r']);
    bench.remove('CDS', 'a');
    bench.set('CDS', 'c=1');
    bench.set('RDS', 'r=2 -> c');
    bench.push();
    expect(bench.take()).toEqual(['CDS b=1!eds c=1 a=1!eds']);
    bench.ack('CDS');
    expect(bench.take()).toEqual(['RDS r=2']);
    bench.ack('RDS');
    expect(bench.take()[0]).toBe('CDS b=1!eds c=1');
  });

  test('pump: a cluster that a route goes on naming goes at once: 503 NC is meant', () => {
    const bench = standardBench();
    bench.connect(['a', 'b'], ['r']);
    bench.remove('CDS', 'a');
    bench.push();
    expect(bench.take()[0]).toBe('CDS b=1!eds');
  });

  test('pump: a changed cluster is followed by its endpoints though these are unchanged (T18, B2.08)', () => {
    const bench = standardBench();
    bench.connect(['a', 'b'], ['r']);
    bench.set('CDS', 'a=2!eds');
    bench.push();
    expect(bench.take()).toEqual(['CDS a=2!eds b=1!eds', 'EDS a=e1']);
  });

  test('pump: a proxy that reconnects is answered everything, clusters first, routes after them (B2.04, B2.08)', () => {
    const bench = standardBench();
    const again = { nonce: 'of-the-old-stream', version: 'v1' };
    bench.ask('RDS', ['r'], again);
    bench.ask('LDS', [], again);
    bench.ask('EDS', ['a', 'b'], again);
    const early = bench.take();
    bench.ask('CDS', [], again);
    bench.ack('CDS');
    bench.ack('EDS');
    // Asked before the clusters, so it had nothing to wait for.
    expect(early).toEqual(['RDS r=1', 'LDS l=1', 'EDS a=e1 b=e1']);
    // The endpoints once more: the clusters warm and wait (AlwaysRespond).
    expect(bench.take()).toEqual(['CDS a=1!eds b=1!eds', 'EDS a=e1 b=e1']);
  });

  test('pump: requests in the order of a reconnecting Envoy: routes wait for clusters', () => {
    const bench = standardBench();
    const again = { nonce: 'of-the-old-stream', version: 'v1' };
    bench.ask('CDS', [], again);
    bench.ask('EDS', ['a', 'b'], again);
    bench.ask('LDS', [], again);
    bench.ask('RDS', ['r'], again);
    expect(bench.take()).toEqual(['CDS a=1!eds b=1!eds', 'EDS a=e1 b=e1', 'LDS l=1']);
    bench.ack('CDS');
    bench.ack('EDS');
    expect(bench.take()).toEqual(['RDS r=1']);
  });

  test('pump: the first listeners of a stream wait as a whole: a part would delete the others', () => {
    const bench = standardBench();
    bench.set('LDS', 'm=1 -> b');
    const again = { nonce: 'of-the-old-stream', version: 'v1' };
    bench.ask('CDS', [], again);
    bench.ask('LDS', [], again);
    expect(bench.take()).toEqual(['CDS a=1!eds b=1!eds']);
    bench.ack('CDS');
    bench.ask('EDS', ['a', 'b']);
    bench.ack('EDS');
    expect(bench.take()).toEqual(['EDS a=e1 b=e1', 'LDS l=1 m=1']);
  });

  test('pump: waiting has an end: a proxy that never takes the cluster gets the route after 5 s', () => {
    const bench = standardBench();
    bench.connect(['a', 'b'], ['r']);
    bench.set('CDS', 'c=1!eds');
    bench.set('RDS', 'r=2 -> c');
    bench.push();
    bench.take();
    bench.clock.advance(4_900);
    expect(bench.take()).toEqual([]);
    bench.clock.advance(200);
    expect(bench.take()).toEqual(['RDS r=2']);
  });

  test('pump: a client that takes clusters and asks for no endpoints does not wait for these', () => {
    const bench = standardBench();
    bench.ask('CDS');
    bench.ack('CDS');
    bench.ask('RDS', ['r']);
    expect(bench.take()).toEqual(['CDS a=1!eds b=1!eds']);
    bench.clock.advance(1_100);
    expect(bench.take()).toEqual(['RDS r=1']);
  });

  test('pump: a response that is never answered counts as accepted after 15 s', () => {
    const bench = standardBench();
    bench.connect(['a', 'b'], ['r']);
    bench.set('RDS', 'r=2 -> a');
    bench.push();
    bench.set('RDS', 'r=3 -> a');
    bench.clock.advance(14_000);
    bench.push();
    expect(bench.take()).toEqual(['RDS r=2']);
    bench.clock.advance(2_000);
    bench.push();
    expect(bench.take()).toEqual(['RDS r=3']);
  });

  test('pump: nothing is sent while earlier bytes wait; then the latest', () => {
    const bench = standardBench();
    bench.connect(['a', 'b'], ['r']);
    bench.busy = true;
    for (const version of [2, 3, 4]) {
      bench.set('RDS', `r=${version} -> a`);
      bench.push();
    }
    expect(bench.take()).toEqual([]);
    bench.busy = false;
    bench.push();
    expect(bench.take()).toEqual(['RDS r=4']);
  });

  test('pump: unsubscribed types are not sent (B2.03)', () => {
    const bench = standardBench();
    bench.connect(['a', 'b'], ['r']);
    bench.ask('RDS', []);
    bench.set('RDS', 'r=2');
    bench.push();
    expect(bench.take()).toEqual([]);
    bench.ask('RDS', ['r']);
    expect(bench.take()).toEqual(['RDS r=2']);
  });

  test('pump: an ACK that names something again after dropping it is answered', () => {
    const bench = standardBench();
    bench.connect(['a', 'b'], ['r']);
    bench.ask('EDS', ['a']);
    expect(bench.take()).toEqual([]);
    bench.ask('EDS', ['a', 'b']);
    expect(bench.take()).toEqual(['EDS b=e1']);
  });
});

describe('Delivery after a NACK', () => {
  test('refused: the resource that is named stays as it was, the others go on (B2.02)', () => {
    const bench = standardBench();
    bench.set('CDS', 'cluster-x=1', 'cluster-y=1');
    bench.connect(['a', 'b'], ['r']);
    bench.set('CDS', 'cluster-x=bad', 'cluster-y=2');
    bench.push();
    expect(bench.take()).toEqual(['CDS a=1!eds b=1!eds cluster-x=bad cluster-y=2']);
    bench.nack('CDS', 'Error adding/updating cluster(s) cluster-x: no such policy');
    expect(bench.rejected).toEqual([
      'CDS cluster-x: Error adding/updating cluster(s) cluster-x: no such policy',
    ]);
    expect(bench.take()).toEqual(['CDS a=1!eds b=1!eds cluster-x=1 cluster-y=2']);
    bench.ack('CDS');
    bench.push();
    expect(bench.take()).toEqual([]);
    bench.set('CDS', 'cluster-x=3');
    bench.push();
    expect(bench.take()).toEqual(['CDS a=1!eds b=1!eds cluster-x=3 cluster-y=2']);
  });

  test('refused: a single change is to blame even unnamed; nothing is sent until it changes (B2.02)', () => {
    const bench = standardBench();
    bench.connect(['a', 'b'], ['r']);
    bench.set('RDS', 'r=bad -> a');
    bench.push();
    bench.nack('RDS', 'Proto constraint validation failed');
    bench.push();
    expect(bench.take()).toEqual(['RDS r=bad']);
    bench.set('EDS', 'a=e2');
    bench.push();
    expect(bench.take()).toEqual(['EDS a=e2']);
    bench.set('RDS', 'r=2 -> a');
    bench.push();
    expect(bench.take()).toEqual(['RDS r=2']);
  });

  test('refused: several changes and no name: one at a time finds it, the others go on (B2.02)', () => {
    const bench = standardBench();
    bench.set('RDS', 's=1', 't=1');
    bench.connect(['a', 'b'], ['r', 's', 't']);
    bench.set('RDS', 'r=2 -> a', 's=bad', 't=2');
    bench.push();
    bench.nack('RDS', 'Proto constraint validation failed');
    expect(bench.take()).toEqual(['RDS r=2 s=bad t=2', 'RDS r=2']);
    bench.ack('RDS');
    expect(bench.take()).toEqual(['RDS s=bad']);
    bench.nack('RDS', 'Proto constraint validation failed');
    expect(bench.take()).toEqual(['RDS t=2']);
    bench.ack('RDS');
    expect(bench.take()).toEqual([]);
    expect(bench.rejected.at(-1)).toBe('RDS s: Proto constraint validation failed');
  });

  test('refused: on a resumed stream what is refused is not left out, for that would delete it', () => {
    const bench = standardBench();
    bench.set('LDS', 'listener-x=bad', 'listener-y=1');
    const again = { nonce: 'of-the-old-stream', version: 'v1' };
    bench.ask('LDS', [], again);
    bench.nack('LDS', 'Error adding/updating listener(s) listener-x: no such filter');
    expect(bench.take()).toEqual(['LDS l=1 listener-x=bad listener-y=1']);
    bench.set('LDS', 'listener-y=2');
    bench.push();
    expect(bench.take()).toEqual(['LDS l=1 listener-x=bad listener-y=2']);
  });

  test('refused: on a fresh stream the others of a first set come without it', () => {
    const bench = standardBench();
    bench.set('CDS', 'cluster-x=bad');
    bench.ask('CDS');
    bench.nack('CDS', 'Error adding/updating cluster(s) cluster-x: no such policy');
    expect(bench.take()).toEqual(['CDS a=1!eds b=1!eds cluster-x=bad', 'CDS a=1!eds b=1!eds']);
  });

  test('refused: a route configuration does not wait for a cluster that the proxy refused: its other hosts go on', () => {
    const bench = standardBench();
    bench.connect(['a', 'b'], ['r']);
    bench.set('CDS', 'cluster-x=bad');
    bench.set('RDS', 'r=2 -> cluster-x');
    bench.push();
    expect(bench.take()).toEqual(['CDS a=1!eds b=1!eds cluster-x=bad']);
    expect(bench.delivery.held()).toEqual([{ typeUrl: types.RDS, name: 'r', clusters: ['cluster-x'] }]);
    bench.nack('CDS', 'Error adding/updating cluster(s) cluster-x: no such policy');
    expect(bench.take()).toEqual(['RDS r=2']);
    expect(bench.delivery.held()).toEqual([]);
    bench.ack('RDS');
    bench.set('CDS', 'cluster-x=2');
    bench.push();
    bench.ack('CDS');
    expect(bench.take()).toEqual(['CDS a=1!eds b=1!eds cluster-x=2']);
  });
});

describe('Delivery of endpoints on a stream of their own', () => {
  for (const dialect of ['sotw', 'delta'] as const) {
    test(`warmEndpoints: ${dialect}: clusters that came on another stream get their endpoints, unchanged (B3.06)`, () => {
      const bench = new DeliveryBench(new FakeClock(), dialect);
      bench.set('EDS', 'a=e1', 'b=e1');
      if (dialect === 'delta') bench.askDelta('EDS', { subscribe: ['a', 'b'] });
      else bench.ask('EDS', ['a', 'b']);
      bench.ack('EDS');
      bench.take();
      bench.delivery.warmEndpoints(['a', 'not-asked-for']);
      bench.push();
      expect(bench.take()).toEqual(['EDS a=e1']);
    });
  }

  test('warmEndpoints: a stream with clusters of its own is left alone: another one of the same node is no concern (B1.09)', () => {
    const bench = standardBench();
    bench.connect(['a', 'b'], ['r']);
    bench.delivery.warmEndpoints(['a']);
    bench.push();
    expect(bench.take()).toEqual([]);
  });
});
