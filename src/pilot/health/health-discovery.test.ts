import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { Server } from 'node:http';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { credentials, status } from '@grpc/grpc-js';
import { fromBinary } from '@bufbuild/protobuf';
import { afterEach, expect, test } from 'vitest';
import { BareAdsClient } from '../../../test/support/ads-client.ts';
import { createAuthority } from '../../../test/support/certificates.ts';
import { startProxyProcess } from '../../../test/support/proxy-process.ts';
import { ReportClient } from '../../../test/support/report-client.ts';
import { needs } from '../../../test/support/tools.ts';
import { waitFor } from '../../../test/support/wait.ts';
import { configsOfYaml } from '../../../test/support/world.ts';
import { HealthStatus } from '../../api/gen/envoy/config/core/v3/health_check_pb.js';
import { ClusterLoadAssignmentSchema } from '../../api/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import {
  Capability_Protocol,
  HealthCheckRequestOrEndpointHealthResponseSchema,
  HealthCheckSpecifierSchema,
} from '../../api/gen/envoy/service/health/v3/hds_pb.js';
import { LoggerRegistry } from '../../base/logger.ts';
import { readText } from '../../config/reader.ts';
import { ConfigStore } from '../../config/store.ts';
import { typeUrls } from '../../xds/types.ts';
import type { Pilot, PilotOptions } from '../pilot.ts';
import { startPilot } from '../pilot.ts';
import { checkHealthReporter } from '../report-services.ts';

const path = '/envoy.service.health.v3.HealthDiscoveryService/StreamHealthCheck';
const node = { id: 'sidecar~10.1.0.1~pod.default~default.svc.cluster.local' };
const cluster = 'outbound|80||ext.example.com';
const name = 'default/ext.example.com:80';
const port = 25_021;
const adminPort = 25_022;
const addresses = ['127.47.3.1', '127.47.3.2'] as const;
const closing: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

const entry = (check: string, endpoints: readonly string[] = addresses): string => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: ext, namespace: default, annotations: { fairlead/health-check: '${check}' } }
spec:
  hosts: [ext.example.com]
  resolution: STATIC
  ports: [{ number: 80, name: http, protocol: HTTP, targetPort: ${port} }]
  endpoints: [${endpoints.map((address) => `{ address: ${address}, locality: r/z }`).join(', ')}]
`;

interface Mesh {
  readonly pilot: Pilot;
  put(yaml: string): void;
}

async function start(yaml: string, part: Partial<PilotOptions> = {}): Promise<Mesh> {
  const store = new ConfigStore();
  const put = (text: string): void => void store.applyBatch('test', configsOfYaml(text), []);
  put(yaml);
  const pilot = await startPilot({
    store,
    loggers: new LoggerRegistry({ level: 'off' }),
    grpcAddress: '127.0.0.1:0',
    httpAddress: '127.0.0.1:0',
    ...part,
  });
  closing.push(() => pilot.close());
  return { pilot, put };
}

function client(pilot: Pilot) {
  const made = new ReportClient(
    pilot.grpcPort,
    path,
    HealthCheckRequestOrEndpointHealthResponseSchema,
    HealthCheckSpecifierSchema,
  );
  closing.push(() => made.close());
  return made;
}

/** Offers to check. */
function offer(pilot: Pilot, protocols = [Capability_Protocol.HTTP, Capability_Protocol.TCP]) {
  const made = client(pilot);
  made.send({
    requestType: {
      case: 'healthCheckRequest',
      value: { node, capability: { healthCheckProtocols: protocols } },
    },
  });
  return made;
}

function report(
  checker: ReturnType<typeof client>,
  found: Readonly<Record<string, HealthStatus>>,
  clusterName = name,
): void {
  const endpointsHealth = Object.entries(found).map(([address, healthStatus]) => ({
    healthStatus,
    endpoint: {
      address: {
        address: {
          case: 'socketAddress' as const,
          value: { address, portSpecifier: { case: 'portValue' as const, value: port } },
        },
      },
    },
  }));
  checker.send({
    requestType: {
      case: 'endpointHealthResponse',
      value: {
        clusterEndpointsHealth: [{ clusterName, localityEndpointsHealth: [{ endpointsHealth }] }],
      },
    },
  });
}

/** What a proxy is sent of the endpoints, whenever that changes. */
class Watcher {
  latest: readonly string[] = [];
  readonly #ads: BareAdsClient;

  constructor(pilot: Pilot) {
    this.#ads = new BareAdsClient(pilot.grpcPort);
    closing.push(() => this.#ads.close());
    this.#ads.send({ typeUrl: typeUrls.endpoint, node, resourceNames: [cluster] });
  }

  /** Resolves when the endpoints are these: `address health`. */
  async until(...wanted: readonly string[]): Promise<void> {
    while (this.latest.join() !== wanted.join()) {
      const response = await this.#ads.next();
      this.#ads.ack(response, [cluster]);
      const [resource] = response.resources;
      const { endpoints } = fromBinary(ClusterLoadAssignmentSchema, resource?.value ?? new Uint8Array());
      this.latest = endpoints.flatMap(({ lbEndpoints }) =>
        lbEndpoints.map(({ hostIdentifier, healthStatus }) => {
          const address =
            hostIdentifier.case === 'endpoint' ? hostIdentifier.value.address?.address : undefined;
          const text = address?.case === 'socketAddress' ? address.value.address : '';
          return `${text} ${HealthStatus[healthStatus]}`;
        }),
      );
    }
  }
}

const [first, second] = addresses;
const allWell = [`${first} HEALTHY`, `${second} HEALTHY`];
const secondUnwell = [`${first} HEALTHY`, `${second} UNHEALTHY`];

test('HealthDiscovery: a client is told what services ask to have checked, and again when that changes (B5.10)', async () => {
  const mesh = await start(entry('http:/healthz interval=1s timeout=200ms unhealthy=2'));
  const checker = offer(mesh.pilot);
  const specifier = await checker.response(0);
  expect(specifier.interval).toMatchObject({ seconds: 1n });
  expect(specifier.clusterHealthChecks).toMatchObject([
    {
      clusterName: name,
      healthChecks: [
        {
          interval: { seconds: 1n },
          timeout: { nanos: 200_000_000 },
          unhealthyThreshold: 2,
          healthyThreshold: 1,
          healthChecker: {
            case: 'httpHealthCheck',
            value: { host: 'ext.example.com', path: '/healthz' },
          },
        },
      ],
      localityEndpoints: [{ locality: { region: 'r', zone: 'z' }, endpoints: [{}, {}] }],
    },
  ]);
  mesh.put(entry('http:/healthz interval=1s timeout=200ms unhealthy=2', [first]));
  const changed = await checker.response(1);
  expect(changed.clusterHealthChecks[0]?.localityEndpoints[0]?.endpoints).toHaveLength(1);
  // One that cannot ask over HTTP is not told to.
  const simple = offer(mesh.pilot, [Capability_Protocol.TCP]);
  expect((await simple.response(0)).clusterHealthChecks).toEqual([]);
});

test('HealthDiscovery: what is found unwell is so in EDS, until it is well or the client goes (B5.10)', async () => {
  const { pilot } = await start(entry('tcp'));
  const proxy = new Watcher(pilot);
  await proxy.until(...allWell);
  const checker = offer(pilot);
  await checker.response(0);
  report(checker, { [first]: HealthStatus.HEALTHY, [second]: HealthStatus.TIMEOUT });
  await proxy.until(...secondUnwell);
  const page = await fetch(`http://127.0.0.1:${pilot.httpPort}/debug/health`);
  expect(await page.json()).toEqual({
    clients: 1,
    unwell: { 'default/ext.example.com': [`${second}:${port}`] },
  });
  report(checker, { [first]: HealthStatus.HEALTHY, [second]: HealthStatus.HEALTHY });
  await proxy.until(...allWell);
  report(checker, { [second]: HealthStatus.UNHEALTHY });
  await proxy.until(...secondUnwell);
  checker.close();
  await proxy.until(...allWell);
  // Nothing of this was a reason to tell the next client anew.
  expect(checker.responses).toHaveLength(1);
});

test('HealthDiscovery: what it was not asked about, garbage and reports without an offer change nothing (partly B5.10)', async () => {
  const { pilot } = await start(entry('tcp'));
  const checker = offer(pilot);
  await checker.response(0);
  report(checker, { '10.9.9.9': HealthStatus.UNHEALTHY });
  report(checker, { [first]: HealthStatus.UNHEALTHY }, 'default/other.example.com:80');
  const [nobody, garbled, silent] = [client(pilot), client(pilot), client(pilot)];
  report(nobody, { [first]: HealthStatus.UNHEALTHY });
  expect((await nobody.failure()).details).toBe('missing node information');
  garbled.sendBytes(new Uint8Array([255, 255]));
  expect((await garbled.failure()).code).toBe(status.INVALID_ARGUMENT);
  silent.send({});
  expect((await silent.failure()).code).toBe(status.INVALID_ARGUMENT);
  const page = await fetch(`http://127.0.0.1:${pilot.httpPort}/debug/health`);
  expect(await page.json()).toEqual({ clients: 1, unwell: {} });
});

test('checkHealthReporter: in plaintext only clients of this machine are believed (partly B5.10)', () => {
  for (const near of ['127.0.0.1:4711', '[::1]:4711', '::1:4711']) checkHealthReporter(near, undefined);
  checkHealthReporter('10.9.9.9:4711', { namespace: 'default', serviceAccount: 'a' });
  for (const far of ['10.9.9.9:4711', '[2001:db8::1]:4711'])
    expect(() => checkHealthReporter(far, undefined)).toThrow('authentication required');
});

test.skipIf(needs('openssl'))(
  'HealthDiscovery: through TLS as whoever the certificate says, and nobody else (partly B5.10, partly B1.07)',
  async () => {
    const directory = mkdtempSync(join(tmpdir(), 'fairlead-hds-'));
    closing.push(() => rmSync(directory, { recursive: true }));
    const authority = createAuthority(directory, 'mesh');
    const write = (file: string, text: string): string => {
      writeFileSync(join(directory, file), text);
      return join(directory, file);
    };
    const server = authority.issue('istiod.istio-system.svc');
    const { pilot } = await start(entry('tcp'), {
      secure: {
        address: '127.0.0.1:0',
        files: {
          certificate: write('tls.crt', server.chain),
          key: write('tls.key', server.key),
          ca: write('ca.crt', authority.chain),
        },
      },
    });
    const offerAs = (namespace?: string) => {
      const own =
        namespace === undefined
          ? undefined
          : authority.issue(`checker.${namespace}`, `spiffe://cluster.local/ns/${namespace}/sa/checker`);
      const checker = new ReportClient(
        pilot.securePort ?? 0,
        path,
        HealthCheckRequestOrEndpointHealthResponseSchema,
        HealthCheckSpecifierSchema,
        credentials.createSsl(
          Buffer.from(authority.chain),
          own === undefined ? null : Buffer.from(own.key),
          own === undefined ? null : Buffer.from(own.chain),
        ),
      );
      closing.push(() => checker.close());
      const capability = { healthCheckProtocols: [Capability_Protocol.TCP] };
      checker.send({ requestType: { case: 'healthCheckRequest', value: { node, capability } } });
      return checker;
    };
    expect((await offerAs('default').response(0)).clusterHealthChecks).toHaveLength(1);
    expect((await offerAs('other').failure()).code).toBe(status.PERMISSION_DENIED);
    expect((await offerAs().failure()).code).toBe(status.UNAUTHENTICATED);
  },
);

test('HealthDiscovery: an annotation that cannot be understood is refused where it stands', () => {
  const { diagnostics } = readText('in.yaml', entry('grpc'));
  expect(diagnostics.map(({ fieldPath, severity }) => `${severity} ${fieldPath.join('.')}`)).toEqual([
    'error metadata.annotations.fairlead/health-check',
  ]);
});

test.skipIf(needs('envoy'))(
  'HealthDiscovery: stock Envoy checks by hds_config, and what fails its checks is unwell in EDS (B5.10)',
  async () => {
    let broken = false;
    const apps = addresses.map((address): Server => {
      const app = createServer((_request, response) => {
        response.statusCode = broken && address === second ? 503 : 200;
        response.end();
      });
      app.listen(port, address);
      closing.push(() => new Promise<void>((resolve) => void app.close(() => resolve())));
      return app;
    });
    expect(apps).toHaveLength(2);
    const { pilot } = await start(entry('http:/healthz interval=500ms timeout=300ms unhealthy=1'));
    const proxy = new Watcher(pilot);
    await proxy.until(...allWell);
    const envoy = await startProxyProcess('envoy', JSON.stringify(bootstrap(pilot.grpcPort)), adminPort);
    closing.push(() => envoy.stop());
    await waitFor('checks', async () => {
      const { body } = await envoy.admin('/stats?filter=hds_delegate.requests');
      return /: [1-9]/.test(body) || undefined;
    });
    broken = true;
    await proxy.until(...secondUnwell);
    broken = false;
    await proxy.until(...allWell);
    broken = true;
    await proxy.until(...secondUnwell);
    await envoy.stop();
    await proxy.until(...allWell);
  },
);

function bootstrap(xdsPort: number): unknown {
  const options = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
  return {
    node: { ...node, cluster: 'test' },
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: adminPort } } },
    hds_config: {
      api_type: 'GRPC',
      transport_api_version: 'V3',
      grpc_services: [{ envoy_grpc: { cluster_name: 'xds' } }],
    },
    static_resources: {
      clusters: [
        {
          name: 'xds',
          type: 'STATIC',
          load_assignment: {
            cluster_name: 'xds',
            endpoints: [
              {
                lb_endpoints: [
                  {
                    endpoint: {
                      address: { socket_address: { address: '127.0.0.1', port_value: xdsPort } },
                    },
                  },
                ],
              },
            ],
          },
          typed_extension_protocol_options: {
            [options]: {
              '@type': `type.googleapis.com/${options}`,
              explicit_http_config: { http2_protocol_options: {} },
            },
          },
        },
      ],
    },
  };
}
