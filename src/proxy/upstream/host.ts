// One endpoint of a cluster, and what is known and counted about it.
import type { SocketAddress } from '../io/socket-address.ts';
import type { ConnectionPool } from './connection-pool.ts';

/** Health as EDS says it (envoy.config.core.v3.HealthStatus without TIMEOUT and DRAINING, which are UNHEALTHY). */
export type EdsHealth = 'HEALTHY' | 'DEGRADED' | 'UNHEALTHY';

/** One endpoint of a ClusterLoadAssignment or of a DNS answer. */
export interface EndpointUpdate {
  readonly address: SocketAddress;
  /** `Endpoint.hostname`: the authority for auto_host_rewrite; empty where there is none. */
  readonly hostname: string;
  /** 1 where the configuration says nothing. */
  readonly weight: number;
  readonly health: EdsHealth;
  readonly priority: number;
  readonly locality: LocalityKey;
  /** Undefined where locality weights are not given. */
  readonly localityWeight: number | undefined;
  /** `filter_metadata` of the endpoint; never changed, compared by reference. */
  readonly metadata: object | undefined;
}

export interface LocalityKey {
  readonly region: string;
  readonly zone: string;
  readonly subZone: string;
}

/** The counts that admin `/clusters` prints for each host. */
export class HostStats {
  cxTotal = 0;
  cxActive = 0;
  cxConnectFail = 0;
  rqTotal = 0;
  rqActive = 0;
  rqSuccess = 0;
  rqError = 0;
  rqTimeout = 0;
}

/** Kept by address over updates (inventory D1.08), so that its counts and connections outlive them. */
export class Host {
  readonly address: SocketAddress;
  readonly stats = new HostStats();
  hostname = '';
  weight = 1;
  health: EdsHealth = 'HEALTHY';
  priority = 0;
  locality: LocalityKey = noLocality;
  localityWeight: number | undefined = undefined;
  metadata: object | undefined = undefined;
  /** Outlier detection has taken it out. */
  ejected = false;
  ejections = 0;
  consecutive5xx = 0;
  consecutiveGatewayFailures = 0;
  consecutiveLocalOriginFailures = 0;
  /** No longer in the cluster: no new streams; idle connections are closed. */
  removed = false;
  /** Its connections by protocol and routing priority; made at the first request (UpstreamCluster.poolOf). */
  readonly pools: (ConnectionPool | undefined)[] = [];

  constructor(address: SocketAddress) {
    this.address = address;
  }

  /** Whether a balancer may pick it outside a panic. */
  get usable(): boolean {
    return this.health !== 'UNHEALTHY' && !this.ejected;
  }
}

export const noLocality: LocalityKey = { region: '', zone: '', subZone: '' };
