// A bare client of a reporting service (LRS, HDS) over a real gRPC channel.
import type { ChannelCredentials, ClientDuplexStream, ServiceError } from '@grpc/grpc-js';
import { Client, credentials } from '@grpc/grpc-js';
import type { DescMessage, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { waitFor } from './wait.ts';

export class ReportClient<Request extends DescMessage, Response extends DescMessage> {
  readonly responses: MessageShape<Response>[] = [];
  error: ServiceError | undefined;
  readonly #request: Request;
  readonly #client: Client;
  readonly #call: ClientDuplexStream<Buffer, Buffer>;

  /** `path`: `/full.name.of.Service/Method`. Without `channel` in plaintext. */
  constructor(
    port: number,
    path: string,
    request: Request,
    response: Response,
    channel: ChannelCredentials = credentials.createInsecure(),
    serverName = 'istiod.istio-system.svc',
  ) {
    this.#request = request;
    this.#client = new Client(`127.0.0.1:${port}`, channel, {
      'grpc.ssl_target_name_override': serverName,
      'grpc.default_authority': serverName,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_retries': 0,
    });
    const raw = (bytes: Buffer): Buffer => bytes;
    this.#call = this.#client.makeBidiStreamRequest(path, raw, raw);
    this.#call.on('data', (bytes: Buffer) => this.responses.push(fromBinary(response, bytes)));
    this.#call.on('error', (error: ServiceError) => void (this.error = error));
  }

  send(message: MessageInitShape<Request>): void {
    this.sendBytes(toBinary(this.#request, create(this.#request, message)));
  }

  sendBytes(bytes: Uint8Array): void {
    this.#call.write(Buffer.from(bytes));
  }

  /** The response at this place, when it has come. */
  response(index: number): Promise<MessageShape<Response>> {
    return waitFor(`response ${index}`, () => this.responses[index]);
  }

  failure(): Promise<ServiceError> {
    return waitFor('the end of the stream', () => this.error);
  }

  close(): void {
    this.#call.cancel();
    this.#client.close();
  }
}
