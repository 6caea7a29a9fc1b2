// From a cluster's input to the cluster. Pure: the same input gives the same bytes.
import { create } from '@bufbuild/protobuf';
import type { JsonObject } from '@bufbuild/protobuf';
import {
  Cluster_DiscoveryType,
  Cluster_DnsLookupFamily,
  Cluster_LbPolicy,
  ClusterSchema,
} from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { ApiVersion } from '../../api/gen/envoy/config/core/v3/config_source_pb.js';
import {
  blackHoleCluster,
  formatClusterName,
  inboundPassthroughCluster,
  passthroughCluster,
} from '../../model/cluster-name.ts';
import { loadAssignment } from '../endpoint/load-assignment.ts';
import { weighsLocalities } from '../endpoint/locality-failover.ts';
import { configMetadata, durationOfMs } from '../proto-values.ts';
import type { ConfigIdentity } from '../proto-values.ts';
import type { Built, Provenance } from '../resource.ts';
import type {
  AddressFamily,
  BuiltInClusterInput,
  ClusterInput,
  InboundClusterInput,
  OutboundClusterInput,
  ServiceIdentity,
} from './cluster-input.ts';
import { httpProtocolOptions, passthroughProtocolOptions } from './http-options.ts';
import type { ClusterInit } from './traffic-policy.ts';
import { circuitBreakers, connectionOptions, loadBalancing, outlierDetection } from './traffic-policy.ts';

/** Source of connections to the app itself, by which iptables knows the proxy's own (T08). */
export const inboundBindAddresses = { v4: '127.0.0.6', v6: '::6' } as const;

/** The longest duration that Envoy takes, in whole seconds: inbound hosts are never cleaned up. */
const foreverSeconds = 9_223_372_035n;

export function buildCluster(input: ClusterInput): Built<typeof ClusterSchema> {
  switch (input.kind) {
    case 'outbound':
      return buildOutbound(input);
    case 'inbound':
      return buildInbound(input);
    case 'black-hole':
    case 'passthrough':
    case 'inbound-passthrough':
      return buildBuiltIn(input);
    default:
      return input satisfies never;
  }
}

/** `inbound|8080||`: only the port, so that a change of Services does not cut connections. */
export function inboundClusterName(targetPort: number): string {
  return formatClusterName({ direction: 'inbound', servicePort: targetPort, subset: '', hostname: '' });
}

function buildOutbound(input: OutboundClusterInput): Built<typeof ClusterSchema> {
  const name = formatClusterName(input.name);
  const { policy } = input.policy;
  const outlier = outlierDetection(policy.outlierDetection);
  const message = create(ClusterSchema, {
    name,
    altStatName: `${name};`,
    ...discoveryOf(input, name),
    ...connectionOptions(policy.connectionPool, durationOfMs(input.connectTimeoutMs)),
    circuitBreakers: circuitBreakers(policy.connectionPool, policy.retryBudget),
    ...(outlier === undefined ? {} : { outlierDetection: outlier }),
    ...balancingOf(input),
    // Panic is off unless the user asks for it: unready endpoints are among those that Envoy knows.
    commonLbConfig: {
      healthyPanicThreshold: { value: policy.outlierDetection?.minHealthPercent ?? 0 },
      ...(weighsLocalities(input.policy)
        ? { localityConfigSpecifier: { case: 'localityWeightedLbConfig', value: {} } }
        : {}),
    },
    typedExtensionProtocolOptions: httpProtocolOptions({
      protocol: input.protocol,
      followsDownstream: input.followsDownstream,
      pool: policy.connectionPool,
      mayUpgrade: true,
    }),
    metadata: metadataOf([input.service], {
      destinationRule: input.destinationRule,
      subset: input.name.subset,
      // Istio marks the whole service's cluster alone.
      external: input.meshExternal && input.name.subset === '',
    }),
  });
  return { name, message, provenance: outboundProvenance(input) };
}

function buildInbound(input: InboundClusterInput): Built<typeof ClusterSchema> {
  const name = inboundClusterName(input.targetPort);
  const pool = input.policy.policy.connectionPool;
  const message = create(ClusterSchema, {
    name,
    altStatName: `${name};`,
    ...inboundDiscovery(input, name),
    ...connectionOptions(pool, durationOfMs(input.connectTimeoutMs)),
    circuitBreakers: circuitBreakers(pool),
    commonLbConfig: {},
    typedExtensionProtocolOptions: httpProtocolOptions({
      protocol: input.protocol,
      followsDownstream: input.protocol === 'unsupported',
      pool,
      mayUpgrade: false,
    }),
    metadata: metadataOf(input.services, { destinationRule: input.destinationRule }),
  });
  const { origins } = input.policy;
  const provenance: Provenance[] = [{ at: '', origin: input.serviceOrigin }];
  if (origins.connectionPool !== undefined)
    provenance.push({ at: 'circuitBreakers', origin: origins.connectionPool });
  return { name, message, provenance };
}

function buildBuiltIn(input: BuiltInClusterInput): Built<typeof ClusterSchema> {
  const connectTimeout = durationOfMs(input.connectTimeoutMs);
  if (input.kind === 'black-hole') {
    const message = create(ClusterSchema, {
      name: blackHoleCluster,
      altStatName: `${blackHoleCluster};`,
      clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.STATIC },
      connectTimeout,
      lbPolicy: Cluster_LbPolicy.ROUND_ROBIN,
    });
    return { name: blackHoleCluster, message, provenance: [] };
  }
  const isInbound = input.kind === 'inbound-passthrough';
  const name = isInbound ? inboundPassthroughCluster : passthroughCluster;
  const message = create(ClusterSchema, {
    name,
    altStatName: `${name};`,
    clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.ORIGINAL_DST },
    connectTimeout,
    lbPolicy: Cluster_LbPolicy.CLUSTER_PROVIDED,
    circuitBreakers: circuitBreakers(),
    typedExtensionProtocolOptions: passthroughProtocolOptions(),
    ...(isInbound ? { upstreamBindConfig: bindConfig(input.addressFamily) } : {}),
  });
  return { name, message, provenance: [] };
}

function discoveryOf(input: OutboundClusterInput, name: string): ClusterInit {
  const type = (value: Cluster_DiscoveryType): ClusterInit => ({
    clusterDiscoveryType: { case: 'type', value },
  });
  switch (input.discovery) {
    case 'EDS':
      return {
        ...type(Cluster_DiscoveryType.EDS),
        edsClusterConfig: {
          serviceName: name,
          edsConfig: {
            configSourceSpecifier: { case: 'ads', value: {} },
            // 0: wait for as long as it takes, rather than go without endpoints.
            initialFetchTimeout: durationOfMs(0),
            resourceApiVersion: ApiVersion.V3,
          },
        },
      };
    case 'ORIGINAL_DST':
      return {
        ...type(Cluster_DiscoveryType.ORIGINAL_DST),
        ...(input.upstreamPort === undefined
          ? {}
          : {
              lbConfig: { case: 'originalDstLbConfig', value: { upstreamPortOverride: input.upstreamPort } },
            }),
      };
    case 'STRICT_DNS':
    case 'LOGICAL_DNS':
      return {
        ...type(
          input.discovery === 'STRICT_DNS'
            ? Cluster_DiscoveryType.STRICT_DNS
            : Cluster_DiscoveryType.LOGICAL_DNS,
        ),
        dnsRefreshRate: durationOfMs(input.dnsRefreshRateMs),
        respectDnsTtl: true,
        dnsLookupFamily:
          input.addressFamily === 'v6' ? Cluster_DnsLookupFamily.V6_ONLY : Cluster_DnsLookupFamily.V4_ONLY,
        loadAssignment: loadAssignment({
          name,
          endpoints: input.endpoints,
          ...(input.failover === undefined ? {} : { failover: input.failover }),
        }),
      };
    default:
      return input.discovery satisfies never;
  }
}

function balancingOf(input: OutboundClusterInput): ClusterInit {
  return input.discovery === 'ORIGINAL_DST'
    ? { lbPolicy: Cluster_LbPolicy.CLUSTER_PROVIDED }
    : loadBalancing(input.policy.policy.loadBalancer);
}

/** LOOPBACK: the app listens elsewhere. Otherwise at the address that the client called, asked from 127.0.0.6. */
function inboundDiscovery(input: InboundClusterInput, name: string): ClusterInit {
  const { appAddress, targetPort } = input;
  if (appAddress !== undefined) {
    const address = { case: 'socketAddress', value: socketAddress(appAddress, targetPort) } as const;
    return {
      clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.STATIC },
      lbPolicy: Cluster_LbPolicy.ROUND_ROBIN,
      loadAssignment: {
        clusterName: name,
        endpoints: [
          { lbEndpoints: [{ hostIdentifier: { case: 'endpoint', value: { address: { address } } } }] },
        ],
      },
    };
  }
  return {
    clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.ORIGINAL_DST },
    lbPolicy: Cluster_LbPolicy.CLUSTER_PROVIDED,
    cleanupInterval: { seconds: foreverSeconds },
    upstreamBindConfig: bindConfig(input.addressFamily),
  };
}

function bindConfig(family: AddressFamily): NonNullable<ClusterInit['upstreamBindConfig']> {
  return {
    sourceAddress: socketAddress(family === 'v6' ? inboundBindAddresses.v6 : inboundBindAddresses.v4, 0),
    ...(family === 'dual'
      ? { extraSourceAddresses: [{ address: socketAddress(inboundBindAddresses.v6, 0) }] }
      : {}),
  };
}

function socketAddress(address: string, port: number) {
  return { address, portSpecifier: { case: 'portValue', value: port } } as const;
}

function metadataOf(
  services: readonly ServiceIdentity[],
  about: {
    readonly destinationRule?: ConfigIdentity | undefined;
    readonly subset?: string;
    readonly external?: boolean;
  },
): NonNullable<ClusterInit['metadata']> {
  const istio: JsonObject = {
    services: services.map(({ host, name, namespace }) => ({ host, name, namespace })),
  };
  if (about.external === true) istio['external'] = true;
  if (about.destinationRule !== undefined) {
    const config = configMetadata(about.destinationRule).filterMetadata['istio']?.['config'];
    if (config !== undefined) istio['config'] = config;
    if (about.subset !== undefined && about.subset !== '') istio['subset'] = about.subset;
  }
  return { filterMetadata: { istio } };
}

/** Which field of which rule each part of the cluster came from. */
function outboundProvenance(input: OutboundClusterInput): readonly Provenance[] {
  const { origins } = input.policy;
  const parts: Provenance[] = [{ at: '', origin: input.serviceOrigin }];
  const add = (at: string, origin: OutboundClusterInput['subsetOrigin']): void => {
    if (origin !== undefined) parts.push({ at, origin });
  };
  if (input.subsetOrigin === undefined)
    for (const origin of input.destinationRuleOrigins) add('metadata', origin);
  else add('metadata', input.subsetOrigin);
  add('circuitBreakers', origins.connectionPool);
  add('circuitBreakers.thresholds[0].retryBudget', origins.retryBudget);
  add('outlierDetection', origins.outlierDetection);
  add('lbPolicy', origins.loadBalancer);
  return parts;
}
