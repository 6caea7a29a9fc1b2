// Load balancing by locality: shares per locality (distribute), or nearer endpoints first and farther ones
// when those are ejected (failover, failoverPriority). Source: Istio `pilot/pkg/networking/core/loadbalancer`.
import type { MeshConfig } from '../../config/mesh-config.ts';
import type { Endpoint, Locality, Service } from '../../model/service.ts';
import type { LoadBalancer } from '../destination-rule.ts';
import type { LayeredPolicy } from '../layered-policy.ts';
import type { ProxyNode } from '../../model/proxy-node.ts';

type Setting = MeshConfig['localityLbSetting'];
/** Newer than the package of types. */
export type ZoneAwareSetting = NonNullable<MeshConfig['zoneAwareLbSetting']>;

/** What the localities of a cluster's endpoints depend on, beside the endpoints. Plain data. */
export interface LocalityLb {
  /** The proxy's own. */
  readonly locality: Locality;
  readonly setting: Setting;
  /** Whether endpoints can be lost: only then is there something to fail over from (T20). */
  readonly failsOver: boolean;
  /** The proxy's value of each label that failoverPriority names. */
  readonly labels: Readonly<Record<string, string>>;
  /** Present: within the proxy's region Envoy itself prefers its zone, and `setting` says what comes after. */
  readonly zoneAware?: { readonly isEnabled: boolean; readonly minClusterSize?: number };
}

/** Endpoints of one locality that are chosen among themselves. */
export interface EndpointGroup {
  readonly locality: Locality;
  /** 0 is the first to be used; there are no gaps, for Envoy takes none. */
  readonly priority: number;
  /** Compared with the other groups of this priority. */
  readonly weight: number;
  readonly endpoints: readonly Endpoint[];
}

const region = 'topology.kubernetes.io/region';
const zone = 'topology.kubernetes.io/zone';
const subzone = 'topology.istio.io/subzone';
const hostname = 'kubernetes.io/hostname';
const network = 'topology.istio.io/network';

/** What a Service's trafficDistribution stands for. */
export const distributions: Readonly<Record<NonNullable<Service['trafficDistribution']>, Setting>> = {
  PreferSameZone: { failoverPriority: [network, region, zone] },
  PreferSameNode: { failoverPriority: [network, region, zone, subzone, hostname] },
};

/**
 * The setting that holds for a cluster: the rule's, else the service's trafficDistribution, else the mesh's.
 * Undefined where it is switched off or asks for nothing. Failover needs outlier detection, for without it nothing
 * would ever leave the nearest locality (T20); a trafficDistribution does without.
 */
export function localityLbOf(
  node: Pick<ProxyNode, 'locality' | 'labels'>,
  service: Service,
  { policy }: LayeredPolicy,
  mesh: Pick<MeshConfig, 'localityLbSetting' | 'zoneAwareLbSetting'>,
): LocalityLb | undefined {
  const balancer: LoadBalancer | undefined = policy.loadBalancer;
  const written = balancer?.localityLbSetting;
  const says = written !== undefined || service.trafficDistribution !== undefined;
  const zoneAware = balancer?.zoneAwareLbSetting ?? (says ? undefined : mesh.zoneAwareLbSetting);
  if (zoneAware !== undefined) return zoneAwareLb(node, zoneAware);
  const { trafficDistribution } = service;
  const byService = written === undefined && trafficDistribution !== undefined;
  const setting = written ?? (byService ? distributions[trafficDistribution] : mesh.localityLbSetting);
  const failsOver = byService || policy.outlierDetection !== undefined;
  const distributes = (setting.distribute ?? []).length > 0;
  if (setting.enabled === false || (!failsOver && !distributes)) return undefined;
  return { locality: node.locality, setting, failsOver, labels: comparedLabels(node, setting) };
}

/** It needs no outlier detection; switched off it still says so, for Envoy would prefer zones by itself. */
function zoneAwareLb(
  node: Pick<ProxyNode, 'locality' | 'labels'>,
  { enabled = true, minClusterSize, ...setting }: ZoneAwareSetting,
): LocalityLb {
  return {
    locality: node.locality,
    setting,
    failsOver: enabled,
    labels: comparedLabels(node, setting),
    zoneAware: { isEnabled: enabled, ...(minClusterSize === undefined ? {} : { minClusterSize }) },
  };
}

function comparedLabels(
  { labels }: Pick<ProxyNode, 'labels'>,
  setting: Setting,
): Readonly<Record<string, string>> {
  const names = (setting.failoverPriority ?? []).map((entry) => labelName(entry));
  return Object.fromEntries(names.map((name) => [name, labels[name] ?? '']));
}

/** Names of the labels in a failoverPriority list: an entry is `name` or `name=value`. */
export function labelName(entry: string): string {
  return entry.split('=')[0] ?? '';
}

/** Whether localities are weighted against each other: only where a setting itself lists something. */
export function weighsLocalities(lb: LocalityLb | undefined): boolean {
  if (lb === undefined || lb.zoneAware !== undefined) return false;
  const { distribute = [], failover = [], failoverPriority = [] } = lb.setting;
  return distribute.length > 0 || (lb.failsOver && failover.length + failoverPriority.length > 0);
}

/** The groups of a load assignment, sorted by locality; each has the sum of its endpoints' weights at first. */
export function groupsOf(
  endpoints: readonly Endpoint[],
  lb: LocalityLb | undefined,
): readonly EndpointGroup[] {
  const byLocality = new Map<string, Endpoint[]>();
  for (const endpoint of endpoints) {
    const key = formatLocality(endpoint.locality);
    const group = byLocality.get(key);
    if (group === undefined) byLocality.set(key, [endpoint]);
    else group.push(endpoint);
  }
  const groups = [...byLocality].sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([, each]) => groupOf(each));
  if (lb === undefined || (lb.zoneAware !== undefined && !lb.failsOver)) return groups;
  const { setting } = lb;
  if ((setting.distribute ?? []).length > 0) return distributed(groups, lb);
  const byLabels = (setting.failoverPriority ?? []).length > 0;
  const chosen = byLabels ? groups.flatMap((group) => splitByLabels(group, lb)) : groups;
  if (byLabels && lb.zoneAware === undefined && (setting.failover ?? []).length === 0)
    return withoutGaps(chosen);
  // Five steps of distance within each step of labels.
  return withoutGaps(
    chosen.map((group) => ({ ...group, priority: group.priority * 5 + distanceOf(group.locality, lb) })),
  );
}

function groupOf(endpoints: readonly Endpoint[]): readonly EndpointGroup[] {
  const [first] = endpoints;
  if (first === undefined) return [];
  const weight = endpoints.reduce((sum, endpoint) => sum + endpoint.weight, 0);
  return [{ locality: first.locality, priority: 0, weight, endpoints }];
}

/** The shares of the first rule for the proxy's locality; localities without a share get nothing. */
function distributed(groups: readonly EndpointGroup[], { setting, locality }: LocalityLb) {
  const rule = setting.distribute?.find(({ from = '' }) => covers(from, locality));
  if (rule === undefined) return groups;
  const shares = Object.entries(rule.to ?? {});
  const shareOf = (group: EndpointGroup): number =>
    shares.findIndex(([place]) => covers(place, group.locality));
  return groups.flatMap((group) => {
    const index = shareOf(group);
    const share = shares[index]?.[1];
    if (share === undefined) return [];
    // Where a share is for several localities, each has its part by its endpoints' weights.
    const total = groups
      .filter((other) => shareOf(other) === index)
      .reduce((sum, other) => sum + other.weight, 0);
    return [{ ...group, weight: Math.ceil((group.weight * share) / total) }];
  });
}

/** Whether a place as rules write it (`region/zone/*`) is or contains a locality. */
function covers(place: string, locality: Locality): boolean {
  const [writtenRegion = '', writtenZone = '', writtenSubzone = ''] = place.split('/');
  const isIn = (written: string, value: string): boolean =>
    written === '*' || written === '' || written === value;
  return (
    (writtenRegion === '*' || writtenRegion === locality.region) &&
    isIn(writtenZone, locality.zone) &&
    isIn(writtenSubzone, locality.subzone)
  );
}

/** One group for each number of labels that agree with the proxy's, from the first of the list on. */
function splitByLabels(group: EndpointGroup, lb: LocalityLb): readonly EndpointGroup[] {
  const byPriority = new Map<number, Endpoint[]>();
  for (const endpoint of group.endpoints) {
    const priority = labelPriority(endpoint, lb);
    byPriority.set(priority, [...(byPriority.get(priority) ?? []), endpoint]);
  }
  return [...byPriority]
    .sort(([a], [b]) => a - b)
    .flatMap(([priority, endpoints]) => groupOf(endpoints).map((each) => ({ ...each, priority })));
}

/** How many labels from the first that differs to the last. Another network comes after all of one's own. */
function labelPriority(endpoint: Endpoint, { setting, labels }: LocalityLb): number {
  const entries = setting.failoverPriority ?? [];
  let adjust = 0;
  for (const [index, entry] of entries.entries()) {
    const name = labelName(entry);
    const parts = entry.split('=');
    const wanted = parts.length === 2 ? (parts[1] ?? '') : (labels[name] ?? '');
    if (wanted === (endpoint.labels[name] ?? '')) continue;
    if (index > 0 || entries[0] !== network) return adjust + entries.length - index;
    adjust = entries.length;
  }
  return adjust;
}

function distanceOf(to: Locality, { locality: from, setting, zoneAware }: LocalityLb): number {
  // Zones are Envoy's to choose among.
  if (zoneAware !== undefined && from.region === to.region) return 0;
  if (from.region !== to.region) {
    const next = setting.failover?.find((rule) => rule.from === from.region);
    if (zoneAware !== undefined) return next?.to === to.region ? 3 : 4;
    return next === undefined || next.to === to.region ? 3 : 4;
  }
  if (from.zone !== to.zone) return 2;
  return from.subzone === to.subzone ? 0 : 1;
}

function withoutGaps(groups: readonly EndpointGroup[]): readonly EndpointGroup[] {
  const steps = [...new Set(groups.map(({ priority }) => priority))].sort((a, b) => a - b);
  return groups.map((group) => ({ ...group, priority: steps.indexOf(group.priority) }));
}

function formatLocality(locality: Locality): string {
  return `${locality.region}/${locality.zone}/${locality.subzone}`;
}
