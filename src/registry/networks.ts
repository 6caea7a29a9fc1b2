// Networks: in which one an endpoint is, and the gateways that lead into each.
import { isIP } from 'node:net';
import type { Config } from '../config/config.ts';
import type { KubeNode, KubeServiceSpec } from '../config/kube-types.ts';
import { externalAddresses } from '../config/service-addresses.ts';
import type { MeshNetworks } from '../config/mesh-networks.ts';
import { parseCidr } from '../model/cidr.ts';
import { serviceHostname } from '../model/hostname.ts';
import type { NetworkGateway } from '../model/network.ts';

export const networkLabel = 'topology.istio.io/network';
const gatewayPortLabel = 'networking.istio.io/gatewayPort';
const nodeSelectorAnnotation = 'traffic.istio.io/nodeSelector';
/** Where gateways take connections that carry their server name, unless a label says otherwise. */
const defaultGatewayPort = 15_443;

/** What of the mesh says in which network a workload is that does not say so itself. */
export interface NetworkRules {
  /** Of the root namespace's label in that cluster; empty: none. */
  readonly ofCluster: (clusterId: string) => string;
  readonly networks: MeshNetworks;
}

/**
 * The network of a workload: its label's, else its cluster's (the label of the root namespace there), else that of
 * MeshNetworks. Empty: none is known, so everybody reaches it. Source: Istio kube controller's `Network`.
 */
export function networkOf(label: string, address: string, clusterId: string, rules: NetworkRules): string {
  if (label !== '') return label;
  const ofCluster = rules.ofCluster(clusterId);
  if (ofCluster !== '') return ofCluster;
  const networks = Object.entries(rules.networks).sort(([a], [b]) => (a < b ? -1 : 1));
  const ofRegistry = networks.find(([, { endpoints }]) =>
    endpoints.some(({ fromRegistry }) => fromRegistry === clusterId),
  );
  if (ofRegistry !== undefined) return ofRegistry[0];
  const ofRange = networks.find(([, { endpoints }]) =>
    endpoints.some(({ fromCidr }) => fromCidr !== undefined && isWithin(address, fromCidr)),
  );
  return ofRange?.[0] ?? '';
}

/** The gateways that MeshNetworks name by their address. */
export function namedGateways(networks: MeshNetworks): readonly NetworkGateway[] {
  return Object.entries(networks).flatMap(([network, { gateways }]) =>
    gateways.flatMap(({ address, port }) =>
      address === undefined ? [] : [{ network, clusterId: '', address, port }],
    ),
  );
}

export interface GatewayServiceOptions {
  readonly clusterId: string;
  readonly domainSuffix: string;
  readonly networks: MeshNetworks;
  /** Nodes of the Service's cluster. */
  readonly nodes: () => readonly Config<KubeNode>[];
}

/**
 * The gateways that a Service is: by its label, or named by MeshNetworks for its cluster. At each address that it has
 * outside its cluster; a NodePort Service, at each node that its annotation selects.
 * Source: Istio kube controller's `extractGatewaysInner`.
 */
export function gatewaysOfService(
  config: Config<KubeServiceSpec>,
  options: GatewayServiceOptions,
): readonly NetworkGateway[] {
  const { spec, labels } = config;
  const { clusterId, networks } = options;
  const own = labels[networkLabel] ?? '';
  const hostname = serviceHostname(config.name, config.namespace, options.domainSuffix);
  const ways: { network: string; port: number }[] = [];
  if (own !== '') {
    const written = Number(labels[gatewayPortLabel] ?? '');
    const port = Number.isInteger(written) && written > 0 ? written : defaultGatewayPort;
    if ((spec.ports ?? []).some((each) => each.port === port)) ways.push({ network: own, port });
  } else {
    for (const [network, { endpoints, gateways }] of Object.entries(networks)) {
      if (!endpoints.some(({ fromRegistry }) => fromRegistry === clusterId)) continue;
      for (const gateway of gateways)
        if (gateway.registryServiceName === hostname) ways.push({ network, port: gateway.port });
    }
  }
  if (ways.length === 0) return [];
  const isByNode = spec.type === 'NodePort' && config.annotations[nodeSelectorAnnotation] !== undefined;
  const addresses = isByNode ? nodeAddresses(config, options) : gatewayAddresses(config);
  return addresses.flatMap((address) =>
    ways.map(({ network, port }) => {
      const nodePort = isByNode ? spec.ports?.find((each) => each.port === port)?.nodePort : undefined;
      return { network, clusterId, address, port: nodePort ?? port };
    }),
  );
}

/** Each once, sorted by address, then port. */
export function sortGateways(gateways: readonly NetworkGateway[]): readonly NetworkGateway[] {
  const byKey = new Map(
    gateways.map((gateway) => [
      [gateway.address, gateway.port, gateway.network, gateway.clusterId].join('|'),
      gateway,
    ]),
  );
  return [...byKey]
    .sort(
      ([a, left], [b, right]) =>
        compareText(left.address, right.address) || left.port - right.port || compareText(a, b),
    )
    .map(([, gateway]) => gateway);
}

/** What a load balancer gave counts for Services of that type alone. */
function gatewayAddresses(service: Config<KubeServiceSpec>): readonly string[] {
  return service.spec.type === 'LoadBalancer' ? externalAddresses(service) : (service.spec.externalIPs ?? []);
}

/** External addresses of the nodes that carry the labels of the annotation, which is a map in JSON. */
function nodeAddresses(
  { annotations }: Config<KubeServiceSpec>,
  { nodes }: GatewayServiceOptions,
): readonly string[] {
  const selector = parseSelector(annotations[nodeSelectorAnnotation] ?? '{}');
  if (selector === undefined) return [];
  return nodes()
    .filter(({ labels }) => Object.entries(selector).every(([name, value]) => labels[name] === value))
    .flatMap(({ spec }) =>
      (spec.status?.addresses ?? []).flatMap(({ type, address }) =>
        type === 'ExternalIP' && address !== undefined ? [address] : [],
      ),
    );
}

function parseSelector(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function isWithin(address: string, range: string): boolean {
  const outer = parseCidr(range);
  if (outer === undefined || isIP(address) === 0) return false;
  const inner = parseCidr(`${address}/${outer.prefixLength}`);
  return inner?.address === outer.address && isIP(inner.address) === isIP(outer.address);
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
