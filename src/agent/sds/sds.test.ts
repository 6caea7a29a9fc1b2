// The agent's SDS: secrets of files over a Unix socket, to a bare client and to stock Envoy.
import { mkdirSync, mkdtempSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { connect } from 'node:tls';
import { Client, credentials } from '@grpc/grpc-js';
import type { ClientDuplexStream } from '@grpc/grpc-js';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { JsonObject } from '@bufbuild/protobuf';
import { afterEach, describe, expect, test } from 'vitest';
import type { Authority, Certificate } from '../../../test/support/certificates.ts';
import { createAuthority } from '../../../test/support/certificates.ts';
import { FakeClock } from '../../../test/support/fake-clock.ts';
import { startProxyProcess } from '../../../test/support/proxy-process.ts';
import { needs } from '../../../test/support/tools.ts';
import { waitFor } from '../../../test/support/wait.ts';
import type { Secret } from '../../api/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { SecretSchema } from '../../api/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import type { DiscoveryResponse } from '../../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import {
  DiscoveryRequestSchema,
  DiscoveryResponseSchema,
} from '../../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import type { Clock } from '../../base/clock.ts';
import { systemClock } from '../../base/clock.ts';
import { LoggerRegistry } from '../../base/logger.ts';
import { typeUrls } from '../../xds/types.ts';
import { renderBootstrap } from '../bootstrap.ts';
import { defaultNodeIdentity } from '../node-identity.ts';
import { secretFilesOf, workloadFilesIn } from './secret-files.ts';
import { SecretServer } from './secret-server.ts';

const opened: { close(): unknown }[] = [];
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close();
});

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'fairlead-sds-'));
  opened.push({ close: () => rmSync(path, { recursive: true, force: true }) });
  return path;
}

async function serve(directory: string, clock: Clock) {
  const logs: string[] = [];
  const socket = join(directory, 'uds/socket');
  const server = new SecretServer({
    workload: workloadFilesIn(directory),
    socket,
    clock,
    logger: new LoggerRegistry({ level: 'info', write: (line) => void logs.push(line) }).logger('sds'),
  });
  await server.listen();
  opened.push(server);
  return { socket, logs };
}

class SdsClient {
  readonly secrets: Secret[] = [];
  readonly #client: Client;
  readonly #call: ClientDuplexStream<Buffer, Buffer>;

  constructor(socket: string) {
    this.#client = new Client(`unix:${socket}`, credentials.createInsecure());
    const raw = (bytes: Buffer): Buffer => bytes;
    const path = '/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets';
    this.#call = this.#client.makeBidiStreamRequest(path, raw, raw);
    this.#call.on('error', () => {});
    this.#call.on('data', (bytes: Buffer) => this.#take(fromBinary(DiscoveryResponseSchema, bytes)));
    opened.push({ close: () => (this.#call.cancel(), this.#client.close()) });
  }

  ask(...resourceNames: string[]): this {
    this.#send({ node: { id: 'proxy' }, resourceNames, typeUrl: typeUrls.secret });
    this.#names = resourceNames;
    return this;
  }
  #names: string[] = [];

  #take({ resources, nonce, versionInfo }: DiscoveryResponse): void {
    for (const { value } of resources) this.secrets.push(fromBinary(SecretSchema, value));
    this.#send({ typeUrl: typeUrls.secret, resourceNames: this.#names, responseNonce: nonce, versionInfo });
  }

  #send(request: Parameters<typeof create<typeof DiscoveryRequestSchema>>[1]): void {
    this.#call.write(Buffer.from(toBinary(DiscoveryRequestSchema, create(DiscoveryRequestSchema, request))));
  }

  /** Name and text of the `count`-th secret that came. */
  async nth(count: number): Promise<readonly [string, string | undefined]> {
    await waitFor(`secret ${count}`, () => this.secrets.length >= count || undefined, 5000);
    const secret = this.secrets[count - 1];
    const source =
      secret?.type.case === 'tlsCertificate'
        ? secret.type.value.certificateChain
        : secret?.type.case === 'validationContext'
          ? secret.type.value.trustedCa
          : undefined;
    const bytes = source?.specifier.value as Uint8Array | undefined;
    return [secret?.name ?? '', bytes === undefined ? undefined : Buffer.from(bytes).toString()];
  }
}

function mount(directory: string, { chain, key }: Certificate, root: string): void {
  // As Kubernetes mounts a Secret: a folder that a symlink is pointed to.
  const version = join(directory, `..${String(statSync(directory).mtimeMs)}-${Math.abs(chain.length)}`);
  mkdirSync(version, { recursive: true });
  writeFileSync(join(version, 'cert-chain.pem'), chain);
  writeFileSync(join(version, 'key.pem'), key);
  writeFileSync(join(version, 'root-cert.pem'), root);
  symlinkSync(version, join(directory, '..tmp'));
  renameSync(join(directory, '..tmp'), join(directory, '..data'));
  for (const name of ['cert-chain.pem', 'key.pem', 'root-cert.pem'])
    try {
      symlinkSync(join('..data', name), join(directory, name));
    } catch {
      // It is there since the first time.
    }
}

test('names of secrets: which files each means (B5.13)', () => {
  const of = (name: string) => secretFilesOf(name, workloadFilesIn('/certs'));
  expect(of('default')).toMatchObject({
    kind: 'pair',
    certificateChain: '/certs/cert-chain.pem',
    privateKey: '/certs/key.pem',
  });
  expect(of('ROOTCA')).toEqual({ kind: 'root', path: '/certs/root-cert.pem' });
  expect(of('file-cert:/a/c.pem~/a/k.pem')).toEqual({
    kind: 'pair',
    certificateChain: '/a/c.pem',
    privateKey: '/a/k.pem',
  });
  expect(of('file-root:/a/ca.pem')).toEqual({ kind: 'root', path: '/a/ca.pem' });
  expect(of('file-root:system')).toMatchObject({
    kind: 'root',
    path: expect.stringMatching(/^\/etc\//) as string,
  });
  for (const name of [
    '',
    'other',
    'kubernetes://a',
    'file-cert:/a',
    'file-cert:/a~',
    'file-cert:a~b~c',
    'file-root:',
    'file-root:a~b',
  ])
    expect(of(name), name).toBeUndefined();
});

describe.skipIf(needs('openssl'))('secrets of files', () => {
  test('default, ROOTCA and files; what comes late is sent when it is there (B5.13)', async () => {
    const [directory, work] = [folder(), folder()];
    const authority = createAuthority(work, 'mesh');
    const [first, second] = [authority.issue('a.test'), authority.issue('b.test', 'longer.test')];
    const clock = new FakeClock();
    const { socket, logs } = await serve(directory, clock);
    expect(statSync(socket).mode & 0o777).toBe(0o600);
    const early = new SdsClient(socket).ask('default', 'nonsense');
    await waitFor(
      'the request',
      () => logs.some((line) => line.includes('"nonsense" is not served')) || undefined,
    );
    mount(directory, first, authority.chain);
    clock.advance(1000);
    expect(await early.nth(1)).toEqual(['default', first.chain]);
    writeFileSync(join(directory, 'c.pem'), second.chain);
    writeFileSync(join(directory, 'k.pem'), second.key);
    const name = `file-cert:${directory}/c.pem~${directory}/k.pem`;
    const all = new SdsClient(socket).ask('ROOTCA', name, `file-root:${directory}/root-cert.pem`);
    expect([await all.nth(1), await all.nth(2), await all.nth(3)]).toEqual([
      ['ROOTCA', authority.chain],
      [name, second.chain],
      [`file-root:${directory}/root-cert.pem`, authority.chain],
    ]);
    // A swap of the mount: each stream gets what it asked for, and nothing else.
    mount(directory, second, authority.chain);
    clock.advance(1000);
    expect(await early.nth(2)).toEqual(['default', second.chain]);
    expect(all.secrets).toHaveLength(3);
  });

  test('half a rotation, garbage and a file that goes leave what is served as it is', async () => {
    const [directory, work] = [folder(), folder()];
    const authority = createAuthority(work, 'mesh');
    const [first, second] = [authority.issue('a.test'), authority.issue('b.test')];
    const clock = new FakeClock();
    const write = (file: string, text: string): void => {
      writeFileSync(join(directory, file), text);
      clock.advance(1000);
    };
    write('cert-chain.pem', first.chain);
    write('key.pem', first.key);
    const { socket, logs } = await serve(directory, clock);
    const client = new SdsClient(socket).ask('default');
    expect(await client.nth(1)).toEqual(['default', first.chain]);
    write('cert-chain.pem', second.chain);
    write('key.pem', 'no key');
    rmSync(join(directory, 'key.pem'));
    clock.advance(1000);
    expect(logs.filter((line) => line.includes('what was read before is served'))).toHaveLength(3);
    write('key.pem', second.key);
    expect(await client.nth(2)).toEqual(['default', second.chain]);
    expect(logs.join('\n')).not.toContain('no key');
    expect(client.secrets).toHaveLength(2);
  });
});

describe.skipIf(needs('envoy', 'openssl'))('stock Envoy', () => {
  test('a listener with the workload’s certificate, rotated without a connection being lost (B5.13)', async () => {
    const [directory, work] = [folder(), folder()];
    const authority: Authority = createAuthority(work, 'mesh');
    mount(directory, authority.issue('a.test'), authority.chain);
    const { socket } = await serve(directory, systemClock);
    const [host, port, adminPort] = ['127.46.2.1', 24_700, 24_710];
    const bootstrap = renderBootstrap({
      node: {
        ...defaultNodeIdentity,
        type: 'sidecar',
        ipAddresses: [host],
        podName: 'web-0',
        namespace: 'default',
        labels: {},
        workloadName: 'web',
        interception: { mode: 'none' },
        hasCertificates: true,
      },
      discovery: { address: '127.0.0.1', port: 24_799 },
      bindAddress: '127.0.0.1',
      adminPort,
      statusPort: adminPort + 1,
      prometheusPort: adminPort + 2,
      sdsSocket: socket,
    });
    const envoy = await startProxyProcess(
      'envoy',
      JSON.stringify(withListener(bootstrap, host, port)),
      adminPort,
    );
    opened.push({ close: () => envoy.stop() });
    const client = authority.issue('client.test');
    const dial = (): Promise<TLSSocket> =>
      new Promise((resolve, reject) => {
        const own = { cert: client.chain, key: client.key, ca: authority.chain };
        const connection = connect({ host, port, servername: 'a.test', ...own }, () => resolve(connection));
        connection.once('error', reject);
        connection.once('close', () => reject(new Error('closed')));
        opened.push({ close: () => connection.destroy() });
      });
    const ask = (connection: TLSSocket): Promise<string> =>
      new Promise((resolve, reject) => {
        connection.once('data', (chunk: Buffer) => resolve(chunk.toString().split('\r\n')[0] ?? ''));
        connection.once('close', () => reject(new Error('closed')));
        connection.write('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n');
      });
    const serialOf = (connection: TLSSocket): string => connection.getPeerCertificate().serialNumber;
    const first = await waitFor('TLS', () => dial().catch(() => undefined), 15_000);
    expect(await ask(first)).toBe('HTTP/1.1 200 OK');
    mount(directory, authority.issue('a.test', 'rotated.test'), authority.chain);
    const second = await waitFor(
      'the new certificate',
      async () => {
        const connection = await dial();
        return serialOf(connection) === serialOf(first) ? undefined : connection;
      },
      15_000,
      200,
    );
    expect(await ask(second)).toBe('HTTP/1.1 200 OK');
    expect(await ask(first)).toBe('HTTP/1.1 200 OK');
    const { body } = await envoy.admin('/stats?filter=sds.*rejected|update_rejected');
    expect(
      [...body.matchAll(/: (\d+)/g)].map(([, count]) => Number(count)).filter((count) => count > 0),
    ).toEqual([]);
  }, 60_000);
});

/** A listener as the control plane writes it for a sidecar: certificate and roots from the agent. */
function withListener(bootstrap: JsonObject, address: string, port: number): JsonObject {
  const sdsConfig = {
    resource_api_version: 'V3',
    initial_fetch_timeout: '0s',
    api_config_source: {
      api_type: 'GRPC',
      transport_api_version: 'V3',
      set_node_on_first_message_only: true,
      grpc_services: [{ envoy_grpc: { cluster_name: 'sds-grpc' } }],
    },
  };
  const type = (name: string): string => `type.googleapis.com/envoy.extensions.${name}`;
  const listener = {
    name: 'tls',
    address: { socket_address: { address, port_value: port } },
    filter_chains: [
      {
        transport_socket: {
          name: 'envoy.transport_sockets.tls',
          typed_config: {
            '@type': type('transport_sockets.tls.v3.DownstreamTlsContext'),
            require_client_certificate: true,
            common_tls_context: {
              tls_certificate_sds_secret_configs: [{ name: 'default', sds_config: sdsConfig }],
              combined_validation_context: {
                default_validation_context: {},
                validation_context_sds_secret_config: { name: 'ROOTCA', sds_config: sdsConfig },
              },
            },
          },
        },
        filters: [
          {
            name: 'hcm',
            typed_config: {
              '@type': type('filters.network.http_connection_manager.v3.HttpConnectionManager'),
              stat_prefix: 'tls',
              route_config: {
                virtual_hosts: [
                  {
                    name: 'all',
                    domains: ['*'],
                    routes: [{ match: { prefix: '/' }, direct_response: { status: 200 } }],
                  },
                ],
              },
              http_filters: [
                { name: 'router', typed_config: { '@type': type('filters.http.router.v3.Router') } },
              ],
            },
          },
        ],
      },
    ],
  };
  const resources = bootstrap['static_resources'] as { listeners: JsonObject[] };
  // There is no control plane here: what it would be asked for must not be waited for.
  const { dynamic_resources: _none, ...others } = bootstrap;
  return {
    ...others,
    static_resources: {
      ...resources,
      listeners: [...resources.listeners, listener],
    },
  };
}
