// virtualInbound: everything that comes to the pod, by port: chains of service ports, and of all the others.
import { formatClusterName, inboundPassthroughCluster } from '../../model/cluster-name.ts';
import { isHttp, isHttp2, isSniffed } from '../../model/protocol.ts';
import type { InboundTarget } from '../inbound-targets.ts';
import { inboundTargets } from '../inbound-targets.ts';
import type { ProxyScope } from '../resource.ts';
import type { World } from '../world.ts';
import type { ChainInput, ChainMatchInput, ListenerInput } from './listener-input.ts';
import { blackholeTcp, plainTcp, withAccessLog } from './network-filters.ts';
import { isProxyPort } from './outbound.ts';
import { bindAddress } from './virtual-outbound.ts';

/** What the HTTP inspector calls plain HTTP/1.1 and HTTP/2. */
const plaintextHttp = ['http/1.1', 'h2c'];

/**
 * Undefined in NONE mode, where nothing is captured. Chains are those of plain text; those of mutual TLS will
 * stand in the same list. Source: Istio `buildInboundListeners` (mTLS mode DISABLE).
 */
export function virtualInbound(world: World, scope: ProxyScope): ListenerInput | undefined {
  const { interceptionMode } = scope.node;
  if (interceptionMode === 'NONE') return undefined;
  const mesh = world.meshConfig();
  const address = bindAddress(scope);
  const targets = inboundTargets(world, scope).filter(({ targetPort }) => !isProxyPort(world, targetPort));
  const chains = [
    blackholeChain(mesh.proxyInboundListenPort),
    ...passthroughChains(world, scope),
    ...targets.flatMap((target) => targetChains(world, scope, target)),
  ];
  return {
    name: 'virtualInbound',
    address: { address, port: mesh.proxyInboundListenPort },
    // Nothing captures connections here: they are taken where the application seems to listen.
    additionalAddresses:
      interceptionMode === 'LOOPBACK' ? targets.map(({ targetPort: port }) => ({ address, port })) : [],
    direction: 'INBOUND',
    bindToPort: true,
    useOriginalDst: false,
    transparent: interceptionMode === 'TPROXY',
    originalDstFilter: true,
    tlsInspector: chains.some(({ match }) => match.transportProtocol === 'tls'),
    httpInspector: true,
    httpInspectorDisabledPorts: portsWithoutSniffing(chains),
    listenerFiltersTimeoutMs: mesh.protocolDetectionTimeoutMs,
    continueOnListenerFiltersTimeout: true,
    chains,
    ...withAccessLog(world),
  };
}

/** Connections to the listener's own port would come back to it. */
function blackholeChain(port: number): ChainInput {
  return {
    reason: 'blackhole',
    name: 'virtualInbound-blackhole',
    match: { destinationPort: port },
    filter: blackholeTcp(),
  };
}

/** Ports that no service names. */
function passthroughChains(world: World, scope: ProxyScope): readonly ChainInput[] {
  const cluster = inboundPassthroughCluster;
  const statPrefix = `${cluster};`;
  const inline = { cluster, hostname: '', servicePort: 0, grpc: false };
  return [
    {
      reason: 'passthrough-http',
      name: 'virtualInbound-catchall-http',
      match: { transportProtocol: 'raw_buffer', applicationProtocols: plaintextHttp },
      filter: {
        kind: 'http',
        side: 'inbound',
        statPrefix,
        routes: { inline },
        http10: scope.node.http10,
        http2: false,
        ...withAccessLog(world),
      },
    },
    {
      reason: 'passthrough-tcp',
      name: 'virtualInbound',
      match: { transportProtocol: 'raw_buffer' },
      filter: plainTcp(world, cluster),
    },
  ];
}

/** HTTP, TCP, or where the port does not say which, both. */
function targetChains(world: World, scope: ProxyScope, target: InboundTarget): readonly ChainInput[] {
  const { targetPort, service, port } = target;
  const { protocol, servicePort } = port;
  const name = `0.0.0.0_${targetPort}`;
  const cluster = formatClusterName({
    direction: 'inbound',
    servicePort: targetPort,
    subset: '',
    hostname: '',
  });
  const match: ChainMatchInput = { destinationPort: targetPort, transportProtocol: 'raw_buffer' };
  const { hostname, origin } = service;
  const http = (applicationProtocols?: readonly string[]): ChainInput => ({
    reason: 'inbound-plaintext-http',
    name,
    match: { ...match, ...(applicationProtocols === undefined ? {} : { applicationProtocols }) },
    filter: {
      kind: 'http',
      side: 'inbound',
      statPrefix: `inbound_${name};`,
      routes: {
        inline: { cluster, hostname, servicePort, grpc: protocol === 'GRPC' || protocol === 'GRPC-Web' },
      },
      http10: scope.node.http10,
      http2: isHttp2(protocol),
      ...withAccessLog(world),
    },
    origin,
  });
  const tcp: ChainInput = {
    reason: 'inbound-plaintext-tcp',
    name,
    match,
    filter: plainTcp(world, cluster),
    origin,
  };
  if (isHttp(protocol)) return [http()];
  return isSniffed(protocol) ? [http(plaintextHttp), tcp] : [tcp];
}

/** Where one chain alone is for a port there is nothing to find out, and servers that speak first can. */
function portsWithoutSniffing(chains: readonly ChainInput[]): readonly number[] {
  const ports = new Map<number, boolean>();
  for (const { match } of chains) {
    const { destinationPort, applicationProtocols } = match;
    if (destinationPort === undefined) continue;
    const sniffed = applicationProtocols?.some((name) => plaintextHttp.includes(name)) === true;
    ports.set(destinationPort, (ports.get(destinationPort) ?? false) || sniffed);
  }
  return [...ports].flatMap(([port, sniffed]) => (sniffed ? [] : [port])).sort((a, b) => a - b);
}
