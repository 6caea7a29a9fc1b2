// Which host serves next: priorities, panic, localities and the policies of one priority level.
import type { Random } from '../../base/random.ts';
import { EdfScheduler } from './edf.ts';
import type { HashTable, HashTableOptions } from './hash-table.ts';
import { hashTable } from './hash-table.ts';
import type { Host } from './host.ts';

export type BalancingPolicy = 'ROUND_ROBIN' | 'LEAST_REQUEST' | 'RANDOM' | 'RING_HASH' | 'MAGLEV';

export interface BalancingOptions {
  readonly policy: BalancingPolicy;
  /** LEAST_REQUEST: how many hosts are compared (Envoy's default: 2). */
  readonly choiceCount: number;
  /** LEAST_REQUEST with unequal weights: weight / (active + 1)^bias (Envoy's default: 1). */
  readonly activeRequestBias: number;
  /** Below this share of healthy hosts, health is ignored; 0 turns that off (Envoy's default: 50). */
  readonly panicThresholdPercent: number;
  /** Weigh localities by their configured weights. */
  readonly localityWeighted: boolean;
  /** RING_HASH and MAGLEV only. */
  readonly hashTable?: HashTableOptions | undefined;
  readonly random: Random;
}

/**
 * The balancer over one set of hosts, rebuilt whenever hosts or their health change (Envoy:
 * https://www.envoyproxy.io/docs/envoy/v1.33.0/intro/arch_overview/upstream/load_balancing/load_balancing).
 */
export class LoadBalancer {
  readonly #options: BalancingOptions;
  #levels: readonly Level[] = [];
  /** Cumulative share of each level, out of 100; the healthy and then the degraded hosts of all levels. */
  #loads: readonly { readonly level: Level; readonly degraded: boolean; readonly upTo: number }[] = [];
  #singlePicker: (() => Host | undefined) | undefined;
  #hosts: readonly Host[] = [];
  #overprovisioningPercent = 0;
  /** Balancers over some priorities only, for retries; by the numbers of those left out. */
  readonly #partial = new Map<string, LoadBalancer>();

  constructor(options: BalancingOptions) {
    this.#options = options;
  }

  rebuild(hosts: readonly Host[], overprovisioningPercent: number): void {
    this.#hosts = hosts;
    this.#overprovisioningPercent = overprovisioningPercent;
    this.#partial.clear();
    const priorities = [...new Set(hosts.map((host) => host.priority))].sort((a, b) => a - b);
    this.#levels = priorities.map(
      (priority) =>
        new Level(
          hosts.filter((host) => host.priority === priority),
          this.#options,
        ),
    );
    this.#loads = priorityLoads(this.#levels, overprovisioningPercent);
    const [only] = this.#levels;
    const [load] = this.#loads;
    this.#singlePicker =
      only !== undefined && load !== undefined && load.upTo >= 100
        ? () => load.level.pick(load.degraded)
        : undefined;
  }

  /** The next host; undefined when no priority has one that may serve. */
  pick(): Host | undefined {
    if (this.#singlePicker !== undefined) return this.#singlePicker();
    if (this.#loads.length === 0) return undefined;
    const point = this.#options.random() * 100;
    for (const load of this.#loads) if (point < load.upTo) return load.level.pick(load.degraded);
    const last = this.#loads.at(-1)!;
    return last.level.pick(last.degraded);
  }

  /** Whether `pickByHash` is to be asked instead of `pick`. */
  get hashes(): boolean {
    return this.#options.hashTable !== undefined;
  }

  /** RING_HASH and MAGLEV: the host for that hash (absent: for one drawn by chance); `attempt` counts from 0. */
  pickByHash(hash: bigint | undefined, attempt: number): Host | undefined {
    const key = hash ?? BigInt(Math.floor(this.#options.random() * 2 ** 53)) << 11n;
    const point = Number(key % 100n);
    const load = this.#loads.find(({ upTo }) => point < upTo) ?? this.#loads.at(-1);
    return load?.level.pickByHash(load.degraded, key, attempt);
  }

  /** As `pick`, from the other priorities; undefined where none of them has a host that is well. */
  pickOutside(excluded: ReadonlySet<number>, hash: bigint | undefined, attempt: number): Host | undefined {
    const key = [...excluded].sort((a, b) => a - b).join();
    let partial = this.#partial.get(key);
    if (partial === undefined) {
      partial = new LoadBalancer(this.#options);
      partial.rebuild(
        this.#hosts.filter(({ priority }) => !excluded.has(priority)),
        this.#overprovisioningPercent,
      );
      this.#partial.set(key, partial);
    }
    if (!partial.#levels.some(({ healthy, degraded }) => healthy.length + degraded.length > 0))
      return undefined;
    return partial.hashes ? partial.pickByHash(hash, attempt) : partial.pick();
  }
}

/** The hosts of one priority. */
class Level {
  readonly hosts: readonly Host[];
  readonly healthy: readonly Host[];
  readonly degraded: readonly Host[];
  panic = false;
  readonly #pickHealthy: () => Host | undefined;
  readonly #pickDegraded: () => Host | undefined;
  readonly #pickAll: () => Host | undefined;
  readonly #options: BalancingOptions;
  /** Made when first asked for; null: no hosts. */
  readonly #tables = new Map<'all' | 'healthy' | 'degraded', HashTable | null>();

  constructor(hosts: readonly Host[], options: BalancingOptions) {
    this.#options = options;
    this.hosts = hosts;
    this.healthy = hosts.filter((host) => host.usable && host.health === 'HEALTHY');
    this.degraded = hosts.filter((host) => host.usable && host.health === 'DEGRADED');
    this.#pickHealthy = localityPicker(this.healthy, hosts, options);
    this.#pickDegraded = localityPicker(this.degraded, hosts, options);
    this.#pickAll = picker(hosts, options);
    const usableShare =
      hosts.length === 0 ? 0 : ((this.healthy.length + this.degraded.length) * 100) / hosts.length;
    this.panic = options.panicThresholdPercent > 0 && usableShare < options.panicThresholdPercent;
  }

  pick(degraded: boolean): Host | undefined {
    if (this.panic) return this.#pickAll();
    return degraded ? this.#pickDegraded() : this.#pickHealthy();
  }

  pickByHash(degraded: boolean, hash: bigint, attempt: number): Host | undefined {
    const { hashTable: options, localityWeighted } = this.#options;
    if (options === undefined) return this.pick(degraded);
    const part = this.panic ? 'all' : degraded ? 'degraded' : 'healthy';
    let table = this.#tables.get(part);
    if (table === undefined) {
      const hosts = part === 'all' ? this.hosts : part === 'degraded' ? this.degraded : this.healthy;
      table = hashTable(hosts, localityWeighted, options) ?? null;
      this.#tables.set(part, table);
    }
    return table?.(hash, attempt);
  }
}

/**
 * Shares by priority: a level takes min(100, healthy share x overprovisioning) of what is left; where all
 * levels together cannot take 100 %, loads are scaled up, and a level below the panic threshold ignores
 * health. Panic holds only while the levels together are short (Envoy: a level in trouble spills over
 * while others have room).
 */
function priorityLoads(
  levels: readonly Level[],
  overprovisioningPercent: number,
): { level: Level; degraded: boolean; upTo: number }[] {
  const share = (part: number, whole: number): number =>
    whole === 0 ? 0 : Math.min(100, Math.floor((part * overprovisioningPercent) / whole));
  const healthyShares = levels.map((level) => share(level.healthy.length, level.hosts.length));
  const degradedShares = levels.map((level) => share(level.degraded.length, level.hosts.length));
  const total = Math.min(100, sum(healthyShares) + sum(degradedShares));
  if (total >= 100) for (const level of levels) level.panic = false;
  const loads: { level: Level; degraded: boolean; upTo: number }[] = [];
  let upTo = 0;
  if (total === 0) {
    // Nobody is healthy: the load goes by size to the levels in panic, or to the first, which has no host to give.
    const panicking = levels.filter((level) => level.panic);
    const hosts = sum(panicking.map((level) => level.hosts.length));
    if (hosts === 0) {
      const [first] = levels;
      return first === undefined ? [] : [{ level: first, degraded: false, upTo: 100 }];
    }
    for (const level of panicking) {
      upTo += (level.hosts.length * 100) / hosts;
      loads.push({ level, degraded: false, upTo });
    }
    return loads;
  }
  let left = 100;
  for (const [shares, degraded] of [
    [healthyShares, false],
    [degradedShares, true],
  ] as const) {
    for (const [index, level] of levels.entries()) {
      const load = Math.min(left, Math.round((shares[index]! * 100) / total));
      if (load <= 0) continue;
      left -= load;
      upTo += load;
      loads.push({ level, degraded, upTo });
    }
  }
  return loads;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}

/** Picks a locality by weight x (healthy share x 1.4, at most 1), then a host in it. */
function localityPicker(
  hosts: readonly Host[],
  all: readonly Host[],
  options: BalancingOptions,
): () => Host | undefined {
  if (!options.localityWeighted) return picker(hosts, options);
  const keyOf = (host: Host): string =>
    `${host.locality.region}\0${host.locality.zone}\0${host.locality.subZone}`;
  const totals = new Map<string, number>();
  for (const host of all) totals.set(keyOf(host), (totals.get(keyOf(host)) ?? 0) + 1);
  const groups = new Map<string, Host[]>();
  for (const host of hosts) {
    const group = groups.get(keyOf(host));
    if (group === undefined) groups.set(keyOf(host), [host]);
    else group.push(host);
  }
  const scheduler = new EdfScheduler<() => Host | undefined>();
  for (const [key, group] of groups) {
    const weight = (group[0]!.localityWeight ?? 0) * Math.min(1, (1.4 * group.length) / totals.get(key)!);
    if (weight > 0) scheduler.add(weight, picker(group, options));
  }
  if (scheduler.size === 0) return picker(hosts, options);
  return () => scheduler.next()?.();
}

/** The policy over a flat list. */
function picker(hosts: readonly Host[], options: BalancingOptions): () => Host | undefined {
  const count = hosts.length;
  if (count === 0) return () => undefined;
  if (count === 1) {
    const only = hosts[0]!;
    return () => only;
  }
  const { random } = options;
  if (options.policy === 'RANDOM') return () => hosts[Math.floor(random() * count)];
  const sameWeight = hosts.every((host) => host.weight === hosts[0]!.weight);
  if (options.policy === 'LEAST_REQUEST' && sameWeight) {
    return () => {
      let best = hosts[Math.floor(random() * count)]!;
      for (let choice = 1; choice < options.choiceCount; choice++) {
        const other = hosts[Math.floor(random() * count)]!;
        if (other.stats.rqActive < best.stats.rqActive) best = other;
      }
      return best;
    };
  }
  if (sameWeight) {
    // Start anywhere, so that many proxies do not begin with the same host.
    let next = Math.floor(random() * count);
    return () => {
      const host = hosts[next]!;
      next = next + 1 === count ? 0 : next + 1;
      return host;
    };
  }
  const bias = options.policy === 'LEAST_REQUEST' ? options.activeRequestBias : 0;
  const weightOf = (host: Host): number =>
    bias === 0 ? host.weight : host.weight / (host.stats.rqActive + 1) ** bias;
  const scheduler = new EdfScheduler<Host>(weightOf);
  for (const host of hosts) scheduler.add(weightOf(host), host);
  // Spread the start as above.
  for (let skip = Math.floor(random() * count); skip > 0; skip--) scheduler.next();
  return () => scheduler.next();
}
