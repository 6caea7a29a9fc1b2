// `proxy-config endpoint` (from /clusters) and `eds` (from a config dump): who is behind each cluster.
import { UserError } from '../base/user-error.ts';
import { compareClusterNames } from './cluster-table.ts';
import type { ConfigDump } from './config-dump.ts';
import { assignmentsOf, dig, objectOf, objects, text, withoutType } from './config-dump.ts';
import type { JsonObject, JsonValue } from './json-names.ts';
import { camelCaseNames } from './json-names.ts';
import { formatTable } from './table.ts';

export interface EndpointFilter {
  readonly address?: string;
  readonly port?: number;
  readonly cluster?: string;
  /** healthy, unhealthy, draining, timeout, degraded, unknown; in any case. */
  readonly status?: string;
}

/** The answer of `/clusters?format=json` with camelCase names. */
export interface ClusterStatuses {
  readonly clusters: readonly JsonObject[];
}

/** Throws a UserError where the text is no JSON object. */
export function parseClusterStatuses(content: string, from: string): ClusterStatuses {
  try {
    const value = camelCaseNames(JSON.parse(content) as JsonValue);
    return { clusters: objects(objectOf(value)['clusterStatuses']) };
  } catch (error) {
    throw new UserError(
      `${from}: error unmarshalling config dump response from Envoy: ${(error as Error).message}`,
    );
  }
}

/** The clusters of which at least one host passes the filter, with all their hosts. */
export function selectClusterStatuses(
  statuses: ClusterStatuses,
  filter: EndpointFilter,
): readonly JsonObject[] {
  return statuses.clusters.filter((cluster) =>
    objects(cluster['hostStatuses']).some((host) => hostPasses(host, text(cluster['name']), filter)),
  );
}

/** Sorted by address, port, cluster. */
export function endpointTable(statuses: ClusterStatuses, filter: EndpointFilter): string {
  const found: { address: string; port: number; status: string; failed: boolean; cluster: string }[] = [];
  for (const cluster of statuses.clusters) {
    const name = text(cluster['name']);
    for (const host of objects(cluster['hostStatuses'])) {
      if (!hostPasses(host, name, filter)) continue;
      found.push({
        address: hostAddress(host['address'], 'unix://'),
        port: portOf(host['address']),
        status: hostStatus(host),
        failed: dig(host, 'healthStatus', 'failedOutlierCheck') === true,
        cluster: name,
      });
    }
  }
  found.sort((a, b) => compare(a.address, b.address) || a.port - b.port || compare(a.cluster, b.cluster));
  const rows = [['ENDPOINT', 'STATUS', 'OUTLIER CHECK', 'CLUSTER']];
  for (const { address, port, status, failed, cluster } of found)
    rows.push([port === 0 ? address : `${address}:${port}`, status, failed ? 'FAILED' : 'OK', cluster]);
  return formatTable(rows, 5);
}

/** Assignments with the endpoints that pass the filter, sorted by cluster; those left empty are dropped. */
export function selectAssignments(dump: ConfigDump, filter: EndpointFilter): readonly JsonObject[] {
  return assignmentsOf(dump)
    .map((assignment) => filteredAssignment(withoutType(assignment), filter))
    .filter((assignment) =>
      objects(assignment['endpoints']).some((locality) => objects(locality['lbEndpoints']).length > 0),
    )
    .sort((a, b) => compareClusterNames(text(a['clusterName']), text(b['clusterName'])));
}

export function assignmentTable(dump: ConfigDump, filter: EndpointFilter, withType = false): string {
  const rows = [['NAME', 'STATUS', 'LOCALITY', 'CLUSTER']];
  for (const assignment of selectAssignments(dump, filter)) {
    for (const group of objects(assignment['endpoints'])) {
      for (const endpoint of objects(group['lbEndpoints'])) {
        const name = endpointAddresses(endpoint).join(',');
        rows.push([
          withType ? `endpoint/${name}` : name,
          text(endpoint['healthStatus']) || 'UNKNOWN',
          localityText(objectOf(group['locality'])),
          text(assignment['clusterName']),
        ]);
      }
    }
  }
  return formatTable(rows, 5);
}

function filteredAssignment(assignment: JsonObject, filter: EndpointFilter): JsonObject {
  const cluster = text(assignment['clusterName']);
  const endpoints = objects(assignment['endpoints']).map((group) => ({
    ...group,
    ...(group['lbEndpoints'] === undefined
      ? {}
      : {
          lbEndpoints: objects(group['lbEndpoints']).filter((endpoint) =>
            endpointPasses(endpoint, cluster, filter),
          ),
        }),
  }));
  return assignment['endpoints'] === undefined ? assignment : { ...assignment, endpoints };
}

function endpointPasses(endpoint: JsonObject, cluster: string, filter: EndpointFilter): boolean {
  const { address } = filter;
  if (
    address !== undefined &&
    !endpointAddresses(endpoint).some((candidate) => equalFold(candidate, address))
  )
    return false;
  if (filter.port !== undefined && portOf(dig(endpoint, 'endpoint', 'address')) !== filter.port) return false;
  if (filter.cluster !== undefined && !equalFold(cluster, filter.cluster)) return false;
  return filter.status === undefined || equalFold(text(endpoint['healthStatus']) || 'UNKNOWN', filter.status);
}

function endpointAddresses(endpoint: JsonObject): string[] {
  const additional = objects(dig(endpoint, 'endpoint', 'additionalAddresses')).map(
    (entry) => entry['address'],
  );
  return [dig(endpoint, 'endpoint', 'address'), ...additional].map((address) => {
    const port = portOf(address);
    const name = hostAddress(address, '');
    return port === 0 ? name : `${name}:${port}`;
  });
}

function hostPasses(host: JsonObject, cluster: string, filter: EndpointFilter): boolean {
  if (filter.address !== undefined && !equalFold(hostAddress(host['address'], 'unix://'), filter.address))
    return false;
  if (filter.port !== undefined && portOf(host['address']) !== filter.port) return false;
  if (filter.cluster !== undefined && !equalFold(cluster, filter.cluster)) return false;
  return filter.status === undefined || equalFold(hostStatus(host), filter.status);
}

function hostAddress(address: JsonValue | undefined, pipePrefix: string): string {
  const socket = text(dig(address, 'socketAddress', 'address'));
  if (socket !== '') return socket;
  const pipe = text(dig(address, 'pipe', 'path'));
  if (pipe !== '') return pipePrefix + pipe;
  const internal = objectOf(dig(address, 'envoyInternalAddress'));
  const listener = text(internal['serverListenerName']);
  return listener === '' ? 'unknown' : `envoy://${listener}/${text(internal['endpointId'])}`;
}

function portOf(address: JsonValue | undefined): number {
  return Number(dig(address, 'socketAddress', 'portValue') ?? 0);
}

function hostStatus(host: JsonObject): string {
  return text(dig(host, 'healthStatus', 'edsHealthStatus')) || 'UNKNOWN';
}

/** `region/zone/subzone` without what is missing at its end. */
function localityText(locality: JsonObject): string {
  const region = text(locality['region']);
  const zone = text(locality['zone']);
  const subzone = text(locality['subZone']);
  if (zone === '' && subzone === '') return region;
  return subzone === '' ? `${region}/${zone}` : `${region}/${zone}/${subzone}`;
}

function equalFold(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
