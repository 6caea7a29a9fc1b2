// A transport of xDS whose server is the test: it reads what the client sent, and says what the client hears.
import type { DescMessage, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
  DiscoveryRequestSchema,
  DiscoveryResponseSchema,
} from '../../src/api/gen/envoy/service/discovery/v3/discovery_pb.js';
import type { XdsStreamHandlers, XdsTransport } from '../../src/xds/client/transport.ts';

export class PlayedStream<Request extends DescMessage, Response extends DescMessage> {
  readonly sent: MessageShape<Request>[] = [];
  closed = false;
  paused = false;
  readonly #handlers: XdsStreamHandlers;
  readonly #response: Response;

  constructor(handlers: XdsStreamHandlers, response: Response) {
    this.#handlers = handlers;
    this.#response = response;
  }

  respond(response: MessageInitShape<Response>): void {
    this.respondBytes(toBinary(this.#response, create(this.#response, response)));
  }

  respondBytes(bytes: Uint8Array): void {
    this.#handlers.onResponse(bytes);
  }

  connect(): void {
    this.#handlers.onConnected();
  }

  end(reason: string): void {
    this.#handlers.onEnd(reason);
  }
}

export interface PlayedTransport<Request extends DescMessage, Response extends DescMessage> {
  readonly transport: XdsTransport;
  /** In the order in which they were opened. */
  readonly streams: PlayedStream<Request, Response>[];
}

function play<Request extends DescMessage, Response extends DescMessage>(
  request: Request,
  response: Response,
): PlayedTransport<Request, Response> {
  const streams: PlayedStream<Request, Response>[] = [];
  return {
    streams,
    transport: {
      open: (handlers) => {
        const stream = new PlayedStream<Request, Response>(handlers, response);
        streams.push(stream);
        return {
          send: (bytes) => stream.sent.push(fromBinary(request, bytes)),
          pause: () => (stream.paused = true),
          resume: () => (stream.paused = false),
          close: () => (stream.closed = true),
        };
      },
    },
  };
}

export const playSotw = (): PlayedTransport<typeof DiscoveryRequestSchema, typeof DiscoveryResponseSchema> =>
  play(DiscoveryRequestSchema, DiscoveryResponseSchema);

export const playDelta = (): PlayedTransport<
  typeof DeltaDiscoveryRequestSchema,
  typeof DeltaDiscoveryResponseSchema
> => play(DeltaDiscoveryRequestSchema, DeltaDiscoveryResponseSchema);

/** Nobody ever answers. */
export const silentTransport: XdsTransport = {
  open: () => ({ send: () => {}, pause: () => {}, resume: () => {}, close: () => {} }),
};
