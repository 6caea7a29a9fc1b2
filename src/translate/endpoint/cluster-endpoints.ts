// The endpoints of one cluster as one proxy is to see them: which of them, how they are reached and spoken to.
import { isIP } from 'node:net';
import type { MeshConfig } from '../../config/mesh-config.ts';
import type { Hostname } from '../../model/hostname.ts';
import { compareSpecificity, hostnameCovers } from '../../model/hostname.ts';
import type { ProxyNode } from '../../model/proxy-node.ts';
import type { Endpoint } from '../../model/service.ts';
import { labelsMatch } from '../../model/labels.ts';
import { keepsSessions } from '../../model/service.ts';
import type { OutboundTarget } from '../cluster/outbound-clusters.ts';
import type { EffectiveDestinationRule, Subset, TrafficPolicy } from '../destination-rule.ts';
import { mutualTlsMode } from '../mtls/mutual-tls-mode.ts';
import type { ProxyScope } from '../resource.ts';
import type { World } from '../world.ts';
import { throughGateways } from './networks.ts';

/**
 * The endpoints of a cluster: of the service port, with the subset's labels, in the places that the proxy may
 * reach; those of other networks as those networks' gateways. Unready ones are sent as such, so that Envoy knows how many
 * there are, unless the user asks for a panic threshold: then Envoy would send requests to them. Draining ones are for
 * services with sessions alone. Their `tlsMode`
 * says whether this proxy speaks mutual TLS to them. Source: Istio `EndpointBuilder.generate`.
 */
export function clusterEndpoints(
  world: World,
  scope: ProxyScope,
  target: OutboundTarget,
): readonly Endpoint[] {
  const { service, port, subset, policy, discovery, isSniDnat } = target;
  const { node } = scope;
  const sendsUnready =
    service.trafficDistribution !== undefined || (policy.policy.outlierDetection?.minHealthPercent ?? 0) <= 0;
  const sendsDraining = keepsSessions(service);
  const isLocal = isClusterLocalHost(world.meshConfig(), service.hostname);
  const isDns = discovery === 'STRICT_DNS' || discovery === 'LOGICAL_DNS';
  const chosen = world
    .endpoints(service.hostname, port.servicePort, service.namespace)
    .map((endpoint) => (isDraining(endpoint) ? { ...endpoint, health: 'DRAINING' as const } : endpoint))
    .filter(
      (endpoint) =>
        (sendsDraining || endpoint.health !== 'DRAINING') &&
        (sendsUnready || endpoint.health !== 'UNHEALTHY') &&
        (subset === undefined || labelsMatch(subset.labels, endpoint.labels)) &&
        isShown(node, endpoint) &&
        (service.isNodeLocal !== true || endpoint.nodeName === node.labels['kubernetes.io/hostname']) &&
        (!isLocal || endpoint.clusterId === node.clusterId) &&
        // EDS takes addresses, not names to resolve; without an address a gateway may stand for it.
        (isDns ||
          endpoint.address === '' ||
          isIP(endpoint.address) !== 0 ||
          (isPipe(endpoint) && node.generator === undefined)),
    )
    .map((endpoint) => asSpokenTo(world, scope, target, endpoint));
  const reached = throughGateways(world, scope, chosen, isDns);
  // Whoever passes connections on as they are cannot tell mutual TLS from other TLS, so it reaches no others.
  const spoken = isSniDnat ? reached.filter(({ tlsMode }) => tlsMode === 'istio') : reached;
  // Envoy refuses a LOGICAL_DNS cluster with more than one; two ServiceEntries of one host could add up.
  return discovery === 'LOGICAL_DNS' ? spoken.slice(0, 1) : spoken;
}

/** Endpoints whose network nobody knows are everybody's. Source: Istio `ProxyView`. */
export function isShown(
  { networkView }: Pick<ProxyNode, 'networkView'>,
  { network }: Pick<Endpoint, 'network'>,
): boolean {
  return networkView === undefined || network === '' || networkView.includes(network);
}

/** Plain, but where mutual TLS is what the proxy will speak; other addresses only for who has both families. */
function asSpokenTo(world: World, scope: ProxyScope, target: OutboundTarget, endpoint: Endpoint): Endpoint {
  const { ipAddresses } = scope.node;
  const families = new Set(ipAddresses.map((address) => isIP(address)));
  const { otherAddresses, ...rest } = endpoint;
  const plain = otherAddresses === undefined || families.size > 1 ? endpoint : rest;
  if (endpoint.tlsMode === 'disabled' || takesMutualTls(world, scope, target, endpoint)) return plain;
  return { ...plain, tlsMode: 'disabled' };
}

/** A rule's `tls` counts before what the workload itself takes. Source: Istio `mtlsChecker`. */
function takesMutualTls(
  world: World,
  scope: ProxyScope,
  target: OutboundTarget,
  endpoint: Endpoint,
): boolean {
  if (!scope.node.workloadCertificates) return false;
  const written = writtenTlsMode(target.rule, target.port.servicePort, target.subset);
  if (written !== undefined) return written === 'ISTIO_MUTUAL';
  return mutualTlsMode(world, endpoint.namespace, endpoint.labels, endpoint.endpointPort) !== 'DISABLE';
}

/** What the rule says of the port, else of all ports; of the subset, else of the whole service. */
function writtenTlsMode(
  rule: EffectiveDestinationRule | undefined,
  servicePort: number,
  subset: Subset | undefined,
): NonNullable<TrafficPolicy['tls']>['mode'] | undefined {
  for (const layer of [subset?.trafficPolicy, rule?.trafficPolicy]) {
    const ofPort = layer?.policy.portLevelSettings?.find(
      ({ port, tls }) => port?.number === servicePort && tls !== undefined,
    );
    const tls = ofPort?.tls ?? layer?.policy.tls;
    if (tls !== undefined) return tls.mode ?? 'DISABLE';
  }
  return undefined;
}

/** Whether only endpoints of the proxy's own Kubernetes cluster serve it: the most specific host of the mesh's list says. */
export function isClusterLocalHost(mesh: MeshConfig, hostname: Hostname): boolean {
  const hosts = mesh.clusterLocalHosts.filter(({ host }) => hostnameCovers(host, hostname));
  const [best] = hosts.map(({ host }) => host).sort(compareSpecificity);
  return hosts.find(({ host }) => host === best)?.isLocal === true;
}

/** Whoever takes a workload out of service by hand labels it. Istio: PILOT_DRAINING_LABEL. */
function isDraining({ labels }: Endpoint): boolean {
  return (labels['istio.io/draining'] ?? '') !== '';
}

function isPipe({ address }: Endpoint): boolean {
  return address.startsWith('unix://');
}
