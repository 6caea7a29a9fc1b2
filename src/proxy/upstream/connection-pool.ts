// What the pools of one host have in common, whatever protocol its connections speak.
import type { Deadlines } from '../io/deadlines.ts';
import type { ClusterStats } from './cluster-stats.ts';
import type { Host } from './host.ts';
import type { UpstreamRequest } from './upstream-request.ts';

/** What waits for a place for its request: exactly one of the calls comes, perhaps within `ConnectionPool.request`. */
export interface PoolWaiter {
  onPoolReady(connection: UpstreamRequest): void;
  onPoolFailure(failure: PoolFailure, details: string): void;
}

export type PoolFailure = 'overflow' | 'connect failure' | 'connect timeout';

/** What the pools of a cluster have in common. */
export interface PoolOptions {
  readonly connectTimeoutMs: number;
  /** 0: never. */
  readonly idleTimeoutMs: number;
  /** 0: no limit. */
  readonly requestsPerConnectionMax: number;
  readonly bufferBytesMax: number | undefined;
  readonly localAddress: string | undefined;
  readonly keepAliveMs: number | undefined;
  readonly stats: ClusterStats;
  readonly deadlines: Deadlines;
  readonly nowMs: () => number;
  /** A connection to the host could not be made, or was: outlier detection. */
  readonly onConnectResult: (host: Host, failure: PoolFailure | undefined) => void;
}

export interface ConnectionPool {
  /** Hands `waiter` a place for a request, now or once one is there. */
  request(waiter: PoolWaiter): void;
  /** The waiter wants none any more. */
  cancel(waiter: PoolWaiter): void;
  /** Closes what is idle, now and from now on. */
  drain(): void;
  closeIdle(): void;
  /** Closes everything. */
  close(): void;
}
