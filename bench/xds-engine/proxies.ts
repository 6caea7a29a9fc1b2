// Proxies without sockets: each holds the snapshots of its four types, as a connection does.
import type { Graph, Hold } from '../../src/collections/index.ts';
import type { ProxyNode } from '../../src/model/proxy-node.ts';
import type { NameSet } from '../../src/pilot/resources/name-sets.ts';
import type { Resources, SeenResources, SnapshotKey } from '../../src/pilot/resources/resources.ts';
import type { Snapshot } from '../../src/pilot/resources/snapshot.ts';
import { changedNames } from '../../src/pilot/resources/snapshot.ts';

const prefix = 'type.googleapis.com/envoy.config.';
const cds = `${prefix}cluster.v3.Cluster`;
const eds = `${prefix}endpoint.v3.ClusterLoadAssignment`;
const lds = `${prefix}listener.v3.Listener`;
const rds = `${prefix}route.v3.RouteConfiguration`;

interface HeldSnapshot {
  readonly key: SnapshotKey;
  readonly hold: Hold;
  readonly snapshot: Snapshot;
}

export interface Refreshed {
  /** Proxies that something which they depend on was touched of. */
  touched: number;
  /** Snapshots that are others than before. */
  changed: number;
  /** Proxies with such snapshots. */
  proxies: number;
}

/** One proxy: wildcard clusters and listeners, endpoints and routes by the names that those give. */
export class EngineProxy {
  readonly node: ProxyNode;
  readonly #resources: Resources;
  readonly #held = new Map<string, HeldSnapshot>();
  readonly #scopeHold: Hold;
  #endpointNames: NameSet | undefined;
  #routeNames: NameSet | undefined;

  #seen: SeenResources | undefined;

  constructor(resources: Resources, node: ProxyNode) {
    this.#resources = resources;
    this.node = node;
    this.#scopeHold = resources.holdScope(node);
  }

  /** Brings all four snapshots up to date. Returns how many are others. */
  refresh(): number {
    const before = this.#held.get(cds)?.snapshot;
    let changed = this.#take(cds, undefined) ? 1 : 0;
    const after = this.#held.get(cds)?.snapshot;
    const names = after === undefined ? undefined : asClient(() => newEndpointNames(before, after));
    if (names !== undefined) this.#endpointNames = this.#resources.nameSet(names);
    changed += this.#take(eds, this.#endpointNames) ? 1 : 0;
    changed += this.#take(lds, undefined) ? 1 : 0;
    this.#routeNames ??= this.#resources.nameSet([this.node.type === 'router' ? 'http.80' : '80']);
    changed += this.#take(rds, this.#routeNames) ? 1 : 0;
    const keys = [...this.#held.values()].map(({ key }) => key);
    this.#seen = this.#resources.see(this.node, keys);
    return changed;
  }

  isTouched(): boolean {
    return this.#seen === undefined || !this.#resources.isCurrent(this.node, this.#seen);
  }

  close(): void {
    this.#scopeHold.release();
    for (const { hold } of this.#held.values()) hold.release();
    this.#held.clear();
  }

  /** All bytes that it would be sent. */
  bytes(): number {
    let bytes = 0;
    for (const { snapshot } of this.#held.values())
      for (const { field } of snapshot.values()) bytes += field.length;
    return bytes;
  }

  #take(typeUrl: string, names: NameSet | undefined): boolean {
    const scope = this.#resources.scope(this.node);
    const held = this.#held.get(typeUrl);
    const isSameKey = held?.key.scope.key === scope.key && held.key.names === names;
    const key = isSameKey ? held.key : { typeUrl, scope, names };
    const hold = isSameKey ? held.hold : this.#resources.hold(key);
    const outcome = this.#resources.snapshot(key);
    if (!outcome.ok) throw outcome.error;
    this.#held.set(typeUrl, { key, hold, snapshot: outcome.value });
    if (!isSameKey) held?.hold.release();
    return held?.snapshot !== outcome.value;
  }
}

/** What the client does is not the engine's time: taken out of it. */
export const clientTime = { ms: 0 };

function asClient<T>(work: () => T): T {
  const beginMs = cpuMs();
  const value = work();
  clientTime.ms += cpuMs() - beginMs;
  return value;
}

/** CPU time of this process so far: other work on the machine does not count. */
export function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** The endpoints that a client of these clusters asks for; undefined where they are those of before. */
function newEndpointNames(before: Snapshot | undefined, after: Snapshot): ReadonlySet<string> | undefined {
  const isSame =
    before !== undefined &&
    changedNames(before, after).every(
      (name) => before.get(name)?.facts.endpointsName === after.get(name)?.facts.endpointsName,
    );
  if (isSame) return undefined;
  return new Set([...after.values()].flatMap(({ facts }) => facts.endpointsName ?? []));
}

/** Looks at every proxy as a push does. */
export function refreshAll(proxies: readonly EngineProxy[]): Refreshed {
  const result: Refreshed = { touched: 0, changed: 0, proxies: 0 };
  for (const proxy of proxies) {
    if (!proxy.isTouched()) continue;
    result.touched += 1;
    const changed = proxy.refresh();
    result.changed += changed;
    if (changed > 0) result.proxies += 1;
  }
  return result;
}

/** How many values the engine keeps, of each derivation. */
export function describeSizes(graph: Graph): string {
  return [...graph.sizes()]
    .filter(([, size]) => size > 0)
    .sort(([, a], [, b]) => b - a)
    .slice(0, 12)
    .map(([name, size]) => `${name} ${size}`)
    .join(', ');
}
