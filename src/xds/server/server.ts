// The management server over gRPC: the discovery services of Envoy's API, in both dialects, on any number of
// ports. It knows names, versions, nonces and bytes; what the resources are is the handler's business.
import type {
  ServerDuplexStream,
  ServerUnaryCall,
  ServiceDefinition,
  UntypedServiceImplementation,
  sendUnaryData,
} from '@grpc/grpc-js';
import type { Duplex } from 'node:stream';
import { Server, ServerCredentials, logVerbosity, setLogVerbosity, status } from '@grpc/grpc-js';
import type { Node } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import { RecentlyTold } from '../../base/recently-told.ts';
import type { Authenticate } from './credentials.ts';
import { credentialsOf } from './credentials.ts';
import { delta } from './delta.ts';
import type { Dialect } from './dialect.ts';
import { answerOnce } from './fetch.ts';
import {
  concurrentStreamsMax,
  idleConnectionMs,
  keepaliveMs,
  keepaliveTimeoutMs,
  refusalSilenceMs,
  requestBytesMax,
} from './limits.ts';
import { RateLimit } from './rate-limit.ts';
import { discoveryServices } from '../discovery-services.ts';
import { sotw } from './sotw.ts';
import { StreamError, sentDetails } from './stream-error.ts';
import type { StreamOptions, XdsStream, XdsStreamHandler } from './stream.ts';
import { Stream, hostOf } from './stream.ts';

export interface XdsServerOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Stands in every response. */
  readonly controlPlane: string;
  /** Streams are refused with UNAVAILABLE until this is true. */
  readonly ready: () => boolean;
  /** Types that are answered; requests for others are ignored, as Istio does. */
  readonly serves: (typeUrl: string) => boolean;
  /** Takes a new stream on. Throws StreamError to refuse it. */
  readonly connect: (stream: XdsStream, node: Node) => XdsStreamHandler;
  /** Connections are closed gently when they reach this age, so that clients spread anew. Default: never. */
  readonly connectionAgeMsMax?: number;
  /** What their streams get from then on before they are cut. Default 10 s, as in Istio. */
  readonly connectionGraceMs?: number;
  /** Connections without a stream are closed after this. Default 60 s. */
  readonly connectionIdleMs?: number;
  /** How often a connection is asked whether its peer is still there, and how long that may take. Default 30 s and 10 s. */
  readonly keepalive?: { readonly everyMs: number; readonly timeoutMs: number };
  /** See defaultRate. */
  readonly streamsPerSecond: number;
  /** See RateLimit: while the process is idle more streams are let in. Default: never. */
  readonly busyShare?: () => number;
  /** Unique within the process. Default: a random UUID. */
  readonly newId?: () => string;
  /** Told of each discovery request: its bytes. */
  readonly received?: (bytes: number) => void;
  /** Asked who speaks before anything of a call is read. Default: nobody is asked. */
  readonly authenticate?: Authenticate;
}

// What goes wrong reaches us as an error and is told once, in our words.
setLogVerbosity(logVerbosity.NONE);

/** Messages are decoded by us, so that what cannot be decoded gets a status of ours. */
const rawBytes = {
  requestDeserialize: (bytes: Buffer) => bytes,
  requestSerialize: (bytes: Buffer) => bytes,
  responseDeserialize: (bytes: Buffer) => bytes,
  responseSerialize: (bytes: Buffer) => bytes,
};

type StreamCall = ServerDuplexStream<Buffer, Buffer>;
/** See Authenticate. */
type Identities = readonly string[] | undefined;
type AnyCall = StreamCall | ServerUnaryCall<Buffer, Buffer>;

export class XdsServer {
  readonly #options: XdsServerOptions;
  readonly #plain: Server;
  /** The same, for connections through TLS. */
  readonly #secure: Server;
  readonly #rateLimit: RateLimit;
  readonly #streams = new Set<Stream>();
  readonly #streamOptions: StreamOptions;
  readonly #told = new RecentlyTold(refusalSilenceMs);
  #streamNumber = 0;

  constructor(options: XdsServerOptions) {
    const { clock, logger, controlPlane, serves, connect, newId } = options;
    this.#options = options;
    this.#rateLimit = new RateLimit({
      clock,
      perSecond: options.streamsPerSecond,
      ...(options.busyShare === undefined ? {} : { busyShare: options.busyShare }),
    });
    const channelOptions = {
      'grpc.max_receive_message_length': requestBytesMax,
      'grpc.max_send_message_length': -1,
      'grpc.max_concurrent_streams': concurrentStreamsMax,
      'grpc.keepalive_time_ms': options.keepalive?.everyMs ?? keepaliveMs,
      'grpc.keepalive_timeout_ms': options.keepalive?.timeoutMs ?? keepaliveTimeoutMs,
      'grpc.max_connection_idle_ms': options.connectionIdleMs ?? idleConnectionMs,
      ...(options.connectionAgeMsMax === undefined
        ? {}
        : {
            'grpc.max_connection_age_ms': options.connectionAgeMsMax,
            'grpc.max_connection_age_grace_ms': options.connectionGraceMs ?? 10_000,
          }),
    };
    this.#plain = new Server(channelOptions);
    this.#secure = new Server(channelOptions);
    this.#streamOptions = {
      clock,
      logger,
      told: this.#told,
      controlPlane,
      serves,
      connect,
      newId,
      received: options.received,
      nextNumber: () => ++this.#streamNumber,
      opened: (stream) => void this.#streams.add(stream),
      closed: (stream) => void this.#streams.delete(stream),
    };
    this.#addDiscoveryServices(this.#plain, false);
    this.#addDiscoveryServices(this.#secure, true);
  }

  /** Streams that have sent their first request. */
  get size(): number {
    return this.#streams.size;
  }

  /**
   * Serves something beside discovery on the same ports. Methods are given the caller's names (see Authenticate) as
   * their last argument. Call before `listen`.
   */
  addService(service: ServiceDefinition, implementation: UntypedServiceImplementation): void {
    const { authenticate, logger } = this.#options;
    this.#plain.addService(service, authenticated(implementation, authenticate, false, logger));
    this.#secure.addService(service, authenticated(implementation, authenticate, true, logger));
  }

  /** Gets connections for which TLS has been ended, by whom their clients' certificates were verified. */
  secureConnections(): (socket: Duplex) => void {
    const injector = this.#secure.createConnectionInjector(ServerCredentials.createInsecure());
    return (socket) => injector.injectConnection(socket);
  }

  /**
   * Binds `address:port`, in plaintext unless credentials are given; port 0 takes a free one. Resolves to the
   * port. Rejects if it is in use. May be called for any number of addresses.
   */
  listen(
    address: string,
    credentials: ServerCredentials = ServerCredentials.createInsecure(),
  ): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#plain.bindAsync(address, credentials, (error, port) => {
        if (error === null) resolve(port);
        else reject(error);
      });
    });
  }

  /** Ends every stream with UNAVAILABLE, so that clients look for another server, and stops listening. */
  async close(): Promise<void> {
    this.#rateLimit.dispose();
    for (const stream of this.#streams) stream.end(status.UNAVAILABLE, 'the control plane is shutting down');
    await Promise.all([this.#shutDown(this.#plain), this.#shutDown(this.#secure)]);
  }

  #shutDown(server: Server): Promise<void> {
    return new Promise((resolve) => {
      const force = this.#options.clock.after(shutdownMs, () => server.forceShutdown());
      server.tryShutdown(() => {
        force.cancel();
        resolve();
      });
    });
  }

  #addDiscoveryServices(server: Server, isSecure: boolean): void {
    for (const { name, typeUrl, stream, delta: deltaMethod, fetch } of discoveryServices) {
      const both = { requestStream: true, responseStream: true, ...rawBytes };
      const once = { requestStream: false, responseStream: false, ...rawBytes };
      server.addService(
        {
          [stream]: { path: `/${name}/${stream}`, ...both },
          [deltaMethod]: { path: `/${name}/${deltaMethod}`, ...both },
          ...(fetch === undefined ? {} : { [fetch]: { path: `/${name}/${fetch}`, ...once } }),
        },
        {
          [stream]: (call: StreamCall) =>
            this.#accept(call, isSecure, (names) => this.#start(call, sotw, typeUrl, names)),
          [deltaMethod]: (call: StreamCall) =>
            this.#accept(call, isSecure, (names) => this.#start(call, delta, typeUrl, names)),
          ...(fetch === undefined
            ? {}
            : {
                [fetch]: (call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>) =>
                  this.#accept(call, isSecure, (names) =>
                    answerOnce(call, callback, typeUrl, this.#streamOptions, names),
                  ),
              }),
        },
      );
    }
  }

  /** Lets a call in, at its time; where it is refused its client is told why. */
  #accept(call: AnyCall, isSecure: boolean, start: (identities: Identities) => void): void {
    // Without a listener an error that comes while the stream waits would end the process.
    call.on('error', () => {});
    if (!this.#options.ready()) {
      fail(call, status.UNAVAILABLE, 'the control plane has not read its configuration yet; try again');
      return;
    }
    const admit = (): void =>
      void whenAuthenticated(call, this.#options.authenticate, isSecure, this.#options.logger, start);
    this.#rateLimit.admit(admit, () => this.#refuse(call));
  }

  #refuse(call: AnyCall): void {
    if (call.cancelled) return;
    const { streamsPerSecond, logger, clock } = this.#options;
    const peer = call.getPeer();
    const line = `xDS: ${peer} refused: more than ${streamsPerSecond} new streams/s`;
    if (this.#told.isNews(`rate ${hostOf(peer)}`, clock.monotonicMs())) logger.warn(line);
    else logger.debug(line);
    fail(call, status.RESOURCE_EXHAUSTED, `more than ${streamsPerSecond} new streams a second; try again`);
  }

  #start(call: StreamCall, dialect: Dialect, onlyType: string | undefined, identities: Identities): void {
    if (call.cancelled || call.destroyed) return;
    const wire = {
      peer: call.getPeer(),
      identities,
      write: (bytes: Buffer, written: () => void) => void call.write(bytes, written),
      pause: () => void call.pause(),
      resume: () => void call.resume(),
      fail: (code: status, details: string) => fail(call, code, details),
    };
    const stream = new Stream(wire, dialect, onlyType, this.#streamOptions);
    call.on('data', (bytes: Buffer) => stream.receive(bytes));
    for (const event of ['end', 'error', 'cancelled', 'close'] as const) {
      call.on(event, () => {
        stream.close();
        if (event === 'end') call.end();
      });
    }
  }
}

/** How long streams get to end by themselves. */
const shutdownMs = 1000;

/** Ends a call with a status; what was written before still goes out. */
function fail(call: AnyCall, code: status, details: string): void {
  call.emit('error', { code, details: sentDetails(details) });
}

/** Runs `start` for whoever is let in; ends the call with the reason for all others. */
async function whenAuthenticated(
  call: AnyCall,
  authenticate: Authenticate | undefined,
  isSecure: boolean,
  logger: Logger,
  start: (identities: Identities) => void,
): Promise<void> {
  if (authenticate === undefined) {
    start(undefined);
    return;
  }
  try {
    const identities = await authenticate(credentialsOf(call, isSecure));
    if (!call.cancelled) start(identities);
  } catch (error) {
    // Nobody waits for this promise: what it rejected with would end the process.
    if (error instanceof StreamError) {
      fail(call, error.code, error.message);
      return;
    }
    const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
    logger.error(`xDS: ${call.getPeer()} ended by an internal error: ${detail}`);
    fail(call, status.INTERNAL, 'internal error of the control plane');
  }
}

/** The same methods, behind the question who calls. */
function authenticated(
  implementation: UntypedServiceImplementation,
  authenticate: Authenticate | undefined,
  isSecure: boolean,
  logger: Logger,
): UntypedServiceImplementation {
  if (authenticate === undefined) return implementation;
  return Object.fromEntries(
    Object.entries(implementation).map(([name, method]) => [
      name,
      (call: AnyCall, ...rest: unknown[]) => {
        call.on('error', () => {});
        const start = (identities: Identities): void =>
          (method as (...args: unknown[]) => void)(call, ...rest, identities);
        void whenAuthenticated(call, authenticate, isSecure, logger, start);
      },
    ]),
  );
}
