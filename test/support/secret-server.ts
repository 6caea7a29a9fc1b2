// An SDS server that has a secret for every name: what Envoy waits for before it answers for a cluster with TLS.
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { packAny, typeUrlOf } from '../../src/api/any.ts';
import type { Secret } from '../../src/api/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { SecretSchema } from '../../src/api/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import {
  DiscoveryRequestSchema,
  DiscoveryResponseSchema,
} from '../../src/api/gen/envoy/service/discovery/v3/discovery_pb.js';
import type { Certificate } from './certificates.ts';

const service = '/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets';

/** Answers on 127.0.0.1, with `trusted` for names of authorities and `own` for all others. */
export async function startSecretServer(port: number, own: Certificate, trusted: string): Promise<Server> {
  const server = new Server();
  const whole = (bytes: Buffer): Buffer => bytes;
  server.addService(
    {
      StreamSecrets: {
        path: service,
        requestStream: true,
        responseStream: true,
        requestSerialize: whole,
        requestDeserialize: whole,
        responseSerialize: whole,
        responseDeserialize: whole,
      },
    },
    {
      StreamSecrets: (stream: ServerDuplexStream<Buffer, Buffer>) => {
        stream.on('error', () => {});
        stream.on('data', (bytes: Buffer) => {
          const { resourceNames, responseNonce } = fromBinary(DiscoveryRequestSchema, bytes);
          // What has a nonce is an answer to us.
          if (responseNonce !== '') return;
          const response = create(DiscoveryResponseSchema, {
            versionInfo: '1',
            nonce: '1',
            typeUrl: typeUrlOf(SecretSchema),
            resources: resourceNames.map((name) => packAny(SecretSchema, secret(name, own, trusted))),
          });
          stream.write(Buffer.from(toBinary(DiscoveryResponseSchema, response)));
        });
      },
    },
  );
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    );
  });
  return server;
}

function secret(name: string, own: Certificate, trusted: string): Secret {
  const inline = (text: string) => ({ specifier: { case: 'inlineString', value: text } as const });
  const isAuthority = name === 'ROOTCA' || name.startsWith('file-root:') || name.endsWith('-cacert');
  return create(SecretSchema, {
    name,
    type: isAuthority
      ? { case: 'validationContext', value: { trustedCa: inline(trusted) } }
      : {
          case: 'tlsCertificate',
          value: { certificateChain: inline(own.chain), privateKey: inline(own.key) },
        },
  });
}
