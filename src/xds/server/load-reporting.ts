// Load reporting (LRS): clients tell how many requests they sent to each cluster and locality, and how they ended.
// Envoy does where its bootstrap says `load_stats_config`, gRPC clients where a cluster has an `lrs_server`.
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { Duration } from '@bufbuild/protobuf/wkt';
import { DurationSchema } from '@bufbuild/protobuf/wkt';
import type { LoadStatsRequest } from '../../api/gen/envoy/service/load_stats/v3/lrs_pb.js';
import {
  LoadStatsRequestSchema,
  LoadStatsResponseSchema,
} from '../../api/gen/envoy/service/load_stats/v3/lrs_pb.js';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import type { LoadCounted } from './load-table.ts';
import { LoadTable } from './load-table.ts';
import { ReportService } from './report-stream.ts';
import type { XdsServer } from './server.ts';

export interface LoadReportingOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly ready: () => boolean;
  /** How often clients are to report. Default 10 s. */
  readonly intervalMs?: number;
  /** Told of every number that was reported, as LoadTable is. */
  readonly counted?: LoadCounted;
}

export class LoadReporting {
  readonly table: LoadTable;
  readonly #service: ReportService<LoadStatsRequest>;

  constructor(server: XdsServer, options: LoadReportingOptions) {
    const { clock, logger, ready, intervalMs = 10_000, counted } = options;
    this.table = new LoadTable(counted);
    // Every cluster that a client has: who it is and what it calls is known to the client alone.
    const order = toBinary(
      LoadStatsResponseSchema,
      create(LoadStatsResponseSchema, { sendAllClusters: true, loadReportingInterval: duration(intervalMs) }),
    );
    this.#service = new ReportService(server, {
      name: 'LRS',
      service: 'envoy.service.load_stats.v3.LoadReportingService',
      method: 'StreamLoadStats',
      clock,
      logger,
      ready,
      decode: (bytes) => fromBinary(LoadStatsRequestSchema, bytes),
      nodeOf: ({ node }) => node,
      connect: (stream) => {
        stream.send(order);
        const reporter = this.table.open();
        return {
          received: ({ clusterStats }) => reporter.report(clusterStats),
          closed: () => reporter.close(),
        };
      },
    });
  }

  /** Clients that report now. */
  get size(): number {
    return this.#service.size;
  }

  close(): void {
    this.#service.close();
  }
}

function duration(milliseconds: number): Duration {
  const seconds = Math.trunc(milliseconds / 1000);
  return create(DurationSchema, {
    seconds: BigInt(seconds),
    nanos: Math.round((milliseconds - seconds * 1000) * 1e6),
  });
}
