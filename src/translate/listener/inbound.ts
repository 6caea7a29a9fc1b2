// virtualInbound: everything that comes to the pod, by port: chains of named ports, and of all the others; and
// listeners of their own for ports that a Sidecar binds.
import { inboundClusterName, inboundPassthroughCluster } from '../../model/cluster-name.ts';
import { isHttp } from '../../model/protocol.ts';
import { exchangesMetadata } from '../cluster/metadata-exchange.ts';
import type { InboundTarget } from '../inbound-targets.ts';
import { inboundTargets } from '../inbound-targets.ts';
import type { MutualTlsSettings } from '../mtls/mutual-tls-mode.ts';
import { mutualTlsSettings, settingOfPort } from '../mtls/mutual-tls-mode.ts';
import type { ProxyScope } from '../resource.ts';
import type { IngressPort } from '../sidecar-ingress.ts';
import { ingressPorts } from '../sidecar-ingress.ts';
import type { NamedService } from '../stat-name.ts';
import { statName, unregistered } from '../stat-name.ts';
import type { World } from '../world.ts';
import type { Binds } from './binds.ts';
import { addressesOn, captureBinds, instanceBinds, listenerName, wildcards } from './binds.ts';
import type { InboundPort } from './inbound-chains.ts';
import { inboundChains } from './inbound-chains.ts';
import { inspectorsFor } from './inspectors.ts';
import type { ChainInput, ListenerInput } from './listener-input.ts';
import { blackholeTcp, withListenerLog } from './network-filters.ts';
import { isBootstrapPort, isProxyPort } from './proxy-ports.ts';

/** A port that a Service or a Sidecar names, and where it is bound. */
interface NamedPort extends InboundPort {
  readonly binds: Binds;
  readonly bindToPort: boolean;
}

/**
 * virtualInbound, but in NONE mode, where nothing is captured; and one listener for each port that
 * `Sidecar.ingress` binds itself. Source: Istio `buildInboundListeners`.
 */
export function inboundListeners(world: World, scope: ProxyScope): readonly ListenerInput[] {
  const { interceptionMode, namespace, labels } = scope.node;
  const settings = mutualTlsSettings(world, namespace, labels);
  const ports = namedPorts(world, scope, settings);
  const bound = ports
    .filter(({ bindToPort }) => bindToPort)
    .map((port) => boundListener(world, port, inboundChains(world, scope, port)));
  if (interceptionMode === 'NONE') return bound;
  const captured = ports.filter(({ bindToPort }) => !bindToPort);
  return [virtualInbound(world, scope, settings, captured), ...bound];
}

function virtualInbound(
  world: World,
  scope: ProxyScope,
  settings: MutualTlsSettings,
  ports: readonly NamedPort[],
): ListenerInput {
  const { interceptionMode } = scope.node;
  const mesh = world.meshConfig();
  const { address, additionalAddresses } = addressesOn(captureBinds(scope), mesh.proxyInboundListenPort);
  const chains = [
    blackholeChain(scope, mesh.proxyInboundListenPort),
    ...passthroughChains(world, scope, settings),
    ...ports.flatMap((port) => inboundChains(world, scope, port)),
  ];
  return {
    ...inboundListener(world, chains),
    name: 'virtualInbound',
    address,
    // Nothing captures connections under LOOPBACK: they are taken where the application seems to listen.
    additionalAddresses:
      interceptionMode === 'LOOPBACK'
        ? ports.map(({ port }) => ({ address: address.address, port }))
        : additionalAddresses,
    transparent: interceptionMode === 'TPROXY',
    originalDstFilter: true,
    ...(interceptionMode === 'TPROXY' ? { originalSrcFilter: true } : {}),
  };
}

function boundListener(world: World, port: NamedPort, chains: readonly ChainInput[]): ListenerInput {
  return {
    ...inboundListener(world, chains),
    ...addressesOn(port.binds, port.port),
    name: listenerName(port.binds[0], port.port),
    transparent: false,
    originalDstFilter: false,
    ...(port.origin === undefined ? {} : { origin: port.origin }),
  };
}

/** What listeners for what arrives have in common. */
function inboundListener(world: World, chains: readonly ChainInput[]) {
  return {
    direction: 'INBOUND' as const,
    bindToPort: true,
    useOriginalDst: false,
    ...inspectorsFor(chains),
    listenerFiltersTimeoutMs: world.meshConfig().protocolDetectionTimeoutMs,
    continueOnListenerFiltersTimeout: true,
    chains,
    ...withListenerLog(world),
  };
}

/** Connections to the listener's own port would come back to it. */
function blackholeChain(scope: ProxyScope, port: number): ChainInput {
  return {
    reason: 'blackhole',
    name: 'virtualInbound-blackhole',
    match: { destinationPort: port },
    ...(exchangesMetadata(scope) ? { metadataExchange: true } : {}),
    filter: blackholeTcp(),
  };
}

/** Ports that nothing names; those of them that PeerAuthentication singles out have chains of their own. */
function passthroughChains(
  world: World,
  scope: ProxyScope,
  settings: MutualTlsSettings,
): readonly ChainInput[] {
  const ingress = ingressPorts(world, scope).map(({ port }) => port);
  const named = new Set(
    ingress.length > 0 ? ingress : inboundTargets(world, scope).map(({ targetPort }) => targetPort),
  );
  const singled = [...settings.ports.keys()].filter((port) => !named.has(port)).sort((a, b) => a - b);
  return [0, ...singled].flatMap((port) =>
    inboundChains(world, scope, {
      port,
      protocol: 'unsupported',
      cluster: inboundPassthroughCluster,
      chainNames: { http: 'virtualInbound-catchall-http', tcp: 'virtualInbound' },
      statPrefix: `${inboundPassthroughCluster};`,
      statName: statNameOf(world, unregistered(''), 0, 'virtualInbound'),
      hostname: '',
      servicePort: 0,
      setting: port === 0 ? settings : settingOfPort(settings, port),
    }),
  );
}

/** Sorted by port: those of `Sidecar.ingress` if there are any, else those of Services. */
function namedPorts(world: World, scope: ProxyScope, settings: MutualTlsSettings): readonly NamedPort[] {
  const ingress = ingressPorts(world, scope);
  if (ingress.length === 0)
    return inboundTargets(world, scope)
      .filter(({ targetPort }) => !isProxyPort(world, targetPort))
      .map((target) => servicePort(world, scope, settings, target));
  return ingress
    .filter((port) => mayStand(scope, port))
    .map((port) => ingressPort(world, scope, settings, port))
    .sort((a, b) => a.port - b.port);
}

function servicePort(
  world: World,
  scope: ProxyScope,
  settings: MutualTlsSettings,
  target: InboundTarget,
): NamedPort {
  const { targetPort, service, port } = target;
  const binds = wildcards(scope);
  const name = listenerName(binds[0], targetPort);
  return {
    port: targetPort,
    protocol: port.protocol,
    cluster: inboundClusterName(targetPort),
    chainNames: { http: name, tcp: name },
    statPrefix: `inbound_${name};`,
    statName: statNameOf(world, service, port.servicePort, port.name),
    hostname: service.hostname,
    servicePort: port.servicePort,
    setting: settingOfPort(settings, targetPort),
    origin: service.origin,
    binds,
    bindToPort: false,
  };
}

/** Its hostname, for spans, is made of the Sidecar's name. */
function ingressPort(
  world: World,
  scope: ProxyScope,
  settings: MutualTlsSettings,
  ingress: IngressPort,
): NamedPort {
  const { port, portName, protocol, bind, bindToPort, tls, sidecar, origin } = ingress;
  const hostname = `${sidecar.name}.${sidecar.namespace}`;
  const binds: Binds = bind === '' ? instanceBinds(scope) : [bind];
  const name = listenerName(binds[0], port);
  return {
    port,
    protocol,
    cluster: inboundClusterName(port),
    chainNames: { http: name, tcp: name },
    statPrefix: `inbound_${name};`,
    statName: statNameOf(world, unregistered(hostname), port, portName),
    hostname,
    servicePort: port,
    setting: settingOfPort(settings, port),
    ...(tls === undefined ? {} : { tls }),
    config: sidecar,
    origin,
    binds,
    bindToPort,
  };
}

/** Not where the bootstrap's listeners stand, nor where the proxy may not listen. Source: Istio `CanBindToPort`. */
function mayStand(scope: ProxyScope, { port, bind, bindToPort, protocol }: IngressPort): boolean {
  if (bindToPort && scope.node.unprivileged === true && port < 1024) return false;
  const everywhere = bind === wildcards(scope)[0] || (bind === '' && isHttp(protocol));
  return !everywhere || !isBootstrapPort(port);
}

/** Of TCP. Source: Istio `BuildInboundStatPrefix`. */
function statNameOf(world: World, service: NamedService, port: number, portName: string): string | undefined {
  return statName(world.meshConfig().inboundClusterStatName, { service, subset: '', port, portName });
}
