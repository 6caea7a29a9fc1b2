// From a cluster's name to its endpoints, and through the proxies of the pods behind them.
import { isIP } from 'node:net';
import type { Cluster } from '../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { Cluster_DiscoveryType } from '../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { inboundPassthroughCluster, parseClusterName, passthroughCluster } from '../model/cluster-name.ts';
import { socketAddress } from '../proxy/io/socket-address.ts';
import { clusterCandidates } from './candidates.ts';
import { clusterSettings, discoveryText, isOriginalDestination } from './cluster-settings.ts';
import type { ClusterService, ProxyEndpoint } from './endpoint-stage.ts';
import { endpointsOf, nearestPods } from './endpoint-stage.ts';
import type { Pass } from './hop.ts';
import { failureAt } from './hop.ts';
import { explainReceivers } from './receiver.ts';
import type { Candidate, EndpointTrace, Failure, Setting, Target } from './trace.ts';
import { upstreamTransport } from './transport.ts';
import { countText } from './words.ts';

/** A cluster that a route or a TCP proxy sends to. */
export interface WantedTarget {
  readonly cluster: string;
  readonly weight: number;
  readonly authority: string;
  readonly path: string;
  readonly isHttp: boolean;
  /** Protocols that the proxy offers inside mutual TLS instead of the cluster's own (Istio's filter istio.alpn). */
  readonly alpn?: readonly string[] | undefined;
  /** Header changes of this destination alone. */
  readonly settings?: readonly Setting[];
}

export async function explainTargets(
  pass: Pass,
  wanted: readonly WantedTarget[],
): Promise<readonly Target[]> {
  const total = wanted.reduce((sum, { weight }) => sum + weight, 0);
  const targets: Target[] = [];
  for (const each of wanted) {
    const share = total === 0 ? 0 : each.weight / total;
    // oxlint-disable-next-line no-await-in-loop -- proxies are asked one after the other
    targets.push(await explainTarget(pass, each, share));
  }
  return targets;
}

/** Whether `--pick` means this destination: its subset, its cluster, or its host. */
function isPicked(pick: string | undefined, cluster: string): boolean {
  if (pick === undefined) return true;
  const name = parseClusterName(cluster);
  return (
    cluster === pick ||
    name?.subset === pick ||
    name?.hostname === pick ||
    name?.hostname.split('.')[0] === pick
  );
}

async function explainTarget(pass: Pass, wanted: WantedTarget, share: number): Promise<Target> {
  const { walk, proxy } = pass;
  const { configuration } = proxy;
  const { cluster: name, authority } = wanted;
  const inbound = pass.side === 'inbound';
  const picked = inbound || isPicked(walk.pick, name);
  const cluster = configuration.cluster(name);
  const base = {
    cluster: name,
    share,
    picked,
    authority,
    discovery: '',
    settings: wanted.settings ?? [],
    sources: [],
    endpoints: [],
    receivers: [],
  };
  if (cluster === undefined) {
    const reason =
      name === '' ? 'the route names no cluster for this request' : `the proxy has no cluster ${name}`;
    const candidates = clusterCandidates(walk.mesh, configuration, name);
    const failure = failureAt(pass, 'cluster', reason, {
      status: wanted.isHttp ? 503 : null,
      flag: 'NC',
      candidates,
    });
    return { ...base, failure };
  }
  const sources = (at: string) => configuration.sources('CDS', name, at);
  const whole = { ...base, discovery: discoveryText(cluster), sources: targetSources(sources) };
  const settings = [...base.settings, ...clusterSettings(cluster, sources)];
  if (isOriginalDestination(cluster)) {
    const endpoint = originalDestination(pass, cluster);
    const receivers =
      inbound || !picked || isPassthrough(name)
        ? []
        : await explainReceivers(pass, wanted, cluster, [endpoint]);
    return { ...whole, settings, endpoints: [endpoint.trace], receivers, failure: null };
  }
  const about = serviceOf(pass, name, cluster);
  const assignment = isEds(cluster)
    ? configuration.assignment(cluster.edsClusterConfig?.serviceName || name)
    : cluster.loadAssignment;
  const { known, all } = endpointsOf(walk.mesh, cluster, assignment, about);
  const usable = known.filter(({ trace }) => trace.state === 'in');
  const failure = usable.length > 0 ? null : noEndpoint(pass, wanted, all, about);
  const receivers = inbound || !picked ? [] : await explainReceivers(pass, wanted, cluster, usable);
  return { ...whole, settings, endpoints: all, receivers, failure };
}

/** The service's own source, and the DestinationRule's where there is one. */
function targetSources(sources: (at: string) => Target['sources']): Target['sources'] {
  const all = [...sources(''), ...sources('metadata')];
  return [...new Map(all.map((source) => [JSON.stringify(source), source])).values()];
}

export function isPassthrough(name: string): boolean {
  return name === passthroughCluster || name === inboundPassthroughCluster;
}

function isEds({ clusterDiscoveryType: type }: Cluster): boolean {
  return type.case === 'type' && type.value === Cluster_DiscoveryType.EDS;
}

function originalDestination({ connection, walk }: Pass, cluster: Cluster): ProxyEndpoint {
  const override =
    cluster.lbConfig.case === 'originalDstLbConfig' ? cluster.lbConfig.value.upstreamPortOverride : undefined;
  const to = socketAddress(connection.destination.address, override ?? connection.destination.port);
  const workload = walk.mesh.workloads.find(({ addresses }) => addresses.includes(to.address));
  const trace: EndpointTrace = {
    address: to.text,
    pod: workload === undefined ? '' : `${workload.name}.${workload.namespace}`,
    state: 'in',
    reason:
      cluster.name === inboundPassthroughCluster
        ? 'no Service names this port of the pod: nothing may listen there'
        : 'the original destination',
    priority: 0,
    weight: 1,
    locality: '',
    transport: upstreamTransport(cluster, undefined).text,
  };
  return { trace, metadata: undefined, address: to.address, port: to.port };
}

function serviceOf({ walk }: Pass, name: string, cluster: Cluster): ClusterService | undefined {
  const parsed = parseClusterName(name);
  if (parsed?.direction !== 'outbound') return undefined;
  const istio = (cluster.metadata?.filterMetadata['istio'] ?? {}) as {
    readonly services?: readonly { readonly namespace?: string }[];
    readonly config?: string;
  };
  const namespace = istio.services?.[0]?.namespace;
  const same = walk.mesh.services.filter(({ hostname }) => hostname === parsed.hostname);
  const service = same.find((each) => each.namespace === namespace) ?? same[0];
  if (service === undefined) return undefined;
  const subsetLabels = parsed.subset === '' ? undefined : labelsOfSubset(walk, istio.config, parsed.subset);
  return { service, servicePort: parsed.servicePort, subsetLabels };
}

/** `config` is `/apis/networking.istio.io/v1/namespaces/NS/destination-rule/NAME`, which Istio writes on clusters. */
function labelsOfSubset(
  { mesh }: Pass['walk'],
  config: string | undefined,
  subset: string,
): Readonly<Record<string, string>> {
  const [, namespace, name] = /\/namespaces\/([^/]+)\/destination-rule\/([^/]+)$/.exec(config ?? '') ?? [];
  const rules = mesh
    .objects('DestinationRule')
    .filter((rule) => rule.namespace === namespace && rule.name === name);
  for (const { spec } of rules) {
    const { subsets = [] } = spec as {
      subsets?: readonly { name?: string; labels?: Record<string, string> }[];
    };
    const found = subsets.find((each) => each.name === subset);
    if (found !== undefined) return found.labels ?? {};
  }
  return {};
}

function noEndpoint(
  pass: Pass,
  { cluster, isHttp }: WantedTarget,
  all: readonly EndpointTrace[],
  about: ClusterService | undefined,
): Failure {
  const reasons = [...new Set(all.map(({ reason }) => reason))];
  const why =
    all.length === 0
      ? about === undefined
        ? 'has no endpoints'
        : `has no endpoints: no pod of namespace ${about.service.namespace} has the labels of ${about.service.name}`
      : `has ${countText(all.length, 'endpoint')}, but none can be used (${reasons.join('; ')})`;
  const labels = Object.entries(about?.service.selector ?? {}).map(([label, value]) => `${label}=${value}`);
  const candidates: Candidate[] = [];
  if (all.length === 0 && about !== undefined) {
    if (labels.length > 0)
      candidates.push({
        text: `${about.service.name} selects ${labels.join(', ')}`,
        sources: pass.proxy.configuration.sources('CDS', cluster, ''),
      });
    for (const text of nearestPods(pass.walk.mesh, about.service)) candidates.push({ text, sources: [] });
  }
  return failureAt(pass, 'endpoints', `${cluster} ${why}`, {
    status: isHttp ? 503 : null,
    flag: 'UH',
    candidates,
  });
}

/** Whether the endpoint's address is an IP: names are resolved by the proxy. */
export function isAddress(endpoint: ProxyEndpoint): endpoint is ProxyEndpoint & { readonly address: string } {
  return endpoint.address !== undefined && isIP(endpoint.address) !== 0;
}
