// From an accepted wire to its network filter: listener filters look at the first bytes, the original
// destination may hand the connection to another listener, filter_chain_match chooses the chain.
import type { Clock, Timer } from '../../base/clock.ts';
import type { AccessLogger } from '../access-log/access-log.ts';
import type { Wire, WireHandler } from '../io/wire.ts';
import type { DownstreamConnection, TrafficDirection } from '../network/filter.ts';
import type { Counter } from '../stats/stats.ts';
import { StreamInfo, flagBits } from '../stream-info.ts';
import type { ChainMatcher, ChainQuery } from './filter-chain-match.ts';
import type { RunningChain } from './filter-chain.ts';
import type { InspectedConnection, ListenerFilter } from './listener-filters.ts';

export interface AcceptorStats {
  readonly cxTotal: Counter;
  readonly preCxTimeout: Counter;
  readonly noFilterChainMatch: Counter;
}

/** What one version of a listener does with connections. */
export interface AcceptorOptions {
  readonly filters: readonly ListenerFilter[];
  /** 0: no limit. */
  readonly filtersTimeoutMs: number;
  readonly continueOnTimeout: boolean;
  readonly matcher: ChainMatcher<RunningChain>;
  /** Finds the listener for a restored destination; undefined: no hand-off. */
  readonly handOff: ((connection: InspectedConnection) => Acceptor | undefined) | undefined;
  readonly trafficDirection: TrafficDirection;
  readonly accessLog: AccessLogger;
  readonly stats: AcceptorStats;
  readonly clock: Clock;
  readonly nextConnectionId: () => number;
}

export class Acceptor {
  readonly #options: AcceptorOptions;
  /** Connections whose first bytes are still looked at. */
  readonly #pending = new Set<PendingConnection>();

  constructor(options: AcceptorOptions) {
    this.#options = options;
  }

  get pendingConnections(): number {
    return this.#pending.size;
  }

  /** Takes a new connection. Never throws. */
  accept(wire: Wire): void {
    const localAddress = wire.localAddress;
    this.receive(
      {
        wire,
        directLocalAddress: localAddress,
        peeked: noBytes,
        localAddress,
        restored: false,
        serverName: undefined,
        transportProtocol: '',
        applicationProtocols: [],
      },
      this.#options.clock.monotonicMs(),
    );
  }

  /** Takes a connection that another listener has accepted; its listener filters run anew, as in Envoy. */
  receive(connection: InspectedConnection, acceptedMs: number): void {
    this.#options.stats.cxTotal.inc();
    const pending = new PendingConnection(this.#options, connection, acceptedMs, () =>
      this.#pending.delete(pending),
    );
    this.#pending.add(pending);
    pending.advance();
  }

  /** Drops the connections that have not found their chain yet. */
  close(): void {
    for (const pending of this.#pending) pending.drop();
  }
}

/** What the listener logs of a connection that has ended in its TLS handshake. */
export function transportFailure(connection: DownstreamConnection, reason: string, clock: Clock): StreamInfo {
  const info = new StreamInfo();
  info.reset(clock.now(), connection.acceptedMs);
  info.connectionId = connection.id;
  info.downstreamTransportFailureReason = reason === '' ? undefined : reason;
  info.downstreamLocalAddress = connection.localAddress;
  info.downstreamDirectLocalAddress = connection.directLocalAddress;
  info.downstreamRemoteAddress = connection.remoteAddress;
  info.downstreamDirectRemoteAddress = connection.remoteAddress;
  info.requestedServerName = connection.serverName;
  info.endMonotonicMs = clock.monotonicMs();
  return info;
}

const noBytes = Buffer.alloc(0);

class PendingConnection implements WireHandler {
  readonly #options: AcceptorOptions;
  readonly #connection: InspectedConnection;
  readonly #acceptedMs: number;
  readonly #onOver: () => void;
  /** The filter that runs. */
  #index = 0;
  #reading = false;
  #over = false;
  #timer: Timer | undefined;

  constructor(
    options: AcceptorOptions,
    connection: InspectedConnection,
    acceptedMs: number,
    onOver: () => void,
  ) {
    this.#options = options;
    this.#connection = connection;
    this.#acceptedMs = acceptedMs;
    this.#onOver = onOver;
  }

  /** Runs filters until one needs bytes that are not there, or all are done. */
  advance(): void {
    const { filters } = this.#options;
    const connection = this.#connection;
    for (; this.#index < filters.length; this.#index++) {
      const filter = filters[this.#index]!;
      if (filter.disabled(connection.localAddress.port)) continue;
      switch (filter.inspect(connection)) {
        case 'done':
          continue;
        case 'more':
          this.#read();
          return;
        case 'close':
          this.drop();
          return;
      }
    }
    this.#handOver();
  }

  drop(): void {
    if (this.#over) return;
    this.#finish();
    this.#connection.wire.destroy();
  }

  onBytes(buffer: Buffer, length: number): void {
    const connection = this.#connection;
    // The buffer is shared by all wires: what waits for a decision is copied.
    connection.peeked = Buffer.concat([connection.peeked, buffer.subarray(0, length)]);
    this.advance();
  }

  onEnd(): void {
    // Nothing more will come, and the filters need more.
    this.drop();
  }

  onDrain(): void {}

  onClose(): void {
    if (!this.#over) this.#finish();
  }

  #read(): void {
    if (this.#reading) return;
    this.#reading = true;
    const { filtersTimeoutMs, clock, stats, continueOnTimeout } = this.#options;
    if (filtersTimeoutMs > 0) {
      this.#timer = clock.after(filtersTimeoutMs, () => {
        stats.preCxTimeout.inc();
        if (continueOnTimeout) this.#handOver();
        else this.drop();
      });
    }
    const { wire } = this.#connection;
    wire.setHandler(this);
    wire.resume();
  }

  #handOver(): void {
    if (this.#over) return;
    const connection = this.#connection;
    if (this.#reading) connection.wire.pause();
    this.#finish();
    if (connection.transportProtocol === '') connection.transportProtocol = 'raw_buffer';
    const other = connection.restored ? this.#options.handOff?.(connection) : undefined;
    if (other === undefined) this.#serve();
    else other.receive({ ...connection, restored: false, transportProtocol: '' }, this.#acceptedMs);
  }

  #serve(): void {
    const { matcher, nextConnectionId, trafficDirection, stats } = this.#options;
    const connection = this.#connection;
    const { wire } = connection;
    const remoteAddress = wire.remoteAddress;
    const query: ChainQuery = {
      destination: connection.localAddress,
      source: remoteAddress,
      directSource: remoteAddress,
      serverName: connection.serverName,
      transportProtocol: connection.transportProtocol,
      applicationProtocols: connection.applicationProtocols,
    };
    const { chain } = matcher.match(query);
    const id = nextConnectionId();
    if (chain?.filter === undefined) {
      if (chain === undefined) {
        stats.noFilterChainMatch.inc();
        this.#logUnmatched(id);
      }
      wire.destroy();
      return;
    }
    chain.filter.accept({
      id,
      wire,
      peeked: connection.peeked.length === 0 ? undefined : connection.peeked,
      localAddress: connection.localAddress,
      directLocalAddress: connection.directLocalAddress,
      remoteAddress,
      serverName: connection.serverName,
      applicationProtocols: connection.applicationProtocols,
      transportProtocol: connection.transportProtocol === 'tls' ? 'tls' : 'raw_buffer',
      trafficDirection,
      acceptedMs: this.#acceptedMs,
    });
  }

  #logUnmatched(id: number): void {
    const { accessLog, clock } = this.#options;
    const connection = this.#connection;
    const info = new StreamInfo();
    info.reset(clock.now(), this.#acceptedMs);
    info.connectionId = id;
    info.responseFlags = flagBits.NR;
    info.responseCodeDetails = 'filter_chain_not_found';
    info.downstreamLocalAddress = connection.localAddress;
    info.downstreamDirectLocalAddress = connection.directLocalAddress;
    info.downstreamRemoteAddress = connection.wire.remoteAddress;
    info.downstreamDirectRemoteAddress = connection.wire.remoteAddress;
    info.requestedServerName = connection.serverName;
    info.endMonotonicMs = clock.monotonicMs();
    accessLog.log(info);
  }

  #finish(): void {
    this.#over = true;
    this.#timer?.cancel();
    this.#onOver();
  }
}
