import { afterEach, expect, test } from 'vitest';
import { ReportClient } from '../../test/support/report-client.ts';
import { waitFor } from '../../test/support/wait.ts';
import {
  LoadStatsRequestSchema,
  LoadStatsResponseSchema,
} from '../api/gen/envoy/service/load_stats/v3/lrs_pb.js';
import { LoggerRegistry } from '../base/logger.ts';
import { ConfigStore } from '../config/store.ts';
import { startPilot } from './pilot.ts';

const closing: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

test('startPilot: load that clients report is on the debug port, as JSON and as metrics (B5.10)', async () => {
  const pilot = await startPilot({
    store: new ConfigStore(),
    loggers: new LoggerRegistry({ level: 'off' }),
    grpcAddress: '127.0.0.1:0',
    httpAddress: '127.0.0.1:0',
  });
  closing.push(() => pilot.close());
  const client = new ReportClient(
    pilot.grpcPort,
    '/envoy.service.load_stats.v3.LoadReportingService/StreamLoadStats',
    LoadStatsRequestSchema,
    LoadStatsResponseSchema,
  );
  closing.push(() => client.close());
  client.send({ node: { id: 'sidecar~10.1.0.1~pod.default~default.svc.cluster.local' } });
  expect((await client.response(0)).loadReportingInterval).toMatchObject({ seconds: 10n });
  const cluster = 'outbound|80||a.default.svc.cluster.local';
  client.send({
    clusterStats: [
      {
        clusterName: cluster,
        totalDroppedRequests: 2n,
        upstreamLocalityStats: [
          {
            locality: { region: 'r' },
            totalIssuedRequests: 9n,
            totalSuccessfulRequests: 5n,
            totalErrorRequests: 1n,
            totalRequestsInProgress: 3n,
          },
        ],
      },
    ],
  });
  const get = async (path: string): Promise<string> =>
    (await fetch(`http://127.0.0.1:${pilot.httpPort}${path}`)).text();
  await waitFor('the report', async () => (await get('/debug/load')).includes(cluster) || undefined);
  expect(JSON.parse(await get('/debug/load'))).toEqual({
    clients: 1,
    // The first message says who it is, and reports nothing.
    reports: 2,
    clusters: [
      {
        cluster,
        service: '',
        dropped: 2,
        localities: [{ locality: 'r', priority: 0, issued: 9, succeeded: 5, failed: 1, inProgress: 3 }],
      },
    ],
  });
  const metrics = await get('/metrics');
  for (const [outcome, count] of [
    ['success', 5],
    ['error', 1],
    ['dropped', 2],
  ] as const)
    expect(metrics).toContain(
      `fairlead_load_requests_total{cluster_name="${cluster}",outcome="${outcome}"} ${count}`,
    );
});
