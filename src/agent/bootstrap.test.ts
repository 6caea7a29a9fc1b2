// Tests of the bootstrap file: what stands in it, and that stock Envoy takes it.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { messageFromJson } from '../api/any.ts';
import { BootstrapSchema } from '../api/gen/envoy/config/bootstrap/v3/bootstrap_pb.js';
import { ApiConfigSource_ApiType } from '../api/gen/envoy/config/core/v3/config_source_pb.js';
import { readOptions } from '../proxy/bootstrap/options.ts';
import { needs } from '../../test/support/tools.ts';
import type { NodeIdentity } from './node-identity.ts';
import { defaultNodeIdentity, formatGatewayBinds, formatNodeId, nodeMetadata } from './node-identity.ts';
import { renderBootstrap } from './bootstrap.ts';

const reviews: NodeIdentity = {
  ...defaultNodeIdentity,
  type: 'sidecar',
  ipAddresses: ['127.80.0.2'],
  podName: 'reviews-v1-5f6c-x2x4z',
  namespace: 'default',
  labels: { app: 'reviews', version: 'v1' },
  workloadName: 'reviews-v1',
  owner: 'kubernetes://apis/apps/v1/namespaces/default/deployments/reviews-v1',
  podPorts: [{ name: 'http', containerPort: 9080, protocol: 'TCP' }],
  appContainers: ['reviews'],
  interception: { mode: 'loopback', appAddress: '127.81.0.2', httpProxyPort: 15080, gatewayBinds: [] },
};

const gateway: NodeIdentity = {
  ...defaultNodeIdentity,
  type: 'router',
  ipAddresses: ['127.80.0.1'],
  podName: 'istio-ingressgateway-1',
  namespace: 'istio-system',
  labels: { istio: 'ingressgateway' },
  workloadName: 'istio-ingressgateway',
  interception: {
    mode: 'loopback',
    httpProxyPort: 0,
    gatewayBinds: [
      { address: '127.0.0.1', port: 25080, targetPort: 8080 },
      { address: '::1', port: 25080, targetPort: 8080 },
    ],
  },
};

const discovery = { address: '127.0.0.1', port: 25010 };

test('formatNodeId: type, address, pod and domain (B1.06)', () => {
  expect(formatNodeId(reviews)).toBe(
    'sidecar~127.80.0.2~reviews-v1-5f6c-x2x4z.default~default.svc.cluster.local',
  );
  expect(formatNodeId(gateway)).toMatch(/^router~127\.80\.0\.1~/);
});

test('nodeMetadata: the keys that Istio reads, and how the app is reached (B1.06, A3.04)', () => {
  expect(nodeMetadata(reviews)).toMatchObject({
    NAMESPACE: 'default',
    LABELS: { app: 'reviews', version: 'v1' },
    CLUSTER_ID: 'Kubernetes',
    MESH_ID: 'cluster.local',
    SERVICE_ACCOUNT: 'default',
    WORKLOAD_NAME: 'reviews-v1',
    POD_PORTS: '[{"name":"http","containerPort":9080,"protocol":"TCP"}]',
    APP_CONTAINERS: 'reviews',
    INTERCEPTION_MODE: 'LOOPBACK',
    FAIRLEAD_APP_ADDRESS: '127.81.0.2',
    FAIRLEAD_HTTP_PROXY_PORT: '15080',
    ENVOY_STATUS_PORT: 15021,
    ENVOY_PROMETHEUS_PORT: 15090,
  });
  expect(nodeMetadata(gateway)).not.toHaveProperty('FAIRLEAD_APP_ADDRESS');
  expect(nodeMetadata(gateway)['FAIRLEAD_GATEWAY_BINDS']).toEqual([
    '127.0.0.1:25080->8080',
    '[::1]:25080->8080',
  ]);
  expect(formatGatewayBinds([])).toEqual([]);
});

test('renderBootstrap: ports 15000, 15021 and 15090 on the pod address, ADS (D9.04, partly C1.02, F)', () => {
  const message = messageFromJson(BootstrapSchema, renderBootstrap({ node: reviews, discovery }));
  const ports = message.staticResources?.listeners.map((listener) => listener.name);
  expect(ports).toEqual(['127.80.0.2_15090', '127.80.0.2_15021']);
  expect(message.admin?.address?.address).toMatchObject({
    case: 'socketAddress',
    value: { address: '127.80.0.2', portSpecifier: { value: 15000 } },
  });
  expect(message.staticResources?.clusters.map((cluster) => cluster.name)).toEqual([
    'prometheus_stats',
    'agent',
    'xds-grpc',
  ]);
});

test('renderBootstrap: delta unless ISTIO_DELTA_XDS of the proxyMetadata says false (B3.01)', () => {
  const apiType = (proxyMetadata?: Readonly<Record<string, string>>): unknown => {
    const node = proxyMetadata === undefined ? reviews : { ...reviews, proxyMetadata };
    const message = messageFromJson(BootstrapSchema, renderBootstrap({ node, discovery }));
    return message.dynamicResources?.adsConfig?.apiType;
  };
  expect(apiType()).toBe(ApiConfigSource_ApiType.DELTA_GRPC);
  expect(apiType({ ISTIO_DELTA_XDS: 'true' })).toBe(ApiConfigSource_ApiType.DELTA_GRPC);
  expect(apiType({ ISTIO_DELTA_XDS: 'perhaps' })).toBe(ApiConfigSource_ApiType.DELTA_GRPC);
  expect(apiType({ ISTIO_DELTA_XDS: 'false' })).toBe(ApiConfigSource_ApiType.GRPC);
  expect(apiType({ ISTIO_DELTA_XDS: '0' })).toBe(ApiConfigSource_ApiType.GRPC);
});

test('renderBootstrap: our own proxy accepts it', () => {
  for (const node of [reviews, gateway]) {
    const options = readOptions(messageFromJson(BootstrapSchema, renderBootstrap({ node, discovery })));
    expect(options.ads?.cluster).toBe('xds-grpc');
    expect(options.admin).toEqual({ address: node.ipAddresses[0], port: 15000 });
  }
});

test.skipIf(needs('envoy'))('renderBootstrap: stock Envoy accepts it', () => {
  const directory = mkdtempSync(join(tmpdir(), 'fairlead-bootstrap-'));
  try {
    for (const node of [reviews, gateway]) {
      const file = join(directory, `${node.podName}.json`);
      writeFileSync(file, JSON.stringify(renderBootstrap({ node, discovery })));
      const run = spawnSync('envoy', ['--mode', 'validate', '-c', file, '-l', 'warning'], {
        encoding: 'utf8',
      });
      expect(run.stderr + run.stdout).not.toMatch(/deprecated/i);
      expect({ status: run.status, output: run.stdout + run.stderr }).toMatchObject({ status: 0 });
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});
