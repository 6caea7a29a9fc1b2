// `proxy-config cluster`: the services that a proxy can reach.
import type { ConfigDump } from './config-dump.ts';
import { clustersOf, text, withoutType } from './config-dump.ts';
import type { JsonObject } from './json-names.ts';
import { managedBy } from './route-table.ts';
import type { SourceFinder } from './source.ts';
import { formatTable } from './table.ts';

/** Each is looked for in the cluster's name `direction|port|subset|fqdn`. */
export interface ClusterFilter {
  readonly fqdn?: string;
  readonly port?: number;
  readonly subset?: string;
  readonly direction?: string;
}

export interface ClusterTableOptions {
  /** A NAME column, as in `proxy-config all`. */
  readonly withName?: boolean;
  readonly source?: SourceFinder;
  readonly rename?: (name: string) => string;
}

interface NameParts {
  readonly direction: string;
  readonly subset: string;
  readonly fqdn: string;
  readonly port: number;
}

/** Sorted by host, subset, port, direction. */
export function selectClusters(dump: ConfigDump, filter: ClusterFilter): readonly JsonObject[] {
  return clustersOf(dump)
    .filter((cluster) => passes(text(cluster['name']), filter))
    .map(withoutType)
    .sort((a, b) => compareClusterNames(text(a['name']), text(b['name'])));
}

export function clusterTable(
  dump: ConfigDump,
  filter: ClusterFilter,
  options: ClusterTableOptions = {},
): string {
  const rename = options.rename ?? ((name: string): string => name);
  const header = ['SERVICE FQDN', 'PORT', 'SUBSET', 'DIRECTION', 'TYPE', 'DESTINATION RULE'];
  if (options.withName === true) header.unshift('NAME');
  if (options.source !== undefined) header.push('SOURCE');
  const rows = [header];
  for (const cluster of selectClusters(dump, filter)) {
    const name = text(cluster['name']);
    const parts = subsetKey(name);
    const typed = `cluster/${name}`;
    const lead =
      parts === undefined
        ? [options.withName === true ? typed : rename(name), '-', '-', '-']
        : [parts.fqdn, String(parts.port), parts.subset === '' ? '-' : parts.subset, parts.direction];
    if (options.withName === true) lead.unshift(typed);
    // proto3 JSON leaves out what is zero: STATIC, unless a custom type stands there.
    const cells = [...lead, text(cluster['type']) || 'STATIC', managedBy(cluster)];
    // The DestinationRule's subset where there is one, else the Service.
    rows.push(options.source === undefined ? cells : [...cells, options.source(name, 'metadata')]);
  }
  return formatTable(rows, 5);
}

/** The order of clusters in every table: host, subset, port, direction. */
export function compareClusterNames(a: string, b: string): number {
  const other = (name: string): NameParts => ({ direction: '', subset: '', fqdn: name, port: 0 });
  const x = subsetKey(a) ?? other(a);
  const y = subsetKey(b) ?? other(b);
  return (
    compare(x.fqdn, y.fqdn) ||
    compare(x.subset, y.subset) ||
    x.port - y.port ||
    compare(x.direction, y.direction)
  );
}

/** `outbound|80|v1|host` and its older SNI form `outbound_.80_.v1_.host`; undefined for any other name. */
function subsetKey(name: string): NameParts | undefined {
  if (name.split('|').length <= 3) return undefined;
  const [direction = '', port = '', subset = '', fqdn = ''] = name.split('|');
  return { direction, subset, fqdn, port: Number.parseInt(port, 10) || 0 };
}

function passes(name: string, filter: ClusterFilter): boolean {
  const { fqdn = '', port = 0, subset = '', direction = '' } = filter;
  if (!name.includes(fqdn) || !name.includes(direction) || !name.includes(subset)) return false;
  return port === 0 || name.includes(`|${port}|`);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
