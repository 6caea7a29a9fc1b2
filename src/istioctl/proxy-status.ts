// `proxy-status`: which proxy has acknowledged what.
import type { ConnectedProxy, SyncState } from './proxies.ts';
import { typeUrls } from './proxies.ts';
import { formatTable } from './table.ts';

/** Which release's tables are printed. */
export type Compat = '1.19' | '1.32';

const legacyTypes = ['CDS', 'LDS', 'EDS', 'RDS', 'ECDS'];
const coreOrder = ['CDS', 'LDS', 'EDS', 'RDS'];

/** The table of 1.32 (subscribed types; a column a type where verbose), or of 1.19. */
export function proxyStatusTable(
  proxies: readonly ConnectedProxy[],
  options: { readonly compat: Compat; readonly verbose: boolean; readonly nowMs: number },
): string {
  if (options.compat === '1.19') {
    const rows = [['NAME', 'CLUSTER', ...legacyTypes, 'ISTIOD', 'VERSION']];
    for (const proxy of proxies) {
      const states = legacyTypes.map((type) => proxy.types.get(type)?.state ?? 'NOT SENT');
      rows.push([proxy.id, proxy.clusterId, ...states, proxy.istiod, proxy.istioVersion]);
    }
    return formatTable(rows, 5);
  }
  const types = typesOf(proxies);
  if (options.verbose) {
    // Columns stand in the order of the type URLs.
    const all = [...new Set([...types, ...legacyTypes])].sort((a, b) => compare(urlOf(a), urlOf(b)));
    const rows = [['NAME', 'CLUSTER', ...all, 'ISTIOD', 'VERSION']];
    for (const proxy of proxies) {
      const cells = all.map((type) => stateText(proxy, type, options.nowMs));
      rows.push([proxy.id, proxy.clusterId, ...cells, proxy.istiod, proxy.istioVersion]);
    }
    return formatTable(rows, 5);
  }
  const rows = [['NAME', 'CLUSTER', 'ISTIOD', 'VERSION', 'SUBSCRIBED TYPES']];
  for (const proxy of proxies) {
    const subscribed = types.filter((type) => (proxy.types.get(type)?.state ?? 'IGNORED') !== 'IGNORED');
    const summary = subscribed.length === 0 ? '0' : `${subscribed.length} (${subscribed.join(',')})`;
    rows.push([proxy.id, proxy.clusterId, proxy.istiod, proxy.istioVersion, summary]);
  }
  return formatTable(rows, 5);
}

/** What `-o json` prints: a discovery response of ClientConfigs, as istiod answers it over xDS. */
export function proxyStatusValue(proxies: readonly ConnectedProxy[], controlPlaneVersion: string): unknown {
  const typeUrl = 'type.googleapis.com/envoy.service.status.v3.ClientConfig';
  return {
    versionInfo: controlPlaneVersion,
    resources: proxies.map((proxy) => ({
      '@type': typeUrl,
      node: {
        id: proxy.id,
        metadata: {
          CLUSTER_ID: proxy.clusterId,
          ISTIO_VERSION: proxy.istioVersion,
          ...(proxy.namespace === '' ? {} : { NAMESPACE: proxy.namespace }),
        },
      },
      genericXdsConfigs: [...proxy.types].map(([type, { state, lastUpdated }]) => ({
        typeUrl: urlOf(type),
        ...(lastUpdated === undefined ? {} : { lastUpdated }),
        configStatus: statusName(state),
      })),
    })),
    typeUrl,
    controlPlane: {
      identifier: JSON.stringify({
        Component: 'istiod',
        ID: proxies[0]?.istiod ?? '',
        Info: { version: controlPlaneVersion },
      }),
    },
  };
}

/** Types that anyone subscribed to: the core ones in push order, then the others by name. */
function typesOf(proxies: readonly ConnectedProxy[]): readonly string[] {
  const seen = new Set(proxies.flatMap((proxy) => [...proxy.types.keys()]));
  const others = [...seen]
    .filter((type) => !coreOrder.includes(type))
    .sort((a, b) => compare(urlOf(a), urlOf(b)));
  return [...coreOrder.filter((type) => seen.has(type)), ...others];
}

function stateText(proxy: ConnectedProxy, type: string, nowMs: number): string {
  const status = proxy.types.get(type);
  if (status === undefined) return 'IGNORED';
  const { state, lastUpdated } = status;
  if (lastUpdated === undefined || state === 'NOT SENT' || state === 'IGNORED') return state;
  return `${state} (${ageText(nowMs - Date.parse(lastUpdated))})`;
}

function statusName(state: SyncState): string {
  return state === 'IGNORED' ? 'UNKNOWN' : state.replace(' ', '_');
}

function urlOf(type: string): string {
  return typeUrls[type] ?? type;
}

/** Short age as Kubernetes' tools print it: `45s`, `3m20s`, `25m`, `4h10m`, `30h`, `5d`. */
export function ageText(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  const days = Math.floor(hours / 24);
  const pair = (large: number, unit: string, small: number, smallUnit: string): string =>
    small === 0 ? `${large}${unit}` : `${large}${unit}${small}${smallUnit}`;
  if (seconds < 120) return `${seconds}s`;
  if (minutes < 10) return pair(minutes, 'm', seconds % 60, 's');
  if (hours < 3) return `${minutes}m`;
  if (hours < 8) return pair(hours, 'h', minutes % 60, 'm');
  if (hours < 48) return `${hours}h`;
  if (days < 8) return pair(days, 'd', hours % 24, 'h');
  return `${days}d`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
