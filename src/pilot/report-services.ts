// What clients report to the control plane beside discovery, on the same ports: load (LRS) and health (HDS).
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { Graph } from '../collections/index.ts';
import type { ProxyNode } from '../model/proxy-node.ts';
import { LoadReporting } from '../xds/server/load-reporting.ts';
import type { XdsServer } from '../xds/server/server.ts';
import { StreamError, grpcStatus } from '../xds/server/stream-error.ts';
import { hostOf } from '../xds/server/stream.ts';
import { isLoopback } from './debug/loopback.ts';
import { HealthDiscovery } from './health/health-discovery.ts';
import type { PilotMetrics } from './metrics/pilot-metrics.ts';
import type { PilotWorld } from './world/world.ts';

export interface ReportServicesOptions {
  readonly server: XdsServer;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: PilotMetrics;
  readonly ready: () => boolean;
  readonly graph: Graph;
  readonly world: PilotWorld;
  /** The health of endpoints of this service (`namespace/hostname`) has changed in the world. */
  readonly healthChanged: (service: string) => void;
  /** Under which identity a node speaks (see Gate). Throws StreamError where it is another's. */
  readonly identityOf: (names: readonly string[] | undefined, node: ProxyNode) => unknown;
}

export class ReportServices {
  readonly loads: LoadReporting;
  readonly health: HealthDiscovery;

  /** Call before the server listens. */
  constructor(options: ReportServicesOptions) {
    const { server, clock, logger, metrics, ready, graph, world, healthChanged, identityOf } = options;
    this.loads = new LoadReporting(server, {
      clock,
      logger,
      ready,
      counted: (cluster, outcome, count) =>
        metrics.loadRequests.add(count, { cluster_name: cluster, outcome }),
    });
    this.health = new HealthDiscovery({
      server,
      clock,
      logger,
      graph,
      world,
      ready,
      admit: ({ peer, identities }, node) => checkHealthReporter(peer, identityOf(identities, node)),
      changed: healthChanged,
    });
  }

  close(): void {
    this.loads.close();
    this.health.close();
  }
}

/**
 * What clients say of endpoints moves traffic: in plaintext, where nobody is asked who they are, only this machine's
 * are believed. Throws StreamError for others.
 */
export function checkHealthReporter(peer: string, identity: unknown): void {
  if (identity !== undefined || isLoopback(hostOf(peer))) return;
  throw new StreamError(grpcStatus.UNAUTHENTICATED, 'authentication required');
}
