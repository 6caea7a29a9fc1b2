// `proxy-config`: what each of its commands reads and prints.
import { UserError } from '../base/user-error.ts';
import { bootstrapOf, bootstrapSummary } from './bootstrap-summary.ts';
import type { ClusterFilter } from './cluster-table.ts';
import { clusterTable, selectClusters } from './cluster-table.ts';
import { assignmentsOf, parseConfigDump } from './config-dump.ts';
import { ControlPlane } from './control-plane.ts';
import type { EndpointFilter } from './endpoint-table.ts';
import {
  assignmentTable,
  endpointTable,
  parseClusterStatuses,
  selectAssignments,
  selectClusterStatuses,
} from './endpoint-table.ts';
import type { ListenerFilter } from './listener-table.ts';
import { listenerTable, selectListeners } from './listener-table.ts';
import { levelQuery, parseLevels } from './log-levels.ts';
import type { OutputFormat } from './output.ts';
import { formatValue } from './output.ts';
import type { ConnectedProxy } from './proxies.ts';
import type { ProxyAdminIo, ProxyPlace } from './proxy-admin.ts';
import { adminOf, askAdmin, readAnswer, readDump } from './proxy-admin.ts';
import type { Compat } from './proxy-status.ts';
import type { RouteFilter } from './route-table.ts';
import { routeTable, selectRoutes } from './route-table.ts';
import type { SourceFinder } from './source.ts';
import { parseSources, sourceFinder } from './source.ts';

export interface PrintOptions {
  readonly output: OutputFormat;
  readonly compat: Compat;
  /** Adds the column SOURCE; asks the control plane. */
  readonly source: boolean;
}

export async function printListeners(
  io: ProxyAdminIo,
  place: ProxyPlace,
  filter: ListenerFilter,
  options: PrintOptions & { readonly verbose: boolean },
): Promise<string> {
  const { dump, proxy } = await readDump(io, place);
  if (options.output !== 'short') return formatValue(selectListeners(dump, filter), options.output);
  const source = await sourcesFor(io, place, proxy, 'LDS', options.source);
  return listenerTable(dump, filter, { verbose: options.verbose, ...source, ...renaming(options.compat) });
}

export async function printRoutes(
  io: ProxyAdminIo,
  place: ProxyPlace,
  filter: RouteFilter,
  options: PrintOptions & { readonly verbose: boolean },
): Promise<string> {
  const { dump, proxy } = await readDump(io, place);
  if (options.output !== 'short') return formatValue(selectRoutes(dump, filter), options.output);
  const source = await sourcesFor(io, place, proxy, 'RDS', options.source);
  return routeTable(dump, filter, { verbose: options.verbose, ...source, ...renaming(options.compat) });
}

export async function printClusters(
  io: ProxyAdminIo,
  place: ProxyPlace,
  filter: ClusterFilter,
  options: PrintOptions,
): Promise<string> {
  const { dump, proxy } = await readDump(io, place);
  if (options.output !== 'short') return formatValue(selectClusters(dump, filter), options.output);
  const source = await sourcesFor(io, place, proxy, 'CDS', options.source);
  return clusterTable(dump, filter, { ...source, ...renaming(options.compat) });
}

/** From /clusters; a file may also be a config dump with endpoints, which is then shown as `eds` shows it. */
export async function printEndpoints(
  io: ProxyAdminIo,
  place: ProxyPlace,
  filter: EndpointFilter,
  output: OutputFormat,
): Promise<string> {
  const { text, from } = await readAnswer(io, place, '/clusters?format=json');
  if (place.file !== undefined && /^\s*\{\s*"configs"/.test(text)) {
    const dump = parseConfigDump(text, from);
    if (assignmentsOf(dump).length === 0)
      throw new UserError(
        `${from}: this config dump has no endpoints: save /clusters?format=json, or /config_dump?include_eds`,
      );
    return output === 'short'
      ? assignmentTable(dump, filter)
      : formatValue(selectAssignments(dump, filter), output);
  }
  const statuses = parseClusterStatuses(text, from);
  return output === 'short'
    ? endpointTable(statuses, filter)
    : formatValue(selectClusterStatuses(statuses, filter), output);
}

/** What the control plane sent as endpoints, with localities. */
export async function printAssignments(
  io: ProxyAdminIo,
  place: ProxyPlace,
  filter: EndpointFilter,
  output: OutputFormat,
): Promise<string> {
  const { dump } = await readDump(io, place, '/config_dump?include_eds');
  return output === 'short'
    ? assignmentTable(dump, filter)
    : formatValue(selectAssignments(dump, filter), output);
}

export async function printBootstrap(
  io: ProxyAdminIo,
  place: ProxyPlace,
  output: OutputFormat,
): Promise<string> {
  const { dump } = await readDump(io, place);
  return output === 'short' ? bootstrapSummary(dump) : formatValue(bootstrapOf(dump), output);
}

export interface LogOptions {
  /** `debug` or `http:debug,router:trace`; undefined: only show. */
  readonly level?: string | undefined;
  /** Back to `warning`, the level that proxies start with. */
  readonly reset: boolean;
}

export async function printLogLevels(
  io: ProxyAdminIo,
  place: ProxyPlace,
  options: LogOptions,
): Promise<string> {
  if (options.reset && options.level !== undefined)
    throw new UserError('--level cannot be combined with --reset');
  if (place.name === undefined && place.adminAddress === undefined)
    throw new UserError('log requires pod name or --selector; --selector is not built yet: give a pod');
  const { address, proxy } = await adminOf(io, place);
  let answer = await askAdmin(io, address, 'POST', '/logging', proxy?.id);
  const changes = options.reset
    ? [{ level: 'warning' }]
    : options.level === undefined
      ? []
      : parseLevels(options.level, answer);
  for (const change of changes) {
    // oxlint-disable-next-line no-await-in-loop -- "all loggers" must come before single ones
    answer = await askAdmin(io, address, 'POST', `/logging?${levelQuery(change)}`, proxy?.id);
  }
  return `${proxy?.id ?? address}:\n${answer}`;
}

async function sourcesFor(
  io: ProxyAdminIo,
  place: ProxyPlace,
  proxy: ConnectedProxy | undefined,
  type: 'CDS' | 'LDS' | 'RDS',
  wanted: boolean,
): Promise<{ source?: SourceFinder }> {
  if (!wanted) return {};
  if (proxy === undefined)
    throw new UserError(
      '--source asks the control plane: it needs POD[.NAMESPACE], not a file or an address',
    );
  const query = new URLSearchParams({ proxyID: proxy.id, type });
  const answer = await new ControlPlane(io.clock, place.debugAddress).getJson(
    `/debug/sourcez?${query.toString()}`,
  );
  return { source: sourceFinder(parseSources(answer), io.directory) };
}

/** Istio 1.19 had two passthrough clusters, one an address family; newer ones have one. */
function renaming(compat: Compat): { rename?: (name: string) => string } {
  if (compat !== '1.19') return {};
  return { rename: (name) => name.replace(/\bInboundPassthroughCluster\b/, 'InboundPassthroughClusterIpv4') };
}
