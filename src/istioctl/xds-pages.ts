// Debug pages over xDS (`istio.io/debug`), for control planes of which only the xDS port can be reached.
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { checkServerIdentity } from 'node:tls';
import type { ServiceError } from '@grpc/grpc-js';
import { ChannelCredentials, Client, credentials } from '@grpc/grpc-js';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  DiscoveryRequestSchema,
  DiscoveryResponseSchema,
} from '../api/gen/envoy/service/discovery/v3/discovery_pb.js';
import type { Clock } from '../base/clock.ts';
import { UserError } from '../base/user-error.ts';
import { connectionCause, methodPath } from '../xds/client/grpc-transport.ts';
import type { HttpAnswer } from './http-get.ts';

export interface XdsPageOptions {
  /** `host:port` */
  readonly address: string;
  /** Folder with cert-chain.pem, key.pem and root-cert.pem; absent: plaintext. */
  readonly certDirectory?: string | undefined;
  /** Name that the server's certificate must have, if not the address's. */
  readonly authority?: string | undefined;
  /** Of the control plane: who asks is taken to be of it. Default: istio-system. */
  readonly namespace?: string | undefined;
}

const pageType = 'istio.io/debug';
const timeoutMs = 5000;
/** A config dump with endpoints of a large mesh. */
const answerBytesMax = 256 * 1024 * 1024;

/** Asks for pages as an HTTP client would: `/debug/NAME?QUERY`. Rejects where nobody answers. */
export function xdsPages(clock: Clock, options: XdsPageOptions): (path: string) => Promise<HttpAnswer> {
  const channel = channelCredentials(options);
  return (path) => askPage(clock, options, channel, path);
}

function askPage(
  clock: Clock,
  { address, authority, namespace = 'istio-system' }: XdsPageOptions,
  channel: ChannelCredentials,
  path: string,
): Promise<HttpAnswer> {
  const serverName = authority ?? (isIP(hostOf(address)) === 0 ? undefined : nameOfNoAddress);
  const client = new Client(address, channel, {
    'grpc.max_receive_message_length': answerBytesMax,
    'grpc.enable_retries': 0,
    ...(serverName === undefined ? {} : { 'grpc.ssl_target_name_override': serverName }),
    ...(authority === undefined ? {} : { 'grpc.default_authority': authority }),
  });
  const raw = (bytes: Buffer): Buffer => bytes;
  // The address is nobody's, as istioctl's.
  const id = `sidecar~0.0.0.0~istioctl.${namespace}~${namespace}.svc.cluster.local`;
  const request = create(DiscoveryRequestSchema, {
    node: { id, metadata: { NAMESPACE: namespace } },
    typeUrl: pageType,
    resourceNames: [path.replace(/^\/debug\//, '')],
  });
  return new Promise<HttpAnswer>((resolve, reject) => {
    const deadline = { deadline: clock.now() + timeoutMs };
    const call = client.makeBidiStreamRequest(methodPath('sotw', undefined), raw, raw, deadline);
    call.on('data', (bytes: Buffer) => {
      const [resource] = fromBinary(DiscoveryResponseSchema, bytes).resources;
      const body = new TextDecoder().decode(resource?.value);
      resolve({ status: body.startsWith('404 page not found') ? 404 : 200, body });
      call.cancel();
    });
    call.on('error', (error: ServiceError) => reject(new Error(causeOf(error.details || error.message))));
    call.on('end', () => reject(new Error('the stream ended without an answer')));
    call.write(Buffer.from(toBinary(DiscoveryRequestSchema, request)));
  }).finally(() => client.close());
}

/** Why there is no connection; what TLS means, in words. */
function causeOf(text: string): string {
  const cause = connectionCause(text);
  if (cause.includes('wrong version number')) return 'nobody speaks TLS there; leave out --cert-dir';
  if (cause.startsWith('Failed to connect'))
    return 'the connection was closed; if TLS is spoken there, give --cert-dir';
  return cause.trim();
}

/** TLS must not ask for an IP address by name; what the certificate must say stays the address. */
const nameOfNoAddress = 'istiod.istio-system.svc';

function hostOf(address: string): string {
  return address.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
}

function channelCredentials({ address, authority, certDirectory }: XdsPageOptions): ChannelCredentials {
  if (certDirectory === undefined) return credentials.createInsecure();
  const read = (file: string): Buffer => {
    const path = join(certDirectory, file);
    try {
      return readFileSync(path);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new UserError(`--cert-dir: cannot read ${path}: ${reason}`);
    }
  };
  return credentials.createSsl(read('root-cert.pem'), read('key.pem'), read('cert-chain.pem'), {
    checkServerIdentity: (_name, certificate) =>
      checkServerIdentity(authority ?? hostOf(address), certificate),
  });
}
