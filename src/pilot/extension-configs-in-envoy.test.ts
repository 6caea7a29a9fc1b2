// Stock Envoy with filters whose settings come by ECDS, from our control plane, in both dialects.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { startProxyProcess } from '../../test/support/proxy-process.ts';
import { needs } from '../../test/support/tools.ts';
import { waitFor } from '../../test/support/wait.ts';
import { configsOfYaml } from '../../test/support/world.ts';
import { LoggerRegistry } from '../base/logger.ts';
import { ConfigStore } from '../config/store.ts';
import { startPilot } from './pilot.ts';

const closing: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

const adminPort = 25_031;
const ports = { mine: 25_032, defaulted: 25_033, bare: 25_034 } as const;
const fault = 'type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault';

/** An extension config that answers every request with that status. */
const filter = (status: number): string => `
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: { name: mine, namespace: istio-system }
spec:
  configPatches:
    - applyTo: EXTENSION_CONFIG
      patch:
        operation: ADD
        value:
          name: mine
          typed_config:
            '@type': ${fault}
            abort: { http_status: ${status}, percentage: { numerator: 100 } }
---`;

test.skipIf(needs('envoy')).each(['GRPC', 'DELTA_GRPC'])(
  'extension configs in stock Envoy: a change counts at once, a name that is gone stays, one that never was holds up nothing, %s (partly B5.03, B3.07)',
  async (apiType) => {
    const app = createServer((_request, response) => response.end());
    await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve));
    closing.push(() => new Promise<void>((resolve) => void app.close(() => resolve())));
    const store = new ConfigStore();
    store.applyBatch('test', configsOfYaml(filter(418)), []);
    const pilot = await startPilot({
      store,
      loggers: new LoggerRegistry({ level: 'off' }),
      grpcAddress: '127.0.0.1:0',
      httpAddress: '127.0.0.1:0',
    });
    closing.push(() => pilot.close());
    const config = bootstrap(apiType, pilot.grpcPort, (app.address() as AddressInfo).port);
    const envoy = await startProxyProcess('envoy', JSON.stringify(config), adminPort);
    closing.push(() => envoy.stop());
    const status = async (port: number): Promise<number | undefined> =>
      fetch(`http://127.0.0.1:${port}/`).then(
        (answer) => answer.status,
        () => undefined,
      );
    const until = (what: string, port: number, wanted: number): Promise<true> =>
      waitFor(what, async () => (await status(port)) === wanted || undefined);
    await until('the settings', ports.mine, 418);
    // What Envoy waited for in vain: a default where there is one, an error of that listener alone where there is none.
    await until('the default', ports.defaulted, 200);
    await until('the error', ports.bare, 500);
    store.applyBatch('test', configsOfYaml(filter(429)), []);
    await until('the change', ports.mine, 429);
    const [object] = configsOfYaml(filter(429));
    store.applyBatch('test', [], [`EnvoyFilter/${object?.namespace}/${object?.name}`]);
    await waitFor(
      'the proxy to be told of nothing',
      () => [...pilot.connections].every((connection) => connection.isSettled()) || undefined,
    );
    expect(await status(ports.mine)).toBe(429);
    expect([...pilot.connections].flatMap((connection) => connection.refusals())).toEqual([]);
  },
);

function bootstrap(apiType: string, xdsPort: number, appPort: number): unknown {
  const options = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
  const cluster = (name: string, port: number, rest = {}) => ({
    name,
    type: 'STATIC',
    load_assignment: {
      cluster_name: name,
      endpoints: [
        {
          lb_endpoints: [
            { endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } } },
          ],
        },
      ],
    },
    ...rest,
  });
  const ecds = (name: string, rest = {}) => ({
    name,
    config_discovery: {
      config_source: { ads: {}, resource_api_version: 'V3', initial_fetch_timeout: '1s' },
      type_urls: [fault],
      ...rest,
    },
  });
  const listener = (port: number, first: unknown) => ({
    name: String(port),
    address: { socket_address: { address: '127.0.0.1', port_value: port } },
    filter_chains: [{ filters: [{ name: 'http', typed_config: manager(first) }] }],
  });
  return {
    node: {
      id: 'sidecar~10.1.0.1~pod.default~default.svc.cluster.local',
      cluster: 'test',
    },
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: adminPort } } },
    dynamic_resources: {
      ads_config: {
        api_type: apiType,
        transport_api_version: 'V3',
        grpc_services: [{ envoy_grpc: { cluster_name: 'xds' } }],
      },
    },
    static_resources: {
      listeners: [
        listener(ports.mine, ecds('mine')),
        listener(ports.defaulted, ecds('absent', { default_config: { '@type': fault } })),
        listener(ports.bare, ecds('missing')),
      ],
      clusters: [
        cluster('app', appPort),
        cluster('xds', xdsPort, {
          typed_extension_protocol_options: {
            [options]: {
              '@type': `type.googleapis.com/${options}`,
              explicit_http_config: { http2_protocol_options: {} },
            },
          },
        }),
      ],
    },
  };
}

function manager(first: unknown): unknown {
  return {
    '@type':
      'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
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
      first,
      {
        name: 'router',
        typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
      },
    ],
  };
}
