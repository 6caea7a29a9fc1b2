// `explain`: one request from its client to the application behind it.
import { isIP } from 'node:net';
import type { SocketAddress } from '../proxy/io/socket-address.ts';
import { socketAddress } from '../proxy/io/socket-address.ts';
import { withoutPort } from '../proxy/router/match.ts';
import { hostCandidates, namesOf } from './candidates.ts';
import { resolveDestination } from './destination.ts';
import type { Pass, Walk } from './hop.ts';
import { explainPass, failureAt } from './hop.ts';
import type { Connection, FoundListener } from './listener-stage.ts';
import { boundAddresses, boundListener, outboundListener } from './listener-stage.ts';
import type { MeshView, ProxyView, Workload } from './mesh-view.ts';
import { podAt, workloadId } from './mesh-view.ts';
import { outcomeOf } from './outcome.ts';
import type { Arrival } from './receiver.ts';
import { explainArrival } from './receiver.ts';
import type { ExplainedRequest } from './request.ts';
import { isHttpScheme } from './request.ts';
import type { Candidate, Failure, Hop, Outcome, Trace } from './trace.ts';
import { plainText } from './transport.ts';
import { unusedRules } from './unused-rules.ts';

export interface ExplainOptions {
  readonly mesh: MeshView;
  readonly from: Workload;
  readonly request: ExplainedRequest;
  readonly pick?: string | undefined;
}

/** A client of a gateway, outside the mesh (TEST-NET-1, RFC 5737). */
const outsideClient = '192.0.2.1';

/** Rejects with a UserError where a proxy cannot be asked. */
export async function explain({ mesh, from, request, pick }: ExplainOptions): Promise<Trace> {
  const walk: Walk = { mesh, from, request, pick };
  const hop = await firstHop(walk);
  return {
    version: 1,
    request: {
      method: request.method,
      url: request.url,
      authority: request.authority,
      path: request.path,
      headers: request.headers,
      tls: request.tls ?? null,
      from: from.workloadName === '' && isIP(from.name) !== 0 ? from.name : workloadId(from),
    },
    outcome: withCandidates(walk, hop, outcomeOf(hop, request)),
    hop,
  };
}

/** What is let out unknown may have been meant for the mesh; what has no rule, or a wildcard's, may have been meant to. */
function withCandidates({ mesh, from, request }: Walk, hop: Hop, outcome: Outcome): Outcome {
  switch (outcome.kind) {
    case 'passthrough':
      return { ...outcome, candidates: hostCandidates(mesh, from, undefined, request.host, request.port) };
    case 'routed':
    case 'answered': {
      if (hop.http === null || hop.proxy === null) return outcome;
      const names = namesOf(mesh, from, withoutPort(hop.http.authority));
      return { ...outcome, candidates: unusedRules(mesh, from, names, hop.http.rules) };
    }
    case 'partly':
    case 'failed':
    default:
      return outcome;
  }
}

async function firstHop(walk: Walk): Promise<Hop> {
  const proxy = walk.from.hasProxy ? await walk.mesh.proxyOf(walk.from) : undefined;
  if (proxy === undefined) return withoutClientProxy(walk);
  return proxy.type === 'router' ? throughGateway(walk, proxy) : throughSidecar(walk, proxy);
}

async function throughGateway(walk: Walk, proxy: ProxyView): Promise<Hop> {
  const { from, request } = walk;
  const address = from.addresses[0] ?? '0.0.0.0';
  const target = gatewayPort(walk);
  const destination = socketAddress(address, target.port);
  const pass = passOf(walk, proxy, 'gateway', connectionOf(request, outsideClient, destination), target.why);
  const found = boundListener(proxy.configuration.listeners, destination);
  return explainPass(pass, found ?? noGatewayListener(pass, destination));
}

/** Clients call the gateway's Service; its proxy listens on the target port. */
function gatewayPort({ mesh, from, request }: Walk): { readonly port: number; readonly why: string } {
  for (const service of mesh.services) {
    if (!service.ports.some(({ servicePort }) => servicePort === request.port)) continue;
    const own = mesh.endpoints(service, request.port).find(({ address }) => from.addresses.includes(address));
    if (own !== undefined)
      return {
        port: own.endpointPort,
        why: `port ${request.port} of Service ${service.namespace}/${service.name}`,
      };
  }
  return { port: request.port, why: 'no Service leads to this port: taken as it is' };
}

function noGatewayListener(pass: Pass, destination: SocketAddress): Failure {
  const { walk, workload, proxy } = pass;
  const ports = new Set(boundAddresses(proxy.configuration.listeners).map(({ port }) => port));
  const leading = walk.mesh.services.flatMap((service) =>
    service.ports.flatMap(({ servicePort }) => {
      const own = walk.mesh
        .endpoints(service, servicePort)
        .find(({ address }) => workload.addresses.includes(address));
      return own !== undefined && ports.has(own.endpointPort) ? [servicePort] : [];
    }),
  );
  const candidates: Candidate[] = [];
  if (leading.length > 0)
    candidates.push({
      text: `clients reach it on the ports ${[...new Set(leading)].join(', ')}`,
      sources: [],
    });
  for (const gateway of walk.mesh.objects('Gateway')) {
    const { servers = [] } = (gateway.spec ?? {}) as { servers?: readonly { port?: { number?: number } }[] };
    const numbers = servers.flatMap(({ port }) => port?.number ?? []);
    candidates.push({
      text: `Gateway ${gateway.namespace}/${gateway.name} has servers on ${numbers.length === 0 ? 'no port' : `port ${numbers.join(', ')}`}`,
      sources: [gateway.locate(['spec', 'servers'])],
    });
  }
  const reason = `nobody listens on port ${destination.port}: no Gateway that selects this gateway has a server for it`;
  return failureAt(pass, 'listener', reason, { candidates });
}

async function throughSidecar(walk: Walk, proxy: ProxyView): Promise<Hop> {
  const { from, request, mesh } = walk;
  const source = from.addresses[0] ?? '0.0.0.0';
  const isProxied = request.scheme === 'http' && proxy.interceptionMode === 'LOOPBACK';
  if (isProxied && proxy.httpProxyPort !== undefined) {
    const destination = socketAddress(source, proxy.httpProxyPort);
    const connection = connectionOf(request, source, destination);
    const pass = passOf(walk, proxy, 'outbound', connection, 'the app’s HTTP_PROXY: the sidecar');
    const found = boundListener(proxy.configuration.listeners, destination);
    const reason = `the sidecar has no HTTP proxy listener on ${destination.text}`;
    return explainPass(pass, found ?? failureAt(pass, 'listener', reason));
  }
  const resolved = resolveDestination(mesh, from, request.host, request.port);
  // Without an address nothing is sent, and what is not captured goes past the sidecar.
  if (resolved === undefined || proxy.interceptionMode === 'LOOPBACK') return withoutClientProxy(walk);
  const connection = connectionOf(request, source, resolved.address);
  const pass = passOf(walk, proxy, 'outbound', connection, resolved.why);
  const { listeners } = proxy.configuration;
  const isNone = proxy.interceptionMode === 'NONE';
  const found = isNone
    ? boundListener(listeners, resolved.address)
    : outboundListener(listeners, resolved.address);
  if (found !== undefined) return explainPass(pass, found satisfies FoundListener);
  const reason = `no listener of the sidecar takes a connection to ${resolved.address.text}`;
  return explainPass(pass, failureAt(pass, 'listener', reason));
}

/** The client has no proxy, or its connection passes it by: Kubernetes alone decides. */
async function withoutClientProxy(walk: Walk): Promise<Hop> {
  const { mesh, from, request } = walk;
  const resolved = resolveDestination(mesh, from, request.host, request.port);
  const bare: Hop = {
    side: 'none',
    proxy: null,
    connection: {
      destination: `${request.host}:${request.port}`,
      why: '',
      transport: clientTransport(request),
    },
    listener: null,
    chain: null,
    http: null,
    targets: [],
    failure: null,
    notes: [
      from.hasProxy
        ? 'the connection is not captured: it goes past the sidecar'
        : 'the client has no sidecar: no route and no policy of the mesh applies on its side',
    ],
  };
  if (resolved === undefined) return { ...bare, notes: [], failure: noSuchName(walk, workloadId(from)) };
  const { service, address } = resolved;
  const connection = { ...bare.connection, destination: address.text, why: resolved.why };
  const isPodAddress = service === undefined || !service.addresses.includes(address.address);
  const endpoints =
    service === undefined || isPodAddress
      ? [{ address: address.address, port: address.port }]
      : mesh
          .endpoints(service, request.port)
          .filter(({ health }) => health === 'HEALTHY')
          .map((endpoint) => ({ address: endpoint.address, port: endpoint.endpointPort }));
  if (endpoints.length === 0) {
    const failure: Failure = {
      stage: 'endpoints',
      at: workloadId(from),
      reason: `${resolved.why} has no ready endpoint on port ${request.port}: the connection is refused`,
      status: null,
      flag: '',
      candidates: hostCandidates(mesh, from, undefined, request.host, request.port),
    };
    return { ...bare, connection, failure };
  }
  const arrival: Arrival = {
    walk,
    source: from.addresses[0] ?? outsideClient,
    isHttp: isHttpScheme(request.scheme),
    request,
  };
  const transport = { text: clientTransport(request), tls: request.tls };
  const [first] = endpoints.flatMap((endpoint) => {
    const workload = mesh.workloads.find(({ addresses }) => addresses.includes(endpoint.address));
    return workload === undefined ? [] : [{ endpoint, workload }];
  });
  if (first === undefined)
    return { ...bare, connection, notes: [...bare.notes, 'no pod of the mesh has that address'] };
  const hop = await explainArrival(arrival, first.workload, first.endpoint, transport);
  const target = {
    cluster: '',
    share: 1,
    picked: true,
    authority: request.authority,
    discovery: 'kube-proxy',
    settings: [],
    sources: resolved.sources,
    endpoints: endpoints.map(({ address: ip, port }) => ({
      address: socketAddress(ip, port).text,
      pod: podAt(mesh, ip),
      state: 'in' as const,
      reason: '',
      priority: 0,
      weight: 1,
      locality: '',
      transport: transport.text,
    })),
    receivers: [{ pods: [workloadId(first.workload)], hop }],
    failure: null,
  };
  return { ...bare, connection, targets: [target] };
}

function noSuchName({ mesh, from, request }: Walk, at: string): Failure {
  return {
    stage: 'client',
    at,
    reason: `the name ${request.host} does not resolve in namespace ${from.namespace}: the request never leaves the client`,
    status: null,
    flag: '',
    candidates: hostCandidates(mesh, from, undefined, request.host, request.port),
  };
}

function connectionOf(request: ExplainedRequest, source: string, destination: SocketAddress): Connection {
  return {
    destination,
    source: socketAddress(source, 0),
    tls: request.tls,
    protocol: isHttpScheme(request.scheme) ? 'http/1.1' : 'tcp',
  };
}

function passOf(walk: Walk, proxy: ProxyView, side: Pass['side'], connection: Connection, why: string): Pass {
  const { request } = walk;
  return {
    walk,
    workload: walk.from,
    proxy,
    side,
    connection,
    about: { why, transport: clientTransport(request) },
    request,
  };
}

function clientTransport({ tls }: ExplainedRequest): string {
  if (tls === undefined) return plainText.text;
  return `the client’s own TLS${tls.sni === '' ? '' : ` (SNI ${tls.sni})`}`;
}
