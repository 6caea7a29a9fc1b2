import { describe, expect, test } from 'vitest';
import type { Type } from '../../../test/support/delivery-bench.ts';
import { DeliveryBench, short, types } from '../../../test/support/delivery-bench.ts';
import { FakeClock } from '../../../test/support/fake-clock.ts';
import type { ProxyState } from './proxy-state.ts';
import { ProxyDistribution } from './proxy-distribution.ts';
import { RevisionLedger } from './revisions.ts';

/** Proxies of one mesh under one clock; each sees what its test puts into its world. */
class Mesh {
  readonly clock = new FakeClock();
  readonly ledger = new RevisionLedger(this.clock);
  readonly proxies: Proxy[] = [];

  constructor() {
    this.accept('Service/default/a');
  }

  accept(...keys: readonly string[]): number {
    return this.ledger.accept(
      keys.map((key) => ({ key })),
      true,
    );
  }

  /** A proxy that has acknowledged everything. */
  connect(): Proxy {
    const proxy = this.join();
    proxy.bench.connect(['a', 'b'], ['r']);
    return proxy;
  }

  join(): Proxy {
    const proxy = new Proxy(this);
    proxy.bench.set('CDS', 'a=1!eds', 'b=1!eds');
    proxy.bench.set('EDS', 'a=e1', 'b=e1');
    proxy.bench.set('LDS', 'l=1');
    proxy.bench.set('RDS', 'r=1 -> a');
    this.proxies.push(proxy);
    return proxy;
  }

  advance(ms: number): void {
    this.clock.advance(ms);
  }
}

class Proxy {
  readonly bench: DeliveryBench;
  readonly distribution: ProxyDistribution;
  readonly #mesh: Mesh;

  constructor(mesh: Mesh) {
    this.#mesh = mesh;
    const bench = new DeliveryBench(mesh.clock);
    this.bench = bench;
    const { delivery } = bench;
    this.distribution = new ProxyDistribution({
      clock: mesh.clock,
      ledger: mesh.ledger,
      view: {
        get busy() {
          return bench.busy;
        },
        get idle() {
          return delivery.idle;
        },
        subscriptions: bench.subscriptions,
        target: (typeUrl) => {
          this.distribution.noteTarget();
          return bench.target(typeUrl);
        },
        inUseOf: (typeUrl, name) => delivery.inUseOf(typeUrl, name),
        inFlight: (typeUrl) => delivery.inFlight(typeUrl),
        isIsolating: (typeUrl, name) => delivery.isIsolating(typeUrl, name),
        held: () => delivery.held(),
        refusals: () => delivery.refusals(),
      },
    });
    bench.onSend = (type) => this.distribution.sent(types[type]);
    bench.onTarget = () => this.distribution.noteTarget();
    bench.onReceived = (type) => this.distribution.received(types[type]);
    bench.onAck = (type, flight) => this.distribution.acked(types[type], flight);
  }

  /** As the push queue comes to it. */
  push(): readonly string[] {
    this.bench.push();
    return this.distribution.lookedAt(true).map(short);
  }

  ack(type: Type): void {
    this.bench.ack(type);
  }

  nack(type: Type, error: string): void {
    this.bench.nack(type, error);
  }

  at(revision: number): ProxyState {
    const entry = this.#mesh.ledger.get(revision);
    if (entry === undefined) throw new Error(`no revision ${revision}`);
    return this.distribution.stateAt(entry);
  }

  /** `acked`, `lagging sent RDS r`, `refused RDS r`. */
  says(revision: number): string {
    const state = this.at(revision);
    if (state.state === 'refused')
      return `refused ${state.refusals.map((each) => `${short(each.typeUrl)} ${each.resource.name}`).join()}`;
    if (state.state !== 'lagging') return state.state;
    const open = state.resources.map(({ typeUrl, name, reason }) => `${reason} ${short(typeUrl)} ${name}`);
    return `lagging ${open.length === 0 ? state.reason : open.join(', ')}`;
  }
}

describe('ProxyDistribution', () => {
  test('stateAt: one acknowledges, one lags, one refuses, one is unaffected, one disconnects', () => {
    const mesh = new Mesh();
    const [quick, slow, stubborn, stranger] = [
      mesh.connect(),
      mesh.connect(),
      mesh.connect(),
      mesh.connect(),
    ];
    const revision = mesh.accept('VirtualService/default/r');
    expect(mesh.proxies.map((proxy) => proxy.says(revision))).toEqual(Array(4).fill('lagging queued'));
    for (const proxy of [quick, slow, stubborn]) proxy.bench.set('RDS', 'r=2 -> a');
    expect(mesh.proxies.map((proxy) => proxy.push())).toEqual([['RDS'], ['RDS'], ['RDS'], []]);
    expect(mesh.proxies.map((proxy) => proxy.says(revision))).toEqual([
      'lagging sent RDS r',
      'lagging sent RDS r',
      'lagging sent RDS r',
      'unaffected',
    ]);
    mesh.advance(40);
    quick.ack('RDS');
    stubborn.nack('RDS', 'no such thing');
    expect(mesh.proxies.map((proxy) => proxy.says(revision))).toEqual([
      'acked',
      'lagging sent RDS r',
      'refused RDS r',
      'unaffected',
    ]);
    expect(quick.at(revision)).toMatchObject({ types: 1, resources: 1, ackedAtMs: mesh.clock.now() });
    expect(slow.at(revision)).toMatchObject({ sinceMs: mesh.clock.monotonicMs() - 40 });
    // Who connects now gets the newest state, and does not count once it has that.
    const late = mesh.join();
    expect(late.says(revision)).toBe('lagging connecting');
    late.bench.connect(['a', 'b'], ['r']);
    expect(late.says(revision)).toBe('unaffected');
    void stranger;
  });

  test('stateAt: who has not acknowledged its first configuration lags in revisions that come meanwhile, too', () => {
    const mesh = new Mesh();
    const late = mesh.join();
    const revision = mesh.accept('VirtualService/default/r');
    // It has not asked for routes: nothing of what it has asked for changed.
    late.bench.set('RDS', 'r=2 -> a');
    expect(late.push()).toEqual([]);
    expect(late.says(revision)).toBe('lagging connecting');
    late.bench.connect(['a', 'b'], ['r']);
    expect(late.says(revision)).toBe('unaffected');
  });

  test('stateAt: a proxy that says nothing lags on, though delivery has taken the response for accepted', () => {
    const mesh = new Mesh();
    const mute = mesh.connect();
    const revision = mesh.accept('VirtualService/default/r');
    mute.bench.set('RDS', 'r=2 -> a');
    mute.push();
    mesh.advance(20_000);
    mute.bench.push();
    expect(mute.bench.delivery.idle).toBe(true);
    expect(mute.says(revision)).toBe('lagging sent RDS r');
    mute.ack('RDS');
    expect(mute.says(revision)).toBe('acked');
  });

  test('stateAt: a later revision includes the earlier, also where the later takes the earlier back', () => {
    const mesh = new Mesh();
    const proxy = mesh.connect();
    proxy.bench.busy = true;
    const first = mesh.accept('VirtualService/default/r');
    proxy.bench.set('RDS', 'r=2 -> a');
    proxy.push();
    expect(proxy.says(first)).toBe('lagging reading RDS r');
    const second = mesh.accept('VirtualService/default/r');
    proxy.bench.set('RDS', 'r=3 -> a');
    proxy.push();
    proxy.bench.busy = false;
    proxy.bench.push();
    expect(proxy.bench.take()).toEqual(['RDS r=3']);
    proxy.ack('RDS');
    expect([first, second].map((each) => proxy.says(each))).toEqual(['acked', 'acked']);
    proxy.bench.busy = true;
    const third = mesh.accept('VirtualService/default/r');
    proxy.bench.set('RDS', 'r=4 -> a');
    proxy.push();
    const fourth = mesh.accept('VirtualService/default/r');
    proxy.bench.set('RDS', 'r=3 -> a');
    proxy.push();
    expect([third, fourth].map((each) => proxy.says(each))).toEqual(['acked', 'acked']);
    expect(proxy.bench.take()).toEqual([]);
  });

  test('stateAt: what a hot resource has acknowledged stays acknowledged while it goes on changing', () => {
    const mesh = new Mesh();
    const proxy = mesh.connect();
    const revisions: number[] = [];
    for (let round = 2; round < 8; round++) {
      revisions.push(mesh.accept('Pod/default/a'));
      proxy.bench.set('EDS', `a=e${round}`);
      proxy.push();
      if (round > 2) proxy.ack('EDS');
    }
    // Each answer is to the response before the last change.
    expect(revisions.map((each) => proxy.says(each).split(' ')[0])).toEqual([
      'acked',
      'acked',
      'acked',
      'acked',
      'acked',
      'lagging',
    ]);
  });

  test('stateAt: what waits for the answer to an earlier response is not sent yet', () => {
    const mesh = new Mesh();
    const proxy = mesh.connect();
    const first = mesh.accept('VirtualService/default/r');
    proxy.bench.set('RDS', 'r=2 -> a');
    proxy.push();
    const second = mesh.accept('VirtualService/default/r');
    proxy.bench.set('RDS', 'r=3 -> a');
    proxy.push();
    expect([first, second].map((each) => proxy.says(each))).toEqual([
      'lagging sent RDS r',
      'lagging earlier RDS r',
    ]);
    // The answer to the older form is none to the newer.
    proxy.ack('RDS');
    expect([first, second].map((each) => proxy.says(each))).toEqual(['acked', 'lagging sent RDS r']);
    proxy.ack('RDS');
    expect(proxy.says(second)).toBe('acked');
  });

  test('stateAt: revisions that were merged count together', () => {
    const mesh = new Mesh();
    const proxy = mesh.connect();
    const one = mesh.accept('VirtualService/default/r');
    const two = mesh.accept('VirtualService/default/other');
    proxy.bench.set('RDS', 'r=2 -> a');
    proxy.push();
    expect([one, two].map((each) => proxy.says(each))).toEqual(['lagging sent RDS r', 'lagging sent RDS r']);
    proxy.ack('RDS');
    expect([one, two].map((each) => proxy.says(each))).toEqual(['acked', 'acked']);
  });

  test('stateAt: a change that an answer has carried early counts for its revision', () => {
    const mesh = new Mesh();
    const proxy = mesh.connect();
    const first = mesh.accept('Pod/default/a');
    proxy.bench.set('EDS', 'a=e2');
    proxy.push();
    // Accepted, and still being merged when the proxy answers: its next response has it already.
    const second = mesh.accept('VirtualService/default/r');
    proxy.bench.set('RDS', 'r=2 -> a');
    proxy.bench.take();
    proxy.ack('EDS');
    expect(proxy.bench.take()).toEqual(['RDS r=2']);
    expect(proxy.says(second)).toBe('lagging queued');
    proxy.ack('RDS');
    expect(proxy.distribution.lookedAt(false).map(short)).toEqual(['RDS']);
    expect([first, second].map((each) => proxy.says(each))).toEqual(['acked', 'acked']);
  });

  test('stateAt: a route that is held says for which clusters; a new cluster counts with its endpoints', () => {
    const mesh = new Mesh();
    const proxy = mesh.connect();
    const revision = mesh.accept('Service/default/c', 'VirtualService/default/r');
    proxy.bench.set('CDS', 'c=1!eds');
    proxy.bench.set('EDS', 'c=e1');
    proxy.bench.set('RDS', 'r=2 -> a,c');
    expect(proxy.push()).toEqual(['CDS', 'RDS']);
    expect(proxy.says(revision)).toBe('lagging sent CDS c, held RDS r');
    expect(proxy.at(revision)).toMatchObject({ reason: 'sent', types: 2, ackedTypes: 0 });
    proxy.ack('CDS');
    expect(proxy.says(revision)).toBe('lagging asking CDS c, held RDS r');
    proxy.bench.ask('EDS', ['a', 'b', 'c']);
    proxy.ack('EDS');
    expect(proxy.says(revision)).toBe('lagging sent RDS r');
    proxy.ack('RDS');
    expect(proxy.says(revision)).toBe('acked');
  });

  test('stateAt: a cluster for whose endpoints the proxy never asks does not wait for them', () => {
    const mesh = new Mesh();
    const proxy = mesh.connect();
    const revision = mesh.accept('Service/default/c');
    proxy.bench.set('CDS', 'c=1!eds');
    proxy.push();
    proxy.ack('CDS');
    mesh.advance(900);
    expect(proxy.says(revision)).toBe('lagging asking CDS c');
    mesh.advance(101);
    expect(proxy.says(revision)).toBe('acked');
  });

  test('stateAt: a removed cluster is acknowledged when the set without it is', () => {
    const mesh = new Mesh();
    const proxy = mesh.connect();
    const revision = mesh.accept('Service/default/b');
    proxy.bench.remove('CDS', 'b');
    proxy.push();
    expect(proxy.says(revision)).toBe('lagging sent CDS b');
    proxy.ack('CDS');
    expect(proxy.says(revision)).toBe('acked');
  });

  test('stateAt: a good form after a refused one clears the refusal of the older revision', () => {
    const mesh = new Mesh();
    const proxy = mesh.connect();
    const bad = mesh.accept('VirtualService/default/r');
    proxy.bench.set('RDS', 'r=bad -> a');
    proxy.push();
    proxy.nack('RDS', 'no');
    expect(proxy.says(bad)).toBe('refused RDS r');
    const good = mesh.accept('VirtualService/default/r');
    proxy.bench.set('RDS', 'r=good -> a');
    proxy.push();
    expect(proxy.says(bad)).toBe('lagging sent RDS r');
    proxy.ack('RDS');
    expect([bad, good].map((each) => proxy.says(each))).toEqual(['acked', 'acked']);
  });

  test('stateAt: names that the proxy asks for by itself are nobody else’s change', () => {
    const mesh = new Mesh();
    const proxy = mesh.connect();
    const revision = mesh.accept('VirtualService/default/elsewhere');
    proxy.bench.set('EDS', 'c=e1');
    proxy.bench.ask('EDS', ['a', 'b', 'c']);
    expect(proxy.push()).toEqual([]);
    expect(proxy.says(revision)).toBe('unaffected');
  });

  test('lookedAt: a proxy that never answers keeps a bounded number of transactions, and none is lost', () => {
    const mesh = new Mesh();
    const proxy = mesh.connect();
    const revisions: number[] = [];
    for (let round = 2; round < 102; round++) {
      revisions.push(mesh.accept('VirtualService/default/r'));
      proxy.bench.set('RDS', `r=${round} -> a`);
      proxy.push();
    }
    expect(new Set(revisions.map((each) => proxy.says(each).split(' ')[0]))).toEqual(new Set(['lagging']));
    proxy.ack('RDS');
    proxy.ack('RDS');
    expect(new Set(revisions.slice(-16).map((each) => proxy.says(each)))).toEqual(new Set(['acked']));
    expect(proxy.says(revisions[0] ?? 0)).toBe('acked');
  });

  test('stateAt: beyond what is remembered a revision is forgotten, not unaffected', () => {
    const mesh = new Mesh();
    const proxy = mesh.connect();
    const revisions: number[] = [];
    for (let round = 2; round < 102; round++) {
      revisions.push(mesh.accept('VirtualService/default/r'));
      proxy.bench.set('RDS', `r=${round} -> a`);
      proxy.push();
      proxy.ack('RDS');
    }
    expect(proxy.says(revisions.at(-1) ?? 0)).toBe('acked');
    expect(proxy.says(revisions.at(-64) ?? 0)).toBe('acked');
    expect(proxy.says(revisions.at(-65) ?? 0)).toBe('forgotten');
  });
});
