// One pass through one proxy: listener, filter chain, route, and on to the clusters.
import { unpackAs } from '../api/any.ts';
import type { FilterChain } from '../api/gen/envoy/config/listener/v3/listener_components_pb.js';
import type { Listener } from '../api/gen/envoy/config/listener/v3/listener_pb.js';
import { HttpConnectionManagerSchema } from '../api/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { TcpProxySchema } from '../api/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js';
import { blackHoleCluster } from '../model/cluster-name.ts';
import { ConfigError } from '../proxy/config-error.ts';
import { hostCandidates } from './candidates.ts';
import { explainHttp } from './http-hop.ts';
import type { Connection, FoundListener } from './listener-stage.ts';
import { chooseChain, describeMatch } from './listener-stage.ts';
import type { MeshView, ProxyView, Workload } from './mesh-view.ts';
import { workloadId } from './mesh-view.ts';
import type { ExplainedRequest } from './request.ts';
import { explainTargets } from './target-stage.ts';
import { downstreamTransport } from './transport.ts';
import type { Candidate, ChainTrace, Failure, Hop, Stage } from './trace.ts';

/** What stays the same on the whole way. */
export interface Walk {
  readonly mesh: MeshView;
  readonly from: Workload;
  readonly request: ExplainedRequest;
  /** Only weighted destinations whose subset or cluster has this name are followed. */
  readonly pick: string | undefined;
}

/** One proxy, and a connection that comes to it. */
export interface Pass {
  readonly walk: Walk;
  readonly workload: Workload;
  readonly proxy: ProxyView;
  readonly side: 'outbound' | 'gateway' | 'inbound';
  readonly connection: Connection;
  /** How the destination was found, and what is spoken. */
  readonly about: { readonly why: string; readonly transport: string };
  /** As it arrives here: earlier hops may have rewritten it. */
  readonly request: Pick<ExplainedRequest, 'method' | 'authority' | 'path' | 'headers'>;
}

/** What a hop is made of once its filter chain is known. */
export type Inside = Pick<Hop, 'http' | 'targets' | 'failure' | 'notes'>;

export async function explainPass(pass: Pass, entry: FoundListener | Failure): Promise<Hop> {
  const { workload, proxy, side, connection, about } = pass;
  const head = {
    side,
    proxy: {
      pod: workload.name,
      namespace: workload.namespace,
      type: proxy.type,
      interception: proxy.interceptionMode,
    },
    connection: { destination: connection.destination.text, why: about.why, transport: about.transport },
  };
  const nothing = { listener: null, chain: null, http: null, targets: [], failure: null, notes: [] };
  if ('stage' in entry) return { ...head, ...nothing, failure: entry };
  const { listener, why } = entry;
  const listenerTrace = {
    name: listener.name,
    why,
    sources: proxy.configuration.sources('LDS', listener.name, ''),
  };
  try {
    const chosen = chooseChain(listener, connection);
    if (chosen.found === undefined) {
      const failure = noChain(pass, listener, chosen.why);
      return { ...head, ...nothing, listener: listenerTrace, failure };
    }
    const { chain, at, why: chainWhy } = chosen.found;
    const chainTrace: ChainTrace = {
      name: chain.name,
      at,
      why: chainWhy,
      filter: filterKind(chain),
      transport: downstreamTransport(chain.transportSocket).text,
      sources: proxy.configuration.sources('LDS', listener.name, at),
    };
    const inside = await explainChain(pass, listener, chain, at);
    return { ...head, listener: listenerTrace, chain: chainTrace, ...inside };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const failure = failureAt(pass, 'listener', `the configuration cannot be used: ${error.message}`);
    return { ...head, ...nothing, listener: listenerTrace, failure };
  }
}

export function failureAt(
  pass: Pass,
  stage: Stage,
  reason: string,
  more: Partial<Pick<Failure, 'status' | 'flag' | 'candidates'>> = {},
): Failure {
  return { stage, at: placeOf(pass), reason, status: null, flag: '', candidates: [], ...more };
}

export function placeOf({ workload, proxy }: Pick<Pass, 'workload' | 'proxy'>): string {
  return `${proxy.type === 'router' ? 'gateway' : 'sidecar of'} ${workloadId(workload)}`;
}

async function explainChain(pass: Pass, listener: Listener, chain: FilterChain, at: string): Promise<Inside> {
  const { connection } = pass;
  const { ends } = downstreamTransport(chain.transportSocket);
  const nothing = { http: null, targets: [], notes: [] };
  if (ends && connection.tls === undefined) {
    const reason = 'the filter chain begins with a TLS handshake, and the client speaks plain text';
    return { ...nothing, failure: failureAt(pass, 'TLS', reason) };
  }
  const notes = otherFilters(chain);
  const last = chain.filters.at(-1)?.configType;
  const any = last?.case === 'typedConfig' ? last.value : undefined;
  const manager = unpackAs(any, HttpConnectionManagerSchema);
  if (manager !== undefined) {
    const isTls = connection.tls !== undefined;
    if ((isTls && !ends) || connection.protocol === 'tcp') {
      const spoken = pass.walk.request.tls === undefined ? 'something else' : 'TLS';
      const reason = `the filter chain expects HTTP, and the client speaks ${spoken}: the port's protocol may be declared wrongly`;
      return { ...nothing, notes, failure: failureAt(pass, 'TLS', reason, { status: 400, flag: 'DPE' }) };
    }
    return explainHttp(pass, { listener, at, manager, tls: isTls, notes });
  }
  const tcp = unpackAs(any, TcpProxySchema);
  if (tcp === undefined) {
    const reason =
      chain.filters.length === 0 ? 'the filter chain has no filters' : 'its last filter is not known here';
    return { ...nothing, notes, failure: failureAt(pass, 'filter chain', `${reason}: the connection ends`) };
  }
  const specifier = tcp.clusterSpecifier;
  const weighted =
    specifier.case === 'weightedClusters'
      ? specifier.value.clusters.map(({ name, weight }) => ({ cluster: name, weight }))
      : [{ cluster: specifier.case === 'cluster' ? specifier.value : '', weight: 1 }];
  if (weighted.length === 1 && weighted[0]?.cluster === blackHoleCluster) {
    return { ...nothing, notes, failure: blackHole(pass) };
  }
  const { request } = pass;
  const targets = await explainTargets(
    pass,
    weighted.map((each) => ({ ...each, authority: request.authority, path: request.path, isHttp: false })),
  );
  return { ...nothing, notes, targets, failure: null };
}

/** What REGISTRY_ONLY does with what nobody describes, and every proxy with connections to its own ports. */
function blackHole(pass: Pass): Failure {
  const { walk, connection } = pass;
  const candidates = hostCandidates(walk.mesh, walk.from, undefined, walk.request.host, walk.request.port);
  const reason = `no service of the mesh has ${connection.destination.text} (${walk.request.host}), and what the mesh does not know is not let out (REGISTRY_ONLY)`;
  return failureAt(pass, 'listener', reason, { flag: 'UH', candidates });
}

function noChain(pass: Pass, listener: Listener, why: string): Failure {
  const { tls, destination } = pass.connection;
  const spoken =
    tls === undefined
      ? 'plain text'
      : `TLS${tls.sni === '' ? ' without SNI' : ` with SNI ${tls.sni}`}${tls.alpn.length === 0 ? '' : ` and protocol ${tls.alpn.join(', ')}`}`;
  const forPort = listener.filterChains.filter(
    ({ filterChainMatch: match }) =>
      match?.destinationPort === undefined || match.destinationPort === destination.port,
  );
  const candidates = forPort.map((chain, index) => ({
    text: `chain ${chain.name === '' ? index : chain.name} takes ${describeMatch(chain.filterChainMatch)}`,
    sources: pass.proxy.configuration.sources(
      'LDS',
      listener.name,
      `filterChains[${listener.filterChains.indexOf(chain)}]`,
    ),
  }));
  const reason = `no filter chain of ${listener.name} takes ${spoken} to port ${destination.port} (${why})`;
  const strict = tls === undefined ? strictPolicies(pass) : [];
  return failureAt(pass, 'filter chain', reason, {
    flag: 'NR',
    candidates: [...strict, ...candidates.slice(0, 8)],
  });
}

/** Policies that may be why plain text has no chain. */
function strictPolicies({ walk, workload }: Pass): readonly Candidate[] {
  const spaces = [workload.namespace, walk.mesh.rootNamespace];
  return walk.mesh.objects('PeerAuthentication').flatMap(({ namespace, name, spec, locate }) => {
    if (!spaces.includes(namespace) || !JSON.stringify(spec ?? {}).includes('"STRICT"')) return [];
    const text = `PeerAuthentication ${namespace}/${name} asks for mutual TLS (STRICT)`;
    return [{ text, sources: [locate(['spec', 'mtls'])] }];
  });
}

function filterKind(chain: FilterChain): ChainTrace['filter'] {
  const last = chain.filters.at(-1)?.configType;
  const any = last?.case === 'typedConfig' ? last.value : undefined;
  if (unpackAs(any, HttpConnectionManagerSchema) !== undefined) return 'http';
  return unpackAs(any, TcpProxySchema) === undefined ? 'other' : 'tcp';
}

/** Filters that an EnvoyFilter or a policy put before the last one: they may do what is not shown here. */
function otherFilters(chain: FilterChain): readonly string[] {
  return chain.filters
    .slice(0, -1)
    .filter(({ name }) => name !== 'istio.metadata_exchange')
    .map(({ name }) => `network filter ${name} sees the connection first`);
}
