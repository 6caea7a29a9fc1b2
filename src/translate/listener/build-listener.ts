// ListenerInput -> Listener with its provenance.
import type { MessageInitShape } from '@bufbuild/protobuf';
import { create } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import type { Address } from '../../api/gen/envoy/config/core/v3/address_pb.js';
import { AddressSchema } from '../../api/gen/envoy/config/core/v3/address_pb.js';
import { TrafficDirection } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import type {
  FilterChain,
  FilterChainMatch,
  ListenerFilterChainMatchPredicate,
} from '../../api/gen/envoy/config/listener/v3/listener_components_pb.js';
import {
  FilterChainMatchSchema,
  FilterChainSchema,
  FilterSchema,
  ListenerFilterChainMatchPredicateSchema,
  ListenerFilterSchema,
} from '../../api/gen/envoy/config/listener/v3/listener_components_pb.js';
import { ListenerSchema } from '../../api/gen/envoy/config/listener/v3/listener_pb.js';
import { HttpInspectorSchema } from '../../api/gen/envoy/extensions/filters/listener/http_inspector/v3/http_inspector_pb.js';
import { OriginalSrcSchema } from '../../api/gen/envoy/extensions/filters/listener/original_src/v3/original_src_pb.js';
import { OriginalDstSchema } from '../../api/gen/envoy/extensions/filters/listener/original_dst/v3/original_dst_pb.js';
import { ProxyProtocolSchema } from '../../api/gen/envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol_pb.js';
import { TlsInspectorSchema } from '../../api/gen/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector_pb.js';
import { parseCidr } from '../../model/cidr.ts';
import { metadataExchangeFilter } from '../cluster/metadata-exchange.ts';
import { configMetadata, durationOfMs, packOnce } from '../proto-values.ts';
import type { Built, Provenance } from '../resource.ts';
import { serverTlsSocket, workloadTlsSocket } from '../tls/downstream-tls.ts';
import type { TransportSocketInit } from '../tls/tls-context.ts';
import { buildAccessLog } from './access-log.ts';
import { buildHttpConnectionManager, httpConnectionManagerName } from './http-connection-manager.ts';
import type {
  ChainInput,
  ChainMatchInput,
  ChainTlsInput,
  InspectedPorts,
  ListenerInput,
  SocketAddressInput,
} from './listener-input.ts';
import { buildMongoProxy, mongoProxyName } from './mongo-proxy.ts';
import { buildServerNameLookup, buildTcpProxy, serverNameLookupName, tcpProxyName } from './tcp-proxy.ts';

export function buildListener(input: ListenerInput): Built<typeof ListenerSchema> {
  const { defaultChain, accessLog } = input;
  const message = create(ListenerSchema, {
    name: input.name,
    address: addressOf(input.address),
    additionalAddresses: input.additionalAddresses.map((address) => ({ address: addressOf(address) })),
    trafficDirection: input.direction === 'INBOUND' ? TrafficDirection.INBOUND : TrafficDirection.OUTBOUND,
    filterChains: input.chains.map((chain) => buildChain(chain, input.transportSocketConnectTimeoutMs)),
    ...(defaultChain === undefined ? {} : { defaultFilterChain: buildChain(defaultChain) }),
    listenerFilters: listenerFilters(input),
    continueOnListenerFiltersTimeout: input.continueOnListenerFiltersTimeout,
    ...(input.listenerFiltersTimeoutMs === undefined
      ? {}
      : { listenerFiltersTimeout: durationOfMs(input.listenerFiltersTimeoutMs) }),
    ...(input.bindToPort ? {} : { bindToPort: false }),
    ...(input.useOriginalDst ? { useOriginalDst: true } : {}),
    ...(input.transparent ? { transparent: true } : {}),
    // A connection without a chain reaches no filter: the listener itself must log it.
    accessLog: accessLog === undefined ? [] : [buildAccessLog(accessLog, ['NR'])],
  });
  return { name: input.name, message, provenance: provenanceOf(input) };
}

function buildChain(input: ChainInput, handshakeTimeoutMs?: number): FilterChain {
  const match = matchOf(input.match);
  const transportSocket = input.tls === undefined ? undefined : transportSocketOf(input.tls);
  return create(FilterChainSchema, {
    name: input.name,
    ...(match === undefined ? {} : { filterChainMatch: match }),
    ...(transportSocket === undefined ? {} : { transportSocket }),
    ...(handshakeTimeoutMs === undefined
      ? {}
      : { transportSocketConnectTimeout: durationOfMs(handshakeTimeoutMs) }),
    filters: filtersOf(input),
    ...(input.config === undefined ? {} : { metadata: configMetadata(input.config) }),
  });
}

function filtersOf({ filter, metadataExchange }: ChainInput): MessageInitShape<typeof FilterSchema>[] {
  const named = (name: string, value: Any): MessageInitShape<typeof FilterSchema> => ({
    name,
    configType: { case: 'typedConfig', value },
  });
  // First, so that whatever refuses the connection knows whose it is.
  const first = metadataExchange === true ? [exchangeFilter()] : [];
  if (filter.kind === 'http')
    return [...first, named(httpConnectionManagerName, buildHttpConnectionManager(filter))];
  const lookup = filter.serverNameLookup;
  return [
    ...first,
    ...(lookup === undefined ? [] : [named(serverNameLookupName, buildServerNameLookup(lookup))]),
    ...(filter.mongo === true ? [named(mongoProxyName, buildMongoProxy(filter.statPrefix))] : []),
    named(tcpProxyName, buildTcpProxy(filter)),
  ];
}

function exchangeFilter(): MessageInitShape<typeof FilterSchema> {
  const { name, typedConfig } = metadataExchangeFilter();
  return {
    ...(name === undefined ? {} : { name }),
    ...(typedConfig === undefined ? {} : { configType: { case: 'typedConfig', value: typedConfig } }),
  };
}

function transportSocketOf(tls: ChainTlsInput): TransportSocketInit | undefined {
  return tls.kind === 'workload' ? workloadTlsSocket(tls) : serverTlsSocket(tls.settings, tls.options);
}

/** Undefined: everything. */
function matchOf(match: ChainMatchInput): FilterChainMatch | undefined {
  if (Object.keys(match).length === 0) return undefined;
  return create(FilterChainMatchSchema, {
    ...(match.destinationPort === undefined ? {} : { destinationPort: match.destinationPort }),
    prefixRanges: (match.prefixRanges ?? []).flatMap((text) => {
      const cidr = parseCidr(text);
      return cidr === undefined ? [] : [{ addressPrefix: cidr.address, prefixLen: cidr.prefixLength }];
    }),
    serverNames: [...(match.serverNames ?? [])],
    transportProtocol: match.transportProtocol ?? '',
    applicationProtocols: [...(match.applicationProtocols ?? [])],
  });
}

const proxyProtocolConfig = packOnce(ProxyProtocolSchema, {});
const originalDstConfig = packOnce(OriginalDstSchema, {});
// The mark by which the routing rules of TPROXY know the proxy's own connections.
const originalSrcConfig = packOnce(OriginalSrcSchema, { mark: 1337 });
// Most hellos fit; a buffer per connection of Envoy's 64 KiB would be a burden.
const tlsInspectorConfig = packOnce(TlsInspectorSchema, { initialReadBufferSize: 512 });
const httpInspectorConfig = packOnce(HttpInspectorSchema, {});

/** What the chains need to know of a connection, in the order in which it must be found out. */
function listenerFilters(input: ListenerInput): MessageInitShape<typeof ListenerFilterSchema>[] {
  const filters: MessageInitShape<typeof ListenerFilterSchema>[] = [];
  const add = (name: string, config: Any, filterDisabled?: ListenerFilterChainMatchPredicate): void => {
    filters.push({
      name: `envoy.filters.listener.${name}`,
      configType: { case: 'typedConfig', value: config },
      ...(filterDisabled === undefined ? {} : { filterDisabled }),
    });
  };
  // Before anything else: what follows the header is the client's.
  if (input.proxyProtocol === true) add('proxy_protocol', proxyProtocolConfig());
  // First of the others, for ports are matched against the original destination.
  if (input.originalDstFilter) add('original_dst', originalDstConfig());
  if (input.originalSrcFilter === true) add('original_src', originalSrcConfig());
  // Before HTTP is looked for: what is TLS is not looked at any further.
  if (input.tlsInspector)
    add(
      'tls_inspector',
      tlsInspectorConfig(),
      input.tlsInspectorPorts === undefined ? undefined : disabledOutside(input.tlsInspectorPorts),
    );
  if (input.httpInspector)
    add('http_inspector', httpInspectorConfig(), portPredicate(input.httpInspectorDisabledPorts));
  return filters;
}

function disabledOutside({ on, ports }: InspectedPorts): ListenerFilterChainMatchPredicate | undefined {
  const rule = portPredicate(ports);
  if (on === 'all-but' || rule === undefined) return rule;
  return create(ListenerFilterChainMatchPredicateSchema, { rule: { case: 'notMatch', value: rule } });
}

/** Undefined for no ports. */
function portPredicate(ports: readonly number[]): ListenerFilterChainMatchPredicate | undefined {
  const rules = ports.map((port) =>
    create(ListenerFilterChainMatchPredicateSchema, {
      rule: { case: 'destinationPortRange', value: { start: port, end: port + 1 } },
    }),
  );
  if (rules.length < 2) return rules[0];
  return create(ListenerFilterChainMatchPredicateSchema, { rule: { case: 'orMatch', value: { rules } } });
}

const unixPrefix = 'unix://';

function addressOf({ address, port }: SocketAddressInput): Address {
  if (address.startsWith(unixPrefix))
    return create(AddressSchema, {
      address: { case: 'pipe', value: { path: address.slice(unixPrefix.length) } },
    });
  return create(AddressSchema, {
    address: {
      case: 'socketAddress',
      value: { address, portSpecifier: { case: 'portValue', value: port } },
    },
  });
}

function provenanceOf(input: ListenerInput): readonly Provenance[] {
  const provenance: Provenance[] = [];
  if (input.origin !== undefined) provenance.push({ at: '', origin: input.origin });
  for (const [index, chain] of input.chains.entries())
    provenance.push(...chainProvenance(chain, `filterChains[${index}]`));
  if (input.defaultChain !== undefined)
    provenance.push(...chainProvenance(input.defaultChain, 'defaultFilterChain'));
  return provenance;
}

function chainProvenance(chain: ChainInput, at: string): readonly Provenance[] {
  const { origin, tlsOrigin } = chain;
  const own = [
    ...(origin === undefined ? [] : [{ at, origin }]),
    ...(tlsOrigin === undefined ? [] : [{ at: `${at}.transportSocket`, origin: tlsOrigin }]),
  ];
  if (chain.filter.kind === 'http') return own;
  const { serverNameLookup, mongo } = chain.filter;
  const before = [chain.metadataExchange === true, serverNameLookup !== undefined, mongo === true];
  const proxy = `${at}.filters[${before.filter((isThere) => isThere).length}]`;
  const clusters = chain.filter.clusters.flatMap(({ origin }, index) =>
    origin === undefined ? [] : [{ at: `${proxy}.weightedClusters.clusters[${index}]`, origin }],
  );
  return chain.filter.clusters.length > 1 ? [...own, ...clusters] : own;
}
