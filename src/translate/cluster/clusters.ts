// The clusters of a proxy (CDS).
import { ClusterSchema } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import {
  allowAnyDynamicDnsCluster,
  blackHoleCluster,
  inboundPassthroughCluster,
  passthroughCluster,
} from '../../model/cluster-name.ts';
import { proxyHeadersOf } from '../proxy-headers.ts';
import type { ProxyScope, ResourceKind } from '../resource.ts';
import { kindOfParts } from '../resource.ts';
import { outboundTrafficPolicyOf } from '../scope.ts';
import { destinationScope } from '../views.ts';
import type { World } from '../world.ts';
import { buildCluster } from './build-cluster.ts';
import type { TlsDefaults } from '../../config/mesh-config.ts';
import type { ClientTls } from '../tls/upstream-tls.ts';
import type { BuiltInClusterInput, ClusterInput, UpstreamSecurity } from './cluster-input.ts';
import { addressFamilyOf } from './cluster-input.ts';
import { inboundClusterInput, inboundClusterNames } from './inbound-clusters.ts';
import { exchangesMetadata } from './metadata-exchange.ts';
import { outboundClusterInput, outboundClusterNames, upstreamDefaults } from './outbound-clusters.ts';

const builtInKinds: Readonly<Record<string, BuiltInClusterInput['kind']>> = {
  [blackHoleCluster]: 'black-hole',
  [passthroughCluster]: 'passthrough',
  [inboundPassthroughCluster]: 'inbound-passthrough',
  [allowAnyDynamicDnsCluster]: 'allow-any-dynamic-dns',
};

/**
 * Outbound clusters of everything that the proxy sees; for sidecars also the inbound ones and the ones
 * for traffic that nothing describes. Routers have no passthrough, as they capture nothing (C3.15).
 */
export const clusters: ResourceKind<ClusterInput, typeof ClusterSchema> = kindOfParts<
  ClusterInput,
  typeof ClusterSchema
>({ schema: ClusterSchema, shortName: 'CDS', build: buildCluster }, [
  {
    name: 'in',
    viewOf: (_world, scope) => (scope.node.type === 'sidecar' ? scope : undefined),
    names: (world, scope) => inboundClusterNames(world, scope).toSorted(),
    input: inboundClusterInput,
  },
  {
    name: 'out',
    viewOf: destinationScope,
    names: (world, view) =>
      [...new Set([...outboundClusterNames(world, view), ...builtInNames(world, view)])].sort(),
    input(world, view, name) {
      if (builtInNames(world, view).includes(name)) return builtIn(world, view, name);
      return outboundClusterInput(world, view, name);
    },
  },
]);

function builtInNames(world: World, scope: ProxyScope): readonly string[] {
  if (scope.node.type === 'router') return [blackHoleCluster];
  const asked = outboundTrafficPolicyOf(world, scope) === 'ALLOW_ANY_DYNAMIC_DNS';
  return [
    blackHoleCluster,
    passthroughCluster,
    inboundPassthroughCluster,
    ...(asked ? [allowAnyDynamicDnsCluster] : []),
  ];
}

function builtIn(world: World, scope: ProxyScope, name: string): BuiltInClusterInput | undefined {
  const kind = builtInKinds[name];
  if (kind === undefined) return undefined;
  const { outboundTls: tls, tlsDefaults } = world.meshConfig();
  const security =
    kind === 'allow-any-dynamic-dns' && tls !== undefined ? dynamicTls(tls, tlsDefaults) : undefined;
  return {
    kind,
    ...(security === undefined ? {} : { security }),
    defaults: upstreamDefaults(world),
    addressFamily: addressFamilyOf(scope.node.ipAddresses),
    keepsCase: proxyHeadersOf(world, scope).keepsCase,
    exchangesMetadata: exchangesMetadata(scope),
  };
}

/** To whatever name is asked for, by that name unless another is written. Source: Istio `buildAllowAnyDFPCluster`. */
function dynamicTls(tls: ClientTls, defaults: TlsDefaults): UpstreamSecurity | undefined {
  const { mode = 'DISABLE', sni = '', subjectAltNames = [] } = tls;
  switch (mode) {
    case 'DISABLE':
      return undefined;
    case 'ISTIO_MUTUAL':
      return { kind: 'mutual-tls', sni, subjectAltNames, isAutomatic: false };
    case 'SIMPLE':
    case 'MUTUAL':
      return { kind: 'client-tls', tls, defaults, isNamed: subjectAltNames.length > 0 };
    default:
      return mode satisfies never;
  }
}
