// The transport sockets of a cluster: TLS, mutual TLS by endpoint, and the PROXY protocol around them.
import type { ProxyProtocolConfig_Version } from '../../api/gen/envoy/config/core/v3/proxy_protocol_pb.js';
import { ProxyProtocolConfig_Version as Version } from '../../api/gen/envoy/config/core/v3/proxy_protocol_pb.js';
import { ProxyProtocolUpstreamTransportSchema } from '../../api/gen/envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol_pb.js';
import type { TrafficPolicy } from '../destination-rule.ts';
import { pack } from '../proto-values.ts';
import type { TransportSocketInit } from '../tls/tls-context.ts';
import { rawBufferSocket } from '../tls/tls-context.ts';
import { clientTlsSocket, mutualTlsSocket } from '../tls/upstream-tls.ts';
import type { UpstreamSecurity } from './cluster-input.ts';
import type { AutomaticNames } from './http-options.ts';
import type { ClusterInit } from './traffic-policy.ts';

type ProxyProtocol = NonNullable<TrafficPolicy['proxyProtocol']>;

/**
 * `transport_socket`, or for auto mTLS `transport_socket_matches`: mutual TLS to endpoints whose metadata say
 * `tlsMode: istio`, raw to all others (C3.12). Source: Istio `applyUpstreamTLSSettings`.
 */
export function transportSockets(
  security: UpstreamSecurity | undefined,
  proxyProtocol: ProxyProtocol | undefined,
  speaksHttp2: boolean,
): ClusterInit {
  const socket = socketOf(security, speaksHttp2);
  if (socket === undefined)
    return proxyProtocol === undefined ? {} : { transportSocket: wrapped(rawBufferSocket(), proxyProtocol) };
  if (security?.kind !== 'mutual-tls' || !security.isAutomatic)
    return { transportSocket: wrapped(socket, proxyProtocol) };
  return {
    transportSocketMatches: [
      {
        name: 'tlsMode-istio',
        match: { tlsMode: 'istio' },
        transportSocket: wrapped(socket, proxyProtocol),
      },
      { name: 'tlsMode-disabled', match: {}, transportSocket: wrapped(rawBufferSocket(), proxyProtocol) },
    ],
  };
}

/**
 * Without an `sni` the upstream is asked by the request's host, and without names of its own it must have that name.
 * Undefined where nothing is left to the request. Source: Istio `setAutoSniAndAutoSanValidation`.
 */
export function automaticNames(
  security: UpstreamSecurity | undefined,
  isDynamicDns = false,
): AutomaticNames | undefined {
  if (security === undefined || (security.kind === 'mutual-tls' && !isDynamicDns)) return undefined;
  const isMutual = security.kind === 'mutual-tls';
  const autoSni = (isMutual ? security.sni : (security.tls.sni ?? '')) === '';
  const isNamed = isMutual ? false : security.isNamed;
  const isChecked = isMutual || security.tls.insecureSkipVerify !== true;
  const autoSanValidation = isChecked && (isDynamicDns || (autoSni && !isNamed));
  if (!autoSni && !autoSanValidation) return undefined;
  return { autoSni, autoSanValidation };
}

function socketOf(
  security: UpstreamSecurity | undefined,
  speaksHttp2: boolean,
): TransportSocketInit | undefined {
  switch (security?.kind) {
    case undefined:
      return undefined;
    case 'mutual-tls':
      return mutualTlsSocket({ ...security, speaksHttp2 });
    case 'client-tls':
      return clientTlsSocket(security.tls, { speaksHttp2, defaults: security.defaults });
    default:
      return security satisfies never;
  }
}

/** The upstream is told first who the client is, before any TLS. */
function wrapped(
  transportSocket: TransportSocketInit,
  proxyProtocol: ProxyProtocol | undefined,
): TransportSocketInit {
  if (proxyProtocol === undefined) return transportSocket;
  const version: ProxyProtocolConfig_Version = proxyProtocol.version === 'V2' ? Version.V2 : Version.V1;
  return {
    name: 'envoy.transport_sockets.upstream_proxy_protocol',
    configType: {
      case: 'typedConfig',
      value: pack(ProxyProtocolUpstreamTransportSchema, { config: { version }, transportSocket }),
    },
  };
}
