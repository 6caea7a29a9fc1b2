// A management server inside the test: it answers each subscription with what it holds, in the dialect and for the
// type that the client's stream asks for.
import type { DescMessage, MessageInitShape } from '@bufbuild/protobuf';
import { create } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { packAny, typeUrlOf } from '../../src/api/any.ts';
import type { GrpcTransportOptions } from '../../src/xds/client/grpc-transport.ts';
import type { XdsTransport } from '../../src/xds/client/transport.ts';
import type { PlayedStream } from './played-transport.ts';
import { playDelta, playSotw } from './played-transport.ts';
import type {
  DeltaDiscoveryRequest,
  DiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
  DiscoveryRequestSchema,
  DiscoveryResponseSchema,
} from '../../src/api/gen/envoy/service/discovery/v3/discovery_pb.js';

interface Stored {
  readonly version: string;
  readonly any: Any;
}

type SotwStream = PlayedStream<typeof DiscoveryRequestSchema, typeof DiscoveryResponseSchema>;
type DeltaStream = PlayedStream<typeof DeltaDiscoveryRequestSchema, typeof DeltaDiscoveryResponseSchema>;

export interface HeardRequest {
  /** Counted from 0, in the order of their opening. */
  readonly stream: number;
  readonly request: DiscoveryRequest | DeltaDiscoveryRequest;
}

export class AnsweringServer {
  /** What each stream that was opened asked for, as `delta Cluster` or `sotw ads`. */
  readonly opened: string[] = [];
  readonly errors: string[] = [];
  /** What was asked for, in order, over all streams. */
  readonly requests: HeardRequest[] = [];
  readonly #resources = new Map<string, Map<string, Stored>>();
  readonly #pushes = new Set<(typeUrl: string, name: string) => void>();
  #nonce = 0;

  readonly createTransport = (options: GrpcTransportOptions): XdsTransport => {
    const type = options.typeUrl?.slice(options.typeUrl.lastIndexOf('.') + 1) ?? 'ads';
    const opened = `${options.dialect} ${type}`;
    return options.dialect === 'delta' ? this.#delta(opened) : this.#sotw(opened);
  };

  /** Holds it from now on, and tells the streams that are open. */
  set<Schema extends DescMessage>(
    schema: Schema,
    name: string,
    version: string,
    message: MessageInitShape<Schema>,
  ): void {
    const typeUrl = typeUrlOf(schema);
    const held = this.#resources.get(typeUrl) ?? new Map<string, Stored>();
    this.#resources.set(typeUrl, held);
    held.set(name, { version, any: packAny(schema, create(schema, message)) });
    for (const push of this.#pushes) push(typeUrl, name);
  }

  /** Holds it no more, and tells the streams that are open. */
  remove(schema: DescMessage, name: string): void {
    const typeUrl = typeUrlOf(schema);
    this.#resources.get(typeUrl)?.delete(name);
    for (const push of this.#pushes) push(typeUrl, name);
  }

  #held(typeUrl: string, names: readonly string[]): [string, Stored][] {
    const held = [...(this.#resources.get(typeUrl) ?? [])];
    return names.length === 0 ? held : held.filter(([name]) => names.includes(name));
  }

  #sotw(opened: string): XdsTransport {
    const played = playSotw();
    const asked = new Map<string, readonly string[]>();
    const respond = (stream: SotwStream, typeUrl: string): void => {
      const found = this.#held(typeUrl, asked.get(typeUrl) ?? []);
      if (found.length === 0) return;
      stream.respond({
        typeUrl,
        versionInfo: found.map(([, { version }]) => version).join('+'),
        nonce: String(++this.#nonce),
        resources: found.map(([, { any }]) => any),
      });
    };
    return this.#watch(
      opened,
      played,
      (stream, request) => {
        const before = asked.get(request.typeUrl);
        asked.set(request.typeUrl, request.resourceNames);
        if (request.errorDetail !== undefined) this.errors.push(request.errorDetail.message);
        if (before === undefined || request.resourceNames.some((name) => !before.includes(name)))
          respond(stream, request.typeUrl);
      },
      (stream, typeUrl, name) => {
        const names = asked.get(typeUrl);
        if (names?.length === 0 || names?.includes(name) === true) respond(stream, typeUrl);
      },
    );
  }

  #delta(opened: string): XdsTransport {
    const played = playDelta();
    const asked = new Map<string, Set<string>>();
    const respond = (
      stream: DeltaStream,
      typeUrl: string,
      names: readonly string[],
      removed: string[] = [],
    ): void =>
      stream.respond({
        typeUrl,
        systemVersionInfo: 'system',
        nonce: String(++this.#nonce),
        resources: this.#held(typeUrl, names).map(([name, { version, any }]) => ({
          name,
          version,
          resource: any,
        })),
        removedResources: removed,
      });
    return this.#watch(
      opened,
      played,
      (stream, request) => {
        const first = !asked.has(request.typeUrl);
        const names = asked.get(request.typeUrl) ?? new Set<string>();
        asked.set(request.typeUrl, names);
        for (const name of request.resourceNamesSubscribe) names.add(name);
        for (const name of request.resourceNamesUnsubscribe) names.delete(name);
        if (request.errorDetail !== undefined) this.errors.push(request.errorDetail.message);
        if (!first && request.resourceNamesSubscribe.length === 0) return;
        // What the client has of another stream is not sent again.
        const found = this.#held(request.typeUrl, request.resourceNamesSubscribe)
          .filter(([name, { version }]) => request.initialResourceVersions[name] !== version)
          .map(([name]) => name);
        if (found.length > 0) respond(stream, request.typeUrl, found);
      },
      (stream, typeUrl, name) => {
        const names = asked.get(typeUrl);
        if (names === undefined || (names.size > 0 && !names.has(name))) return;
        if (this.#resources.get(typeUrl)?.has(name) === true) respond(stream, typeUrl, [name]);
        else respond(stream, typeUrl, [name], [name]);
      },
    );
  }

  /** Answers what is sent on each stream of a played transport, after the client has sent it. */
  #watch<Stream extends { readonly sent: (DiscoveryRequest | DeltaDiscoveryRequest)[] }>(
    opened: string,
    played: { readonly transport: XdsTransport; readonly streams: Stream[] },
    onRequest: (stream: Stream, request: Stream['sent'][number]) => void,
    onSet: (stream: Stream, typeUrl: string, name: string) => void,
  ): XdsTransport {
    return {
      open: (handlers) => {
        const index = this.opened.push(opened) - 1;
        const inner = played.transport.open(handlers);
        const stream = played.streams.at(-1)!;
        setImmediate(() => handlers.onConnected());
        const push = (typeUrl: string, name: string): void => onSet(stream, typeUrl, name);
        this.#pushes.add(push);
        let closed = false;
        return {
          ...inner,
          send: (bytes) => {
            inner.send(bytes);
            const request = stream.sent.at(-1)!;
            this.requests.push({ stream: index, request });
            setImmediate(() => {
              if (!closed) onRequest(stream, request);
            });
          },
          close: () => {
            closed = true;
            this.#pushes.delete(push);
            inner.close();
          },
        };
      },
    };
  }
}
