// What our matchers make of a connection: the functions that the proxy and `explain` are made of.
import { unpackAs } from '../../src/api/any.ts';
import type { Listener } from '../../src/api/gen/envoy/config/listener/v3/listener_pb.js';
import type { FilterChain } from '../../src/api/gen/envoy/config/listener/v3/listener_components_pb.js';
import type { HttpConnectionManager } from '../../src/api/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { HttpConnectionManagerSchema } from '../../src/api/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { TcpProxySchema } from '../../src/api/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js';
import { prepareTarget, routeRequest } from '../../src/explain/http-stage.ts';
import type { Connection } from '../../src/explain/listener-stage.ts';
import { chooseChain, inboundListener, outboundListener } from '../../src/explain/listener-stage.ts';
import { localAnswer } from '../../src/explain/local-answer.ts';
import { downstreamTransport } from '../../src/explain/transport.ts';
import { socketAddress } from '../../src/proxy/io/socket-address.ts';
import { readHttpPreface } from '../../src/proxy/listener/http-preface.ts';
import { clientAddresses } from './client.ts';
import type { FuzzConnection } from './generate.ts';
import type { ProxyListeners } from './resources.ts';

export interface ConnectionDecision {
  readonly listener: string;
  /** `filterChains[0]`, `defaultFilterChain`; undefined: no chain takes it. */
  readonly chain: string | undefined;
  readonly inside: Inside;
}

/** What happens in the chain. `unknown`: not compared. */
export type Inside =
  | { readonly kind: 'unknown' }
  /** Any of these, where there are weights. */
  | { readonly kind: 'tcp'; readonly clusters: readonly string[] }
  | { readonly kind: 'forward'; readonly clusters: readonly string[]; readonly route: string }
  | { readonly kind: 'answer'; readonly status: number };

const unknown: Inside = { kind: 'unknown' };

export function decide(proxy: ProxyListeners, connection: FuzzConnection): ConnectionDecision {
  const destination = socketAddress(connection.address, connection.port);
  const listener = listenerFor(proxy, connection);
  const seen: Connection = {
    destination,
    source: socketAddress(clientAddresses[connection.address.includes(':') ? 6 : 4], 0),
    tls: connection.tls,
    protocol: protocolOf(connection),
  };
  const { found } = chooseChain(listener, seen);
  if (found === undefined) return { listener: listener.name, chain: undefined, inside: unknown };
  const inside = insideOf(proxy, found.chain, connection);
  return { listener: listener.name, chain: found.at, inside };
}

/** Throws where there is none: every proxy of Istio's has one for either direction. */
function listenerFor({ listeners }: ProxyListeners, { to, address, port }: FuzzConnection): Listener {
  const found =
    to === 'inbound' ? inboundListener(listeners) : outboundListener(listeners, socketAddress(address, port));
  if (found === undefined) throw new Error(`no listener for ${address}:${port}`);
  return found.listener;
}

function protocolOf({ speech, bytes = '' }: FuzzConnection): Connection['protocol'] {
  if (speech !== 'bytes') return speech;
  const preface = readHttpPreface(Buffer.from(bytes, 'latin1'));
  return preface === 'more' || preface === 'not-http' ? 'tcp' : preface;
}

function insideOf(proxy: ProxyListeners, chain: FilterChain, connection: FuzzConnection): Inside {
  const { ends } = downstreamTransport(chain.transportSocket);
  const isTls = connection.tls !== undefined;
  // A handshake that cannot be.
  if (ends && !isTls) return unknown;
  const last = chain.filters.at(-1)?.configType;
  const any = last?.case === 'typedConfig' ? last.value : undefined;
  const tcp = unpackAs(any, TcpProxySchema);
  if (tcp !== undefined) {
    const { clusterSpecifier: specifier } = tcp;
    if (chain.filters.some(({ name }) => name === 'envoy.filters.network.sni_cluster'))
      return { kind: 'tcp', clusters: [connection.tls?.sni.toLowerCase() ?? ''] };
    const clusters =
      specifier.case === 'weightedClusters'
        ? specifier.value.clusters.map(({ name }) => name)
        : specifier.case === 'cluster'
          ? [specifier.value]
          : [];
    return { kind: 'tcp', clusters };
  }
  const manager = unpackAs(any, HttpConnectionManagerSchema);
  const isHttp = connection.speech === 'http/1.1' || connection.speech === 'h2c';
  if (manager === undefined || !isHttp || isTls !== ends) return unknown;
  return routed(proxy, manager, connection, isTls);
}

function routed(
  proxy: ProxyListeners,
  manager: HttpConnectionManager,
  connection: FuzzConnection,
  isTls: boolean,
): Inside {
  const { routeSpecifier: specifier } = manager;
  const configuration =
    specifier.case === 'routeConfig'
      ? specifier.value
      : specifier.case === 'rds'
        ? proxy.routes.get(specifier.value.routeConfigName)
        : undefined;
  if (configuration === undefined) return { kind: 'answer', status: 404 };
  const { method, host, path, headers } = connection;
  const request = { method, authority: host.toLowerCase(), path, headers };
  const prepared = prepareTarget(manager, request, isTls, connection.port);
  if (prepared.kind === 'rejected') return { kind: 'answer', status: prepared.status };
  const { virtualHost, route: found, httpsRedirect } = routeRequest(configuration, prepared.input, () => []);
  if (httpsRedirect !== undefined) return { kind: 'answer', status: 301 };
  if (virtualHost === undefined || found === undefined) return { kind: 'answer', status: 404 };
  const { route } = found;
  if (route.action.case !== 'route')
    return { kind: 'answer', status: localAnswer(route, prepared.input).status ?? 0 };
  const { clusterSpecifier: target } = route.action.value;
  const clusters =
    target.case === 'cluster'
      ? [target.value]
      : target.case === 'weightedClusters'
        ? target.value.clusters.filter(({ weight = 0 }) => weight > 0).map(({ name }) => name)
        : [];
  return { kind: 'forward', clusters, route: route.name };
}
