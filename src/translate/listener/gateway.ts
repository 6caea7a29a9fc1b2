// Listeners of gateways: one per address and port of the merged Gateway servers.
import type { GatewayListener, GatewayServer } from '../gateway/servers.ts';
import { bareHosts, mergedGateways } from '../gateway/servers.ts';
import type { GatewayTopology } from '../../model/gateway-topology.ts';
import { originAt } from '../../model/origin.ts';
import { exchangesMetadata } from '../cluster/metadata-exchange.ts';
import type { ProxyScope } from '../resource.ts';
import type { World } from '../world.ts';
import { addressesOn, captureBinds, listenerName, wildcards } from './binds.ts';
import { distinctChains } from './distinct-chains.ts';
import { autoPassthroughChains, forwardedChain, passthroughChains, serverNames } from './gateway-streams.ts';
import { tellsProtocol } from './istio-filters.ts';
import type { ChainInput, ListenerInput, SocketAddressInput } from './listener-input.ts';
import { managerSettings, withListenerLog } from './network-filters.ts';

/** Below it only root may listen. */
const firstUnprivilegedPort = 1024;
/** Who has not finished its TLS handshake by then is hung up on. Source: Istio's default for gateways. */
const handshakeTimeoutMs = 15_000;

/** A port for which no VirtualService says where to has no listener, but HTTP. Source: Istio `buildGatewayListeners`. */
export function gatewayListeners(world: World, scope: ProxyScope): readonly ListenerInput[] {
  return mergedGateways(world, scope).listeners.flatMap((listener) => {
    if (!mayListen(scope, listener)) return [];
    const chains = distinctChains(chainsOf(world, scope, listener));
    return chains.length === 0 ? [] : [listenerInput(world, scope, listener, chains)];
  });
}

function mayListen(scope: ProxyScope, { bind, listenerPort }: GatewayListener): boolean {
  return (
    bind.startsWith('unix://') || scope.node.unprivileged !== true || listenerPort >= firstUnprivilegedPort
  );
}

/** Plain HTTP servers share one chain. */
function chainsOf(world: World, scope: ProxyScope, listener: GatewayListener): readonly ChainInput[] {
  const firstHttp = listener.servers.find(({ kind }) => kind === 'http');
  const takenNames = new Set<string>();
  return listener.servers.flatMap((server) => {
    switch (server.kind) {
      case 'http':
        return server === firstHttp ? [httpChain(world, scope, listener, server)] : [];
      case 'https':
        return [httpChain(world, scope, listener, server)];
      case 'tcp':
      case 'tls': {
        const chain = forwardedChain(world, scope, server);
        return chain === undefined ? [] : [{ ...chain, ...tlsOf(world, scope, server) }];
      }
      case 'passthrough':
        return passthroughChains(world, scope, server, takenNames);
      case 'auto-passthrough':
        return autoPassthroughChains(world, scope, server);
      default:
        return server.kind satisfies never;
    }
  });
}

/** Server names and TLS of a server that ends TLS; of others nothing, they take every connection. */
function tlsOf(
  world: World,
  scope: ProxyScope,
  server: GatewayServer,
): Pick<ChainInput, 'match' | 'tls' | 'tlsOrigin' | 'metadataExchange'> {
  const { kind, tls, origin } = server;
  // Bytes of the mesh's own clients: where both sides can, they say who they are.
  const exchanges = kind === 'tls' && tls?.mode === 'ISTIO_MUTUAL' && exchangesMetadata(scope);
  if (tls === undefined || (kind !== 'https' && kind !== 'tls')) return { match: {} };
  return {
    match: serverNames(bareHosts(server)),
    tls: {
      kind: 'server',
      settings: tls,
      options: { isTcp: exchanges, defaults: world.meshConfig().tlsDefaults },
    },
    tlsOrigin: originAt(origin, 'tls'),
    ...(exchanges ? { metadataExchange: true } : {}),
  };
}

function listenerInput(
  world: World,
  scope: ProxyScope,
  listener: GatewayListener,
  chains: readonly ChainInput[],
): ListenerInput {
  const { bind, listenerPort, servers } = listener;
  const origin = servers[0]?.origin;
  const own = addressesOn(bind === '' ? captureBinds(scope) : [bind], listenerPort);
  return {
    name: nameOf(scope, listener),
    address: own.address,
    additionalAddresses: [
      ...own.additionalAddresses,
      ...(bind === '' ? hostAddresses(scope, listenerPort) : []),
    ],
    direction: 'OUTBOUND',
    bindToPort: true,
    useOriginalDst: false,
    transparent: false,
    originalDstFilter: false,
    tlsInspector: servers.some(({ kind }) => kind !== 'http' && kind !== 'tcp'),
    httpInspector: false,
    httpInspectorDisabledPorts: [],
    continueOnListenerFiltersTimeout: false,
    transportSocketConnectTimeoutMs: handshakeTimeoutMs,
    proxyProtocol: topologyOf(world, scope).proxyProtocol,
    chains,
    ...(origin === undefined ? {} : { origin }),
    ...withListenerLog(world),
  };
}

function topologyOf(world: World, { node }: ProxyScope): GatewayTopology {
  return node.gatewayTopology ?? world.meshConfig().defaultConfig.gatewayTopology;
}

/** After its address, or the first of all addresses, even where only some of them are listened on. */
function nameOf(scope: ProxyScope, { bind, listenerPort }: GatewayListener): string {
  return listenerName(bind === '' ? wildcards(scope)[0] : bind, listenerPort);
}

/** Where a gateway without a network of its own is to be reached from outside the mesh. */
function hostAddresses(scope: ProxyScope, listenerPort: number): readonly SocketAddressInput[] {
  return (scope.node.gatewayBinds ?? [])
    .filter(({ targetPort }) => targetPort === listenerPort)
    .map(({ address, port }) => ({ address, port }));
}

/** Statistics have the name of the server where it has one and ends TLS, else that of the listener. */
function httpChain(
  world: World,
  scope: ProxyScope,
  listener: GatewayListener,
  server: GatewayServer,
): ChainInput {
  const { kind, name, protocol, routeName, origin } = server;
  return {
    reason: kind === 'https' ? 'gateway-https' : 'gateway-http',
    name: '',
    ...tlsOf(world, scope, server),
    filter: {
      kind: 'http',
      side: 'gateway',
      statPrefix: kind === 'https' && name !== '' ? name : `outbound_${nameOf(scope, listener)};`,
      routes: { rds: routeName },
      http2: false,
      ...(tellsProtocol(scope) ? { tellsProtocol: true } : {}),
      ...(protocol === 'GRPC-Web' ? { grpcWeb: true } : {}),
      topology: topologyOf(world, scope),
      ...managerSettings(world, scope),
    },
    origin,
  };
}
