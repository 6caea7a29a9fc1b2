// What delivery does otherwise in delta than in state of the world; the rest is in delivery.test.ts.
import { describe, expect, test } from 'vitest';
import { DeliveryBench } from '../../../test/support/delivery-bench.ts';
import type { BenchWorld, SentResponse, Type } from '../../../test/support/delivery-bench.ts';
import { FakeClock } from '../../../test/support/fake-clock.ts';

function standardBench(): DeliveryBench {
  const bench = new DeliveryBench(new FakeClock(), 'delta');
  bench.set('CDS', 'a=1!eds', 'b=1!eds');
  bench.set('EDS', 'a=e1', 'b=e1');
  bench.set('LDS', 'l=1');
  bench.set('RDS', 'r=1 -> a');
  return bench;
}

/** What a client holds after a stream, by type and name: the versions as they came over the wire. */
class Holder {
  readonly versions: Record<Type, Map<string, string>> = {
    CDS: new Map(),
    EDS: new Map(),
    LDS: new Map(),
    RDS: new Map(),
    ECDS: new Map(),
  };

  attach(bench: DeliveryBench): void {
    bench.onSend = (type, _, { versions, removed }: SentResponse) => {
      for (const [name, version] of versions) this.versions[type].set(name, version);
      for (const name of removed) this.versions[type].delete(name);
    };
  }
}

/** A client that had everything, on a new stream of the same world. */
function comeBack(world: BenchWorld): { bench: DeliveryBench; holder: Holder } {
  const before = new DeliveryBench(new FakeClock(), 'delta', world);
  const holder = new Holder();
  holder.attach(before);
  before.connect(['a', 'b'], ['r']);
  const bench = new DeliveryBench(new FakeClock(), 'delta', world);
  return { bench, holder };
}

function resume(bench: DeliveryBench, holder: Holder, types: readonly Type[] = ['CDS', 'EDS', 'LDS', 'RDS']) {
  const names: Partial<Record<Type, readonly string[]>> = { EDS: ['a', 'b'], RDS: ['r'] };
  for (const type of types)
    bench.askDelta(type, { subscribe: names[type] ?? [], versions: holder.versions[type] });
}

describe('Delivery in delta', () => {
  test('pump: only what changed goes out, and what is gone is told (B3.03, B3.09)', () => {
    const bench = standardBench();
    bench.connect(['a', 'b'], ['r']);
    bench.set('CDS', 'c=1');
    bench.set('LDS', 'm=1');
    bench.set('EDS', 'b=e2');
    bench.push();
    expect(bench.take()).toEqual(['CDS c=1', 'EDS b=e2', 'LDS m=1']);
    for (const type of ['CDS', 'EDS', 'LDS'] as const) bench.ack(type);
    bench.remove('CDS', 'c');
    bench.remove('LDS', 'l', 'm');
    bench.push();
    expect(bench.take()).toEqual(['CDS -c', 'LDS -l -m']);
    for (const type of ['CDS', 'LDS'] as const) bench.ack(type);
    bench.push();
    expect(bench.take()).toEqual([]);
    expect(bench.delivery.idle).toBe(true);
  });

  test('pump: one response of a type under way; what comes and goes meanwhile is not told (B1.10, B3.03)', () => {
    const bench = standardBench();
    bench.connect(['a', 'b'], ['r']);
    bench.set('LDS', 'm=1');
    bench.push();
    bench.set('LDS', 'n=1', 'm=2');
    bench.push();
    bench.remove('LDS', 'n');
    bench.push();
    expect(bench.take()).toEqual(['LDS m=1']);
    bench.ack('LDS');
    expect(bench.take()).toEqual(['LDS m=2']);
  });

  test('pump: a name that does not exist is told as removed, and comes when it does exist (B3.04)', () => {
    const bench = standardBench();
    bench.askDelta('CDS', { subscribe: ['a', 'z', 'y'] });
    expect(bench.take()).toEqual(['CDS a=1!eds -y -z']);
    bench.ack('CDS');
    bench.set('CDS', 'z=1');
    bench.push();
    expect(bench.take()).toEqual(['CDS z=1']);
  });

  test('pump: routes and endpoints that do not exist are empty instead of removed (B3.04, B2.11, B2.12)', () => {
    const bench = standardBench();
    bench.askDelta('EDS', { subscribe: ['a', 'z'] });
    bench.askDelta('RDS', { subscribe: ['z'] });
    expect(bench.take()).toEqual(['EDS a=e1 z=empty', 'RDS z=empty']);
  });

  test('pump: extension configs are never told as removed (B3.07)', () => {
    const bench = standardBench();
    bench.set('ECDS', 'x=1');
    bench.askDelta('ECDS', { subscribe: ['x', 'nowhere'] });
    expect(bench.take()).toEqual(['ECDS x=1']);
    bench.ack('ECDS');
    bench.remove('ECDS', 'x');
    bench.push();
    expect(bench.take()).toEqual([]);
    bench.set('ECDS', 'x=2');
    bench.push();
    expect(bench.take()).toEqual(['ECDS x=2']);
  });

  test('pump: a first wildcard of nothing is answered: a client that starts waits for it', () => {
    const bench = standardBench();
    bench.remove('LDS', 'l');
    bench.askDelta('LDS');
    expect(bench.take()).toEqual(['LDS']);
  });

  test('pump: what is subscribed again is sent again, unchanged (B3.05)', () => {
    const bench = standardBench();
    bench.connect(['a', 'b'], ['r']);
    bench.askDelta('EDS', { subscribe: ['a'] });
    expect(bench.take()).toEqual(['EDS a=e1']);
    bench.ack('EDS');
    bench.askDelta('EDS', { unsubscribe: ['b'] });
    bench.askDelta('EDS', { subscribe: ['b'] });
    expect(bench.take()).toEqual(['EDS b=e1']);
  });

  test('pump: what is subscribed again while a response is under way is not forgotten (B3.05)', () => {
    const bench = standardBench();
    bench.connect(['a', 'b'], ['r']);
    bench.set('EDS', 'b=e2');
    bench.push();
    bench.askDelta('EDS', { unsubscribe: ['b'] });
    bench.askDelta('EDS', { subscribe: ['b'] });
    expect(bench.take()).toEqual(['EDS b=e2']);
    bench.ack('EDS');
    expect(bench.take()).toEqual(['EDS b=e2']);
  });

  test('pump: a name taken back under the wildcard: the resource if that holds it, or its removal (B3.04)', () => {
    const bench = standardBench();
    bench.askDelta('CDS', { subscribe: ['*', 'a', 'z'] });
    bench.ack('CDS');
    bench.take();
    bench.askDelta('CDS', { unsubscribe: ['a', 'z'] });
    expect(bench.take()).toEqual(['CDS a=1!eds -z']);
  });

  test('pump: the wildcard ends: what is left are the names, and only these are sent (B3.02)', () => {
    const bench = standardBench();
    bench.askDelta('LDS', { subscribe: ['*', 'l'] });
    bench.ack('LDS');
    bench.take();
    bench.askDelta('LDS', { unsubscribe: ['*'] });
    bench.set('LDS', 'm=1', 'l=2');
    bench.push();
    expect(bench.take()).toEqual(['LDS l=2']);
  });

  test('pump: a changed cluster is followed by its endpoints though these are unchanged (B3.06, T18)', () => {
    const bench = standardBench();
    bench.connect(['a', 'b'], ['r']);
    bench.set('CDS', 'a=2!eds');
    bench.push();
    expect(bench.take()).toEqual(['CDS a=2!eds', 'EDS a=e1']);
  });

  test('pump: adding, moving, removing: make before break (A6.16, B3.03)', () => {
    const bench = standardBench();
    bench.connect(['a', 'b'], ['r']);
    bench.remove('CDS', 'a');
    bench.remove('EDS', 'a');
    bench.set('CDS', 'c=1!eds');
    bench.set('EDS', 'c=e1');
    bench.set('RDS', 'r=2 -> c');
    bench.push();
    expect(bench.take()).toEqual(['CDS c=1!eds']);
    bench.ack('CDS');
    bench.askDelta('EDS', { subscribe: ['c'] });
    expect(bench.take()).toEqual(['EDS c=e1']);
    bench.ack('EDS');
    expect(bench.take()).toEqual(['RDS r=2']);
    bench.ack('RDS');
    expect(bench.take()).toEqual(['CDS -a']);
    bench.askDelta('EDS', { unsubscribe: ['a'] });
    bench.ack('CDS');
    bench.push();
    expect(bench.take()).toEqual([]);
  });

  test('refused: the resource that is named is left as it was, the others are not sent twice (B2.02, B3.08)', () => {
    const bench = standardBench();
    bench.set('CDS', 'cluster-x=1', 'cluster-y=1');
    bench.connect(['a', 'b'], ['r']);
    bench.set('CDS', 'cluster-x=bad', 'cluster-y=2');
    bench.push();
    bench.nack('CDS', 'Error adding/updating cluster(s) cluster-x: no such policy');
    // The client counts the whole response as refused: the good one comes again, alone.
    expect(bench.take()).toEqual(['CDS cluster-x=bad cluster-y=2', 'CDS cluster-y=2']);
    bench.ack('CDS');
    bench.push();
    expect(bench.take()).toEqual([]);
    bench.set('CDS', 'cluster-x=3');
    bench.push();
    expect(bench.take()).toEqual(['CDS cluster-x=3']);
  });

  test('refused: a removal that is refused is not sent again without end', () => {
    const bench = standardBench();
    bench.connect(['a', 'b'], ['r']);
    bench.remove('LDS', 'l');
    bench.push();
    bench.nack('LDS', 'cannot');
    bench.push();
    expect(bench.take()).toEqual(['LDS -l']);
    expect(bench.rejected).toEqual(['LDS : cannot']);
    expect(bench.delivery.idle).toBe(true);
  });
});

describe('Delivery to a client that comes back in delta', () => {
  test('resume: where nothing changed nothing is sent (B3.02)', () => {
    const { bench, holder } = comeBack(standardBench().worldOf);
    resume(bench, holder);
    bench.clock.advance(60_000);
    bench.push();
    expect(bench.take()).toEqual([]);
    expect(bench.delivery.idle).toBe(true);
    bench.set('CDS', 'c=1');
    bench.push();
    expect(bench.take()).toEqual(['CDS c=1']);
  });

  test('resume: what differs is sent, what is gone is told, what is new to the names comes (B3.02, B3.03)', () => {
    const { bench, holder } = comeBack(standardBench().worldOf);
    bench.set('CDS', 'c=1');
    bench.set('EDS', 'b=e2');
    bench.set('LDS', 'm=1');
    bench.remove('LDS', 'l');
    bench.askDelta('CDS', { versions: holder.versions.CDS });
    bench.askDelta('EDS', { subscribe: ['a', 'b', 'z'], versions: holder.versions.EDS });
    bench.askDelta('LDS', { versions: holder.versions.LDS });
    expect(bench.take()).toEqual(['CDS c=1', 'EDS b=e2 z=empty', 'LDS m=1 -l']);
  });

  test('resume: a cluster that is gone stays until the routes that the client holds are replaced (A6.16)', () => {
    const { bench, holder } = comeBack(standardBench().worldOf);
    bench.remove('CDS', 'a');
    bench.remove('EDS', 'a');
    bench.set('RDS', 'r=2 -> b');
    resume(bench, holder, ['CDS', 'EDS', 'LDS']);
    expect(bench.take()).toEqual([]);
    resume(bench, holder, ['RDS']);
    expect(bench.take()).toEqual(['RDS r=2']);
    bench.ack('RDS');
    expect(bench.take()).toEqual(['CDS -a']);
  });

  test('resume: a client that asks for no listeners and routes is told of a cluster that is gone all the same', () => {
    const { bench, holder } = comeBack(standardBench().worldOf);
    bench.remove('CDS', 'a');
    resume(bench, holder, ['CDS']);
    expect(bench.take()).toEqual([]);
    bench.clock.advance(1_100);
    expect(bench.take()).toEqual(['CDS -a']);
  });

  test('resume: a stream broke between a cluster and its endpoints: these come, though they are unchanged (B3.06)', () => {
    const { bench, holder } = comeBack(standardBench().worldOf);
    const broken = new DeliveryBench(new FakeClock(), 'delta', bench.worldOf);
    resume(broken, holder);
    broken.set('CDS', 'a=2!eds');
    broken.onSend = (type, _, { versions }) => {
      // The cluster arrives, what follows does not.
      if (type === 'CDS') for (const [name, version] of versions) holder.versions.CDS.set(name, version);
    };
    broken.push();
    expect(broken.take()).toEqual(['CDS a=2!eds', 'EDS a=e1']);
    resume(bench, holder);
    expect(bench.take()).toEqual(['EDS a=e1']);
  });

  test('resume: a cluster came before the first request for endpoints: these come, though the client holds them (B3.06)', () => {
    const { bench, holder } = comeBack(standardBench().worldOf);
    // It was changed and changed back, and the stream broke between the two: the endpoints fit, the cluster does not.
    holder.versions.CDS.set('a', 'in between');
    resume(bench, holder, ['CDS']);
    expect(bench.take()).toEqual(['CDS a=1!eds']);
    resume(bench, holder, ['EDS']);
    expect(bench.take()).toEqual(['EDS a=e1']);
    bench.ack('CDS');
    bench.ack('EDS');
    resume(bench, holder, ['LDS', 'RDS']);
    expect(bench.take()).toEqual([]);
  });

  test('resume: a cluster changes while the client is away: it and its endpoints come, in whatever order it asks', () => {
    for (const order of [
      ['CDS', 'EDS', 'LDS', 'RDS'],
      ['EDS', 'CDS', 'RDS', 'LDS'],
    ] as const) {
      const { bench, holder } = comeBack(standardBench().worldOf);
      bench.set('CDS', 'a=2!eds');
      resume(bench, holder, order);
      const texts = bench.take();
      for (const type of ['EDS', 'CDS'] as const) bench.ack(type);
      texts.push(...bench.take());
      expect(texts.lastIndexOf('EDS a=e1'), order.join()).toBeGreaterThan(texts.indexOf('CDS a=2!eds'));
    }
  });

  test('resume: versions that are not ours cost one response, and are not believed', () => {
    const { bench, holder } = comeBack(standardBench().worldOf);
    for (const name of ['a', 'b']) holder.versions.CDS.set(name, `${'x'.repeat(10_000)}${name}`);
    resume(bench, holder, ['CDS']);
    expect(bench.take()).toEqual(['CDS a=1!eds b=1!eds']);
    expect([...bench.delivery.inUse('x').keys()]).toEqual([]);
  });
});
