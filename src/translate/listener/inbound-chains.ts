// The chains of one inbound port: HTTP or TCP, plain, with mutual TLS, or with TLS of a Sidecar's own.
import type { Origin } from '../../model/origin.ts';
import { isHttp, isHttp2 } from '../../model/protocol.ts';
import type { Protocol } from '../../model/service.ts';
import { exchangesMetadata } from '../cluster/metadata-exchange.ts';
import type { ModeSetting } from '../mtls/mutual-tls-mode.ts';
import type { ConfigIdentity } from '../proto-values.ts';
import type { ProxyScope } from '../resource.ts';
import type { ServerTls } from '../tls/downstream-tls.ts';
import type { World } from '../world.ts';
import { inboundMatches } from './inbound-matches.ts';
import type { InboundMatch } from './inbound-matches.ts';
import type { ChainInput, ChainReason, ChainTlsInput } from './listener-input.ts';
import { managerSettings, mongoOf, plainTcp } from './network-filters.ts';

/** An inbound port, or all those that nothing names. */
export interface InboundPort {
  /** 0: every port without chains of its own. */
  readonly port: number;
  readonly protocol: Protocol;
  readonly cluster: string;
  /** Of the chain that reads HTTP, and of the others. */
  readonly chainNames: Readonly<Record<'http' | 'tcp', string>>;
  /** Of the connection manager. */
  readonly statPrefix: string;
  /** Of TCP, where the mesh has a pattern for it; else it is the cluster's. */
  readonly statName: string | undefined;
  /** The service, and its port, after which spans and virtual hosts are named; empty and 0 where there is none. */
  readonly hostname: string;
  readonly servicePort: number;
  readonly setting: ModeSetting;
  /** What a Sidecar's ingress says of TLS. It counts where mutual TLS is off. */
  readonly tls?: ServerTls;
  readonly config?: ConfigIdentity;
  readonly origin?: Origin;
}

/** Source: Istio `buildInboundListeners`, `inboundChainForOpts`. */
export function inboundChains(world: World, scope: ProxyScope, port: InboundPort): readonly ChainInput[] {
  const { tls, setting, protocol } = port;
  if (tls !== undefined && setting.mode === 'DISABLE') return [ownTlsChain(world, scope, port, tls)];
  return inboundMatches(setting.mode, protocol, scope.node.workloadCertificates).map((match) =>
    chainOf(world, scope, port, match),
  );
}

function ownTlsChain(world: World, scope: ProxyScope, port: InboundPort, settings: ServerTls): ChainInput {
  const reads = isHttp(port.protocol) ? 'http' : 'tcp';
  return {
    ...chainOf(world, scope, port, { reads, mutualTls: false, match: { transportProtocol: 'tls' } }),
    reason: reads === 'http' ? 'inbound-tls-http' : 'inbound-tls-tcp',
    tls: {
      kind: 'server',
      settings,
      options: { isTcp: reads === 'tcp', defaults: world.meshConfig().tlsDefaults },
    },
  };
}

function chainOf(
  world: World,
  scope: ProxyScope,
  port: InboundPort,
  { reads, mutualTls, match }: InboundMatch,
): ChainInput {
  const origin = port.origin ?? port.setting.origin;
  const exchanges = exchangesMetadata(scope);
  const retries = world.meshConfig().defaultInboundHttpRetryPolicy;
  return {
    reason: reasonOf(port, reads, mutualTls, match.transportProtocol === 'tls'),
    name: port.chainNames[reads],
    match: { ...(port.port === 0 ? {} : { destinationPort: port.port }), ...match },
    ...(mutualTls ? { tls: workloadTls(world, reads === 'tcp' && exchanges) } : {}),
    ...(exchanges ? { metadataExchange: true } : {}),
    filter:
      reads === 'tcp'
        ? {
            ...plainTcp(world, scope, port.cluster),
            ...(port.statName === undefined ? {} : { statPrefix: port.statName }),
            ...mongoOf(port.protocol),
          }
        : {
            kind: 'http',
            side: 'inbound',
            statPrefix: port.statPrefix,
            routes: {
              inline: {
                cluster: port.cluster,
                hostname: port.hostname,
                servicePort: port.servicePort,
                grpc: port.protocol === 'GRPC' || port.protocol === 'GRPC-Web',
                ...(retries === undefined ? {} : { retries }),
              },
            },
            http2: isHttp2(port.protocol),
            ...(port.protocol === 'GRPC-Web' ? { grpcWeb: true } : {}),
            ...managerSettings(world, scope),
          },
    ...(port.config === undefined ? {} : { config: port.config }),
    ...(origin === undefined ? {} : { origin }),
  };
}

/**
 * Clients of the mesh's own trust domain, and of those that it counts as its own, are let in. `isTcp`: whether the
 * exchange of metadata is offered. Where nothing would read it, its bytes would go to the application.
 */
function workloadTls(world: World, isTcp: boolean): ChainTlsInput {
  const { trustDomain, trustDomainAliases, meshMtls } = world.meshConfig();
  return { kind: 'workload', isTcp, trustDomains: [trustDomain, ...trustDomainAliases], meshMtls };
}

function reasonOf(port: InboundPort, reads: 'http' | 'tcp', mutualTls: boolean, isTls: boolean): ChainReason {
  if (port.port === 0 || port.hostname === '')
    return reads === 'http' ? 'passthrough-http' : 'passthrough-tcp';
  if (mutualTls) return reads === 'http' ? 'inbound-mutual-tls-http' : 'inbound-mutual-tls-tcp';
  if (isTls) return 'inbound-tls-passthrough';
  return reads === 'http' ? 'inbound-plaintext-http' : 'inbound-plaintext-tcp';
}
