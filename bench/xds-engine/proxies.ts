// Proxies without sockets: each holds the snapshots of its four types, as a connection does.
import type { Graph, Hold } from '../../src/collections/index.ts';
import type { ProxyNode } from '../../src/model/proxy-node.ts';
import type { Resources, Snapshot, SnapshotKey } from '../../src/pilot/resources.ts';

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
  #routeNames: readonly string[] = [];

  constructor(resources: Resources, node: ProxyNode) {
    this.#resources = resources;
    this.node = node;
    this.#scopeHold = resources.holdScope(node);
  }

  /** Brings all four snapshots up to date. Returns how many are others. */
  refresh(): number {
    let changed = 0;
    changed += this.#take(cds, undefined) ? 1 : 0;
    const clusters = this.#held.get(cds)?.snapshot;
    changed += this.#take(eds, clusters === undefined ? [] : endpointNames(clusters)) ? 1 : 0;
    const changedListeners = this.#take(lds, undefined);
    changed += changedListeners ? 1 : 0;
    if (changedListeners || this.#routeNames.length === 0) this.#routeNames = this.#namesOfRoutes();
    changed += this.#take(rds, this.#routeNames) ? 1 : 0;
    return changed;
  }

  isTouched(): boolean {
    const keys = [...this.#held.values()].map(({ key }) => key);
    return !this.#resources.isFresh(this.node, keys);
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

  #take(typeUrl: string, names: readonly string[] | undefined): boolean {
    const scope = this.#resources.scope(this.node);
    const set = names === undefined ? undefined : this.#resources.nameSet(names);
    const key = { typeUrl, scope, names: set };
    const held = this.#held.get(typeUrl);
    const hold = this.#resources.hold(key);
    const outcome = this.#resources.snapshot(key);
    if (!outcome.ok) throw outcome.error;
    this.#held.set(typeUrl, { key, hold, snapshot: outcome.value });
    held?.hold.release();
    return held?.snapshot !== outcome.value;
  }

  #namesOfRoutes(): readonly string[] {
    return this.node.type === 'router' ? ['http.80'] : ['80'];
  }
}

/** As a client asks for them; the same list for the same clusters, as clients of one namespace have them. */
function endpointNames(clusters: Snapshot): readonly string[] {
  let names = namesOfClusters.get(clusters);
  if (names === undefined) {
    names = [...clusters.values()].flatMap(({ facts }) => facts.endpointsName ?? []);
    namesOfClusters.set(clusters, names);
  }
  return names;
}

const namesOfClusters = new WeakMap<Snapshot, readonly string[]>();

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
