// filter_chain_match: which filter chain a connection gets. Compiled to nested tables, one level for each
// criterion in Envoy's order; a level takes its most specific entry and never comes back from it. See
// https://www.envoyproxy.io/docs/envoy/v1.33.0/api-v3/config/listener/v3/listener_components.proto#config-listener-v3-filterchainmatch
import { isIP } from 'node:net';
import type { CidrRange } from '../../api/gen/envoy/config/core/v3/address_pb.js';
import type { FilterChainMatch } from '../../api/gen/envoy/config/listener/v3/listener_components_pb.js';
import {
  FilterChainMatchSchema,
  FilterChainMatch_ConnectionSourceType,
} from '../../api/gen/envoy/config/listener/v3/listener_components_pb.js';
import { ConfigError } from '../config-error.ts';
import type { SocketAddress } from '../io/socket-address.ts';
import { refuseFields } from '../refuse-fields.ts';

/** What is known of a connection when its chain is chosen. */
export interface ChainQuery {
  /** Where the client wanted to go. */
  readonly destination: SocketAddress;
  readonly source: SocketAddress;
  /** The peer itself, before any PROXY protocol. */
  readonly directSource: SocketAddress;
  /** SNI; undefined without TLS or SNI. */
  readonly serverName: string | undefined;
  readonly transportProtocol: string;
  readonly applicationProtocols: readonly string[];
}

export interface ChainMatchResult<Chain> {
  /** Undefined: no chain matches and there is no default. */
  readonly chain: Chain | undefined;
  /** For people: which entry each level took, or the level at which nothing fitted. */
  readonly reason: string;
}

export interface ChainMatcher<Chain> {
  match(query: ChainQuery): ChainMatchResult<Chain>;
}

interface ChainSource<Chain> {
  readonly match: FilterChainMatch | undefined;
  readonly chain: Chain;
  /** For error messages: `filter_chains[0]`. */
  readonly path: string;
}

/** Throws ConfigError for criteria that are not supported, and for two chains with the same criteria. */
export function compileChainMatcher<Chain>(
  sources: readonly ChainSource<Chain>[],
  defaultChain: Chain | undefined,
): ChainMatcher<Chain> {
  const root: Table<Chain> = new Map();
  for (const source of sources) {
    const match = source.match;
    if (match !== undefined) {
      refuseFields(FilterChainMatchSchema, match, `${source.path}.filter_chain_match`, acceptedCriteria);
    }
    insert(
      root,
      levels.map((level) => keysOf(level, match, source.path)),
      0,
      source,
    );
  }
  return {
    match: (query) => {
      const path: string[] = [];
      const leaf = descend(root, query, path);
      if (leaf !== undefined)
        return { chain: leaf.chain, reason: path.length === 0 ? 'the only chain' : path.join(', ') };
      const failed = `no entry for ${path.join(', ')}`;
      return defaultChain === undefined
        ? { chain: undefined, reason: `${failed}; there is no default_filter_chain` }
        : { chain: defaultChain, reason: `${failed}; default_filter_chain` };
    },
  };
}

const acceptedCriteria = new Set([
  'destination_port',
  'prefix_ranges',
  'direct_source_prefix_ranges',
  'source_type',
  'source_prefix_ranges',
  'source_ports',
  'server_names',
  'transport_protocol',
  'application_protocols',
]);

/** The key of an entry that takes every connection. */
const any = '';

interface Level {
  readonly name: string;
  /** Empty: the chain takes every connection at this level. */
  keys(match: FilterChainMatch, path: string): readonly string[];
  /** Keys to try, the most specific first; `any` is tried after them. */
  candidates(query: ChainQuery): Iterable<string>;
}

type Table<Chain> = Map<string, Node<Chain>>;

interface Leaf<Chain> {
  readonly chain: Chain;
  readonly path: string;
}

type Node<Chain> = { readonly table: Table<Chain> } | { readonly leaf: Leaf<Chain> };

const levels: readonly Level[] = [
  {
    name: 'destination_port',
    keys: (match) => (match.destinationPort === undefined ? [] : [String(match.destinationPort)]),
    candidates: (query) => [String(query.destination.port)],
  },
  {
    name: 'destination_ip',
    keys: (match, path) => match.prefixRanges.map((range) => prefixKey(range, `${path}.prefix_ranges`)),
    candidates: (query) => prefixCandidates(query.destination.address),
  },
  {
    name: 'server_names',
    keys: (match, path) => match.serverNames.map((name) => serverNameKey(name, `${path}.server_names`)),
    candidates: (query) => serverNameCandidates(query.serverName),
  },
  {
    name: 'transport_protocol',
    keys: (match) => (match.transportProtocol === '' ? [] : [match.transportProtocol]),
    candidates: (query) => [query.transportProtocol],
  },
  {
    name: 'application_protocols',
    keys: (match) => match.applicationProtocols,
    candidates: (query) => query.applicationProtocols,
  },
  {
    name: 'direct_source_ip',
    keys: (match, path) =>
      match.directSourcePrefixRanges.map((range) => prefixKey(range, `${path}.direct_source_prefix_ranges`)),
    candidates: (query) => prefixCandidates(query.directSource.address),
  },
  {
    name: 'source_type',
    keys: (match) =>
      match.sourceType === FilterChainMatch_ConnectionSourceType.ANY
        ? []
        : [FilterChainMatch_ConnectionSourceType[match.sourceType]],
    candidates: (query) => [isLocal(query) ? 'SAME_IP_OR_LOOPBACK' : 'EXTERNAL'],
  },
  {
    name: 'source_ip',
    keys: (match, path) =>
      match.sourcePrefixRanges.map((range) => prefixKey(range, `${path}.source_prefix_ranges`)),
    candidates: (query) => prefixCandidates(query.source.address),
  },
  {
    name: 'source_port',
    keys: (match) => match.sourcePorts.map(String),
    candidates: (query) => [String(query.source.port)],
  },
];

function keysOf(level: Level, match: FilterChainMatch | undefined, path: string): readonly string[] {
  const keys = match === undefined ? [] : level.keys(match, `${path}.filter_chain_match`);
  return keys.length === 0 ? [any] : keys;
}

function insert<Chain>(
  table: Table<Chain>,
  keys: readonly (readonly string[])[],
  depth: number,
  source: ChainSource<Chain>,
): void {
  for (const key of keys[depth] ?? []) {
    const node = table.get(key);
    if (depth === levels.length - 1) {
      if (node !== undefined && 'leaf' in node) {
        throw new ConfigError(
          `${source.path}.filter_chain_match`,
          `has the same matching rules as ${node.leaf.path}: multiple filter chains with the same matching rules are not allowed`,
        );
      }
      table.set(key, { leaf: { chain: source.chain, path: source.path } });
      continue;
    }
    const next: Table<Chain> = node !== undefined && 'table' in node ? node.table : new Map();
    if (node === undefined) table.set(key, { table: next });
    insert(next, keys, depth + 1, source);
  }
}

/** Fills `path` with the entries taken; on failure the last one is the level without an entry. */
function descend<Chain>(root: Table<Chain>, query: ChainQuery, path: string[]): Leaf<Chain> | undefined {
  let table = root;
  for (const level of levels) {
    const key = choose(table, level, query);
    const node = key === undefined ? undefined : table.get(key);
    if (node === undefined) {
      path.push(`${level.name} ${[...level.candidates(query)][0] ?? '(none)'}`);
      return undefined;
    }
    if (key !== undefined && key !== any) path.push(`${level.name} ${printKey(key)}`);
    if ('leaf' in node) return node.leaf;
    table = node.table;
  }
  return undefined;
}

function choose<Chain>(table: Table<Chain>, level: Level, query: ChainQuery): string | undefined {
  if (table.size > 1 || !table.has(any)) {
    for (const key of level.candidates(query)) if (table.has(key)) return key;
  }
  return table.has(any) ? any : undefined;
}

/** Bits of a prefix as text: `4:00001010` is 10.0.0.0/8. */
function prefixKey(range: CidrRange, path: string): string {
  const bits = addressBits(range.addressPrefix);
  if (bits === undefined) throw new ConfigError(path, `${range.addressPrefix} is not an IP address`);
  const width = bits.length - 2;
  const length = range.prefixLen ?? 0;
  if (length > width)
    throw new ConfigError(path, `/${length} is longer than the ${width} bits of the address`);
  return bits.slice(0, length + 2);
}

function* prefixCandidates(address: string): Iterable<string> {
  const bits = addressBits(address);
  if (bits === undefined) return;
  for (let length = bits.length; length >= 2; length--) yield bits.slice(0, length);
}

function printKey(key: string): string {
  const bits = /^[46]:[01]*$/.test(key) ? key.slice(2) : undefined;
  if (bits === undefined) return key;
  const bytes =
    bits.padEnd(key.startsWith('4') ? 32 : 128, '0').match(key.startsWith('4') ? /.{8}/g : /.{16}/g) ?? [];
  const text = key.startsWith('4')
    ? bytes.map((byte) => Number.parseInt(byte, 2)).join('.')
    : bytes.map((byte) => Number.parseInt(byte, 2).toString(16)).join(':');
  return `${text}/${bits.length}`;
}

/** `4:` or `6:` and the address's bits; undefined for what is no IP address. A zone (`%eth0`) is left out. */
function addressBits(address: string): string | undefined {
  const plain = address.includes('%') ? address.slice(0, address.indexOf('%')) : address;
  const version = isIP(plain);
  if (version === 4) {
    return `4:${plain
      .split('.')
      .map((part) => Number(part).toString(2).padStart(8, '0'))
      .join('')}`;
  }
  if (version !== 6) return undefined;
  let text = plain;
  const lastColon = text.lastIndexOf(':');
  const tail = text.slice(lastColon + 1);
  if (tail.includes('.')) {
    const [a = 0, b = 0, c = 0, d = 0] = tail.split('.').map(Number);
    text = `${text.slice(0, lastColon + 1)}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
  }
  const [head = '', rest] = text.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = rest === undefined || rest === '' ? [] : rest.split(':');
  const groups =
    rest === undefined
      ? left
      : [...left, ...Array<string>(8 - left.length - right.length).fill('0'), ...right];
  return `6:${groups.map((group) => Number.parseInt(group, 16).toString(2).padStart(16, '0')).join('')}`;
}

/** `www.example.com` as it is, `*.example.com` as `.example.com`. */
function serverNameKey(name: string, path: string): string {
  const lower = name.toLowerCase();
  if (lower.startsWith('*.')) return lower.slice(1);
  if (lower.includes('*')) {
    throw new ConfigError(path, `${name}: partial wildcards are not supported in server_names; use *.suffix`);
  }
  return lower;
}

function* serverNameCandidates(serverName: string | undefined): Iterable<string> {
  if (serverName === undefined || serverName === '') return;
  const lower = serverName.toLowerCase();
  yield lower;
  for (
    let dot = lower.indexOf('.', 1);
    dot > 0 && dot < lower.length - 1;
    dot = lower.indexOf('.', dot + 1)
  ) {
    yield lower.slice(dot);
  }
}

function isLocal(query: ChainQuery): boolean {
  const { address } = query.source;
  return address === query.destination.address || address.startsWith('127.') || address === '::1';
}
