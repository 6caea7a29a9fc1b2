// gRPC streams over Node's HTTP/2, with nothing between: a client library per stream would cost the generator more
// than the server pays. Many streams may share a connection.
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2';
import { connect, constants } from 'node:http2';
import type { IncomingHttpHeaders } from 'node:http2';
import type { Clock } from '../base/clock.ts';

/** One stream to the server. */
export interface LoadStream {
  /** Sends one message. */
  send(message: Uint8Array): void;
  /** Ends the stream without a word; no handler is called afterwards. */
  close(): void;
}

export interface LoadStreamHandlers {
  onMessage(message: Uint8Array): void;
  /** Why it ended: a gRPC status, or what befell the connection. Called once. */
  onEnd(reason: string): void;
}

export interface LoadWire {
  open(index: number, method: string, handlers: LoadStreamHandlers): LoadStream;
  /** Connections that are open now. */
  readonly connections: number;
  close(): void;
}

export interface Http2WireOptions {
  /** `host:port`, plaintext. */
  readonly address: string;
  /** Streams are dealt out to so many connections; undefined: a connection for each stream, as proxies have it. */
  readonly connections: number | undefined;
  readonly clock: Clock;
  /** Bytes a second that a stream reads; undefined: all that comes. */
  readonly bytesPerSecond?: (index: number) => number | undefined;
}

/** Envoy's initial_stream_window_size and initial_connection_window_size: 16 and 24 MiB. */
const streamWindowBytes = 16 * 1024 * 1024;
const connectionWindowBytes = 24 * 1024 * 1024;
/** Responses larger than this end the stream: no mesh has them, and nothing may take all memory. */
const messageBytesMax = 256 * 1024 * 1024;
/** MB that Node allows a session to hold; its default of 10 would end sessions with large responses. */
const sessionMegabytesMax = 4096;

export class Http2Wire implements LoadWire {
  readonly #options: Http2WireOptions;
  readonly #sessions = new Map<number, ClientHttp2Session>();

  constructor(options: Http2WireOptions) {
    this.#options = options;
  }

  get connections(): number {
    return this.#sessions.size;
  }

  open(index: number, method: string, handlers: LoadStreamHandlers): LoadStream {
    const { connections, bytesPerSecond, clock } = this.#options;
    const session = this.#session(connections === undefined ? index : index % connections);
    const onEnd = (reason: string): void => {
      if (connections === undefined) session.destroy();
      handlers.onEnd(reason);
    };
    const stream = new Http2LoadStream(session, method, {
      onMessage: (message) => handlers.onMessage(message),
      onEnd,
    });
    const rate = bytesPerSecond?.(index);
    if (rate !== undefined) stream.slowDown(rate, clock);
    return {
      send: (message) => stream.send(message),
      close: () => {
        stream.close();
        if (connections === undefined) session.destroy();
      },
    };
  }

  close(): void {
    for (const session of this.#sessions.values()) session.destroy();
    this.#sessions.clear();
  }

  #session(key: number): ClientHttp2Session {
    const known = this.#sessions.get(key);
    if (known !== undefined && !known.destroyed && !known.closed) return known;
    const session = connect(`http://${this.#options.address}`, {
      settings: { initialWindowSize: streamWindowBytes, enablePush: false },
      maxSessionMemory: sessionMegabytesMax,
    });
    session.once('connect', () => {
      if (!session.destroyed) session.setLocalWindowSize(connectionWindowBytes);
    });
    // Its streams tell of it.
    session.on('error', () => {});
    session.on('close', () => {
      if (this.#sessions.get(key) === session) this.#sessions.delete(key);
    });
    this.#sessions.set(key, session);
    return session;
  }
}

const frameHeadBytes = 5;

/** Puts the messages of a gRPC stream together from chunks. */
export class MessageReader {
  readonly #onMessage: (message: Uint8Array) => void;
  #chunks: Buffer[] = [];
  #bytes = 0;
  /** Of the message that is under way, with its head; 0: not known yet. */
  #wanted = 0;

  constructor(onMessage: (message: Uint8Array) => void) {
    this.#onMessage = onMessage;
  }

  /** Throws where a message is compressed or beyond all measure. */
  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    while (this.#bytes >= frameHeadBytes) {
      if (this.#wanted === 0) this.#wanted = this.#readHead();
      if (this.#bytes < this.#wanted) return;
      const whole = this.#join();
      const message = whole.subarray(frameHeadBytes, this.#wanted);
      const rest = whole.subarray(this.#wanted);
      this.#chunks = rest.length === 0 ? [] : [rest];
      this.#bytes = rest.length;
      this.#wanted = 0;
      this.#onMessage(message);
    }
  }

  #readHead(): number {
    const head = (this.#chunks[0]?.length ?? 0) >= frameHeadBytes ? this.#chunks[0] : this.#join();
    if (head === undefined) return 0;
    if (head[0] !== 0) throw new Error('a compressed message came, though none was asked for');
    const length = head.readUInt32BE(1);
    if (length > messageBytesMax) throw new Error(`a message of ${length} bytes`);
    return frameHeadBytes + length;
  }

  #join(): Buffer {
    const [only] = this.#chunks;
    if (only !== undefined && this.#chunks.length === 1) return only;
    const whole = Buffer.concat(this.#chunks);
    this.#chunks = [whole];
    return whole;
  }
}

class Http2LoadStream {
  readonly #stream: ClientHttp2Stream;
  readonly #handlers: LoadStreamHandlers;
  #over = false;

  constructor(session: ClientHttp2Session, method: string, handlers: LoadStreamHandlers) {
    this.#handlers = handlers;
    this.#stream = session.request(
      { ':method': 'POST', ':path': method, 'content-type': 'application/grpc', te: 'trailers' },
      { endStream: false },
    );
    const reader = new MessageReader((message) => {
      if (!this.#over) handlers.onMessage(message);
    });
    let grpcStatus = '';
    let httpStatus: number | undefined;
    const noteStatus = (headers: IncomingHttpHeaders): void => {
      const status = headers['grpc-status'];
      if (status === undefined) return;
      const message = [headers['grpc-message'] ?? []].flat().map(percentDecoded);
      grpcStatus = [`gRPC status ${[status].flat().join()}`, ...message].join(': ');
    };
    this.#stream.on('response', (headers) => {
      httpStatus = headers[':status'];
      noteStatus(headers);
    });
    this.#stream.on('trailers', noteStatus);
    this.#stream.on('data', (chunk: Buffer) => {
      try {
        reader.push(chunk);
      } catch (error) {
        this.#end(error instanceof Error ? error.message : String(error));
        this.#stream.close(constants.NGHTTP2_CANCEL);
      }
    });
    this.#stream.on('error', (error: Error) => this.#end(error.message));
    const ended = (): void => {
      const status = httpStatus === undefined || httpStatus === 200 ? '' : `HTTP status ${httpStatus}`;
      this.#end(grpcStatus || status || 'the connection was closed');
    };
    // The server has said its last; our side would stay open for ever.
    this.#stream.on('end', () => {
      ended();
      this.#stream.close(constants.NGHTTP2_NO_ERROR);
    });
    this.#stream.on('close', ended);
  }

  send(message: Uint8Array): void {
    if (this.#over || this.#stream.destroyed) return;
    const head = Buffer.alloc(frameHeadBytes);
    head.writeUInt32BE(message.length, 1);
    this.#stream.write(message.length > 16_384 ? head : Buffer.concat([head, message]));
    if (message.length > 16_384) this.#stream.write(message);
  }

  close(): void {
    this.#over = true;
    this.#stream.close(constants.NGHTTP2_CANCEL);
  }

  /** Reads no faster than so many bytes a second; what is not read stays with the server. */
  slowDown(bytesPerSecond: number, clock: Clock): void {
    this.#stream.on('data', (chunk: Buffer) => {
      this.#stream.pause();
      clock.after((chunk.length / bytesPerSecond) * 1000, () => {
        if (!this.#over) this.#stream.resume();
      });
    });
  }

  #end(reason: string): void {
    if (this.#over) return;
    this.#over = true;
    this.#handlers.onEnd(reason);
  }
}

/** gRPC writes messages percent-encoded; one that is not stays as it is. */
function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
