// Stock Envoy as the sidecar of one pod under a control plane of the test, in any way to reach it.
import type { JsonObject } from '@bufbuild/protobuf';
import { renderBootstrap } from '../../src/agent/bootstrap.ts';
import type { NodeIdentity } from '../../src/agent/node-identity.ts';
import { defaultNodeIdentity } from '../../src/agent/node-identity.ts';
import type { ProxyProcess } from './proxy-process.ts';
import { startProxyProcess } from './proxy-process.ts';
import { waitFor } from './wait.ts';

/** `services`: clusters and listeners come from services of their own; what these name comes over ADS all the same. */
export type EnvoyDialect = 'sotw' | 'delta' | 'sotw services' | 'delta services';

export interface StockEnvoyOptions {
  /** Default: as the agent's bootstrap says. */
  readonly dialect?: EnvoyDialect;
  /** Of the control plane, on 127.0.0.1. */
  readonly grpcPort: number;
  readonly adminPort: number;
  readonly httpProxyPort: number;
  readonly podIp: string;
  /** Where the pod's own application listens. */
  readonly appAddress: string;
  readonly identity?: Partial<NodeIdentity>;
}

export class StockEnvoy {
  readonly process: ProxyProcess;

  constructor(process: ProxyProcess) {
    this.process = process;
  }

  /** A counter or gauge; NaN where there is none. */
  async stat(name: string): Promise<number> {
    const { body } = await this.process.admin(`/stats?filter=^${name}$`);
    return Number(/: (\d+)/.exec(body)?.[1]);
  }

  async clusters(): Promise<string> {
    return (await this.process.admin('/clusters')).body;
  }

  /** Zero means: Envoy took everything that it was sent. */
  async rejections(): Promise<number> {
    const { body } = await this.process.admin('/stats?filter=update_rejected');
    return [...body.matchAll(/: (\d+)/g)].reduce((sum, [, count]) => sum + Number(count), 0);
  }

  /** Clusters and listeners that wait for something. */
  async warming(): Promise<number> {
    const clusters = await this.stat('cluster_manager.warming_clusters');
    return clusters + (await this.stat('listener_manager.total_listeners_warming'));
  }

  stop(): Promise<void> {
    return this.process.stop();
  }
}

/** Resolves when Envoy has listeners. */
export async function startStockEnvoy(options: StockEnvoyOptions): Promise<StockEnvoy> {
  const { podIp, adminPort } = options;
  const bootstrap = renderBootstrap({
    node: {
      ...defaultNodeIdentity,
      type: 'sidecar',
      ipAddresses: [podIp],
      podName: 'client-0',
      namespace: 'default',
      labels: { app: 'client' },
      workloadName: 'client',
      interception: {
        mode: 'loopback',
        appAddress: options.appAddress,
        httpProxyPort: options.httpProxyPort,
        gatewayBinds: [],
      },
      ...options.identity,
    },
    discovery: { address: '127.0.0.1', port: options.grpcPort },
    adminPort,
  });
  const text = JSON.stringify({
    ...bootstrap,
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: adminPort } } },
    ...(options.dialect === undefined ? {} : { dynamic_resources: dynamicResources(options.dialect) }),
  });
  const envoy = new StockEnvoy(await startProxyProcess('envoy', text, adminPort));
  await waitFor(
    'listeners',
    async () => (await envoy.stat('listener_manager.workers_started')) === 1 || undefined,
  );
  return envoy;
}

function dynamicResources(dialect: EnvoyDialect): JsonObject {
  const grpc: JsonObject = {
    api_type: dialect.startsWith('delta') ? 'DELTA_GRPC' : 'GRPC',
    transport_api_version: 'V3',
    grpc_services: [{ envoy_grpc: { cluster_name: 'xds-grpc' } }],
  };
  const source: JsonObject = dialect.endsWith('services') ? { api_config_source: grpc } : { ads: {} };
  const config: JsonObject = { ...source, initial_fetch_timeout: '0s', resource_api_version: 'V3' };
  return {
    lds_config: config,
    cds_config: config,
    ads_config: { ...grpc, set_node_on_first_message_only: true },
  };
}
