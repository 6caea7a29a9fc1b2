// What clients report to the control plane beside discovery, on the same ports: load (LRS).
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import { LoadReporting } from '../xds/server/load-reporting.ts';
import type { XdsServer } from '../xds/server/server.ts';
import type { PilotMetrics } from './pilot-metrics.ts';

export interface ReportServicesOptions {
  readonly server: XdsServer;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: PilotMetrics;
  readonly ready: () => boolean;
}

export class ReportServices {
  readonly loads: LoadReporting;

  /** Call before the server listens. */
  constructor({ server, clock, logger, metrics, ready }: ReportServicesOptions) {
    this.loads = new LoadReporting(server, {
      clock,
      logger,
      ready,
      counted: (cluster, outcome, count) =>
        metrics.loadRequests.add(count, { cluster_name: cluster, outcome }),
    });
  }

  close(): void {
    this.loads.close();
  }
}
