// The labels by which endpoints are compared with a proxy: those that rules and services name, and those of places.
import type { DestinationRuleConfig } from '../../config/config.ts';
import type { MeshConfig } from '../../config/mesh-config.ts';
import type { ProxyNode } from '../../model/proxy-node.ts';
import type { Service } from '../../model/service.ts';
import type { LoadBalancer } from '../destination-rule.ts';
import { distributions, labelName } from './locality-lb.ts';

type Setting = MeshConfig['localityLbSetting'];

/** Names of the labels that a setting compares. */
export function placeLabels(setting: Pick<Setting, 'failoverPriority'> | undefined): readonly string[] {
  return (setting?.failoverPriority ?? []).map(labelName);
}

/** Of every policy of a rule. */
export function placeLabelsOf({ spec }: DestinationRuleConfig): readonly string[] {
  return [spec.trafficPolicy, ...(spec.subsets ?? []).map(({ trafficPolicy }) => trafficPolicy)].flatMap(
    (policy) => [
      ...placeLabelsOfBalancer(policy?.loadBalancer),
      ...(policy?.portLevelSettings ?? []).flatMap(({ loadBalancer }) => placeLabelsOfBalancer(loadBalancer)),
    ],
  );
}

function placeLabelsOfBalancer(balancer: LoadBalancer | undefined): readonly string[] {
  return [...placeLabels(balancer?.localityLbSetting), ...placeLabels(balancer?.zoneAwareLbSetting)];
}

export function placeLabelsOfService({ trafficDistribution, isNodeLocal }: Service): readonly string[] {
  return [
    ...(trafficDistribution === undefined ? [] : placeLabels(distributions[trafficDistribution])),
    ...(isNodeLocal === true ? ['kubernetes.io/hostname'] : []),
  ];
}

/** A proxy's labels and those that follow from where it runs, as its endpoints have them. Source: Istio `setTopologyLabels`. */
export function labelsWithPlace(node: ProxyNode): Readonly<Record<string, string>> {
  const { labels, locality, clusterId, network, nodeName = '' } = node;
  const placed: Record<string, string> = { ...labels };
  const set = (name: string, value: string): void => {
    if (value !== '') placed[name] = value;
  };
  set('topology.kubernetes.io/region', locality.region);
  set('topology.kubernetes.io/zone', locality.zone);
  set('topology.istio.io/subzone', locality.subzone);
  set('topology.istio.io/cluster', clusterId);
  set('kubernetes.io/hostname', nodeName);
  if (placed['topology.istio.io/network'] === undefined) set('topology.istio.io/network', network);
  return placed;
}
