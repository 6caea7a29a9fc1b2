// Tables from a request's hash to a host: the ring and the Maglev table of Envoy's consistent balancers. The same
// hosts make the same table in every proxy, ours or Envoy.
import type { Host } from './host.ts';
import { xxhash64 } from './xxhash64.ts';

export type HashTableOptions =
  | { readonly kind: 'ring'; readonly minimumSize: number; readonly maximumSize: number }
  | { readonly kind: 'maglev'; /** A prime. */ readonly size: number };

/** `attempt` counts from 0: a retry gets another place. */
export type HashTable = (hash: bigint, attempt: number) => Host;

interface WeightedHost {
  readonly host: Host;
  /** Share of the whole, from 0 (exclusive) to 1. */
  readonly share: number;
}

/** Undefined without hosts. */
export function hashTable(
  hosts: readonly Host[],
  localityWeighted: boolean,
  options: HashTableOptions,
): HashTable | undefined {
  const weighted = sharesOf(hosts, localityWeighted);
  if (weighted.length === 0) return undefined;
  return options.kind === 'ring' ? ring(weighted, options) : maglev(weighted, options.size);
}

function sharesOf(hosts: readonly Host[], localityWeighted: boolean): readonly WeightedHost[] {
  const groups = new Map<string, Host[]>();
  const keyOf = ({ locality }: Host): string =>
    localityWeighted ? `${locality.region}\0${locality.zone}\0${locality.subZone}` : '';
  for (const host of hosts) groups.set(keyOf(host), [...(groups.get(keyOf(host)) ?? []), host]);
  const weightOf = (group: readonly Host[]): number =>
    localityWeighted ? (group[0]?.localityWeight ?? 0) : 1;
  const whole = sum([...groups.values()].map(weightOf));
  if (localityWeighted && whole === 0) return sharesOf(hosts, false);
  return [...groups.values()].flatMap((group) => {
    const inGroup = sum(group.map(({ weight }) => weight));
    return group
      .map((host) => ({ host, share: (weightOf(group) / whole) * (host.weight / inGroup) }))
      .filter(({ share }) => share > 0);
  });
}

/** Envoy: `RingHashLoadBalancer::Ring`. Each host has places in proportion to its share, at least one. */
function ring(
  weighted: readonly WeightedHost[],
  { minimumSize, maximumSize }: HashTableOptions & { kind: 'ring' },
): HashTable {
  const smallest = Math.min(...weighted.map(({ share }) => share));
  const scale = Math.min(Math.ceil(smallest * minimumSize) / smallest, maximumSize);
  const entries: { readonly hash: bigint; readonly host: Host }[] = [];
  let target = 0;
  let current = 0;
  for (const { host, share } of weighted) {
    target += scale * share;
    for (let index = 0; current < target; index += 1, current += 1)
      entries.push({ hash: xxhash64(`${host.address.text}_${index}`), host });
  }
  entries.sort((a, b) => (a.hash < b.hash ? -1 : a.hash > b.hash ? 1 : 0));
  const hashes = BigUint64Array.from(entries, ({ hash }) => hash);
  const hosts = entries.map(({ host }) => host);
  return (hash, attempt) => {
    let low = 0;
    let high = hashes.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((hashes[middle] ?? 0n) < hash) low = middle + 1;
      else high = middle;
    }
    // Beyond the last place the ring begins anew. A table has at least one host.
    return hosts[((low === hashes.length ? 0 : low) + attempt) % hosts.length] as Host;
  };
}

/** Envoy: `MaglevTable`. Hosts take places in turns, each in an order of its own. */
function maglev(weighted: readonly WeightedHost[], size: number): HashTable {
  const keyed = weighted
    .map((each) => ({ ...each, key: each.host.address.text }))
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  const places = keyed.map(({ host, share, key }) => ({
    host,
    share,
    at: Number(xxhash64(key) % BigInt(size)),
    skip: Number(xxhash64(key, 1n) % BigInt(size - 1)) + 1,
    target: 0,
  }));
  const largest = Math.max(...places.map(({ share }) => share));
  const table: (Host | undefined)[] = Array.from({ length: size });
  let filled = 0;
  for (let turn = 1; filled < size; turn += 1) {
    for (const place of places) {
      if (filled >= size) break;
      if (turn * place.share < place.target) continue;
      place.target += largest;
      while (table[place.at] !== undefined) place.at = (place.at + place.skip) % size;
      table[place.at] = place.host;
      place.at = (place.at + place.skip) % size;
      filled += 1;
    }
  }
  const whole = BigInt(size);
  return (hash, attempt) => {
    const key = attempt === 0 ? hash : hash ^ (mask - BigInt(attempt) + 1n);
    return table[Number(key % whole)] as Host;
  };
}

const mask = (1n << 64n) - 1n;

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}
