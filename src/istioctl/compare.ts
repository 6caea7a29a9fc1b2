// `proxy-status POD`: whether the proxy runs what the control plane means.
import type { ConfigDump, DumpSection } from './config-dump.ts';
import { dig, objectOf, objects, section, text } from './config-dump.ts';
import type { JsonObject } from './json-names.ts';
import { unifiedDiff } from './unified-diff.ts';

const contextLines = 7;

export interface Comparison {
  readonly text: string;
  readonly match: boolean;
}

/** Compares dynamic clusters, listeners and routes, without versions and times, sorted by name. */
export function compareDumps(controlPlane: ConfigDump, proxy: ConfigDump): Comparison {
  const loaded = lastLoaded(proxy);
  const parts = [
    comparePart('Clusters', '', (dump) => clusters(dump), controlPlane, proxy),
    comparePart('Listeners', '', (dump) => listeners(dump), controlPlane, proxy),
    comparePart('Routes', loaded, (dump) => routes(dump), controlPlane, proxy),
  ];
  return { text: parts.map((part) => part.text).join(''), match: parts.every((part) => part.match) };
}

function comparePart(
  what: string,
  suffix: string,
  read: (dump: ConfigDump) => readonly JsonObject[],
  controlPlane: ConfigDump,
  proxy: ConfigDump,
): Comparison {
  const textOf = (dump: ConfigDump): string => `${JSON.stringify(sortKeys(read(dump)), undefined, 4)}\n`;
  const difference = unifiedDiff(
    { title: `Istiod ${what}`, text: textOf(controlPlane) },
    { title: `Envoy ${what}`, text: textOf(proxy) },
    contextLines,
  );
  if (difference === '') return { text: `${what} Match${suffix}\n`, match: true };
  return { text: `${what} Don't Match${suffix}\n${difference}\n`, match: false };
}

function clusters(dump: ConfigDump): readonly JsonObject[] {
  return byName(
    objects(sectionOf(dump, 'ClustersConfigDump')['dynamicActiveClusters']).map((entry) =>
      objectOf(entry['cluster']),
    ),
  );
}

function listeners(dump: ConfigDump): readonly JsonObject[] {
  return byName(
    objects(sectionOf(dump, 'ListenersConfigDump')['dynamicListeners'])
      .map((entry) => objectOf(dig(entry, 'activeState', 'listener')))
      .filter((listener) => Object.keys(listener).length > 0),
  );
}

function routes(dump: ConfigDump): readonly JsonObject[] {
  return byName(
    objects(sectionOf(dump, 'RoutesConfigDump')['dynamicRouteConfigs']).map((entry) => {
      const route = objectOf(entry['routeConfig']);
      return { ...route, virtualHosts: byName(objects(route['virtualHosts'])) };
    }),
  );
}

/** A proxy that has no routes yet has no such section: that is a difference to show, not an error. */
function sectionOf(dump: ConfigDump, name: DumpSection): JsonObject {
  try {
    return section(dump, name);
  } catch {
    return {};
  }
}

function byName(list: readonly JsonObject[]): readonly JsonObject[] {
  return [...list].sort((a, b) => (text(a['name']) < text(b['name']) ? -1 : 1));
}

/** The order of keys is the printer's affair, not a difference. */
function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value as Record<string, unknown>)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, sortKeys(inner)]),
  );
}

/** ` (RDS last loaded at Mon, 02 Jan 2006 15:04:05 UTC)`, or nothing. */
function lastLoaded(dump: ConfigDump): string {
  const times = objects(sectionOf(dump, 'RoutesConfigDump')['dynamicRouteConfigs'])
    .map((entry) => Date.parse(text(entry['lastUpdated'])))
    .filter((time) => !Number.isNaN(time));
  if (times.length === 0) return '';
  const stamp = new Date(Math.max(...times)).toUTCString().replace('GMT', 'UTC');
  return ` (RDS last loaded at ${stamp})`;
}
