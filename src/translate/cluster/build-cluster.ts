// From a cluster's input to the cluster. Pure: the same input gives the same bytes.
import { create } from '@bufbuild/protobuf';
import type { JsonObject, Message } from '@bufbuild/protobuf';
import {
  Cluster_DiscoveryType,
  Cluster_LbPolicy,
  ClusterSchema,
} from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterConfigSchema } from '../../api/gen/envoy/extensions/clusters/dynamic_forward_proxy/v3/cluster_pb.js';
import { HealthStatus } from '../../api/gen/envoy/config/core/v3/health_check_pb.js';
import { ApiVersion } from '../../api/gen/envoy/config/core/v3/config_source_pb.js';
import {
  allowAnyDynamicDnsCluster,
  blackHoleCluster,
  dnsSrvClusterName,
  formatClusterName,
  inboundClusterName,
  inboundPassthroughCluster,
  passthroughCluster,
} from '../../model/cluster-name.ts';
import { loadAssignment } from '../endpoint/load-assignment.ts';
import type { LocalityLb } from '../endpoint/locality-lb.ts';
import { weighsLocalities } from '../endpoint/locality-lb.ts';
import type { DnsCache } from '../dynamic-dns.ts';
import { allowAnyDnsCache, dnsCacheOf, dnsLookupFamily } from '../dynamic-dns.ts';
import { configMetadata, durationOfMs, pack } from '../proto-values.ts';
import type { ConfigIdentity } from '../proto-values.ts';
import type { Built, Provenance } from '../resource.ts';
import type {
  AddressFamily,
  BuiltInClusterInput,
  ClusterInput,
  InboundClusterInput,
  OutboundClusterInput,
  ServiceIdentity,
  UpstreamSecurity,
} from './cluster-input.ts';
import { addDnsJitter } from './dns-jitter.ts';
import { httpProtocolOptions, passthroughProtocolOptions, speaksHttp2 } from './http-options.ts';
import { metadataExchangeFilter } from './metadata-exchange.ts';
import type { ClusterInit } from './traffic-policy.ts';
import { automaticNames, transportSockets } from './transport-sockets.ts';
import { circuitBreakers, connectionOptions, loadBalancing, outlierDetection } from './traffic-policy.ts';

type CommonLbConfig = Exclude<NonNullable<ClusterInit['commonLbConfig']>, Message>;

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
    case 'allow-any-dynamic-dns':
      return buildBuiltIn(input);
    default:
      return input satisfies never;
  }
}

function buildOutbound(input: OutboundClusterInput): Built<typeof ClusterSchema> {
  const name = input.isSniDnat ? dnsSrvClusterName(input.name) : formatClusterName(input.name);
  const { policy } = input.policy;
  const pool = policy.connectionPool;
  const outlier = outlierDetection(policy.outlierDetection);
  const isDynamicDns = input.discovery === 'DYNAMIC_DNS';
  const names = automaticNames(input.security, isDynamicDns);
  const http = {
    protocol: input.protocol,
    followsDownstream: input.followsDownstream,
    pool,
    upgradePolicy: input.upgradePolicy,
    names,
    keepsCase: input.keepsCase,
  };
  const isRaw = policy.tls?.mode !== 'SIMPLE' && policy.tls?.mode !== 'MUTUAL';
  const message = create(ClusterSchema, {
    name,
    altStatName: `${input.statName ?? name};`,
    ...discoveryOf(input, name),
    ...connectionOptions(pool, input.defaults),
    circuitBreakers: circuitBreakers(pool, policy.retryBudget),
    ...(outlier === undefined ? {} : { outlierDetection: outlier }),
    ...balancingOf(input),
    ...(isDynamicDns ? {} : { commonLbConfig: commonLbConfig(input) }),
    ...transportSockets(
      input.security,
      input.isSniDnat ? undefined : policy.proxyProtocol,
      speaksHttp2(http),
    ),
    typedExtensionProtocolOptions: httpProtocolOptions(http),
    ...(input.exchangesMetadata ? { filters: [metadataExchangeFilter()] } : {}),
    metadata: metadataOf([input.service], {
      destinationRule: input.destinationRule,
      subset: input.name.subset,
      // Istio marks the whole service's cluster alone.
      external: input.meshExternal && input.name.subset === '',
      keepsAlpn: !isRaw,
    }),
  });
  if (input.discovery === 'STRICT_DNS' || input.discovery === 'LOGICAL_DNS') addDnsJitter(message);
  return { name, message, provenance: outboundProvenance(input) };
}

/** Who has a session with an endpoint that is going away is still sent there. Source: Istio `buildOutboundClusters`. */
const statusesOfSessions = [
  HealthStatus.HEALTHY,
  HealthStatus.DRAINING,
  HealthStatus.UNKNOWN,
  HealthStatus.DEGRADED,
];

/** Panic is off unless the user asks for it: unready endpoints are among those that Envoy knows. */
function commonLbConfig(input: OutboundClusterInput): CommonLbConfig {
  const asked = input.policy.policy.outlierDetection?.minHealthPercent ?? 0;
  return {
    healthyPanicThreshold: { value: input.alwaysSendsUnready ? 0 : asked },
    ...(input.keepsDraining ? { overrideHostStatus: { statuses: [...statusesOfSessions] } } : {}),
    ...localityConfig(input.localityLb),
  };
}

function localityConfig(lb: LocalityLb | undefined): Pick<CommonLbConfig, 'localityConfigSpecifier'> {
  if (weighsLocalities(lb))
    return { localityConfigSpecifier: { case: 'localityWeightedLbConfig', value: {} } };
  if (lb?.zoneAware === undefined) return {};
  const { isEnabled, minClusterSize } = lb.zoneAware;
  return {
    localityConfigSpecifier: {
      case: 'zoneAwareLbConfig',
      value: {
        ...(isEnabled ? {} : { routingEnabled: { value: 0 } }),
        ...(minClusterSize === undefined ? {} : { minClusterSize: BigInt(minClusterSize) }),
      },
    },
  };
}

function buildInbound(input: InboundClusterInput): Built<typeof ClusterSchema> {
  const name = inboundClusterName(input.port);
  const pool = input.policy.policy.connectionPool;
  const message = create(ClusterSchema, {
    name,
    altStatName: `${input.statName ?? name};`,
    ...inboundDiscovery(input, name),
    ...connectionOptions(pool, input.defaults),
    circuitBreakers: circuitBreakers(pool, input.policy.policy.retryBudget),
    commonLbConfig: {},
    typedExtensionProtocolOptions: httpProtocolOptions({
      protocol: input.protocol,
      followsDownstream: input.protocol === 'unsupported',
      pool,
      keepsCase: input.keepsCase,
    }),
    ...(input.services.length === 0 && input.destinationRule === undefined
      ? {}
      : { metadata: metadataOf(input.services, { destinationRule: input.destinationRule }) }),
  });
  const { origins } = input.policy;
  const provenance: Provenance[] = [{ at: '', origin: input.origin }];
  if (origins.connectionPool !== undefined)
    provenance.push({ at: 'circuitBreakers', origin: origins.connectionPool });
  if (origins.retryBudget !== undefined)
    provenance.push({ at: 'circuitBreakers.thresholds[0].retryBudget', origin: origins.retryBudget });
  return { name, message, provenance };
}

function buildBuiltIn(input: BuiltInClusterInput): Built<typeof ClusterSchema> {
  const filters = input.exchangesMetadata ? { filters: [metadataExchangeFilter()] } : {};
  if (input.kind === 'black-hole') {
    const message = create(ClusterSchema, {
      name: blackHoleCluster,
      altStatName: `${blackHoleCluster};`,
      clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.STATIC },
      connectTimeout: durationOfMs(input.defaults.connectTimeoutMs),
      lbPolicy: Cluster_LbPolicy.ROUND_ROBIN,
    });
    return { name: blackHoleCluster, message, provenance: [] };
  }
  if (input.kind === 'allow-any-dynamic-dns') {
    const message = create(ClusterSchema, {
      name: allowAnyDynamicDnsCluster,
      altStatName: `${allowAnyDynamicDnsCluster};`,
      ...dynamicDnsDiscovery(allowAnyDnsCache(input.addressFamily), allowsUnnamed(input.security, true)),
      ...connectionOptions(undefined, input.defaults),
      circuitBreakers: circuitBreakers(),
      ...transportSockets(input.security, undefined, false),
      typedExtensionProtocolOptions: passthroughProtocolOptions(
        input.keepsCase,
        automaticNames(input.security, true),
      ),
      ...filters,
    });
    return { name: allowAnyDynamicDnsCluster, message, provenance: [] };
  }
  const isInbound = input.kind === 'inbound-passthrough';
  const name = isInbound ? inboundPassthroughCluster : passthroughCluster;
  const message = create(ClusterSchema, {
    name,
    altStatName: `${name};`,
    clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.ORIGINAL_DST },
    lbPolicy: Cluster_LbPolicy.CLUSTER_PROVIDED,
    ...connectionOptions(input.defaults.connectionPool, input.defaults),
    circuitBreakers: circuitBreakers(input.defaults.connectionPool),
    typedExtensionProtocolOptions: passthroughProtocolOptions(input.keepsCase),
    ...(isInbound ? { upstreamBindConfig: bindConfig(input.addressFamily) } : filters),
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
        dnsLookupFamily: dnsLookupFamily(input.addressFamily),
        loadAssignment: loadAssignment({
          name,
          endpoints: input.endpoints,
          ...(input.localityLb === undefined ? {} : { localityLb: input.localityLb }),
        }),
      };
    case 'DYNAMIC_DNS':
      return dynamicDnsDiscovery(
        dnsCacheOf(input.name.hostname, input.addressFamily),
        allowsUnnamed(input.security, input.security !== undefined),
      );
    default:
      return input.discovery satisfies never;
  }
}

/** Resolves what each request or connection asks for, in a cache that it shares with the filter before it. */
function dynamicDnsDiscovery(dnsCacheConfig: DnsCache, allowInsecureClusterOptions: boolean): ClusterInit {
  return {
    lbPolicy: Cluster_LbPolicy.CLUSTER_PROVIDED,
    clusterDiscoveryType: {
      case: 'clusterType',
      value: {
        name: 'envoy.clusters.dynamic_forward_proxy',
        typedConfig: pack(ClusterConfigSchema, {
          clusterImplementationSpecifier: { case: 'dnsCacheConfig', value: dnsCacheConfig },
          allowInsecureClusterOptions,
        }),
      },
    },
  };
}

/** Whether the upstream's name goes unchecked, which Envoy wants to be told of. */
function allowsUnnamed(security: UpstreamSecurity | undefined, mayLack: boolean): boolean {
  const names = automaticNames(security, true);
  return mayLack && (names?.autoSni !== true || names.autoSanValidation !== true);
}

function balancingOf(input: OutboundClusterInput): ClusterInit {
  if (input.discovery === 'DYNAMIC_DNS') return {};
  return input.discovery === 'ORIGINAL_DST'
    ? { lbPolicy: Cluster_LbPolicy.CLUSTER_PROVIDED }
    : loadBalancing(input.policy.policy.loadBalancer);
}

/** Where the app is said to listen; otherwise at the address that the client called, asked from 127.0.0.6. */
function inboundDiscovery(input: InboundClusterInput, name: string): ClusterInit {
  const { app } = input;
  if (app === undefined)
    return {
      clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.ORIGINAL_DST },
      lbPolicy: Cluster_LbPolicy.CLUSTER_PROVIDED,
      cleanupInterval: { seconds: foreverSeconds },
      upstreamBindConfig: bindConfig(input.addressFamily),
    };
  const address = app.address.startsWith('unix://')
    ? ({ case: 'pipe', value: { path: app.address.slice('unix://'.length) } } as const)
    : ({ case: 'socketAddress', value: socketAddress(app.address, app.port) } as const);
  return {
    clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.STATIC },
    lbPolicy: Cluster_LbPolicy.ROUND_ROBIN,
    loadAssignment: {
      clusterName: name,
      endpoints: [
        { lbEndpoints: [{ hostIdentifier: { case: 'endpoint', value: { address: { address } } } }] },
      ],
    },
    // At the pod's own address iptables would hand the connection back to the proxy.
    ...(input.bindsUpstream ? { upstreamBindConfig: bindConfig(input.addressFamily) } : {}),
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
    /** TLS as a rule says: the ALPN list is the cluster's, not the request's. */
    readonly keepsAlpn?: boolean;
  },
): NonNullable<ClusterInit['metadata']> {
  const istio: JsonObject = {
    services: services.map(({ host, name, namespace }) => ({ host, name, namespace })),
  };
  if (about.external === true) istio['external'] = true;
  if (about.keepsAlpn === true) istio['alpn_override'] = 'false';
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
  add('transportSocket', origins.proxyProtocol);
  add('transportSocket', origins.tls);
  return parts;
}
