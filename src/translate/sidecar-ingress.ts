// Sidecar.ingress: the ports of a workload that its Sidecar names, in place of those that Services name.
import { originOf } from '../config/config.ts';
import type { SidecarSpec } from '../api/gen/istio-types.js';
import { originAt } from '../model/origin.ts';
import type { Origin } from '../model/origin.ts';
import { parseProtocol } from '../model/protocol.ts';
import type { Protocol } from '../model/service.ts';
import type { ConfigIdentity } from './proto-values.ts';
import type { ProxyScope } from './resource.ts';
import { sidecarOf } from './scope.ts';
import type { World } from './world.ts';

type Ingress = NonNullable<SidecarSpec['ingress']>[number];

/** One listener of `Sidecar.ingress`. */
export interface IngressPort {
  /** The port that the workload is reached on; the inbound cluster is named after it. */
  readonly port: number;
  readonly portName: string;
  /** What the application is spoken to in: HTTPS and TLS are HTTP and TCP where the sidecar ends TLS. */
  readonly protocol: Protocol;
  /** Empty: the address of the pod. */
  readonly bind: string;
  /** Whether the listener binds its port itself, since connections are not captured for it. */
  readonly bindToPort: boolean;
  /** As written: `127.0.0.1:8080`, `unix:///path`; empty: the port itself, at the address that was called. */
  readonly defaultEndpoint: string;
  readonly tls?: NonNullable<Ingress['tls']>;
  readonly connectionPool?: NonNullable<Ingress['connectionPool']>;
  readonly sidecar: ConfigIdentity;
  readonly origin: Origin;
}

/**
 * Empty where no Sidecar governs the proxy, or one that leaves ingress to Services. Of two listeners with one
 * port the first counts. Source: Istio `buildInboundChainConfigs`.
 */
export function ingressPorts(world: World, scope: ProxyScope): readonly IngressPort[] {
  const config = sidecarOf(world, scope);
  const ports = new Map<number, IngressPort>();
  for (const [index, ingress] of (config?.spec.ingress ?? []).entries()) {
    const port = ingress.port?.number;
    if (config === undefined || port === undefined || ports.has(port)) continue;
    const { version, namespace, name, spec } = config;
    const { bind = '', defaultEndpoint = '', captureMode = 'DEFAULT', tls } = ingress;
    const connectionPool = ingress.connectionPool ?? spec.inboundConnectionPool;
    const protocol = parseProtocol(ingress.port?.protocol ?? '');
    ports.set(port, {
      port,
      portName: ingress.port?.name ?? '',
      protocol: tls === undefined ? protocol : afterTls(protocol),
      bind,
      bindToPort: captureMode === 'DEFAULT' ? scope.node.interceptionMode === 'NONE' : captureMode === 'NONE',
      defaultEndpoint,
      ...(tls === undefined ? {} : { tls }),
      ...(connectionPool === undefined ? {} : { connectionPool }),
      sidecar: { kind: 'Sidecar', version, namespace, name },
      origin: originAt(originOf(config, 'spec', 'ingress'), index),
    });
  }
  return [...ports.values()];
}

/** Whether the proxy's Sidecar names its inbound ports, so that Services do not. */
export function hasIngress(world: World, scope: ProxyScope): boolean {
  return (sidecarOf(world, scope)?.spec.ingress ?? []).length > 0;
}

function afterTls(protocol: Protocol): Protocol {
  if (protocol === 'HTTPS') return 'HTTP';
  return protocol === 'TLS' ? 'TCP' : protocol;
}
