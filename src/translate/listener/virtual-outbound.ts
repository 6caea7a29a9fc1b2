// virtualOutbound: where captured connections arrive, and where those stay that no other listener is for; and
// the HTTP proxy listener, for clients that are told of the proxy instead of being captured.
import type { ProxyScope } from '../resource.ts';
import { catchAllRoutes, httpProxyRouteName } from '../route/sidecar-routes.ts';
import { outboundTrafficPolicyOf } from '../scope.ts';
import type { World } from '../world.ts';
import { addressesOn, captureBinds, listenerName, localHosts } from './binds.ts';
import { plaintextHttp } from './inbound-matches.ts';
import { tellsProtocol } from './istio-filters.ts';
import type { ChainInput, ListenerInput } from './listener-input.ts';
import { blackholeTcp, catchAllTcp, managerSettings, withListenerLog } from './network-filters.ts';
import { dynamicDnsOf } from './outbound.ts';

/** Undefined in NONE mode, where nothing is captured. Source: Istio `buildVirtualOutboundListener`. */
export function virtualOutbound(world: World, scope: ProxyScope): ListenerInput | undefined {
  const { interceptionMode } = scope.node;
  if (interceptionMode === 'NONE') return undefined;
  const port = world.meshConfig().proxyListenPort;
  const dynamic = dynamicDnsChain(world, scope);
  return {
    name: 'virtualOutbound',
    ...addressesOn(captureBinds(scope), port),
    direction: 'OUTBOUND',
    bindToPort: true,
    useOriginalDst: true,
    transparent: interceptionMode === 'TPROXY',
    originalDstFilter: false,
    tlsInspector: false,
    httpInspector: dynamic !== undefined,
    httpInspectorDisabledPorts: [],
    // Where the inspector looks for HTTP, servers that speak first have their turn after its timeout.
    continueOnListenerFiltersTimeout: dynamic !== undefined,
    chains: [
      {
        // A connection to this very port would be passed through to itself, for ever.
        reason: 'blackhole',
        name: 'virtualOutbound-blackhole',
        match: { destinationPort: port },
        filter: blackholeTcp(),
      },
      ...(dynamic === undefined ? [] : [dynamic]),
      {
        reason: 'fallthrough',
        name: 'virtualOutbound-catchall-tcp',
        match: {},
        filter: catchAllTcp(world, scope),
      },
    ],
    ...withListenerLog(world),
  };
}

/** HTTP to hosts that nothing describes, looked up by name; undefined but under ALLOW_ANY_DYNAMIC_DNS. */
function dynamicDnsChain(world: World, scope: ProxyScope): ChainInput | undefined {
  if (outboundTrafficPolicyOf(world, scope) !== 'ALLOW_ANY_DYNAMIC_DNS') return undefined;
  return {
    reason: 'passthrough-http',
    name: 'virtualOutbound-catchall-tcp-http',
    match: { applicationProtocols: plaintextHttp },
    filter: {
      kind: 'http',
      side: 'outbound',
      statPrefix: 'outbound_virtualOutbound_allow_any_dynamic_dns;',
      routes: { table: catchAllRoutes(world, scope, 'allow_any_dynamic_dns') },
      http2: false,
      ...(tellsProtocol(scope) ? { tellsProtocol: true } : {}),
      dynamicDns: dynamicDnsOf(world, scope),
      ...managerSettings(world, scope),
    },
  };
}

/** Undefined where neither the node nor the mesh names a port for it. Source: Istio `buildHTTPProxy`. */
export function httpProxy(world: World, scope: ProxyScope): ListenerInput | undefined {
  const { node } = scope;
  const port = node.httpProxyPort ?? world.meshConfig().proxyHttpPort;
  if (port === 0) return undefined;
  const binds = node.interceptionMode === 'LOOPBACK' ? captureBinds(scope) : localHosts(scope);
  const name = listenerName(binds[0], port);
  const dynamicDns = dynamicDnsOf(world, scope);
  return {
    name,
    ...addressesOn(binds, port),
    direction: 'OUTBOUND',
    bindToPort: true,
    useOriginalDst: false,
    transparent: false,
    originalDstFilter: false,
    tlsInspector: false,
    httpInspector: false,
    httpInspectorDisabledPorts: [],
    listenerFiltersTimeoutMs: 0,
    continueOnListenerFiltersTimeout: true,
    chains: [
      {
        reason: 'http-proxy',
        name: '',
        match: {},
        filter: {
          kind: 'http',
          side: 'http-proxy',
          statPrefix: `outbound_${name};`,
          routes: { rds: httpProxyRouteName },
          http2: false,
          ...(tellsProtocol(scope) ? { tellsProtocol: true } : {}),
          ...(dynamicDns.length === 0 ? {} : { dynamicDns }),
          ...managerSettings(world, scope),
        },
      },
    ],
  };
}
