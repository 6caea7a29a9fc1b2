// What clients report to the control plane beside discovery, on the same ports: load (LRS) and health (HDS).
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { Graph } from '../collections/index.ts';
import { LoadReporting } from '../xds/server/load-reporting.ts';
import type { XdsServer } from '../xds/server/server.ts';
import { HealthDiscovery } from './health-discovery.ts';
import type { PilotMetrics } from './pilot-metrics.ts';
import type { PilotWorld } from './world.ts';

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
}

export class ReportServices {
  readonly loads: LoadReporting;
  readonly health: HealthDiscovery;

  /** Call before the server listens. */
  constructor(options: ReportServicesOptions) {
    const { server, clock, logger, metrics, ready, graph, world, healthChanged } = options;
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
      changed: healthChanged,
    });
  }

  close(): void {
    this.loads.close();
    this.health.close();
  }
}
