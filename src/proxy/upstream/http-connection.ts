// One HTTP/1.1 connection to an upstream host: writes requests, reads responses, one exchange at a time.
import type { Wire, WireHandler } from '../io/wire.ts';
import { ChunkDecoder } from '../http/chunk-decoder.ts';
import { HeaderBlock } from '../http/header-block.ts';
import { MessageWriter } from '../http/message-writer.ts';
import { HeadParser } from '../http/message-parser.ts';
import { nameIds } from '../http/names.ts';
import type { SocketAddress } from '../io/socket-address.ts';
import type { Host } from './host.ts';
import type { RequestToSend, ResponseHandler, UpstreamRequest } from './upstream-request.ts';

/** Told about the life of the connection: its pool. */
export interface ConnectionOwner {
  /** The exchange is over and the connection can serve another. */
  onReusable(connection: HttpConnection): void;
  onGone(connection: HttpConnection): void;
}

type ReadState = 'idle' | 'head' | 'length' | 'chunked' | 'trailers' | 'until-close' | 'tunnel' | 'closed';

const H = nameIds;

export class HttpConnection implements UpstreamRequest, WireHandler {
  readonly host: Host;
  readonly writer: MessageWriter;
  readonly wire: Wire;
  readonly headers = new HeaderBlock();
  /** Exchanges started on it. */
  exchanges = 0;
  /** Clock.monotonicMs since when it is idle; kept by the pool. */
  idleSinceMs = 0;
  readonly #owner: ConnectionOwner;
  readonly #parser: HeadParser;
  readonly #chunks = new ChunkDecoder();
  readonly #trailers: HeaderBlock = new HeaderBlock();
  #handler: ResponseHandler | undefined;
  #state: ReadState = 'idle';
  #remaining = 0;
  /** Bytes of a head that is not complete. */
  #pending: Buffer | undefined;
  #headRequest = false;
  #requestDone = false;
  #responseDone = false;
  #keepAlive = true;
  #upgrading = false;
  /** Of the request's body. */
  #chunked = false;
  #paused = false;

  constructor(wire: Wire, host: Host, owner: ConnectionOwner) {
    this.wire = wire;
    this.host = host;
    this.#owner = owner;
    this.#parser = new HeadParser(this.headers);
    this.writer = new MessageWriter(wire);
  }

  get localAddress(): SocketAddress {
    return this.wire.localAddress;
  }

  get blocked(): boolean {
    return this.writer.blocked;
  }

  start(handler: ResponseHandler, request: RequestToSend, upgrade: boolean, chunked: boolean): void {
    this.#handler = handler;
    this.#state = 'head';
    this.#headRequest = request.method === 'HEAD';
    this.#requestDone = false;
    this.#responseDone = false;
    this.#keepAlive = true;
    this.#upgrading = upgrade;
    this.#chunked = chunked;
    this.exchanges++;
    this.writer.text(`${request.method} ${request.path} HTTP/1.1\r\n${request.headers.serialize()}\r\n`);
  }

  writeData(buffer: Buffer, start: number, end: number): void {
    if (this.#chunked) this.writer.chunk(buffer, start, end);
    else this.writer.bytes(buffer, start, end);
  }

  writeTunnel(buffer: Buffer, start: number, end: number): void {
    this.writer.bytes(buffer, start, end);
  }

  finishRequest(trailers: HeaderBlock | undefined): void {
    if (this.#chunked)
      this.writer.text(trailers === undefined ? '0\r\n\r\n' : `0\r\n${trailers.serialize()}\r\n`);
    this.#requestDone = true;
    if (this.#responseDone) this.#complete();
  }

  flush(): void {
    this.writer.flush();
  }

  /** Gives the exchange up: the connection cannot be used again. */
  abort(): void {
    this.#handler = undefined;
    this.#close();
  }

  /** The client left a tunnel: what it sent is still delivered. */
  endTunnel(): void {
    this.#handler = undefined;
    this.writer.flush();
    this.#state = 'closed';
    if (this.wire.bufferedBytes === 0) this.wire.destroy();
    else this.wire.end();
  }

  pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.wire.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.wire.resume();
  }

  onBytes(buffer: Buffer, length: number): void {
    const handler = this.#handler;
    if (handler === undefined) {
      // Bytes without a request: the peer is out of step.
      this.#close();
      return;
    }
    let data = buffer;
    let limit = length;
    if (this.#pending !== undefined) {
      data = Buffer.concat([this.#pending, buffer.subarray(0, length)]);
      limit = data.length;
      this.#pending = undefined;
    }
    this.#consume(data, 0, limit);
    handler.onUpstreamTurnEnd();
  }

  onEnd(): void {
    const handler = this.#handler;
    if (handler !== undefined && this.#state === 'tunnel') {
      handler.onTunnelEnd();
      return;
    }
    if (handler !== undefined && this.#state === 'until-close') {
      this.#keepAlive = false;
      this.#responseDone = true;
      handler.onResponseEnd(undefined);
      handler.onUpstreamTurnEnd();
    }
    this.wire.destroy();
  }

  onDrain(): void {
    this.writer.blocked = false;
    this.#handler?.onUpstreamDrain();
  }

  onClose(errorCode: string | undefined): void {
    const handler = this.#handler;
    this.#handler = undefined;
    this.#state = 'closed';
    this.#owner.onGone(this);
    if (handler === undefined || this.#responseDone) return;
    handler.onUpstreamReset('connection termination', errorCode ?? '');
    handler.onUpstreamTurnEnd();
  }

  #consume(buffer: Buffer, from: number, limit: number): void {
    let at = from;
    while (at < limit || this.#state === 'trailers') {
      const handler = this.#handler;
      if (handler === undefined) return;
      switch (this.#state) {
        case 'head': {
          const result = this.#parser.response(buffer, at, limit);
          if (result === 'partial') return this.#keep(buffer, at, limit);
          if (result === 'error') return this.#fail(handler, this.#parser.error);
          at = this.#parser.end;
          if (!this.#onHead(handler)) return;
          break;
        }
        case 'length': {
          const end = Math.min(limit, at + this.#remaining);
          this.#remaining -= end - at;
          const start = at;
          at = end;
          handler.onResponseData(buffer, start, end);
          if (this.#remaining === 0) this.#end(undefined);
          break;
        }
        case 'chunked': {
          const chunks = this.#chunks;
          chunks.position = at;
          const event = chunks.next(buffer, limit);
          at = chunks.position;
          if (event === 'data') handler.onResponseData(buffer, chunks.dataStart, chunks.dataEnd);
          else if (event === 'trailers') this.#state = 'trailers';
          else if (event === 'error') return this.#fail(handler, 'codec_error');
          if (event === 'trailers' && at >= limit) return;
          break;
        }
        case 'trailers': {
          const parser = trailerParser(this.#trailers);
          const result = parser.trailers(buffer, at, limit);
          if (result === 'partial') return this.#keep(buffer, at, limit);
          if (result === 'error') return this.#fail(handler, parser.error);
          at = parser.end;
          this.#end(this.#trailers.count === 0 ? undefined : this.#trailers);
          break;
        }
        case 'until-close':
        case 'tunnel': {
          const start = at;
          at = limit;
          handler.onResponseData(buffer, start, limit);
          break;
        }
        case 'idle':
        case 'closed':
          // More bytes than the response has: never reuse such a connection.
          this.#close();
          return;
      }
    }
  }

  /** False: the exchange ended in a way that leaves nothing to read. */
  #onHead(handler: ResponseHandler): boolean {
    const parser = this.#parser;
    const { status } = parser;
    const { headers } = this;
    if (status < 200) {
      if (status === 101) {
        if (!this.#upgrading) {
          this.#fail(handler, 'codec_error');
          return false;
        }
        this.#state = 'tunnel';
        this.#keepAlive = false;
        handler.onResponseHead(status, headers, false);
        return true;
      }
      handler.onResponseHead(status, headers, false);
      return true;
    }
    const connection = headers.known(H.connection);
    if (parser.minorVersion === 0)
      this.#keepAlive = connection !== undefined && /keep-alive/i.test(connection);
    else if (connection !== undefined && /\bclose\b/i.test(connection)) this.#keepAlive = false;
    const bodiless = this.#headRequest || status === 204 || status === 304;
    if (bodiless || (!parser.chunked && parser.contentLength === 0)) {
      this.#state = 'idle';
      this.#responseDone = true;
      handler.onResponseHead(status, headers, true);
      this.#complete();
      return true;
    }
    if (parser.chunked) {
      this.#state = 'chunked';
      this.#chunks.reset();
    } else if (parser.contentLength > 0) {
      this.#state = 'length';
      this.#remaining = parser.contentLength;
    } else {
      this.#state = 'until-close';
      this.#keepAlive = false;
    }
    handler.onResponseHead(status, headers, false);
    return true;
  }

  #end(trailers: HeaderBlock | undefined): void {
    const handler = this.#handler;
    if (handler === undefined) return;
    this.#state = 'idle';
    this.#responseDone = true;
    handler.onResponseEnd(trailers);
    this.#complete();
  }

  /** Both directions are done: back to the pool, or closed. */
  #complete(): void {
    // The handler may have aborted, or the request is still being sent (then abort() or finishRequest() comes).
    if (this.#handler === undefined || !this.#requestDone) return;
    this.#handler = undefined;
    if (!this.#keepAlive || this.wire.destroyed) {
      this.#close();
      return;
    }
    this.resume();
    this.#owner.onReusable(this);
  }

  #fail(handler: ResponseHandler, error: string): void {
    this.#handler = undefined;
    this.#close();
    handler.onUpstreamReset('protocol error', error);
  }

  #close(): void {
    this.#state = 'closed';
    this.wire.destroy();
  }

  #keep(buffer: Buffer, at: number, limit: number): void {
    this.#pending = Buffer.from(buffer.subarray(at, limit));
  }
}

const sharedTrailerParsers = new WeakMap<HeaderBlock, HeadParser>();

/** Trailers are rare: their parser is made at the first ones of a connection. */
function trailerParser(block: HeaderBlock): HeadParser {
  let parser = sharedTrailerParsers.get(block);
  if (parser === undefined) {
    parser = new HeadParser(block);
    sharedTrailerParsers.set(block, parser);
  }
  return parser;
}
