// Endpoints of other networks: their networks' gateways stand for them (C3.18).
import { isIP } from 'node:net';
import type { NetworkGateway } from '../../model/network.ts';
import type { Endpoint } from '../../model/service.ts';
import type { ProxyScope } from '../resource.ts';
import type { World } from '../world.ts';

const uint32Max = 4_294_967_295;

/**
 * Endpoints that the proxy reaches itself, and for those of each other network, locality by locality, the gateways
 * of that network with the sum of their weights. Only what is spoken to in mutual TLS can go through a gateway, as
 * the gateway finds its way by the server name. Without any gateway everything is one network.
 * Source: Istio `EndpointsByNetworkFilter`.
 */
export function throughGateways(
  world: World,
  scope: ProxyScope,
  endpoints: readonly Endpoint[],
  /** Whether the cluster resolves names: then a gateway may have one. */
  takesNames: boolean,
): readonly Endpoint[] {
  const all = world.networkGateways().filter(({ address }) => takesNames || isIP(address) !== 0);
  if (all.length === 0) return endpoints.filter(({ address }) => address !== '');
  const scale = weightScale(all);
  const { network, ipAddresses } = scope.node;
  const near: Endpoint[] = [];
  const far: Endpoint[] = [];
  for (const endpoint of endpoints) {
    const gateways = gatewaysTo(all, endpoint);
    const isNear =
      gateways.length === 0 ||
      (network === '' ? endpoint.network === '' : ['', network].includes(endpoint.network));
    const weight = Math.min(uint32Max, endpoint.weight * scale);
    if (isNear) {
      if (endpoint.address !== '') near.push({ ...endpoint, weight });
      continue;
    }
    const usable = gateways.filter((gateway) => isOfFamilies(gateway.address, ipAddresses));
    if (usable.length === 0 || endpoint.tlsMode === 'disabled') continue;
    const share = Math.max(1, Math.floor(weight / usable.length));
    far.push(...usable.map((gateway) => gatewayEndpoint(endpoint, gateway, share)));
  }
  return [...near, ...onceEach(far)];
}

/** Those of the endpoint's own Kubernetes cluster before the others of its network. */
function gatewaysTo(all: readonly NetworkGateway[], endpoint: Endpoint): readonly NetworkGateway[] {
  const ofNetwork = all.filter(({ network }) => network === endpoint.network);
  const ofCluster = ofNetwork.filter(({ clusterId }) => clusterId === endpoint.clusterId);
  return ofCluster.length > 0 ? ofCluster : ofNetwork;
}

/** By which all weights are multiplied, so that each can be divided among a network's gateways. */
function weightScale(all: readonly NetworkGateway[]): number {
  const counts = new Map<string, number>();
  for (const { network, clusterId } of all)
    for (const key of [network, `${network}/${clusterId}`]) counts.set(key, (counts.get(key) ?? 0) + 1);
  return [...counts.values()].reduce((multiple, count) => (multiple * count) / divisor(multiple, count), 1);
}

function divisor(a: number, b: number): number {
  return b === 0 ? a : divisor(b, a % b);
}

/** A proxy of one family alone reaches only gateways of that family; a name may have both. */
function isOfFamilies(address: string, ipAddresses: readonly string[]): boolean {
  const families = new Set(ipAddresses.map((own) => isIP(own)));
  const family = isIP(address);
  return family === 0 || families.size !== 1 || families.has(family);
}

function gatewayEndpoint(endpoint: Endpoint, gateway: NetworkGateway, weight: number): Endpoint {
  const { network, clusterId, address, port } = gateway;
  const { otherAddresses: _own, ...rest } = endpoint;
  return {
    ...rest,
    address,
    endpointPort: port,
    // It stands for many workloads, so nothing is said of any.
    labels: {
      ...(clusterId === '' ? {} : { 'topology.istio.io/cluster': clusterId }),
      ...(network === '' ? {} : { 'topology.istio.io/network': network }),
    },
    namespace: '',
    workloadName: '',
    serviceAccount: '',
    network,
    clusterId,
    nodeName: '',
    tlsMode: 'istio',
    health: 'HEALTHY',
    weight,
  };
}

/** Each gateway once in each locality, with the sum of its weights, sorted by address. */
function onceEach(endpoints: readonly Endpoint[]): readonly Endpoint[] {
  const gateways = new Map<string, Endpoint>();
  for (const endpoint of endpoints) {
    const { region, zone, subzone } = endpoint.locality;
    const key = [region, zone, subzone, endpoint.address, endpoint.endpointPort].join('/');
    const known = gateways.get(key)?.weight ?? 0;
    gateways.set(key, { ...endpoint, weight: Math.min(uint32Max, known + endpoint.weight) });
  }
  return [...gateways.values()].sort((a, b) =>
    a.address === b.address ? a.endpointPort - b.endpointPort : a.address < b.address ? -1 : 1,
  );
}
