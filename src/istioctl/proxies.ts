// The proxies that are connected to the control plane, read from its /debug/syncz; and how a person names one.
import { UserError } from '../base/user-error.ts';
import type { ControlPlane } from './control-plane.ts';

/** CDS, LDS, EDS, RDS, ECDS and whatever else a proxy may subscribe to. */
export type TypeName = string;

export type SyncState = 'SYNCED' | 'NOT SENT' | 'STALE' | 'ERROR' | 'IGNORED';

export interface TypeStatus {
  readonly state: SyncState;
  /** RFC 3339; undefined where the control plane did not say. */
  readonly lastUpdated?: string;
}

export interface ConnectedProxy {
  /** `pod.namespace` */
  readonly id: string;
  readonly pod: string;
  readonly namespace: string;
  /** Where its admin port is reached; undefined where the control plane does not say. */
  readonly ipAddress?: string;
  readonly clusterId: string;
  readonly istioVersion: string;
  readonly istiod: string;
  /** `deployment name` of the pod, where known. */
  readonly workload?: string;
  /** A gateway; undefined where the control plane does not say. */
  readonly isRouter?: boolean;
  readonly types: ReadonlyMap<TypeName, TypeStatus>;
}

/** Full type URLs by the short names that tables use. */
export const typeUrls: Readonly<Record<TypeName, string>> = {
  CDS: 'type.googleapis.com/envoy.config.cluster.v3.Cluster',
  LDS: 'type.googleapis.com/envoy.config.listener.v3.Listener',
  EDS: 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment',
  RDS: 'type.googleapis.com/envoy.config.route.v3.RouteConfiguration',
  ECDS: 'type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig',
  SDS: 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret',
  NDS: 'type.googleapis.com/istio.networking.nds.v1.NameTable',
};

/** One entry of /debug/syncz: Istio's field names, and ours for what Istio's page leaves out. */
interface SyncStatusJson {
  /** `pod.namespace` */
  readonly proxy?: string;
  /** The whole node id, `sidecar~10.0.0.1~pod.namespace~domain`. */
  readonly node_id?: string;
  readonly ip?: string;
  readonly proxy_type?: string;
  readonly cluster_id?: string;
  readonly istio_version?: string;
  readonly istiod?: string;
  readonly workload?: string;
  readonly resources?: Readonly<Record<string, ResourceStatusJson>>;
  readonly [versions: `${string}_${'sent' | 'acked'}`]: string | undefined;
}

interface ResourceStatusJson {
  readonly sent?: string;
  readonly acked?: string;
  readonly sentTime?: string;
  readonly lastError?: string;
}

const versionFields: readonly (readonly [TypeName, string])[] = [
  ['CDS', 'cluster'],
  ['LDS', 'listener'],
  ['EDS', 'endpoint'],
  ['RDS', 'route'],
  ['ECDS', 'extensionconfig'],
];

/** Asks the control plane; sorted by id. */
export async function connectedProxies(controlPlane: ControlPlane): Promise<readonly ConnectedProxy[]> {
  const answer = await controlPlane.getJson('/debug/syncz');
  if (!Array.isArray(answer))
    throw new UserError(
      `${controlPlane.address}/debug/syncz is no list of proxies: is that a control plane?`,
    );
  return (answer as unknown[])
    .filter((entry) => typeof entry === 'object' && entry !== null)
    .map((entry) => proxyOf(entry as SyncStatusJson))
    .sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
}

/**
 * The one proxy that `name` means: `pod`, `pod.namespace`, `pod/name`, `deploy/name[.namespace]`. A bare name is
 * looked for in `namespace`, or in every namespace where none is given and only one has it.
 */
export function findProxy(
  proxies: readonly ConnectedProxy[],
  name: string,
  namespace: string | undefined,
): ConnectedProxy {
  const slash = name.indexOf('/');
  const kind = slash < 0 ? 'pod' : name.slice(0, slash).toLowerCase();
  const rest = name.slice(slash + 1);
  const isPod = ['pod', 'pods', 'po'].includes(kind);
  if (!isPod && !['deployment', 'deployments', 'deploy', 'deployment.apps'].includes(kind))
    throw new UserError(
      `${JSON.stringify(name)} does not refer to a pod: give POD[.NAMESPACE] or deploy/NAME[.NAMESPACE]`,
    );
  const dot = rest.lastIndexOf('.');
  const wanted = dot < 0 ? rest : rest.slice(0, dot);
  const space = dot < 0 ? namespace : rest.slice(dot + 1);
  const found = proxies.filter(
    (proxy) =>
      (space === undefined || proxy.namespace === space) &&
      (isPod ? proxy.pod === wanted : proxy.workload === wanted || isPodOf(proxy.pod, wanted)),
  );
  const spaces = new Set(found.map((proxy) => proxy.namespace));
  if (spaces.size > 1)
    throw new UserError(
      `${JSON.stringify(wanted)} is in several namespaces (${[...spaces].join(', ')}): add one with -n or as NAME.NAMESPACE`,
    );
  const [first] = found;
  if (first !== undefined) return first;
  const place = space === undefined ? '' : ` in namespace ${JSON.stringify(space)}`;
  const known =
    proxies.length === 0
      ? 'no proxy is connected to the control plane'
      : `connected: ${proxies
          .slice(0, 20)
          .map((proxy) => proxy.id)
          .join(', ')}${proxies.length > 20 ? ', ...' : ''}`;
  throw new UserError(
    isPod
      ? `unable to retrieve Pod: pods ${JSON.stringify(wanted)} not found${place}; ${known}`
      : `no pods match ${JSON.stringify(`${kind}/${wanted}`)}${place}; ${known}`,
  );
}

/** Reads one entry of /debug/syncz; missing fields become empty texts. */
export function proxyOf(json: SyncStatusJson): ConnectedProxy {
  const nodeId = json.node_id ?? (json.proxy?.includes('~') === true ? json.proxy : undefined);
  const parts = nodeId?.split('~') ?? [];
  const id = (nodeId === undefined ? json.proxy : parts[2]) ?? '';
  const dot = id.lastIndexOf('.');
  const ipAddress = json.ip ?? parts[1];
  return {
    id,
    pod: dot < 0 ? id : id.slice(0, dot),
    namespace: dot < 0 ? '' : id.slice(dot + 1),
    ...(ipAddress === undefined ? {} : { ipAddress }),
    clusterId: json.cluster_id ?? '',
    istioVersion: json.istio_version ?? '',
    istiod: json.istiod ?? '',
    ...(json.workload === undefined ? {} : { workload: json.workload }),
    ...(json.proxy_type === undefined ? {} : { isRouter: json.proxy_type === 'router' }),
    types: typeStatuses(json),
  };
}

function typeStatuses(json: SyncStatusJson): ReadonlyMap<TypeName, TypeStatus> {
  const types = new Map<TypeName, TypeStatus>();
  const shortNames = new Map(Object.entries(typeUrls).map(([short, url]) => [url, short]));
  for (const [key, status] of Object.entries(json.resources ?? {})) {
    const short = shortNames.get(key) ?? shortNames.get(`type.googleapis.com/${key}`) ?? key;
    types.set(short, typeStatus(status));
  }
  for (const [short, field] of versionFields) {
    if (types.has(short)) continue;
    const sent = json[`${field}_sent`];
    const acked = json[`${field}_acked`];
    if (sent === undefined && acked === undefined) continue;
    types.set(
      short,
      typeStatus({ ...(sent === undefined ? {} : { sent }), ...(acked === undefined ? {} : { acked }) }),
    );
  }
  return types;
}

function typeStatus(json: ResourceStatusJson): TypeStatus {
  const { sent = '', acked = '', sentTime, lastError = '' } = json;
  const state: SyncState =
    lastError !== '' ? 'ERROR' : sent === '' ? 'NOT SENT' : sent === acked ? 'SYNCED' : 'STALE';
  const known = sentTime !== undefined && !sentTime.startsWith('0001-');
  return known ? { state, lastUpdated: sentTime } : { state };
}

/** `reviews-v1` made the pod `reviews-v1-<hash>-<suffix>` or, in a StatefulSet, `reviews-v1-0`. */
function isPodOf(pod: string, workload: string): boolean {
  if (!pod.startsWith(`${workload}-`)) return false;
  return /^([a-z0-9]+-)?[a-z0-9]+$/.test(pod.slice(workload.length + 1));
}
