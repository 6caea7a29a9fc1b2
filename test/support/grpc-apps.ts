// gRPC applications without a proxy: plain servers, and the xDS client and server of @grpc/grpc-js-xds.
import { Client, Metadata, Server, ServerCredentials, credentials } from '@grpc/grpc-js';
import type {
  ChannelCredentials,
  ServerUnaryCall,
  ServiceDefinition,
  ServiceError,
  sendUnaryData,
} from '@grpc/grpc-js';
import * as xds from '@grpc/grpc-js-xds';
import { serverListenerPrefix } from '../../src/translate/grpc/names.ts';

xds.register();

/** The library's own way to have several bootstraps in one process. */
const bootstrapOption = 'grpc.TEST_ONLY_DO_NOT_USE_IN_PROD.xds_bootstrap_config';
const method = '/test.Echo/Say';

export interface GrpcNode {
  readonly ip?: string;
  readonly pod?: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** Folder with cert.pem, key.pem and ca.pem for the provider `default`. */
  readonly certificates?: string;
}

/** As Istio's agent writes it for an application that speaks xDS itself. */
export function grpcBootstrap(grpcPort: number, node: GrpcNode = {}): string {
  const { ip = '127.47.9.1', pod = 'client', namespace = 'default', labels = {}, certificates } = node;
  return JSON.stringify({
    xds_servers: [
      {
        server_uri: `127.0.0.1:${grpcPort}`,
        channel_creds: [{ type: 'insecure' }],
        server_features: ['xds_v3'],
      },
    ],
    node: {
      id: `sidecar~${ip}~${pod}.${namespace}~${namespace}.svc.cluster.local`,
      metadata: { GENERATOR: 'grpc', NAMESPACE: namespace, LABELS: labels, CLUSTER_ID: 'Kubernetes' },
      locality: {},
    },
    certificate_providers:
      certificates === undefined
        ? {}
        : {
            default: {
              plugin_name: 'file_watcher',
              config: {
                certificate_file: `${certificates}/cert.pem`,
                private_key_file: `${certificates}/key.pem`,
                ca_certificate_file: `${certificates}/ca.pem`,
                refresh_interval: '900s',
              },
            },
          },
    server_listener_resource_name_template: `${serverListenerPrefix}%s`,
  });
}

export interface EchoOptions {
  /** Answered instead of its name, while it says so. */
  readonly failure?: () => { readonly code: number; readonly details: string } | undefined;
}

/** Answers every call with its name. */
export class EchoServer {
  calls = 0;
  readonly #server: Server;

  constructor(name: string, { failure }: EchoOptions = {}, server: Server = new Server()) {
    this.#server = server;
    const raw = (bytes: Buffer): Buffer => bytes;
    const service: ServiceDefinition = {
      Say: {
        path: method,
        requestStream: false,
        responseStream: false,
        requestSerialize: raw,
        requestDeserialize: raw,
        responseSerialize: raw,
        responseDeserialize: raw,
      },
    };
    server.addService(service, {
      Say: (_call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>) => {
        this.calls++;
        const failed = failure?.();
        if (failed === undefined) callback(null, Buffer.from(name));
        else callback(failed);
      },
    });
  }

  listen(address: string, using: ServerCredentials = ServerCredentials.createInsecure()): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(address, using, (error, port) => {
        if (error === null) resolve(port);
        else reject(error);
      });
    });
  }

  close(): void {
    this.#server.forceShutdown();
  }
}

/** A server whose listener comes from the control plane. */
export function xdsEchoServer(name: string, bootstrap: string): EchoServer {
  return new EchoServer(name, {}, new xds.XdsServer({ [bootstrapOption]: bootstrap }));
}

export class EchoClient {
  readonly #client: Client;

  /** `xds:///host:port`; without a bootstrap `host:port`, which is called as any client would. */
  constructor(target: string, bootstrap?: string, using: ChannelCredentials = credentials.createInsecure()) {
    this.#client = new Client(target, using, {
      ...(bootstrap === undefined ? {} : { [bootstrapOption]: bootstrap }),
      'grpc.use_local_subchannel_pool': 1,
    });
  }

  /** The name of the server that answered. Rejects with the ServiceError. */
  say(headers: Readonly<Record<string, string>> = {}, timeoutMs = 5000): Promise<string> {
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
    const raw = (bytes: Buffer): Buffer => bytes;
    const deadline = new Date(Date.now() + timeoutMs);
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        method,
        raw,
        raw,
        Buffer.alloc(0),
        metadata,
        { deadline },
        (error: ServiceError | null, answer?: Buffer) => {
          if (error === null) resolve(String(answer));
          else reject(error);
        },
      );
    });
  }

  /** Server -> how many of `count` calls it answered; `code N` for those that failed. */
  async tally(
    count: number,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Record<string, number>> {
    const found: Record<string, number> = {};
    for (let index = 0; index < count; index++) {
      const name = await this.say(headers).catch((error: ServiceError) => `code ${error.code}`);
      found[name] = (found[name] ?? 0) + 1;
    }
    return found;
  }

  close(): void {
    this.#client.close();
  }
}

/** Certificates from the bootstrap's provider where the control plane asks for them, else in clear. */
export const xdsChannelCredentials = (): ChannelCredentials =>
  new xds.XdsChannelCredentials(credentials.createInsecure());
export const xdsServerCredentials = (): ServerCredentials =>
  new xds.XdsServerCredentials(ServerCredentials.createInsecure());
