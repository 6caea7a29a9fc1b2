import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { status } from '@grpc/grpc-js';
import { afterEach, expect, test } from 'vitest';
import type { ProxyProcess } from '../../../test/support/proxy-process.ts';
import { startProxyProcess } from '../../../test/support/proxy-process.ts';
import { ReportClient } from '../../../test/support/report-client.ts';
import { needs } from '../../../test/support/tools.ts';
import { waitFor } from '../../../test/support/wait.ts';
import {
  LoadStatsRequestSchema,
  LoadStatsResponseSchema,
} from '../../api/gen/envoy/service/load_stats/v3/lrs_pb.js';
import { systemClock } from '../../base/clock.ts';
import { silentLogger } from '../../base/logger.ts';
import { LoadReporting } from './load-reporting.ts';
import { XdsServer } from './server.ts';

const path = '/envoy.service.load_stats.v3.LoadReportingService/StreamLoadStats';
const node = { id: 'sidecar~10.0.0.1~pod.default~default.svc.cluster.local' };
const closing: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function serve(ready = true): Promise<{ port: number; loads: LoadReporting }> {
  const server = new XdsServer({
    clock: systemClock,
    logger: silentLogger,
    controlPlane: 'test',
    ready: () => true,
    serves: () => false,
    streamsPerSecond: 1000,
    connect: () => ({ received: () => {}, drained: () => {}, closed: () => {} }),
  });
  const loads = new LoadReporting(server, {
    clock: systemClock,
    logger: silentLogger,
    ready: () => ready,
    intervalMs: 200,
  });
  closing.push(async () => {
    loads.close();
    await server.close();
  });
  return { port: await server.listen('127.0.0.1:0'), loads };
}

function client(port: number) {
  const made = new ReportClient(port, path, LoadStatsRequestSchema, LoadStatsResponseSchema);
  closing.push(() => made.close());
  return made;
}

test('LoadReporting: a client is told to report all clusters, and how often (B5.10)', async () => {
  const { port, loads } = await serve();
  const reporter = client(port);
  reporter.send({ node });
  const order = await reporter.response(0);
  expect(order.sendAllClusters).toBe(true);
  expect(order.loadReportingInterval).toMatchObject({ seconds: 0n, nanos: 200_000_000 });
  expect(loads.size).toBe(1);
  reporter.send({
    clusterStats: [{ clusterName: 'c', upstreamLocalityStats: [{ totalIssuedRequests: 3n }] }],
  });
  await waitFor('the report', () => loads.table.clusters()[0]?.localities[0]?.issued === 3 || undefined);
  reporter.close();
  await waitFor('the end of the stream', () => loads.size === 0 || undefined);
});

test('LoadReporting: garbage, no node and a control plane that is not ready end one stream alone (partly B5.10)', async () => {
  const { port, loads } = await serve();
  const good = client(port);
  good.send({ node });
  const [garbled, nameless] = [client(port), client(port)];
  garbled.sendBytes(new Uint8Array([255, 255, 255, 255]));
  nameless.send({});
  expect((await garbled.failure()).code).toBe(status.INVALID_ARGUMENT);
  expect((await nameless.failure()).details).toBe('missing node information');
  await good.response(0);
  expect(loads.size).toBe(1);
  const early = await serve(false);
  const refused = client(early.port);
  refused.send({ node });
  expect((await refused.failure()).code).toBe(status.UNAVAILABLE);
});

const adminPort = 25_011;
const listenPort = 25_012;

test.skipIf(needs('envoy'))(
  'LoadReporting: stock Envoy reports what it sent where, by load_stats_config (B5.10)',
  async () => {
    const { port, loads } = await serve();
    const app = createServer((request, response) => {
      response.statusCode = request.url === '/fails' ? 503 : 200;
      response.end();
    });
    await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve));
    closing.push(() => new Promise<void>((resolve) => void app.close(() => resolve())));
    const envoy: ProxyProcess = await startProxyProcess(
      'envoy',
      JSON.stringify(bootstrap(port, (app.address() as AddressInfo).port)),
      adminPort,
    );
    closing.push(() => envoy.stop());
    const call = (url: string) =>
      fetch(`http://127.0.0.1:${listenPort}${url}`).then(({ status: code }) => code);
    await waitFor('the listener', () => call('/').catch(() => undefined));
    for (let count = 0; count < 4; count++) expect(await call('/')).toBe(200);
    expect(await call('/fails')).toBe(503);
    const row = await waitFor('reports of all requests', () => {
      const found = loads.table.clusters().find(({ cluster }) => cluster === 'app');
      return found?.localities[0]?.failed === 1 ? found : undefined;
    });
    expect(row.localities).toEqual([
      { locality: 'r1/z1', priority: 0, issued: 6, succeeded: 5, failed: 1, inProgress: 0 },
    ]);
  },
);

/** An Envoy that forwards to `appPort`, and reports to `xdsPort`. */
function bootstrap(xdsPort: number, appPort: number): unknown {
  const endpoint = (portValue: number) => ({
    endpoint: {
      address: { socket_address: { address: '127.0.0.1', port_value: portValue } },
    },
  });
  const cluster = (name: string, portValue: number, locality = {}) => ({
    name,
    type: 'STATIC',
    load_assignment: {
      cluster_name: name,
      endpoints: [{ locality, lb_endpoints: [endpoint(portValue)] }],
    },
  });
  const options = 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
  const manager =
    'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';
  return {
    node: { ...node, cluster: 'test' },
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: adminPort } } },
    cluster_manager: {
      load_stats_config: {
        api_type: 'GRPC',
        transport_api_version: 'V3',
        grpc_services: [{ envoy_grpc: { cluster_name: 'xds' } }],
      },
    },
    static_resources: {
      listeners: [
        {
          address: { socket_address: { address: '127.0.0.1', port_value: listenPort } },
          filter_chains: [
            {
              filters: [
                {
                  name: 'http',
                  typed_config: {
                    '@type': manager,
                    stat_prefix: 'http',
                    route_config: {
                      virtual_hosts: [
                        {
                          name: 'all',
                          domains: ['*'],
                          routes: [{ match: { prefix: '/' }, route: { cluster: 'app' } }],
                        },
                      ],
                    },
                    http_filters: [
                      {
                        name: 'router',
                        typed_config: {
                          '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router',
                        },
                      },
                    ],
                  },
                },
              ],
            },
          ],
        },
      ],
      clusters: [
        cluster('app', appPort, { region: 'r1', zone: 'z1' }),
        {
          ...cluster('xds', xdsPort),
          typed_extension_protocol_options: {
            'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
              '@type': options,
              explicit_http_config: { http2_protocol_options: {} },
            },
          },
        },
      ],
    },
  };
}
