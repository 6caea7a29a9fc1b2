// `proxy-config route`: which host and path is governed by which VirtualService.
import type { ConfigDump } from './config-dump.ts';
import { dig, objectOf, objects, routesOf, strings, text, withoutType } from './config-dump.ts';
import type { JsonObject } from './json-names.ts';
import { routeMatch } from './listener-table.ts';
import type { SourceFinder } from './source.ts';
import { formatTable } from './table.ts';

export interface RouteFilter {
  readonly name?: string;
}

export interface RouteTableOptions {
  readonly verbose: boolean;
  /** `route/` before the name, as in `proxy-config all`. */
  readonly withType?: boolean;
  readonly source?: SourceFinder;
  readonly rename?: (name: string) => string;
}

const shownDomains = 2;

/** Sorted as istioctl sorts: neighbours whose names are both numbers change places, others stay. */
export function selectRoutes(dump: ConfigDump, filter: RouteFilter): readonly JsonObject[] {
  const routes = [...routesOf(dump)];
  const before = (a: JsonObject, b: JsonObject): boolean => {
    const [x, y] = [text(a['name']), text(b['name'])];
    return /^\d+$/.test(x) && /^\d+$/.test(y) && Number(x) < Number(y);
  };
  for (let index = 1; index < routes.length; index++) {
    for (let at = index; at > 0 && before(routes[at]!, routes[at - 1]!); at--)
      [routes[at - 1], routes[at]] = [routes[at]!, routes[at - 1]!];
  }
  return routes
    .filter((route) => filter.name === undefined || filter.name === '' || text(route['name']) === filter.name)
    .map(withoutType);
}

export function routeTable(dump: ConfigDump, filter: RouteFilter, options: RouteTableOptions): string {
  const rename = options.rename ?? ((name: string): string => name);
  const header = options.verbose
    ? ['NAME', 'VHOST NAME', 'DOMAINS', 'MATCH', 'VIRTUAL SERVICE']
    : ['NAME', 'VIRTUAL HOSTS'];
  if (options.source !== undefined) header.push('SOURCE');
  const rows = [header];
  for (const config of selectRoutes(dump, filter)) {
    const resource = text(config['name']);
    const name = rename(options.withType === true ? `route/${resource}` : resource);
    const hosts = objects(config['virtualHosts']);
    if (!options.verbose) {
      rows.push([name, String(hosts.length), ...sourceCell(options.source, resource, '')]);
      continue;
    }
    for (const [hostIndex, host] of hosts.entries()) {
      const lead = [name, text(host['name']), routeDomains(strings(host['domains']))];
      const routes = objects(host['routes']);
      for (const [routeIndex, route] of routes.entries()) {
        if (dig(route, 'route', 'cluster') === 'PassthroughCluster') continue;
        const at = `virtualHosts[${hostIndex}].routes[${routeIndex}]`;
        const match = routeMatch(objectOf(route['match']));
        rows.push([...lead, match, managedBy(route), ...sourceCell(options.source, resource, at)]);
      }
      if (routes.length === 0) {
        const cells = [...lead, '/*', '404'];
        rows.push([...cells, ...sourceCell(options.source, resource, `virtualHosts[${hostIndex}]`)]);
      }
    }
  }
  return formatTable(rows, 5);
}

function sourceCell(source: SourceFinder | undefined, resource: string, at: string): string[] {
  return source === undefined ? [] : [source(resource, at)];
}

/** DOMAINS: without ports and without what a shorter name says too; the first two and a count. */
export function routeDomains(domains: readonly string[]): string {
  if (domains.length <= 1) return domains[0] ?? '';
  const plain = domains.filter((domain) => !domain.includes(':') || domain.endsWith(']'));
  // A host that is known by names with ports only still has a name.
  const withoutPort = plain.length === 0 ? domains : plain;
  const known = new Set(withoutPort);
  const shortest = withoutPort.filter(
    (domain) =>
      // The rooted spelling of a name says nothing new.
      !(domain.endsWith('.') && known.has(domain.slice(0, -1))) &&
      !['.svc.cluster.local', '.svc'].some(
        (suffix) => domain.endsWith(suffix) && known.has(domain.slice(0, -suffix.length)),
      ),
  );
  const shown = shortest.slice(0, shownDomains).join(', ');
  const more = shortest.length - shownDomains;
  return more > 0 ? `${shown} + ${more} more...` : shown;
}

/**
 * `name.namespace` of the Istio object that the control plane noted in the resource's metadata
 * (`filterMetadata.istio.config`); empty where it noted none.
 */
export function managedBy(resource: JsonObject): string {
  const path = dig(resource, 'metadata', 'filterMetadata', 'istio', 'config');
  if (typeof path !== 'string') return '';
  if (!path.startsWith('/apis/networking.istio.io/')) return '<unknown>';
  const parts = path.split('/');
  return parts.length === 8 ? `${parts[7]}.${parts[5]}` : '';
}
