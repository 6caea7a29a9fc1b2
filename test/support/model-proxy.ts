// A proxy as Envoy is one, over any number of streams to a world of the test: it takes responses in the order in
// which they come, asks for what they name, refuses what is bad, and comes back with what it holds.
import { expect } from 'vitest';
import type { Encoded } from '../../src/pilot/resources/snapshot.ts';
import type { BenchWorld, SentResponse, Type } from './delivery-bench.ts';
import { DeliveryBench } from './delivery-bench.ts';
import type { FakeClock } from './fake-clock.ts';

type Held = Map<string, Encoded>;

/** Contents that begin so are refused. */
export const bad = 'bad';

const order: readonly Type[] = ['CDS', 'EDS', 'LDS', 'RDS'];

export class ModelProxy {
  readonly has: Record<Type, Held> = {
    CDS: new Map(),
    EDS: new Map(),
    LDS: new Map(),
    RDS: new Map(),
    ECDS: new Map(),
  };
  /** Delta: versions as the client knows them; only of responses that it accepted. */
  readonly versions: Record<Type, Map<string, string>> = {
    CDS: new Map(),
    EDS: new Map(),
    LDS: new Map(),
    RDS: new Map(),
    ECDS: new Map(),
  };
  /** Endpoints that a new or changed cluster waits for, whatever the proxy has of that name. */
  readonly warming = new Set<string>();
  /** Those of them whose cluster the proxy did not have before: until they come it cannot be used. */
  readonly #starting = new Set<string>();
  readonly dialect: 'sotw' | 'delta';
  readonly #world: BenchWorld;
  readonly #clock: FakeClock;
  readonly #routes: readonly string[];
  /** Whether a NACK says which resource it is about. */
  namesRefused = true;
  bench: DeliveryBench;
  #queue: SentResponse[] = [];
  #asked: readonly string[] = [];
  /** `LDS name` that this stream has brought: of others a server of state of the world cannot know. */
  readonly #brought = new Set<string>();
  isResumed = false;

  constructor(dialect: 'sotw' | 'delta', world: BenchWorld, clock: FakeClock, routes: readonly string[]) {
    this.dialect = dialect;
    this.#world = world;
    this.#clock = clock;
    this.#routes = routes;
    this.bench = this.#connect();
  }

  /** Responses that it has not read yet. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** The stream ends, and another begins. `read`: what was on its way has arrived, its answer has not. */
  reconnect(read: boolean): void {
    expect(this.bench.invariants.violations).toEqual([]);
    this.bench.delivery.close();
    // A delta client does not count what it took of a response that it refused: should its stream break then, no
    // server can know of that. So of these nothing has arrived.
    const arrived = this.#queue.filter((each) => this.dialect === 'sotw' || !each.resources.some(isBad));
    if (read) for (const response of arrived) this.#apply(response);
    this.#forgetUncounted();
    this.#queue = [];
    this.isResumed = true;
    this.bench = this.#connect();
  }

  /** Takes the oldest response into use, says so, and asks for what follows from it. */
  answer(): void {
    const response = this.#queue.shift();
    if (response === undefined) return;
    const refused = this.#apply(response);
    const { type, nonce } = response;
    const { bench } = this;
    const wanted = this.#endpointNames();
    if (refused === undefined)
      for (const { name } of response.resources) this.#brought.add(`${type} ${name}`);
    if (this.dialect === 'delta') {
      bench.askDelta(type, { nonce, ...(refused === undefined ? {} : { error: refused }) });
      if (type === 'CDS') this.#askEndpointsDelta(wanted);
      return;
    }
    if (type === 'EDS') this.#asked = wanted;
    const names = type === 'EDS' ? wanted : type === 'RDS' ? this.#routes : [];
    bench.ask(type, names, { nonce, ...(refused === undefined ? {} : { error: refused }) });
    // With a response on its way this request would be stale: the names come with the answer to that.
    const isEndpointsUnderWay = this.#queue.some((each) => each.type === 'EDS');
    if (type === 'CDS' && !isEndpointsUnderWay && wanted.join() !== this.#asked.join()) {
      this.#asked = wanted;
      bench.ask('EDS', wanted);
    }
  }

  #forgetUncounted(): void {
    if (this.dialect === 'sotw') return;
    for (const type of ['CDS', 'LDS'] as const) {
      for (const name of this.has[type].keys())
        if (!this.versions[type].has(name)) this.has[type].delete(name);
    }
  }

  #askEndpointsDelta(wanted: readonly string[]): void {
    const subscribe = wanted.filter((name) => !this.#asked.includes(name));
    const unsubscribe = this.#asked.filter((name) => !wanted.includes(name));
    this.#asked = wanted;
    for (const name of unsubscribe) this.versions.EDS.delete(name);
    if (subscribe.length > 0 || unsubscribe.length > 0)
      this.bench.askDelta('EDS', { subscribe, unsubscribe });
  }

  #connect(): DeliveryBench {
    const bench = new DeliveryBench(this.#clock, this.dialect, this.#world);
    this.bench = bench;
    this.#brought.clear();
    bench.onSend = (type, _, response) => {
      this.#checkOrder(type, response);
      this.#queue.push(response);
    };
    this.#asked = this.#endpointNames();
    const isNew = this.has.CDS.size === 0;
    for (const type of order) {
      const names = type === 'EDS' ? this.#asked : type === 'RDS' ? this.#routes : [];
      if (type === 'EDS' && names.length === 0) continue;
      if (this.dialect === 'delta') bench.askDelta(type, { subscribe: names, versions: this.versions[type] });
      else bench.ask(type, names, isNew ? {} : { nonce: 'of-an-earlier-stream', version: 'v' });
    }
    return bench;
  }

  /** Returns why it is refused, if it is. */
  #apply({ type, resources, versions, removed }: SentResponse): string | undefined {
    const refused = resources.filter(isBad);
    const isWhole = type === 'CDS' || type === 'LDS';
    // Clusters and listeners are taken one by one; of routes and endpoints a response is refused as a whole.
    if (refused.length === 0 || isWhole) this.#take(type, resources, removed);
    if (refused.length > 0) {
      // Envoy names clusters and listeners.
      return this.namesRefused || (this.dialect === 'sotw' && isWhole)
        ? `Error adding/updating cluster(s) ${refused.map(({ name }) => `${name}: bad content`).join(', ')}`
        : 'Proto constraint validation failed';
    }
    for (const [name, version] of versions) {
      if (type !== 'EDS' || this.#asked.includes(name)) this.versions[type].set(name, version);
    }
    for (const name of removed) this.versions[type].delete(name);
    return undefined;
  }

  #take(type: Type, resources: readonly Encoded[], removed: readonly string[]): void {
    const has = this.has[type];
    const gone = new Set(removed);
    if (this.dialect === 'sotw' && (type === 'CDS' || type === 'LDS')) {
      const stay = new Set(resources.map(({ name }) => name));
      for (const name of has.keys()) if (!stay.has(name)) gone.add(name);
    }
    for (const name of gone) has.delete(name);
    for (const resource of resources) {
      if (isBad(resource)) continue;
      // It ignores what it does not ask for.
      if (type === 'EDS' && !this.#endpointNames().includes(resource.name)) continue;
      const { endpointsName } = resource.facts;
      const isChanged = has.get(resource.name)?.version !== resource.version;
      if (type === 'CDS' && isChanged && endpointsName !== undefined) {
        this.warming.add(endpointsName);
        if (!has.has(resource.name)) this.#starting.add(endpointsName);
      }
      if (type === 'EDS') for (const set of [this.warming, this.#starting]) set.delete(resource.name);
      has.set(resource.name, resource);
    }
    const wanted = this.#endpointNames();
    // Endpoints of a cluster that is gone, or is no EDS cluster any more, are not kept.
    for (const known of this.has.EDS.keys()) if (!wanted.includes(known)) this.has.EDS.delete(known);
    for (const waiting of [this.warming, this.#starting]) {
      for (const name of waiting) if (!wanted.includes(name)) waiting.delete(name);
    }
  }

  #endpointNames(): readonly string[] {
    return [...this.has.CDS.values()].flatMap(({ facts }) => facts.endpointsName ?? []).sort();
  }

  /** The two rules of make before break, at the moment of sending. */
  #checkOrder(type: Type, { resources, removed }: SentResponse): void {
    const target = this.#world.resources.CDS;
    if (type === 'RDS' || type === 'LDS') {
      for (const { name: user, version, facts } of resources) {
        if (this.has[type].get(user)?.version === version) continue;
        for (const cluster of facts.clusters) {
          const wanted = target.get(cluster);
          if (wanted === undefined || isBad(wanted)) continue;
          const had = this.has.CDS.get(cluster);
          expect(had, `${user} names ${cluster}, which the proxy does not have`).toBeDefined();
          const endpointsName = had?.facts.endpointsName;
          if (endpointsName === undefined) continue;
          expect(this.has.EDS.has(endpointsName), `${cluster} has no endpoints yet`).toBe(true);
          expect(this.#starting.has(endpointsName), `${cluster} still warms`).toBe(false);
        }
      }
    }
    if (type === 'CDS') this.#checkRemoval(resources, removed);
  }

  #checkRemoval(resources: readonly Encoded[], removed: readonly string[]): void {
    const stay = new Set(resources.map(({ name }) => name));
    const goes = (cluster: string): boolean =>
      this.dialect === 'delta' ? removed.includes(cluster) : !stay.has(cluster);
    for (const user of ['LDS', 'RDS'] as const) {
      for (const [userName, { version, facts }] of this.has[user]) {
        // In state of the world a client that comes back does not say what it holds.
        const isKnown =
          this.dialect === 'delta' || !this.isResumed || this.#brought.has(`${user} ${userName}`);
        if (!isKnown) continue;
        // A user that goes on naming it in the world as it is now names a cluster that is gone: 503 is meant.
        if (this.#world.resources[user].get(userName)?.version === version) continue;
        for (const cluster of facts.clusters) {
          if (!this.has.CDS.has(cluster)) continue;
          expect(goes(cluster), `${cluster} goes while ${userName} names it`).toBe(false);
        }
      }
    }
  }
}

/** What a proxy of these names should have in the end, by type. */
export function wholeState(
  world: BenchWorld,
  proxy: ModelProxy,
  routes: readonly string[],
): Record<string, string[]> {
  const lingering = lingeringClusters(world, proxy);
  const eds = [...proxy.has.CDS.values()].flatMap(({ facts }) => facts.endpointsName ?? []);
  const targets = {
    CDS: world.targetOf('CDS', true, []),
    EDS: world.targetOf('EDS', false, eds),
    LDS: world.targetOf('LDS', true, []),
    RDS: world.targetOf('RDS', false, routes),
  };
  return Object.fromEntries(Object.entries(targets).map(([type, held]) => [type, textsOf(held, lingering)]));
}

/** What it has, in the same form; refused contents of the world count as had. */
export function heldState(world: BenchWorld, proxy: ModelProxy): Record<string, string[]> {
  const lingering = lingeringClusters(world, proxy);
  const held = order.map((type): [string, string[]] => {
    const has = new Map(proxy.has[type]);
    // Whatever it has of what it refused (the last good one, or nothing) is right.
    for (const [name, encoded] of world.resources[type]) {
      const isAsked = type !== 'EDS' || has.has(name);
      if (isAsked && isBad(encoded)) has.set(name, encoded);
    }
    return [type, textsOf(has, lingering)];
  });
  return Object.fromEntries(held);
}

/**
 * Clusters that are gone and stay with the proxy, because a listener or route in use names them and its next form is
 * refused; where the proxy has come back with one that the server does not know, that one may name any.
 */
function lingeringClusters(world: BenchWorld, proxy: ModelProxy): ReadonlySet<string> {
  const named = new Set<string>();
  for (const type of ['LDS', 'RDS'] as const) {
    for (const [name, { facts }] of proxy.has[type]) {
      const wanted = world.resources[type].get(name);
      if (wanted === undefined || !isBad(wanted)) continue;
      const clusters = proxy.isResumed ? proxy.has.CDS.keys() : facts.clusters;
      for (const cluster of clusters) if (!world.resources.CDS.has(cluster)) named.add(cluster);
    }
  }
  return named;
}

function isBad({ field }: Encoded): boolean {
  return Buffer.from(field).toString().startsWith(bad);
}

/** Clusters and endpoints of `except` are left out. */
function textsOf(held: ReadonlyMap<string, Encoded>, except: ReadonlySet<string>): string[] {
  return [...held]
    .filter(([name]) => !except.has(name))
    .map(([name, { version }]) => `${name}=${version}`)
    .sort();
}
