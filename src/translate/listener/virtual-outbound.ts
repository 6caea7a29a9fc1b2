// virtualOutbound: where captured connections arrive, and where those stay that no other listener is for; and
// the HTTP proxy listener, for clients that are told of the proxy instead of being captured.
import type { ProxyScope } from '../resource.ts';
import { httpProxyRouteName } from '../route/sidecar-routes.ts';
import type { World } from '../world.ts';
import type { ListenerInput } from './listener-input.ts';
import { blackholeTcp, catchAllTcp, withAccessLog } from './network-filters.ts';
import { bindAddress } from './binds.ts';

export { bindAddress } from './binds.ts';

/** Undefined in NONE mode, where nothing is captured. Source: Istio `buildVirtualOutboundListener`. */
export function virtualOutbound(world: World, scope: ProxyScope): ListenerInput | undefined {
  const { interceptionMode } = scope.node;
  if (interceptionMode === 'NONE') return undefined;
  const port = world.meshConfig().proxyListenPort;
  return {
    name: 'virtualOutbound',
    address: { address: bindAddress(scope), port },
    additionalAddresses: [],
    direction: 'OUTBOUND',
    bindToPort: true,
    useOriginalDst: true,
    transparent: interceptionMode === 'TPROXY',
    originalDstFilter: false,
    tlsInspector: false,
    httpInspector: false,
    httpInspectorDisabledPorts: [],
    continueOnListenerFiltersTimeout: false,
    chains: [
      {
        // A connection to this very port would be passed through to itself, for ever.
        reason: 'blackhole',
        name: 'virtualOutbound-blackhole',
        match: { destinationPort: port },
        filter: blackholeTcp(),
      },
      {
        reason: 'fallthrough',
        name: 'virtualOutbound-catchall-tcp',
        match: {},
        filter: catchAllTcp(world, scope),
      },
    ],
    ...withAccessLog(world),
  };
}

/** Undefined where neither the node nor the mesh names a port for it. Source: Istio `buildHTTPProxy`. */
export function httpProxy(world: World, scope: ProxyScope): ListenerInput | undefined {
  const { node } = scope;
  const port = node.httpProxyPort ?? world.meshConfig().proxyHttpPort;
  if (port === 0) return undefined;
  const address = node.interceptionMode === 'LOOPBACK' ? bindAddress(scope) : '127.0.0.1';
  const name = `${address}_${port}`;
  return {
    name,
    address: { address, port },
    additionalAddresses: [],
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
          http10: node.http10,
          http2: false,
          ...withAccessLog(world),
        },
      },
    ],
  };
}
