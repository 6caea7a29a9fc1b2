// Outbound listeners that grow while services are looked at, and how services share one.
import type { Hostname } from '../../model/hostname.ts';
import type { Origin } from '../../model/origin.ts';
import { isHttp, isSniffed, isTcp } from '../../model/protocol.ts';
import type { Protocol } from '../../model/service.ts';
import type { Binds } from './binds.ts';
import { distinctChains } from './distinct-chains.ts';
import type { ChainInput } from './listener-input.ts';

export interface Entry {
  readonly name: string;
  readonly binds: Binds;
  readonly port: number;
  readonly bindToPort: boolean;
  /** `unsupported` once both HTTP and TCP are there: the first bytes decide. */
  protocol: Protocol;
  chains: readonly ChainInput[];
  /** An egress listener has named this port: others add nothing to it. */
  locked: boolean;
  readonly origin: Origin;
}

/** istiod's names of the metrics. */
export const conflictMetrics = [
  'pilot_conflict_inbound_listener',
  'pilot_conflict_outbound_listener_tcp_over_current_tcp',
] as const;

/** A service port some of whose connections are another's, because both ask for the same ones. */
export interface ListenerConflict {
  readonly metric: (typeof conflictMetrics)[number];
  readonly listener: string;
  readonly accepted: Protocol;
  readonly rejected: Protocol;
  /** The service that has lost. */
  readonly hostname: Hostname;
}

/** What one service port brings to a listener. */
export interface Arrival {
  readonly protocol: Protocol;
  readonly hostname: Hostname;
  /** Called where the service's own chains are needed. */
  readonly streams: () => readonly ChainInput[];
  readonly http: () => ChainInput;
}

/**
 * What becomes of a listener when another service port comes to it. HTTP services share its routes; where HTTP and
 * TCP meet, the first bytes decide; of chains that ask the same of a connection the first stays (C11.05). A
 * service whose first bytes are looked at takes the place of HTTP alone, which only bound listeners have.
 * Source: Istio `buildSidecarOutboundListener`.
 */
export function mergeInto(entry: Entry, arrival: Arrival): readonly ListenerConflict[] {
  const { protocol } = arrival;
  if (entry.locked || (isHttp(protocol) && !isTcp(entry.protocol))) return [];
  if (isServerFirstConflict(protocol, entry.protocol)) return [];
  if (isSniffed(protocol) && isHttp(entry.protocol)) {
    entry.chains = [...arrival.streams(), arrival.http()];
    entry.protocol = protocol;
    return [];
  }
  const streams = isHttp(protocol) ? [] : arrival.streams();
  const http = isHttp(protocol) || (isSniffed(protocol) && isTcp(entry.protocol)) ? [arrival.http()] : [];
  const incoming = [...streams, ...http];
  const kept = distinctChains([...entry.chains, ...incoming]);
  const accepted = entry.protocol;
  const isWhole = kept.length === entry.chains.length + incoming.length;
  entry.chains = kept;
  if (isTcp(accepted) !== isTcp(protocol)) entry.protocol = 'unsupported';
  if (isWhole) return [];
  const metric = 'pilot_conflict_outbound_listener_tcp_over_current_tcp';
  return [{ metric, listener: entry.name, accepted, rejected: protocol, hostname: arrival.hostname }];
}

/** Where the server of one of the two speaks first, waiting for the client's first bytes would break it. */
function isServerFirstConflict(a: Protocol, b: Protocol): boolean {
  const serverFirst = (protocol: Protocol): boolean => protocol === 'Mongo' || protocol === 'MySQL';
  return a !== b && (serverFirst(a) || serverFirst(b));
}
