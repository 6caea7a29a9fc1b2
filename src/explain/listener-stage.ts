// From a connection to the filter chain that takes it: which listener, what its inspectors find out, which chain.
import type {
  FilterChain,
  FilterChainMatch,
} from '../api/gen/envoy/config/listener/v3/listener_components_pb.js';
import type { Listener } from '../api/gen/envoy/config/listener/v3/listener_pb.js';
import { TrafficDirection } from '../api/gen/envoy/config/core/v3/base_pb.js';
import { typeUrlOf } from '../api/any.ts';
import { HttpInspectorSchema } from '../api/gen/envoy/extensions/filters/listener/http_inspector/v3/http_inspector_pb.js';
import { TlsInspectorSchema } from '../api/gen/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector_pb.js';
import { FilterChainMatch_ConnectionSourceType as SourceType } from '../api/gen/envoy/config/listener/v3/listener_components_pb.js';
import { ConfigError } from '../proxy/config-error.ts';
import type { SocketAddress } from '../proxy/io/socket-address.ts';
import { socketAddress } from '../proxy/io/socket-address.ts';
import { findByDestination } from '../proxy/listener/by-destination.ts';
import { compileChainMatcher } from '../proxy/listener/filter-chain-match.ts';
import { readAddresses } from '../proxy/listener/listener.ts';
import { compileDisabled } from '../proxy/listener/listener-filters.ts';
import type { ClientTls } from './transport.ts';

/** A connection as its client opens it. */
export interface Connection {
  readonly destination: SocketAddress;
  readonly source: SocketAddress;
  readonly tls: ClientTls | undefined;
  /** What is said first inside (or, without TLS, at once). */
  readonly protocol: 'http/1.0' | 'http/1.1' | 'h2c' | 'tcp';
}

export interface FoundListener {
  readonly listener: Listener;
  readonly why: string;
}

export interface FoundChain {
  readonly chain: FilterChain;
  /** `filterChains[0]` or `defaultFilterChain`. */
  readonly at: string;
  readonly why: string;
}

interface Placed {
  readonly listener: Listener;
  readonly addresses: readonly SocketAddress[];
}

/** Where the system's redirection brings a captured connection, and what hands over from there. */
export function outboundListener(
  listeners: readonly Listener[],
  to: SocketAddress,
): FoundListener | undefined {
  const placed = placedListeners(listeners);
  const found = findByDestination(placed, to);
  if (found !== undefined) {
    const exact = found.addresses.some(({ address, port }) => address === to.address && port === to.port);
    const why = exact ? `for ${to.text}` : `port ${to.port} of every address (none is for ${to.text} alone)`;
    return { listener: found.listener, why };
  }
  const entry = listeners.find(
    (listener) => listener.useOriginalDst === true && listener.trafficDirection !== TrafficDirection.INBOUND,
  );
  if (entry === undefined) return undefined;
  return {
    listener: entry,
    why: `no listener is for ${to.text}, so it stays where captured connections arrive`,
  };
}

/** Where a connection to an address of the pod itself arrives: a listener that is bound there. */
export function boundListener(listeners: readonly Listener[], to: SocketAddress): FoundListener | undefined {
  const found = findByDestination(
    placedListeners(listeners).filter(({ listener }) => isBound(listener)),
    to,
  );
  return found === undefined ? undefined : { listener: found.listener, why: `it listens on ${to.text}` };
}

/** Where inbound connections are redirected to: the listener of the direction that finds their old destination out. */
export function inboundListener(listeners: readonly Listener[]): FoundListener | undefined {
  const listener = listeners.find(
    ({ trafficDirection, listenerFilters, bindToPort }) =>
      trafficDirection === TrafficDirection.INBOUND &&
      bindToPort !== false &&
      listenerFilters.some(({ name }) => name.endsWith('original_dst')),
  );
  return listener === undefined
    ? undefined
    : { listener, why: 'it takes every connection that comes to the pod' };
}

/** Addresses that listeners are bound to, for messages. */
export function boundAddresses(listeners: readonly Listener[]): readonly SocketAddress[] {
  return placedListeners(listeners).flatMap(({ listener, addresses }) =>
    isBound(listener) ? addresses : [],
  );
}

/** Throws ConfigError where the listener would be refused. */
export function chooseChain(
  listener: Listener,
  connection: Connection,
): { found: FoundChain | undefined; why: string } {
  const inspected = inspect(listener, connection);
  const matcher = compileChainMatcher<FoundChainPlace>(
    listener.filterChains.map((chain, index) => ({
      match: chain.filterChainMatch,
      chain: { chain, at: `filterChains[${index}]` },
      path: `filter_chains[${index}]`,
    })),
    listener.defaultFilterChain === undefined
      ? undefined
      : { chain: listener.defaultFilterChain, at: 'defaultFilterChain' },
  );
  const { chain: place, reason } = matcher.match({
    destination: connection.destination,
    source: connection.source,
    directSource: connection.source,
    ...inspected,
  });
  const only = reason === 'the only chain' && listener.filterChains.length > 1;
  const why = only ? 'the others ask for something else' : inWords(reason);
  return { found: place === undefined ? undefined : { ...place, why }, why };
}

type FoundChainPlace = Pick<FoundChain, 'chain' | 'at'>;

/** `port 9080, raw_buffer, ALPN http/1.1`; `any connection` for a chain that asks nothing. */
export function describeMatch(match: FilterChainMatch | undefined): string {
  if (match === undefined) return 'any connection';
  const parts = [
    match.destinationPort === undefined ? '' : `port ${match.destinationPort}`,
    match.prefixRanges
      .map(({ addressPrefix, prefixLen }) => `${addressPrefix}/${prefixLen ?? 0}`)
      .join(' or '),
    match.serverNames.length === 0 ? '' : `SNI ${match.serverNames.join(' or ')}`,
    match.transportProtocol === 'raw_buffer'
      ? 'plain text'
      : match.transportProtocol === 'tls'
        ? 'TLS'
        : match.transportProtocol,
    match.applicationProtocols.length === 0 ? '' : `protocol ${match.applicationProtocols.join(' or ')}`,
    match.sourceType === SourceType.ANY ? '' : `source ${SourceType[match.sourceType]}`,
    match.sourcePrefixRanges
      .map(({ addressPrefix, prefixLen }) => `from ${addressPrefix}/${prefixLen ?? 0}`)
      .join(' or '),
    match.sourcePorts.length === 0 ? '' : `from port ${match.sourcePorts.join(' or ')}`,
  ].filter((part) => part !== '');
  return parts.length === 0 ? 'any connection' : parts.join(', ');
}

/** What the matcher's own words mean to a person. */
function inWords(reason: string): string {
  return reason
    .replaceAll('destination_port ', 'port ')
    .replaceAll('destination_ip ', 'address ')
    .replaceAll('server_names ', 'SNI ')
    .replaceAll('transport_protocol raw_buffer', 'plain text')
    .replaceAll('transport_protocol tls', 'TLS')
    .replaceAll('application_protocols ', 'protocol ')
    .replaceAll('source_type ', 'source ')
    .replaceAll('there is no default_filter_chain', 'and there is no default chain')
    .replaceAll('default_filter_chain', 'the default chain');
}

/** What the listener filters tell the matcher. Throws ConfigError. */
function inspect(
  listener: Listener,
  { destination, tls, protocol }: Connection,
): { serverName: string | undefined; transportProtocol: string; applicationProtocols: readonly string[] } {
  const runs = (typeUrl: string): boolean =>
    listener.listenerFilters.some(({ configType, filterDisabled }, index) => {
      const isIt = configType.case === 'typedConfig' && configType.value.typeUrl === typeUrl;
      const path = `listener_filters[${index}].filter_disabled`;
      return isIt && !compileDisabled(filterDisabled, path)(destination.port);
    });
  if (tls !== undefined && runs(typeUrlOf(TlsInspectorSchema))) {
    const serverName = tls.sni === '' ? undefined : tls.sni;
    return { serverName, transportProtocol: 'tls', applicationProtocols: tls.alpn };
  }
  const http = tls === undefined && protocol !== 'tcp' && runs(typeUrlOf(HttpInspectorSchema));
  return {
    serverName: undefined,
    transportProtocol: 'raw_buffer',
    applicationProtocols: http ? [protocol] : [],
  };
}

function placedListeners(listeners: readonly Listener[]): readonly Placed[] {
  return listeners.map((listener) => ({ listener, addresses: addressesOf(listener) }));
}

/** Listeners that have no IP address (pipes, internal ones), or one that proxies refuse, take no such connection. */
function addressesOf(listener: Listener): readonly SocketAddress[] {
  try {
    return ipAddressesOf(listener);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return [];
  }
}

/** Throws ConfigError. */
function ipAddressesOf(listener: Listener): readonly SocketAddress[] {
  const all = [listener.address, ...listener.additionalAddresses.map(({ address }) => address)];
  const sockets = all.filter((address) => address?.address.case === 'socketAddress');
  if (sockets.length === all.length) return readAddresses(listener);
  return sockets.flatMap((address) => {
    const socket = address?.address;
    if (socket?.case !== 'socketAddress' || socket.value.portSpecifier.case !== 'portValue') return [];
    return [socketAddress(socket.value.address, socket.value.portSpecifier.value)];
  });
}

function isBound({ bindToPort, deprecatedV1 }: Listener): boolean {
  return (bindToPort ?? deprecatedV1?.bindToPort) !== false;
}
