// Stock Envoy under our control plane, over every config that we have: it must refuse nothing.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Server } from '@grpc/grpc-js';
import type { JsonValue } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { renderBootstrap } from '../src/agent/bootstrap.ts';
import type { NodeIdentity } from '../src/agent/node-identity.ts';
import { defaultNodeIdentity } from '../src/agent/node-identity.ts';
import { LoggerRegistry } from '../src/base/logger.ts';
import { defaultMeshConfig } from '../src/config/mesh-config.ts';
import { readText } from '../src/config/reader.ts';
import { ConfigStore } from '../src/config/store.ts';
import { configKey } from '../src/config/config.ts';
import type { Pilot } from '../src/pilot/pilot.ts';
import { startPilot } from '../src/pilot/pilot.ts';
import type { AnyResourceKind } from '../src/pilot/resources/resources.ts';
import { messageFromJson, messageToJson } from '../src/api/any.ts';
import { readCases } from '../conformance/case.ts';
import { corpus } from '../test/fields/corpus.ts';
import { createAuthority } from '../test/support/certificates.ts';
import { readGoldenCases } from '../test/support/golden.ts';
import type { ProxyProcess } from '../test/support/proxy-process.ts';
import { startProxyProcess } from '../test/support/proxy-process.ts';
import { proxyKinds } from '../test/support/golden.ts';
import { startSecretServer } from '../test/support/secret-server.ts';
import { needs } from '../test/support/tools.ts';
import { waitFor } from '../test/support/wait.ts';
import { randomMesh } from './generate-mesh.ts';

const meshes = 40;
const ports = { sidecar: 22993, gateway: 22994, outbound: 22995, inbound: 22996, secrets: 22997 };

interface Corpus {
  readonly name: string;
  readonly config: string;
}

/** All that we have: golden and field cases, conformance cases, and random meshes. */
function everything(): readonly Corpus[] {
  const root = join(import.meta.dirname, '..');
  return [
    ...readGoldenCases(join(root, 'test/golden')),
    ...corpus(),
    ...readCases(join(root, 'conformance/cases')),
    ...Array.from({ length: meshes }, (_, index) => ({
      name: `random mesh ${index + 1}`,
      config: randomMesh(index + 1).join('---\n'),
    })),
  ];
}

describe.skipIf(needs('envoy', 'openssl'))('stock Envoy over ADS', () => {
  const store = new ConfigStore();
  const refusals: string[] = [];
  const directory = mkdtempSync(join(tmpdir(), 'fairlead-accepts-'));
  let pilot: Pilot;
  let secrets: Server;
  const proxies: ProxyProcess[] = [];

  beforeAll(async () => {
    const authority = createAuthority(directory, 'mesh');
    secrets = await startSecretServer(ports.secrets, authority.issue('a.example.com'), authority.chain);
    pilot = await startPilot({
      store,
      loggers: new LoggerRegistry({ level: 'off' }),
      grpcAddress: '127.0.0.1:0',
      httpAddress: '127.0.0.1:0',
      kinds: (proxyKinds as unknown as readonly AnyResourceKind[]).map(withSecretServer),
      meshConfig: {
        ...defaultMeshConfig,
        proxyListenPort: ports.outbound,
        proxyInboundListenPort: ports.inbound,
      },
    });
    proxies.push(
      await startEnvoy('sidecar', {
        type: 'sidecar',
        namespace: 'default',
        labels: { app: 'a', version: 'v1' },
        ipAddresses: ['10.1.0.1'],
        interception: { mode: 'redirect' },
      }),
      await startEnvoy('gateway', {
        type: 'router',
        namespace: 'istio-system',
        labels: { istio: 'ingressgateway', app: 'gateway' },
        // An address of its own: it binds what Gateways say.
        ipAddresses: ['127.109.250.1'],
        interception: { mode: 'loopback', httpProxyPort: 0, gatewayBinds: [] },
      }),
    );
  });

  afterAll(async () => {
    await Promise.all(proxies.map((proxy) => proxy.stop()));
    await pilot.close();
    secrets.forceShutdown();
    rmSync(directory, { recursive: true });
  });

  async function startEnvoy(
    place: 'sidecar' | 'gateway',
    identity: Pick<NodeIdentity, 'type' | 'namespace' | 'labels' | 'ipAddresses' | 'interception'>,
  ): Promise<ProxyProcess> {
    const adminPort = ports[place];
    const bootstrap = renderBootstrap({
      node: {
        ...defaultNodeIdentity,
        podName: place,
        workloadName: place,
        ...identity,
      },
      discovery: { address: '127.0.0.1', port: pilot.grpcPort },
      adminPort,
    });
    const admin = { ...(bootstrap['admin'] as object), address: address('127.0.0.1', adminPort) };
    // With certificates, so that everything that speaks of them is sent.
    const node = bootstrap['node'] as { metadata: Record<string, unknown> };
    delete node.metadata['FAIRLEAD_WORKLOAD_CERTIFICATES'];
    const resources = bootstrap['static_resources'] as { clusters: unknown[] };
    const secrets = {
      name: 'sds-grpc',
      type: 'STATIC',
      typed_extension_protocol_options: {
        'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
          '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
          explicit_http_config: { http2_protocol_options: {} },
        },
      },
      load_assignment: {
        cluster_name: 'sds-grpc',
        endpoints: [{ lb_endpoints: [{ endpoint: { address: address('127.0.0.1', ports.secrets) } }] }],
      },
    };
    return startProxyProcess(
      'envoy',
      JSON.stringify({
        ...bootstrap,
        admin,
        node,
        // Without the listeners for probes and statistics, which bind the pod's address.
        static_resources: { clusters: [...resources.clusters, secrets] },
      }),
      adminPort,
    );
  }

  test('every golden, field and conformance case, and random meshes: no resource is refused (B2.02, C13.06)', async () => {
    await waitFor('both proxies', () => pilot.connections.size === 2 || undefined);
    const settled = (): true | undefined =>
      [...pilot.connections].every((connection) => connection.isSettled()) ? true : undefined;
    // Nothing at first: later clusters may wait for their secrets without keeping Envoy from asking for listeners.
    await waitFor('the proxies to have an empty mesh', settled);
    for (const { name, config } of everything()) {
      // Envoy reads the file of a revocation list at once, and there is none.
      const { configs } = readText(`${name}.yaml`, config.replaceAll(/^ *caCrl: .*\n/gm, ''));
      const keys = new Set(configs.map(configKey));
      const gone = store.keysOf('corpus').filter((key) => !keys.has(key));
      store.applyBatch('corpus', configs, gone);
      try {
        await waitFor(`the proxies to have ${name}`, settled);
      } catch (error) {
        throw new Error(proxies.map((proxy) => proxy.output().slice(-2000)).join('\n'), { cause: error });
      }
      for (const connection of pilot.connections)
        for (const refusal of connection.refusals())
          refusals.push(`${name}: ${refusal.resource.name} ${refusal.message}`);
    }
    expect(refusals).toEqual([]);
  }, 240_000);
});

/**
 * Secrets of gateways come over ADS, and nobody serves them there yet: they are asked of the secret server.
 * Envoy answers for no cluster before its secrets are there.
 */
function withSecretServer(kind: AnyResourceKind): AnyResourceKind {
  return {
    ...kind,
    build: (input) => {
      const built = kind.build(input);
      const json = redirected(messageToJson(kind.schema, built.message));
      return { ...built, message: messageFromJson(kind.schema, json) };
    },
  };
}

function redirected(json: JsonValue): JsonValue {
  if (Array.isArray(json)) return json.map(redirected);
  if (typeof json !== 'object' || json === null) return json;
  return Object.fromEntries(
    Object.entries(json).map(([key, value]) => [
      key,
      key === 'sdsConfig' && typeof value === 'object' && value !== null && 'ads' in value
        ? secretServer
        : redirected(value),
    ]),
  );
}

const secretServer: JsonValue = {
  apiConfigSource: {
    apiType: 'GRPC',
    transportApiVersion: 'V3',
    grpcServices: [{ envoyGrpc: { clusterName: 'sds-grpc' } }],
  },
  resourceApiVersion: 'V3',
};

function address(host: string, port: number): unknown {
  return { socket_address: { address: host, port_value: port } };
}
