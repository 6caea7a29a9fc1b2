// The receiving side: what becomes of a request at the pods that an endpoint stands for.
import type { Cluster } from '../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { socketAddress } from '../proxy/io/socket-address.ts';
import type { ProxyEndpoint } from './endpoint-stage.ts';
import type { Pass, Walk } from './hop.ts';
import { explainPass, failureAt } from './hop.ts';
import type { Connection, FoundListener } from './listener-stage.ts';
import { boundAddresses, boundListener, inboundListener } from './listener-stage.ts';
import type { ProxyView, Workload } from './mesh-view.ts';
import { workloadId } from './mesh-view.ts';
import type { WantedTarget } from './target-stage.ts';
import { isAddress } from './target-stage.ts';
import type { Failure, Hop, Target } from './trace.ts';
import type { Transport } from './transport.ts';
import { upstreamTransport } from './transport.ts';

/** Workloads whose proxies are looked at for one destination; the pods of one workload are alike. */
const workloadsMax = 5;
export interface Arrival {
  readonly walk: Walk;
  readonly source: string;
  readonly isHttp: boolean;
  readonly alpn?: readonly string[] | undefined;
  readonly request: Pass['request'];
}

/** One entry for all pods at which it goes alike. */
export async function explainReceivers(
  pass: Pass,
  wanted: WantedTarget,
  cluster: Cluster,
  endpoints: readonly ProxyEndpoint[],
): Promise<Target['receivers']> {
  const arrival: Arrival = {
    walk: pass.walk,
    source: pass.workload.addresses[0] ?? '0.0.0.0',
    isHttp: wanted.isHttp,
    alpn: keepsAlpn(cluster) ? undefined : wanted.alpn,
    request: { ...pass.request, authority: wanted.authority, path: wanted.path },
  };
  const groups = new Map<string, { pods: string[]; hop: Hop }>();
  const seen = new Set<string>();
  for (const endpoint of endpoints) {
    if (!isAddress(endpoint)) continue;
    const workload = pass.walk.mesh.workloads.find(({ addresses }) => addresses.includes(endpoint.address));
    if (workload === undefined) continue;
    const key = `${workload.namespace}/${workload.workloadName === '' ? workload.name : workload.workloadName}`;
    if (seen.has(key) || seen.size >= workloadsMax) continue;
    seen.add(key);
    const transport = upstreamTransport(cluster, endpoint.metadata);
    // oxlint-disable-next-line no-await-in-loop -- proxies are asked one after the other
    const hop = await explainArrival(arrival, workload, endpoint, transport);
    const shape = shapeOf(hop);
    const group = groups.get(shape);
    if (group === undefined) groups.set(shape, { pods: [workloadId(workload)], hop });
    else group.pods.push(workloadId(workload));
  }
  return [...groups.values()];
}

/** A connection to an address of a pod, as it comes in there. */
export async function explainArrival(
  arrival: Arrival,
  workload: Workload,
  endpoint: { readonly address: string; readonly port: number },
  transport: Transport,
): Promise<Hop> {
  const { walk, request } = arrival;
  const destination = socketAddress(endpoint.address, endpoint.port);
  const proxy = await walk.mesh.proxyOf(workload);
  if (proxy === undefined || proxy.type === 'router') {
    const text =
      proxy === undefined ? 'the pod has no sidecar: the app gets it as it is' : 'a gateway’s own port';
    return withoutProxy(destination.text, transport, text);
  }
  const connection: Connection = {
    destination,
    source: socketAddress(arrival.source, 0),
    tls:
      transport.tls === undefined
        ? undefined
        : { ...transport.tls, alpn: arrival.alpn ?? transport.tls.alpn },
    protocol: arrival.isHttp ? 'http/1.1' : 'tcp',
  };
  const pass: Pass = {
    walk,
    workload,
    proxy,
    side: 'inbound',
    connection,
    about: { why: `endpoint of the pod`, transport: transport.text },
    request,
  };
  return explainPass(pass, arrivingListener(pass, proxy, connection));
}

function arrivingListener(
  pass: Pass,
  proxy: ProxyView,
  { destination }: Connection,
): FoundListener | Failure {
  const { listeners } = proxy.configuration;
  const captured = proxy.interceptionMode === 'REDIRECT' || proxy.interceptionMode === 'TPROXY';
  const found = captured ? inboundListener(listeners) : boundListener(listeners, destination);
  if (found !== undefined) return found;
  const ports = [...new Set(boundAddresses(listeners).map(({ port }) => port))].sort((a, b) => a - b);
  const reason = captured
    ? 'the sidecar has no inbound listener'
    : `nobody listens on ${destination.text}: the sidecar listens on the ports ${ports.join(', ')}`;
  return failureAt(pass, 'listener', reason, { status: 503, flag: 'UF' });
}

function withoutProxy(destination: string, transport: Transport, note: string): Hop {
  return {
    side: 'none',
    proxy: null,
    connection: { destination, why: 'endpoint of the pod', transport: transport.text },
    listener: null,
    chain: null,
    http: null,
    targets: [],
    failure: null,
    notes: [note],
  };
}

/** Istio's word on clusters for which its filter must not choose the protocols. */
function keepsAlpn({ metadata }: Cluster): boolean {
  return metadata?.filterMetadata['istio']?.['alpn_override'] === 'false';
}

/** Equal for hops that differ in pods and addresses alone. */
function shapeOf(hop: Hop): string {
  return JSON.stringify(hop, (key, value: unknown) =>
    ['proxy', 'destination', 'endpoints', 'why', 'name', 'at', 'sources'].includes(key) && key !== 'rules'
      ? undefined
      : value,
  );
}
